/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: the values an administrator may wish for
 *
 * One place says what an unset key means (policy_defaults) and one what a set must
 * be to be acted on (policy_validate). conf/ refuses most of it earlier, with line
 * and column; this check is the one the engine relies on, also for a set that came
 * out of a flight record's header or of a test. It is pure, so the fuzzer and the
 * replay ask the very same question.
 *
 * A time is unset as USEC_INFINITY, a share and a weight as -1, a rung as NONE:
 * none of them is a value that validates, so "unset" cannot be mistaken for a wish.
 *
 * Kill needs no check here: the default rung is `tasks`, and only Ladder=kill sets it.
 */

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "base/str.h"
#include "core/policy.h"

#define WEIGHT_DEFAULT  100     /* of a cgroup, on the v2 scale */
#define OWN_WEIGHT      2000    /* of the guard's unit; a quarter for the helpers' */

const struct settings SETTINGS_DEFAULT = {
	.mode = MODE_RESCUE,
	.rescue_login = 5 * USEC_PER_SEC,
	.rescue_for = 20 * USEC_PER_SEC,
	.login_cost = 350 * USEC_PER_MSEC,
	.rescue_share = 2500,
	.rescue_at_most = 15 * USEC_PER_MIN,
	.alarm = 1000,
	.calm_tick = 250 * USEC_PER_MSEC,
	.alarm_tick = 100 * USEC_PER_MSEC,
};

const struct policy POLICY_INIT = {
	.as = IMPORTANCE_NONE,
	.weight = -1,
	.for_first = USEC_INFINITY,
	.wait = PERMYRIAD_UNKNOWN,
	.wait_for = USEC_INFINITY,
	.min_share = PERMYRIAD_UNKNOWN,
	.at_most = USEC_INFINITY,
	.most = RUNG_NONE,
	.timeout = USEC_INFINITY,
	.good = USEC_INFINITY,
};

void policy_defaults(struct policy *p)
{
	switch (p->kind) {
	case POLICY_PROTECT:
		if (p->as == IMPORTANCE_NONE)
			p->as = IMPORTANCE_SYSTEM;
		break;
	case POLICY_THROTTLE:
		if (p->wait < 0)
			p->wait = 7500;         /* protected tasks run four times slower */
		if (p->wait_for == USEC_INFINITY)
			p->wait_for = 100 * USEC_PER_MSEC;
		if (p->min_share < 0)
			p->min_share = 2500;
		if (p->at_most == USEC_INFINITY)
			p->at_most = 30 * USEC_PER_MIN;
		if (p->most == RUNG_NONE)
			p->most = RUNG_TASKS;
		break;
	case POLICY_ENDPOINT:
		p->as = IMPORTANCE_HEALTH;
		if (p->timeout == USEC_INFINITY)
			p->timeout = 2 * USEC_PER_SEC;
		if (p->good == USEC_INFINITY)
			p->good = MIN(500 * USEC_PER_MSEC, p->timeout);
		break;
	}
}

/* Text in a field of `size` bytes: ended, not longer than it says, only printable. */
static bool is_text(const char *s, size_t size, bool empty_is_good)
{
	size_t i;

	for (i = 0; i < size && s[i] != 0; i++)
		if ((unsigned char)s[i] <= 0x20 || (unsigned char)s[i] == 0x7f)
			return false;
	return i < size && (i > 0 || empty_is_good);
}

static bool is_name(const char *s)
{
	if (!is_text(s, NAME_TEXT_MAX, false))
		return false;
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
		      *s == '-' || *s == '_' || *s == '.' || *s == '@'))
			return false;
	return true;
}

static const char *url_check(const char *url)
{
	static const char form[] = "URL must be http:// and an address of this machine itself, such as http://127.0.0.1:8080/health";
	const char *host, *end;
	unsigned port = 0;

	if (!str_starts(url, "http://"))
		return form;
	host = url + strlen("http://");
	end = host + strcspn(host, "/?#");
	if (memchr(host, '@', (size_t)(end - host)) != NULL)
		return "URL must not carry a user or password";
	if (str_starts(host, "[::1]"))
		host += 5;
	else if (str_starts(host, "localhost"))
		host += 9;
	else if (str_starts(host, "127.")) {
		unsigned dots = 0, digits = 0, value = 0;

		for (; (*host >= '0' && *host <= '9') || *host == '.'; host++) {
			if (*host == '.') {
				if (digits == 0)
					return form;
				dots++, digits = 0, value = 0;
			} else {
				value = value * 10 + (unsigned)(*host - '0');
				if (++digits > 3 || value > 255)
					return form;
			}
		}
		if (dots != 3 || digits == 0)
			return form;
	} else
		return form;
	if (host == end)
		return NULL;
	if (*host++ != ':' || host == end)
		return form;
	for (; host < end; host++) {
		if (*host < '0' || *host > '9')
			return form;
		port = MIN(port * 10 + (unsigned)(*host - '0'), 65536u);
	}
	return port >= 1 && port <= 65535 ? NULL : "the URL's port must be 1 to 65535";
}

#define BETWEEN(v, lo, hi) ((v) >= (lo) && (v) <= (hi))

/* What is wrong, or NULL. Each sentence says what is right. */
static const char *settings_check(const struct settings *s)
{
	if ((unsigned)s->mode >= _MODE_MAX)
		return "Mode must be observe, rescue or enforce";
	if (!BETWEEN(s->rescue_login, USEC_PER_SEC, 5 * USEC_PER_MIN))
		return "RescueLogin must be from 1s to 5min";
	if (!BETWEEN(s->rescue_for, USEC_PER_SEC, USEC_PER_HOUR))
		return "RescueFor must be from 1s to 1h";
	if (!BETWEEN(s->login_cost, 10 * USEC_PER_MSEC, 10 * USEC_PER_SEC))
		return "LoginCost must be from 10ms to 10s";
	if (s->login_cost >= s->rescue_login)
		return "LoginCost must be less than RescueLogin, or an idle machine would look dead";
	if (!BETWEEN(s->rescue_share, 100, 9000))
		return "RescueShare must be from 1% to 90%";
	if (!BETWEEN(s->rescue_at_most, 5 * USEC_PER_SEC, 24 * USEC_PER_HOUR))
		return "RescueAtMost must be from 5s to 1d: a squeeze always ends";
	if (!BETWEEN(s->alarm, 100, 9000))
		return "Alarm must be from 1% to 90%";
	if (!BETWEEN(s->alarm_tick, 20 * USEC_PER_MSEC, USEC_PER_SEC))
		return "AlarmTick must be from 20ms to 1s";
	if (!BETWEEN(s->calm_tick, s->alarm_tick, 2 * USEC_PER_SEC))
		return "CalmTick must be from AlarmTick to 2s";
	return NULL;
}

/* `named`: patterns but Except=. */
static const char *policy_check(const struct policy *p, unsigned named)
{
	if (!is_name(p->name))
		return "a section's name is made of letters, digits and - _ . @";
	switch (p->kind) {
	case POLICY_PROTECT:
		if ((unsigned)p->as >= IMPORTANCE_NONE)
			return "As must be login, database, health or system";
		if (named == 0)
			return "it protects nothing; name something with Units=, Containers=, Cgroups=, Processes= or Users=";
		if (p->weight != -1 && !BETWEEN(p->weight, 100, 10000))
			return "Weight must be from 100 (the default of every cgroup) to 10000";
		if (p->for_first != USEC_INFINITY && !BETWEEN(p->for_first, USEC_PER_SEC, 24 * USEC_PER_HOUR))
			return "Young must be from 1s to 1d";
		return NULL;
	case POLICY_THROTTLE:
		if (named == 0)
			return "it may squeeze nothing; name something with Units=, Containers=, Cgroups=, Processes= or Users=; "
			       "Cgroups=* is everything that is not protected";
		if (!BETWEEN(p->wait, 100, 9900))
			return "When=wait must be from 1% to 99%";
		if (p->wait_for > USEC_PER_HOUR)
			return "the time in When= must be at most 1h";
		if (!BETWEEN(p->min_share, 100, 9000))
			return "MinShare must be from 1% to 90%: less starves what is squeezed, more squeezes nothing";
		if (!BETWEEN(p->at_most, 5 * USEC_PER_SEC, 24 * USEC_PER_HOUR))
			return "AtMost must be from 5s to 1d: a squeeze always ends";
		if (p->wait_for >= p->at_most)
			return "the time in When= must be less than AtMost";
		if (p->most <= RUNG_NONE || p->most >= _RUNG_MAX)
			return "Ladder must be weight, quota, tasks, jail, pids, freeze or kill";
		if (p->useful && p->most > RUNG_TASKS)
			return "UsefulWork=yes and a Ladder above tasks contradict each other";
		return NULL;
	case POLICY_ENDPOINT:
		if (p->as != IMPORTANCE_HEALTH)
			return "an endpoint is of importance health";
		if (!is_text(p->url, sizeof(p->url), false))
			return "it has no URL; write URL=http://127.0.0.1:8080/health";
		if (url_check(p->url) != NULL)
			return url_check(p->url);
		if (!BETWEEN(p->timeout, 10 * USEC_PER_MSEC, USEC_PER_MIN))
			return "Timeout must be from 10ms to 1min";
		if (!BETWEEN(p->good, USEC_PER_MSEC, p->timeout))
			return "Good must be from 1ms to Timeout";
		return NULL;
	}
	return "the section's type is unknown";
}

int policy_validate(const struct policy_set *set, int *ret_index, char *ret_why, size_t size)
{
	const char *why;
	unsigned endpoints = 0, globs = 0;
	int i = -1, j;

	why = settings_check(&set->settings);
	if (why != NULL)
		goto bad;
	if (set->n_policies > MAX_POLICIES || set->n_globs > MAX_GLOBS) {
		why = "there are more sections or patterns than fit";
		goto bad;
	}
	for (i = 0; i < set->n_policies; i++) {
		const struct policy *p = &set->policies[i];

		unsigned named = 0;

		if (p->glob_first != globs || p->glob_n > set->n_globs - globs) {
			why = "its patterns are not its own";
			goto bad;
		}
		globs += p->glob_n;
		for (j = p->glob_first; j < p->glob_first + p->glob_n; j++) {
			if (set->globs[j].kind >= _MATCH_MAX || !is_text(set->globs[j].text, GLOB_TEXT_MAX, false)) {
				why = "a pattern is empty, too long or has a space in it";
				goto bad;
			}
			named += set->globs[j].kind != MATCH_EXCEPT;
		}
		why = policy_check(p, named);
		if (why != NULL)
			goto bad;
		if (p->kind == POLICY_ENDPOINT && ++endpoints > MAX_ENDPOINTS) {
			why = "there are more than 4 [Endpoint] sections";
			goto bad;
		}
		for (j = 0; j < i; j++)
			if (set->policies[j].kind == p->kind && str_equal(set->policies[j].name, p->name)) {
				why = "a section of this type and name is there already";
				goto bad;
			}
	}
	if (globs != set->n_globs) {
		i = -1;
		why = "patterns are left over that belong to no section";
		goto bad;
	}
	return 0;
bad:
	*ret_index = i;
	(void)str_copy(ret_why, size, why);
	return -EINVAL;
}

/* [a-z], [!a-z]: a ] right after the start is an ordinary member. NULL: no end, so
 * the [ is an ordinary character. */
static const char *class_match(const char *p, char c, bool *ret_match)
{
	bool negate = false, match = false, first = true;

	p++;
	if (*p == '!') {
		negate = true;
		p++;
	}
	for (; *p != ']' || first; first = false) {
		unsigned char lo = (unsigned char)*p, hi = lo;

		if (lo == 0)
			return NULL;
		p++;
		if (p[0] == '-' && p[1] != ']' && p[1] != 0) {
			hi = (unsigned char)p[1];
			p += 2;
		}
		match = match || ((unsigned char)c >= lo && (unsigned char)c <= hi);
	}
	*ret_match = match != negate;
	return p + 1;
}

/* Only the latest * is ever tried again: an earlier one cannot do better. So the time
 * is bounded by the product of both lengths for any pattern. */
bool glob_match(const char *pattern, const char *text)
{
	const char *p = pattern, *t = text, *star = NULL, *from = NULL;

	for (;;) {
		const char *next = p + 1;
		bool match;

		if (*p == '*') {
			star = ++p;
			from = t;
			continue;
		}
		if (*t == 0) {
			if (*p == 0)
				return true;
			match = false;
		} else if (*p == '[' && class_match(p, *t, &match) != NULL)
			next = class_match(p, *t, &match);
		else
			match = *p == '?' || (*p != 0 && *p == *t);
		if (match) {
			p = next;
			t++;
			continue;
		}
		if (star == NULL || *from == 0)
			return false;
		p = star;
		t = ++from;
	}
}

/* "ssh" means ssh.service, as for systemctl. */
static bool unit_match(const char *pattern, const char *name)
{
	char bare[GROUP_PATH_MAX];
	size_t n = strlen(name);

	if (glob_match(pattern, name))
		return true;
	if (!str_ends(name, ".service"))
		return false;
	(void)str_copy(bare, MIN(n - strlen(".service") + 1, sizeof(bare)), name);
	return glob_match(pattern, bare);
}

bool glob_match_comm(const char *pattern, const char *comm)
{
	if (glob_match(pattern, comm))
		return true;
	return strnlen(comm, COMM_MAX) == COMM_MAX - 1 && strcspn(pattern, "*?[") == strlen(pattern) &&
	       strncmp(pattern, comm, COMM_MAX - 1) == 0;
}

/* Below a user's manager or inside a container anybody may call a unit sshd.service:
 * such names are not the system's, and only Cgroups= can mean them. */
static bool below_other_manager(const char *path)
{
	const char *guest = strstr(path, "/lxc.payload");
	size_t hex = 0;

	/* A guest of LXC, or of machined: a unit in machine.slice is the host's, what lies below it is not. */
	if (strstr(path, "/lxc/") != NULL || (guest != NULL && strchr(guest + 1, '/') != NULL))
		return true;
	if (str_starts(path, "/machine.slice/"))
		for (guest = path + 1; (guest = strchr(guest, '/')) != NULL; guest++)
			if (memcmp(guest - 6, ".slice", 6) != 0)
				return true;

	if (strstr(path, "/user@") != NULL && strchr(strstr(path, "/user@") + 1, '/') != NULL)
		return true;
	for (const char *c = path; *c; c++) {
		hex = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'f') ? hex + 1 : 0;
		if (hex == 64)
			return strchr(c, '/') != NULL;
	}
	return false;
}

static bool glob_names(const struct glob *glob, const struct group_info *info, const char *last)
{
	char uid[16];
	size_t i;

	switch ((enum match_kind)glob->kind) {
	case MATCH_UNITS:
		return !below_other_manager(info->path) && (unit_match(glob->text, info->name) || unit_match(glob->text, last));
	case MATCH_CONTAINERS:
		return glob_match(glob->text, info->name) || glob_match(glob->text, last);
	case MATCH_CGROUPS:
		return glob_match(glob->text, info->path);
	case MATCH_PROCESSES:
		for (i = 0; i < GROUP_PROCS_MAX; i++)
			if (info->procs[i][0] && glob_match_comm(glob->text, info->procs[i]))
				return true;
		return false;
	case MATCH_USERS:
		if (info->uid == UINT32_MAX)
			return false;
		if (info->uid == 0 && glob_match(glob->text, "root"))
			return true;
		(void)str_format(uid, sizeof(uid), "%u", (unsigned)info->uid);
		return glob_match(glob->text, uid);
	case MATCH_EXCEPT:
		return glob_match(glob->text, info->path) || unit_match(glob->text, info->name) || unit_match(glob->text, last);
	case _MATCH_MAX:
		break;
	}
	return false;
}

bool policy_matches(const struct policy_set *set, const struct policy *p, const struct group_info *info, usec_t now)
{
	const char *last = strrchr(info->path, '/');
	bool named = false;
	uint16_t i;

	/* A cgroup of unknown age is not young: what Young= grants is an exception. */
	if (p->kind == POLICY_PROTECT && p->for_first != USEC_INFINITY &&
	    (info->born == 0 || (now > info->born && now - info->born >= p->for_first)))
		return false;
	last = last ? last + 1 : info->path;
	for (i = 0; i < p->glob_n; i++) {
		const struct glob *glob = &set->globs[p->glob_first + i];

		if ((named && glob->kind != MATCH_EXCEPT) || !glob_names(glob, info, last))
			continue;
		if (glob->kind == MATCH_EXCEPT)
			return false;
		named = true;
	}
	return named;
}

uint16_t policy_port(const struct policy *p)
{
	const char *host = strstr(p->url, "://"), *c, *colon = NULL;
	unsigned port = 0;

	for (c = host != NULL ? host + 3 : p->url; *c != '\0' && *c != '/' && *c != '?' && *c != '#'; c++)
		colon = *c == ':' ? c : *c == ']' ? NULL : colon;       /* an IPv6 address has colons of its own */
	if (colon == NULL)
		return str_starts(p->url, "https:") ? 443 : 80;
	for (colon++; colon < c && *colon >= '0' && *colon <= '9' && port <= UINT16_MAX; colon++)
		port = port * 10 + (unsigned)(*colon - '0');
	return colon == c && port <= UINT16_MAX ? (uint16_t)port : 0;
}

int32_t policy_own_weight(const struct policy_set *set, enum own_unit unit)
{
	if (set->settings.mode == MODE_OBSERVE || (unsigned)unit >= _OWN_MAX)
		return -1;
	return unit == OWN_GUARD ? OWN_WEIGHT : OWN_WEIGHT / 4;
}

int32_t policy_canary_weight(const struct policy_set *set)
{
	int32_t weight = WEIGHT_DEFAULT;
	int i;

	/* As groups.c gives lifelines: none to what is protected while young. */
	for (i = 0; set->settings.mode != MODE_OBSERVE && i < set->n_policies; i++)
		if (set->policies[i].kind == POLICY_PROTECT && set->policies[i].as == IMPORTANCE_LOGIN && set->policies[i].for_first == USEC_INFINITY)
			weight = MAX(weight, set->policies[i].weight);
	return weight;
}

const char *mode_to_string(enum mode mode)
{
	static const char *const names[_MODE_MAX] = { "observe", "rescue", "enforce" };

	return (unsigned)mode < _MODE_MAX ? names[mode] : "?";
}

const char *rung_to_string(enum rung rung)
{
	static const char *const names[_RUNG_MAX] = { "none", "weight", "quota", "tasks", "jail", "pids", "freeze", "kill" };

	return (unsigned)rung < _RUNG_MAX ? names[rung] : "?";
}

const char *importance_to_string(enum importance importance)
{
	static const char *const names[_IMPORTANCE_MAX] = { "login", "database", "health", "system", "none" };

	return (unsigned)importance < _IMPORTANCE_MAX ? names[importance] : "?";
}
