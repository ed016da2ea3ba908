/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: the table
 *
 * A row names a key, the type of its value and the field it goes to. ROW() picks the
 * type's functions by _Generic over the field's own C type, so a row whose parser
 * and field disagree does not compile. Everything else (what is accepted, what is
 * printed, what the manual says, what the tests try) is read from the row, and a
 * new key is one row.
 *
 * A parser writes straight into a field and only on success. Its messages quote what
 * was written (escaped: it is anybody's text) and end in what is right.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/suggest.h"
#include "conf/keys.h"

#define QUOTE_MAX 80    /* bytes of the value shown in a message */

const struct guard_settings GUARD_SETTINGS_DEFAULT = {
	.probe = PROBE_AUTO,
	.recorder_bytes = 16 << 20,
	.lifeline = true,
};

const char *probe_mode_to_string(enum probe_mode mode)
{
	static const char *const names[_PROBE_MAX] = { "auto", "always", "off" };

	return (unsigned)mode < _PROBE_MAX ? names[mode] : "?";
}

int key_wrong(struct key_error *e, size_t at, const char *value, const char *format, ...)
{
	char quoted[QUOTE_MAX];
	va_list ap;
	size_t n;

	e->at = at;
	(void)str_format(e->why, sizeof(e->why), "\"%s\" ", str_escape(quoted, sizeof(quoted), value));
	n = strlen(e->why);
	va_start(ap, format);
	(void)vsnprintf(e->why + n, sizeof(e->why) - n, format, ap);
	va_end(ap);
	return -EINVAL;
}

static bool is_bare_number(const char *value)
{
	return *value && strspn(value, "0123456789.") == strlen(value);
}

/* ---- shares and times ---- */

/* Would it be taken with that behind it? What is advised must be. */
static bool share_fits(const char *value, const char *unit, uint64_t min, uint64_t max)
{
	char text[QUOTE_MAX];
	permyriad_t v;

	return str_format(text, sizeof(text), "%s%s", value, unit) && units_parse_permyriad(text, &v) == 0 &&
	       (uint64_t)v >= min && (uint64_t)v <= max;
}

static bool time_fits(const char *value, const char *unit, uint64_t min, uint64_t max)
{
	char text[QUOTE_MAX];
	usec_t v;

	return str_format(text, sizeof(text), "%s%s", value, unit) && units_parse_usec(text, &v) == 0 && v >= min && v <= max;
}

static int share_at(const char *value, size_t at, uint64_t min, uint64_t max, permyriad_t *field, struct key_error *e)
{
	char lo[UNITS_TEXT_MAX], hi[UNITS_TEXT_MAX];
	permyriad_t v = 0;
	int r = units_parse_permyriad(value, &v);

	if (r == -EINVAL && is_bare_number(value) && share_fits(value, "%", min, max))
		return key_wrong(e, at, value, "has no unit; write \"%s%%\"", value);
	if (r == -EINVAL && is_bare_number(value))
		return key_wrong(e, at, value, "has no unit; write a share from %s to %s",
			     units_format_permyriad((permyriad_t)min, lo), units_format_permyriad((permyriad_t)max, hi));
	if (r == -EINVAL)
		return key_wrong(e, at, value, "is no share; write one such as 25%% or 2.5%%");
	if (r < 0 || (uint64_t)v < min || (uint64_t)v > max)
		return key_wrong(e, at, value, "is out of range; %s to %s are right",
			     units_format_permyriad((permyriad_t)min, lo), units_format_permyriad((permyriad_t)max, hi));
	*field = v;
	return 0;
}

static int time_at(const char *value, size_t at, uint64_t min, uint64_t max, usec_t *field, struct key_error *e)
{
	char lo[UNITS_TEXT_MAX], hi[UNITS_TEXT_MAX];
	size_t n = strlen(value);
	usec_t v = 0;
	int r = units_parse_usec(value, &v);

	if (r == -EINVAL && is_bare_number(value) && time_fits(value, "s", min, max))
		return key_wrong(e, at, value, "has no unit; write \"%ss\" for seconds", value);
	if (r == -EINVAL && is_bare_number(value))
		return key_wrong(e, at, value, "has no unit; write a time from %s to %s", units_format_usec(min, lo), units_format_usec(max, hi));
	if (r == -EINVAL && n > 1 && n < QUOTE_MAX && value[n - 1] == 'm' && value[n - 2] >= '0' && value[n - 2] <= '9') {
		bool minutes = time_fits(value, "in", min, max), millis = time_fits(value, "s", min, max);

		if (minutes && millis)
			return key_wrong(e, at, value, "could be minutes or milliseconds; write \"%sin\" or \"%ss\"", value, value);
		if (minutes || millis)
			return key_wrong(e, at, value, "could be minutes or milliseconds; write \"%s%s\"", value, minutes ? "in" : "s");
		return key_wrong(e, at, value, "could be minutes or milliseconds; write a time from %s to %s",
			     units_format_usec(min, lo), units_format_usec(max, hi));
	}
	if (r == -EINVAL)
		return key_wrong(e, at, value, "is no time; write one such as 300ms, 5s, 15min or 1h 30min");
	if (r < 0 || v < min || v > max)
		return key_wrong(e, at, value, "is out of range; %s to %s are right",
			     units_format_usec(min, lo), units_format_usec(max, hi));
	*field = v;
	return 0;
}

static int share_parse(const struct key *key, const char *value, void *field, struct key_error *e)
{
	return share_at(value, 0, key->min, key->max, field, e);
}

static bool share_print(const struct key *key, const void *field, char *buf, size_t size)
{
	char text[UNITS_TEXT_MAX];
	permyriad_t v = *(const permyriad_t *)field;

	(void)key;
	return v >= 0 && str_copy(buf, size, units_format_permyriad(v, text));
}

static int time_parse(const struct key *key, const char *value, void *field, struct key_error *e)
{
	return time_at(value, 0, key->min, key->max, field, e);
}

static bool time_print(const struct key *key, const void *field, char *buf, size_t size)
{
	char text[UNITS_TEXT_MAX];
	usec_t v = *(const usec_t *)field;

	(void)key;
	return v != USEC_INFINITY && str_copy(buf, size, units_format_usec(v, text));
}

/* ---- When=wait > 20% for 300ms: the field is `wait`, `wait_for` belongs to it ---- */

static int when_parse(const struct key *key, const char *value, void *field, struct key_error *e)
{
	struct policy *p = (struct policy *)((char *)field - offsetof(struct policy, wait));
	static const char form[] = "write When=wait > 20% for 300ms";
	usec_t wait_for = USEC_INFINITY;
	permyriad_t wait = PERMYRIAD_UNKNOWN;
	char word[KEY_TEXT_MAX];
	const char *s = value;
	size_t n;

	n = strcspn(s, " \t>");
	if (n != 4 || memcmp(s, "wait", 4) != 0)
		return key_wrong(e, 0, value, "does not begin with wait, the one thing that is measured; %s", form);
	s += n;
	s += strspn(s, " \t");
	if (*s != '>' || s[1] == '=')
		return key_wrong(e, (size_t)(s - value), value, "has no > behind wait; %s", form);
	s++;
	s += strspn(s, " \t");
	n = strcspn(s, " \t");
	if (n == 0)
		return key_wrong(e, (size_t)(s - value), value, "has no share behind the >; %s", form);
	if (s[n + strspn(s + n, " \t")] == '%') {      /* 60 %, as 30 min is a time */
		n += strspn(s + n, " \t");
		n += strcspn(s + n, " \t");
	}
	(void)str_copy(word, MIN(n + 1, sizeof(word)), s);
	if (share_at(word, (size_t)(s - value), key->min, key->max, &wait, e) < 0)
		return -EINVAL;
	s += n;
	s += strspn(s, " \t");
	if (*s != 0) {
		if (!str_starts(s, "for") || !str_is_space(s[3]))
			return key_wrong(e, (size_t)(s - value), s, "is not understood; %s", form);
		s += 3;
		s += strspn(s, " \t");
		if (time_at(s, (size_t)(s - value), 0, USEC_PER_HOUR, &wait_for, e) < 0)
			return -EINVAL;
	}
	p->wait = wait;
	p->wait_for = wait_for;
	return 0;
}

static bool when_print(const struct key *key, const void *field, char *buf, size_t size)
{
	const struct policy *p = (const struct policy *)((const char *)field - offsetof(struct policy, wait));
	char share[UNITS_TEXT_MAX], lasting[UNITS_TEXT_MAX];

	(void)key;
	if (p->wait < 0)
		return false;
	(void)str_format(buf, size, "wait > %s", units_format_permyriad(p->wait, share));
	if (p->wait_for != USEC_INFINITY)
		(void)str_appendf(buf, size, " for %s", units_format_usec(p->wait_for, lasting));
	return true;
}

/* ---- numbers, yes and no, text ---- */

static int number_parse(const struct key *key, const char *value, void *field, struct key_error *e)
{
	uint64_t v = 0;

	if (*value == 0 || strspn(value, "0123456789") != strlen(value))
		return key_wrong(e, 0, value, "is no number; write one from %" PRIu64 " to %" PRIu64, key->min, key->max);
	if (strlen(value) > 9 || (v = strtoull(value, NULL, 10)) < key->min || v > key->max)
		return key_wrong(e, 0, value, "is out of range; %" PRIu64 " to %" PRIu64 " are right", key->min, key->max);
	*(int32_t *)field = (int32_t)v;
	return 0;
}

static bool number_print(const struct key *key, const void *field, char *buf, size_t size)
{
	(void)key;
	return *(const int32_t *)field >= 0 && str_format(buf, size, "%" PRId32, *(const int32_t *)field);
}

static int bytes_parse(const struct key *key, const char *value, void *field, struct key_error *e)
{
	char lo[UNITS_TEXT_MAX], hi[UNITS_TEXT_MAX];
	uint64_t v = 0;
	int r = units_parse_bytes(value, &v);

	if (r == -EINVAL)
		return key_wrong(e, 0, value, "is no size; write one such as 64K, 16M or 1.5G");
	if (r < 0 || (v != 0 && v < key->min) || v > key->max)
		return key_wrong(e, 0, value, "is out of range; 0 (none) or %s to %s are right",
			     units_format_bytes(key->min, lo), units_format_bytes(key->max, hi));
	*(uint64_t *)field = v;
	return 0;
}

static bool bytes_print(const struct key *key, const void *field, char *buf, size_t size)
{
	char text[UNITS_TEXT_MAX];

	(void)key;
	return str_copy(buf, size, units_format_bytes(*(const uint64_t *)field, text));
}

static int yesno_parse(const struct key *key, const char *value, void *field, struct key_error *e)
{
	static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off", "0" };
	size_t i;

	(void)key;
	for (i = 0; i < ELEMENTSOF(yes); i++)
		if (str_equal(value, yes[i]) || str_equal(value, no[i])) {
			*(bool *)field = str_equal(value, yes[i]);
			return 0;
		}
	return key_wrong(e, 0, value, "is neither yes nor no");
}

static bool yesno_print(const struct key *key, const void *field, char *buf, size_t size)
{
	(void)key;
	return str_copy(buf, size, *(const bool *)field ? "yes" : "no");
}

/* Room for the terminating NUL is what max counts. */
static int url_parse(const struct key *key, const char *value, void *field, struct key_error *e)
{
	if (strcspn(value, " \t") != strlen(value))
		return key_wrong(e, strcspn(value, " \t"), value, "has a space in it; a URL has none");
	if (strlen(value) >= key->max)
		return key_wrong(e, 0, value, "is too long; at most %" PRIu64 " bytes are taken", key->max - 1);
	if (!str_starts(value, "http://"))
		return key_wrong(e, 0, value, "is not asked for; write http:// and an address of this machine itself, "
			     "such as http://127.0.0.1:8080/health");
	memset(field, 0, key->max);
	(void)str_copy(field, key->max, value);
	return 0;
}

static bool url_print(const struct key *key, const void *field, char *buf, size_t size)
{
	(void)key;
	return *(const char *)field != 0 && str_copy(buf, size, field);
}

/* ---- one word of a few ---- */

static int choose(const char *const *names, unsigned first, unsigned n, const char *value, unsigned *ret, struct key_error *e)
{
	char list[160] = "";
	struct suggest near;
	unsigned i;

	suggest_init(&near, value);
	for (i = first; i < n; i++) {
		if (str_equal(names[i], value)) {
			*ret = i;
			return 0;
		}
		suggest_offer(&near, names[i]);
		(void)str_appendf(list, sizeof(list), "%s%s", i == first ? "" : i + 1 == n ? " and " : ", ", names[i]);
	}
	if (suggest_best(&near) != NULL)
		return key_wrong(e, 0, value, "is not one of %s; did you mean %s?", list, suggest_best(&near));
	return key_wrong(e, 0, value, "is not one of %s", list);
}

#define DEFINE_CHOICE(x, type, to_string, first, last, unset)                                           \
static int x##_parse(const struct key *key, const char *value, void *field, struct key_error *e)        \
{                                                                                                       \
	const char *names[last];                                                                        \
	unsigned i, v = 0;                                                                              \
	int r;                                                                                          \
													\
	(void)key;                                                                                      \
	for (i = 0; i < last; i++)                                                                      \
		names[i] = to_string((type)i);                                                          \
	r = choose(names, first, last, value, &v, e);                                                   \
	if (r == 0)                                                                                     \
		*(type *)field = (type)v;                                                               \
	return r;                                                                                       \
}                                                                                                       \
static bool x##_print(const struct key *key, const void *field, char *buf, size_t size)                 \
{                                                                                                       \
	int v = (int)*(const type *)field;                                                              \
													\
	(void)key;                                                                                      \
	return v != (int)(unset) && str_copy(buf, size, to_string((type)v));                            \
}

DEFINE_CHOICE(mode, enum mode, mode_to_string, 0, _MODE_MAX, -1)
DEFINE_CHOICE(rung, enum rung, rung_to_string, RUNG_WEIGHT, _RUNG_MAX, RUNG_NONE)
DEFINE_CHOICE(importance, enum importance, importance_to_string, 0, IMPORTANCE_NONE, IMPORTANCE_NONE)
DEFINE_CHOICE(probe, enum probe_mode, probe_mode_to_string, 0, _PROBE_MAX, -1)

/* Lists have no value of their own: the loader keeps their words. */
static int list_parse(const struct key *key, const char *value, void *field, struct key_error *e)
{
	(void)key, (void)value, (void)field, (void)e;
	return -EINVAL;
}

static bool list_print(const struct key *key, const void *field, char *buf, size_t size)
{
	(void)key, (void)field, (void)buf, (void)size;
	return false;
}

static const struct key_type TYPE_SHARE      = { "share", share_parse, share_print, false };
static const struct key_type TYPE_WHEN       = { "condition", when_parse, when_print, false };
static const struct key_type TYPE_TIME       = { "time", time_parse, time_print, false };
static const struct key_type TYPE_NUMBER     = { "number", number_parse, number_print, false };
static const struct key_type TYPE_BYTES      = { "size", bytes_parse, bytes_print, false };
static const struct key_type TYPE_YESNO      = { "yes or no", yesno_parse, yesno_print, false };
static const struct key_type TYPE_URL        = { "URL", url_parse, url_print, false };
static const struct key_type TYPE_MODE       = { "mode", mode_parse, mode_print, false };
static const struct key_type TYPE_RUNG       = { "rung", rung_parse, rung_print, false };
static const struct key_type TYPE_IMPORTANCE = { "importance", importance_parse, importance_print, false };
static const struct key_type TYPE_PROBE      = { "choice", probe_parse, probe_print, false };
static const struct key_type TYPE_LIST       = { "patterns", list_parse, list_print, true };

/* The type by the field's own: a row that says SHARE for a usec_t does not compile.
 * permyriad_t and Weight's int32_t are one C type, so there the row decides. */
#define CHECK_SHARE(f)      _Generic(&(f), permyriad_t *: &TYPE_SHARE)
#define CHECK_WHEN(f)       _Generic(&(f), permyriad_t *: &TYPE_WHEN)
#define CHECK_TIME(f)       _Generic(&(f), usec_t *: &TYPE_TIME)
#define CHECK_NUMBER(f)     _Generic(&(f), int32_t *: &TYPE_NUMBER)
#define CHECK_BYTES(f)      _Generic(&(f), uint64_t *: &TYPE_BYTES)
#define CHECK_YESNO(f)      _Generic(&(f), bool *: &TYPE_YESNO)
#define CHECK_URL(f)        _Generic(&(f), char (*)[192]: &TYPE_URL)
#define CHECK_MODE(f)       _Generic(&(f), enum mode *: &TYPE_MODE)
#define CHECK_RUNG(f)       _Generic(&(f), enum rung *: &TYPE_RUNG)
#define CHECK_IMPORTANCE(f) _Generic(&(f), enum importance *: &TYPE_IMPORTANCE)
#define CHECK_PROBE(f)      _Generic(&(f), enum probe_mode *: &TYPE_PROBE)
#define CHECK_LIST(f)       _Generic(&(f), uint16_t *: &TYPE_LIST)

#define ROW_TO(sec, key, kind, str, member, last, lo, hi, text) \
	{ SECTION_##sec, key, CHECK_##kind(((str *)0)->member), offsetof(str, member), \
	  offsetof(str, last) + sizeof(((str *)0)->last) - offsetof(str, member), \
	  __builtin_types_compatible_p(str, struct guard_settings), _MATCH_MAX, lo, hi, text }
#define ROW(sec, key, kind, str, member, lo, hi, text) ROW_TO(sec, key, kind, str, member, member, lo, hi, text)
#define MATCH(sec, key, kind, text) \
	{ SECTION_##sec, key, CHECK_LIST(((struct policy *)0)->glob_first), offsetof(struct policy, glob_first), \
	  0, false, kind, 0, 0, text }
#define MATCHES(sec) \
	MATCH(sec, "Units", MATCH_UNITS, "systemd units, such as nginx or backup-*.service."), \
	MATCH(sec, "Containers", MATCH_CONTAINERS, "Containers by name (Docker, containerd, podman), such as report-*."), \
	MATCH(sec, "Cgroups", MATCH_CGROUPS, "Cgroups by path from the root of the hierarchy, such as /system.slice/batch-*; * also matches /."), \
	MATCH(sec, "Processes", MATCH_PROCESSES, "The cgroups in which processes of this name run (as ps -o comm shows it)."), \
	MATCH(sec, "Users", MATCH_USERS, "Sessions and user services of these users: names, or numbers with * and ?."), \
	MATCH(sec, "Except", MATCH_EXCEPT, "Takes away from what the keys above name: paths, or names of units and containers.")

#define MS USEC_PER_MSEC
#define S  USEC_PER_SEC

const struct key KEYS[] = {
	ROW(RELIEF, "Mode", MODE, struct settings, mode, 0, 0,
	    "observe decides and logs; rescue acts when the way into the machine is measurably dead; enforce acts as the policies say."),
	ROW(RELIEF, "RescueLogin", TIME, struct settings, rescue_login, S, 300 * S,
	    "In rescue mode: a login that would take longer than this is a dead way in."),
	ROW(RELIEF, "RescueFor", TIME, struct settings, rescue_for, S, USEC_PER_HOUR, "It must have been dead for so long."),
	ROW(RELIEF, "LoginCost", TIME, struct settings, login_cost, 10 * MS, 10 * S,
	    "The CPU time of one login on an idle machine, from which its time under load is estimated."),
	ROW(RELIEF, "RescueShare", SHARE, struct settings, rescue_share, 100, 9000,
	    "Of the machine, what all that is squeezed in rescue mode keep together."),
	ROW(RELIEF, "RescueAtMost", TIME, struct settings, rescue_at_most, 5 * S, 24 * USEC_PER_HOUR,
	    "A squeeze of rescue mode ends after this by itself."),
	ROW(RELIEF, "Alarm", SHARE, struct settings, alarm, 100, 9000,
	    "CPU pressure (the part of the time in which some task waits) from which the guard looks closely."),
	ROW(RELIEF, "CalmTick", TIME, struct settings, calm_tick, 20 * MS, 2 * S, "How often the pressure is read in calm."),
	ROW(RELIEF, "AlarmTick", TIME, struct settings, alarm_tick, 20 * MS, S, "How often the machine is measured under pressure."),
	ROW(RELIEF, "Probe", PROBE, struct guard_settings, probe, 0, 0,
	    "The BPF probe: auto attaches it while there is pressure, always keeps it attached, off measures without."),
	ROW(RELIEF, "FlightRecorder", BYTES, struct guard_settings, recorder_bytes, 64 << 10, 1 << 30,
	    "Bound of the record of everything seen and done, for reprieve replay; 0 keeps none."),
	ROW(RELIEF, "Lifeline", YESNO, struct guard_settings, lifeline, 0, 0,
	    "Whether the Weight= of [Protect] sections is given in rescue and enforce mode."),

	MATCHES(PROTECT),
	ROW(PROTECT, "As", IMPORTANCE, struct policy, as, 0, 0,
	    "What it is to people, most important first: login, database, health, system (the default)."),
	ROW(PROTECT, "Weight", NUMBER, struct policy, weight, 100, 10000,
	    "CPU weight it gets beforehand in rescue and enforce mode; unset leaves it alone. 100 is every cgroup's default."),
	ROW(PROTECT, "Young", TIME, struct policy, for_first, S, 24 * USEC_PER_HOUR,
	    "Protects a cgroup only for so long after it was made: a login session, since a runaway may have been started in one."),

	MATCHES(THROTTLE),
	ROW_TO(THROTTLE, "When", WHEN, struct policy, wait, wait_for, 100, 9900,
	    "Of the CPU time that protected tasks wanted, the part they waited for others: wait > 20% for 300ms. "
	    "50% is one equal neighbour, 75% (the default, for 100ms) four times slower, 98% as good as dead."),
	ROW(THROTTLE, "MinShare", SHARE, struct policy, min_share, 100, 9000,
	    "Of the machine, what all that this policy squeezes keep together. 25% if unset."),
	ROW(THROTTLE, "AtMost", TIME, struct policy, at_most, 5 * S, 24 * USEC_PER_HOUR,
	    "A squeeze ends after this by itself. 30min if unset."),
	ROW(THROTTLE, "Ladder", RUNG, struct policy, most, 0, 0,
	    "The highest rung allowed: weight, quota, tasks (the default), jail, pids, freeze, kill. "
	    "Only kill cannot be undone, and it happens only where it is written."),
	ROW(THROTTLE, "UsefulWork", YESNO, struct policy, useful, 0, 0,
	    "It does work that people wait for: it gets a lower weight, and more only for the sake of something more important."),

	MATCHES(ENDPOINT),
	ROW(ENDPOINT, "URL", URL, struct policy, url, 0, sizeof(((struct policy *)0)->url),
	    "Health check of this machine's own, http:// on a loopback address; an answer 2xx or 3xx is a good one."),
	ROW(ENDPOINT, "Timeout", TIME, struct policy, timeout, 10 * MS, USEC_PER_MIN, "No answer after this is a bad one. 2s if unset."),
	ROW(ENDPOINT, "Good", TIME, struct policy, good, MS, USEC_PER_MIN, "An answer within this is a good one. 500ms if unset."),
};

const size_t KEYS_N = ELEMENTSOF(KEYS);
_Static_assert(ELEMENTSOF(KEYS) <= KEYS_MAX, "KEYS_MAX");
_Static_assert(offsetof(struct policy, wait_for) == offsetof(struct policy, wait) + sizeof(usec_t), "When= is one piece");

static const char *const SECTIONS[_SECTION_MAX] = { "Relief", "Protect", "Throttle", "Endpoint" };

const char *section_to_string(enum section section)
{
	return (unsigned)section < _SECTION_MAX ? SECTIONS[section] : "?";
}

int section_from_string(const char *name)
{
	int i;

	for (i = 0; i < _SECTION_MAX; i++)
		if (str_equal(SECTIONS[i], name))
			return i;
	return -1;
}

const struct key *key_find(enum section section, const char *name)
{
	size_t i;

	for (i = 0; i < KEYS_N; i++)
		if (KEYS[i].section == section && str_equal(KEYS[i].name, name))
			return &KEYS[i];
	return NULL;
}

const char *keys_document(enum section section, char *buf, size_t size)
{
	size_t i;

	(void)str_format(buf, size, "[%s%s]\n", section_to_string(section), section == SECTION_RELIEF ? "" : " NAME");
	for (i = 0; i < KEYS_N; i++)
		if (KEYS[i].section == section)
			(void)str_appendf(buf, size, "\n%s= (%s)\n    %s\n", KEYS[i].name, KEYS[i].type->name, KEYS[i].doc);
	return buf;
}
