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

#include "sys/root.h"

static int d;
static char g_dir[] = "/tmp/reprieve-root-XXXXXX";

static void put(const char *name, const char *text)
{
	assert_int_equal(root_replace_file(d, name, text, strlen(text), 0644), 0);
}

static void reading(void **state)
{
	char buf[8];

	put("f", "1234567");
	assert_int_equal(root_read_file(d, "f", buf, sizeof(buf)), 7);  /* exactly full */
	assert_string_equal(buf, "1234567");
	assert_int_equal(root_read_file(d, "/f", buf, sizeof(buf)), 7);
	put("f", "12345678");
	assert_int_equal(root_read_file(d, "f", buf, sizeof(buf)), -EFBIG);
	assert_string_equal(buf, "1234567");
	put("f", "");
	assert_int_equal(root_read_file(d, "f", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
	assert_int_equal(root_read_file(d, "none", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(root_read_file(d, "", buf, sizeof(buf)), -EISDIR);
	/* A kernel file longer than a page in one go: seq_file needs several reads. */
	static char big[1 << 20];
	assert_true(root_read_file(AT_FDCWD, "/proc/self/smaps", big, sizeof(big)) > 4096);
}

static void numbers(void **state)
{
	static const struct { const char *text; int r; int64_t i; } cases[] = {
		{ "42\n", 0, 42 }, { "0", 0, 0 }, { "max\n", 0, -1 }, { "-5\n", 0, -5 },
		{ "18446744073709551615\n", -ERANGE, 0 }, { "99999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 }, { "12x", -EINVAL, 0 }, { "1 2\n", -EINVAL, 0 },
		{ "-", -EINVAL, 0 }, { "+1", -EINVAL, 0 },
	};

	for (size_t k = 0; k < sizeof(cases) / sizeof(*cases); k++) {
		int64_t i = 7;

		put("n", cases[k].text);
		assert_int_equal(root_read_i64(d, "n", &i), cases[k].r);
		assert_true(i == (cases[k].r == 0 ? cases[k].i : 7));
	}
}

static void writing(void **state)
{
	char buf[32];
	struct stat st;

	assert_int_equal(root_write_file(d, "absent", "1"), -ENOENT);   /* never creates */
	put("w", "old");
	assert_int_equal(root_write_file(d, "w", "new"), 0);
	assert_true(root_read_file(d, "w", buf, sizeof(buf)) == 3);
	assert_string_equal(buf, "new");

	assert_int_equal(root_replace_file(d, "w", "longer text", 11, 0600), 0);
	assert_int_equal(fstatat(d, "w", &st, 0), 0);
	assert_int_equal(st.st_size, 11);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_false(faccessat(d, "w.tmp", F_OK, 0) == 0);

	/* A failure leaves the old one. */
	assert_int_equal(mkdirat(d, "dir", 0755), 0);
	assert_true(root_replace_file(d, "dir", "x", 1, 0600) < 0);
	assert_true(faccessat(d, "dir", F_OK, 0) == 0);
	assert_false(faccessat(d, "dir.tmp", F_OK, 0) == 0);
	assert_int_equal(root_replace_file(d, "no/such", "x", 1, 0600), -ENOENT);
	if (access("/dev/full", W_OK) == 0)
		assert_int_equal(root_write_file(AT_FDCWD, "/dev/full", "x"), -ENOSPC);
}

static int setup(void **state)
{
	if (mkdtemp(g_dir) == NULL)
		return -1;
	d = root_open(g_dir);
	return d < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "f", "n", "w" };

	for (size_t i = 0; i < 3; i++)
		(void)unlinkat(d, names[i], 0);
	(void)unlinkat(d, "dir", AT_REMOVEDIR);
	close(d);
	return rmdir(g_dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(reading), cmocka_unit_test(numbers), cmocka_unit_test(writing) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
