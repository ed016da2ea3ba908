/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-engine: stories
 *
 * Each is fed window by window; cgroups react to what is set on them as far as the
 * story needs it. The order of the lines is part of what is tested.
 */
#include "unit/world.h"
#include "core/blame.h"

#include <errno.h>

#define HOG 10                          /* first id of the hogs */

/* n hog groups under system.slice, two hogs each, and sshd that wants 5 ms per window.
 * Hogs under a quota or a tenth of the weight leave sshd alone. */
static void hog_window(struct world *w, usec_t window, unsigned n)
{
	unsigned i, wild = 0;
	uint32_t part;
	permyriad_t wait;

	for (i = 0; i < n; i++)
		wild += !(w->verbs_of[HOG + i] & (1u << VERB_QUOTA | 1u << VERB_WEIGHT | 1u << VERB_FREEZE));
	w->now += window;
	world_begin(w, window, n ? 9500 : 100);
	w->s.machine.runnable = (int32_t)(n + 4);
	part = n ? (uint32_t)(window / n) : 0;
	wait = (permyriad_t)(wild * 10 >= n && n > 0 ? 9500 : 0);
	world_sample(w, 3, 2500, wait ? (uint32_t)(window * 475 / 1000) : 20, 2500, wait ? (uint32_t)(window * 475 / 1000) : 20);
	for (i = 0; i < n; i++)
		world_sample(w, HOG + i, part, part * 10, part, part * 10);
	world_send(w);
}

static struct world *siblings(enum mode mode, unsigned n)
{
	struct world *w = world_new(mode);
	unsigned i;
	char path[64];

	world_start(w);
	world_tree(w);
	for (i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "/system.slice/hog-%u.service", i);
		world_group(w, HOG + i, 2, CAN_ALL, path);
	}
	world_clear(w);
	return w;
}

static void run(struct world *w, unsigned n, unsigned windows)
{
	while (windows-- > 0)
		hog_window(w, 100 * MS, n);
}

static void calm_is_cheap(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);
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

/* A slow CPU: three of forty run in a window. They are not squeezed three by three, but
 * together, once enough of them were seen. */
static void a_crowd_is_waited_for(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 40);
	unsigned i, k, first = 0;

	world_calm(w, 6000);
	for (i = 0; i < 12 && first == 0; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		w->s.machine.runnable = 100;
		world_sample(w, 3, 2500, 47500, 2500, 47500);
		for (k = 0; k < 3; k++)
			world_sample(w, HOG + i * 3 + k, 30000, 60000, 30000, 60000);
		world_send(w);
		first = w->count[VERB_QUOTA] + w->count[VERB_WEIGHT];
	}
	assert_in_range(first, 12, 40);
	assert_int_equal(w->count[VERB_WEIGHT], 0);
	world_free(w);
}

/* Dozens of siblings: straight to quota, in the first window after the alarm's. */
static void dozens_of_siblings(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 40);
	struct engine_view *v = calloc(1, sizeof(*v));
	int64_t sum = 0;
	unsigned i;

	world_calm(w, 6000);
	hog_window(w, 50 * MS, 40);
	assert_int_equal(w->whys[WHY_INCIDENT_OPEN], 1);
	assert_int_equal(w->whys[WHY_HARM], 1);
	assert_in_range(w->count[VERB_QUOTA], 30, 40);
	assert_int_equal(w->count[VERB_WEIGHT], 0);
	assert_said(w, "incident: cpu wait of ssh.service 86.17% > 65.62% for");
	assert_said(w, "(50-test/everything-else) -> quota, together 25% of the machine on ");
	assert_said(w, " cgroups under /system.slice; next: ");
	run(w, 40, 3);
	for (i = 0; i < 40; i++)
		if (w->verbs_of[HOG + i] & (1u << VERB_QUOTA)) {
			assert_true(w->quota[HOG + i].quota >= 1000);
			sum += w->quota[HOG + i].quota * 1000000 / w->quota[HOG + i].period;
		}
	/* The floor is on the sum: a quarter of two CPUs. */
	assert_in_range(sum, 430000, 510000);
	engine_view(w->e, v);
	assert_int_equal(v->cause, CAUSE_RUNAWAY);
	assert_true(v->n_squeezes >= 30);
	assert_int_equal(v->squeezes[0].until - v->squeezes[0].since, 30 * USEC_PER_MIN);
	free(v);
	world_free(w);
}

static unsigned times_said(const struct world *w, const char *text)
{
	unsigned n = 0;

	for (const char *p = w->lines; (p = strstr(p, text)) != NULL; p += strlen(text))
		n++;
	return n;
}

/* Bounds of our own are said when they are met, once. */
static void too_many_siblings(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, MAX_SQUEEZES + 50);
	unsigned i;

	world_calm(w, 9000);
	for (i = 0; i < 12; i++) {
		hog_window(w, 100 * MS, MAX_SQUEEZES + 50);
		assert_true(times_said(w, "the least to blame stay free") <= 1);
		w->lines[0] = 0;
	}
	assert_int_equal(w->whys[WHY_NOT], 1);
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

static void too_many_actions(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	struct event ev = { .type = EVENT_POLICIES };
	char path[64];
	unsigned i;

	w->set.policies[1].weight = 400;
	world_start(w);
	world_tree(w);
	w->mute = true;
	for (i = 0; i < 700; i++) {
		(void)snprintf(path, sizeof(path), "/system.slice/postgres%u.service", i);
		world_group(w, 100 + i, 2, CAN_ALL, path);
	}
	world_clear(w);
	world_calm(w, 9000);
	assert_int_equal(times_said(w, "too many actions wait"), 0);
	w->set.settings.mode = MODE_OBSERVE;            /* 700 lifelines are put back as well */
	ev.now = w->now;
	ev.policies = &w->set;
	world_step(w, &ev);
	for (i = 0; i < 3; i++)
		world_calm(w, 9000);
	assert_int_equal(times_said(w, "too many actions wait"), 1);
	world_free(w);
}

/* Nobody is harmed: hogs may use all they want. */
static void harmless_hogs(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);
	unsigned i, j;

	world_calm(w, 9000);
	for (i = 0; i < 100; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9900);
		world_sample(w, 3, 2500, 500, 2500, 500);
		for (j = 0; j < 20; j++)
			world_sample(w, HOG + j, 5000, 95000, 5000, 95000);
		world_send(w);
	}
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT], 0);
	assert_int_equal(w->whys[WHY_INCIDENT_OPEN], 0);
	world_free(w);
}

static void held_and_given_back(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 40);
	unsigned i;

	world_calm(w, 6000);
	hog_window(w, 50 * MS, 40);
	world_clear(w);
	run(w, 40, 45);
	assert_int_equal(w->whys[WHY_RECOVERED], 0);
	run(w, 40, 10);
	assert_int_equal(w->whys[WHY_RECOVERED], 1);
	assert_said(w, "giving back in steps on ");
	/* The hogs end: their demand is gone, everything is released, then the incident closes. */
	for (i = 0; i < 200; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 50);
		world_sample(w, 3, 2500, 10, 2500, 10);
		world_send(w);
	}
	for (i = 0; i < 40; i++)
		assert_int_equal(w->verbs_of[HOG + i], 0);
	assert_int_equal(w->whys[WHY_INCIDENT_CLOSE], 1);
	assert_int_equal(w->whys[WHY_CALM], 0);          /* a relapse is still remembered */
	run(w, 0, 650);
	assert_int_equal(w->whys[WHY_CALM], 1);
	assert_true(engine_is_calm(w->e));
	world_free(w);
}

static void no_write_storm(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 40);

	world_calm(w, 6000);
	run(w, 40, 600);
	/* In a minute a cgroup is written when cut, and at most once a second while it grows. */
	assert_in_range(w->count[VERB_QUOTA], 40, 40 * 30);
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

static void rescue_waits_for_a_dead_way_in(void **state)
{
	struct world *w = siblings(MODE_RESCUE, 40);

	world_calm(w, 6000);
	run(w, 40, 190);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	assert_int_equal(w->whys[WHY_INCIDENT_OPEN], 1);
	run(w, 40, 20);
	assert_in_range(w->count[VERB_QUOTA], 30, 40);
	assert_said(w, "(rescue) -> quota, together 25% of the machine");
	assert_int_equal(w->last[VERB_QUOTA].until - w->now <= 15 * USEC_PER_MIN, 1);
	world_free(w);
}

/* ---- one culprit ---- */

/* sshd is harmed by `culprit` until one of `cures` is in force there. */
static void culprit_window(struct world *w, uint64_t culprit, uint32_t cures, uint32_t forks)
{
	bool well = w->verbs_of[culprit] & cures;
	uint32_t wait = well ? 100 : 48000;
	struct group_sample *g;

	w->now += 100 * MS;
	world_begin(w, 100 * MS, well ? 500 : 9500)->machine.forks = (int32_t)forks;
	world_sample(w, 3, 3000, wait, 3000, wait);
	g = world_sample(w, culprit, 97000, 400000, 97000, 400000);
	g->forks = forks;
	world_send(w);
}

static struct world *one_culprit(enum mode mode, const char *path, uint64_t parent)
{
	struct world *w = world_new(mode);

	world_start(w);
	world_tree(w);
	world_group(w, 4, 1, CAN_ALL, "/user.slice");
	world_group(w, HOG, parent, CAN_ALL, path);
	world_clear(w);
	return w;
}

/* Released by a person while logins are slow: the next to blame gets his 20 s, too. */
static void rescue_waits_anew(void **state)
{
	struct world *w = one_culprit(MODE_RESCUE, "/user.slice/session-3.scope", 4);
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RELEASE, .group = HOG } };
	unsigned i;

	world_calm(w, 9000);
	for (i = 0; i < 210; i++)
		culprit_window(w, HOG, 0, 10);
	assert_int_equal(w->verbs_of[HOG] != 0, 1);
	ev.now = w->now;
	world_step(w, &ev);
	world_group(w, HOG + 1, 4, CAN_ALL, "/user.slice/session-4.scope");
	for (i = 0; i < 190; i++)
		culprit_window(w, HOG + 1, 0, 10);
	assert_int_equal(w->verbs_of[HOG + 1], 0);
	for (i = 0; i < 30 && w->verbs_of[HOG + 1] == 0; i++)
		culprit_window(w, HOG + 1, 0, 10);
	assert_int_equal(w->verbs_of[HOG + 1] != 0, 1);
	world_free(w);
}

/* A service, perhaps at its peak, that only slows logins gets a lower weight, no more. */
static void service_gets_weight_only(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/system.slice/api.service", 2);
	unsigned i;

	world_calm(w, 9000);
	for (i = 0; i < 60; i++)
		culprit_window(w, HOG, 0, 10);
	assert_int_equal(w->count[VERB_WEIGHT], 1);
	assert_int_equal(w->last[VERB_WEIGHT].value, 10);
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_FREEZE], 0);
	/* It did not help, which is said, and it is undone. */
	assert_int_equal(w->whys[WHY_NO_EFFECT], 1);
	assert_int_equal(w->verbs_of[HOG], 0);
	assert_said(w, "weight 10 instead of 100 on api.service");
	assert_said(w, "it did not help; undone on api.service");
	world_free(w);
}

static void weight_helps_and_is_put_back(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/system.slice/api.service", 2);
	unsigned i;

	world_calm(w, 9000);
	for (i = 0; i < 10; i++)
		culprit_window(w, HOG, 1u << VERB_WEIGHT, 10);
	assert_true(w->verbs_of[HOG] & (1u << VERB_WEIGHT));
	assert_int_equal(w->whys[WHY_HARM], 1);
	for (i = 0; i < 45; i++)
		culprit_window(w, HOG, 1u << VERB_WEIGHT, 10);
	assert_int_equal(w->whys[WHY_RECOVERED], 1);
	assert_said(w, "victims are well on api.service");
	/* The runaway goes on: a relapse, which is held twice as long. */
	for (i = 0; i < 4; i++)
		culprit_window(w, HOG, 1u << VERB_WEIGHT, 10);
	assert_int_equal(w->whys[WHY_RELAPSE], 1);
	for (i = 0; i < 95; i++)
		culprit_window(w, HOG, 1u << VERB_WEIGHT, 10);
	assert_int_equal(w->whys[WHY_RECOVERED], 1);
	for (i = 0; i < 10; i++)
		culprit_window(w, HOG, 1u << VERB_WEIGHT, 10);
	assert_int_equal(w->whys[WHY_RECOVERED], 2);
	world_free(w);
}

/* The same service harms a database: that is more important, so quota may follow. */
static void quota_for_a_database(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/system.slice/api.service", 2);
	unsigned i;

	world_group(w, 5, 2, CAN_ALL, "/system.slice/postgresql.service");
	world_calm(w, 9000);
	for (i = 0; i < 12; i++) {
		bool well = w->verbs_of[HOG] & (1u << VERB_QUOTA);

		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, 5, 3000, well ? 100 : 60000, 3000, well ? 100 : 60000);
		world_sample(w, HOG, 95000, 400000, 95000, 400000);
		world_send(w);
	}
	assert_int_equal(w->count[VERB_WEIGHT], 1);
	assert_int_equal(w->count[VERB_QUOTA], 1);
	assert_int_equal(w->verbs_of[HOG] & ((1u << VERB_QUOTA) | (1u << VERB_WEIGHT)), 1u << VERB_QUOTA);
	assert_said(w, "cpu wait of postgresql.service 9");
	world_free(w);
}

static void useful_work_is_never_cut(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i;

	world_policy(w, POLICY_THROTTLE, "shop", MATCH_UNITS, "hog*")->useful = true;
	world_start(w);
	world_tree(w);
	for (i = 0; i < 20; i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/system.slice/hog-%u.service", i);
		world_group(w, HOG + i, 2, CAN_ALL, path);
	}
	world_clear(w);
	world_calm(w, 9000);
	run(w, 20, 100);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	assert_true(w->count[VERB_WEIGHT] > 0);
	assert_said(w, "(50-test/shop)");
	world_free(w);
}

/* Churn is no service load: quota at once. */
static void fork_churn(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/system.slice/churn.service", 2);

	world_calm(w, 9000);
	culprit_window(w, HOG, 1u << VERB_QUOTA, 1000);
	culprit_window(w, HOG, 1u << VERB_QUOTA, 1000);
	assert_int_equal(w->count[VERB_QUOTA], 1);
	assert_int_equal(w->count[VERB_WEIGHT], 0);
	assert_int_equal(w->last[VERB_QUOTA].value * 1000 / w->last[VERB_QUOTA].value2, 500);
	world_free(w);
}

/* A weight in user.slice does not compete with sshd's: a session gets a quota. */
static void session_gets_quota(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/user.slice/session-3.scope", 4);
	unsigned i;

	world_calm(w, 9000);
	for (i = 0; i < 3; i++)
		culprit_window(w, HOG, 1u << VERB_QUOTA, 10);
	assert_int_equal(w->count[VERB_WEIGHT], 0);
	assert_int_equal(w->count[VERB_QUOTA], 1);
	/* Half of what it used, for a start. */
	assert_in_range(w->last[VERB_QUOTA].value * 10000 / w->last[VERB_QUOTA].value2, 9000, 10000);
	world_free(w);
}

static void cut_until_it_helps_or_ends(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/user.slice/session-3.scope", 4);
	unsigned i;

	world_calm(w, 9000);
	for (i = 0; i < 40; i++)
		culprit_window(w, HOG, 0, 10);
	/* To the floor, then given up: the default ladder ends at tasks. */
	assert_in_range(w->count[VERB_QUOTA], 2, 3);
	assert_int_equal(w->whys[WHY_NO_EFFECT] >= 2, 1);
	assert_int_equal(w->verbs_of[HOG], 0);
	assert_int_equal(w->count[VERB_FREEZE] + w->count[VERB_KILL], 0);
	/* Remembered: not tried again. */
	world_clear(w);
	for (i = 0; i < 100; i++)
		culprit_window(w, HOG, 0, 10);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	world_free(w);
}

static void no_controller_is_said(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i;

	world_start(w);
	world_group(w, 1, GROUP_NONE, GROUP_IS_ROOT, "/");
	world_group(w, 2, 1, 0, "/system.slice");
	world_group(w, 3, 2, 0, "/system.slice/ssh.service");
	world_group(w, HOG, 2, 0, "/system.slice/hog.service");
	world_clear(w);
	world_calm(w, 9000);
	for (i = 0; i < 20; i++)
		culprit_window(w, HOG, 0, 10);
	assert_int_equal(w->whys[WHY_NOT], 1);
	assert_said(w, "nothing done: the cpu controller is off there");
	assert_said(w, "on hog.service");
	world_free(w);
}

/* ---- inside what is protected ---- */

static void inside_window(struct world *w, uint64_t group, bool well)
{
	w->now += 100 * MS;
	world_begin(w, 100 * MS, 9500);
	if (group == 3)
		world_sample(w, 3, 98000, well ? 200 : 3000000, 98000, well ? 200 : 3000000);
	else {
		world_sample(w, 3, 1500, well ? 20 : 48000, 1500, well ? 20 : 48000);
		world_sample(w, group, 97000, 400000, 97000, 400000);
	}
	world_send(w);
}

static void rank_hogs(struct world *w, unsigned n)
{
	unsigned i;

	w->n_ranked = n + 2;
	for (i = 0; i < n; i++)
		w->ranked[i] = (struct task_ref) { .pid = 100 + (int)i, .tid = 100 + (int)i, .start = 50000, .cpu_pm = i % 8 ? 300 : 900 /* slices, by chance */, .comm = "hog" };
	w->ranked[n] = (struct task_ref) { .pid = 7, .tid = 7, .start = 100, .cpu_pm = 300, .keep = true, .comm = "sshd" };
	w->ranked[n + 1] = (struct task_ref) { .pid = 8, .tid = 8, .start = 100, .cpu_pm = 5, .comm = "idle" };
}

/* The hogs pause; sshd has its machine. */
static void quiet_window(struct world *w, uint64_t id)
{
	w->now += 100 * MS;
	world_begin(w, 100 * MS, 1200);
	world_sample(w, id, 2500, 20, 2500, 20);
	world_send(w);
}

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
	} cases[] = { { 0, 0, 4 }, { 900, 0, 4 }, { 7900, 0, -1 }, { 0, 5, -1 } };
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

/* The lowered hogs go on in their cgroup, so a canary elsewhere waits as before: whether it
 * helps is told by the cgroup that harmed itself. */
static void judged_by_the_one_inside(void **state)
{
	struct world *w = world_new(MODE_RESCUE);
	unsigned i;

	world_start(w);
	world_tree(w);
	world_clear(w);
	rank_hogs(w, 64);
	world_calm(w, 9000);
	for (i = 0; i < 260; i++) {
		bool well = w->verbs_of[3] & (1u << VERB_TASKS_IDLE);

		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9900)->canary = i % 10 ? (struct canary_sample) { -1, -1 } : (struct canary_sample) { 5000, 150000 };
		world_sample(w, 3, 98000, well ? 200 : 3000000, 98000, well ? 200 : 3000000)->psi_some_us = 99000;
		world_send(w);
		if (i == 205)
			assert_int_equal(w->count[VERB_TASKS_IDLE], 1);
	}
	assert_int_equal(w->whys[WHY_NO_EFFECT], 0);
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

/* ---- causes that no squeeze helps against ---- */

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

/* ---- people, limits, faults ---- */

static void at_most(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i;

	w->set.policies[2].at_most = 10 * SEC;
	world_start(w);
	world_tree(w);
	world_group(w, 4, 1, CAN_ALL, "/user.slice");
	world_group(w, HOG, 4, CAN_ALL, "/user.slice/session-3.scope");
	world_clear(w);
	world_calm(w, 9000);
	/* Just well enough not to be tightened, not well enough to be relaxed. */
	for (i = 0; i < 110; i++) {
		bool squeezed = w->verbs_of[HOG];

		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, 3, 10000, squeezed ? 15000 : 80000, 10000, squeezed ? 15000 : 80000);
		world_sample(w, HOG, 90000, 300000, 90000, 300000);
		world_send(w);
	}
	assert_int_equal(w->whys[WHY_TOO_LONG], 1);
	assert_int_equal(w->verbs_of[HOG], 0);
	world_clear(w);
	for (i = 0; i < 300; i++)
		culprit_window(w, HOG, 1u << VERB_QUOTA, 10);
	assert_int_equal(w->count[VERB_QUOTA], 0);               /* it cools down */
	for (i = 0; i < 400; i++)
		culprit_window(w, HOG, 1u << VERB_QUOTA, 10);
	assert_true(w->count[VERB_QUOTA] > 0);
	world_free(w);
}

static void blind(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);
	struct event ev = { .type = EVENT_TIMEOUT };
	unsigned i;

	world_calm(w, 9000);
	run(w, 20, 3);
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

static void operator_releases(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RELEASE, .group = HOG } };
	unsigned i;

	world_calm(w, 9000);
	run(w, 20, 3);
	ev.now = w->now;
	world_step(w, &ev);
	assert_int_equal(w->verbs_of[HOG], 0);
	assert_true(w->verbs_of[HOG + 1] != 0);
	run(w, 20, 100);
	assert_int_equal(w->verbs_of[HOG], 0);
	ev.order.verb = OPERATOR_RELEASE_ALL;
	ev.now = w->now;
	world_step(w, &ev);
	for (i = 0; i < 20; i++)
		assert_int_equal(w->verbs_of[HOG + i], 0);
	assert_said(w, "release\n");                             /* of everything there is */
	world_free(w);
}

/* The original cannot be written: tried ten times, said once, then slowly for ever, in calm too. */
static void a_release_is_never_given_up(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RELEASE, .group = HOG } };
	struct event due = { .type = EVENT_TIMEOUT };
	struct engine_view *v = calloc(1, sizeof(*v));
	uint32_t n, tries;

	assert_non_null(v);
	world_calm(w, 9000);
	run(w, 20, 8);
	assert_true(w->count[VERB_QUOTA] >= 15);
	w->fail[VERB_RELEASE] = EROFS;
	run(w, 0, 1500);
	assert_int_equal(w->whys[WHY_FAILED], 1);
	assert_said(w, "release failed: the cgroup tree is read-only; tried again every 30s");
	assert_said(w, "nobody is harmed, what could not be released is tried again every 30s");
	assert_int_equal(w->whys[WHY_CALM], 1);
	assert_false(engine_is_calm(w->e));     /* a record that begins here would not know of them */

	/* By the deadlines alone, in calm. */
	engine_view(w->e, v);
	n = v->n_squeezes;
	assert_true(n >= 15);
	tries = w->count[VERB_RELEASE];
	for (usec_t until = w->now + 600 * SEC; engine_deadline(w->e) < until;) {
		w->now = due.now = engine_deadline(w->e);
		world_step(w, &due);
	}
	assert_in_range(w->count[VERB_RELEASE] - tries, 19 * n, 21 * n);
	assert_int_equal(w->whys[WHY_FAILED], 1);
	/* A person need not wait. */
	tries = w->count[VERB_RELEASE];
	ev.now = w->now;
	world_step(w, &ev);
	assert_int_equal(w->count[VERB_RELEASE], tries + 1);
	w->fail[VERB_RELEASE] = 0;
	for (usec_t until = w->now + 31 * SEC; engine_deadline(w->e) < until;) {
		w->now = due.now = engine_deadline(w->e);
		world_step(w, &due);
	}
	assert_said(w, "could be released at last");
	engine_view(w->e, v);
	assert_int_equal(v->n_squeezes, 0);
	free(v);
	assert_true(engine_is_calm(w->e));
	assert_true(engine_deadline(w->e) == USEC_INFINITY);
	world_free(w);
}

static void tell_names(struct world *w, enum names_state state)
{
	struct event ev = { .now = w->now, .type = EVENT_NAMES, .names = { .state = state, .since = w->now } };

	world_step(w, &ev);
}

/* As siblings(), and a database that only the name of its processes tells of. */
static struct world *unnamed(enum mode mode)
{
	struct world *w = world_new(mode);
	unsigned i;
	char path[64];

	world_policy(w, POLICY_PROTECT, "by-name", MATCH_PROCESSES, "mydb")->as = IMPORTANCE_DATABASE;
	world_start(w);
	world_tree(w);
	for (i = 0; i < 20; i++) {
		(void)snprintf(path, sizeof(path), "/system.slice/hog-%u.service", i);
		world_group(w, HOG + i, 2, CAN_ALL, path);
	}
	tell_names(w, NAMES_AWAITED);
	world_clear(w);
	world_calm(w, 9000);
	return w;
}

/* A start in mid-overload: the steward has not looked yet, and hog-0 is the database. */
static void waits_for_names(void **state)
{
	struct world *w = unnamed(MODE_ENFORCE);
	struct group_info g;
	struct event ev = { .type = EVENT_GROUP, .group = &g };

	run(w, 20, 12);
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT], 0);
	assert_said(w, "still being looked for");
	assert_int_equal(w->whys[WHY_NOT], 1);
	g = *engine_group(w->e, HOG);
	strcpy(g.procs[0], "mydb");
	ev.now = w->now;
	world_step(w, &ev);
	tell_names(w, NAMES_KNOWN);
	run(w, 20, 1);
	assert_true(w->count[VERB_QUOTA] >= 15);
	run(w, 20, 10);
	assert_int_equal(w->verbs_of[HOG], 0);
	assert_int_equal(w->whys[WHY_NOT], 1);
	world_free(w);
}

static void waits_for_names_in_observe_too(void **state)
{
	struct world *w = unnamed(MODE_OBSERVE);

	run(w, 20, 12);
	assert_int_equal(w->whys[WHY_WOULD], 0);
	tell_names(w, NAMES_KNOWN);
	run(w, 20, 1);
	assert_int_equal(w->whys[WHY_WOULD], 1);
	world_free(w);
}

static void waits_no_longer(void **state)
{
	struct world *w = unnamed(MODE_ENFORCE);
	usec_t from = w->now;

	/* Nobody answers: two seconds after the start. */
	while (w->count[VERB_QUOTA] == 0 && w->now < from + 5 * SEC)
		run(w, 20, 1);
	assert_in_range(w->now - from, 1700 * MS, 2 * SEC);
	world_free(w);
	/* It is known that nobody will. */
	w = unnamed(MODE_ENFORCE);
	run(w, 20, 5);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	tell_names(w, NAMES_FAILED);
	run(w, 20, 1);
	assert_true(w->count[VERB_QUOTA] > 0);
	world_free(w);
	/* No policy needs names: no wait at all. */
	w = siblings(MODE_ENFORCE, 20);
	tell_names(w, NAMES_AWAITED);
	world_calm(w, 9000);
	run(w, 20, 3);
	assert_true(w->count[VERB_QUOTA] > 0);
	assert_int_equal(w->whys[WHY_NOT], 0);
	world_free(w);
}

static void paused(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_PAUSE, .reason = "maintenance" } };
	struct engine_view *v = calloc(1, sizeof(*v));

	world_calm(w, 9000);
	run(w, 20, 3);
	ev.now = w->now;
	ev.order.until = w->now + 60 * SEC;
	world_step(w, &ev);
	assert_int_equal(w->verbs_of[HOG], 0);
	world_clear(w);
	run(w, 20, 300);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	assert_int_equal(w->whys[WHY_WOULD], 1);
	engine_view(w->e, v);
	assert_string_equal(v->pause_reason, "maintenance");
	assert_true(v->paused_until > w->now);
	run(w, 20, 310);
	assert_said(w, "the pause has ended");
	assert_true(w->count[VERB_QUOTA] > 0);
	free(v);
	world_free(w);
}

static void policies_change(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);
	struct event ev = { .type = EVENT_POLICIES, .policies = &w->set };
	unsigned i;

	world_calm(w, 9000);
	run(w, 20, 3);
	assert_true(w->verbs_of[HOG] != 0);
	w->set.settings.mode = MODE_OBSERVE;
	ev.now = w->now;
	world_step(w, &ev);
	for (i = 0; i < 20; i++)
		assert_int_equal(w->verbs_of[HOG + i], 0);
	world_clear(w);
	run(w, 20, 100);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	world_free(w);
}

static void lifeline(void **state)
{
	struct world *w = world_new(MODE_RESCUE);
	struct event ev = { .type = EVENT_POLICIES, .policies = &w->set };

	w->set.policies[0].weight = 800;
	world_start(w);
	world_tree(w);
	assert_int_equal(w->count[VERB_LIFELINE], 1);
	assert_int_equal(w->last[VERB_LIFELINE].group, 3);
	assert_int_equal(w->last[VERB_LIFELINE].value, 800);
	world_clear(w);
	world_calm(w, 100);
	world_group(w, 3, 2, CAN_ALL, "/system.slice/ssh.service");
	assert_int_equal(w->count[VERB_LIFELINE], 0);
	w->set.settings.mode = MODE_OBSERVE;
	ev.now = w->now;
	world_step(w, &ev);
	assert_int_equal(w->last[VERB_LIFELINE].value, -1);
	world_free(w);
}

static void drift(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);
	struct event ev = { .type = EVENT_DRIFT, .drift = { .group = HOG, .knob = VERB_QUOTA, .original = true } };
	unsigned i;

	world_calm(w, 9000);
	run(w, 20, 3);
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

static void gone_in_between(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);
	struct event ev = { .type = EVENT_GROUP_GONE, .gone = HOG };
	struct engine_view *v = calloc(1, sizeof(*v));
	uint32_t n;

	world_calm(w, 9000);
	run(w, 20, 2);
	engine_view(w->e, v);
	n = v->n_squeezes;
	ev.now = w->now;
	world_step(w, &ev);
	ev.gone = HOG + 1;
	world_step(w, &ev);
	engine_view(w->e, v);
	assert_int_equal(v->n_squeezes, n - 2);
	run(w, 20, 1);
	assert_int_equal(w->whys[WHY_GONE], 1);                 /* one line for all */
	assert_said(w, "gone by itself on 2 cgroups under /system.slice");
	assert_null(engine_group(w->e, HOG + 1));
	ev.now = w->now;
	w->fail[VERB_RELEASE] = ESTALE;
	ev.type = EVENT_OPERATOR;
	ev.order = (struct operator_order) { .verb = OPERATOR_RELEASE_ALL };
	world_step(w, &ev);
	engine_view(w->e, v);
	assert_int_equal(v->n_squeezes, 0);
	free(v);
	world_free(w);
}

static void no_answer(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);
	struct engine_view *v = calloc(1, sizeof(*v));
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RELEASE_ALL } };

	w->mute = true;
	world_calm(w, 9000);
	run(w, 20, 2);
	assert_true(w->count[VERB_QUOTA] >= 16);
	world_clear(w);
	run(w, 20, 65);
	assert_true(w->whys[WHY_FAILED] >= 1);
	w->mute = false;
	run(w, 20, 40);
	ev.now = w->now;
	world_step(w, &ev);
	run(w, 20, 40);
	engine_view(w->e, v);
	assert_int_equal(v->n_squeezes, 0);
	free(v);
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

/* A few milliseconds are no harm, whatever share of the wanted time they are. */
static void tiny_waits(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);
	unsigned i, j;

	world_calm(w, 9000);
	for (i = 0; i < 50; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9900)->canary = (struct canary_sample) { 5000, 15000 };
		world_sample(w, 3, 300, 6500, 300, 6500)->psi_some_us = 9000;
		for (j = 0; j < 20; j++)
			world_sample(w, HOG + j, 5000, 95000, 5000, 95000);
		world_send(w);
	}
	assert_int_equal(w->whys[WHY_INCIDENT_OPEN], 0);
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT], 0);
	world_free(w);
}

/* A quota bites late on a slow machine, and others go on waiting for nothing much: the
 * squeeze stands, and no bystander is tried. */
static void slow_to_bite(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 40);
	unsigned i, j;

	world_group(w, 60, 2, CAN_ALL, "/system.slice/cron.service");
	world_calm(w, 9000);
	for (i = 0; i < 60; i++) {
		bool bitten = i > 9;
		uint32_t wait = i > 40 ? 200 : bitten ? 30000 : 48000;

		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9900);
		world_sample(w, 3, 2500, wait, 2500, wait);
		for (j = 0; j < 40; j++)
			world_sample(w, HOG + j, bitten ? 600 : 2300, bitten ? 90000 : 20000, bitten ? 600 : 2300, bitten ? 90000 : 20000);
		world_sample(w, 60, 200, 100, 200, 100);
		world_send(w);
	}
	assert_int_equal(w->whys[WHY_NO_EFFECT], 0);
	assert_int_equal(w->verbs_of[60], 0);
	assert_true(w->verbs_of[HOG] & (1u << VERB_QUOTA));
	world_free(w);
}

/* Estimates of a login scatter: dead is dead in four of five windows. */
static void scattered_estimates(void **state)
{
	static const uint32_t waits[] = { 48000, 47000, 48500, 20000, 48000, 48500, 47500, 48000, 47800, 48100 };
	struct world *w = siblings(MODE_RESCUE, 40);
	unsigned i, j;

	world_calm(w, 9000);
	for (i = 0; i < 230 && w->count[VERB_QUOTA] == 0; i++) {
		uint32_t wait = waits[i % ELEMENTSOF(waits)];

		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9900);
		world_sample(w, 3, 2500, wait, 2500, wait);
		for (j = 0; j < 40; j++)
			world_sample(w, HOG + j, 2300, 20000, 2300, 20000);
		world_send(w);
	}
	assert_in_range(i, 199, 210);
	world_free(w);
	/* Every other window alive: never. */
	w = siblings(MODE_RESCUE, 40);
	world_calm(w, 9000);
	for (i = 0; i < 400; i++) {
		uint32_t wait = i % 2 ? 48000 : 4000;

		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9900);
		world_sample(w, 3, 2500, wait, 2500, wait);
		for (j = 0; j < 40; j++)
			world_sample(w, HOG + j, 2300, 20000, 2300, 20000);
		world_send(w);
	}
	assert_int_equal(w->count[VERB_QUOTA], 0);
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

/* The steward comes later than the first wish. */
static void asked_again_after(int error)
{
	struct world *w = world_new(MODE_RESCUE);
	struct event ev = { .type = EVENT_TIMEOUT };

	w->set.policies[0].weight = 800;
	w->fail[VERB_LIFELINE] = error;
	world_start(w);
	world_tree(w);
	assert_int_equal(w->count[VERB_LIFELINE], 1);
	assert_int_equal(w->whys[WHY_FAILED], 0);
	assert_true(engine_deadline(w->e) <= w->now + 5 * SEC);
	w->fail[VERB_LIFELINE] = 0;
	w->now = ev.now = engine_deadline(w->e);
	world_step(w, &ev);
	assert_int_equal(w->count[VERB_LIFELINE], 2);
	assert_true(engine_deadline(w->e) == USEC_INFINITY);
	world_free(w);
}

/* No steward yet, or one with its hands full. */
static void lifeline_is_asked_again(void **state)
{
	asked_again_after(ENOTCONN);
	asked_again_after(EBUSY);
}

/* Something protected comes to live in a squeezed cgroup: it is let go at once. */
static void protected_meanwhile(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 20);

	world_calm(w, 9000);
	run(w, 20, 3);
	assert_true(w->verbs_of[HOG] != 0 && w->verbs_of[HOG + 1] != 0);
	world_group(w, 60, HOG, CAN_ALL, "/system.slice/hog-0.service/postgres");
	assert_int_equal(w->verbs_of[HOG], 0);
	assert_true(w->verbs_of[HOG + 1] != 0);
	assert_said(w, "policies: hog-0.service is protected now, or shelters what is; released");
	run(w, 20, 50);
	assert_int_equal(w->verbs_of[HOG], 0);
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

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(calm_is_cheap),
	cmocka_unit_test(alarm_begins_and_ends),
	cmocka_unit_test(a_crowd_is_waited_for), cmocka_unit_test(dozens_of_siblings),
	cmocka_unit_test(too_many_siblings), cmocka_unit_test(too_many_victims), cmocka_unit_test(too_many_actions), cmocka_unit_test(too_many_tasks),
	cmocka_unit_test(harmless_hogs),
	cmocka_unit_test(held_and_given_back),
	cmocka_unit_test(no_write_storm),
	cmocka_unit_test(observe_touches_nothing),
	cmocka_unit_test(rescue_waits_for_a_dead_way_in),
	cmocka_unit_test(rescue_waits_anew),
	cmocka_unit_test(service_gets_weight_only),
	cmocka_unit_test(weight_helps_and_is_put_back),
	cmocka_unit_test(quota_for_a_database),
	cmocka_unit_test(useful_work_is_never_cut),
	cmocka_unit_test(fork_churn),
	cmocka_unit_test(session_gets_quota),
	cmocka_unit_test(cut_until_it_helps_or_ends),
	cmocka_unit_test(no_controller_is_said),
	cmocka_unit_test(hogs_beside_sshd),
	cmocka_unit_test(named_ones_alone),
	cmocka_unit_test(judged_by_the_one_inside),
	cmocka_unit_test(the_last_three_hogs),
	cmocka_unit_test(relapse_inside),
	cmocka_unit_test(realtime_hog),
	cmocka_unit_test(realtime_seen_while_squeezed),
	cmocka_unit_test(realtime_seen_after_it_was_undone),
	cmocka_unit_test(realtime_hog_in_the_gaps),
	cmocka_unit_test(stolen_time),
	cmocka_unit_test(own_limit_and_a_neighbour),
	cmocka_unit_test(at_most),
	cmocka_unit_test(blind),
	cmocka_unit_test(operator_releases),
	cmocka_unit_test(paused),
	cmocka_unit_test(a_release_is_never_given_up),
	cmocka_unit_test(waits_for_names),
	cmocka_unit_test(waits_for_names_in_observe_too),
	cmocka_unit_test(waits_no_longer),
	cmocka_unit_test(policies_change),
	cmocka_unit_test(lifeline),
	cmocka_unit_test(drift),
	cmocka_unit_test(failures),
	cmocka_unit_test(gone_in_between),
	cmocka_unit_test(no_answer),
	cmocka_unit_test(gap),
	cmocka_unit_test(malformed),
	cmocka_unit_test(tiny_waits),
	cmocka_unit_test(slow_to_bite),
	cmocka_unit_test(scattered_estimates),
	cmocka_unit_test(late_ranking),
	cmocka_unit_test(system_is_not_lowered),
	cmocka_unit_test(lifeline_is_asked_again),
	cmocka_unit_test(protected_meanwhile),
	cmocka_unit_test(deterministic),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
