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
#include "sense/gather.h"

static struct gather *g;
static struct snapshot s;

static int setup(void **state)
{
	g = gather_new();
	return g ? 0 : -1;
}

static int teardown(void **state)
{
	g = gather_free(g);
	return 0;
}

static void add(uint64_t id, unsigned cpu, uint64_t run_us, uint64_t wait_us)
{
	gather_add(g, &(struct gather_delta){ .id = id, .cpu = cpu, .run_ns = run_us * 1000, .wait_ns = wait_us * 1000, .forks = 1 });
}

static void sums_and_cpus(void **state)
{
	gather_begin(g, 100000);
	add(30, 0, 10, 1);
	add(10, 0, 20, 2);
	add(20, 0, 30, 3);
	add(10, 1, 40, 4);
	add(30, 1, 50, 5);
	add(30, 7, 60, 6);
	gather_keep(g, 15);
	gather_finish(g, &s);

	assert_int_equal(s.n_groups, 4);
	assert_int_equal(s.n_cpu, 6);
	assert_int_equal(s.groups[0].id, 10);
	assert_int_equal(s.groups[1].id, 15);
	assert_int_equal(s.groups[2].id, 20);
	assert_int_equal(s.groups[3].id, 30);
	assert_int_equal(s.groups[0].run_us, 60);
	assert_int_equal(s.groups[0].wait_us, 6);
	assert_int_equal(s.groups[0].forks, 2);
	assert_int_equal(s.groups[1].run_us, 0);
	assert_int_equal(s.groups[1].cpu_n, 0);
	assert_int_equal(s.groups[3].run_us, 120);
	assert_int_equal(s.groups[3].cpu_n, 3);
	assert_int_equal(s.cpu[s.groups[3].cpu_first].cpu, 0);
	assert_int_equal(s.cpu[s.groups[3].cpu_first + 1].cpu, 1);
	assert_int_equal(s.cpu[s.groups[3].cpu_first + 2].cpu, 7);
	assert_int_equal(s.cpu[s.groups[3].cpu_first + 2].run_us, 60);
	assert_int_equal(s.groups[0].psi_some_us, -1);
	assert_int_equal(s.groups[0].throttled_us, -1);
	assert_int_equal(s.groups[0].pids, -1);

	/* A new round knows nothing of the last one. */
	gather_begin(g, 100000);
	gather_finish(g, &s);
	assert_int_equal(s.n_groups, 0);
	assert_int_equal(s.n_cpu, 0);
}

static void run_is_cut_to_the_window(void **state)
{
	gather_begin(g, 100000);
	gather_add(g, &(struct gather_delta){ .id = 5, .cpu = 0, .run_ns = 3000000000u, .wait_ns = 7000000000u, .rt_run_ns = 2000000000u, .kthread_run_ns = 50 });
	gather_finish(g, &s);
	assert_int_equal(s.groups[0].run_us, 100000);
	assert_int_equal(s.groups[0].rt_run_us, 100000);
	assert_int_equal(s.groups[0].wait_us, 7000000);
	assert_int_equal(s.cpu[0].run_us, 100000);
}

static void thousand_short_runs_are_not_rounded_away(void **state)
{
	unsigned i;

	gather_begin(g, 100000);
	for (i = 0; i < 1000; i++)
		gather_add(g, &(struct gather_delta){ .id = 5, .cpu = i % 2, .run_ns = 999 });
	gather_finish(g, &s);
	assert_int_equal(s.groups[0].run_us, 999);
}

static void ranked_and_folded(void **state)
{
	gather_begin(g, 100000);
	add(1, 0, 5, 0);
	add(2, 0, 50, 0);
	add(3, 0, 0, 500);
	assert_int_equal(gather_count(g), 3);
	gather_rank(g);
	assert_int_equal(gather_at(g, 0)->id, 3);
	assert_int_equal(gather_at(g, 1)->id, 2);
	gather_at(g, 1)->fold = true;
	gather_finish(g, &s);
	assert_int_equal(s.n_groups, 3);
	assert_int_equal(s.groups[0].id, 1);
	assert_int_equal(s.groups[1].id, 3);
	assert_true(s.groups[2].id == GROUP_OTHER);
	assert_int_equal(s.groups[2].run_us, 50);
	assert_int_equal(s.groups[2].cpu_n, 0);
	assert_int_equal(s.n_cpu, 2);
}

/* Beyond every bound nothing is lost but the detail, and the order holds. */
static void beyond_the_bounds(void **state)
{
	uint64_t run = 0, all = 0, last = 0;
	unsigned i, cpu, n = GATHER_GROUPS + 500;
	bool kept = false;

	gather_begin(g, 100000);
	for (cpu = 0; cpu < 5; cpu++)
		for (i = 0; i < n; i++) {
			/* scattered ids, so that the input is in no order */
			add((uint64_t)(i * 7919 % n) + 1, cpu, 1 + i % 97, 0);
			all += 1 + i % 97;
		}
	gather_keep(g, 4);
	gather_finish(g, &s);
	assert_int_equal(s.n_groups, MAX_SAMPLES);
	assert_true(s.groups[MAX_SAMPLES - 1].id == GROUP_OTHER);
	assert_true(s.n_cpu <= MAX_CPU_SHARES);
	for (i = 0; i < s.n_groups; i++) {
		assert_true(s.groups[i].id > last);
		last = s.groups[i].id;
		run += s.groups[i].run_us;
		kept |= s.groups[i].id == 4;
		assert_true(s.groups[i].cpu_first + s.groups[i].cpu_n <= s.n_cpu);
		for (cpu = 1; cpu < s.groups[i].cpu_n; cpu++)
			assert_true(s.cpu[s.groups[i].cpu_first + cpu - 1].cpu < s.cpu[s.groups[i].cpu_first + cpu].cpu);
	}
	assert_true(kept);
	assert_int_equal(run, all);
}

static void every_order_is_sorted(void **state)
{
	unsigned seed, i, n;
	uint64_t id;

	for (seed = 1; seed < 400; seed++) {
		n = seed % 41;
		gather_begin(g, 1000);
		for (i = 0, id = seed; i < n; i++) {
			id = id * 6364136223846793005u + 1442695040888963407u;
			add((id >> 33) % 64 + 1, 0, 1, 1);
		}
		gather_finish(g, &s);
		for (i = 1; i < s.n_groups; i++)
			assert_true(s.groups[i - 1].id < s.groups[i].id);
	}
}

static void without_cpus(void **state)
{
	gather_begin(g, 100000);
	gather_add_run(g, 1, 500);
	gather_add_run(g, 2, 300);
	gather_finish(g, &s);
	assert_int_equal(s.groups[0].run_us, 500);
	assert_int_equal(s.groups[1].run_us, 300);
	assert_int_equal(s.n_cpu, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_and_cpus), cmocka_unit_test(run_is_cut_to_the_window),
		cmocka_unit_test(thousand_short_runs_are_not_rounded_away), cmocka_unit_test(ranked_and_folded),
		cmocka_unit_test(beyond_the_bounds), cmocka_unit_test(every_order_is_sorted), cmocka_unit_test(without_cpus),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
