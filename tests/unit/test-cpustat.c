/* SPDX-License-Identifier: Apache-2.0 */
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

#include "sense/cpustat.h"

static char root[64];
static struct cgroups *table;
static struct cpustat *stat_;
static struct gather *sum;

static void put(const char *group, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/sys/fs/cgroup%s/cpu.stat", root, group);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void used(const char *group, unsigned us)
{
	char text[96];

	snprintf(text, sizeof(text), "usage_usec %u\nuser_usec 0\nsystem_usec 0\n", us);
	put(group, text);
}

static void make(const char *group)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/sys/fs/cgroup%s", root, group);
	assert_int_equal(mkdir(full, 0755), 0);
}

static void drop(const char *group)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/sys/fs/cgroup%s/cpu.stat", root, group);
	assert_int_equal(unlink(full), 0);
	snprintf(full, sizeof(full), "%s/sys/fs/cgroup%s", root, group);
	assert_int_equal(rmdir(full), 0);
}

static uint64_t id_of(const char *path)
{
	for (unsigned i = 0; i < CGROUPS_MAX; i++)
		if (cgroups_at(table, i) && strcmp(cgroups_at(table, i)->path, path) == 0)
			return cgroups_at(table, i)->id;
	fail_msg("%s is not in the table", path);
	return GROUP_NONE;
}

static void look(void)
{
	gather_begin(sum, USEC_PER_SEC);
	cpustat_read(stat_, sum);
}

/* What the last look() gave a cgroup of its own; 0: nothing. */
static uint64_t ran(uint64_t id)
{
	for (unsigned i = 0; i < gather_count(sum); i++)
		if (gather_at(sum, i)->id == id)
			return gather_at(sum, i)->run_ns / 1000;
	return 0;
}

static int setup(void **state)
{
	const struct cgroups_config config = { .root = root };
	char cmd[256];
	FILE *f;

	strcpy(root, "/tmp/test-cpustat.XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(cmd, sizeof(cmd), "mkdir -p %s/proc/self %s/sys/fs/cgroup", root, root);
	assert_int_equal(system(cmd), 0);
	snprintf(cmd, sizeof(cmd), "%s/proc/self/mountinfo", root);
	f = fopen(cmd, "w");
	assert_non_null(f);
	fputs("26 22 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", f);
	fclose(f);
	used("", 0);
	make("/s");
	make("/s/a");
	make("/s/b");
	used("/s", 1000000);
	used("/s/a", 500000);
	used("/s/b", 100000);
	assert_int_equal(cgroups_new(&config, &table), 0);
	assert_int_equal(cgroups_scan(table), 0);
	stat_ = cpustat_new(table);
	sum = gather_new();
	assert_true(stat_ != NULL && sum != NULL);
	look();                         /* the first one only remembers */
	assert_int_equal(gather_count(sum), 0);
	return 0;
}

static int teardown(void **state)
{
	char cmd[128];

	stat_ = cpustat_free(stat_);
	sum = gather_free(sum);
	table = cgroups_free(table);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	return system(cmd);
}

static void children_are_taken_off(void **state)
{
	uint64_t s = id_of("/s"), a = id_of("/s/a"), b = id_of("/s/b");

	used("/s", 1090000);
	used("/s/a", 560000);
	used("/s/b", 120000);
	look();
	assert_int_equal(ran(a), 60000);
	assert_int_equal(ran(b), 20000);
	assert_int_equal(ran(s), 10000);

	/* All by a child; and one whose files were read a moment apart: nothing, not a negative. */
	used("/s", 1190000);
	used("/s/a", 660000);
	look();
	assert_int_equal(ran(a), 100000);
	assert_int_equal(ran(b), 0);
	assert_int_equal(ran(s), 0);
	used("/s", 1200000);
	used("/s/a", 700000);
	look();
	assert_int_equal(ran(a), 40000);
	assert_int_equal(ran(s), 0);

	/* One that slept, b, is asked again when its parent's growth is not explained. */
	used("/s", 1250000);
	used("/s/b", 170000);
	look();
	assert_int_equal(ran(b), 50000);
	assert_int_equal(ran(s), 0);
}

/* A new cgroup of an old name, perhaps with an old id: its count from birth on is no growth. */
static void gone_and_come_again(void **state)
{
	uint64_t a = id_of("/s/a");

	drop("/s/a");
	used("/s", 1030000);
	(void)cgroups_check(table, a);
	look();
	assert_int_equal(ran(a), 0);
	assert_int_equal(ran(id_of("/s")), 30000);
	make("/s/a");
	used("/s/a", 900000);
	assert_int_equal(cgroups_scan(table), 0);
	a = id_of("/s/a");
	look();
	assert_int_equal(ran(a), 0);
	used("/s", 1130000);
	used("/s/a", 990000);
	look();
	assert_int_equal(ran(a), 90000);
	assert_int_equal(ran(id_of("/s")), 10000);
}

static void what_cannot_be_parsed(void **state)
{
	static const char *const bad[] = { "", "usage_usec\n", "usage_usec x\n", "usage_usec -5\n", "usage_usec 99999999999999999999999\n", "user_usec 7000000\n", "\xff\xfe" };
	uint64_t s = id_of("/s"), a = id_of("/s/a");
	unsigned now = 500000;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		put("/s/a", bad[i]);
		used("/s", 1000000 + 10000 * ((unsigned)i + 1));
		look();
		assert_int_equal(ran(a), 0);
		assert_int_equal(ran(s), 10000);
	}
	/* Sound again: what it did meanwhile counts once. A count that went back is no growth. */
	used("/s/a", now += 5000);
	used("/s", 1090000);
	look();
	assert_int_equal(ran(a), 5000);
	used("/s/a", 10);
	used("/s", 1100000);
	look();
	assert_int_equal(ran(a), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(children_are_taken_off), T(gone_and_come_again), T(what_cannot_be_parsed) };

	return cmocka_run_group_tests_name("cpustat", tests, NULL, NULL);
}
