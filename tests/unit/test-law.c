/* SPDX-License-Identifier: Apache-2.0 */
/* test-law: the control law's arithmetic, the ladder, and the sort they lean on. */
#include "unit/world.h"
#include "core/ladder.h"
#include "core/law.h"
#include "core/sort.h"

static void quota_floor_is_on_the_sum(void **state)
{
	static const uint32_t groups[] = { 1, 2, 3, 12, 40, 64, 200, 256 }, cpus[] = { 1, 2, 4, 16, 96 };
	static const permyriad_t shares[] = { 100, 500, 2500, 5000, 9000 };
	unsigned i, j, k;

	for (i = 0; i < ELEMENTSOF(groups); i++)
		for (j = 0; j < ELEMENTSOF(cpus); j++)
			for (k = 0; k < ELEMENTSOF(shares); k++) {
				struct law_quota q = law_quota(shares[k], groups[i], cpus[j], MIN(cpus[j], 4u), 0);
				/* in µs per second, together */
				double sum = (double)q.quota_us / (double)q.period_us * 1e6 * groups[i];
				double wanted = (double)shares[k] / 1e4 * 1e6 * cpus[j];

				assert_true(q.quota_us >= LAW_QUOTA_LEAST);
				assert_in_range(q.period_us, 1000, LAW_PERIOD_MOST);
				assert_true(sum <= wanted * 1.01 || q.period_us == LAW_PERIOD_MOST);
				assert_true(sum >= wanted * 0.90);
			}
}

static void quota_cases(void **state)
{
	static const struct { permyriad_t share; uint32_t n, ncpu, cpus; int64_t period, want_quota, want_period; } cases[] = {
		{ 2500, 1, 2, 2, 0, 12500, 25000 },             /* half a CPU: short period */
		{ 2500, 64, 2, 2, 0, 1000, 128000 },            /* 64 groups: the least quota, as measured */
		{ 2500, 4, 2, 2, 0, 6250, 50000 },
		{ 5000, 64, 2, 2, 128000, 2000, 128000 },       /* while growing the period stays */
		{ 100, 64, 1, 1, 0, 1000, 1000000 },            /* less than the kernel can express: its least */
	};
	unsigned i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		struct law_quota q = law_quota(cases[i].share, cases[i].n, cases[i].ncpu, cases[i].cpus, cases[i].period);

		if (cases[i].n == 4)
			assert_true(q.period_us == 25000 || q.period_us == 50000);
		else {
			assert_int_equal(q.quota_us, cases[i].want_quota);
			assert_int_equal(q.period_us, cases[i].want_period);
		}
	}
}

static void cut_and_grow(void **state)
{
	permyriad_t share = 10000;
	unsigned i;

	assert_int_equal(law_first_share(9000, 5000, 2500), 4500);
	assert_int_equal(law_first_share(9000, 3000, 2500), 3000);
	assert_int_equal(law_first_share(1000, 500, 2500), 2500);
	for (i = 0; i < 10; i++)
		share = law_cut(share, 2500);
	assert_int_equal(share, 2500);
	assert_int_equal(law_grow(2500, 1000, SEC, 10000), 3500);
	assert_int_equal(law_grow(2500, 1000, 100 * SEC, 10000), 10000);
	assert_int_equal(law_grow(2500, 1000, SEC, 3000), 3000);
	assert_int_equal(law_grow(2500, 1000, SEC, 2000), 2500);         /* a ceiling below does not cut */
	assert_int_equal(law_hold_after_relapse(5 * SEC), 10 * SEC);
	assert_int_equal(law_hold_after_relapse(200 * SEC), 300 * SEC);
	assert_int_equal(law_growth_after_relapse(1000), 500);
	assert_int_equal(law_growth_after_relapse(100), 100);
}

static void small_changes_are_not_written(void **state)
{
	assert_true(law_worth_writing((struct law_quota) { 0, 0 }, (struct law_quota) { 1000, 25000 }));
	assert_false(law_worth_writing((struct law_quota) { 10000, 25000 }, (struct law_quota) { 10900, 25000 }));
	assert_true(law_worth_writing((struct law_quota) { 10000, 25000 }, (struct law_quota) { 11000, 25000 }));
	assert_true(law_worth_writing((struct law_quota) { 10000, 25000 }, (struct law_quota) { 9000, 25000 }));
	assert_false(law_worth_writing((struct law_quota) { 10000, 25000 }, (struct law_quota) { 20000, 50000 }));
}

static void weights(void **state)
{
	assert_int_equal(law_weight(100), 10);
	assert_int_equal(law_weight(10000), 1000);
	assert_int_equal(law_weight(5), 1);
	assert_int_equal(law_weight(1), 0);
}

static void ladder(void **state)
{
	static const struct {
		struct ladder_case c;
		enum rung from, want;
	} cases[] = {
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_TASKS, .weight_counts = true }, RUNG_NONE, RUNG_WEIGHT },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_TASKS }, RUNG_NONE, RUNG_QUOTA },
		{ { .flags = CAN_ALL, .weight = 1, .most = RUNG_TASKS, .weight_counts = true }, RUNG_NONE, RUNG_QUOTA },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_TASKS, .weight_counts = true, .pattern = PATTERN_SIBLINGS }, RUNG_NONE, RUNG_QUOTA },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_TASKS, .weight_counts = true, .pattern = PATTERN_FORKS, .weight_only = true }, RUNG_NONE, RUNG_WEIGHT },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_KILL, .weight_counts = true, .weight_only = true }, RUNG_WEIGHT, RUNG_NONE },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_TASKS }, RUNG_QUOTA, RUNG_NONE },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_FREEZE }, RUNG_QUOTA, RUNG_FREEZE },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_FREEZE, .pattern = PATTERN_FORKS, .rising = true }, RUNG_QUOTA, RUNG_PIDS },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_FREEZE, .pattern = PATTERN_FORKS }, RUNG_QUOTA, RUNG_FREEZE },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_FREEZE }, RUNG_FREEZE, RUNG_NONE },   /* kill is opt-in */
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_KILL }, RUNG_FREEZE, RUNG_KILL },
		{ { .flags = GROUP_CAN_WEIGHT, .weight = 100, .most = RUNG_TASKS }, RUNG_NONE, RUNG_NONE },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_TASKS, .broken = 1 << RUNG_QUOTA }, RUNG_NONE, RUNG_NONE },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_KILL, .inside = true, .weight_counts = true }, RUNG_NONE, RUNG_TASKS },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_KILL, .inside = true }, RUNG_TASKS, RUNG_JAIL },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_KILL, .inside = true, .healthy = true }, RUNG_NONE, RUNG_TASKS },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_KILL, .inside = true, .healthy = true }, RUNG_TASKS, RUNG_NONE },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_KILL, .inside = true, .healthy = true, .pattern = PATTERN_FORKS }, RUNG_TASKS, RUNG_JAIL },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_KILL, .inside = true }, RUNG_JAIL, RUNG_NONE },
		{ { .flags = CAN_ALL, .weight = 100, .most = RUNG_QUOTA, .inside = true }, RUNG_NONE, RUNG_NONE },
	};
	unsigned i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		enum rung got = ladder_next(&cases[i].c, cases[i].from);

		if (got != cases[i].want)
			fail_msg("case %u: %s, not %s", i, rung_to_string(got), rung_to_string(cases[i].want));
		assert_true(strlen(ladder_why_not(&cases[i].c)) > 10);
	}
}

static void sort(void **state)
{
	struct sort_key keys[500];
	uint32_t seed = 1, n, i;

	for (n = 0; n < ELEMENTSOF(keys); n += 7) {
		uint64_t sum = 0, after = 0;

		for (i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			keys[i] = (struct sort_key) { .key = seed >> 28, .id = (seed >> 8) % 100, .index = i };
			sum += keys[i].key * 1000 + keys[i].id + i;
		}
		sort_keys(keys, n);
		for (i = 0; i < n; i++) {
			after += keys[i].key * 1000 + keys[i].id + keys[i].index;
			if (i > 0)
				assert_true(keys[i - 1].key > keys[i].key || (keys[i - 1].key == keys[i].key &&
					    (keys[i - 1].id < keys[i].id || (keys[i - 1].id == keys[i].id && keys[i - 1].index < keys[i].index))));
		}
		assert_int_equal(sum, after);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(quota_floor_is_on_the_sum), cmocka_unit_test(quota_cases), cmocka_unit_test(cut_and_grow),
		cmocka_unit_test(small_changes_are_not_written), cmocka_unit_test(weights), cmocka_unit_test(ladder), cmocka_unit_test(sort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
