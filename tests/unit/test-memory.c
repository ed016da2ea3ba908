/* SPDX-License-Identifier: Apache-2.0 */
/* test-memory: who is let alone, for how long, and who gives way when the list is full. */
#include "core/engine-state.h"
#include "unit/world.h"

static struct engine *e;

static int setup(void **state)
{
	e = calloc(1, engine_size());
	e->now = 1000 * SEC;
	return 0;
}

static int teardown(void **state)
{
	free(e);
	return 0;
}

static void ends(void **state)
{
	assert_false(memory_bars(e, 7, false));
	memory_add(e, 7, WHY_NO_EFFECT, e->now + 5 * SEC);
	assert_true(memory_bars(e, 7, false));
	assert_false(memory_bars(e, 8, false));
	e->now += 5 * SEC - 1;
	assert_true(memory_bars(e, 7, false));
	e->now += 1;
	assert_false(memory_bars(e, 7, false));
}

/* The later word counts, also where it is the shorter one; one cgroup takes one place. */
static void the_later_word(void **state)
{
	memory_add(e, 7, WHY_OPERATOR, e->now + 600 * SEC);
	memory_add(e, 7, WHY_RECOVERED, e->now + 2 * SEC);
	assert_int_equal(e->n_memories, 1);
	e->now += 3 * SEC;
	assert_false(memory_bars(e, 7, false));
	/* What has ended makes room. */
	memory_add(e, 8, WHY_YIELD, e->now + 600 * SEC);
	assert_int_equal(e->n_memories, 1);
	assert_true(memory_bars(e, 8, false));
}

/* An earlier place that has ended is no reason to write the same cgroup down twice. */
static void never_twice(void **state)
{
	memory_add(e, 6, WHY_RECOVERED, e->now + 1 * SEC);
	memory_add(e, 7, WHY_OPERATOR, e->now + 600 * SEC);
	e->now += 2 * SEC;
	memory_add(e, 7, WHY_RECOVERED, e->now + 1 * SEC);
	e->now += 1 * SEC;
	assert_false(memory_bars(e, 7, false));
	/* ... nor a later place. */
	e->n_memories = 0;
	memory_add(e, 7, WHY_OPERATOR, e->now + 600 * SEC);
	memory_add(e, 6, WHY_RECOVERED, e->now + 1 * SEC);
	e->now += 2 * SEC;
	memory_add(e, 7, WHY_RECOVERED, e->now + 1 * SEC);
	e->now += 1 * SEC;
	assert_false(memory_bars(e, 7, false));
}

/* No weight helps against real-time tasks: that it did not bars only what is none. */
static void realtime_is_another_matter(void **state)
{
	memory_add(e, 7, WHY_NO_EFFECT, e->now + 5 * SEC);
	assert_true(memory_bars(e, 7, false));
	assert_false(memory_bars(e, 7, true));
	memory_add(e, 7, WHY_OPERATOR, e->now + 5 * SEC);
	assert_true(memory_bars(e, 7, true));
	/* Its real-time tasks were what was lowered in vain. */
	e->squeezes[0] = (struct squeeze) { .group = 9, .realtime = true };
	e->n_squeezes = 1;
	memory_add(e, 9, WHY_NO_EFFECT, e->now + 5 * SEC);
	assert_true(memory_bars(e, 9, true));
}

static void alarm_ends(void **state)
{
	static const struct { enum why why; bool stays; } cases[] = {
		{ WHY_OPERATOR, true }, { WHY_YIELD, true }, { WHY_FAILED, false }, { WHY_NO_EFFECT, false }, { WHY_RECOVERED, false },
		{ WHY_TOO_LONG, false }, { WHY_NOT, false }, { WHY_VICTIM_WORSE, false },
	};

	for (unsigned i = 0; i < ELEMENTSOF(cases); i++)
		memory_add(e, 20 + i, cases[i].why, e->now + 60 * SEC);
	memory_add(e, 40, WHY_OPERATOR, e->now);
	memory_forget(e);
	for (unsigned i = 0; i < ELEMENTSOF(cases); i++)
		assert_int_equal(memory_bars(e, 20 + i, false), cases[i].stays);
	assert_int_equal(e->n_memories, 2);
}

static void full(void **state)
{
	for (unsigned i = 0; i < MAX_MEMORIES; i++)
		memory_add(e, 1000 + i, WHY_OPERATOR, e->now + (i == 77 ? 10 : 100 + i) * SEC);
	memory_add(e, 5000, WHY_OPERATOR, e->now + 50 * SEC);
	assert_int_equal(e->n_memories, MAX_MEMORIES);
	assert_true(memory_bars(e, 5000, false));
	for (unsigned i = 0; i < MAX_MEMORIES; i++)
		assert_int_equal(memory_bars(e, 1000 + i, false), i != 77);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(ends), TEST(the_later_word), TEST(never_twice), TEST(realtime_is_another_matter), TEST(alarm_ends), TEST(full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
