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
#include "sense/psi.h"

#define SOME "some avg10=8.71 avg60=3.10 avg300=1.60 total=10201608\n"
#define FULL "full avg10=0.00 avg60=0.00 avg300=0.00 total=42\n"

static void parsing(void **state)
{
	static const struct { const char *text; int r; uint64_t some, full; bool has_full; } cases[] = {
		{ SOME FULL, 0, 10201608, 42, true },
		{ SOME, 0, 10201608, 0, false },                /* cpu before 5.13 */
		{ FULL SOME, 0, 10201608, 42, true },
		{ "some total=1", 0, 1, 0, false },
		{ FULL, -EINVAL, 0, 0, false },                 /* irq.pressure */
		{ "", -EINVAL, 0, 0, false },
		{ "some avg10=0.00\n" FULL, -EINVAL, 0, 0, false },
		{ "some avg10=0.00\nfull total=3\n", -EINVAL, 0, 0, false },
		{ SOME "full avg10=0\n", -EINVAL, 0, 0, false },
		{ "some total=-1\n", -EINVAL, 0, 0, false },
		{ "some total=1x\n", -EINVAL, 0, 0, false },
		{ "some total=99999999999999999999999999\n", -EINVAL, 0, 0, false },
		{ "something total=1\n", -EINVAL, 0, 0, false },
	};
	struct psi_totals t;
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		t = (struct psi_totals){ .some_us = 7 };
		assert_int_equal(psi_parse(cases[i].text, &t), cases[i].r);
		assert_int_equal(t.some_us, cases[i].r ? 7 : cases[i].some);
		if (cases[i].r)
			continue;
		assert_int_equal(t.full_us, cases[i].full);
		assert_int_equal(t.has_full, cases[i].has_full);
	}
}

static void rewrite(int fd, const char *text)
{
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
}

static void growth_since_the_last_read(void **state)
{
	char path[] = "/tmp/test-psi.XXXXXX";
	int fd = mkstemp(path);
	uint64_t some = 9, full = 9;
	struct psi p = PSI_INIT;

	assert_int_equal(psi_read(&p, &some, &full), -EBADF);
	rewrite(fd, "some total=1000\nfull total=10\n");
	assert_int_equal(psi_open(&p, "", path), 0);
	rewrite(fd, "some total=1500\nfull total=11\n");
	assert_int_equal(psi_read(&p, &some, &full), 0);
	assert_int_equal(some, 0);
	rewrite(fd, "some total=1750\nfull total=15\n");
	assert_int_equal(psi_read(&p, &some, &full), 0);
	assert_int_equal(some, 250);
	assert_int_equal(full, 4);
	/* A total that goes back is no growth. */
	rewrite(fd, "some total=3\n");
	assert_int_equal(psi_read(&p, &some, &full), 0);
	assert_int_equal(some, 0);
	assert_int_equal(full, 0);
	rewrite(fd, "nonsense\n");
	assert_int_equal(psi_read(&p, &some, &full), -EINVAL);
	rewrite(fd, "some total=10\n");
	assert_int_equal(psi_read(&p, &some, &full), 0);
	assert_int_equal(some, 7);
	psi_close(&p);
	psi_close(&p);
	unlink(path);
	close(fd);
}

static void switched_off(void **state)
{
	struct psi p = PSI_INIT;
	struct missing m = {};

	/* An empty file, no file, and a directory in its place. */
	assert_int_equal(psi_open(&p, "tests/roots/v1-nopsi", "/proc/pressure/cpu"), -EOPNOTSUPP);
	assert_int_equal(psi_open(&p, "tests/roots/v1-nopsi", "/proc/pressure/memory"), -EOPNOTSUPP);
	assert_int_equal(psi_open(&p, "tests/roots/v1-nopsi", "/proc/pressure"), -EISDIR);
	assert_int_equal(p.fd, -1);
	psi_missing(-EOPNOTSUPP, &m);
	assert_string_equal(m.name, "pressure-off");
	assert_non_null(strstr(m.what, "run queue"));
	assert_non_null(strstr(m.remedy, "grubby --update-kernel=ALL --args=psi=1"));
	assert_non_null(strstr(m.remedy, "reboot"));
	psi_missing(-EACCES, &m);
	assert_non_null(strstr(m.remedy, "ProcSubset"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parsing), cmocka_unit_test(growth_since_the_last_read), cmocka_unit_test(switched_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
