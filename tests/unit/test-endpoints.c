/* SPDX-License-Identifier: Apache-2.0 */
/* test-endpoints: the culprit answers the health check itself. What it answers before and
 * after its tasks were lowered decides whether they stay so. */
#include <errno.h>

#include "unit/world.h"

#define API  10
#define SHOP 3                          /* its policy */

static struct world *api_with(enum rung most)
{
	struct world *w = world_new(MODE_ENFORCE);

	w->set.policies[SHOP - 1].most = most;
	world_policy(w, POLICY_ENDPOINT, "shop", MATCH_UNITS, "api.service");
	world_start(w);
	world_tree(w);
	world_group(w, API, 2, CAN_ALL, "/system.slice/api.service");
	world_clear(w);
	w->n_ranked = 3;
	w->ranked[0] = (struct task_ref) { .pid = 20, .tid = 21, .start = 5, .cpu_pm = 9900, .comm = "wild" };
	w->ranked[1] = (struct task_ref) { .pid = 20, .tid = 22, .start = 5, .cpu_pm = 800, .comm = "worker" };
	w->ranked[2] = (struct task_ref) { .pid = 20, .tid = 23, .start = 5, .cpu_pm = 700, .comm = "worker" };
	world_calm(w, 9000);            /* the alarm: in calm answers are not remembered */
	return w;
}

static struct world *api_is_protected(void)
{
	return api_with(RUNG_TASKS);
}

/* It takes the machine; sshd waits, or does not. */
static void window(struct world *w, bool well)
{
	w->now += 100 * MS;
	world_begin(w, 100 * MS, 9500);
	world_sample(w, 3, 1500, well ? 20 : 48000, 1500, well ? 20 : 48000);
	world_sample(w, API, 97000, 400000, 97000, 400000);
	world_send(w);
}

static void answer(struct world *w, bool good, usec_t took)
{
	struct event ev = { .now = w->now, .type = EVENT_ENDPOINT, .endpoint = { .policy = SHOP, .good = good, .took = took } };

	world_step(w, &ev);
}

/* Of a check that begins now. */
static void checked(struct world *w, bool good, usec_t took)
{
	usec_t ends = w->now + MIN(took, 2 * SEC) + 10 * MS;

	while (w->now < ends)
		window(w, false);
	answer(w, good, took);
}

/* Up to the first lowering. */
static void lower(struct world *w)
{
	unsigned i;

	for (i = 0; i < 13; i++)
		window(w, w->count[VERB_TASKS_IDLE] > 0);
	assert_int_equal(w->count[VERB_TASKS_IDLE], 1);
}

/* A second one, of another thread: the first did not help enough. */
static void lower_again(struct world *w)
{
	unsigned i;

	w->ranked[0].policy = 5;
	w->ranked[1].cpu_pm = 9000;
	for (i = 0; i < 30 && w->count[VERB_TASKS_IDLE] < 2; i++)
		window(w, false);
	assert_int_equal(w->count[VERB_TASKS_IDLE], 2);
	assert_int_equal(w->whys[WHY_VICTIM_WORSE], 0);
}

static void culprit_answers_the_health_check(void **state)
{
	struct world *w = api_is_protected();
	unsigned i;

	answer(w, true, 5 * MS);
	lower(w);
	assert_int_equal(w->n_lowered, 1);
	assert_int_equal(w->lowered[0].tid, 21);
	assert_true(w->count[VERB_CHECK] >= 1);
	assert_int_equal(w->count[VERB_WEIGHT] + w->count[VERB_QUOTA], 0);
	/* Login and endpoint are weighted up, but not the culprit. */
	assert_int_equal(w->count[VERB_LIFELINE], 1);
	assert_int_equal(w->last[VERB_LIFELINE].group, 3);
	for (i = 0; i < 15; i++)
		window(w, true);
	assert_true(w->verbs_of[API] & (1u << VERB_TASKS_IDLE));
	world_free(w);
}

/* Every rung is allowed, and lowering its worst task did not help. For the sake of logins no
 * service gets a quota, nor worse, that does its work by its own account. */
static void useful_by_its_own_account(void **state)
{
	static const struct { bool good, database; unsigned jails; } cases[] = { { true, false, 0 }, { false, false, 1 }, { true, true, 1 } };
	unsigned i, k;

	for (k = 0; k < ELEMENTSOF(cases); k++) {
		struct world *w = api_with(RUNG_KILL);

		world_group(w, 5, 2, CAN_ALL, "/system.slice/postgresql.service");
		world_clear(w);
		for (i = 0; i < 100 && w->count[VERB_JAIL] == 0; i++) {
			if (i % 10 == 0)
				answer(w, cases[k].good, 5 * MS);
			w->now += 100 * MS;
			world_begin(w, 100 * MS, 9500);
			world_sample(w, 3, 1500, 48000, 1500, 48000);
			if (cases[k].database)
				world_sample(w, 5, 1500, 48000, 1500, 48000);
			world_sample(w, API, 97000, 400000, 97000, 400000);
			world_send(w);
			for (unsigned t = 0; t < w->n_ranked && w->count[VERB_TASKS_IDLE] > 0; t++)
				w->ranked[t].policy = 5;
		}
		assert_true(w->count[VERB_TASKS_IDLE] >= 1);
		assert_int_equal(w->count[VERB_JAIL], cases[k].jails);
		assert_int_equal(w->count[VERB_WEIGHT] + w->count[VERB_QUOTA] + w->count[VERB_FREEZE] + w->count[VERB_KILL], 0);
		world_free(w);
	}
}

struct said { bool good; usec_t took; };

/* One answer before, some after; after which of them it is undone, 0: not. */
static const struct { const char *what; struct said before, after[4]; unsigned undone; } answers[] = {
	{ "good, then not", { true, 5 * MS }, { { false, 5 * MS }, { false, 5 * MS } }, 2 },
	{ "good, then slow", { true, 5 * MS }, { { true, 600 * MS }, { true, 600 * MS } }, 2 },
	{ "good, then no two in a row", { true, 5 * MS }, { { false, 5 * MS }, { true, 5 * MS }, { false, 5 * MS }, { true, 5 * MS } }, 0 },
	{ "slow, and a little slower", { true, 800 * MS }, { { true, 900 * MS }, { true, 1500 * MS }, { true, 1500 * MS }, { true, 1599 * MS } }, 0 },
	{ "slow, and twice as slow", { true, 800 * MS }, { { true, 1700 * MS }, { true, 1600 * MS } }, 2 },
	{ "slow, then too late", { true, 1900 * MS }, { { true, 2 * SEC }, { true, 60 * SEC } }, 2 },
	{ "slow, then refused", { true, 800 * MS }, { { false, 1 * MS }, { false, 1 * MS } }, 2 },
	{ "slow, then a status 500 and too late", { true, 800 * MS }, { { false, 700 * MS }, { false, 2 * SEC } }, 2 },
	{ "slow, and in a row only at the end", { true, 800 * MS }, { { true, 1700 * MS }, { true, 900 * MS }, { false, 1 * MS }, { true, 1700 * MS } }, 4 },
	{ "slow, and no two in a row", { true, 800 * MS }, { { true, 1700 * MS }, { true, 900 * MS }, { true, 1700 * MS }, { true, 900 * MS } }, 0 },
	{ "slow, then good", { true, 800 * MS }, { { true, 5 * MS }, { true, 5 * MS } }, 0 },
	{ "refused, then slow: better", { false, 1 * MS }, { { true, 1500 * MS }, { true, 1500 * MS } }, 0 },
	{ "refused, and refused later", { false, 1 * MS }, { { false, 100 * MS }, { false, 100 * MS } }, 0 },
	{ "a status 500, then none", { false, 700 * MS }, { { false, 2 * SEC }, { false, 2 * SEC } }, 0 },
	{ "too late, and still", { false, 2 * SEC }, { { false, 2 * SEC }, { false, 2 * SEC } }, 0 },
};

static void worse_is_undone(void **state)
{
	unsigned i, k;

	for (k = 0; k < ELEMENTSOF(answers); k++) {
		struct world *w = api_is_protected();
		unsigned undone = 0;

		answer(w, answers[k].before.good, answers[k].before.took);
		lower(w);
		for (i = 0; i < ELEMENTSOF(answers[k].after) && answers[k].after[i].took > 0; i++) {
			checked(w, answers[k].after[i].good, answers[k].after[i].took);
			window(w, false);
			if (undone == 0 && w->whys[WHY_VICTIM_WORSE] > 0)
				undone = i + 1;
		}
		if (undone != answers[k].undone)
			fail_msg("%s: undone after %u, not %u", answers[k].what, undone, answers[k].undone);
		assert_int_equal(!(w->verbs_of[API] & (1u << VERB_TASKS_IDLE)), undone > 0);
		world_free(w);
	}
}

/* Its end says what was before the lowering as well. */
static void under_way_says_nothing(void **state)
{
	struct world *w = api_is_protected();

	answer(w, true, 5 * MS);
	lower(w);
	window(w, true);
	answer(w, true, 1500 * MS);
	answer(w, true, 1400 * MS);
	window(w, true);
	assert_int_equal(w->whys[WHY_VICTIM_WORSE], 0);
	assert_true(w->verbs_of[API] & (1u << VERB_TASKS_IDLE));
	world_free(w);
}

static void nothing_known_before(void **state)
{
	struct world *w = api_is_protected();
	unsigned i;

	lower(w);
	for (i = 0; i < 4; i++) {
		answer(w, false, 1 * MS);
		window(w, true);
	}
	assert_int_equal(w->whys[WHY_VICTIM_WORSE], 0);
	world_free(w);
}

/* Its first answer comes after the lowering: then that one is the measure. */
static void first_heard_later(void **state)
{
	struct world *w = api_is_protected();

	lower(w);
	checked(w, true, 5 * MS);
	checked(w, false, 5 * MS);
	window(w, false);
	assert_int_equal(w->whys[WHY_VICTIM_WORSE], 0);
	checked(w, false, 5 * MS);
	window(w, false);
	assert_int_equal(w->whys[WHY_VICTIM_WORSE], 1);
	world_free(w);
}

/* The second ranking does not make the first one's damage the measure. */
static void before_is_before_the_first(void **state)
{
	static const struct { struct said before, between, after; bool undone; } cases[] = {
		{ { true, 800 * MS }, { true, 1500 * MS }, { true, 1700 * MS }, true },
		{ { true, 5 * MS }, { false, 5 * MS }, { false, 5 * MS }, true },
		{ { true, 1500 * MS }, { true, 600 * MS }, { true, 1300 * MS }, false },
		{ { false, 1 * MS }, { true, 600 * MS }, { true, 1300 * MS }, false },
	};
	unsigned k;

	for (k = 0; k < ELEMENTSOF(cases); k++) {
		struct world *w = api_is_protected();

		answer(w, cases[k].before.good, cases[k].before.took);
		lower(w);
		checked(w, cases[k].between.good, cases[k].between.took);
		lower_again(w);
		checked(w, cases[k].after.good, cases[k].after.took);
		window(w, true);
		checked(w, cases[k].after.good, cases[k].after.took);
		window(w, true);
		assert_int_equal(w->whys[WHY_VICTIM_WORSE], cases[k].undone);
		world_free(w);
	}
}

/* It ends with the squeeze: the next one has a before of its own. */
static void a_new_squeeze_a_new_before(void **state)
{
	struct world *w = api_is_protected();
	unsigned i;

	answer(w, true, 5 * MS);
	lower(w);
	for (i = 0; i < 900 && w->verbs_of[API]; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 1200);
		world_sample(w, API, 2500, 20, 2500, 20);
		world_send(w);
	}
	assert_int_equal(w->verbs_of[API], 0);
	answer(w, true, 1500 * MS);             /* the culprit is back, and it is slow already */
	for (i = 0; i < 30 && w->count[VERB_TASKS_IDLE] < 2; i++)
		window(w, false);
	assert_int_equal(w->count[VERB_TASKS_IDLE], 2);
	for (i = 0; i < 3; i++) {
		answer(w, true, 1500 * MS);
		window(w, true);
	}
	assert_int_equal(w->whys[WHY_VICTIM_WORSE], 0);
	world_free(w);
}

/* Whose listeners are looked for in a cgroup: only where they can be. */
static void who_answers_from_where(void **state)
{
	static const struct { enum match_kind kind; const char *glob; uint32_t from; } cases[] = {
		{ MATCH_UNITS, "api.service", 1u << API | 1u << 2 | 1u << 11 | 1u << 12 },
		{ MATCH_UNITS, "system.slice", 1u << API | 1u << 2 | 1u << 3 | 1u << 11 | 1u << 12 },
		{ MATCH_CGROUPS, "/system.slice/api.service/workers", 1u << API | 1u << 2 | 1u << 11 },
		{ MATCH_CGROUPS, "/", 1u << 1 },
		{ MATCH_CGROUPS, "/system.slice/api.service/*", 1u << API | 1u << 2 | 1u << 11 | 1u << 12 },
		{ MATCH_UNITS, "nobody.service", 0 },
		{ MATCH_EXCEPT, "api.service", 1u << 1 | 1u << 2 | 1u << 3 | 1u << API | 1u << 11 | 1u << 12 | 1u << 20 },
	};
	struct world *w;
	unsigned i, k;

	for (k = 0; k < ELEMENTSOF(cases); k++) {
		w = world_new(MODE_ENFORCE);
		world_policy(w, POLICY_ENDPOINT, "shop", cases[k].kind, cases[k].glob);
		world_start(w);
		world_tree(w);
		world_group(w, API, 2, CAN_ALL, "/system.slice/api.service");
		world_group(w, 11, API, 0, "/system.slice/api.service/workers");
		world_group(w, 12, API, 0, "/system.slice/api.service/web");
		world_group(w, 20, 1, CAN_ALL, "/user.slice");
		window(w, true);
		window(w, true);                /* the tree is built where there is an alarm */
		for (i = 1; i < 32; i++)
			if (engine_group(w->e, i) != NULL && engine_answers_from(w->e, SHOP, i) != (cases[k].from >> i & 1))
				fail_msg("%s: from %u: %d", cases[k].glob, i, engine_answers_from(w->e, SHOP, i));
		assert_int_equal(engine_answers_from(w->e, SHOP, 31), cases[k].kind == MATCH_EXCEPT);        /* unknown */
		assert_false(engine_answers_from(w->e, 0, API));        /* no endpoint */
		assert_false(engine_answers_from(w->e, 4, API));
		world_free(w);
	}
}

/* A courier that is not there: the health check has no word, so its waiting counts. */
static void asked_in_vain(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i;

	world_policy(w, POLICY_ENDPOINT, "shop", MATCH_UNITS, "api.service");
	world_policy(w, POLICY_PROTECT, "shop", MATCH_UNITS, "api.service")->as = IMPORTANCE_HEALTH;
	world_start(w);
	world_tree(w);
	world_group(w, API, 2, CAN_ALL, "/system.slice/api.service");
	world_group(w, API + 1, 2, CAN_ALL, "/system.slice/batch.service");
	world_clear(w);
	w->fail[VERB_CHECK] = ENOTCONN;
	world_calm(w, 9000);
	for (i = 0; i < 80; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, API, 3000, 48000, 3000, 48000);
		world_sample(w, API + 1, 97000, 400000, 97000, 400000);
		world_send(w);
		if (i == 40)
			assert_int_equal(w->verbs_of[API + 1], 0);
	}
	assert_int_equal(w->verbs_of[API + 1] != 0, 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(culprit_answers_the_health_check), cmocka_unit_test(useful_by_its_own_account),
		cmocka_unit_test(worse_is_undone), cmocka_unit_test(under_way_says_nothing), cmocka_unit_test(nothing_known_before), cmocka_unit_test(first_heard_later),
		cmocka_unit_test(before_is_before_the_first), cmocka_unit_test(a_new_squeeze_a_new_before),
		cmocka_unit_test(who_answers_from_where), cmocka_unit_test(asked_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
