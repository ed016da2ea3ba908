/* SPDX-License-Identifier: Apache-2.0 */
/* test-action: the names of verbs, causes and whys are a format: records and scripts of the
 * field have them. One that is new is added here; none is changed. */
#include "unit/world.h"

static const char *const verbs[] = {
	"sense", "weight", "idle", "quota", "pids", "freeze", "kill", "jail", "tasks-idle", "tasks-other", "release", "lifeline", "rank", "check", "report",
};
static const char *const causes[] = {
	"none", "runaway", "overload", "self", "own-limit", "steal", "blocked", "irq", "kernel", "realtime", "sched-ext", "pids",
};
static const char *const whys[] = {
	"alarm", "calm", "incident-open", "incident-close", "triage", "harm", "no-effect", "recovered", "too-long", "relapse", "operator", "policy",
	"reassert", "yield", "victim-worse", "would", "not", "gone", "failed", "lifeline", "lowered", "journal",
};

static const char *verb(int v) { return verb_to_string((enum verb)v); }
static const char *cause(int v) { return cause_to_string((enum cause)v); }
static const char *why(int v) { return why_to_string((enum why)v); }

static void check(const char *(*name)(int), const char *const *want, size_t n, int max)
{
	assert_int_equal(n, max);
	for (int i = 0; i < max; i++) {
		assert_non_null(name(i));
		assert_string_equal(name(i), want[i]);
		assert_int_equal(strspn(want[i], "abcdefghijklmnopqrstuvwxyz-"), strlen(want[i]));
	}
	assert_string_equal(name(max), "?");
	assert_string_equal(name(-1), "?");
	assert_string_equal(name(INT32_MAX), "?");
}

static void names(void **state)
{
	check(verb, verbs, ELEMENTSOF(verbs), _VERB_MAX);
	check(cause, causes, ELEMENTSOF(causes), _CAUSE_MAX);
	check(why, whys, ELEMENTSOF(whys), _WHY_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(names) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
