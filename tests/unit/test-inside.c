/* SPDX-License-Identifier: Apache-2.0 */
/* test-inside: the worst tasks of a cgroup that is shared with what is protected. */
#include "unit/stories.h"

static void hogs_beside_sshd(void **state)
{
	static const enum mode modes[] = { MODE_ENFORCE, MODE_RESCUE };
	unsigned i, m;

	for (m = 0; m < 2; m++) {
		struct world *w = world_new(modes[m]);

		world_start(w);
		world_tree(w);
		world_clear(w);
		rank_hogs(w, 64);
		world_calm(w, 9000);
		for (i = 0; i < (m ? 210 : 11) && !w->count[VERB_TASKS_IDLE]; i++)
			inside_window(w, 3, false);
		assert_true(m == 0 || i > 195);
		assert_int_equal(w->count[VERB_RANK], 1);
		assert_int_equal(w->count[VERB_TASKS_IDLE], 1);
		assert_int_equal(w->n_lowered, 64);             /* not what is kept, not what is idle */
		assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT] + w->count[VERB_FREEZE] + w->count[VERB_JAIL], 0);
		assert_said(w, m ? "SCHED_IDLE for its worst tasks (a login would take 11s) on ssh.service" : "SCHED_IDLE for its worst tasks on ssh.service");
		/* Lowered, they burn what is left, and would take it all again. */
		for (i = 0; i < 120; i++)
			inside_window(w, 3, true);
		assert_int_equal(w->whys[WHY_RECOVERED], 0);
		assert_int_not_equal(w->verbs_of[3], 0);
		for (i = 0; i < 55; i++)
			quiet_window(w, 3);
		assert_int_equal(w->whys[WHY_RECOVERED], 1);
		assert_int_equal(w->verbs_of[3], 0);
		world_free(w);
	}
}

static void too_many_tasks(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i, all = 0;

	world_start(w);
	world_tree(w);
	world_clear(w);
	rank_hogs(w, MAX_TASKS - 2);
	world_calm(w, 9000);
	for (i = 0; i < 120; i++) {
		w->n_lowered = 0;
		inside_window(w, 3, false);
		all += w->n_lowered;
		if (all + MAX_TASKS - 2 <= MAX_SQUEEZED_TASKS)
			assert_unsaid(w, "more tasks than can be lowered at once");
	}
	assert_int_equal(all, MAX_SQUEEZED_TASKS);
	assert_int_equal(times_said(w, "more tasks than can be lowered at once"), 1);
	world_free(w);
}

/* What is named by Processes= is the culprit where nothing beside it is. */
static void named_ones_alone(void **state)
{
	static const struct {
		uint32_t beside;        /* permyriad of a CPU that the foreign task uses */
		uint8_t policy;         /* its class */
		int n;                  /* backends lowered; -1: nothing */
	} cases[] = { { 0, 0, 4 }, { 900, 0, 4 }, { 7900, 0, -1 }, { 0, 5, 4 }, { 900, 5, 4 } };
	unsigned i, k;

	for (k = 0; k < ELEMENTSOF(cases); k++) {
		struct world *w = world_new(MODE_ENFORCE);

		world_start(w);
		world_tree(w);
		world_clear(w);
		w->n_ranked = 5;
		for (i = 0; i < 4; i++)
			w->ranked[i] = (struct task_ref) { .pid = 100 + (int)i, .tid = 100 + (int)i, .start = 500, .cpu_pm = 4500, .keep = true, .comm = "postgres" };
		w->ranked[4] = (struct task_ref) { .pid = 8, .tid = 8, .start = 100, .cpu_pm = cases[k].beside, .policy = cases[k].policy, .comm = "exporter" };
		world_calm(w, 9000);
		for (i = 0; i < 11 && !w->count[VERB_TASKS_IDLE]; i++)
			inside_window(w, 3, false);
		assert_true(w->count[VERB_RANK] >= 1);
		if (cases[k].n > 0)
			assert_int_equal(w->n_lowered, cases[k].n);
		for (i = 0; i < w->n_lowered; i++)
			assert_true((w->lowered[i].comm[0] == 'p') == (cases[k].n > 0));
		world_free(w);
	}
}

/* What was lowered beside them gets little to run since: they are spared as before. */
static void lowered_beside_named(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i;

	world_start(w);
	world_tree(w);
	world_clear(w);
	w->n_ranked = 5;
	for (i = 0; i < 4; i++)
		w->ranked[i] = (struct task_ref) { .pid = 100 + (int)i, .tid = 100 + (int)i, .start = 500, .cpu_pm = 1500, .keep = true, .comm = "postgres" };
	w->ranked[4] = (struct task_ref) { .pid = 8, .tid = 8, .start = 100, .cpu_pm = 9000, .comm = "dump" };
	world_calm(w, 9000);
	for (i = 0; i < 11 && !w->count[VERB_TASKS_IDLE]; i++)
		inside_window(w, 3, false);
	assert_int_equal(w->n_lowered, 1);
	assert_string_equal(w->lowered[0].comm, "dump");
	w->ranked[4].policy = 5;
	w->ranked[4].cpu_pm = 20;
	for (i = 0; i < 40; i++)
		inside_window(w, 3, false);
	assert_true(w->count[VERB_RANK] > 1);
	assert_int_equal(w->count[VERB_TASKS_IDLE], 1);
	world_free(w);
}

/* The first ranking misses three of them: ranked again within a second or two. */
static void the_last_three_hogs(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i;

	world_start(w);
	world_tree(w);
	world_clear(w);
	rank_hogs(w, 61);
	world_calm(w, 9000);
	for (i = 0; i < 15; i++)
		inside_window(w, 3, w->count[VERB_TASKS_IDLE] > 0);
	assert_int_equal(w->count[VERB_TASKS_IDLE], 1);
	for (i = 0; i < 61; i++)
		w->ranked[i].policy = 5;
	w->ranked[0].policy = w->ranked[1].policy = w->ranked[2].policy = 0;
	for (i = 0; i < 15; i++) {
		bool well = w->count[VERB_TASKS_IDLE] > 1;

		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, 3, 98000, well ? 200 : 110000, 98000, well ? 200 : 110000);
		world_send(w);
	}
	assert_int_equal(w->count[VERB_TASKS_IDLE], 2);
	assert_int_equal(w->n_lowered, 3);
	world_free(w);
}

/* Put back, the hogs go on: a relapse, answered again and held longer each time. */
static void relapse_inside(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i, bad = 0;

	world_start(w);
	world_tree(w);
	world_clear(w);
	rank_hogs(w, 64);
	world_calm(w, 9000);
	for (i = 0; i < 600; i++) {
		bool well = w->verbs_of[3] & (1u << VERB_TASKS_IDLE);

		bad += !well;
		/* They pause while they are lowered. */
		if (well)
			quiet_window(w, 3);
		else
			inside_window(w, 3, false);
	}
	assert_in_range(w->whys[WHY_RELAPSE], 2, 4);
	assert_int_equal(w->whys[WHY_NO_EFFECT] + w->whys[WHY_NOT], 0);
	assert_true(bad < 60);
	world_free(w);
}

static void realtime_hog(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/system.slice/rt.service", 2);
	unsigned i;

	w->n_ranked = 2;
	w->ranked[0] = (struct task_ref) { .pid = 5, .tid = 5, .start = 5, .cpu_pm = 9500, .policy = 1, .comm = "fifo" };
	w->ranked[1] = (struct task_ref) { .pid = 6, .tid = 6, .start = 5, .cpu_pm = 9500, .comm = "hog" };
	world_calm(w, 9000);
	for (i = 0; i < 5; i++) {
		bool well = w->verbs_of[HOG] & (1u << VERB_TASKS_OTHER);

		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, 3, 1500, well ? 20 : 48000, 1500, well ? 20 : 48000);
		world_sample(w, HOG, 97000, 0, 97000, 0)->rt_run_us = 95000;
		world_send(w);
	}
	assert_int_equal(w->count[VERB_TASKS_OTHER], 1);
	assert_int_equal(w->n_lowered, 1);
	assert_int_equal(w->lowered[0].tid, 5);
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT] + w->count[VERB_TASKS_IDLE], 0);
	world_free(w);
}

/* A hog that never leaves its CPU is seen by the probe at its first switch, a second late: until
 * then a weight was tried, which cannot help. */
static void seen_late(bool until_undone)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/system.slice/rt.service", 2);
	unsigned i;

	w->n_ranked = 1;
	w->ranked[0] = (struct task_ref) { .pid = 5, .tid = 5, .start = 5, .cpu_pm = 9500, .policy = 1, .comm = "fifo" };
	world_calm(w, 9000);
	for (i = 0; i < 100 && (until_undone ? w->whys[WHY_NO_EFFECT] == 0 : w->verbs_of[HOG] == 0); i++)
		culprit_window(w, HOG, 0, 10);
	assert_int_equal(w->count[VERB_TASKS_OTHER], 0);
	assert_int_equal(w->verbs_of[HOG] == 0, until_undone);
	for (i = 0; i < 20; i++) {
		bool well = w->verbs_of[HOG] & (1u << VERB_TASKS_OTHER);

		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, 3, 1500, well ? 20 : 48000, 1500, well ? 20 : 48000);
		world_sample(w, HOG, 97000, 0, 97000, 0)->rt_run_us = 95000;
		world_send(w);
	}
	assert_int_equal(w->count[VERB_TASKS_OTHER], 1);
	assert_int_equal(w->verbs_of[HOG], 1u << VERB_TASKS_OTHER);
	world_free(w);
}

static void realtime_seen_while_squeezed(void **state)
{
	seen_late(false);
}

static void realtime_seen_after_it_was_undone(void **state)
{
	seen_late(true);
}

/* Real-time hogs at their budget look idle to a steward that runs in the gaps. */
static void realtime_hog_in_the_gaps(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/system.slice/rt.service", 2);
	unsigned i;

	w->n_ranked = 2;
	w->ranked[0] = (struct task_ref) { .pid = 5, .tid = 5, .start = 5, .cpu_pm = 0, .policy = 1, .comm = "fifo" };
	w->ranked[1] = (struct task_ref) { .pid = 6, .tid = 6, .start = 5, .cpu_pm = 0, .comm = "idle" };
	world_calm(w, 9000);
	for (i = 0; i < 5; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, 3, 1500, 48000, 1500, 48000);
		world_sample(w, HOG, 97000, 0, 97000, 0)->rt_run_us = 95000;
		world_send(w);
	}
	assert_int_equal(w->count[VERB_RANK], 3);
	assert_int_equal(w->count[VERB_TASKS_OTHER], 1);
	assert_int_equal(w->n_lowered, 1);
	world_free(w);
}

/* A slow ranking is waited for; what was never tried has not failed. */
static void late_ranking(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	struct event ev = { .type = EVENT_RESULT };
	unsigned i;

	world_start(w);
	world_tree(w);
	world_clear(w);
	rank_hogs(w, 64);
	w->mute = true;
	world_calm(w, 9000);
	for (i = 0; i < 40; i++)
		inside_window(w, 3, false);
	assert_int_equal(w->count[VERB_RANK], 1);
	assert_int_equal(w->whys[WHY_NO_EFFECT], 0);
	w->mute = false;
	ev.now = w->now;
	ev.result = (struct result) { .action = w->last[VERB_RANK].id, .status = RESULT_DONE, .n_tasks = w->n_ranked, .tasks = w->ranked };
	world_step(w, &ev);
	assert_int_equal(w->n_lowered, 64);
	for (i = 0; i < 20; i++)
		inside_window(w, 3, i > 10);
	assert_int_equal(w->whys[WHY_NO_EFFECT], 0);
	assert_true(w->verbs_of[3] & (1u << VERB_TASKS_IDLE));
	world_free(w);
}

/* What belongs to the system is not touched inside. */
static void system_is_not_lowered(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i;

	world_policy(w, POLICY_PROTECT, "system", MATCH_UNITS, "containerd.service")->as = IMPORTANCE_SYSTEM;
	world_start(w);
	world_tree(w);
	world_group(w, HOG, 2, CAN_ALL, "/system.slice/containerd.service");
	world_clear(w);
	rank_hogs(w, 4);
	world_calm(w, 9000);
	for (i = 0; i < 20; i++)
		inside_window(w, HOG, false);
	assert_int_equal(w->count[VERB_RANK], 0);
	assert_int_equal(w->whys[WHY_NOT], 1);
	assert_said(w, "nothing done: it is a part of the system");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hogs_beside_sshd),
		cmocka_unit_test(too_many_tasks),
		cmocka_unit_test(named_ones_alone), cmocka_unit_test(lowered_beside_named),
		cmocka_unit_test(the_last_three_hogs),
		cmocka_unit_test(relapse_inside),
		cmocka_unit_test(realtime_hog),
		cmocka_unit_test(realtime_seen_while_squeezed),
		cmocka_unit_test(realtime_seen_after_it_was_undone),
		cmocka_unit_test(realtime_hog_in_the_gaps),
		cmocka_unit_test(late_ranking),
		cmocka_unit_test(system_is_not_lowered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
