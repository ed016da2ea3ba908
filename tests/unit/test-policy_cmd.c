/* SPDX-License-Identifier: Apache-2.0 */
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
#include "ctl/policy_cmd.h"
#include "unit/conf-tree.h"

static char said[256 * 1024];
static int code;

enum what { CHECK, CHECK_JSON, CAT, UNKNOWN };

/* What a command says, on stdout and stderr together. */
static const char *say(enum what what, const char *word)
{
	int out = dup(1), err = dup(2), fd = open(tree, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	ssize_t n;

	assert_true(out >= 0 && err >= 0 && fd >= 0);
	fflush(stdout);
	assert_true(dup2(fd, 1) == 1 && dup2(fd, 2) == 2);
	code = what == CAT ? policy_cat(tree, word, false) : what == UNKNOWN ? policy_unknown(word, false) : policy_check(tree, what == CHECK_JSON);
	fflush(stdout);
	assert_true(dup2(out, 1) == 1 && dup2(err, 2) == 2);
	n = pread(fd, said, sizeof(said) - 1, 0);
	assert_true(n >= 0);
	said[n] = 0;
	(void)close(out), (void)close(err), (void)close(fd);
	return said;
}

static void assert_says(const char *text)
{
	if (strstr(said, text) == NULL)
		fail_msg("\"%s\" is not in: %s", text, said);
}

static void mode(const char *name)
{
	char text[64];

	(void)str_format(text, sizeof(text), "[Relief]\nMode=%s\n", name);
	tree_write("/etc/reprieve/reprieve.conf", text);
}

static int machine(void **state)
{
	if (tree_new(state) < 0)
		return -1;
	tree_write("/proc/self/mountinfo", "26 22 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	(void)tree_path("/sys/fs/cgroup/shop/");
	(void)tree_path("/sys/fs/cgroup/reprieve-canary/");
	(void)tree_path("/sys/fs/cgroup/reprieve-helpers/");
	(void)tree_path("/sys/fs/cgroup/system.slice/reprieve.service/");
	(void)tree_path("/sys/fs/cgroup/system.slice/shop.service/");
	tree_write("/etc/reprieve/policies/50-t.policy", "[Throttle t]\nCgroups=*\n[Protect p]\nCgroups=/shop\n");
	return 0;
}

static void what_is_not_asked_is_told(void **state)
{
	(void)say(CHECK, NULL);
	assert_int_equal(code, 0);
	assert_says("mode rescue; 1 file, 2 sections\n");
	assert_says("protect p as system: never throttled, frozen or killed; 1 cgroup matches now: shop\n");
	assert_says(" (not asked in mode rescue)\nprotect p");
	mode("observe");
	(void)say(CHECK, NULL);
	assert_says(" (only said, not done, in mode observe)\nprotect p");
	mode("enforce");
	(void)say(CHECK, NULL);
	assert_int_equal(code, 0);
	assert_null(strstr(said, " mode "));
	assert_true(str_ends(said, "\naccepted\n"));
}

static void our_own_cgroups_are_not_meant(void **state)
{
	(void)say(CHECK, NULL);
	assert_says("; 3 cgroups match now: ");
	assert_null(strstr(said, "reprieve-"));
	assert_null(strstr(said, "reprieve.service"));
}

static void nothing_is_left_to_squeeze(void **state)
{
	static const struct { const char *protect; int code; } cases[] = {
		{ "Cgroups=*\n", 1 }, { "Cgroups=/*\n", 1 }, { "Units=*\n", 1 }, { "Containers=x **\n", 1 },
		{ "Cgroups=*\nExcept=/shop\n", 0 }, { "Cgroups=*\nYoung=1min\n", 0 }, { "Cgroups=/s*\n", 0 }, { "Cgroups=/\n", 0 },
		{ "Processes=*\n", 0 },
	};
	static const struct { const char *name; bool acts; } modes[] = { { "observe", false }, { "rescue", true }, { "enforce", true } };
	char text[256];

	for (size_t m = 0; m < ELEMENTSOF(modes); m++)
		for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
			mode(modes[m].name);
			(void)str_format(text, sizeof(text), "[Throttle t]\nCgroups=*\n[Protect all]\n%s", cases[i].protect);
			tree_write("/etc/reprieve/policies/50-t.policy", text);
			(void)say(CHECK, NULL);
			if (code != (modes[m].acts ? cases[i].code : 0))
				fail_msg("%s, %s: %d, %s", modes[m].name, cases[i].protect, code, said);
			if (code != 0)
				assert_says("accepted, but [Protect all] names every cgroup, so none would ever be squeezed; name fewer");
			(void)say(CHECK_JSON, NULL);
			assert_int_equal(code, modes[m].acts ? cases[i].code : 0);
			assert_says(code ? "\"why\":\"[Protect all] names every cgroup" : "\"why\":null");
		}
}

static void files_of_no_effect(void **state)
{
	tree_write("/etc/reprieve/policies/50-mine.conf", "[Protect mine]\nCgroups=/shop\n");
	tree_write("/etc/reprieve/policies/50-t.policy.d/a.policy", "x");
	tree_write("/etc/reprieve/reprieve.conf.d/x\x1b.policy", "x");
	(void)say(CHECK, NULL);
	assert_int_equal(code, 0);
	assert_says("warning: /etc/reprieve/policies/50-mine.conf: ignored: name it *.policy\n");
	assert_says("warning: /etc/reprieve/policies/50-t.policy.d/a.policy: ignored: name it *.conf\n");
	assert_says("warning: /etc/reprieve/reprieve.conf.d/x\\x1b.policy: ignored: name it *.conf\n");
	assert_true(str_ends(said, "\naccepted\n"));
	(void)say(CHECK_JSON, NULL);
	assert_int_equal(code, 0);
	assert_says("\"ignored\":[{\"file\":\"/etc/reprieve/policies/50-mine.conf\",\"why\":\"ignored: name it *.policy\"}");
	assert_says("\"ignored_more\":0");
}

static void names_as_people_write_them(void **state)
{
	(void)say(CAT, "50-t");
	assert_int_equal(code, 0);
	assert_says("[Throttle t]\n");
	(void)say(CAT, "50-t.policy");
	assert_int_equal(code, 0);
	(void)say(CAT, "50");
	assert_int_equal(code, 1);
	(void)say(UNKNOWN, "chek");
	assert_int_equal(code, 64);
	assert_says("did you mean \"check\"?");
	(void)say(UNKNOWN, "\x1b[31m");
	assert_int_equal(code, 64);
	assert_null(strchr(said, '\x1b'));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, machine, tree_free)
	const struct CMUnitTest tests[] = {
		T(what_is_not_asked_is_told),
		T(our_own_cgroups_are_not_meant),
		T(nothing_is_left_to_squeeze),
		T(files_of_no_effect),
		T(names_as_people_write_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
