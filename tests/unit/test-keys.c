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
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"
#include "base/str.h"
#include "conf/keys.h"
#include "unit/conf-tree.h"

static union { struct policy p; struct settings s; struct guard_settings g; char bytes[sizeof(struct policy)]; } u;

static void *field(const struct key *key)
{
	return u.bytes + key->offset;
}

/* ---- the table covers the structs, and nothing twice ---- */

static bool covered(enum section section, bool guard, size_t offset)
{
	size_t i;

	for (i = 0; i < KEYS_N; i++)
		if (KEYS[i].section == section && KEYS[i].guard == guard && offset >= KEYS[i].offset &&
		    offset < KEYS[i].offset + MAX(KEYS[i].size, 1u))
			return true;
	return false;
}

static void every_field_has_a_row(void **state)
{
#define P(section, member) if (!covered(section, false, offsetof(struct policy, member))) fail_msg("policy." #member)
#define R(member) if (!covered(SECTION_RELIEF, false, offsetof(struct settings, member))) fail_msg("settings." #member)
#define G(member) if (!covered(SECTION_RELIEF, true, offsetof(struct guard_settings, member))) fail_msg("guard." #member)
	P(SECTION_PROTECT, glob_first); P(SECTION_PROTECT, as); P(SECTION_PROTECT, weight); P(SECTION_PROTECT, for_first);
	P(SECTION_THROTTLE, glob_first); P(SECTION_THROTTLE, wait); P(SECTION_THROTTLE, wait_for); P(SECTION_THROTTLE, min_share);
	P(SECTION_THROTTLE, at_most); P(SECTION_THROTTLE, most); P(SECTION_THROTTLE, useful);
	P(SECTION_ENDPOINT, glob_first); P(SECTION_ENDPOINT, url); P(SECTION_ENDPOINT, timeout); P(SECTION_ENDPOINT, good);
	R(mode); R(rescue_login); R(rescue_for); R(login_cost); R(rescue_share); R(rescue_at_most); R(alarm); R(calm_tick); R(alarm_tick);
	G(probe); G(recorder_bytes); G(lifeline);
	/* A field added to a struct makes it grow: then it needs a row, and a line here. */
	assert_int_equal(sizeof(struct settings), offsetof(struct settings, alarm_tick) + sizeof(usec_t));
	assert_true(sizeof(struct guard_settings) <= offsetof(struct guard_settings, lifeline) + sizeof(usec_t));
	assert_int_equal(sizeof(struct policy), offsetof(struct policy, good) + sizeof(usec_t));
}

static void rows_are_sound(void **state)
{
	static char text[16384];
	size_t i, j;
	int s;

	for (i = 0; i < KEYS_N; i++) {
		const struct key *k = &KEYS[i];

		assert_ptr_equal(key_find(k->section, k->name), k);     /* none is twice */
		assert_true(strlen(k->doc) > 15 && k->doc[strlen(k->doc) - 1] == '.');
		for (j = 0; k->name[j]; j++)
			assert_true((k->name[j] >= 'a' && k->name[j] <= 'z') || (k->name[j] >= 'A' && k->name[j] <= 'Z'));
		if (!k->type->is_list) {
			assert_true(k->size > 0);
			assert_true(k->offset + k->size <= (k->section != SECTION_RELIEF ? sizeof(struct policy) :
				    k->guard ? sizeof(struct guard_settings) : sizeof(struct settings)));
		}
	}
	assert_null(key_find(SECTION_PROTECT, "MinShare"));
	assert_null(key_find(SECTION_THROTTLE, "minshare"));
	for (s = 0; s < _SECTION_MAX; s++) {
		assert_int_equal(section_from_string(section_to_string((enum section)s)), s);
		(void)keys_document((enum section)s, text, sizeof(text));
		for (i = 0; i < KEYS_N; i++)
			if (KEYS[i].section == (enum section)s)
				assert_non_null(strstr(text, KEYS[i].doc));
	}
	assert_int_equal(section_from_string("throttle"), -1);
}

/* ---- values: what is printed is parsed to the same; what is wrong changes nothing ---- */

struct value { enum section section; const char *key, *text, *printed; };

static void good_values(void **state)
{
	static const struct value cases[] = {
		{ SECTION_RELIEF, "Mode", "observe", NULL }, { SECTION_RELIEF, "Mode", "enforce", NULL },
		{ SECTION_RELIEF, "RescueLogin", "5000ms", "5s" }, { SECTION_RELIEF, "RescueShare", "2.5%", NULL },
		{ SECTION_RELIEF, "Alarm", "10.0%", "10%" }, { SECTION_RELIEF, "Probe", "always", NULL },
		{ SECTION_RELIEF, "FlightRecorder", "16384K", "16M" }, { SECTION_RELIEF, "FlightRecorder", "0", NULL },
		{ SECTION_RELIEF, "Lifeline", "off", "no" }, { SECTION_RELIEF, "Lifeline", "1", "yes" },
		{ SECTION_PROTECT, "As", "database", NULL }, { SECTION_PROTECT, "Weight", "800", NULL },
		{ SECTION_PROTECT, "Young", "60s", "1min" },
		{ SECTION_THROTTLE, "When", "wait > 20% for 300ms", NULL }, { SECTION_THROTTLE, "When", "wait>20%", "wait > 20%" },
		{ SECTION_THROTTLE, "When", "wait  >  20.50%  for  1h", "wait > 20.5% for 1h" },
		{ SECTION_THROTTLE, "When", "wait > 99% for 0s", NULL },
		{ SECTION_THROTTLE, "When", "wait > 60 % for 300 ms", "wait > 60% for 300ms" },
		{ SECTION_THROTTLE, "When", "wait > 60 %", "wait > 60%" },
		{ SECTION_THROTTLE, "MinShare", "25 %", "25%" },
		{ SECTION_THROTTLE, "MinShare", "25%", NULL }, { SECTION_THROTTLE, "AtMost", "1h 30min", "90min" },
		{ SECTION_THROTTLE, "Ladder", "kill", NULL }, { SECTION_THROTTLE, "Ladder", "weight", NULL },
		{ SECTION_THROTTLE, "UsefulWork", "true", "yes" },
		{ SECTION_ENDPOINT, "URL", "http://127.0.0.1:8080/health", NULL }, { SECTION_ENDPOINT, "Good", "50ms", NULL },
	};
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		const struct key *k = key_find(cases[i].section, cases[i].key);
		struct key_error e = { 0 };
		char text[KEY_TEXT_MAX];

		u.p = POLICY_INIT;
		if (k->type->parse(k, cases[i].text, field(k), &e) < 0)
			fail_msg("%s=%s: %s", cases[i].key, cases[i].text, e.why);
		assert_true(k->type->print(k, field(k), text, sizeof(text)));
		assert_string_equal(text, cases[i].printed ? cases[i].printed : cases[i].text);
	}
}

static void bad_values_say_what_is_right(void **state)
{
	static const struct { enum section section; const char *key, *text; size_t at; const char *why; } cases[] = {
		{ SECTION_THROTTLE, "MinShare", "20", 0, "\"20\" has no unit; write \"20%\"" },
		{ SECTION_THROTTLE, "MinShare", "0.25", 0, "\"0.25\" has no unit; write a share from 1% to 90%" },
		{ SECTION_THROTTLE, "MinShare", "95", 0, "\"95\" has no unit; write a share from 1% to 90%" },
		{ SECTION_THROTTLE, "MinShare", "1.2.3", 0, "write a share from 1% to 90%" },
		{ SECTION_RELIEF, "LoginCost", "0", 0, "\"0\" has no unit; write a time from 10ms to 10s" },
		{ SECTION_RELIEF, "LoginCost", "350", 0, "\"350\" has no unit; write a time from 10ms to 10s" },
		{ SECTION_RELIEF, "LoginCost", "5m", 0, "could be minutes or milliseconds; write a time from 10ms to 10s" },
		{ SECTION_RELIEF, "LoginCost", "300m", 0, "could be minutes or milliseconds; write \"300ms\"" },
		{ SECTION_THROTTLE, "When", "wait > 0.6 for 1s", 7, "\"0.6\" has no unit; write a share from 1% to 99%" },
		{ SECTION_THROTTLE, "When", "wait > 60 %for 1s", 7, "\"60 %for\" is no share" },
		{ SECTION_THROTTLE, "When", "wait > 60% % for 1s", 7, "is no share" },
		{ SECTION_THROTTLE, "MinShare", "95%", 0, "\"95%\" is out of range; 1% to 90% are right" },
		{ SECTION_THROTTLE, "MinShare", "0%", 0, "1% to 90%" },
		{ SECTION_THROTTLE, "MinShare", "much", 0, "is no share; write one such as 25%" },
		{ SECTION_THROTTLE, "MinShare", "\x1b[31m", 0, "\"\\x1b[31m\" is no share" },
		{ SECTION_THROTTLE, "AtMost", "infinity", 0, "\"infinity\" is out of range; 5s to 1d are right" },
		{ SECTION_THROTTLE, "AtMost", "30", 0, "has no unit; write \"30s\" for seconds" },
		{ SECTION_THROTTLE, "AtMost", "30m", 0, "write \"30min\"" },
		{ SECTION_THROTTLE, "When", "wait > 20% for 30m", 15, "write \"30min\" or \"30ms\"" },
		{ SECTION_THROTTLE, "AtMost", "99999999999999999999s", 0, "5s to 1d" },
		{ SECTION_THROTTLE, "Ladder", "quotas", 0, "did you mean quota?" },
		{ SECTION_THROTTLE, "Ladder", "none", 0, "is not one of weight, quota, tasks, jail, pids, freeze and kill" },
		{ SECTION_THROTTLE, "UsefulWork", "maybe", 0, "is neither yes nor no" },
		{ SECTION_THROTTLE, "When", "", 0, "write When=wait > 20% for 300ms" },
		{ SECTION_THROTTLE, "When", "cpu > 20%", 0, "does not begin with wait" },
		{ SECTION_THROTTLE, "When", "waiting > 20%", 0, "does not begin with wait" },
		{ SECTION_THROTTLE, "When", "wait 20%", 5, "has no >" },
		{ SECTION_THROTTLE, "When", "wait >= 20%", 5, "has no >" },
		{ SECTION_THROTTLE, "When", "wait >", 6, "has no share" },
		{ SECTION_THROTTLE, "When", "wait > 20", 7, "has no unit" },
		{ SECTION_THROTTLE, "When", "wait > 100%", 7, "out of range" },
		{ SECTION_THROTTLE, "When", "wait > 20% 300ms", 11, "\"300ms\" is not understood" },
		{ SECTION_THROTTLE, "When", "wait > 20% for", 11, "is not understood" },
		{ SECTION_THROTTLE, "When", "wait > 20% for 300", 15, "has no unit" },
		{ SECTION_THROTTLE, "When", "wait > 20% for 2h", 15, "out of range" },
		{ SECTION_THROTTLE, "When", "wait > 20% f", 11, "is not understood" },
		{ SECTION_PROTECT, "Weight", "80", 0, "100 to 10000 are right" },
		{ SECTION_PROTECT, "Weight", "8e2", 0, "is no number" },
		{ SECTION_PROTECT, "Weight", "-800", 0, "is no number" },
		{ SECTION_PROTECT, "Weight", "99999999999999999999", 0, "100 to 10000" },
		{ SECTION_PROTECT, "As", "db", 0, "is not one of login, database, health and system" },
		{ SECTION_PROTECT, "As", "none", 0, "is not one of" },
		{ SECTION_PROTECT, "Young", "1", 0, "has no unit" },
		{ SECTION_RELIEF, "Mode", "Enforce", 0, "did you mean enforce?" },
		{ SECTION_RELIEF, "Probe", "yes", 0, "is not one of auto, always and off" },
		{ SECTION_RELIEF, "FlightRecorder", "16m", 0, "is no size" },
		{ SECTION_RELIEF, "FlightRecorder", "1K", 0, "0 (none) or 64K to 1G are right" },
		{ SECTION_ENDPOINT, "URL", "https://127.0.0.1/", 0, "write http://" },
		{ SECTION_ENDPOINT, "URL", "http://127.0.0.1/ x", 17, "has a space" },
	};
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		const struct key *k = key_find(cases[i].section, cases[i].key);
		struct key_error e = { .at = 77 };
		struct policy before;

		memset(&u, 0x5a, sizeof(u));
		before = u.p;
		assert_non_null(k);
		if (k->type->parse(k, cases[i].text, field(k), &e) != -EINVAL)
			fail_msg("%s=%s was taken", cases[i].key, cases[i].text);
		assert_memory_equal(&before, &u.p, sizeof(before));
		if (e.at != cases[i].at || strstr(e.why, cases[i].why) == NULL)
			fail_msg("%s=%s: at %zu: %s", cases[i].key, cases[i].text, e.at, e.why);
	}
}

static void unset_prints_nothing(void **state)
{
	char text[KEY_TEXT_MAX];
	size_t i;

	u.p = POLICY_INIT;
	for (i = 0; i < KEYS_N; i++)
		if (KEYS[i].section != SECTION_RELIEF && strcmp(KEYS[i].name, "UsefulWork") != 0)
			assert_false(KEYS[i].type->print(&KEYS[i], field(&KEYS[i]), text, sizeof(text)));
}

static void words_of_lists(void **state)
{
	static const struct { const char *key, *word, *text, *why; } cases[] = {
		{ "Units", "ssh.service", "ssh.service", NULL }, { "Units", "a/b", NULL, "Cgroups= for a path" },
		{ "Cgroups", "/a/*", "/a/*", NULL }, { "Cgroups", "*", "*", NULL }, { "Cgroups", "a/b", NULL, "write /a/b" },
		{ "Processes", "postgres", "postgres", NULL }, { "Processes", "/usr/bin/x", NULL, "the name alone" },
		{ "Users", "1000", "1000", NULL }, { "Users", "10?[0-9]*", "10?[0-9]*", NULL }, { "Users", "root", "root", NULL },
		{ "Users", "ann", "1001", NULL }, { "Users", "an", NULL, "no user of /etc/passwd" }, { "Users", "bad", NULL, "id -u" },
		{ "Users", "ann:x", NULL, "no user" }, { "Containers", "web-*", "web-*", NULL }, { "Except", "anything", "anything", NULL },
		/* Commas and quotes of other tools' lists, which would match nothing. */
		{ "Units", "a.service,", NULL, "\"a.service,\" has a , in it; separate with spaces, no quotes" },
		{ "Units", "a.service,b.service", NULL, "has a , in it" }, { "Units", ",", NULL, "has a , in it" },
		{ "Units", "\"a.service\"", NULL, "has a \" in it; separate with spaces, no quotes" },
		{ "Units", "'a", NULL, "has a ' in it" }, { "Units", "a.service;", NULL, "has a ; in it" },
		{ "Containers", "web-*,", NULL, "no quotes" }, { "Processes", "postgres,mysqld", NULL, "no quotes" },
		{ "Users", "1000,", NULL, "no quotes" }, { "Users", "ann,", NULL, "no quotes" },
		{ "Except", "a.service,b.service", NULL, "no quotes" }, { "Except", "/a,/b", NULL, "no quotes" },
		{ "Except", "/a,b", "/a,b", NULL }, { "Except", "*/a,b", "*/a,b", NULL },
		{ "Cgroups", "/a,", NULL, "no quotes" }, { "Cgroups", "/a,/b", NULL, "no quotes" },
		{ "Cgroups", "\"/a\"", NULL, "no quotes" }, { "Cgroups", "/a'", NULL, "no quotes" },
		{ "Cgroups", "/a,b", "/a,b", NULL }, { "Cgroups", "/a's/b", "/a's/b", NULL }, { "Cgroups", "*,b", "*,b", NULL },
		/* Paths as the shell has them. */
		{ "Cgroups", "/sys/fs/cgroup/cpu/foo", NULL, "begins at the mount point, and would match nothing; write /foo" },
		{ "Cgroups", "/sys/fs/cgroup/cpu,cpuacct/a/b*", NULL, "write /a/b*" }, { "Cgroups", "/sys/fs/cgroup/cpux/a", NULL, "write /cpux/a" },
		{ "Cgroups", "/sys/fs/cgroup/system.slice/x", NULL, "write /system.slice/x" }, { "Cgroups", "/sys/fs/cgroup/*", NULL, "write /*" },
		{ "Cgroups", "/sys/fs/cgroup", NULL, "write /*" }, { "Cgroups", "/sys/fs/cgroup/cpu/", NULL, "write /*" },
		{ "Cgroups", "/sys/fs/cgroups/x", "/sys/fs/cgroups/x", NULL }, { "Except", "/sys/fs/cgroup/cpu/foo", NULL, "write /foo" },
	};
	char longest[GLOB_TEXT_MAX + 1];
	struct key_error e;
	struct glob glob;
	size_t i;

	tree_write("/etc/passwd", "root:x:0:0::/:/bin/sh\nbad\nann:x:1001:1001:Ann:/home/ann:/bin/sh\nbad:x:\n");
	for (i = 0; i < ELEMENTSOF(cases); i++) {
		const struct key *k = key_find(SECTION_THROTTLE, cases[i].key);
		int r = key_word(k, tree, cases[i].word, &glob, &e);

		if (r != (cases[i].why ? -EINVAL : 0))
			fail_msg("%s=%s: %d", cases[i].key, cases[i].word, r);
		if (r < 0)
			assert_non_null(strstr(e.why, cases[i].why));
		else {
			assert_string_equal(glob.text, cases[i].text);
			assert_int_equal(glob.kind, k->match);
		}
	}
	memset(longest, 'a', sizeof(longest));
	longest[GLOB_TEXT_MAX] = 0;
	assert_int_equal(key_word(key_find(SECTION_PROTECT, "Units"), tree, longest, &glob, &e), -EINVAL);
	longest[GLOB_TEXT_MAX - 1] = 0;
	assert_int_equal(key_word(key_find(SECTION_PROTECT, "Units"), tree, longest, &glob, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_has_a_row),
		cmocka_unit_test(rows_are_sound),
		cmocka_unit_test(good_values),
		cmocka_unit_test(bad_values_say_what_is_right),
		cmocka_unit_test(unset_prints_nothing),
		cmocka_unit_test_setup_teardown(words_of_lists, tree_new, tree_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
