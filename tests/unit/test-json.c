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

#include "base/json.h"
#include "base/macro.h"

static char buf[4096];

static void a_document(void **state)
{
	struct json j;
	const char *text = NULL;

	json_init(&j, buf, sizeof(buf));
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstring(&j, "state", NULL);
	json_kbool(&j, "alarm", true);
	json_kpercent(&j, "pressure", 1234);
	json_kpercent(&j, "steal", -1);
	json_kpercent(&j, "low", 5);
	json_kseconds(&j, "since", 1500000);
	json_kseconds(&j, "until", USEC_INFINITY);
	json_kuint(&j, "id", UINT64_MAX);
	json_kint(&j, "least", INT64_MIN);
	json_key(&j, "list");
	json_begin_array(&j);
	json_begin_object(&j);
	json_end_object(&j);
	json_begin_array(&j);
	json_int(&j, 1);
	json_int(&j, 2);
	json_end_array(&j);
	json_bool(&j, false);
	json_end_array(&j);
	json_kstring(&j, "last", "x");
	json_end_object(&j);
	assert_int_equal(json_finish(&j, &text), 0);
	assert_string_equal(text, "{\"schema\":1,\"state\":null,\"alarm\":true,\"pressure\":12.34,\"steal\":null,\"low\":0.05,"
			    "\"since\":1.500000,\"until\":null,\"id\":18446744073709551615,\"least\":-9223372036854775808,"
			    "\"list\":[{},[1,2],false],\"last\":\"x\"}");
}

static void strings_are_always_valid(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "", "\"\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "\n\x1b\x7f", "\"\\u000a\\u001b\\u007f\"" },
		{ "\xff", "\"\\ufffd\"" },
		{ "a\xc3", "\"a\\ufffd\"" },
		{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" },
		{ "\xc3\xbc\xe2\x80\xae", "\"\xc3\xbc\xe2\x80\xae\"" },
	};
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		struct json j;
		const char *text;

		json_init(&j, buf, sizeof(buf));
		json_string(&j, cases[i].in);
		assert_int_equal(json_finish(&j, &text), 0);
		assert_string_equal(text, cases[i].out);
	}
}

static void overflow_is_told_and_stays_inside(void **state)
{
	size_t size;

	for (size = 0; size < 40; size++) {
		const char *text = "unset";
		struct json j;
		size_t i;
		int r;

		memset(buf, 'Z', 64);
		json_init(&j, buf, size);
		json_begin_object(&j);
		json_kstring(&j, "key", "\x01\xff");
		json_kint(&j, "n", 123456);
		json_end_object(&j);
		r = json_finish(&j, &text);
		/* {"key":"\u0001\ufffd","n":123456} and NUL are 34 bytes */
		assert_int_equal(r, size < 34 ? -ENOBUFS : 0);
		if (r < 0)
			assert_string_equal(text, "unset");
		for (i = size; i < 64; i++)
			assert_int_equal(buf[i], 'Z');
	}
}

static int run(const char *order)
{
	struct json j;
	const char *text;

	json_init(&j, buf, sizeof(buf));
	for (; *order; order++)
		switch (*order) {
		case '{': json_begin_object(&j); break;
		case '}': json_end_object(&j); break;
		case '[': json_begin_array(&j); break;
		case ']': json_end_array(&j); break;
		case 'k': json_key(&j, "k"); break;
		case '1': json_int(&j, 1); break;
		}
	return json_finish(&j, &text);
}

static void misuse_is_refused(void **state)
{
	static const char *const good[] = { "1", "{}", "[]", "{k1k1}", "[[{k[]}]1]", "{k{k{}}k1}" };
	static const char *const bad[] = { "", "{", "[1", "{1}", "{k}", "{kk1}", "[k1]", "k1", "{]", "[}", "11", "{}1", "{}{}", "}", "{k]" };
	char deep[2 * JSON_DEPTH_MAX + 4];
	size_t i;

	for (i = 0; i < ELEMENTSOF(good); i++)
		assert_int_equal(run(good[i]), 0);
	for (i = 0; i < ELEMENTSOF(bad); i++)
		if (run(bad[i]) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
	memset(deep, 0, sizeof(deep));
	memset(deep, '[', JSON_DEPTH_MAX);
	memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_int_equal(run(deep), 0);
	memset(deep, '[', JSON_DEPTH_MAX + 1);
	memset(deep + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_int_equal(run(deep), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_document),
		cmocka_unit_test(strings_are_always_valid),
		cmocka_unit_test(overflow_is_told_and_stays_inside),
		cmocka_unit_test(misuse_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
