/* SPDX-License-Identifier: Apache-2.0 */
/* test-view: what others see of the engine: who is protected, who answers, what is squeezed, when to call again. */
#include "unit/stories.h"

static void deadlines(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct event ev = { .now = w->now, .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_PAUSE, .until = w->now + 60 * SEC, .reason = "x" } };

	assert_true(engine_deadline(w->e) == USEC_INFINITY);
	world_step(w, &ev);
	assert_true(engine_deadline(w->e) == ev.order.until);
	ev.order.verb = OPERATOR_RESUME;
	world_step(w, &ev);
	assert_true(engine_deadline(w->e) == USEC_INFINITY);
	/* An answer that is due; a squeeze that ends; a sensor that falls silent. */
	world_calm(w, 9000);
	w->mute = true;
	run(w, 30, 2);
	assert_true(w->count[VERB_QUOTA] > 0);
	assert_true(engine_deadline(w->e) <= w->last[VERB_QUOTA].deadline);
	assert_true(engine_deadline(w->e) > w->now);
	world_free(w);
	w = siblings(MODE_ENFORCE, 30);
	world_calm(w, 9000);
	run(w, 30, 2);
	assert_in_range(engine_deadline(w->e), w->now + 1, w->now + 5 * SEC);
	world_free(w);
}

static void importance(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);

	world_policy(w, POLICY_PROTECT, "root", MATCH_CGROUPS, "/")->as = IMPORTANCE_SYSTEM;
	world_start(w);
	world_tree(w);
	world_group(w, 20, 3, CAN_ALL, "/system.slice/ssh.service/child");
	world_group(w, 21, 20, CAN_ALL, "/system.slice/ssh.service/child/postgres");
	world_group(w, 22, 2, CAN_ALL, "/system.slice/postgresql.service");
	world_group(w, 23, 22, CAN_ALL, "/system.slice/postgresql.service/a");
	world_group(w, 24, 2, CAN_ALL, "/system.slice/batch.service");
	assert_int_equal(engine_importance(w->e, 3), IMPORTANCE_LOGIN);
	assert_int_equal(engine_importance(w->e, 20), IMPORTANCE_LOGIN);
	assert_int_equal(engine_importance(w->e, 21), IMPORTANCE_LOGIN);         /* the more important of the two */
	assert_int_equal(engine_importance(w->e, 22), IMPORTANCE_DATABASE);
	assert_int_equal(engine_importance(w->e, 23), IMPORTANCE_DATABASE);
	/* What is said of the root is of the root alone; what is above is not protected by what is below. */
	assert_int_equal(engine_importance(w->e, 1), IMPORTANCE_SYSTEM);
	assert_int_equal(engine_importance(w->e, 2), IMPORTANCE_NONE);
	assert_int_equal(engine_importance(w->e, 24), IMPORTANCE_NONE);
	assert_int_equal(engine_importance(w->e, 4711), IMPORTANCE_NONE);
	world_free(w);
}

/* A young one grows old between two looks. */
static void importance_of_the_young(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	struct group_info g = { .id = 30, .parent = 2, .flags = CAN_ALL, .weight = 100, .quota_us = -1, .period_us = 100000, .uid = UINT32_MAX,
				.path = "/system.slice/session-9.scope", .name = "session-9.scope" };
	struct event ev = { .type = EVENT_GROUP, .group = &g };
	struct event tick = { .type = EVENT_TIMEOUT };

	world_policy(w, POLICY_PROTECT, "young", MATCH_CGROUPS, "*/session-*.scope")->as = IMPORTANCE_LOGIN;
	w->set.policies[3].for_first = 60 * SEC;
	world_start(w);
	world_tree(w);
	g.born = ev.now = w->now;
	world_step(w, &ev);
	assert_int_equal(engine_importance(w->e, 30), IMPORTANCE_LOGIN);
	w->now = tick.now = w->now + 61 * SEC;
	world_step(w, &tick);
	assert_int_equal(engine_importance(w->e, 30), IMPORTANCE_NONE);
	world_free(w);
}

static void who_answers(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);

	world_policy(w, POLICY_ENDPOINT, "shop", MATCH_UNITS, "api.service");
	world_policy(w, POLICY_ENDPOINT, "anywhere", MATCH_UNITS, "x")->glob_n = 0;
	w->set.n_globs--;
	world_start(w);
	world_tree(w);
	world_group(w, 20, 2, CAN_ALL, "/system.slice/api.service");
	world_group(w, 21, 20, CAN_ALL, "/system.slice/api.service/worker");
	world_group(w, 22, 2, CAN_ALL, "/system.slice/batch.service");
	world_calm(w, 9000);
	run(w, 0, 1);                                   /* the tree is looked at once there is an alarm */
	assert_true(engine_answers_from(w->e, 3, 20));
	assert_true(engine_answers_from(w->e, 3, 21));
	assert_true(engine_answers_from(w->e, 3, 2));
	assert_false(engine_answers_from(w->e, 3, 22));
	assert_false(engine_answers_from(w->e, 3, 4711));
	assert_true(engine_answers_from(w->e, 4, 22));           /* it names none: it may be anybody */
	assert_false(engine_answers_from(w->e, 0, 3));           /* no [Endpoint] */
	assert_false(engine_answers_from(w->e, 5, 20));
	assert_false(engine_answers_from(w->e, UINT32_MAX, 20));
	world_free(w);
}

static void groups_in_order(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	const struct group_info *g;
	uint64_t last = 0;
	uint32_t i;

	for (i = 0; (g = engine_group_at(w->e, i)) != NULL; i++) {
		assert_true(g->id > last);
		assert_ptr_equal(engine_group(w->e, g->id), g);
		last = g->id;
	}
	assert_int_equal(i, engine_groups(w->e));
	assert_int_equal(i, 33);
	assert_null(engine_group_at(w->e, UINT32_MAX));
	assert_null(engine_group(w->e, GROUP_NONE));
	world_free(w);
}

static void shown(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct engine_view *v = calloc(1, sizeof(*v));
	permyriad_t sum = 0;

	engine_view(w->e, v);
	assert_int_equal(v->n_victims + v->n_suspects + v->n_squeezes + v->incident, 0);
	assert_true(v->incident_since == 0 && v->paused_until == 0 && v->pause_reason == NULL && !v->alarm);
	world_calm(w, 9000);
	run(w, 30, 2);
	engine_view(w->e, v);
	assert_true(v->now == w->now && v->alarm && v->incident == 1 && v->incident_since > 0);
	assert_int_equal(v->mode, MODE_ENFORCE);
	assert_int_equal(v->pressure, 9500);
	assert_int_equal(v->n_groups, 33);
	assert_true(v->n_squeezes >= 15);
	for (uint32_t i = 0; i < v->n_squeezes; i++) {
		const struct engine_squeeze *s = &v->squeezes[i];

		assert_int_equal(s->rung, RUNG_QUOTA);
		assert_int_equal(s->knobs, 1u << VERB_QUOTA);
		assert_int_equal(s->weight, -1);                 /* it was not touched */
		assert_int_equal(s->quota_us, w->quota[s->group].quota);
		assert_int_equal(s->period_us, w->quota[s->group].period);
		assert_true(s->since <= v->now && s->until > v->now);
	}
	world_free(w);
	/* A window with harm: who suffers, who is to blame, as parts of all. */
	w = siblings(MODE_OBSERVE, 4);
	world_calm(w, 9000);
	run(w, 4, 5);
	engine_view(w->e, v);
	assert_int_equal(v->n_squeezes, 0);
	assert_int_equal(v->n_victims, 1);
	assert_int_equal(v->victims[0].group, 3);
	assert_int_equal(v->victims[0].as, IMPORTANCE_LOGIN);
	assert_true(v->victims[0].harmed && v->victims[0].wait > 6000 && v->victims[0].login_estimate > 0);
	assert_int_equal(v->n_suspects, 4);
	for (uint32_t i = 0; i < v->n_suspects; i++) {
		assert_true(i == 0 || v->suspects[i].blame <= v->suspects[i - 1].blame);
		sum += v->suspects[i].blame;
	}
	assert_in_range(sum, 9000, 10000);
	free(v);
	world_free(w);
}

static void more_than_fit(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	struct engine_view *v = calloc(1, sizeof(*v));
	char path[64];

	world_start(w);
	world_tree(w);
	for (unsigned i = 0; i < MAX_GROUPS + 10; i++) {
		(void)str_format(path, sizeof(path), "/system.slice/s%u.service", i);
		w->now++;
		world_group(w, 1000 + i, 2, CAN_ALL, path);
	}
	engine_view(w->e, v);
	assert_int_equal(v->n_groups, MAX_GROUPS);
	assert_int_equal(v->groups_forgotten, 13);
	assert_non_null(engine_group(w->e, 3));                  /* what is protected is kept */
	free(v);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deadlines), cmocka_unit_test(importance), cmocka_unit_test(importance_of_the_young), cmocka_unit_test(who_answers),
		cmocka_unit_test(groups_in_order), cmocka_unit_test(shown), cmocka_unit_test(more_than_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
