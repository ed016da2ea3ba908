/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
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
#include "conf/format.h"
#include "conf/policies.h"
#include "unit/conf-tree.h"

/* The shipped policies, seen from the repository's top, where the tests run. */
#define SHIPPED "policies"

static struct conf *c;
static struct policy_set set, again;
static struct guard_settings guard, guard_again;
static char text[2 * CONF_TEXT_MAX], text_again[2 * CONF_TEXT_MAX], errors[64 * 1024];

static int setup(void **state)
{
	c = conf_new();
	return c ? tree_new(state) : -1;
}

static int teardown(void **state)
{
	c = conf_free(c);
	return tree_free(state);
}

static void load_text(const char *in, struct policy_set *ret, struct guard_settings *ret_guard)
{
	if (conf_text_load(c, in, strlen(in), "text", ret, ret_guard) < 0)
		fail_msg("%s", conf_errors_text(c, errors, sizeof(errors)));
}

static void assert_same(struct policy_set *a, struct policy_set *b)
{
	int i;

	for (i = 0; i < MAX_POLICIES; i++) {
		memset(a->policies[i].source, 0, sizeof(a->policies[i].source));
		memset(b->policies[i].source, 0, sizeof(b->policies[i].source));
	}
	assert_memory_equal(a, b, sizeof(*a));
}

/* parse(format(parse(f))) == parse(f), and format is a fixed point. */
static void round_trip(void)
{
	assert_int_equal(conf_format(&set, &guard, text, CONF_TEXT_MAX), 0);
	load_text(text, &again, &guard_again);
	assert_same(&set, &again);
	assert_memory_equal(&guard, &guard_again, sizeof(guard));
	assert_int_equal(conf_format(&again, &guard_again, text_again, CONF_TEXT_MAX), 0);
	assert_string_equal(text, text_again);
}

static void every_shipped_policy_makes_the_round(void **state)
{
	struct dirent *entry;
	DIR *d = opendir(SHIPPED);
	char path[512];
	int n = 0;

	assert_non_null(d);
	guard = GUARD_SETTINGS_DEFAULT;
	while ((entry = readdir(d)) != NULL) {
		if (!str_ends(entry->d_name, ".policy"))
			continue;
		(void)str_format(path, sizeof(path), SHIPPED "/%s", entry->d_name);
		if (conf_load_path(c, path, NULL, &set) < 0)
			fail_msg("%s", conf_errors_text(c, errors, sizeof(errors)));
		round_trip();
		n++;
	}
	(void)closedir(d);
	assert_true(n >= 3);
	assert_int_equal(conf_load_path(c, SHIPPED, NULL, &set), 0);
	round_trip();
}

static struct group_info group(const char *path, const char *name, const char *process)
{
	struct group_info info = { .id = 7, .uid = UINT32_MAX };

	(void)str_copy(info.path, sizeof(info.path), path);
	(void)str_copy(info.name, sizeof(info.name), name);
	(void)str_copy(info.procs[0], COMM_MAX, process);
	return info;
}

/* What the shipped set takes a cgroup for: "login 800 login", or "throttle …", or "-". */
static const char *taken_for(const struct group_info *info, usec_t now)
{
	static char out[256];
	int i;

	(void)str_copy(out, sizeof(out), "-");
	for (i = set.n_policies - 1; i >= 0; i--) {
		const struct policy *p = &set.policies[i];

		if (!policy_matches(&set, p, info, now))
			continue;
		if (p->kind == POLICY_PROTECT)
			(void)str_format(out, sizeof(out), "%s %d", importance_to_string(p->as), p->weight);
		else
			(void)str_format(out, sizeof(out), "throttle %s", rung_to_string(p->most));
	}
	return out;
}

static void the_shipped_set_knows_a_machine(void **state)
{
	static const struct { const char *path, *name, *process, *as; } cases[] = {
		{ "/system.slice/ssh.service", "ssh.service", "sshd", "login 800" },
		{ "/system.slice/system-sshd.slice/sshd@3.service", "sshd@3.service", "sshd", "login 800" },
		{ "/system.slice/snap.amazon-ssm-agent.amazon-ssm-agent.service", "snap.amazon-ssm-agent.amazon-ssm-agent.service", "x", "login 800" },
		{ "/container/sshd", "sshd", "sshd", "login 800" },
		/* an old session holds an sshd too: it is fair game */
		{ "/user.slice/user-0.slice/session-4.scope", "session-4.scope", "sshd", "throttle tasks" },
		{ "/user.slice/user-1000.slice/session-c1.scope", "session-c1.scope", "postgres", "throttle tasks" },
		{ "/user.slice/user-0.slice/user@0.service/init.scope", "init.scope", "systemd", "login -1" },
		{ "/user.slice/user-0.slice/user@0.service/app.slice/x.service", "x.service", "x", "throttle tasks" },
		{ "/system.slice/dbus.service", "dbus.service", "dbus-daemon", "system 800" },
		/* names that anybody can give */
		{ "/user.slice/user-7.slice/user@7.service/app.slice/sshd.service", "sshd.service", "x", "throttle tasks" },
		{ "/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope/ssh.service", "ssh.service", "x", "throttle tasks" },
		{ "/user.slice/user-7.slice/user@7.service/app.slice/x.service/init.scope", "init.scope", "x", "throttle tasks" },
		{ "/user.slice/user-7.slice/user@7.service/user@0.service/init.scope", "init.scope", "x", "throttle tasks" },
		{ "/user.slice/user-7.slice/user@7.service/app.slice/y.service", "y.service", "sshd-session", "throttle tasks" },
		{ "/lxc/web/system.slice/ssh.service", "ssh.service", "sshd", "throttle tasks" },
		{ "/lxc.payload.web/system.slice/ssh.service", "ssh.service", "sshd", "throttle tasks" },
		{ "/lxc.payload.web/system.slice/dbus.service", "dbus.service", "dbus-daemon", "throttle tasks" },
		{ "/machine.slice/machine-web.scope/payload/system.slice/ssh.service", "ssh.service", "sshd", "throttle tasks" },
		{ "/machine.slice/systemd-nspawn@web.service/payload/init.scope", "init.scope", "systemd", "throttle tasks" },
		{ "/container/auth", "auth", "sshd-auth", "login 800" },
		{ "/init.scope", "init.scope", "systemd", "system 800" },
		{ "/system.slice/docker.service", "docker.service", "dockerd", "system 400" },
		{ "/system.slice/docker-0123.scope", "shop-db", "postgres", "database 200" },
		{ "/system.slice/docker-0123.scope", "postgres-backup", "pg_dump", "throttle tasks" },
		{ "/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main.service", "postgres", "database 200" },
		{ "/system.slice/postgresql-backup.service", "postgresql-backup.service", "gzip", "throttle tasks" },
		{ "/system.slice/batch.service", "batch.service", "java", "throttle tasks" },
	};
	struct group_info young = group("/user.slice/user-0.slice/session-9.scope", "session-9.scope", "sshd");
	size_t i;

	assert_int_equal(conf_load_path(c, SHIPPED, NULL, &set), 0);
	for (i = 0; i < ELEMENTSOF(cases); i++) {
		struct group_info info = group(cases[i].path, cases[i].name, cases[i].process);

		if (!str_equal(taken_for(&info, USEC_PER_HOUR), cases[i].as))
			fail_msg("%s is taken for %s", cases[i].path, taken_for(&info, USEC_PER_HOUR));
	}
	young.born = USEC_PER_HOUR - 30 * USEC_PER_SEC;
	assert_string_equal(taken_for(&young, USEC_PER_HOUR), "login -1");
	assert_string_equal(taken_for(&young, 2 * USEC_PER_HOUR), "throttle tasks");
}

static void the_shipped_set_is_mild(void **state)
{
	int i;

	assert_int_equal(conf_load_path(c, SHIPPED, NULL, &set), 0);
	for (i = 0; i < set.n_policies; i++)
		if (set.policies[i].kind == POLICY_THROTTLE) {
			assert_true(set.policies[i].most <= RUNG_TASKS);
			assert_true(set.policies[i].wait >= 7500);
			assert_true(set.policies[i].min_share >= 2500);
		}
	assert_int_equal(set.settings.mode, MODE_RESCUE);
}

/* Every example in a comment of a shipped policy, "#   [Section]" and what follows, is right. */
static void examples_in_comments_are_right(void **state)
{
	struct dirent *entry;
	DIR *d = opendir(SHIPPED);
	int sections = 0;

	assert_non_null(d);
	text[0] = 0;
	while ((entry = readdir(d)) != NULL) {
		char path[512], line[512];
		bool in = false;
		FILE *f;

		if (!str_ends(entry->d_name, ".policy"))
			continue;
		(void)str_format(path, sizeof(path), SHIPPED "/%s", entry->d_name);
		f = fopen(path, "r");
		assert_non_null(f);
		while (fgets(line, sizeof(line), f)) {
			if (!str_starts(line, "#   "))
				in = false;
			else if (line[strspn(line, "# ")] == '[')
				in = true, sections++;
			if (in)
				(void)str_append(text, sizeof(text), line + strspn(line, "# "));
		}
		(void)fclose(f);
	}
	(void)closedir(d);
	assert_true(sections >= 4);
	load_text(text, &set, &guard);
}

static void unusual_sets_make_the_round(void **state)
{
	static char in[256 * 1024];
	size_t n;
	int i;

	in[0] = 0;
	for (i = 0; i < MAX_POLICIES; i++)
		(void)str_appendf(in, sizeof(in), "[Protect p%d]\n", i), (void)str_append(in, sizeof(in), "Cgroups=/x\nYoung=1s\nWeight=100\n");
	n = MAX_GLOBS - MAX_POLICIES;
	(void)str_append(in, sizeof(in), "[Protect p0]\n");
	for (i = 0; i < (int)n; i++) {
		char word[GLOB_TEXT_MAX];

		memset(word, 'a', sizeof(word) - 1);
		word[sizeof(word) - 1] = 0;
		(void)str_format(word, 10, "Units=%03d", i);
		word[9] = 'a';
		(void)str_appendf(in, sizeof(in), "%s\n", word);
	}
	load_text(in, &set, &guard);
	assert_int_equal(set.n_globs, MAX_GLOBS);
	round_trip();
	assert_true(strlen(text) < CONF_TEXT_MAX);

	load_text("[Throttle t]\nExcept=b\nUsers=root 7\nCgroups=*\nUnits=\xff\xfe[a\nWhen=wait > 1% for 0s\nUsefulWork=yes\nLadder=weight\n"
		  "[Endpoint e]\nURL=http://[::1]:8/#x\nTimeout=60s\nGood=1ms\n"
		  "[Relief]\nFlightRecorder=0\nProbe=always\nLifeline=no\nMode=observe\nAlarm=1.01%\n", &set, &guard);
	round_trip();
}

static void too_small_a_buffer_is_told(void **state)
{
	size_t n;

	assert_int_equal(conf_load_path(c, SHIPPED, NULL, &set), 0);
	assert_int_equal(conf_format(&set, NULL, text, CONF_TEXT_MAX), 0);
	n = strlen(text);
	assert_int_equal(conf_format(&set, NULL, text, n), -ENOBUFS);
	assert_int_equal(conf_format(&set, NULL, text, 0), -ENOBUFS);
	assert_int_equal(conf_format(&set, NULL, text, n + 1), 0);
	assert_null(strstr(text, "Probe="));
}

static void cat_tells_where_from(void **state)
{
	tree_write("/usr/lib/reprieve/policies/30-t.policy", "# c\n[Throttle all]\nCgroups=/a /b\nUnits=u\nMinShare=25%\n");
	tree_write("/etc/reprieve/policies/30-t.policy.d/ours.conf", "[Throttle all]\nMinShare=5%\nCgroups=/c\n");
	tree_write("/etc/reprieve/reprieve.conf", "[Relief]\nMode=observe\n");
	assert_int_equal(conf_load(c, tree, &set, &guard), 0);
	assert_int_equal(conf_cat(c, "all", text, sizeof(text)), 0);
	assert_string_equal(text,
		"[Throttle all]\n"
		"Units=u                                  # 30-t.policy:4\n"
		"Cgroups=/a /b                            # 30-t.policy:3\n"
		"Cgroups=/c                               # ours.conf:3\n"
		"When=wait > 75% for 100ms                # default\n"
		"MinShare=5%                              # ours.conf:2\n"
		"AtMost=30min                             # default\n"
		"Ladder=tasks                             # default\n"
		"UsefulWork=no                            # default\n");
	assert_int_equal(conf_cat(c, "30-t.policy", text_again, sizeof(text_again)), 0);
	assert_string_equal(text, text_again);
	assert_int_equal(conf_cat(c, "30-t", text_again, sizeof(text_again)), 0);
	assert_string_equal(text, text_again);
	assert_int_equal(conf_cat(c, "30-", text_again, sizeof(text_again)), -ENOENT);
	assert_int_equal(conf_cat(c, "reprieve.conf", text, sizeof(text)), 0);
	assert_non_null(strstr(text, "Mode=observe                             # reprieve.conf:2\n"));
	assert_non_null(strstr(text, "Alarm=10%                                # default\n"));
	assert_int_equal(conf_cat(c, "nope", text, sizeof(text)), -ENOENT);
	assert_int_equal(conf_cat(c, NULL, text, 100), -ENOBUFS);
	/* What is shown can be read again and means the same. */
	assert_int_equal(conf_cat(c, NULL, text, sizeof(text)), 0);
	load_text(text, &again, &guard_again);
	assert_same(&set, &again);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_shipped_policy_makes_the_round),
		T(the_shipped_set_knows_a_machine),
		T(the_shipped_set_is_mild),
		T(examples_in_comments_are_right),
		T(unusual_sets_make_the_round),
		T(too_small_a_buffer_is_told),
		T(cat_tells_where_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
