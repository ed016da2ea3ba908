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
#include "base/suggest.h"

static const char *meant(const char *word)
{
	static const char *const known[] = { "MinShare", "AtMost", "Ladder", "When", "Units", "Users" };
	struct suggest s;
	size_t i;

	suggest_init(&s, word);
	for (i = 0; i < ELEMENTSOF(known); i++)
		suggest_offer(&s, known[i]);
	return suggest_best(&s) ? suggest_best(&s) : "-";
}

static void did_you_mean(void **state)
{
	static char huge[4096];
	static const struct { const char *word, *meant; } cases[] = {
		{ "MinShae", "MinShare" }, { "minshare", "MinShare" }, { "MniShare", "MinShare" }, { "Atmost", "AtMost" },
		{ "Lader", "Ladder" }, { "Wehn", "When" }, { "Unit", "Units" }, { "User", "Users" },
		{ "Engine", "-" }, { "Database", "-" }, { "", "-" }, { "x", "-" }, { "\xff\xff\xff\xff", "-" },
	};
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++)
		assert_string_equal(meant(cases[i].word), cases[i].meant);
	memset(huge, 'U', sizeof(huge) - 1);
	assert_string_equal(meant(huge), "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(did_you_mean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
