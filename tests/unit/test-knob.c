/* SPDX-License-Identifier: Apache-2.0 */
/* Whose value is it? Two writers on one file, with act's own entry points, on a tree of
 * plain files. What somebody else wrote between two looks is never lost. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "act/act.h"
#include "base/str.h"

static char dir[64];
static struct act *act;
static struct group_info group;
static uint64_t next_id;
static char said[4096];

static void put(const char *file, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/cpu/a.service/%s", dir, file);
	fd = open(path, O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static const char *get(const char *file)
{
	static char text[64];
	char path[128];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/cpu/a.service/%s", dir, file);
	fd = open(path, O_RDONLY|O_CLOEXEC);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	close(fd);
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static usec_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

static void say(void *userdata, const char *line)
{
	(void)str_appendf(said, sizeof(said), "%s\n", line);
}

static struct act_layout layout;
static const struct act_config config = { .rundir = dir, .layout = &layout, .fake = true, .say = say };

static int setup(void **state)
{
	char path[128];
	struct stat st;

	layout = (struct act_layout){ .cpu_v2 = true, .pids_v2 = true, .freezer_v2 = true };
	strcpy(dir, "/tmp/test-knob-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/cpu", dir);
	(void)mkdir(path, 0755);
	strcpy(layout.cpu_root, path);
	strcpy(layout.pids_root, path);
	strcpy(layout.freezer_root, path);
	snprintf(path, sizeof(path), "%s/cpu/a.service", dir);
	if (mkdir(path, 0755) < 0 || stat(path, &st) < 0)
		return -1;
	group = (struct group_info){ .id = st.st_ino, .parent = 1, .weight = 100, .path = "/a.service" };
	put("cgroup.procs", "");
	put("cpu.weight", "100\n");
	put("cpu.max", "max 100000\n");
	put("cpu.max.burst", "0\n");
	said[0] = '\0';
	next_id = 1;
	return act_new(&act, &config);
}

static int teardown(void **state)
{
	char command[128];

	act = act_free(act);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static void carry(enum verb verb, int64_t value, int64_t value2)
{
	struct action a = { .id = next_id++, .verb = verb, .group = group.id, .value = value, .value2 = value2 };
	struct result r;

	assert_true(act_carry_out(act, &a, NULL, &group, &r));
	if (r.status != RESULT_DONE)
		fail_msg("%s: %s", verb_to_string(verb), act_message(act));
}

static void test_weight_between_two_writes(void **state)
{
	carry(VERB_WEIGHT, 10, 0);
	assert_string_equal(get("cpu.weight"), "10");
	put("cpu.weight", "700\n");
	carry(VERB_WEIGHT, 5, 0);
	assert_string_equal(get("cpu.weight"), "5");
	assert_non_null(strstr(said, "somebody else's decision"));
	carry(VERB_RELEASE, 0, 0);
	assert_string_equal(get("cpu.weight"), "700");
	assert_int_equal(act_live(act), 0);
}

static void test_quota_between_two_writes(void **state)
{
	put("cpu.max", "90000 100000\n");
	carry(VERB_QUOTA, 5000, 25000);
	put("cpu.max", "60000 100000\n");
	carry(VERB_QUOTA, 10000, 25000);
	assert_string_equal(get("cpu.max"), "10000 25000");
	carry(VERB_QUOTA, 14000, 25000);
	carry(VERB_RELEASE, 0, 0);
	assert_string_equal(get("cpu.max"), "60000 100000");
}

/* The original written again is nobody's new decision. */
static void test_original_between_two_writes(void **state)
{
	carry(VERB_QUOTA, 5000, 25000);
	put("cpu.max", "max 100000\n");
	carry(VERB_QUOTA, 10000, 25000);
	assert_string_equal(said, "");
	carry(VERB_RELEASE, 0, 0);
	assert_string_equal(get("cpu.max"), "max 100000");
}

static void test_before_the_release(void **state)
{
	carry(VERB_WEIGHT, 10, 0);
	put("cpu.weight", "700\n");
	carry(VERB_RELEASE, 0, 0);
	assert_string_equal(get("cpu.weight"), "700");
}

/* A lifeline lies below the squeeze; what somebody wrote over both stays. */
static void test_over_squeeze_and_lifeline(void **state)
{
	struct drift drift;

	carry(VERB_LIFELINE, 200, 0);
	carry(VERB_WEIGHT, 10, 0);
	put("cpu.weight", "700\n");
	assert_int_equal(act_check_drift(act, &drift, 1), 1);
	assert_false(drift.original);
	carry(VERB_LIFELINE, -1, 0);
	carry(VERB_RELEASE, 0, 0);
	assert_string_equal(get("cpu.weight"), "700");
	assert_int_equal(act_live(act), 0);
	put("cpu.weight", "100\n");
	carry(VERB_LIFELINE, 200, 0);
	carry(VERB_WEIGHT, 10, 0);
	put("cpu.weight", "700\n");
	assert_int_equal(act_check_drift(act, &drift, 1), 1);
	carry(VERB_WEIGHT, 10, 0);
	carry(VERB_LIFELINE, 300, 0);
	carry(VERB_RELEASE, 0, 0);
	assert_string_equal(get("cpu.weight"), "300");
	carry(VERB_LIFELINE, -1, 0);
	assert_string_equal(get("cpu.weight"), "700");
}

static void test_over_a_lifeline(void **state)
{
	carry(VERB_LIFELINE, 200, 0);
	put("cpu.weight", "700\n");
	carry(VERB_LIFELINE, 300, 0);
	carry(VERB_LIFELINE, -1, 0);
	assert_string_equal(get("cpu.weight"), "700");
}

/* The result of a freeze comes later, and it is never left half done. */
static void test_freeze(void **state)
{
	struct action a = { .id = 40, .verb = VERB_FREEZE, .group = group.id, .value = 1 };
	struct result r;
	usec_t began;

	put("cgroup.freeze", "0\n");
	put("cgroup.events", "populated 1\nfrozen 0\n");
	assert_false(act_carry_out(act, &a, NULL, &group, &r));
	assert_int_equal(act_pending(act), 1);
	assert_false(act_poll(act, &r));
	assert_string_equal(get("cgroup.freeze"), "1");
	put("cgroup.events", "populated 1\nfrozen 1\n");
	assert_true(act_poll(act, &r));
	assert_int_equal(r.action, 40);
	assert_int_equal(r.status, RESULT_DONE);
	assert_int_equal(act_pending(act), 0);
	assert_false(act_poll(act, &r));
	carry(VERB_RELEASE, 0, 0);
	assert_string_equal(get("cgroup.freeze"), "0");

	/* Not in time: thawed, and said. */
	put("cgroup.events", "populated 1\nfrozen 0\n");
	began = now();
	a.id = 41;
	assert_false(act_carry_out(act, &a, NULL, &group, &r));
	while (!act_poll(act, &r))
		usleep(1000);
	assert_true(now() - began >= ACT_FREEZE);
	assert_int_equal(r.action, 41);
	assert_int_equal(r.error, ETIMEDOUT);
	assert_non_null(strstr(act_message(act), "thawed again"));
	assert_string_equal(get("cgroup.freeze"), "0");
	assert_int_equal(act_live(act), 0);

	/* Released meanwhile: still one result. */
	a.id = 42;
	assert_false(act_carry_out(act, &a, NULL, &group, &r));
	carry(VERB_RELEASE, 0, 0);
	assert_true(act_poll(act, &r));
	assert_int_equal(r.action, 42);
	assert_int_equal(r.status, RESULT_DONE);
	assert_int_equal(act_pending(act), 0);
}

/* What a start could not put back is tried again, and no squeeze of ours is. */
static void test_left_over(void **state)
{
	char path[128];
	unsigned n = 9;

	carry(VERB_WEIGHT, 10, 0);
	carry(VERB_QUOTA, 5000, 25000);
	act = act_free(act);
	assert_int_equal(act_new(&act, &config), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/cpu/a.service/%s", dir, i ? "cpu.max" : "cpu.weight");
		assert_int_equal(unlink(path), 0);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	assert_int_equal(act_restore_all(act, NULL), -EISDIR);
	assert_int_equal(act_left_over(act), 2);
	assert_int_equal(act_restore_left_over(act, &n), -EISDIR);
	assert_int_equal(n, 0);

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/cpu/a.service/%s", dir, i ? "cpu.max" : "cpu.weight");
		assert_int_equal(rmdir(path), 0);
	}
	put("cpu.weight", "10\n");
	put("cpu.max", "5000 25000\n");
	carry(VERB_QUOTA, 10000, 25000);        /* squeezed anew: this one is ours */
	assert_int_equal(act_left_over(act), 1);
	assert_int_equal(act_restore_left_over(act, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(act_left_over(act), 0);
	assert_string_equal(get("cpu.weight"), "100");
	assert_string_equal(get("cpu.max"), "10000 25000");
	carry(VERB_RELEASE, 0, 0);
	assert_string_equal(get("cpu.max"), "max 100000");
	assert_int_equal(act_live(act), 0);
}

static void refused(enum verb verb, int64_t value, int64_t value2, int64_t own, int64_t own2)
{
	struct action a = { .id = next_id++, .verb = verb, .group = group.id, .value = value, .value2 = value2 };
	struct result r;

	assert_true(act_carry_out(act, &a, NULL, &group, &r));
	assert_int_equal(r.status, RESULT_FAILED);
	assert_int_equal(r.error, EEXIST);
	assert_int_equal(r.value, own);
	assert_int_equal(r.value2, own2);
}

/* Tighter than ours: what somebody set in mid-squeeze is told and not loosened, and is there afterwards. */
static void test_a_tighter_limit_stays(void **state)
{
	struct drift d[4];

	carry(VERB_QUOTA, 25000, 100000);
	put("cpu.max", "10000 200000\n");
	assert_int_equal(act_check_drift(act, d, ELEMENTSOF(d)), 1);
	assert_int_equal(d[0].value, 10000);
	assert_int_equal(d[0].value2, 200000);
	refused(VERB_QUOTA, 25000, 100000, 10000, 200000);
	assert_string_equal(get("cpu.max"), "10000 200000");
	assert_int_equal(act_check_drift(act, d, ELEMENTSOF(d)), 1);
	carry(VERB_QUOTA, 10000, 200000);
	assert_int_equal(act_check_drift(act, d, ELEMENTSOF(d)), 0);
	carry(VERB_QUOTA, 3000, 100000);
	assert_string_equal(get("cpu.max"), "3000 100000");
	refused(VERB_QUOTA, 50000, 100000, 10000, 200000);       /* relaxed, but not beyond theirs */
	assert_string_equal(get("cpu.max"), "3000 100000");
	carry(VERB_RELEASE, 0, 0);
	assert_string_equal(get("cpu.max"), "10000 200000");

	carry(VERB_WEIGHT, 20, 0);
	put("cpu.weight", "3\n");
	assert_int_equal(act_check_drift(act, d, ELEMENTSOF(d)), 1);
	assert_int_equal(d[0].value, 3);
	refused(VERB_WEIGHT, 20, 0, 3, 0);
	assert_string_equal(get("cpu.weight"), "3");
	carry(VERB_WEIGHT, 2, 0);
	refused(VERB_WEIGHT, 20, 0, 3, 0);
	carry(VERB_RELEASE, 0, 0);
	assert_string_equal(get("cpu.weight"), "3");
	assert_int_equal(act_live(act), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_weight_between_two_writes), T(test_quota_between_two_writes), T(test_original_between_two_writes),
		T(test_before_the_release), T(test_over_squeeze_and_lifeline), T(test_over_a_lifeline), T(test_freeze), T(test_left_over),
		T(test_a_tighter_limit_stays),
	};

	return cmocka_run_group_tests_name("knob", tests, NULL, NULL);
}
