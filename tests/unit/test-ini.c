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

#include "base/ini.h"
#include "base/macro.h"
#include "base/str.h"

/* The reader's story of a text: "section|key|value@line:col " or "!line:col ". */
static const char *story(const char *text, size_t size)
{
	static struct ini_reader r;
	static char out[8192];
	const char *section, *key, *value;
	unsigned line, col, key_col;
	int k;

	out[0] = 0;
	ini_init(&r, text, size);
	while ((k = ini_next(&r, &section, &key, &value, &line, &col, &key_col)) != INI_E_END) {
		if (k == INI_E_SYNTAX) {
			assert_true(r.why[0] != 0);
			(void)str_appendf(out, sizeof(out), "!%u:%u ", line, col);
		} else if (key == NULL)
			(void)str_appendf(out, sizeof(out), "[%.40s]@%u:%u ", section, line, col);
		else
			(void)str_appendf(out, sizeof(out), "%.40s|%.40s|%.40s@%u:%u ", section, key, value, line, col);
	}
	return out;
}

static void reads(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "", "" },
		{ "\n\n# c\n; c\n  # c\n", "" },
		{ "[A b]\nK=v\n", "[A b]@1:2 A b|K|v@2:3 " },
		{ "[A]\r\nK=v\r\n", "[A]@1:2 A|K|v@2:3 " },
		{ "[A]\nK=v", "[A]@1:2 A|K|v@2:3 " },
		{ "\xef\xbb\xbf[A]", "[A]@1:2 " },
		{ " [ A b ] # c\n\t K \t = \t v w  # c", "[A b]@1:4 A b|K|v w@2:11 " },
		{ "[A]\nK=v#w", "[A]@1:2 A|K|v#w@2:3 " },
		{ "[A]\nK=#w", "[A]@1:2 A|K|#w@2:3 " },
		{ "[A]\nK= # w", "[A]@1:2 A|K|@2:4 " },
		{ "[A]\nK=", "[A]@1:2 A|K|@2:3 " },
		{ "[A]\nK=a=b ; c", "[A]@1:2 A|K|a=b ; c@2:3 " },
		{ "K=v\n[A]", "|K|v@1:3 [A]@2:2 " },
		{ "[A]\nno\n[B]\nK=v", "[A]@1:2 !2:1 [B]@3:2 B|K|v@4:3 " },
		{ "[A]\n =v\nK=v", "[A]@1:2 !2:2 A|K|v@3:3 " },
		/* behind a wrong head nothing lands in the section before */
		{ "[A]\n[B\nK=v\n[C]\nK=w", "[A]@1:2 !2:1 [C]@4:2 C|K|w@5:3 " },
		{ "[A]\n[]\nK=v", "[A]@1:2 !2:1 " },
		{ "[A]\n[B]x\nK=v", "[A]@1:2 !2:4 " },
		{ "[A]\n[B\x1b]\nK=v", "[A]@1:2 !2:3 " },
		{ "[A]\nK=\x1b[31m\nL=v", "[A]@1:2 !2:3 A|L|v@3:3 " },
		{ "[A]\nK=\xff\xfe", "[A]@1:2 A|K|\xff\xfe@2:3 " },
	};
	static const char nul[] = "[A]\nK=a\0b\nL=v";
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++)
		assert_string_equal(story(cases[i].in, strlen(cases[i].in)), cases[i].out);
	assert_string_equal(story(nul, sizeof(nul) - 1), "[A]@1:2 !2:4 A|L|v@3:3 ");
}

static void lines_are_bounded(void **state)
{
	static char text[3 * INI_LINE_MAX];
	char expected[64];
	size_t n;

	for (n = INI_LINE_MAX - 3; n < INI_LINE_MAX + 3; n++) {
		(void)str_copy(text, sizeof(text), "[A]\nK=");
		memset(text + 6, 'x', n - 2);
		(void)str_copy(text + 4 + n, 16, "\nL=v\n");
		if (n < INI_LINE_MAX)
			assert_true(str_starts(story(text, strlen(text)), "[A]@1:2 A|K|xxxx"));
		else {
			(void)str_format(expected, sizeof(expected), "[A]@1:2 !2:%d A|L|v@3:3 ", INI_LINE_MAX);
			assert_string_equal(story(text, strlen(text)), expected);
		}
	}
	memset(text, '[', sizeof(text));
	(void)str_format(expected, sizeof(expected), "!1:%d ", INI_LINE_MAX);
	assert_string_equal(story(text, sizeof(text)), expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(lines_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
