/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sense/mounts.h"

#define V2   "26 22 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define CPU  "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct\n"
#define SET  "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
#define PIDS "39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
#define UNI  "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n"
#define ROOT "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"

static void layouts(void **state)
{
	struct mounts m;

	assert_int_equal(mounts_parse(ROOT V2, &m), 0);
	assert_int_equal(m.layout, MOUNTS_V2);
	assert_string_equal(m.v2, "/sys/fs/cgroup");
	assert_string_equal(m.cpu, "");

	assert_int_equal(mounts_parse(ROOT SET CPU PIDS, &m), 0);
	assert_int_equal(m.layout, MOUNTS_V1);
	assert_string_equal(m.cpu, "/sys/fs/cgroup/cpu,cpuacct");
	assert_string_equal(m.cpuacct, m.cpu);
	assert_string_equal(m.pids, "/sys/fs/cgroup/pids");
	assert_string_equal(m.freezer, "");

	assert_int_equal(mounts_parse(CPU UNI PIDS, &m), 0);
	assert_int_equal(m.layout, MOUNTS_HYBRID);
	assert_string_equal(m.v2, "/sys/fs/cgroup/unified");

	/* Hybrid in which only names and pids are v1: cpu is on v2. */
	assert_int_equal(mounts_parse(UNI PIDS, &m), 0);
	assert_int_equal(m.layout, MOUNTS_V2);
}

static void the_whole_hierarchy_wins(void **state)
{
	struct mounts m;

	assert_int_equal(mounts_parse("9 1 0:23 /docker/x /chroot/cg rw - cgroup2 c rw\n" V2 "10 1 0:23 / /other rw - cgroup2 c rw\n", &m), 0);
	assert_string_equal(m.v2, "/sys/fs/cgroup");
	assert_int_equal(mounts_parse("9 1 0:23 /docker/x /only/part rw - cgroup2 c rw\n", &m), 0);
	assert_string_equal(m.v2, "/only/part");
}

static void hostile_text(void **state)
{
	char big[2 * MOUNTS_PATH_MAX + 100];
	struct mounts m = { .v2 = "kept" };

	assert_int_equal(mounts_parse("", &m), -EINVAL);
	assert_int_equal(mounts_parse("\n\n\n", &m), -EINVAL);
	assert_int_equal(mounts_parse("26 22 0:23 / /sys/fs/cgroup rw", &m), -EINVAL);
	assert_int_equal(mounts_parse(ROOT, &m), -ENOENT);
	assert_string_equal(m.v2, "kept");

	/* A mount point with a space, a newline, a backslash, and a wrong escape. */
	assert_int_equal(mounts_parse("26 22 0:23 / /a\\040b\\012c\\134d\\9 rw - cgroup2 c rw\n", &m), 0);
	assert_string_equal(m.v2, "/a b\nc\\d\\9");

	/* One that is too long is passed over, the next is taken. */
	memset(big, 'x', sizeof(big));
	snprintf(big, sizeof(big), "26 22 0:23 / /%*s", MOUNTS_PATH_MAX, "");
	memset(big + 14, 'x', MOUNTS_PATH_MAX);
	strcat(big, " rw - cgroup2 c rw\n" UNI);
	assert_int_equal(mounts_parse(big, &m), 0);
	assert_string_equal(m.v2, "/sys/fs/cgroup/unified");
}

static void from_a_root(void **state)
{
	struct mounts m;

	assert_int_equal(mounts_read("tests/roots/hybrid", &m), 0);
	assert_int_equal(m.layout, MOUNTS_HYBRID);
	assert_string_equal(m.cpu, "/sys/fs/cgroup/cpu");
	assert_string_equal(m.freezer, "/sys/fs/cgroup/freezer");
	assert_int_equal(mounts_read("tests/roots/none", &m), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts), cmocka_unit_test(the_whole_hierarchy_wins), cmocka_unit_test(hostile_text),
		cmocka_unit_test(from_a_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
