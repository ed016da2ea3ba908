/* SPDX-License-Identifier: Apache-2.0 */
/* test-squeeze: who is squeezed, and on which rung. */
#include "unit/stories.h"

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

/* Thirty siblings that are squeezed, and five neighbours. */
static struct world *with_bystanders(void)
{
	struct world *w = siblings(MODE_ENFORCE, 30);

	for (unsigned j = 0; j < 5; j++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/system.slice/app-%u.service", j);
		world_group(w, HOG + 30 + j, 2, CAN_ALL, path);
	}
	world_calm(w, 9000);
	run(w, 30, 3);
	return w;
}

/* sshd goes on waiting for its next turn; the last neighbour runs for so long. */
static void bystander_window(struct world *w, uint32_t run)
{
	w->now += 100 * MS;
	world_begin(w, 100 * MS, 9500)->machine.runnable = 60;
	world_sample(w, 3, 300, 30000, 300, 30000);
	for (unsigned j = 0; j < 30; j++)
		world_sample(w, HOG + j, 500, 99500, 500, 99500);
	for (unsigned j = 0; j < 5; j++)
		world_sample(w, HOG + 30 + j, j == 4 ? run : 450, 1000, 450, 1000);
	world_send(w);
}

/* Neighbours that take less than their share are not why sshd waits. One that takes more is. */
static void bystanders_of_a_pattern(void **state)
{
	struct world *w = with_bystanders();
	unsigned i, j;

	for (i = 0; i < 100; i++)
		bystander_window(w, i < 50 ? 450 : 30000);
	for (j = 0; j < 30; j++)
		assert_true(w->verbs_of[HOG + j]);
	for (j = 0; j < 4; j++)
		assert_int_equal(w->verbs_of[HOG + 30 + j], 0);
	assert_true(w->verbs_of[HOG + 34]);
	world_free(w);
}

/* It takes more than its share now and then: held longer each time, while the others stay squeezed. */
static void one_of_many_comes_and_goes(void **state)
{
	struct world *w = with_bystanders();

	for (unsigned k = 0; k < 3; k++) {
		unsigned windows = 0;

		for (unsigned i = 0; i < 60 && w->verbs_of[HOG + 34] == 0; i++)
			bystander_window(w, 30000);
		assert_true(w->verbs_of[HOG + 34]);
		for (; w->verbs_of[HOG + 34] && windows < 400; windows++)
			bystander_window(w, 0);
		if (windows < (50u << k) || windows > (60u << k))
			fail_msg("let go after %u windows in round %u\n%s", windows, k, w->lines);
	}
	assert_true(w->verbs_of[HOG]);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(too_many_siblings),
		cmocka_unit_test(bystanders_of_a_pattern),
		cmocka_unit_test(one_of_many_comes_and_goes),
		cmocka_unit_test(too_many_actions),
		cmocka_unit_test(service_gets_weight_only),
		cmocka_unit_test(quota_for_a_database),
		cmocka_unit_test(useful_work_is_never_cut),
		cmocka_unit_test(fork_churn),
		cmocka_unit_test(session_gets_quota),
		cmocka_unit_test(no_controller_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
