/* SPDX-License-Identifier: Apache-2.0 */
/* test-relief: when a pool is squeezed, cut, held, given back and given up. */
#include "unit/stories.h"

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

static void held_and_given_back(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 40);
	unsigned i;

	world_calm(w, 6000);
	hog_window(w, 50 * MS, 40);
	world_clear(w);
	/* Siblings are a pattern: a minute beyond the hold. */
	run(w, 40, 645);
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

static void rescue_waits_for_a_dead_way_in(void **state)
{
	struct world *w = siblings(MODE_RESCUE, 40);

	world_calm(w, 6000);
	run(w, 40, 190);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	assert_int_equal(w->whys[WHY_INCIDENT_OPEN], 1);
	assert_said(w, "incident: cpu wait of ssh.service 95% > 93% (rescue)");
	assert_said(w, "; rescue acts once a login takes more than 5s for 20s\n");
	run(w, 40, 20);
	assert_in_range(w->count[VERB_QUOTA], 30, 40);
	assert_said(w, "(rescue) -> quota, together 25% of the machine");
	assert_int_equal(w->last[VERB_QUOTA].until - w->now <= 15 * USEC_PER_MIN, 1);
	world_free(w);
}

/* The limit of a policy is not in force in rescue, and its own is about the way in. */
static void rescue_says_its_own_limit(void **state)
{
	struct world *w = siblings(MODE_RESCUE, 40);
	unsigned i, j, k;

	world_group(w, 5, 2, CAN_ALL, "/system.slice/postgresql.service");
	for (k = 0; k < 2; k++) {
		world_clear(w);
		world_calm(w, 9000);
		for (i = 0; i < 6; i++) {
			uint32_t wait = k ? 12000 : 48000;

			w->now += 100 * MS;
			world_begin(w, 100 * MS, 9900);
			world_sample(w, k ? 3 : 5, 2500, wait, 2500, wait);
			for (j = 0; j < 40; j++)
				world_sample(w, HOG + j, 2300, 20000, 2300, 20000);
			world_send(w);
		}
		assert_int_equal(w->whys[WHY_INCIDENT_OPEN], 1);
		assert_said(w, k ? "incident: cpu wait of ssh.service 82.75% < 93% (rescue): a runaway" : "incident: cpu wait of postgresql.service 92.53% for ");
		assert_said(w, "; rescue acts once a login takes more than 5s for 20s\n");
		for (i = 0; i < 900; i++)
			world_calm(w, 0);
	}
	world_free(w);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crowd_is_waited_for),
		cmocka_unit_test(dozens_of_siblings),
		cmocka_unit_test(held_and_given_back),
		cmocka_unit_test(no_write_storm),
		cmocka_unit_test(rescue_waits_for_a_dead_way_in),
		cmocka_unit_test(rescue_says_its_own_limit),
		cmocka_unit_test(rescue_waits_anew),
		cmocka_unit_test(scattered_estimates),
		cmocka_unit_test(weight_helps_and_is_put_back),
		cmocka_unit_test(cut_until_it_helps_or_ends),
		cmocka_unit_test(slow_to_bite),
		cmocka_unit_test(at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
