/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"
#include "base/str.h"
#include "core/policy.h"

static void globs(void **state)
{
	static const struct { const char *pattern, *text; bool match; } cases[] = {
		{ "", "", true }, { "", "a", false }, { "a", "", false }, { "*", "", true }, { "*", "/a/b", true },
		{ "a", "a", true }, { "a", "A", false }, { "?", "a", true }, { "?", "", false }, { "??", "a", false },
		{ "ssh*.service", "ssh.service", true }, { "ssh*.service", "sshd@1.service", true }, { "ssh*.service", "ssh.servic", false },
		{ "*.service", "a.service.d", false }, { "**a**", "bab", true }, { "a*b*c", "axxbxxbc", true }, { "a*b*c", "acb", false },
		{ "/user.slice/*/user@*.service/init.scope", "/user.slice/user-0.slice/user@0.service/init.scope", true },
		{ "[abc]", "b", true }, { "[abc]", "d", false }, { "[a-c]x", "bx", true }, { "[!a-c]", "b", false }, { "[!a-c]", "d", true },
		{ "[]]", "]", true }, { "[]a]", "a", true }, { "[a-]", "-", true }, { "[a", "[a", true }, { "[", "[", true }, { "[!", "[!", true },
		{ "x[0-9]*", "x1abc", true }, { "x[0-9]*", "xa", false }, { "*[0-9]", "abc7", true }, { "*[0-9]y", "a1b2y", true },
		{ "\\*", "\\abc", true }, { "\\*", "*", false }, { "[\xe0-\xff]", "\xf0", true },
	};
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++)
		if (glob_match(cases[i].pattern, cases[i].text) != cases[i].match)
			fail_msg("%s %s", cases[i].pattern, cases[i].text);
}

static void globs_take_bounded_time(void **state)
{
	static char text[4096], pattern[GLOB_TEXT_MAX];
	clock_t began = clock();
	size_t i;

	memset(text, 'a', sizeof(text) - 1);
	for (i = 0; i + 2 < sizeof(pattern); i += 2) {
		pattern[i] = 'a';
		pattern[i + 1] = '*';
	}
	pattern[i] = 'b';
	assert_false(glob_match(pattern, text));
	for (i = 0; i + 6 < sizeof(pattern); i += 6)
		memcpy(pattern + i, "*[a-z]", 6);
	pattern[i] = 'b';
	assert_false(glob_match(pattern, text));
	/* An exponential matcher would not come back at all. */
	assert_true((clock() - began) / CLOCKS_PER_SEC < 5);
}

static struct policy_set set;

static struct policy *begin(enum policy_kind kind, const char *name)
{
	struct policy *p;

	memset(&set, 0, sizeof(set));
	set.settings = SETTINGS_DEFAULT;
	set.n_policies = 1;
	p = &set.policies[0];
	*p = POLICY_INIT;
	p->kind = kind;
	(void)str_copy(p->name, sizeof(p->name), name);
	return p;
}

static void add(enum match_kind kind, const char *text)
{
	struct policy *p = &set.policies[set.n_policies - 1];

	set.globs[set.n_globs].kind = kind;
	(void)str_copy(set.globs[set.n_globs++].text, GLOB_TEXT_MAX, text);
	p->glob_n++;
}

static struct group_info group(const char *path, const char *name)
{
	struct group_info info = { .id = 7, .uid = UINT32_MAX, .born = 1000 * USEC_PER_SEC };

	(void)str_copy(info.path, sizeof(info.path), path);
	(void)str_copy(info.name, sizeof(info.name), name);
	return info;
}

static bool matches(const struct group_info *info, usec_t now)
{
	return policy_matches(&set, &set.policies[0], info, now);
}

static void names(void **state)
{
	struct group_info info = group("/system.slice/docker-1234.scope", "report-7");

	begin(POLICY_THROTTLE, "t");
	assert_false(matches(&info, 0));
	add(MATCH_CONTAINERS, "report-*");
	assert_true(matches(&info, 0));
	info = group("/system.slice/docker-1234.scope", "web");
	assert_false(matches(&info, 0));
	add(MATCH_UNITS, "docker-*.scope");
	assert_true(matches(&info, 0));
	add(MATCH_EXCEPT, "web");
	assert_false(matches(&info, 0));

	begin(POLICY_THROTTLE, "t");
	add(MATCH_UNITS, "ssh");
	info = group("/system.slice/ssh.service", "ssh.service");
	assert_true(matches(&info, 0));
	info = group("/system.slice/sshd.service", "sshd.service");
	assert_false(matches(&info, 0));
	info = group("/", "/");
	assert_false(matches(&info, 0));
	add(MATCH_CGROUPS, "/*");
	assert_true(matches(&info, 0));
}

static void exceptions_win_in_any_order(void **state)
{
	struct group_info info = group("/user.slice/user-0.slice/session-1.scope", "session-1.scope");
	int order;

	(void)str_copy(info.procs[1], COMM_MAX, "sshd");
	for (order = 0; order < 2; order++) {
		begin(POLICY_PROTECT, "p");
		if (order == 0)
			add(MATCH_EXCEPT, "/user.slice/*");
		add(MATCH_PROCESSES, "sshd");
		if (order == 1)
			add(MATCH_EXCEPT, "/user.slice/*");
		assert_false(matches(&info, 0));
		(void)str_copy(info.path, sizeof(info.path), "/system.slice/x");
		assert_true(matches(&info, 0));
		(void)str_copy(info.path, sizeof(info.path), "/user.slice/user-0.slice/session-1.scope");
	}
}

static void processes_and_users(void **state)
{
	struct group_info info = group("/a", "a");

	begin(POLICY_PROTECT, "p");
	add(MATCH_PROCESSES, "clickhouse-server");
	assert_false(matches(&info, 0));
	(void)str_copy(info.procs[3], COMM_MAX, "clickhouse-serv");      /* as the kernel cuts it */
	assert_true(matches(&info, 0));
	(void)str_copy(info.procs[3], COMM_MAX, "clickhouse-ser");
	assert_false(matches(&info, 0));
	begin(POLICY_PROTECT, "p");
	add(MATCH_USERS, "root");
	assert_false(matches(&info, 0));        /* no user at all is not root */
	info.uid = 0;
	assert_true(matches(&info, 0));
	info.uid = 1000;
	assert_false(matches(&info, 0));
	add(MATCH_USERS, "10??");
	assert_true(matches(&info, 0));
}

static void young(void **state)
{
	struct group_info info = group("/s", "session-3.scope");

	begin(POLICY_PROTECT, "p")->for_first = 60 * USEC_PER_SEC;
	add(MATCH_UNITS, "session-*.scope");
	assert_true(matches(&info, info.born));
	assert_true(matches(&info, info.born - 5));
	assert_true(matches(&info, info.born + 60 * USEC_PER_SEC - 1));
	assert_false(matches(&info, info.born + 60 * USEC_PER_SEC));
	info.born = 0;
	assert_false(matches(&info, 0));
	set.policies[0].for_first = USEC_INFINITY;
	assert_true(matches(&info, UINT64_MAX));
}

static char why[256];
static int bad_index;

static const char *verdict(void)
{
	int i, r;

	why[0] = 0;
	bad_index = 77;
	for (i = 0; i < set.n_policies; i++)
		policy_defaults(&set.policies[i]);
	r = policy_validate(&set, &bad_index, why, sizeof(why));
	assert_int_equal(r, why[0] ? -EINVAL : 0);
	return why;
}

static void defaults(void **state)
{
	struct policy *p = begin(POLICY_THROTTLE, "t");

	add(MATCH_CGROUPS, "*");
	assert_string_equal(verdict(), "");
	assert_int_equal(p->wait, 7500);
	assert_int_equal(p->wait_for, 100000);
	assert_int_equal(p->min_share, 2500);
	assert_int_equal(p->at_most, 30 * USEC_PER_MIN);
	assert_int_equal(p->most, RUNG_TASKS);
	p = begin(POLICY_PROTECT, "p");
	add(MATCH_UNITS, "x");
	assert_string_equal(verdict(), "");
	assert_int_equal(p->as, IMPORTANCE_SYSTEM);
	assert_int_equal(p->weight, -1);
	p = begin(POLICY_ENDPOINT, "e");
	(void)str_copy(p->url, sizeof(p->url), "http://127.0.0.1/");
	assert_string_equal(verdict(), "");
	assert_int_equal(p->as, IMPORTANCE_HEALTH);
	assert_true(p->good <= p->timeout);
	assert_int_equal(SETTINGS_DEFAULT.mode, MODE_RESCUE);
}

#define BAD(part, ...) do {                                                     \
		p = begin(POLICY_THROTTLE, "t");                                \
		add(MATCH_CGROUPS, "*");                                        \
		__VA_ARGS__;                                                    \
		if (strstr(verdict(), part) == NULL || bad_index != 0)          \
			fail_msg(#__VA_ARGS__ ": \"%s\" at %d", why, bad_index); \
	} while (0)

static void bad_throttles(void **state)
{
	struct policy *p;

	BAD("may squeeze nothing", p->glob_n = set.n_globs = 0);
	BAD("may squeeze nothing", set.globs[0].kind = MATCH_EXCEPT);
	BAD("MinShare", p->min_share = 0);
	BAD("MinShare", p->min_share = 9001);
	BAD("MinShare", p->min_share = 10000);
	BAD("AtMost", p->at_most = USEC_INFINITY - 1);
	BAD("AtMost", p->at_most = 0);
	BAD("AtMost", p->at_most = 25 * USEC_PER_HOUR);
	BAD("When", p->wait = 0);
	BAD("When", p->wait = 10000);
	BAD("When", p->wait_for = 2 * USEC_PER_HOUR);
	BAD("less than AtMost", p->wait_for = 10 * USEC_PER_SEC, p->at_most = 10 * USEC_PER_SEC);
	BAD("Ladder", p->most = (enum rung)99);
	BAD("contradict", p->useful = true, p->most = RUNG_FREEZE);
	BAD("name", p->name[0] = 0);
	BAD("name", p->name[0] = ']');
	BAD("name", p->name[0] = '\n');
	BAD("name", memset(p->name, 'a', sizeof(p->name)));
	BAD("pattern", set.globs[0].text[0] = 0);
	BAD("pattern", set.globs[0].text[0] = ' ');
	BAD("pattern", memset(set.globs[0].text, 'a', GLOB_TEXT_MAX));
	BAD("pattern", set.globs[0].kind = _MATCH_MAX);
	BAD("not its own", p->glob_first = 1);
	BAD("not its own", p->glob_n = 2);
	BAD("unknown", p->kind = (enum policy_kind)9);
}

static void bad_protects(void **state)
{
	struct policy *p;

	BAD("protects nothing", p->kind = POLICY_PROTECT, p->glob_n = set.n_globs = 0);
	BAD("As", p->kind = POLICY_PROTECT, p->as = (enum importance)77);
	BAD("Weight", p->kind = POLICY_PROTECT, p->weight = 0);
	BAD("Weight", p->kind = POLICY_PROTECT, p->weight = 99);
	BAD("Weight", p->kind = POLICY_PROTECT, p->weight = 10001);
	BAD("Young", p->kind = POLICY_PROTECT, p->for_first = 0);
}

static void urls(void **state)
{
	static const char *const good[] = {
		"http://127.0.0.1/", "http://127.0.0.1:8080/health?x=1#y", "http://localhost:1", "http://[::1]:65535/", "http://127.255.0.9",
		"http://[::1]",
	};
	static const char *const bad[] = {
		"", "https://127.0.0.1/", "ftp://127.0.0.1/", "http://", "http:///x", "http://10.0.0.1/", "http://example.com/",
		"http://127.0.0.1.example.com/", "http://localhost.example.com/", "http://localhostx/", "http://127.0.0.1@example.com/",
		"http://u:p@127.0.0.1/", "http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:/", "http://127.0.0.1:8o/",
		"http://127.1/", "http://127.0.0.256/", "http://127.0.0.1.1/", "http://127..0.1/", "http://[::1]x/", "http://[::2]/",
		"http://127.0.0.1/a b", "http://127.0.0.1/\n", "http://127.0.0.1:99999999999999999999/", "HTTP://127.0.0.1/", "http://0x7f.0.0.1/",
		"http://1270.0.0.1/", "http://2130706433/",
	};
	size_t i;

	for (i = 0; i < ELEMENTSOF(good) + ELEMENTSOF(bad); i++) {
		bool right = i < ELEMENTSOF(good);
		struct policy *p = begin(POLICY_ENDPOINT, "e");

		(void)str_copy(p->url, sizeof(p->url), right ? good[i] : bad[i - ELEMENTSOF(good)]);
		if ((verdict()[0] == 0) != right)
			fail_msg("%s: %s", p->url, why);
	}
	memset(begin(POLICY_ENDPOINT, "e")->url, 'a', sizeof(set.policies[0].url));
	assert_string_not_equal(verdict(), "");
}

static void bad_settings(void **state)
{
	struct settings *s = &set.settings;

#define BAD_SETTING(part, ...) do {                                             \
		begin(POLICY_THROTTLE, "t");                                    \
		add(MATCH_CGROUPS, "*");                                        \
		__VA_ARGS__;                                                    \
		if (strstr(verdict(), part) == NULL || bad_index != -1)         \
			fail_msg(#__VA_ARGS__ ": \"%s\" at %d", why, bad_index); \
	} while (0)
	BAD_SETTING("Mode", s->mode = (enum mode)5);
	BAD_SETTING("RescueLogin", s->rescue_login = 0);
	BAD_SETTING("RescueFor", s->rescue_for = USEC_INFINITY);
	BAD_SETTING("LoginCost", s->login_cost = 0);
	BAD_SETTING("LoginCost", s->login_cost = 5 * USEC_PER_SEC);
	BAD_SETTING("RescueShare", s->rescue_share = 0);
	BAD_SETTING("RescueShare", s->rescue_share = 9500);
	BAD_SETTING("RescueAtMost", s->rescue_at_most = USEC_INFINITY);
	BAD_SETTING("Alarm", s->alarm = 0);
	BAD_SETTING("AlarmTick", s->alarm_tick = 1000);
	BAD_SETTING("CalmTick", s->calm_tick = 50 * USEC_PER_MSEC);
	BAD_SETTING("more", set.n_globs = MAX_GLOBS + 1);
}

static void sets_as_a_whole(void **state)
{
	int i;

	begin(POLICY_THROTTLE, "t");
	add(MATCH_CGROUPS, "*");
	set.policies[1] = set.policies[0];
	set.n_policies = 2;
	set.policies[1].glob_first = 1;
	set.globs[1] = set.globs[0];
	set.n_globs = 2;
	assert_non_null(strstr(verdict(), "already"));
	assert_int_equal(bad_index, 1);
	(void)str_copy(set.policies[1].name, NAME_TEXT_MAX, "u");
	assert_string_equal(verdict(), "");
	set.n_globs = 3;
	assert_non_null(strstr(verdict(), "left over"));

	begin(POLICY_THROTTLE, "t");
	set.n_policies = MAX_POLICIES + 1;
	assert_int_equal(policy_validate(&set, &bad_index, why, sizeof(why)), -EINVAL);
	assert_int_equal(bad_index, -1);

	begin(POLICY_ENDPOINT, "e");
	for (i = 0; i <= MAX_ENDPOINTS; i++) {
		set.policies[i] = POLICY_INIT;
		set.policies[i].kind = POLICY_ENDPOINT;
		(void)str_format(set.policies[i].name, NAME_TEXT_MAX, "e%d", i);
		(void)str_copy(set.policies[i].url, sizeof(set.policies[i].url), "http://127.0.0.1/");
	}
	set.n_policies = MAX_ENDPOINTS;
	assert_string_equal(verdict(), "");
	set.n_policies++;
	assert_non_null(strstr(verdict(), "more than 4"));
}

static void words(void **state)
{
	assert_string_equal(mode_to_string(MODE_ENFORCE), "enforce");
	assert_string_equal(rung_to_string(RUNG_KILL), "kill");
	assert_string_equal(importance_to_string(IMPORTANCE_LOGIN), "login");
	assert_string_equal(mode_to_string((enum mode)-1), "?");
	assert_string_equal(rung_to_string((enum rung)99), "?");
}

static void weights_of_our_own(void **state)
{
	static struct policy_set set;
	struct policy *p = &set.policies[0];

	set.settings = SETTINGS_DEFAULT;
	set.settings.mode = MODE_RESCUE;
	assert_int_equal(policy_canary_weight(&set), 100);
	set.n_policies = 3;
	for (int i = 0; i < 3; i++)
		p[i] = POLICY_INIT;
	p[0].kind = p[1].kind = p[2].kind = POLICY_PROTECT;
	p[0].as = p[2].as = IMPORTANCE_LOGIN;
	p[1].as = IMPORTANCE_DATABASE;
	p[0].weight = 800;
	p[1].weight = 900;
	p[2].weight = 1000;
	p[0].for_first = p[1].for_first = USEC_INFINITY;
	p[2].for_first = 30 * USEC_PER_SEC;     /* young sessions have no lifeline */
	assert_int_equal(policy_canary_weight(&set), 800);
	assert_int_equal(policy_own_weight(&set, OWN_GUARD), 2000);
	assert_int_equal(policy_own_weight(&set, OWN_COURIER), 500);
	set.settings.mode = MODE_OBSERVE;
	assert_int_equal(policy_canary_weight(&set), 100);
	for (int i = 0; i < _OWN_MAX; i++)
		assert_int_equal(policy_own_weight(&set, (enum own_unit)i), -1);
}

static void ports(void **state)
{
	static const struct { const char *url; uint16_t port; } cases[] = {
		{ "http://127.0.0.1:8181/health", 8181 }, { "http://127.0.0.1/health", 80 }, { "https://localhost/", 443 },
		{ "http://[::1]:8080/x:9", 8080 }, { "http://[::1]/", 80 }, { "http://h:65536/", 0 }, { "http://h:", 0 }, { "", 80 },
		{ "http://127.0.0.1:0/", 0 }, { "http://127.0.0.1:00/", 0 }, { "http://127.0.0.1:080?x", 80 }, { "http://h:80x/", 0 }, { "http://h:-1/", 0 },
		{ "http://h: 80/", 0 }, { "http://h:99999999999999999999/", 0 }, { "http://h:65535#", 65535 },
	};
	struct policy p = { .kind = POLICY_ENDPOINT };
	unsigned i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		(void)str_copy(p.url, sizeof(p.url), cases[i].url);
		assert_int_equal(policy_port(&p), cases[i].port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs),
		cmocka_unit_test(globs_take_bounded_time),
		cmocka_unit_test(names),
		cmocka_unit_test(exceptions_win_in_any_order),
		cmocka_unit_test(processes_and_users),
		cmocka_unit_test(young),
		cmocka_unit_test(defaults), cmocka_unit_test(ports),
		cmocka_unit_test(bad_throttles),
		cmocka_unit_test(bad_protects),
		cmocka_unit_test(urls),
		cmocka_unit_test(bad_settings),
		cmocka_unit_test(sets_as_a_whole),
		cmocka_unit_test(words),
		cmocka_unit_test(weights_of_our_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
