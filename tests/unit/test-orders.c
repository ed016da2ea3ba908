/* SPDX-License-Identifier: Apache-2.0 */
/* test-orders: what a person says outlasts the alarm in which he said it. */
#include "unit/world.h"

#define HOG 10

static struct world *one_hog(void)
{
	struct world *w = world_new(MODE_ENFORCE);

	world_start(w);
	world_tree(w);
	world_group(w, 4, 1, CAN_ALL, "/user.slice");
	world_group(w, HOG, 4, CAN_ALL, "/user.slice/session-3.scope");
	world_clear(w);
	return w;
}

static void runaway(struct world *w, unsigned windows)
{
	unsigned i;

	world_calm(w, 9000);
	for (i = 0; i < windows; i++) {
		bool well = w->verbs_of[HOG] != 0;

		w->now += 100 * MS;
		world_begin(w, 100 * MS, well ? 500 : 9500);
		world_sample(w, 3, 3000, well ? 100 : 48000, 3000, well ? 100 : 48000);
		world_sample(w, HOG, 97000, 400000, 97000, 400000);
		world_send(w);
	}
}

static void calm(struct world *w, usec_t span)
{
	usec_t end = w->now + span;

	while (w->now < end)
		world_calm(w, 0);
}

static void say(struct world *w, enum operator_verb verb, uint64_t group)
{
	struct event ev = { .now = w->now, .type = EVENT_OPERATOR, .order = { .verb = verb, .group = group } };

	world_step(w, &ev);
}

static void released_is_left_alone(void **state)
{
	static const struct { enum operator_verb verb; uint64_t group; } cases[] = { { OPERATOR_RELEASE, HOG }, { OPERATOR_RELEASE_ALL, GROUP_NONE } };
	unsigned k;

	for (k = 0; k < ELEMENTSOF(cases); k++) {
		struct world *w = one_hog();

		runaway(w, 20);
		assert_int_equal(w->verbs_of[HOG] != 0, 1);
		say(w, cases[k].verb, cases[k].group);
		assert_int_equal(w->verbs_of[HOG], 0);
		/* Longer than the relapse memory, which keeps an alarm. */
		calm(w, 3 * USEC_PER_MIN);
		assert_int_equal(w->whys[WHY_CALM], 1);
		runaway(w, 20);
		assert_int_equal(w->verbs_of[HOG], 0);
		calm(w, 8 * USEC_PER_MIN);
		runaway(w, 20);
		assert_int_equal(w->verbs_of[HOG] != 0, 1);
		world_free(w);
	}
}

static void released_in_calm_bars_nobody(void **state)
{
	struct world *w = one_hog();

	calm(w, SEC);
	say(w, OPERATOR_RELEASE_ALL, GROUP_NONE);
	assert_unsaid(w, "left alone");
	runaway(w, 20);
	assert_int_equal(w->verbs_of[HOG] != 0, 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(released_is_left_alone), cmocka_unit_test(released_in_calm_bars_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
