/* SPDX-License-Identifier: Apache-2.0 */
/* lifeline: what must stay responsive gets a moderate weight, through systemd.
 *
 * Why not a write to cpu.weight: systemd wipes what others write there at the next
 * daemon-reload or set-property, and takes the whole controller away when another
 * unit starts, unless a unit of the slice has a CPU setting of systemd's knowledge.
 * One such setting keeps it on for all.
 *
 * Calls go to systemd's private socket, which root may use and which needs no
 * dbus-daemon to get a CPU; the system bus is the second choice. Each is bounded by
 * LIFELINE_TIMEOUT; after one that ran out the connection is closed, since its
 * answer may come later and belong to nothing.
 *
 * A runtime property leaves /run/systemd/system.control/UNIT.d/50-CPUWeight.conf
 * behind, also when it is unset ("CPUWeight="), where it would hide a CPUWeight= that
 * the administrator writes tomorrow. So the file is removed after an undo if it was
 * not there before we came. A unit's value "not set" is UINT64_MAX on the bus.
 *
 * The record has one line per changed unit: name, original weight (-1 = not set),
 * whether that file was there (1) or not (0), our weight and the one we set before it.
 * It is written before the unit is changed and after it is put back, so a crash leaves
 * at most an undo that changes nothing. A weight that is none of these was set by a
 * person meanwhile: it is the new original, and an undo leaves it; of the file only
 * what is ours goes, since `set-property --runtime` writes the same one. */
#include "steward/lifeline.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/root.h"

#define UNIT_MAX     256
#define LINE_REST    32                         /* the numbers of a record's line */
#define PRIVATE      "unix:path=/run/systemd/private"
#define SYSTEM_BUS   "unix:path=/run/dbus/system_bus_socket"
#define CONTROL_DIR  "/run/systemd/system.control"
#define DESTINATION  "org.freedesktop.systemd1"

struct changed {
	char unit[UNIT_MAX];
	struct lifeline_record was;
	bool claimed;                   /* asked for since we started, not only found in the record */
};

struct lifeline {
	int rundir;
	char *address;
	const char *control;            /* CONTROL_DIR, or the tests' own */
	sd_bus *bus;
	unsigned n;
	struct changed changed[LIFELINE_UNITS_MAX];
};

static bool is_unit(const char *s)
{
	static const char *const suffixes[] = { ".service", ".scope", ".slice" };
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@";

	if (strlen(s) >= UNIT_MAX || s[strspn(s, allowed)] != '\0')
		return false;
	for (size_t i = 0; i < ELEMENTSOF(suffixes); i++)
		if (str_ends(s, suffixes[i]) && strlen(s) > strlen(suffixes[i]))
			return true;
	return false;
}

/* The next number of a line, after one space. */
static bool number(const char **p, long min, long max, int32_t *ret)
{
	char *end;
	long v;

	if (**p != ' ')
		return false;
	v = strtol(*p + 1, &end, 10);
	if (end == *p + 1 || v < min || v > max)
		return false;
	*p = end;
	*ret = (int32_t)v;
	return true;
}

int lifeline_parse_line(const char *line, char *unit, size_t size, struct lifeline_record *ret)
{
	const char *p = strchr(line, ' ');
	size_t n = p != NULL ? (size_t)(p - line) : 0;
	struct lifeline_record r;

	if (n == 0 || n >= size)
		return -EBADMSG;
	memcpy(unit, line, n);
	unit[n] = '\0';
	if (!is_unit(unit) || !number(&p, LIFELINE_UNSET, 10000, &r.before) || !number(&p, 0, 1, &r.dropin) ||
	    !number(&p, 1, 10000, &r.ours) || !number(&p, 1, 10000, &r.previous) || *p != '\0')
		return -EBADMSG;
	*ret = r;
	return 0;
}

bool lifeline_wrote(const char *text, int32_t weight)
{
	char line[32];
	const char *at;

	(void)str_format(line, sizeof(line), "\nCPUWeight=%d\n", weight);
	at = strstr(text, line);
	return at != NULL && strstr(at + 1, "\nCPUWeight=") == NULL;
}

static int save(struct lifeline *l)
{
	char text[LIFELINE_UNITS_MAX * (UNIT_MAX + LINE_REST)] = "";

	if (l->n == 0)
		return unlinkat(l->rundir, LIFELINE_FILE, 0) < 0 && errno != ENOENT ? -errno : 0;
	for (unsigned i = 0; i < l->n; i++)
		(void)str_appendf(text, sizeof(text), "%s %d %d %d %d\n", l->changed[i].unit, l->changed[i].was.before,
				  l->changed[i].was.dropin, l->changed[i].was.ours, l->changed[i].was.previous);
	return root_replace_file(l->rundir, LIFELINE_FILE, text, strlen(text), 0600);
}

static int load(struct lifeline *l)
{
	char text[LIFELINE_UNITS_MAX * (UNIT_MAX + LINE_REST)], *next = NULL;
	ssize_t n = root_read_file(l->rundir, LIFELINE_FILE, text, sizeof(text));

	if (n == -ENOENT)
		return 0;
	if (n < 0)
		return (int)n;
	for (char *line = strtok_r(text, "\n", &next); line != NULL && l->n < LIFELINE_UNITS_MAX; line = strtok_r(NULL, "\n", &next)) {
		struct changed *c = &l->changed[l->n];

		if (lifeline_parse_line(line, c->unit, sizeof(c->unit), &c->was) < 0)
			return -EBADMSG;
		l->n++;
	}
	return 0;
}

int lifeline_new(int rundir, const char *address, const char *control, struct lifeline **ret)
{
	struct lifeline *l = calloc(1, sizeof(*l));
	int r;

	if (l == NULL)
		return -ENOMEM;
	l->rundir = rundir;
	l->control = control != NULL ? control : CONTROL_DIR;
	if (address != NULL)
		l->address = strdup(address);
	r = address != NULL && l->address == NULL ? -ENOMEM : load(l);
	if (r < 0) {
		(void)lifeline_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

struct lifeline *lifeline_free(struct lifeline *l)
{
	if (l != NULL) {
		sd_bus_close_unref(l->bus);
		free(l->address);
		free(l);
	}
	return NULL;
}

unsigned lifeline_count(const struct lifeline *l)
{
	return l->n;
}

static int dial(const char *address, bool hello, sd_bus **ret)
{
	sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r < 0)
		return r;
	r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, hello);
	if (r >= 0)
		r = sd_bus_set_method_call_timeout(bus, LIFELINE_TIMEOUT);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0) {
		sd_bus_close_unref(bus);
		return r;
	}
	*ret = bus;
	return 0;
}

static int connect_bus(struct lifeline *l)
{
	if (l->bus != NULL)
		return 0;
	if (l->address != NULL)
		return dial(l->address, false, &l->bus);
	if (access("/run/systemd/system", F_OK) < 0)
		return -EOPNOTSUPP;
	return dial(PRIVATE, false, &l->bus) == 0 ? 0 : dial(SYSTEM_BUS, true, &l->bus);
}

/* What the bus said → what the caller can act on. */
static int understand(struct lifeline *l, sd_bus_error *e, int r)
{
	if (r >= 0)
		return 0;
	if (sd_bus_error_has_name(e, "org.freedesktop.systemd1.NoSuchUnit") || sd_bus_error_has_name(e, SD_BUS_ERROR_UNKNOWN_OBJECT) ||
	    sd_bus_error_has_name(e, SD_BUS_ERROR_UNKNOWN_PROPERTY) || sd_bus_error_has_name(e, SD_BUS_ERROR_UNKNOWN_INTERFACE))
		return -ENOENT;
	if (!sd_bus_error_is_set(e) || sd_bus_error_has_name(e, SD_BUS_ERROR_NO_REPLY) || sd_bus_error_has_name(e, SD_BUS_ERROR_TIMEOUT) ||
	    sd_bus_error_has_name(e, SD_BUS_ERROR_DISCONNECTED)) {
		sd_bus_close_unref(l->bus);
		l->bus = NULL;
	}
	return r;
}

static const char *interface_of(const char *unit)
{
	return str_ends(unit, ".slice") ? DESTINATION ".Slice" : str_ends(unit, ".scope") ? DESTINATION ".Scope" : DESTINATION ".Service";
}

static int get_string(struct lifeline *l, const char *path, const char *property, char *buf, size_t size)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	char *value = NULL;
	int r = sd_bus_get_property_string(l->bus, DESTINATION, path, DESTINATION ".Unit", property, &e, &value);

	r = understand(l, &e, r);
	if (r == 0)
		(void)str_copy(buf, size, value);
	free(value);
	sd_bus_error_free(&e);
	return r;
}

static int get_weight(struct lifeline *l, const char *unit, int32_t *ret)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	char *path = NULL, state[32];
	uint64_t v = 0;
	int r = connect_bus(l);

	if (r < 0)
		return r;
	r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path);
	if (r < 0)
		return r;
	/* systemd makes up an object for any name: only LoadState tells. */
	r = get_string(l, path, "LoadState", state, sizeof(state));
	if (r == 0 && str_equal(state, "not-found"))
		r = -ENOENT;
	if (r == 0) {
		r = sd_bus_get_property_trivial(l->bus, DESTINATION, path, interface_of(unit), "CPUWeight", &e, 't', &v);
		r = understand(l, &e, r);
	}
	if (r == 0)
		*ret = v >= 1 && v <= 10000 ? (int32_t)v : LIFELINE_UNSET;
	sd_bus_error_free(&e);
	free(path);
	return r;
}

static int put_weight(struct lifeline *l, const char *unit, int32_t weight)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	int r = connect_bus(l);

	if (r < 0)
		return r;
	r = sd_bus_call_method(l->bus, DESTINATION, "/org/freedesktop/systemd1", DESTINATION ".Manager", "SetUnitProperties", &e, NULL,
			       "sba(sv)", unit, 1, 1, "CPUWeight", "t", weight > 0 ? (uint64_t)weight : UINT64_MAX);
	r = understand(l, &e, r);
	sd_bus_error_free(&e);
	return r;
}

static void dropin_path(const struct lifeline *l, const char *unit, char *dir, char *file, size_t size)
{
	(void)str_format(dir, size, "%s/%s.d", l->control, unit);
	(void)str_format(file, size, "%s/50-CPUWeight.conf", dir);
}

static bool dropin_is_ours(const struct lifeline *l, const struct changed *c)
{
	char dir[UNIT_MAX + 64], file[UNIT_MAX + 64], text[1024];

	dropin_path(l, c->unit, dir, file, sizeof(dir));
	return root_read_file(AT_FDCWD, file, text, sizeof(text)) > 0 &&
	       (lifeline_wrote(text, c->was.ours) || lifeline_wrote(text, c->was.previous));
}

/* A failure keeps the record: what hides the administrator's CPUWeight= must not be forgotten. */
static int remove_dropin(const struct lifeline *l, const struct changed *c)
{
	char dir[UNIT_MAX + 64], file[UNIT_MAX + 64];

	dropin_path(l, c->unit, dir, file, sizeof(dir));
	if (unlink(file) < 0 && errno != ENOENT)
		return -errno;
	(void)rmdir(dir);               /* stays where it holds anything else */
	return 0;
}

/* Neither the original nor ours: somebody's newer decision. */
static bool is_theirs(const struct changed *c, int32_t now)
{
	return now != c->was.before && now != c->was.ours && now != c->was.previous;
}

static struct changed *find(struct lifeline *l, const char *unit)
{
	for (unsigned i = 0; i < l->n; i++)
		if (str_equal(l->changed[i].unit, unit))
			return &l->changed[i];
	return NULL;
}

static int forget(struct lifeline *l, struct changed *c)
{
	*c = l->changed[--l->n];
	return save(l);
}

int lifeline_set(struct lifeline *l, const char *unit, int32_t weight, int32_t *ret_before, int32_t *ret_after)
{
	char dir[UNIT_MAX + 64], file[UNIT_MAX + 64];
	struct changed *c = find(l, unit);
	int32_t now = LIFELINE_UNSET;
	int r;

	if (!is_unit(unit) || weight < 1 || weight > 10000)
		return -EINVAL;
	r = get_weight(l, unit, &now);
	if (r < 0)
		return r;
	if (c == NULL) {
		if (l->n == LIFELINE_UNITS_MAX)
			return -ENOSPC;
		dropin_path(l, unit, dir, file, sizeof(dir));
		c = &l->changed[l->n++];
		(void)str_copy(c->unit, sizeof(c->unit), unit);
		c->was = (struct lifeline_record){ .before = now, .dropin = access(file, F_OK) == 0, .ours = weight, .previous = weight };
		r = save(l);
		if (r < 0) {
			l->n--;
			return r;
		}
	} else if (is_theirs(c, now) || weight != c->was.ours) {
		struct lifeline_record was = c->was;

		dropin_path(l, unit, dir, file, sizeof(dir));
		if (is_theirs(c, now)) {
			c->was.before = now;
			c->was.dropin = access(file, F_OK) == 0 && !dropin_is_ours(l, c);
		}
		c->was.previous = was.ours;
		c->was.ours = weight;
		r = save(l);
		if (r < 0) {
			c->was = was;
			return r;
		}
	}
	if (now != weight) {
		r = put_weight(l, unit, weight);
		if (r == -ENOENT)
			(void)forget(l, c);
		if (r < 0)
			return r;
		r = get_weight(l, unit, &now);
		if (r < 0)
			return r;
	}
	c->claimed = true;
	*ret_before = c->was.before;
	*ret_after = now;
	return 0;
}

int lifeline_undo(struct lifeline *l, const char *unit, int32_t *ret_now)
{
	struct changed *c = find(l, unit);
	int32_t now = LIFELINE_UNSET;
	int r;

	if (c == NULL)
		return -ENOENT;
	c->claimed = false;             /* nobody wants it any more: where this fails, it is tried again */
	r = get_weight(l, c->unit, &now);
	if (r == 0 && is_theirs(c, now)) {
		if (dropin_is_ours(l, c))       /* theirs is elsewhere, and may be taken away again */
			r = remove_dropin(l, c);
		*ret_now = now;
		return r < 0 ? r : forget(l, c);
	}
	if (r == 0)
		r = put_weight(l, c->unit, c->was.before);
	if (r < 0 && r != -ENOENT)
		return r;
	r = c->was.dropin ? 0 : remove_dropin(l, c);
	if (r < 0)
		return r;
	*ret_now = c->was.before;
	return forget(l, c);
}

static int undo(struct lifeline *l, bool claimed_too)
{
	int first = 0;

	for (unsigned i = l->n; i > 0; i--) {
		int32_t now;
		int r;

		if (l->changed[i - 1].claimed && !claimed_too)
			continue;
		r = lifeline_undo(l, l->changed[i - 1].unit, &now);

		if (r < 0 && first == 0)
			first = r;
		if (r == -ETIMEDOUT || r == -EOPNOTSUPP)
			break;                  /* the others would take as long */
	}
	return first;
}

int lifeline_undo_all(struct lifeline *l)
{
	return undo(l, true);
}

int lifeline_undo_unclaimed(struct lifeline *l)
{
	return undo(l, false);
}
