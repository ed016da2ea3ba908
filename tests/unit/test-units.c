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

#include "base/macro.h"
#include "base/units.h"

struct number { const char *text; int r; uint64_t v; };

static void permyriad_table(void **state)
{
	static const struct number cases[] = {
		{ "20%", 0, 2000 }, { "2.5%", 0, 250 }, { "0.25%", 0, 25 }, { "0.01%", 0, 1 }, { "100%", 0, 10000 }, { "0%", 0, 0 },
		{ "20 %", 0, 2000 }, { "20.500000%", 0, 2050 }, { "007%", 0, 700 },
		{ "20", -EINVAL, 0 }, { "", -EINVAL, 0 }, { "%", -EINVAL, 0 }, { "-1%", -EINVAL, 0 }, { "+1%", -EINVAL, 0 },
		{ " 1%", -EINVAL, 0 }, { "1%%", -EINVAL, 0 }, { "1% ", -EINVAL, 0 }, { ".5%", -EINVAL, 0 }, { "5.%", -EINVAL, 0 },
		{ "0.001%", -EINVAL, 0 }, { "1e2%", -EINVAL, 0 }, { "0x10%", -EINVAL, 0 }, { "nan%", -EINVAL, 0 }, { "1,5%", -EINVAL, 0 },
		{ "0.1234567%", -EINVAL, 0 },
		{ "100.01%", -ERANGE, 0 }, { "99999999999999999999999%", -ERANGE, 0 }, { "184467440737095517%", -ERANGE, 0 },
	};
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		permyriad_t v = -77;
		int r = units_parse_permyriad(cases[i].text, &v);

		if (r != cases[i].r)
			fail_msg("\"%s\": %d instead of %d", cases[i].text, r, cases[i].r);
		assert_int_equal(v, r < 0 ? -77 : (permyriad_t)cases[i].v);
	}
}

static void usec_table(void **state)
{
	static const struct number cases[] = {
		{ "300ms", 0, 300000 }, { "5s", 0, 5000000 }, { "15min", 0, 900000000 }, { "2h", 0, 7200000000 },
		{ "1d", 0, 86400000000 }, { "250us", 0, 250 }, { "1h 30min", 0, 5400000000 }, { "1h30min", 0, 5400000000 },
		{ "1.5s", 0, 1500000 }, { "0.000001s", 0, 1 }, { "0s", 0, 0 }, { "5 s", 0, 5000000 }, { "2sec", 0, 2000000 },
		{ "infinity", 0, UINT64_MAX },
		{ "5", -EINVAL, 0 }, { "", -EINVAL, 0 }, { "s", -EINVAL, 0 }, { "5m", -EINVAL, 0 }, { "-5s", -EINVAL, 0 },
		{ "5S", -EINVAL, 0 }, { "5s6", -EINVAL, 0 }, { "5s,", -EINVAL, 0 }, { "1.5us", -EINVAL, 0 }, { "infinit", -EINVAL, 0 },
		{ "infinity 1s", -EINVAL, 0 }, { "1s infinity", -EINVAL, 0 }, { "1..5s", -EINVAL, 0 }, { "0.0000001s", -EINVAL, 0 },
		{ "\n5s", -EINVAL, 0 }, { "5\xc2\xb5s", -EINVAL, 0 },
		{ "18446744073709551615us", -ERANGE, 0 }, { "18446744073709551614us", 0, UINT64_MAX - 1 },
		{ "213503983d", -ERANGE, 0 }, { "99999999999999999999s", -ERANGE, 0 },
		{ "18446744073709551614us 1us", -ERANGE, 0 }, { "99999999999999999999s x", -EINVAL, 0 },
	};
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		usec_t v = 77;
		int r = units_parse_usec(cases[i].text, &v);

		if (r != cases[i].r || v != (r < 0 ? 77 : cases[i].v))
			fail_msg("\"%s\": %d, %llu", cases[i].text, r, (unsigned long long)v);
	}
}

static void bytes_table(void **state)
{
	static const struct number cases[] = {
		{ "123", 0, 123 }, { "0", 0, 0 }, { "64K", 0, 65536 }, { "1.5G", 0, UINT64_C(3) << 29 }, { "10M", 0, 10 << 20 },
		{ "15E", 0, UINT64_C(15) << 60 }, { "0.999999E", 0, 1152920351685342369 }, { "0.1K", 0, 102 },
		{ "", -EINVAL, 0 }, { "K", -EINVAL, 0 }, { "1k", -EINVAL, 0 }, { "1.5", -EINVAL, 0 }, { "1 K", -EINVAL, 0 },
		{ "1KB", -EINVAL, 0 }, { "-1", -EINVAL, 0 }, { "0x1", -EINVAL, 0 },
		{ "16E", -ERANGE, 0 }, { "18446744073709551616", -ERANGE, 0 },
	};
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		uint64_t v = 77;
		int r = units_parse_bytes(cases[i].text, &v);

		if (r != cases[i].r || v != (r < 0 ? 77 : cases[i].v))
			fail_msg("\"%s\": %d, %llu", cases[i].text, r, (unsigned long long)v);
	}
}

static void people_read_what_they_wrote(void **state)
{
	static const char *const times[] = { "300ms", "5s", "15min", "20s", "2h", "1d", "250us", "90min", "1.5s", "10min", "1min",
					     "36h", "90s", "2min 5s", "1s 1us", "0s", "infinity" };
	static const char *const sizes[] = { "0", "1", "16M", "1.5G", "64K", "1025", "1E" };
	char b[UNITS_TEXT_MAX];
	uint64_t v;
	size_t i;

	for (i = 0; i < ELEMENTSOF(times); i++) {
		assert_int_equal(units_parse_usec(times[i], &v), 0);
		assert_string_equal(units_format_usec(v, b), times[i]);
	}
	for (i = 0; i < ELEMENTSOF(sizes); i++) {
		assert_int_equal(units_parse_bytes(sizes[i], &v), 0);
		assert_string_equal(units_format_bytes(v, b), sizes[i]);
	}
	assert_string_equal(units_format_permyriad(2500, b), "25%");
	assert_string_equal(units_format_permyriad(250, b), "2.5%");
	assert_string_equal(units_format_permyriad(1, b), "0.01%");
	assert_string_equal(units_format_permyriad(-1, b), "unknown");
}

static void formats_parse_back(void **state)
{
	uint64_t x = 88172645463325252ull, v;
	char b[UNITS_TEXT_MAX];
	int i;

	for (i = 0; i < 200000; i++) {
		uint64_t in;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		in = x >> (i % 64);
		if (i % 3 == 0)
			in -= in % 1000;
		assert_int_equal(units_parse_usec(units_format_usec(in, b), &v), 0);
		assert_true(v == in);
		assert_int_equal(units_parse_bytes(units_format_bytes(in, b), &v), 0);
		assert_true(v == in);
	}
	for (i = 0; i <= PERMYRIAD_FULL; i++) {
		permyriad_t p;

		assert_int_equal(units_parse_permyriad(units_format_permyriad(i, b), &p), 0);
		assert_int_equal(p, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(permyriad_table),
		cmocka_unit_test(usec_table),
		cmocka_unit_test(bytes_table),
		cmocka_unit_test(people_read_what_they_wrote),
		cmocka_unit_test(formats_parse_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
