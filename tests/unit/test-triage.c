/* SPDX-License-Identifier: Apache-2.0 */
/* test-triage: the cause, case by case. */
#include "unit/world.h"
#include "core/triage.h"

struct stage {
	struct snapshot s;
	struct harm h;
	struct groups g;
	struct triage_memory m;
};

static struct stage *st;

static int setup(void **state)
{
	unsigned i;

	st = calloc(1, sizeof(*st));
	groups_init(&st->g);
	st->s.window = 100 * MS;
	st->s.machine = (struct machine_sample) { .ncpu = 2, .tasks = 300, .tasks_max = 32768 };
	st->h.inside = SLOT_NONE;
	st->h.level[IMPORTANCE_LOGIN] = 9000;
	for (i = 0; i < 40; i++) {
		st->g.slot[i].info.id = 100 + i;
		st->g.slot[i].parent = 50;
		st->h.suspects[i] = (struct suspect) { .slot = (int16_t)i, .id = 100 + i };
	}
	return 0;
}

static int teardown(void **state)
{
	free(st);
	return 0;
}

static void suspects(unsigned n, uint64_t first, uint64_t rest)
{
	unsigned i;

	st->h.n_suspects = n;
	st->h.total = st->h.touchable = 0;
	for (i = 0; i < n; i++) {
		st->h.suspects[i].blame = i == 0 ? first : rest;
		st->h.total += st->h.suspects[i].blame;
	}
	st->h.touchable = st->h.total;
}

static struct triage decide(unsigned windows)
{
	struct triage t;

	do {
		triage_watch(&st->m, &st->s);
		triage_decide(&st->m, &st->s, &st->h, &st->g, 7500, &t);
	} while (--windows > 0);
	return t;
}

static void runaway_or_overload(void **state)
{
	static const struct { unsigned n; uint64_t first, rest; enum cause cause; enum pattern pattern; } cases[] = {
		{ 1, 1000, 0, CAUSE_RUNAWAY, PATTERN_NONE }, { 3, 500, 400, CAUSE_RUNAWAY, PATTERN_NONE },
		{ 8, 100, 100, CAUSE_OVERLOAD, PATTERN_NONE }, { 23, 100, 100, CAUSE_OVERLOAD, PATTERN_NONE },
		{ 24, 100, 100, CAUSE_RUNAWAY, PATTERN_SIBLINGS }, { 40, 100, 100, CAUSE_RUNAWAY, PATTERN_SIBLINGS },
		{ 30, 2000, 100, CAUSE_OVERLOAD, PATTERN_NONE },        /* one stands out: no pattern */
	};
	unsigned i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		struct triage t;

		suspects(cases[i].n, cases[i].first, cases[i].rest);
		t = decide(1);
		assert_int_equal(t.cause, cases[i].cause);
		assert_int_equal(t.pattern, cases[i].pattern);
		assert_int_equal(t.group, 100);
		assert_true(triage_squeezes(t.cause));
	}
}

static void strangers_are_no_pattern(void **state)
{
	unsigned i;

	suspects(40, 100, 100);
	for (i = 0; i < 40; i++)
		st->g.slot[i].parent = (int16_t)(60 + i);
	assert_int_equal(decide(1).pattern, PATTERN_NONE);
}

static void forks(void **state)
{
	/* On 2 CPUs half of the machine at 100 forks per second is 10 ms each. */
	static const struct { uint32_t mine, others; int32_t runnable; permyriad_t usage; enum pattern pattern; } cases[] = {
		{ 5000, 10, 3, 9000, PATTERN_FORKS }, { 400, 0, 3, 9000, PATTERN_NONE }, { 600, 100, 3, 9000, PATTERN_NONE },
		{ 600, 50, 3, 9000, PATTERN_FORKS }, { 400, 0, 60, 9000, PATTERN_FORKS }, { 100, 0, 60, 5000, PATTERN_FORKS },
		{ 100, 0, 60, 9000, PATTERN_NONE }, { 100, 30, 60, 5000, PATTERN_NONE }, { 90, 0, 60, 1000, PATTERN_NONE },
		{ 300, 0, -1, 9000, PATTERN_NONE },
	};
	unsigned i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		suspects(1, 1000, 0);
		st->h.suspects[0].forks = cases[i].mine;
		st->h.suspects[0].usage = cases[i].usage;
		st->s.machine.forks = (int32_t)((cases[i].mine + cases[i].others) / 10);
		st->s.machine.runnable = cases[i].runnable;
		assert_int_equal(decide(1).pattern, cases[i].pattern);
	}
}

/* A pattern and eight runnable tasks on every CPU; of forks, a storm. */
static void crowds(void **state)
{
	static const struct { unsigned n; uint32_t forks; int32_t runnable; bool crowd; } cases[] = {
		{ 40, 0, 16, true }, { 40, 0, 15, false }, { 40, 0, -1, false }, { 3, 0, 200, false },
		{ 1, 5000, 60, true }, { 1, 1500, 60, false }, { 1, 5000, 5, false },
	};
	unsigned i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		suspects(cases[i].n, 100, 100);
		st->h.suspects[0].forks = cases[i].forks;
		st->s.machine.ncpu = 2;
		st->s.machine.runnable = cases[i].runnable;
		assert_int_equal(triage_crowd(&st->s, &st->h, &st->g), cases[i].crowd);
	}
}

static void not_cpu(void **state)
{
	struct triage t;

	suspects(1, 1000, 0);
	/* One odd window of steal delays nothing, but 80 % is named in the second. */
	st->s.machine.steal = 2000;
	assert_int_equal(decide(1).cause, CAUSE_RUNAWAY);
	st->s.machine.steal = 8000;
	t = decide(2);
	assert_int_equal(t.cause, CAUSE_STEAL);
	assert_false(triage_squeezes(t.cause));
	st->s.machine.steal = 0;
	memset(&st->m, 0, sizeof(st->m));
	st->s.machine.irq = 6000;
	assert_int_equal(decide(8).cause, CAUSE_IRQ);
	st->s.machine.irq = 0;
	memset(&st->m, 0, sizeof(st->m));
	st->s.machine.sched_ext = true;
	assert_int_equal(decide(1).cause, CAUSE_SCHED_EXT);
	st->s.machine.sched_ext = false;
	st->h.kernel = 600;
	assert_int_equal(decide(1).cause, CAUSE_KERNEL);
	st->h.kernel = 100;
	st->h.suspects[0].rt_run_us = 60000;
	t = decide(1);
	assert_int_equal(t.cause, CAUSE_REALTIME);
	assert_int_equal(t.group, 100);
	/* The worst, and never the root cgroup. */
	memset(&st->m, 0, sizeof(st->m));
	st->h.suspects[0].no_unit = UNIT_ROOT;
	assert_int_not_equal(decide(1).cause, CAUSE_REALTIME);
	st->h.n_suspects = 3;
	st->h.suspects[1] = st->h.suspects[2] = st->h.suspects[0];
	st->h.suspects[1].no_unit = st->h.suspects[2].no_unit = UNIT_OK;
	st->h.suspects[1].id = 101;
	st->h.suspects[2].id = 102;
	st->h.suspects[2].rt_run_us = 70000;
	assert_int_equal(decide(1).group, 102);
	/* It is stopped by its budget for a part of each second. */
	st->h.suspects[0].rt_run_us = st->h.suspects[1].rt_run_us = st->h.suspects[2].rt_run_us = 0;
	st->s.window = USEC_PER_SEC / 4;
	assert_int_equal(decide(3).cause, CAUSE_REALTIME);
	assert_int_equal(decide(1).cause, CAUSE_RUNAWAY);
}

static void without_harm(void **state)
{
	suspects(1, 1000, 0);
	st->h.level[IMPORTANCE_LOGIN] = 100;
	assert_int_equal(decide(1).cause, CAUSE_NONE);
	st->s.machine.mem_full = 9000;
	assert_int_equal(decide(5).cause, CAUSE_BLOCKED);
	st->s.machine.mem_full = 0;
	memset(&st->m, 0, sizeof(st->m));
	st->s.machine.tasks = 30000;
	assert_int_equal(decide(1).cause, CAUSE_PIDS);
	assert_int_equal(decide(1).found[FOUND_PIDS].measured, 30000 * 10000 / 32768);
	st->s.machine.tasks = 300;
	st->h.n_victims = 1;
	st->h.victims[0] = (struct victim) { .id = 5, .own_limit = 6000 };
	assert_int_equal(decide(1).cause, CAUSE_OWN_LIMIT);
	assert_int_equal(decide(1).group, 5);
	/* Its own limit and a neighbour: both. */
	st->h.level[IMPORTANCE_LOGIN] = 9000;
	assert_int_equal(decide(1).cause, CAUSE_RUNAWAY);
	assert_true(decide(1).all & (1u << FOUND_OWN_LIMIT));
}

/* What decides does not hide the rest: harm, a pattern, or what comes before it. */
static void beside(void **state)
{
	static const uint32_t three = 1u << FOUND_STEAL | 1u << FOUND_MEMORY | 1u << FOUND_IO;
	struct triage t;

	suspects(40, 100, 100);
	st->s.machine.steal = 5000;
	st->s.machine.mem_full = 5000;
	st->s.machine.io_full = 8000;
	t = decide(20);
	assert_int_equal(t.cause, CAUSE_RUNAWAY);
	assert_int_equal(t.all, three);
	assert_in_range(t.found[FOUND_STEAL].measured, 4000, 5000);
	assert_int_equal(t.found[FOUND_STEAL].limit, TRIAGE_STEAL);
	assert_in_range(t.found[FOUND_MEMORY].measured, 4000, 5000);
	assert_in_range(t.found[FOUND_IO].measured, 7000, 8000);
	/* One culprit: stolen time decides, memory and disk are beside it; nobody harmed: the same. */
	suspects(1, 1000, 0);
	t = decide(1);
	assert_int_equal(t.cause, CAUSE_STEAL);
	assert_int_equal(t.all, three);
	st->h.level[IMPORTANCE_LOGIN] = 100;
	st->s.machine.steal = 0;
	t = decide(30);
	assert_int_equal(t.cause, CAUSE_BLOCKED);
	assert_int_equal(t.measured, t.found[FOUND_MEMORY].measured);
	assert_int_equal(t.all, three & ~(1u << FOUND_STEAL));
}

/* A hog on every CPU, and nobody is fully stalled any more: then it counts that some are. Never
 * the cause by itself, and nothing where a CPU is idle. */
static void some_are_stalled(void **state)
{
	static const struct { permyriad_t mem, io, full, idle, iowait; uint32_t all; } cases[] = {
		{ 5000, 9500, 0, 0, 0, 1u << FOUND_MEMORY_SOME | 1u << FOUND_IO_SOME }, { 5000, 9500, 0, 500, 400, 1u << FOUND_MEMORY_SOME | 1u << FOUND_IO_SOME },
		{ 3900, 7900, 0, 0, 0, 0 }, { 9500, 9500, 0, 500, 1000, 0 }, { 9500, 9500, 0, 4000, -1, 0 }, { 9500, 9500, 0, -1, -1, 0 },
		{ 9500, 9500, 3000, 0, 0, 1u << FOUND_MEMORY | 1u << FOUND_IO_SOME }, { -1, -1, -1, 0, 0, 0 },
	};
	struct triage t;
	unsigned i;

	suspects(1, 1000, 0);
	for (i = 0; i < ELEMENTSOF(cases); i++) {
		memset(&st->m, 0, sizeof(st->m));
		st->s.machine.mem_some = cases[i].mem;
		st->s.machine.io_some = cases[i].io;
		st->s.machine.mem_full = st->s.machine.io_full = cases[i].full;
		st->s.machine.idle = cases[i].idle;
		st->s.machine.iowait = cases[i].iowait;
		st->h.level[IMPORTANCE_LOGIN] = 9000;
		assert_int_equal(decide(1).all, 0);     /* one odd window */
		t = decide(40);
		assert_int_equal(t.cause, CAUSE_RUNAWAY);
		assert_int_equal(t.all, cases[i].all);
		if (t.all & (1u << FOUND_IO_SOME)) {
			assert_in_range(t.found[FOUND_IO_SOME].measured, 9400, 9500);
			assert_int_equal(t.found[FOUND_IO_SOME].limit, 2 * TRIAGE_IO_FULL);
			assert_string_equal(triage_measure(FOUND_IO_SOME), "io pressure (some)");
		}
		st->h.level[IMPORTANCE_LOGIN] = 100;
		assert_int_equal(decide(1).cause, cases[i].full > 0 ? CAUSE_BLOCKED : CAUSE_NONE);
		assert_int_equal(triage_alarming(&st->m.level, 1), cases[i].full > 0 ? FOUND_MEMORY : _FOUND_MAX);
	}
}

/* Where the kernel tells no pressure, the number of blocked tasks does: eight per CPU; else it
 * is evidence, and no more. */
static void blocked_tasks(void **state)
{
	static const struct { permyriad_t full; int32_t blocked; unsigned windows; enum cause cause; } cases[] = {
		{ -1, 40, 1, CAUSE_NONE }, { -1, 40, 8, CAUSE_BLOCKED }, { -1, 17, 60, CAUSE_BLOCKED }, { -1, 15, 200, CAUSE_NONE },
		{ -1, -1, 60, CAUSE_NONE }, { 0, 400, 60, CAUSE_NONE }, { -1, INT32_MAX, 1, CAUSE_BLOCKED },
	};
	struct triage t;
	unsigned i;

	suspects(1, 1000, 0);
	for (i = 0; i < ELEMENTSOF(cases); i++) {
		memset(&st->m, 0, sizeof(st->m));
		st->h.level[IMPORTANCE_LOGIN] = 100;
		st->s.machine.mem_full = st->s.machine.io_full = cases[i].full;
		st->s.machine.blocked = cases[i].blocked;
		t = decide(cases[i].windows);
		assert_int_equal(t.cause, cases[i].cause);
		if (cases[i].full >= 0)
			assert_true(t.all & (1u << FOUND_TASKS));
		else if (t.cause != CAUSE_BLOCKED)
			continue;
		assert_int_equal(t.found[FOUND_TASKS].limit, 16);
		assert_true(t.found[FOUND_TASKS].measured >= 16);
		/* Beside a runaway it is said, and no more. */
		st->h.level[IMPORTANCE_LOGIN] = 9000;
		t = decide(1);
		assert_int_equal(t.cause, CAUSE_RUNAWAY);
		assert_true(t.all & (1u << FOUND_TASKS));
	}
}

static void self(void **state)
{
	suspects(1, 1000, 0);
	st->h.inside = 7;
	st->h.total = 3000;
	st->h.protected_ = 2000;
	assert_int_equal(decide(1).cause, CAUSE_SELF);
	assert_int_equal(decide(1).group, 107);
	st->h.protected_ = 1000;
	assert_int_equal(decide(1).cause, CAUSE_RUNAWAY);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(runaway_or_overload), T(strangers_are_no_pattern), T(forks), T(crowds), T(not_cpu), T(without_harm), T(beside), T(some_are_stalled), T(blocked_tasks), T(self),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
