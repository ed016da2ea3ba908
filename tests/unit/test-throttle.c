/* SPDX-License-Identifier: Apache-2.0 */
/* The writers against a directory of plain files that act_inject() gives the kernel's
 * rules: an idle cgroup takes no weight and has none, a quota below the burst is
 * refused, a v1 period moves only without a quota. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "act/act.h"
#include "act/inject.h"
#include "act/throttle.h"
#include "base/str.h"

static char dir[64], order[512], message[256];
static struct place place;
static bool after;              /* act_inject comes in pairs */

static void put(const char *file, const char *text)
{
	int fd = openat(place.fd, file, O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int64_t get(const char *file)
{
	char text[64] = "";
	int fd = openat(place.fd, file, O_RDONLY|O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		fail_msg("%s", file);
	close(fd);
	return strncmp(text, "max", 3) == 0 ? -1 : atoll(text);
}

static bool is(const char *file, const char *name)
{
	return strcmp(file, name) == 0;
}

int act_inject(const char *file)
{
	after = !after;
	if (after) {
		if ((is(file, "cpu.weight") || is(file, "cpu.shares")) && get("cpu.idle") == 1)
			return after = false, -EINVAL;
		if (is(file, "cpu.max") && get("cpu.max.burst") > 0)
			return after = false, -EINVAL;
		if (is(file, "cpu.cfs_quota_us") && get("cpu.cfs_burst_us") > 0)
			return after = false, -EINVAL;
		if (is(file, "cpu.cfs_period_us") && get("cpu.cfs_quota_us") != -1)
			return after = false, -EINVAL;
		return 0;
	}
	str_appendf(order, sizeof(order), "%s=%lld ", file, (long long)get(file));
	if (is(file, "cpu.idle"))
		put(place.v2 ? "cpu.weight" : "cpu.shares", get(file) == 1 ? (place.v2 ? "0\n" : "3\n") : place.v2 ? "100\n" : "1024\n");
	return 0;
}

static int setup(bool v2)
{
	static const char *const files[][2] = {
		{ "cpu.weight", "100\n" }, { "cpu.shares", "1024\n" }, { "cpu.idle", "0\n" }, { "cpu.max", "max 100000\n" },
		{ "cpu.max.burst", "0\n" }, { "cpu.cfs_quota_us", "-1\n" }, { "cpu.cfs_period_us", "100000\n" },
		{ "cpu.cfs_burst_us", "0\n" }, { "pids.max", "max\n" }, { "pids.current", "9\n" }, { "cgroup.freeze", "0\n" },
		{ "cgroup.procs", "" },
	};

	strcpy(dir, "/tmp/test-throttle-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	place = (struct place){ .fd = open(dir, O_PATH|O_DIRECTORY|O_CLOEXEC), .v2 = v2, .fake = true, .path = "/a.service",
				.message = message, .message_size = sizeof(message) };
	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		put(files[i][0], files[i][1]);
	order[0] = '\0';
	after = false;
	return 0;
}

static int setup_v2(void **state) { return setup(true); }
static int setup_v1(void **state) { return setup(false); }

static int teardown(void **state)
{
	char command[128];

	place_close(&place);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static struct journal_values set(enum journal_kind kind, int64_t a, int64_t b, int64_t c)
{
	struct journal_values was, to = { .v = { a, b, c } };

	assert_int_equal(throttle_read(&place, kind, &was), 0);
	order[0] = '\0';
	assert_int_equal(throttle_write(&place, kind, &was, &to), 0);
	return was;
}

static void back(enum journal_kind kind, const struct journal_values *to)
{
	struct journal_values now;

	assert_int_equal(throttle_read(&place, kind, &now), 0);
	order[0] = '\0';
	assert_int_equal(throttle_write(&place, kind, &now, to), 0);
	assert_int_equal(throttle_read(&place, kind, &now), 0);
	assert_true(throttle_equal(kind, &now, to));
}

static void test_quota_v2(void **state)
{
	struct journal_values was;

	put("cpu.max", "60000 100000\n");
	put("cpu.max.burst", "30000\n");
	was = set(JOURNAL_QUOTA, 5000, 25000, 0);
	assert_string_equal(order, "cpu.max.burst=0 cpu.max=5000 ");
	assert_int_equal(was.v[0], 60000);
	assert_int_equal(was.v[1], 100000);
	assert_int_equal(was.v[2], 30000);
	set(JOURNAL_QUOTA, 5000, 25000, 0);
	assert_string_equal(order, "");                 /* each write would refill it */
	back(JOURNAL_QUOTA, &was);
	assert_string_equal(order, "cpu.max=60000 cpu.max.burst=30000 ");

	put("cpu.max", "max 50000");
	put("cpu.max.burst", "0");
	was = set(JOURNAL_QUOTA, 1000, 50000, 0);
	assert_int_equal(was.v[0], -1);
	back(JOURNAL_QUOTA, &was);
	assert_int_equal(get("cpu.max"), -1);
}

static void test_quota_text(void **state)
{
	static const char *const bad[] = { "", "max", "5000", "max ", "max x", " 5000 100000", "+5000 100000", "-2 100000", "5000 -1", "5000 max", "5000  1",
					   "5000 1 ", "99999999999999999999 100000", "5000 99999999999999999999", "0x10 1" };
	struct journal_values v = {};
	int64_t n;

	assert_int_equal(throttle_parse_quota("5000 100000", &v), 0);
	assert_true(v.v[0] == 5000 && v.v[1] == 100000);
	assert_int_equal(throttle_parse_quota("max 50000", &v), 0);
	assert_true(v.v[0] == -1 && v.v[1] == 50000);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_int_equal(throttle_parse_quota(bad[i], &v), -EBADMSG);
	assert_true(v.v[0] == -1 && v.v[1] == 50000);
	assert_int_equal(tree_parse_number("9223372036854775807", &n), 0);
	assert_int_equal(tree_parse_number("9223372036854775808", &n), -EBADMSG);
	assert_int_equal(tree_parse_number("-2", &n), -EBADMSG);
	assert_int_equal(tree_parse_number("", &n), -EBADMSG);
	assert_true(tree_parse_number("max", &n) == 0 && n == -1);
}

static void test_quota_v1(void **state)
{
	struct journal_values was;

	was = set(JOURNAL_QUOTA, 5000, 25000, 0);
	assert_string_equal(order, "cpu.cfs_period_us=25000 cpu.cfs_quota_us=5000 ");
	set(JOURNAL_QUOTA, 8000, 25000, 0);
	assert_string_equal(order, "cpu.cfs_quota_us=8000 ");   /* one write where one is enough */
	set(JOURNAL_QUOTA, 8000, 50000, 0);
	assert_string_equal(order, "cpu.cfs_quota_us=-1 cpu.cfs_period_us=50000 cpu.cfs_quota_us=8000 ");
	back(JOURNAL_QUOTA, &was);
	assert_string_equal(order, "cpu.cfs_quota_us=-1 cpu.cfs_period_us=100000 ");

	put("cpu.cfs_quota_us", "60000");
	put("cpu.cfs_burst_us", "30000");
	was = set(JOURNAL_QUOTA, 5000, 25000, 0);
	assert_string_equal(order, "cpu.cfs_burst_us=0 cpu.cfs_quota_us=-1 cpu.cfs_period_us=25000 cpu.cfs_quota_us=5000 ");
	back(JOURNAL_QUOTA, &was);
	assert_int_equal(get("cpu.cfs_burst_us"), 30000);
}

static void test_quota_without_burst(void **state)
{
	struct journal_values was;

	assert_int_equal(unlinkat(place.fd, "cpu.max.burst", 0), 0);
	put("cpu.max.burst.gone", "");
	assert_int_equal(throttle_read(&place, JOURNAL_QUOTA, &was), 0);
	assert_int_equal(was.v[2], -1);
}

static void test_idle(void **state)
{
	const char *weight = place.v2 ? "cpu.weight" : "cpu.shares";
	struct journal_values was, now;

	put(weight, "777\n");
	was = set(JOURNAL_IDLE, 1, 0, 0);
	assert_int_equal(was.v[1], 777);
	assert_int_equal(get(weight), place.v2 ? 0 : 3);
	assert_int_equal(throttle_read(&place, JOURNAL_WEIGHT, &now), 0);
	order[0] = '\0';
	assert_int_equal(throttle_write(&place, JOURNAL_WEIGHT, &now, &(struct journal_values){ .v = { 10 } }), -EINVAL);
	assert_non_null(strstr(message, "idle cgroup"));
	after = false;
	back(JOURNAL_IDLE, &was);                       /* idle first, then the weight that it had destroyed */
	assert_int_equal(get(weight), 777);
	assert_int_equal(strncmp(order, "cpu.idle=0 ", 11), 0);
}

static void test_small_ones(void **state)
{
	struct journal_values was;

	was = set(JOURNAL_PIDS, 9, 0, 0);
	assert_int_equal(get("pids.max"), 9);
	back(JOURNAL_PIDS, &was);
	assert_int_equal(get("pids.max"), -1);
	was = set(JOURNAL_FREEZE, 1, 0, 0);
	assert_int_equal(get("cgroup.freeze"), 1);
	back(JOURNAL_FREEZE, &was);
	was = set(JOURNAL_WEIGHT, 10, 0, 0);
	back(JOURNAL_WEIGHT, &was);
	assert_int_equal(get("cpu.weight"), 100);
}

static void test_freezing_is_not_waited_for(void **state)
{
	usec_t began = tree_clock();
	struct journal_values off = {}, on = { .v = { 1 } };

	put("cgroup.events", "populated 1\nfrozen 0\n");
	assert_int_equal(throttle_write(&place, JOURNAL_FREEZE, &off, &on), 0);
	assert_true(tree_clock() - began < 10 * USEC_PER_MSEC);
	assert_int_equal(get("cgroup.freeze"), 1);
	assert_int_equal(throttle_frozen(&place), 0);
	put("cgroup.events", "populated 1\nfrozen 1\n");
	assert_int_equal(throttle_frozen(&place), 1);
}

static void test_bad_content(void **state)
{
	static const struct { const char *file, *text; enum journal_kind kind; } cases[] = {
		{ "cpu.max", "", JOURNAL_QUOTA }, { "cpu.max", "x 1", JOURNAL_QUOTA }, { "cpu.max", "max", JOURNAL_QUOTA },
		{ "cpu.weight", "", JOURNAL_WEIGHT }, { "cpu.weight", "1x", JOURNAL_WEIGHT }, { "cpu.weight", "99999999999999999999", JOURNAL_WEIGHT },
		{ "pids.max", "maximum", JOURNAL_PIDS },
	};
	struct journal_values v = { .v = { 42 } };

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		put(cases[i].file, cases[i].text);
		if (throttle_read(&place, cases[i].kind, &v) != -EBADMSG)
			fail_msg("%s: \"%s\"", cases[i].file, cases[i].text);
		assert_int_equal(v.v[0], 42);
	}
}

static void test_weights(void **state)
{
	static const struct { int64_t weight, shares; } cases[] = {
		{ 1, 10 }, { 10, 102 }, { 20, 204 }, { 100, 1024 }, { 800, 8192 }, { 10000, 102400 },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		assert_int_equal(throttle_weight_to_file(false, cases[i].weight), cases[i].shares);
		assert_int_equal(throttle_weight_to_file(true, cases[i].weight), cases[i].weight);
		assert_int_equal(throttle_weight_from_file(false, cases[i].shares), cases[i].weight);
		assert_int_equal(throttle_weight_from_file(true, cases[i].weight), cases[i].weight);
	}
	assert_int_equal(throttle_weight_to_file(true, 0), 1);
	assert_int_equal(throttle_weight_to_file(true, INT64_MAX), 10000);
}

static void test_whose(void **state)
{
	static const struct {
		enum journal_kind kind;
		bool busy;
		int64_t original[3], ours[3], previous[3], found[3];
		bool is_ours;
	} cases[] = {
		{ JOURNAL_WEIGHT, false, { 100 }, { 10 }, { 20 }, { 10 }, true },
		{ JOURNAL_WEIGHT, false, { 100 }, { 10 }, { 20 }, { 20 }, false },
		{ JOURNAL_WEIGHT, true,  { 100 }, { 10 }, { 20 }, { 20 }, true },
		{ JOURNAL_WEIGHT, true,  { 100 }, { 10 }, { 20 }, { 30 }, false },
		{ JOURNAL_IDLE, false, { 0, 100 }, { 1 }, { 0 }, { 1, 0 }, true },
		{ JOURNAL_IDLE, false, { 0, 70 }, { 1 }, { 0 }, { 0, 100 }, false },
		{ JOURNAL_IDLE, true,  { 0, 70 }, { 1 }, { 0 }, { 0, 100 }, true },    /* between idle = 0 and the weight */
		{ JOURNAL_IDLE, true,  { 0, 70 }, { 1 }, { 0 }, { 0, 55 }, false },
		{ JOURNAL_QUOTA, false, { -1, 100000, 0 }, { 5000, 25000, 0 }, { 5000, 25000, 0 }, { 5000, 25000, 0 }, true },
		{ JOURNAL_QUOTA, false, { -1, 100000, 0 }, { 5000, 25000, 0 }, { 5000, 25000, 0 }, { -1, 25000, 0 }, false },
		{ JOURNAL_QUOTA, true,  { -1, 100000, 0 }, { 5000, 25000, 0 }, { 5000, 25000, 0 }, { -1, 25000, 0 }, true },
		{ JOURNAL_QUOTA, true,  { 60000, 100000, 30000 }, { 5000, 25000, 0 }, { 8000, 50000, 0 }, { 60000, 100000, 0 }, true },
		{ JOURNAL_QUOTA, true,  { 60000, 100000, 30000 }, { 5000, 25000, 0 }, { 8000, 50000, 0 }, { -1, 50000, 0 }, true },
		{ JOURNAL_QUOTA, true,  { 60000, 100000, 0 }, { 5000, 25000, 0 }, { 8000, 50000, 0 }, { 70000, 100000, 0 }, false },
		{ JOURNAL_QUOTA, true,  { 60000, 100000, 0 }, { 5000, 25000, 0 }, { 8000, 50000, 0 }, { 5000, 25000, 9 }, false },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct journal_record r = { .kind = (uint8_t)cases[i].kind, .busy = cases[i].busy };
		struct journal_values found;

		memcpy(r.original.v, cases[i].original, sizeof(r.original.v));
		memcpy(r.ours.v, cases[i].ours, sizeof(r.ours.v));
		memcpy(r.previous.v, cases[i].previous, sizeof(r.previous.v));
		memcpy(found.v, cases[i].found, sizeof(found.v));
		if (throttle_is_ours(&r, &found) != cases[i].is_ours)
			fail_msg("case %zu", i);
	}
}

/* Somebody wrote one of the three files: that stays, the others are not theirs. */
static void test_theirs(void **state)
{
	static const struct { int kind; int64_t found[3], theirs[3]; } cases[] = {
		{ JOURNAL_QUOTA, { 54321, 25000, 0 }, { 54321, 100000, 3000 } }, { JOURNAL_QUOTA, { 5000, 70000, 0 }, { 60000, 70000, 3000 } },
		{ JOURNAL_QUOTA, { -1, 25000, 0 }, { -1, 100000, 3000 } }, { JOURNAL_QUOTA, { 7, 70000, 9 }, { 7, 70000, 9 } },
		{ JOURNAL_WEIGHT, { 300, 25000, 0 }, { 300, 25000, 0 } },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct journal_record r = { .kind = (uint8_t)cases[i].kind, .original.v = { 60000, 100000, 3000 }, .ours.v = { 5000, 25000, 0 } };
		struct journal_values found, v;

		memcpy(found.v, cases[i].found, sizeof(found.v));
		v = throttle_theirs(&r, &found);
		assert_memory_equal(v.v, cases[i].theirs, sizeof(v.v));
	}
}

static void test_idlist(void **state)
{
	_cleanup_(idlist_close) struct idlist l = { .fd = -1 };
	char text[12001] = "";
	int n = 0, id;

	for (int i = 100000; i < 101500; i++)
		str_appendf(text, sizeof(text), "%d\n", i);
	put("cgroup.procs", text);
	assert_int_equal(idlist_open(&l, &place, "cgroup.procs"), 0);
	while ((id = idlist_next(&l)) > 0)
		assert_int_equal(id, 100000 + n++);
	assert_int_equal(n, 1500);
	idlist_close(&l);
	put("cgroup.procs", "0\n5\n\n0\n99999999999999\n7");
	assert_int_equal(idlist_open(&l, &place, "cgroup.procs"), 0);
	assert_int_equal(idlist_next(&l), 5);
	assert_int_equal(idlist_next(&l), INT32_MAX);
	assert_int_equal(idlist_next(&l), 7);
	assert_int_equal(idlist_next(&l), 0);
}

#define V2(test) cmocka_unit_test_setup_teardown(test, setup_v2, teardown)
#define V1(test) cmocka_unit_test_setup_teardown(test, setup_v1, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		V2(test_quota_v2), V1(test_quota_text), V2(test_quota_without_burst), V2(test_idle), V1(test_idle), V2(test_small_ones),
		V2(test_quota_v2), V1(test_quota_v1), V2(test_quota_without_burst), V2(test_idle), V1(test_idle), V2(test_small_ones),
		V2(test_freezing_is_not_waited_for), V2(test_bad_content), cmocka_unit_test(test_weights), cmocka_unit_test(test_whose),
		cmocka_unit_test(test_theirs), V2(test_idlist),
	};

	return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
