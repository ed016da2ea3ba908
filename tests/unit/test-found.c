/* SPDX-License-Identifier: Apache-2.0 */
/* test-found: who is protected by the names of its processes, and that it shows where there are too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/found.h"

static struct found f;

static void names_of_a_cgroup(void **state)
{
	static const char *const comms[] = { "postgres", "redis-server", "mysqld", "mongod", "one-too-many" };

	found_clear(&f);
	found_add(&f, GROUP_NONE, "gone");
	assert_int_equal(f.n, 0);
	for (unsigned i = 0; i < 5; i++)
		found_add(&f, 7, comms[i]);
	found_add(&f, 8, "a-name-that-is-longer-than-any");
	assert_int_equal(f.n, 2);
	assert_int_equal(f.group[0].n, GROUP_PROCS_MAX);
	assert_string_equal(f.group[0].procs[3], "mongod");
	assert_int_equal(f.group[1].n, 1);
	assert_true(found_has(&f, 7) && found_has(&f, 8));
	assert_false(found_has(&f, 9));
	assert_false(f.beyond);
}

static void too_many(void **state)
{
	found_clear(&f);
	for (uint64_t id = 1; id <= FOUND_MAX; id++)
		found_add(&f, id, "postgres");
	found_add(&f, 1, "postgres");
	assert_false(f.beyond);
	found_add(&f, FOUND_MAX + 1, "postgres");
	assert_true(f.beyond);
	assert_int_equal(f.n, FOUND_MAX);
	assert_false(found_has(&f, FOUND_MAX + 1));
	found_clear(&f);
	assert_false(f.beyond);
	assert_false(found_has(&f, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(names_of_a_cgroup), cmocka_unit_test(too_many) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
