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

#include "base/str.h"

static void copy_and_append_are_bounded(void **state)
{
	char b[6];

	assert_true(str_copy(b, sizeof(b), "12345"));
	assert_string_equal(b, "12345");
	assert_false(str_copy(b, sizeof(b), "123456"));
	assert_string_equal(b, "12345");
	assert_false(str_copy(b, 0, "x"));
	assert_true(str_copy(b, sizeof(b), "ab"));
	assert_true(str_append(b, sizeof(b), "cd"));
	assert_false(str_appendf(b, sizeof(b), "%d", 67));
	assert_string_equal(b, "abcd6");
	assert_false(str_append(b, sizeof(b), "x"));
	assert_true(str_append(b, sizeof(b), ""));
	assert_false(str_format(b, sizeof(b), "%s", "abcdefgh"));
	assert_string_equal(b, "abcde");
}

static void escape_leaves_nothing_that_acts(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "", "" },
		{ "ssh.service", "ssh.service" },
		{ "dev-disk\\x2duuid", "dev-disk\\x2duuid" },
		{ "b\xc3\xbcro \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\x98", "b\xc3\xbcro \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\x98" },
		{ "\x1b]0;owned\a", "\\x1b]0;owned\\x07" },
		{ "a\nb\rc\td", "a\\x0ab\\x0dc\\x09d" },
		{ "\x7f", "\\x7f" },
		{ "\xc2\x9b" "31m", "\\xc2\\x9b31m" },                          /* C1 CSI */
		{ "x\xe2\x80\xae" "gnp", "x\\xe2\\x80\\xaegnp" },               /* right-to-left override */
		{ "x\xe2\x81\xa6y", "x\\xe2\\x81\\xa6y" },                      /* isolate */
		{ "\xe2\x80\x8b", "\\xe2\\x80\\x8b" },                          /* zero width space */
		{ "\xe2\x80\xa8", "\\xe2\\x80\\xa8" },                          /* line separator */
		{ "\xef\xbb\xbf", "\\xef\\xbb\\xbf" },
		{ "\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81" },                 /* a tag character */
		{ "\xff\xfe", "\\xff\\xfe" },
		{ "\xc0\xaf", "\\xc0\\xaf" },                                   /* overlong / */
		{ "\xe0\x80\xaf", "\\xe0\\x80\\xaf" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },                          /* surrogate */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },                 /* beyond U+10FFFF */
		{ "\xe2\x82", "\\xe2\\x82" },                                   /* cut */
		{ "\x80", "\\x80" },
	};
	char b[128];
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++)
		assert_string_equal(str_escape(b, sizeof(b), cases[i].in), cases[i].out);
	assert_string_equal(str_escape_n(b, sizeof(b), "a\0b", 3), "a\\x00b");
}

static void escape_cuts_between_characters(void **state)
{
	char b[64];
	size_t size;

	assert_string_equal(str_escape(b, 8, "1234567"), "1234567");
	assert_string_equal(str_escape(b, 8, "12345678"), "1234\xe2\x80\xa6");
	assert_string_equal(str_escape(b, 3, "12345678"), "");
	assert_string_equal(str_escape(b, 4, "12345678"), "\xe2\x80\xa6");
	assert_string_equal(str_escape(b, 1, "1"), "");
	for (size = 1; size < sizeof(b); size++) {
		uint32_t c;
		size_t n, i;

		memset(b, 'Z', sizeof(b));
		(void)str_escape(b, size, "\xf0\x9f\x90\x98\xc3\xbc\x1b\xe2\x80\xaexx\xff\xff\xe6\x97\xa5" "aaaaaaaaaaa");
		n = strnlen(b, size);
		assert_true(n < size);
		for (i = 0; i < n;) {
			size_t len = str_utf8(b + i, n - i, &c);

			assert_true(len > 0);
			assert_true(c >= 0x20);
			i += len;
		}
		for (i = size; i < sizeof(b); i++)
			assert_int_equal(b[i], 'Z');
	}
}

static void every_byte_pair_is_harmless(void **state)
{
	unsigned a, c;

	for (a = 0; a < 256; a++)
		for (c = 0; c < 256; c++) {
			char in[2] = { (char)a, (char)c }, out[32];
			const char *s;

			for (s = str_escape_n(out, sizeof(out), in, 2); *s; s++) {
				assert_true((unsigned char)*s >= 0x20);
				assert_true(*s != 0x7f);
			}
		}
}

static void ends_and_width(void **state)
{
	assert_true(str_starts("abc", "ab"));
	assert_true(str_starts("abc", ""));
	assert_false(str_starts("a", "ab"));
	assert_true(str_ends("a.service", ".service"));
	assert_false(str_ends("ice", ".service"));
	assert_int_equal(str_width("b\xc3\xbc" "c\xff"), 4);
}

static void words(void **state)
{
	assert_true(str_has_word("cpuset cpu io", 13, "cpu", " "));
	assert_false(str_has_word("cpuset cpu io", 9, "cpu", " "));
	assert_true(str_has_word("io,cpu\n", 7, "cpu", ",\n"));
	assert_true(str_has_word("cpu", 3, "cpu", " "));
	assert_false(str_has_word("cpuset,xcpu", 11, "cpu", ","));
	assert_false(str_has_word("", 0, "cpu", " "));
	assert_false(str_has_word(" ", 1, "", " "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copy_and_append_are_bounded),
		cmocka_unit_test(escape_leaves_nothing_that_acts),
		cmocka_unit_test(escape_cuts_between_characters),
		cmocka_unit_test(every_byte_pair_is_harmless),
		cmocka_unit_test(ends_and_width),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
