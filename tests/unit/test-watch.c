/* SPDX-License-Identifier: Apache-2.0 */
/* test-watch: by what a pool judges. */
#include "core/engine-state.h"
#include "unit/stories.h"

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

/* A few milliseconds are no harm, whatever share of the wanted time they are. */
static void tiny_waits(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	unsigned i, j;

	world_calm(w, 9000);
	for (i = 0; i < 50; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9900)->canary = (struct canary_sample) { 5000, 15000 };
		world_sample(w, 3, 300, 6500, 300, 6500)->psi_some_us = 9000;
		for (j = 0; j < 30; j++)
			world_sample(w, HOG + j, 5000, 95000, 5000, 95000);
		world_send(w);
	}
	assert_int_equal(w->whys[WHY_INCIDENT_OPEN], 0);
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT], 0);
	world_free(w);
}

/* It wants less than its quota, while the victim is neither well nor harmed: let go; one that
 * takes all of it is not. */
static void no_demand(void **state)
{
	static const uint32_t runs[] = { 2000, 20000 };

	for (unsigned k = 0; k < ELEMENTSOF(runs); k++) {
		struct world *w = one_culprit(MODE_ENFORCE, "/user.slice/session-3.scope", 4);

		world_calm(w, 9000);
		for (unsigned i = 0; i < 4; i++)
			culprit_window(w, HOG, 1u << VERB_QUOTA, 10);
		assert_true(w->verbs_of[HOG] & (1u << VERB_QUOTA));
		for (unsigned i = 0; i < 60; i++) {
			w->now += 100 * MS;
			world_begin(w, 100 * MS, 6000);
			world_sample(w, 3, 10000, 13000, 10000, 13000);
			world_sample(w, HOG, runs[k], k ? 50000 : 0, runs[k], k ? 50000 : 0);
			world_send(w);
			if (i < 30)
				assert_unsaid(w, "it wants less than its quota");
		}
		assert_int_equal(w->verbs_of[HOG] == 0, k == 0);
		if (k == 0)
			assert_said(w, "it wants less than its quota");
		else
			assert_unsaid(w, "it wants less than its quota");
		world_free(w);
	}
}

/* Neither well nor harmed, so that nothing is cut and nothing given back; or not measured at all. */
static void demand_window(struct world *w, bool measured, uint32_t run)
{
	w->now += 100 * MS;
	world_begin(w, 100 * MS, 6000);
	if (measured)
		world_sample(w, 3, 10000, 13000, 10000, 13000);
	if (run > 0)
		world_sample(w, HOG, run / 2, 0, run / 2, 0);
	world_send(w);
}

/* Most victims are measured only now and then; what the squeezed ones use counts always. */
static void demand_is_what_all_windows_say(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/user.slice/session-3.scope", 4);

	world_calm(w, 9000);
	for (unsigned i = 0; i < 4; i++)
		culprit_window(w, HOG, 1u << VERB_QUOTA, 10);
	assert_true(w->verbs_of[HOG] & (1u << VERB_QUOTA));
	for (unsigned i = 0; i < 300; i++)
		demand_window(w, i % 10 == 0, (uint32_t)(w->quota[HOG].quota * 100000 / w->quota[HOG].period));
	assert_unsaid(w, "it wants less than its quota");
	assert_true(w->verbs_of[HOG] & (1u << VERB_QUOTA));
	world_free(w);
}

/* One that pauses is let go after the hold, like all else: where it came back, after a longer one. */
static void who_pauses_and_comes_back(void **state)
{
	struct world *w = one_culprit(MODE_ENFORCE, "/user.slice/session-3.scope", 4);

	world_calm(w, 9000);
	for (unsigned k = 0; k < 3; k++) {
		unsigned windows = 0;

		for (unsigned i = 0; i < 40 && w->verbs_of[HOG] == 0; i++)
			culprit_window(w, HOG, 1u << VERB_QUOTA, 10);
		assert_true(w->verbs_of[HOG] & (1u << VERB_QUOTA));
		while (w->verbs_of[HOG] && windows < 400) {
			demand_window(w, true, 0);
			windows++;
		}
		if (windows < (50u << k) || windows > (55u << k))
			fail_msg("let go after %u windows in round %u\n%s", windows, k, w->lines);
	}
	assert_int_equal(times_said(w, "it wants less than its quota"), 3);
	assert_int_equal(w->whys[WHY_RELAPSE], 2);
	world_free(w);
}

/* The database waits for a lock that the squeezed one holds: undone. If it waited before, or
 * begins to only much later, the squeeze is not why. */
static void a_database_gets_worse(void **state)
{
	static const struct { unsigned from; uint32_t before; bool undone; } cases[] = { { 0, 100, true }, { 0, 48000, false }, { 40, 100, false } };

	for (unsigned k = 0; k < ELEMENTSOF(cases); k++) {
		struct world *w = one_culprit(MODE_ENFORCE, "/user.slice/session-3.scope", 4);

		world_group(w, 5, 2, CAN_ALL, "/system.slice/postgresql.service");
		world_calm(w, 9000);
		for (unsigned i = 0; i < 20 + cases[k].from; i++) {
			bool cut = w->verbs_of[HOG];
			uint32_t wait = cut ? 4000 : 80000, db = cut && i >= cases[k].from ? 48000 : cases[k].before;

			w->now += 100 * MS;
			world_begin(w, 100 * MS, 9500);
			world_sample(w, 3, 10000, wait, 10000, wait);
			world_sample(w, 5, 10000, db, 10000, db);
			world_sample(w, HOG, 80000, 300000, 80000, 300000);
			world_send(w);
			if (w->whys[WHY_VICTIM_WORSE])
				break;
		}
		if (w->count[VERB_QUOTA] == 0)
			fail_msg("case %u: no quota\n%s", k, w->lines);
		assert_int_equal(w->whys[WHY_VICTIM_WORSE], cases[k].undone);
		if (cases[k].undone)
			assert_int_equal(w->verbs_of[HOG], 0);
		world_free(w);
	}
}

/* The share of waiting at which a login takes so and so long. */
static void login_share(void **state)
{
	struct engine *e = calloc(1, engine_size());

	e->set.settings = SETTINGS_DEFAULT;
	e->set.settings.login_cost = 500 * MS;
	e->set.settings.rescue_login = 5 * SEC;
	assert_int_equal(watch_login_share(e, 1), 9000);
	assert_int_equal(watch_login_share(e, 2), 8000);
	assert_int_equal(watch_login_share(e, 4), 6000);
	/* Never so low that an idle login is bad: at least half as long again. */
	assert_int_equal(watch_login_share(e, 100), 3334);
	e->set.settings.rescue_login = 1;
	assert_int_equal(watch_login_share(e, 1), 3334);
	free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judged_by_the_one_inside),
		cmocka_unit_test(tiny_waits),
		cmocka_unit_test(no_demand),
		cmocka_unit_test(demand_is_what_all_windows_say),
		cmocka_unit_test(who_pauses_and_comes_back),
		cmocka_unit_test(a_database_gets_worse),
		cmocka_unit_test(login_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
