/* SPDX-License-Identifier: Apache-2.0 */
/* test-watch: by what a pool judges. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judged_by_the_one_inside),
		cmocka_unit_test(tiny_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
