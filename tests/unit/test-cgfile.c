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

#include <fcntl.h>
#include <unistd.h>

#include "base/macro.h"
#include "sense/cgfile.h"

static void numbers(void **state)
{
	static const struct { const char *text; int r; uint64_t v; } cases[] = {
		{ "0\n", 0, 0 }, { "123", 0, 123 }, { "18446744073709551615\n", 0, UINT64_MAX },
		{ "18446744073709551616\n", -ERANGE, 0 }, { "", -EINVAL, 0 }, { "\n", -EINVAL, 0 },
		{ "-1\n", -EINVAL, 0 }, { " 1\n", -EINVAL, 0 }, { "1 \n", -EINVAL, 0 }, { "1\n2\n", -EINVAL, 0 }, { "max\n", -EINVAL, 0 },
	};
	int64_t s;
	uint64_t v;
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		v = 77;
		assert_int_equal(cgfile_parse_u64(cases[i].text, &v), cases[i].r);
		assert_int_equal(v, cases[i].r ? 77 : cases[i].v);
	}
	assert_int_equal(cgfile_parse_i64("-1\n", &s), 0);
	assert_int_equal(s, -1);
	assert_int_equal(cgfile_parse_i64("50000\n", &s), 0);
	assert_int_equal(s, 50000);
	assert_int_equal(cgfile_parse_i64("9223372036854775808\n", &s), -ERANGE);
	assert_int_equal(cgfile_parse_i64("--1\n", &s), -EINVAL);
}

static void limits(void **state)
{
	static const struct { const char *text; int r; int64_t quota, period; } cases[] = {
		{ "max 100000\n", 0, -1, 100000 }, { "20000 100000\n", 0, 20000, 100000 }, { "max 20000", 0, -1, 20000 },
		{ "max\n", -EINVAL, 0, 0 }, { "20000\n", -EINVAL, 0, 0 }, { "", -EINVAL, 0, 0 }, { "20000 \n", -EINVAL, 0, 0 },
		{ "max 100000 5\n", -EINVAL, 0, 0 }, { "9223372036854775808 1\n", -ERANGE, 0, 0 },
	};
	int64_t quota, period;
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		quota = period = 7;
		assert_int_equal(cgfile_parse_max(cases[i].text, &quota, &period), cases[i].r);
		assert_int_equal(quota, cases[i].r ? 7 : cases[i].quota);
		assert_int_equal(period, cases[i].r ? 7 : cases[i].period);
	}
}

static void keys(void **state)
{
	const char *stat = "usage_usec 77\nuser_usec 3\nnr_throttled x\nthrottled_usec 18446744073709551615\nlast 5";
	uint64_t v = 9;

	assert_int_equal(cgfile_parse_key(stat, "usage_usec", &v), 0);
	assert_int_equal(v, 77);
	assert_int_equal(cgfile_parse_key(stat, "throttled_usec", &v), 0);
	assert_int_equal(v, UINT64_MAX);
	assert_int_equal(cgfile_parse_key(stat, "last", &v), 0);
	assert_int_equal(v, 5);
	assert_int_equal(cgfile_parse_key(stat, "nr_throttled", &v), -EINVAL);
	assert_int_equal(cgfile_parse_key(stat, "user", &v), -ENOENT);
	assert_int_equal(cgfile_parse_key("", "user", &v), -ENOENT);
	assert_int_equal(v, 5);
}

static void shares(void **state)
{
	assert_int_equal(cgfile_weight_of_shares(1024), 100);
	assert_int_equal(cgfile_weight_of_shares(2), 1);
	assert_int_equal(cgfile_weight_of_shares(262144), 10000);
	assert_int_equal(cgfile_weight_of_shares(UINT64_MAX), 10000);
}

static void reading_is_bounded(void **state)
{
	char path[] = "/tmp/test-cgfile.XXXXXX", buf[8], deep[64];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "1234567", 7), 7);
	assert_int_equal(cgfile_read_at(AT_FDCWD, path, buf, sizeof(buf)), 7);
	assert_string_equal(buf, "1234567");
	assert_int_equal(write(fd, "8", 1), 1);
	assert_int_equal(cgfile_read_at(AT_FDCWD, path, buf, sizeof(buf)), -EFBIG);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(cgfile_pread(fd, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
	assert_int_equal(cgfile_read_at(AT_FDCWD, "/nonexistent/x", buf, sizeof(buf)), -ENOENT);
	snprintf(deep, sizeof(deep), "%s.link", path);
	assert_int_equal(symlink(path, deep), 0);
	assert_int_equal(cgfile_read_at(AT_FDCWD, deep, buf, sizeof(buf)), -ELOOP);
	unlink(deep);
	unlink(path);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers), cmocka_unit_test(limits), cmocka_unit_test(keys),
		cmocka_unit_test(shares), cmocka_unit_test(reading_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
