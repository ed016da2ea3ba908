/* SPDX-License-Identifier: Apache-2.0 */
/* test-engine: when the engine wakes, sleeps and refuses, and what it does not squeeze for. */
#include <errno.h>

#include "core/blame.h"
#include "unit/stories.h"

static void calm_is_cheap(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	unsigned i;

	for (i = 0; i < 100; i++)
		world_calm(w, 500);
	assert_string_equal(w->lines, "");
	assert_true(engine_is_calm(w->e));
	assert_true(engine_deadline(w->e) == USEC_INFINITY);
	world_free(w);
}

static void alarm_begins_and_ends(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 0);

	world_calm(w, 1500);
	assert_int_equal(w->last[VERB_SENSE].value, SENSE_ALARM | SENSE_PROBE | SENSE_CANARY | SENSE_SOON);
	assert_false(engine_is_calm(w->e));
	run(w, 0, 99);
	assert_int_equal(w->whys[WHY_CALM], 0);
	run(w, 0, 4);
	assert_int_equal(w->whys[WHY_CALM], 1);
	assert_int_equal(w->last[VERB_SENSE].value, 0);
	assert_true(engine_is_calm(w->e));
	world_free(w);
}

/* Where no CPU is short, the alarm says what it is about. */
static void an_alarm_for_the_disk(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 0);

	w->now += 250 * MS;
	world_begin(w, 250 * MS, 100);
	w->s.machine.io_full = 3900;
	world_send(w);
	assert_true(engine_is_calm(w->e));
	w->now += 250 * MS;
	world_begin(w, 250 * MS, 100);
	w->s.machine.io_full = 6000;
	world_send(w);
	assert_false(engine_is_calm(w->e));
	assert_said(w, "alarm: io pressure (full) 60% > 40%");
	world_free(w);
}

/* So it does for whatever else may begin one; below its limit, nothing does, and a host that takes
 * three per cent, a tick of ten milliseconds now and then, keeps no alarm up either. */
static void an_alarm_for_the_rest(void **state)
{
	static const struct { permyriad_t steal, irq; int32_t blocked, tasks; permyriad_t mem_full, cpu; const char *said; } cases[] = {
		{ 300, 0, 0, 300, 0, 100, NULL }, { 900, 1900, 0, 26000, 1900, 100, NULL },
		{ 1200, 0, 0, 300, 0, 100, "alarm: stolen CPU time 12% > 10%\n" }, { 0, 2500, 0, 300, 0, 100, "alarm: CPU time in interrupts 25% > 20%\n" },
		{ 0, 0, 0, 29491, 0, 100, "alarm: task table in use 89.99% > 80%\n" }, { 0, 0, 0, 300, 3000, 100, "alarm: memory pressure (full) 30% > 20%\n" },
		{ 0, 0, 40, 300, -1, 100, "alarm: 40 tasks blocked by the disk (limit 16)\n" }, { 0, 0, 40, 300, 0, 100, NULL },
		{ 5000, 0, 0, 300, 0, 4000, "alarm: cpu pressure 40% > 10%\n" },
	};
	unsigned i, k;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		struct world *w = siblings(MODE_ENFORCE, 0);
		struct machine_sample *m = &w->s.machine;

		w->now += 250 * MS;
		world_begin(w, 250 * MS, cases[i].cpu);
		m->steal = cases[i].steal;
		m->irq = cases[i].irq;
		m->blocked = cases[i].blocked;
		m->tasks = cases[i].tasks;
		m->mem_full = cases[i].mem_full;
		m->io_full = cases[i].mem_full < 0 ? -1 : 0;
		world_send(w);
		assert_int_equal(w->whys[WHY_ALARM], cases[i].said != NULL);
		if (cases[i].said != NULL) {
			assert_said(w, cases[i].said);
			for (k = 0; k < 160; k++) {
				w->now += 100 * MS;
				world_begin(w, 100 * MS, 100)->machine.steal = k % 5 < 3 ? 500 : 0;
				world_sample(w, 3, 2500, 20, 2500, 20);
				world_send(w);
			}
			assert_int_equal(w->whys[WHY_CALM], 1);
		}
		assert_true(engine_is_calm(w->e));
		world_free(w);
	}
}

/* Nobody is harmed: hogs may use all they want. */
static void harmless_hogs(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	unsigned i, j;

	world_calm(w, 9000);
	for (i = 0; i < 100; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9900);
		world_sample(w, 3, 2500, 500, 2500, 500);
		for (j = 0; j < 30; j++)
			world_sample(w, HOG + j, 5000, 95000, 5000, 95000);
		world_send(w);
	}
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT], 0);
	assert_int_equal(w->whys[WHY_INCIDENT_OPEN], 0);
	world_free(w);
}

static void observe_touches_nothing(void **state)
{
	struct world *w = siblings(MODE_OBSERVE, 40);

	world_calm(w, 6000);
	run(w, 40, 50);
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT] + w->count[VERB_LIFELINE], 0);
	assert_int_equal(w->whys[WHY_WOULD], 1);
	assert_said(w, "would set quota, together 25% of the machine on ");
	world_free(w);
}

static void too_many_victims(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i, k;
	char path[64];

	world_start(w);
	world_tree(w);
	for (i = 0; i < MAX_VICTIMS; i++) {
		(void)snprintf(path, sizeof(path), "/system.slice/postgres%u.service", i);
		world_group(w, 100 + i, 2, CAN_ALL, path);
	}
	world_clear(w);
	world_calm(w, 9000);
	for (k = 0; k < 5; k++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9000);
		world_sample(w, 3, 5000, 0, 0, 0);
		for (i = 0; i < MAX_VICTIMS; i++)
			world_sample(w, 100 + i, 3000, 0, 0, 0);
		world_send(w);
	}
	assert_int_equal(times_said(w, "the least harmed are left out"), 1);
	world_free(w);
}

static void stolen_time(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/user.slice/session-3.scope", 4);
	unsigned i;

	world_calm(w, 9000);
	for (i = 0; i < 30; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500)->machine.steal = 8000;
		world_sample(w, 3, 1500, i < 2 ? 100 : 48000, 1500, i < 2 ? 100 : 48000);
		world_sample(w, HOG, 20000, 400000, 20000, 400000);
		world_send(w);
	}
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT], 0);
	assert_int_equal(w->whys[WHY_TRIAGE], 1);
	assert_said(w, "cause: stolen CPU time");
	world_free(w);
}

static void own_limit_and_a_neighbour(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 0);
	unsigned i;

	world_group(w, 5, 2, CAN_ALL, "/system.slice/postgresql.service");
	world_group(w, HOG, 2, CAN_ALL, "/system.slice/batch.service");
	world_clear(w);
	world_calm(w, 9000);
	/* All of its wait is its own limit's. */
	for (i = 0; i < 10; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 5000);
		world_sample(w, 5, 10000, 89000, 10000, 89000)->throttled_us = 180000;
		world_sample(w, HOG, 80000, 1000, 80000, 1000);
		world_send(w);
	}
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT], 0);
	assert_said(w, "cause: throttled by its own limit, postgresql.service");
	/* A neighbour on top: three tasks wait, of which the limit explains a part. */
	for (i = 0; i < 4; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9900);
		world_sample(w, 5, 10000, 290000, 10000, 290000)->throttled_us = 40000;
		world_sample(w, HOG, 85000, 1000, 85000, 1000);
		world_send(w);
	}
	assert_true(w->count[VERB_WEIGHT] == 1);
	world_free(w);
}

/* Said beside the cause, with what was measured. */
static void full_task_table(void **state)
{
	struct world *w = siblings(MODE_OBSERVE, 40);
	unsigned i;

	world_calm(w, 9000);
	for (i = 0; i < 5; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500)->machine.tasks = 29491;
		world_sample(w, 3, 1500, 48000, 1500, 48000);
		world_sample(w, HOG, 20000, 400000, 20000, 400000);
		world_send(w);
	}
	assert_int_equal(w->whys[WHY_TRIAGE], 1);
	assert_said(w, "cause: the task table fills up, 89.99% (limit 80%)");
	world_free(w);
}

/* A runaway, and the disk is slow and the host steals as well: squeezed, and all of it is said. */
static void a_runaway_and_slow_disks(void **state)
{
	static struct engine_view v;
	struct world *w = siblings(MODE_ENFORCE, 40);
	unsigned i, n;

	world_calm(w, 9000);
	for (i = 0; i < 12; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		w->s.machine.io_full = 9000;
		w->s.machine.mem_full = i == 1 ? 9000 : 0;      /* one odd window is not said */
		w->s.machine.steal = 3000;
		w->s.machine.runnable = 44;
		world_sample(w, 3, 2500, 47500, 2500, 47500);
		for (n = 0; n < 40; n++)
			world_sample(w, HOG + n, 2500, 25000, 2500, 25000);
		world_send(w);
	}
	assert_true(w->count[VERB_QUOTA] >= 40);
	assert_int_equal(w->whys[WHY_TRIAGE], 2);
	assert_said(w, "cause: memory or disk, io pressure (full) ");
	assert_said(w, "% (limit 40%); tasks wait for memory or disk");
	assert_said(w, "cause: stolen CPU time, ");
	engine_view(w->e, &v);
	assert_int_equal(v.cause, CAUSE_RUNAWAY);
	assert_int_equal(v.n_findings, 2);
	assert_int_equal(v.findings[0].cause, CAUSE_STEAL);
	assert_int_equal(v.findings[1].cause, CAUSE_BLOCKED);
	assert_true(v.findings[1].measured >= v.findings[1].limit && v.findings[1].limit == 4000);
	assert_string_equal(v.findings[1].measure, "io pressure (full)");
	for (i = 0; i < 900; i++)
		world_calm(w, 0);
	assert_said(w, "calm: ");
	engine_view(w->e, &v);
	assert_int_equal(v.n_findings, 0);
	world_free(w);
}

/* No PSI, and an idle CPU: that tasks hang is alarm enough. */
static void blocked_without_psi(void **state)
{
	static struct engine_view v;
	struct world *w = siblings(MODE_ENFORCE, 1);
	unsigned i;

	for (i = 0; i < 30; i++) {
		w->now += (i ? 100 : 250) * MS;
		world_begin(w, (i ? 100 : 250) * MS, -1)->pressure = PRESSURE_RUNQUEUE;
		w->s.machine.mem_some = w->s.machine.mem_full = w->s.machine.io_some = w->s.machine.io_full = -1;
		w->s.machine.runnable = 1;
		w->s.machine.blocked = 37;
		if (i > 0)
			world_sample(w, 3, 2500, 20, 2500, 20);
		world_send(w);
	}
	assert_int_equal(w->whys[WHY_ALARM], 1);
	assert_int_equal(w->whys[WHY_TRIAGE], 1);
	assert_said(w, "alarm: 37 tasks blocked by the disk (limit 16)\n");
	assert_said(w, "cause: memory or disk, ");
	assert_said(w, " tasks blocked by the disk (limit 16); ");
	engine_view(w->e, &v);
	assert_int_equal(v.cause, CAUSE_BLOCKED);
	assert_true(v.n_findings == 1 && v.findings[0].tasks && v.findings[0].limit == 16);
	assert_in_range(v.findings[0].measured, 30, 37);
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT], 0);
	world_free(w);
}

static void blind(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct event ev = { .type = EVENT_TIMEOUT };
	unsigned i;

	world_calm(w, 9000);
	run(w, 30, 3);
	assert_true(w->verbs_of[HOG] != 0);
	for (i = 0; i < 10 && w->verbs_of[HOG]; i++) {
		usec_t due = engine_deadline(w->e);

		assert_true(due > w->now && due < w->now + 10 * SEC);
		w->now = ev.now = due;
		world_step(w, &ev);
	}
	assert_int_equal(w->verbs_of[HOG], 0);
	assert_said(w, "nothing was measured for 5s; released");
	world_free(w);
}

static void gap(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 40);

	world_calm(w, 6000);
	w->now += 10 * SEC;
	hog_window(w, 5 * SEC, 40);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	hog_window(w, 100 * MS, 40);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	hog_window(w, 100 * MS, 40);
	assert_true(w->count[VERB_QUOTA] > 0);
	world_free(w);
}

static void malformed(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 1);
	struct event ev = { .now = w->now - 1, .type = EVENT_TIMEOUT };

	assert_int_equal(engine_step(w->e, &ev, &w->out), -EINVAL);
	ev.now = w->now;
	ev.type = _EVENT_MAX;
	assert_int_equal(engine_step(w->e, &ev, &w->out), -EINVAL);
	ev.type = EVENT_SNAPSHOT;
	ev.snapshot = NULL;
	assert_int_equal(engine_step(w->e, &ev, &w->out), -EINVAL);
	ev.type = EVENT_ENDPOINT;
	ev.endpoint = (struct endpoint_answer) { .policy = 0 };
	assert_int_equal(engine_step(w->e, &ev, &w->out), -EINVAL);
	ev.type = EVENT_RESULT;
	ev.result = (struct result) { .action = 4711, .status = RESULT_DONE };
	assert_int_equal(engine_step(w->e, &ev, &w->out), 0);
	world_free(w);
}

/* The same events give the same actions. */
static void deterministic(void **state)
{
	struct world *a = siblings(MODE_ENFORCE, 40), *b = siblings(MODE_ENFORCE, 40);

	world_calm(a, 6000);
	run(a, 40, 150);
	world_calm(b, 6000);
	run(b, 40, 150);
	assert_string_equal(a->lines, b->lines);
	assert_memory_equal(a->e, b->e, engine_size());
	world_free(a);
	world_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calm_is_cheap),
		cmocka_unit_test(alarm_begins_and_ends), cmocka_unit_test(an_alarm_for_the_disk),
		cmocka_unit_test(an_alarm_for_the_rest),
		cmocka_unit_test(harmless_hogs),
		cmocka_unit_test(observe_touches_nothing),
		cmocka_unit_test(too_many_victims),
		cmocka_unit_test(stolen_time),
		cmocka_unit_test(own_limit_and_a_neighbour),
		cmocka_unit_test(full_task_table),
		cmocka_unit_test(a_runaway_and_slow_disks),
		cmocka_unit_test(blocked_without_psi),
		cmocka_unit_test(blind),
		cmocka_unit_test(gap),
		cmocka_unit_test(malformed),
		cmocka_unit_test(deterministic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
