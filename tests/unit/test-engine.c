/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-engine: stories
 *
 * Each is fed window by window; cgroups react to what is set on them as far as the
 * story needs it. The order of the lines is part of what is tested.
 */
#include "unit/world.h"

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
	assert_said(w, "incident: cpu wait of ssh.service 86.17% > 75% for");
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
	if (getenv("V")) puts(w->lines);
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

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(calm_is_cheap),
	cmocka_unit_test(alarm_begins_and_ends),
	cmocka_unit_test(dozens_of_siblings),
	cmocka_unit_test(harmless_hogs),
	cmocka_unit_test(held_and_given_back),
	cmocka_unit_test(no_write_storm),
	cmocka_unit_test(observe_touches_nothing),
	cmocka_unit_test(rescue_waits_for_a_dead_way_in),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
