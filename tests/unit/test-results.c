/* SPDX-License-Identifier: Apache-2.0 */
/* test-results: what is done with an action that failed, or did nothing. */
#include <errno.h>

#include "unit/stories.h"

#define API 10

/* 64 hogs inside sshd's own cgroup: its tasks are ranked and lowered. */
static struct world *hogs_inside(void)
{
	struct world *w = world_new(MODE_ENFORCE);

	world_start(w);
	world_tree(w);
	world_clear(w);
	w->n_ranked = 2;
	w->ranked[0] = (struct task_ref) { .pid = 20, .tid = 20, .start = 5, .cpu_pm = 9000, .comm = "hog" };
	w->ranked[1] = (struct task_ref) { .pid = 21, .tid = 21, .start = 5, .cpu_pm = 9000, .comm = "hog" };
	world_calm(w, 9000);
	return w;
}

static void window(struct world *w)
{
	w->now += 100 * MS;
	world_begin(w, 100 * MS, 9500);
	world_sample(w, 3, 97000, 900000, 97000, 900000);
	world_send(w);
}

/* The steward dies after the first lowering: what it found stays lowered. */
static void a_dead_steward_undoes_nothing(void **state)
{
	struct world *w = hogs_inside();
	unsigned i;

	for (i = 0; i < 30 && w->count[VERB_TASKS_IDLE] == 0; i++)
		window(w);
	assert_int_equal(w->count[VERB_TASKS_IDLE], 1);
	w->fail[VERB_RANK] = ENOTCONN;
	w->count[VERB_RANK] = 0;
	for (i = 0; i < 100; i++)
		window(w);
	assert_int_equal(w->count[VERB_RANK] > 0, 1);
	assert_int_equal(w->whys[WHY_FAILED], 0);
	assert_true(w->verbs_of[3] & (1u << VERB_TASKS_IDLE));
	world_free(w);
}

/* Who was lowered is said at once, later ones not each second, and hostile names safely. */
static void who_was_lowered_is_said(void **state)
{
	struct world *w = hogs_inside();
	unsigned i;

	w->n_ranked = 5;
	for (i = 0; i < 5; i++) {
		w->ranked[i] = (struct task_ref) { .pid = (int)(20 + i), .tid = (int)(20 + i), .start = 5, .cpu_pm = 9000, .comm = "wild" };
		if (i > 2)
			(void)str_copy(w->ranked[i].comm, COMM_MAX, i == 3 ? "\033[2J\n" : "sh");
	}
	for (i = 0; i < 30 && w->count[VERB_TASKS_IDLE] == 0; i++)
		window(w);
	assert_int_equal(w->whys[WHY_LOWERED], 1);
	assert_said(w, "5 tasks are SCHED_IDLE now: wild x3, \\x1b[2J\\x0a x1, sh x1 on ssh.service; for at most 30min");
	/* Each ranking finds more: one line in ten seconds, and the rest before the release. */
	w->n_ranked = 1;
	for (i = 0; i < 95; i++)
		window(w);
	assert_in_range(w->count[VERB_TASKS_IDLE], 3, 12);
	assert_int_equal(w->whys[WHY_LOWERED], 1);
	for (i = 0; i < 20; i++)
		window(w);
	assert_int_equal(w->whys[WHY_LOWERED], 2);
	assert_said(w, "more tasks are SCHED_IDLE now, ");
	world_step(w, &(struct event) { .now = w->now, .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RELEASE_ALL } });
	assert_in_range(w->whys[WHY_LOWERED], 2, 3);
	world_free(w);
}

/* Names without end are counted. */
static void many_names(void **state)
{
	struct world *w = hogs_inside();
	unsigned i;

	w->n_ranked = MAX_TASKS;
	for (i = 0; i < MAX_TASKS; i++) {
		w->ranked[i] = (struct task_ref) { .pid = (int)(20 + i), .tid = (int)(20 + i), .start = 5, .cpu_pm = 9000 };
		(void)str_format(w->ranked[i].comm, COMM_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff%u", i);
	}
	for (i = 0; i < 30 && w->count[VERB_TASKS_IDLE] == 0; i++)
		window(w);
	assert_said(w, "128 tasks are SCHED_IDLE now: \\xff");
	assert_said(w, " others on ssh.service");
	world_free(w);
}

/* Without any lowering a failed ranking is said, and tried again later. */
static void no_steward_at_all(void **state)
{
	struct world *w = hogs_inside();
	unsigned i;

	w->fail[VERB_RANK] = ENOTCONN;
	for (i = 0; i < 100; i++)
		window(w);
	assert_int_equal(w->whys[WHY_FAILED], 1);
	assert_int_equal(w->verbs_of[3], 0);
	world_free(w);
}

/* Every task had ended by the time it was to be lowered: not held for half an hour. */
static void nothing_was_lowered(void **state)
{
	struct world *w = hogs_inside();
	unsigned i;

	w->none_lowered = true;
	for (i = 0; i < 100; i++)
		window(w);
	assert_in_range(w->count[VERB_TASKS_IDLE], 2, 6);
	assert_int_equal(w->whys[WHY_FAILED], 1);
	assert_int_equal(w->count[VERB_RELEASE], 1);
	world_free(w);
}

/* An sshd that answers a login uses more than any of the hogs around it. */
static void what_is_kept_is_no_measure(void **state)
{
	struct world *w = hogs_inside();
	unsigned i;

	w->n_ranked = 20;
	w->ranked[0] = (struct task_ref) { .pid = 20, .tid = 20, .start = 5, .cpu_pm = 6000, .keep = true, .comm = "sshd" };
	for (i = 1; i < 20; i++)
		w->ranked[i] = (struct task_ref) { .pid = 20 + (int32_t)i, .tid = 20 + (int32_t)i, .start = 5, .cpu_pm = 300, .comm = "hog" };
	for (i = 0; i < 30 && w->count[VERB_TASKS_IDLE] == 0; i++)
		window(w);
	assert_int_equal(w->n_lowered, 19);
	assert_int_equal(w->whys[WHY_NOT], 0);
	world_free(w);
}

/* Young real-time tasks that look idle: there is nobody else to lower. */
static void young_and_idle_by_measure(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i;

	world_start(w);
	world_tree(w);
	world_group(w, API, 2, CAN_ALL, "/system.slice/rt.service");
	world_clear(w);
	w->n_ranked = 1;
	world_calm(w, 9000);
	for (i = 0; i < 20; i++) {
		w->ranked[0] = (struct task_ref) { .pid = 5, .tid = 5, .start = (w->now - 2 * SEC) / 10000, .policy = 1, .comm = "fifo" };
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, 3, 1500, 48000, 1500, 48000);
		world_sample(w, API, 97000, 0, 97000, 0)->rt_run_us = 95000;
		world_send(w);
	}
	assert_int_equal(w->n_lowered, 1);
	world_free(w);
}

static void drift(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct event ev = { .type = EVENT_DRIFT, .drift = { .group = HOG, .knob = VERB_QUOTA, .original = true } };
	unsigned i;

	world_calm(w, 9000);
	run(w, 30, 3);
	world_clear(w);
	for (i = 0; i < 45; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9900);
		world_sample(w, 3, 10000, 20000, 10000, 20000);
		world_sample(w, HOG, 90000, 100, 90000, 100);
		world_send(w);
		ev.now = w->now;
		world_step(w, &ev);
	}
	assert_in_range(w->count[VERB_QUOTA], 4, 5);             /* at most once a second */
	assert_int_equal(w->whys[WHY_REASSERT], 1);
	assert_int_equal(w->whys[WHY_YIELD], 0);
	for (i = 0; i < 30; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9900);
		world_sample(w, 3, 10000, 20000, 10000, 20000);
		world_sample(w, HOG, 90000, 100, 90000, 100);
		world_send(w);
		ev.now = w->now;
		world_step(w, &ev);
	}
	assert_int_equal(w->whys[WHY_YIELD], 1);
	assert_int_equal(w->verbs_of[HOG], 0);
	world_free(w);
}

/* A limit of its own that somebody sets in mid-squeeze holds where it is the tighter one, as found and as refused. */
static void a_tighter_limit(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct event ev = { .type = EVENT_DRIFT, .drift = { .group = HOG, .knob = VERB_QUOTA, .value = 1000, .value2 = 500000 } };
	struct event no = { .type = EVENT_RESULT, .result = { .status = RESULT_FAILED, .error = EEXIST, .value = 1000, .value2 = 800000 } };

	world_calm(w, 9000);
	run(w, 30, 3);
	world_clear(w);
	w->now += SEC;
	ev.now = w->now;
	world_step(w, &ev);
	assert_int_equal(w->quota[HOG].quota, 1000);
	assert_int_equal(w->quota[HOG].period, 500000);
	assert_said(w, "somebody set a tighter limit than ours; theirs holds");
	assert_int_equal(engine_group(w->e, HOG)->quota_us, 1000);
	/* A looser one does not: ours again. */
	world_clear(w);
	w->now += 2 * SEC;
	ev.now = w->now;
	ev.drift.group = HOG + 1;
	ev.drift.value = 400000;
	world_step(w, &ev);
	assert_true(w->quota[HOG + 1].quota * 500000 < 400000 * w->quota[HOG + 1].period);
	assert_said(w, "somebody rewrote our value");
	/* Refused: what it has is asked for instead, and the rung is not given up. */
	world_clear(w);
	w->mute = true;
	w->now += 2 * SEC;
	ev.now = w->now;
	ev.drift = (struct drift) { .group = HOG + 2, .knob = VERB_QUOTA, .original = true };
	world_step(w, &ev);
	assert_int_equal(w->count[VERB_QUOTA], 1);
	w->mute = false;
	no.now = w->now;
	no.result.action = w->last[VERB_QUOTA].id;
	world_step(w, &no);
	assert_int_equal(w->last[VERB_QUOTA].group, HOG + 2);
	assert_int_equal(w->quota[HOG + 2].quota, 1000);
	assert_int_equal(w->quota[HOG + 2].period, 800000);
	assert_int_equal(w->whys[WHY_FAILED], 0);
	/* ... once: what is no tighter than that is a failure as any other. */
	w->mute = true;
	w->now += 2 * SEC;
	ev.now = w->now;
	world_step(w, &ev);
	no.now = w->now;
	no.result.action = w->last[VERB_QUOTA].id;
	w->mute = false;
	world_step(w, &no);
	assert_int_equal(w->whys[WHY_FAILED], 1);
	world_free(w);
}

static void failures(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/system.slice/api.service", 2);
	unsigned i;

	world_group(w, 5, 2, CAN_ALL, "/system.slice/postgresql.service");
	w->fail[VERB_WEIGHT] = ENOENT;
	world_calm(w, 9000);
	for (i = 0; i < 3; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, 5, 3000, 60000, 3000, 60000);
		world_sample(w, HOG, 95000, 400000, 95000, 400000);
		world_send(w);
	}
	assert_int_equal(w->whys[WHY_FAILED], 1);
	assert_said(w, "weight failed: no such file");
	assert_true(w->verbs_of[HOG] & (1u << VERB_QUOTA));
	world_free(w);
}

static void no_answer(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct engine_view *v = calloc(1, sizeof(*v));
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RELEASE_ALL } };

	w->mute = true;
	world_calm(w, 9000);
	run(w, 30, 2);
	assert_true(w->count[VERB_QUOTA] >= 16);
	world_clear(w);
	run(w, 30, 65);
	assert_true(w->whys[WHY_FAILED] >= 1);
	w->mute = false;
	run(w, 30, 40);
	ev.now = w->now;
	world_step(w, &ev);
	run(w, 30, 40);
	engine_view(w->e, v);
	assert_int_equal(v->n_squeezes, 0);
	free(v);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_was_lowered_is_said), cmocka_unit_test(many_names),
		cmocka_unit_test(a_dead_steward_undoes_nothing), cmocka_unit_test(no_steward_at_all),
		cmocka_unit_test(nothing_was_lowered), cmocka_unit_test(young_and_idle_by_measure), cmocka_unit_test(what_is_kept_is_no_measure),
		cmocka_unit_test(drift), cmocka_unit_test(a_tighter_limit),
		cmocka_unit_test(failures),
		cmocka_unit_test(no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
