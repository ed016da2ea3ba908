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
#include "conf/policies.h"
#include "unit/conf-tree.h"

static struct conf *c;
static struct policy_set set, before;
static struct guard_settings guard;
static char text[64 * 1024];

static int setup(void **state)
{
	c = conf_new();
	memset(&set, 0x5a, sizeof(set));
	memset(&guard, 0x5a, sizeof(guard));
	before = set;
	return c ? tree_new(state) : -1;
}

static int teardown(void **state)
{
	c = conf_free(c);
	return tree_free(state);
}

/* Loads a whole set from one text; "" or all errors. */
static const char *load(const char *in)
{
	int r = conf_text_load(c, in, strlen(in), "50-shop.policy", &set, &guard);

	assert_int_equal(r, conf_errors(c)->n ? -EINVAL : 0);
	return conf_errors_text(c, text, sizeof(text));
}

static const char *load_tree(void)
{
	int r = conf_load(c, tree, &set, &guard);

	assert_int_equal(r, conf_errors(c)->n ? -EINVAL : 0);
	return conf_errors_text(c, text, sizeof(text));
}

static const char *globs_of(int policy)
{
	static char out[4096];
	int i;

	out[0] = 0;
	for (i = 0; i < set.policies[policy].glob_n; i++) {
		const struct glob *g = &set.globs[set.policies[policy].glob_first + i];

		(void)str_appendf(out, sizeof(out), "%s%u:%s", i ? " " : "", g->kind, g->text);
	}
	return out;
}

static void the_example_of_the_manual(void **state)
{
	assert_string_equal(load("# a shop\n"
				 "[Protect login]\n"
				 "Units=ssh.service sshd.service\n"
				 "Weight=800\n"
				 "As=login\n"
				 "[Throttle batch]          # all of it\n"
				 "Containers=report-* import-*\n"
				 "When=wait > 20% for 300ms # how long\n"
				 "MinShare=10%\n"
				 "AtMost=10min\n"
				 "Ladder=pids\n"
				 "[Endpoint shop]\n"
				 "URL=http://127.0.0.1:8080/health\n"
				 "[Relief]\n"
				 "Mode=enforce\n"
				 "Probe=off\n"), "");
	assert_int_equal(set.n_policies, 3);
	assert_int_equal(set.settings.mode, MODE_ENFORCE);
	assert_int_equal(guard.probe, PROBE_OFF);
	assert_int_equal(guard.recorder_bytes, 16 << 20);
	assert_int_equal(set.policies[0].kind, POLICY_PROTECT);
	assert_int_equal(set.policies[0].as, IMPORTANCE_LOGIN);
	assert_int_equal(set.policies[0].weight, 800);
	assert_string_equal(set.policies[0].source, "50-shop.policy:2");
	assert_string_equal(globs_of(0), "0:ssh.service 0:sshd.service");
	assert_string_equal(set.policies[1].name, "batch");
	assert_int_equal(set.policies[1].wait, 2000);
	assert_int_equal(set.policies[1].wait_for, 300000);
	assert_int_equal(set.policies[1].min_share, 1000);
	assert_int_equal(set.policies[1].most, RUNG_PIDS);
	assert_string_equal(globs_of(1), "1:report-* 1:import-*");
	assert_int_equal(set.policies[2].as, IMPORTANCE_HEALTH);
	assert_int_equal(set.policies[2].good, 500000);
}

static void errors_show_the_place(void **state)
{
	assert_string_equal(load("[Throttle batch]\nCgroups=*\n\tMinShare=20  # too little\n"),
			    "50-shop.policy:3:11: MinShare: \"20\" has no unit; write \"20%\"\n"
			    "     MinShare=20  # too little\n"
			    "              ^\n");
	(void)load("[Throttle batch]\nCgroups=/a /\xc3\xbc\x1b b /c\n");
	assert_non_null(strstr(text, "50-shop.policy:2:15: a control character is in this line; use plain text\n"
			       "    Cgroups=/a /\xc3\xbc\\x1b b /c\n"
			       "                 ^\n"));
	assert_string_equal(load("[Throttle batch]\nCgroups=/a /\xc3\xbc b /c\n"),
			    "50-shop.policy:2:16: Cgroups: \"b\" is no path from the root; write /b, or */ and a part of one\n"
			    "    Cgroups=/a /\xc3\xbc b /c\n"
			    "                  ^\n");
}

static void lists_have_no_commas_and_quotes(void **state)
{
	assert_string_equal(load("[Protect orders]\nUnits=nu-a.service, nu-b.service\n"),
			    "50-shop.policy:2:19: Units: \"nu-a.service,\" has a , in it; separate with spaces, no quotes\n"
			    "    Units=nu-a.service, nu-b.service\n"
			    "                      ^\n");
	assert_string_equal(load("[Protect orders]\nProcesses=ok \"x y\"\n"),
			    "50-shop.policy:2:14: Processes: \"\"x\" has a \" in it; separate with spaces, no quotes\n"
			    "    Processes=ok \"x y\"\n"
			    "                 ^\n"
			    "50-shop.policy:2:18: Processes: \"y\"\" has a \" in it; separate with spaces, no quotes\n"
			    "    Processes=ok \"x y\"\n"
			    "                     ^\n");
}

static void everything_wrong_is_told_at_once(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "[Throtle x]\nNothing=here\n", ":1:2: there is no section [Throtle]; did you mean [Throttle]?" },
		{ "[Dump x]\n", ":1:2: there is no section [Dump]; there are [Protect NAME]" },
		{ "[Throttle]\n", ":1:2: the section needs a name of one word" },
		{ "[Throttle a b]\n", "the section needs a name of one word" },
		{ "[Relief x]\n", "[Relief] has no name" },
		{ "Units=a\n", ":1:1: Units: stands before any section" },
		{ "[Throttle t]\nCgroups=*\nMinShae=20%\n", ":3:1: MinShae: there is no such key in [Throttle]; did you mean MinShare?" },
		{ "[Protect t]\nUnits=a\nMinShare=20%\n", "MinShare: is a key of [Throttle], not of [Protect]" },
		{ "[Protect t]\nUnits=a\nEngine=x\n", "Engine: there is no such key in [Protect]; there are Units Containers" },
		{ "[Throttle t]\nCgroups=*\nAtMost=infinity\n", "5s to 1d are right" },
		{ "[Throttle t]\nLadder=quota\n", ":1:1: it may squeeze nothing" },
		{ "[Throttle t]\nCgroups=*\nCgroups=\n", "it may squeeze nothing" },
		{ "[Throttle t]\nExcept=*\n", "it may squeeze nothing" },
		{ "[Endpoint e]\nGood=1s\n", ":1:1: URL: it has no URL; write URL=http" },
		{ "[Endpoint e]\nURL=http://10.0.0.1/\n", ":2:5: URL: must be http:// and an address of this machine itself" },
		{ "[Endpoint e]\nURL=http://127.0.0.1:0/\n", ":2:5: URL: the URL's port must be" },
		{ "[Endpoint e]\nURL=http://127.0.0.1/\nTimeout=1s\nGood=2s\n", ":4:6: Good: must be from 1ms to Timeout" },
		{ "[Relief]\nLoginCost=9s\n", ":2:11: LoginCost: must be less than RescueLogin" },
		{ "[Relief]\nCalmTick=\n AlarmTick = 500ms # often\n", ":3:14: AlarmTick: CalmTick must be from AlarmTick to 2s\n"
		  "     AlarmTick = 500ms # often\n                 ^\n" },
		{ "[Throttle t]\nCgroups=*\nAtMost=5s\nWhen=wait > 10% for 10s\n", ":4:6: When: the time in When= must be less than AtMost" },
		{ "[Throttle t]\nLadder=kill\nCgroups=*\nUsefulWork=yes\n", ":4:12: UsefulWork: UsefulWork=yes and a Ladder" },
		{ "[Throttle a:b]\nCgroups=*\n", ":1:1: a section's name is made of letters" },
		{ "[Relief]\nMode=panic\n", "\"panic\" is not one of observe, rescue and enforce" },
		{ "[Throttle t\nCgroups=*\n", ":1:1: the section's head has no ]" },
		{ "[Throttle \xe2\x80\xaet]\nCgroups=*\n[X\xe2\x80\xae]\n", "[X\\xe2\\x80\\xae]" },
	};
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		set = before;
		if (strstr(load(cases[i].in), cases[i].out) == NULL)
			fail_msg("%s gives %s", cases[i].in, text);
		assert_memory_equal(&set, &before, sizeof(set));        /* the old set stays */
	}
	(void)load("[Throttle t]\nA=1\nB=2\nC\n[Nope]\nMinShare=1\n[Protect p]\nWeight=1\n");
	assert_int_equal(conf_errors(c)->n, 5);
}

static void errors_are_bounded(void **state)
{
	static char in[64 * 1024];
	int i;

	(void)str_copy(in, sizeof(in), "[Throttle t]\n");
	for (i = 0; i < 1000; i++)
		(void)str_append(in, sizeof(in), "Wrong=1\n");
	(void)load(in);
	assert_int_equal(conf_errors(c)->n, CONF_ERRORS_MAX);
	assert_int_equal(conf_errors(c)->more, 1000 - CONF_ERRORS_MAX);
	assert_non_null(strstr(text, "and 968 more"));
}

static void bounds(void **state)
{
	static char in[256 * 1024];
	int i;

	in[0] = 0;
	for (i = 0; i < MAX_POLICIES; i++)
		(void)str_appendf(in, sizeof(in), "[Protect p%d]\nUnits=a\n", i);
	assert_string_equal(load(in), "");
	(void)str_append(in, sizeof(in), "[Protect more]\nUnits=a\n");
	assert_non_null(strstr(load(in), "more than 64 sections"));
	(void)str_copy(in, sizeof(in), "[Protect p]\n");
	for (i = 0; i < MAX_GLOBS; i++)
		(void)str_appendf(in, sizeof(in), "Units=u%d\n", i);
	assert_string_equal(load(in), "");
	assert_int_equal(set.n_globs, MAX_GLOBS);
	(void)str_append(in, sizeof(in), "Units=more\n");
	assert_non_null(strstr(load(in), "more than 512 patterns"));
}

static void lists_append_and_clear(void **state)
{
	assert_string_equal(load("[Throttle t]\nUnits=a b\nProcesses=x\nUnits=c a\n[Protect p]\nUnits=z\n[Throttle t]\nUnits=d\n"), "");
	assert_string_equal(globs_of(0), "0:a 0:b 0:c 0:d 3:x");
	assert_string_equal(globs_of(1), "0:z");
	assert_string_equal(load("[Throttle t]\nUnits=a b\nProcesses=x\nUnits=\nUnits=c\n"), "");
	assert_string_equal(globs_of(0), "0:c 3:x");
	assert_string_equal(load("[Throttle t]\nUnits=a\nMinShare=10%\nMinShare=\nWhen=wait > 5% for 1s\nWhen=\nLadder=kill\nLadder=\n"
				 "[Relief]\nMode=enforce\nMode=\nLifeline=no\nLifeline=\n"), "");
	assert_int_equal(set.policies[0].min_share, 2500);
	assert_int_equal(set.policies[0].wait, 7500);
	assert_int_equal(set.policies[0].wait_for, 100000);
	assert_int_equal(set.policies[0].most, RUNG_TASKS);
	assert_int_equal(set.settings.mode, MODE_RESCUE);
	assert_true(guard.lifeline);
}

static void an_empty_machine_has_the_defaults(void **state)
{
	assert_string_equal(load_tree(), "");
	assert_int_equal(set.n_policies, 0);
	assert_memory_equal(&set.settings, &SETTINGS_DEFAULT, sizeof(set.settings));
	assert_int_equal(conf_n_files(c), 0);
}

static void files_of_a_machine(void **state)
{
	tree_write("/usr/lib/reprieve/policies/30-t.policy", "[Throttle all]\nCgroups=*\nMinShare=25%\n");
	tree_write("/usr/lib/reprieve/policies/10-l.policy", "[Protect login]\nUnits=ssh.service\n");
	tree_write("/etc/reprieve/policies/10-l.policy.d/ours.conf", "[Protect login]\nUnits=bastion.service\n[Protect more]\nUnits=x\n");
	tree_write("/run/reprieve/policies/30-t.policy.d/a.conf", "[Throttle all]\nMinShare=5%\n");
	tree_write("/etc/reprieve/reprieve.conf", "[Relief]\nMode=observe\nRescueFor=10s\n");
	tree_write("/usr/lib/reprieve/reprieve.conf", "[Relief]\nMode=enforce\nAlarm=20%\n");
	tree_write("/usr/lib/reprieve/reprieve.conf.d/x.conf", "[Relief]\nRescueFor=30s\n");
	assert_string_equal(load_tree(), "");
	assert_int_equal(set.settings.mode, MODE_OBSERVE);
	assert_int_equal(set.settings.alarm, 1000);
	assert_int_equal(set.settings.rescue_for, 30 * USEC_PER_SEC);
	assert_int_equal(set.n_policies, 3);
	assert_string_equal(set.policies[0].name, "login");
	assert_string_equal(set.policies[1].name, "more");
	assert_string_equal(set.policies[1].source, "ours.conf:3");
	assert_string_equal(set.policies[2].name, "all");
	assert_string_equal(globs_of(0), "0:ssh.service 0:bastion.service");
	assert_int_equal(set.policies[2].min_share, 500);
	assert_int_equal(conf_n_files(c), 6);
}

static void one_bad_file_keeps_the_old_set(void **state)
{
	tree_write("/usr/lib/reprieve/policies/10-l.policy", "[Protect login]\nUnits=ssh.service\n");
	tree_write("/etc/reprieve/policies/50-x.policy", "[Protect x]\nUnts=y\n");
	assert_string_equal(load_tree(), "/etc/reprieve/policies/50-x.policy:2:1: Unts: there is no such key in [Protect]; did you mean Units?\n"
			    "    Unts=y\n    ^\n");
	assert_memory_equal(&set, &before, sizeof(set));
}

static void contradictions_have_a_place_too(void **state)
{
	tree_write("/usr/lib/reprieve/policies/30-t.policy", "[Throttle all]\nCgroups=*\nWhen=wait > 10% for 1min\n");
	tree_write("/etc/reprieve/policies/30-t.policy.d/ours.conf", "# sooner\n[Throttle all]\nAtMost=30s\n");
	tree_write("/usr/lib/reprieve/policies/40-u.policy", "[Throttle u]\nCgroups=/u\n");
	assert_string_equal(load_tree(), "/usr/lib/reprieve/policies/30-t.policy:3:6: When: the time in When= must be less than AtMost\n"
			    "    When=wait > 10% for 1min\n"
			    "         ^\n");
	tree_write("/etc/reprieve/policies/30-t.policy.d/ours.conf", "");
	tree_write("/etc/reprieve/reprieve.conf", "[Relief]\nLoginCost=9s\n");
	assert_string_equal(load_tree(), "/etc/reprieve/reprieve.conf:2:11: LoginCost: must be less than RescueLogin, or an idle machine would look dead\n"
			    "    LoginCost=9s\n"
			    "              ^\n");
}

static void sections_belong_where_they_belong(void **state)
{
	tree_write("/etc/reprieve/policies/50-x.policy", "[Relief]\nMode=enforce\n");
	assert_non_null(strstr(load_tree(), "[Relief] belongs in reprieve.conf"));
	(void)tree_new(state);
	tree_write("/etc/reprieve/reprieve.conf", "[Throttle t]\nCgroups=*\n");
	assert_non_null(strstr(load_tree(), "[Throttle] belongs in a policy"));
	(void)tree_new(state);
	tree_write("/etc/reprieve/policies/50-x.policy", "[Throttle t]\nCgroups=*\n");
	tree_write("/etc/reprieve/policies/60-y.policy", "[Throttle t]\nCgroups=*\n");
	assert_non_null(strstr(load_tree(), "60-y.policy:1:2: [Throttle t] is in 50-x.policy:1 already; take another name, or put this into 50-x.policy.d/"));
	(void)tree_new(state);
	tree_write("/etc/reprieve/policies/50-x.policy", "[Throttle t]\nCgroups=*\n");
	tree_write("/etc/reprieve/policies/60-y.policy", "[Protect t]\nCgroups=/a\n");
	assert_string_equal(load_tree(), "");
}

static void untrusted_files_are_refused(void **state)
{
	tree_write("/etc/reprieve/policies/50-x.policy", "[Throttle t]\nCgroups=*\n");
	assert_int_equal(chmod(tree_path("/etc/reprieve/policies/50-x.policy"), 0666), 0);
	if (geteuid() != 0) {
		assert_string_equal(load_tree(), "");
		return;
	}
	assert_non_null(strstr(load_tree(), "50-x.policy: refused: others than root may write it"));
	assert_memory_equal(&set, &before, sizeof(set));
}

static void a_directory_of_others_is_one_mistake(void **state)
{
	char want[512];

	tree_write("/etc/reprieve/policies/50-x.policy", "[Throttle t]\nCgroups=*\n");
	assert_int_equal(chmod(tree_path("/etc/reprieve/policies"), 0777), 0);
	if (geteuid() != 0) {
		assert_string_equal(load_tree(), "");
		return;
	}
	(void)str_format(want, sizeof(want), "/etc/reprieve/policies: refused: others than root may write it (mode 0777); "
			 "chmod go-w %s/etc/reprieve/policies\n", tree);
	assert_string_equal(load_tree(), want);
	assert_int_equal(conf_errors(c)->n + conf_errors(c)->more, 1);
	assert_int_equal(chown(tree_path("/etc/reprieve/policies"), 1234, 0), 0);
	(void)str_format(want, sizeof(want), "/etc/reprieve/policies: refused: it belongs to user 1234; make it root's: "
			 "chown root:root %s/etc/reprieve/policies\n", tree);
	assert_string_equal(load_tree(), want);
	assert_int_equal(chown(tree_path("/etc/reprieve/policies"), 0, 0), 0);
	assert_int_equal(chmod(tree_path("/etc/reprieve/policies"), 0755), 0);

	/* A name is no part of a command. */
	tree_write("/etc/reprieve/policies/60-x;id .policy", "");
	assert_int_equal(chmod(tree_path("/etc/reprieve/policies/60-x;id .policy"), 0666), 0);
	assert_string_equal(load_tree(), "/etc/reprieve/policies/60-x;id .policy: refused: others than root may write it (mode 0666); chmod go-w\n");
}

static void a_path_of_ones_own(void **state)
{
	struct settings mine = SETTINGS_DEFAULT;
	char path[128];

	mine.mode = MODE_ENFORCE;
	tree_write("/d/50-x.policy", "[Throttle t]\nCgroups=*\n");
	(void)str_format(path, sizeof(path), "%s/d", tree);
	assert_int_equal(conf_load_path(c, path, &mine, &set), 0);
	assert_int_equal(set.n_policies, 1);
	assert_int_equal(set.settings.mode, MODE_ENFORCE);
	(void)str_format(path, sizeof(path), "%s/d/50-x.policy", tree);
	assert_int_equal(conf_load_path(c, path, NULL, &set), 0);
	assert_int_equal(set.settings.mode, MODE_RESCUE);
	assert_int_equal(conf_load_path(c, "/nowhere/at/all", NULL, &set), -EINVAL);
	assert_non_null(strstr(conf_errors_text(c, text, sizeof(text)), "/nowhere/at/all: cannot read it"));
}

/* A load that failed leaves nothing behind for the next. */
static void loads_do_not_mix(void **state)
{
	(void)load("[Throttle old]\nCgroups=*\nMinShare=1%\nWrong=1\n[Relief]\nMode=enforce\n");
	assert_string_equal(load("[Throttle new]\nCgroups=/a\n"), "");
	assert_int_equal(set.n_policies, 1);
	assert_int_equal(set.policies[0].min_share, 2500);
	assert_int_equal(set.settings.mode, MODE_RESCUE);
	assert_string_equal(globs_of(0), "2:/a");
}

static void misplaced_files_are_told(void **state)
{
	static const char *const where[] = { "/etc/reprieve", "/run/reprieve", "/usr/lib/reprieve" };
	char path[64], why[96];

	tree_write("/etc/reprieve/policies/50-good.policy", "[Protect x]\nUnits=x.service\n");
	tree_write("/etc/reprieve/reprieve.conf", "[Relief]\nMode=observe\n");
	assert_string_equal(load_tree(), "");
	assert_int_equal(conf_ignored(c)->n, 0);
	for (unsigned i = 0; i < ELEMENTSOF(where); i++) {
		(void)str_format(path, sizeof(path), "%s/60-shop.policy", where[i]);
		tree_write(path, "[nonsense");
		assert_string_equal(load_tree(), "");
		assert_int_equal(conf_ignored(c)->n, i + 1);
		assert_string_equal(conf_ignored(c)->e[i].file, path);
		(void)str_format(why, sizeof(why), "ignored: it belongs in %s/policies", where[i]);
		assert_string_equal(conf_ignored(c)->e[i].why, why);
	}
	assert_int_equal(set.n_policies, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_example_of_the_manual),
		T(errors_show_the_place),
		T(lists_have_no_commas_and_quotes),
		T(everything_wrong_is_told_at_once),
		T(errors_are_bounded),
		T(bounds),
		T(lists_append_and_clear),
		T(an_empty_machine_has_the_defaults),
		T(files_of_a_machine),
		T(one_bad_file_keeps_the_old_set),
		T(contradictions_have_a_place_too),
		T(sections_belong_where_they_belong),
		T(untrusted_files_are_refused),
		T(a_directory_of_others_is_one_mistake),
		T(a_path_of_ones_own),
		T(loads_do_not_mix),
		T(misplaced_files_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
