/* SPDX-License-Identifier: Apache-2.0 */
/* test-blame: who is harmed, by whom, in one window. */
#include "unit/world.h"
#include "core/blame.h"

static struct world *w;
static struct groups *g;
static struct harm *h;
static uint8_t answers[MAX_POLICIES];

static void put(uint64_t id, uint64_t parent, uint32_t flags, int32_t weight, const char *path)
{
	struct group_info i = { .id = id, .parent = parent, .flags = flags, .weight = weight, .quota_us = -1, .uid = UINT32_MAX };
	uint64_t forgotten;

	(void)str_copy(i.path, sizeof(i.path), path);
	(void)str_copy(i.name, sizeof(i.name), strrchr(path, '/') + 1);
	assert_true(groups_put(g, &w->set, &i, w->now, &forgotten) >= 0);
}

static int setup(void **state)
{
	w = world_new(MODE_ENFORCE);
	world_policy(w, POLICY_ENDPOINT, "api", MATCH_UNITS, "api.service");
	g = calloc(1, sizeof(*g));
	h = calloc(1, sizeof(*h));
	groups_init(g);
	memset(answers, ANSWER_NONE, sizeof(answers));
	put(1, 0, GROUP_IS_ROOT, 100, "/");
	put(2, 1, CAN_ALL, 100, "/system.slice");
	put(3, 2, CAN_ALL, 100, "/system.slice/ssh.service");
	put(4, 2, CAN_ALL, 100, "/system.slice/postgresql.service");
	put(5, 2, CAN_ALL, 100, "/system.slice/api.service");
	put(10, 2, CAN_ALL, 100, "/system.slice/a.service");
	put(11, 2, CAN_ALL, 100, "/system.slice/b.service");
	world_begin(w, 100 * MS, 9000);
	return 0;
}

static int teardown(void **state)
{
	free(g);
	free(h);
	world_free(w);
	return 0;
}

static void compute(void)
{
	groups_refresh(g, &w->set, w->now);
	blame_compute(h, &w->s, g, 350 * MS, answers, w->now);
}

static const struct victim *victim(uint64_t id)
{
	uint32_t i;

	for (i = 0; i < h->n_victims; i++)
		if (h->victims[i].id == id)
			return &h->victims[i];
	return NULL;
}

static uint64_t blame(uint64_t id)
{
	uint32_t i;

	for (i = 0; i < h->n_suspects; i++)
		if (h->suspects[i].id == id)
			return h->suspects[i].blame * 10000 / h->total;
	return 0;
}

/* More protected ones than are kept in view: the way in, with the highest id and the worst off, is. */
static void more_victims_than_kept(void **state)
{
	char path[64];
	uint64_t i;

	put(900, 2, CAN_ALL, 100, "/system.slice/x/ssh.service");
	for (i = 100; i < 100 + MAX_VICTIMS; i++) {
		(void)snprintf(path, sizeof(path), "/system.slice/postgres%d.service", (int)i);
		put(i, 2, CAN_ALL, 100, path);
	}
	world_sample(w, 10, 90000, 0, 0, 0);
	for (i = 100; i < 100 + MAX_VICTIMS; i++)
		world_sample(w, i, 5000, 0, 0, 0);
	compute();
	assert_false(h->beyond);
	world_sample(w, 900, 5000, 90000, 0, 0);
	compute();
	assert_true(h->beyond);
	assert_int_equal(h->n_victims, MAX_VICTIMS);
	assert_int_equal(h->victims[0].id, 900);
	assert_true(h->level[IMPORTANCE_LOGIN] > 5000);
	assert_true(h->login_fresh);
	assert_int_equal(blame(10), 10000 * 90 / (90 + 5 * (MAX_VICTIMS + 1)));
}

/* Who ran where the victim waited; a decoy on another CPU harms nobody. */
static void by_cpu(void **state)
{
	world_sample(w, 3, 5000, 90000, 0, 0);
	world_sample(w, 10, 90000, 5000, 0, 0);
	world_sample(w, 11, 5000, 0, 100000, 0);
	compute();
	assert_in_range(victim(3)->foreign, 8900, 9100);
	assert_in_range(victim(3)->self, 400, 500);
	assert_in_range(blame(10), 8900, 9100);
	assert_in_range(blame(11), 450, 600);
	assert_int_equal(h->suspects[0].id, 10);
	assert_in_range(victim(3)->login, 6 * SEC, 8 * SEC);
}

/* The more it wanted to wait, the more it is harm; below 15 ms in 100 it is none. */
static void small_amounts(void **state)
{
	static const struct { uint32_t run, wait; bool level, strain; } cases[] = {
		{ 1000, 90000, true, true }, { 1000, 17000, true, true }, { 1000, 12000, false, true }, { 200, 600, false, false },
	};
	unsigned i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		world_begin(w, 100 * MS, 9000);
		blame_forget(g);
		world_sample(w, 3, cases[i].run, cases[i].wait, 0, 0);
		world_sample(w, 10, 90000, 5000, 0, 0);
		compute();
		assert_int_equal(h->level[IMPORTANCE_LOGIN] > 0, cases[i].level);
		assert_int_equal(h->strain > 0, cases[i].strain);
		assert_int_equal(h->total > 0, cases[i].strain);
	}
}

/* Two of three: what PSI and canary deny, the probe alone does not prove. */
static void two_agree(void **state)
{
	struct group_sample *x;

	x = world_sample(w, 3, 5000, 90000, 0, 0);
	x->psi_some_us = 2000;
	world_sample(w, 10, 90000, 5000, 0, 0);
	w->s.canary = (struct canary_sample) { 5000, 6000 };
	compute();
	assert_true(victim(3)->level < 500);
	x->psi_some_us = 95000;
	compute();
	assert_true(victim(3)->level > 8000);
}

/* A task that did not run yet: only PSI knows of it. */
static void censored(void **state)
{
	world_sample(w, 3, 0, 0, 0, 0)->psi_some_us = 99000;
	world_sample(w, 10, 100000, 50000, 100000, 50000);
	compute();
	assert_true(victim(3)->level > 9500);
	assert_int_equal(h->suspects[0].id, 10);
	assert_true(h->login >= 100 * 350 * MS);
}

static void canary_alone(void **state)
{
	world_sample(w, 10, 100000, 50000, 100000, 50000);
	w->s.canary = (struct canary_sample) { 5000, 100000 };
	compute();
	assert_true(victim(GROUP_CANARY)->level > 9000);
	assert_int_equal(h->login, 7 * SEC);
	assert_int_equal(blame(10), 10000);
	w->s.canary = (struct canary_sample) { 5000, 5500 };
	compute();
	assert_int_equal(victim(GROUP_CANARY)->level, 0);
}

/* Fifty waiting backends do not outvote an sshd that is stuck. */
static void each_victim_counts_alike(void **state)
{
	world_sample(w, 3, 2000, 48000, 0, 0);
	world_sample(w, 4, 0, 0, 50000, 4500000);
	world_sample(w, 10, 98000, 0, 0, 0);
	world_sample(w, 11, 0, 0, 50000, 4500000);
	compute();
	assert_true(blame(10) > blame(11));
}

static void own_limit_is_taken_off(void **state)
{
	world_sample(w, 4, 9000, 89000, 9000, 89000)->throttled_us = 180000;
	world_sample(w, 10, 80000, 1000, 80000, 1000);
	compute();
	assert_int_equal(victim(4)->level, 0);
	assert_in_range(victim(4)->own_limit, 8900, 9100);
}

/* 98 % self wait is an API at its peak, unless its health check says otherwise. */
static void health(void **state)
{
	uint16_t endpoint = 3;

	world_sample(w, 5, 95000, 2000000, 95000, 2000000);
	world_sample(w, 10, 5000, 100, 5000, 100);
	answers[endpoint] = ANSWER_GOOD;
	compute();
	assert_int_equal(victim(5)->level, 0);
	assert_int_equal(victim(5)->self_level, 0);
	answers[endpoint] = ANSWER_BAD;
	compute();
	assert_true(victim(5)->self_level > 8000);
	assert_int_equal(g->slot[h->inside].info.id, 5);
}

/* Of two equal blames the one beyond its entitlement comes first. */
static void entitlement(void **state)
{
	put(10, 2, CAN_ALL, 1000, "/system.slice/a.service");
	put(11, 2, CAN_ALL, 10, "/system.slice/b.service");
	world_sample(w, 3, 5000, 95000, 5000, 95000);
	world_sample(w, 10, 47000, 40000, 47000, 40000);
	world_sample(w, 11, 47000, 40000, 47000, 40000);
	compute();
	assert_int_equal(h->suspects[0].id, 11);
	assert_true(h->suspects[0].usage > h->suspects[0].entitled);
	assert_true(h->suspects[1].usage < h->suspects[1].entitled);
	assert_int_equal(h->suspects[0].blame, h->suspects[1].blame);
}

/* Leaves without a controller are one suspect with the unit above them. */
static void grouped_by_unit(void **state)
{
	put(20, 10, 0, 100, "/system.slice/a.service/x");
	put(21, 10, 0, 100, "/system.slice/a.service/y");
	world_sample(w, 3, 5000, 90000, 0, 0);
	world_sample(w, 20, 40000, 0, 0, 0);
	world_sample(w, 21, 50000, 0, 0, 0);
	compute();
	assert_int_equal(h->suspects[0].id, 10);
	assert_int_equal(h->suspects[0].n_leaves, 2);
	assert_int_equal(g->slot[h->suspects[0].leaf].info.id, 21);
}

/* The overflow bucket and cgroups nobody told about are blamed, not named. */
static void unknown(void **state)
{
	world_sample(w, 3, 5000, 90000, 0, 0);
	world_sample(w, 777, 50000, 0, 0, 0);
	world_sample(w, GROUP_OTHER, 40000, 0, 0, 0);
	compute();
	assert_true(h->unknown * 10 > h->total * 9);
	assert_int_equal(h->touchable, 0);
	assert_int_equal(h->suspects[0].no_unit, UNIT_NO_TARGET);
}

/* Without the probe: PSI and run times only. */
static void without_bpf(void **state)
{
	w->s.source = GROUP_SOURCE_CPUSTAT;
	world_sample(w, 3, 5000, 0, 0, 0)->psi_some_us = 95000;
	world_sample(w, 10, 90000, 0, 90000, 0);
	world_sample(w, 11, 5000, 0, 5000, 0);
	compute();
	assert_true(victim(3)->level > 8500);
	assert_int_equal(h->suspects[0].id, 10);
	/* A database that waits for itself is not harmed by a bystander. */
	world_begin(w, 100 * MS, 9000)->source = GROUP_SOURCE_CPUSTAT;
	world_sample(w, 4, 95000, 0, 95000, 0)->psi_some_us = 99000;
	world_sample(w, 10, 2000, 0, 2000, 0);
	compute();
	assert_true(victim(4)->level < 1000);
}

/* 20 ms in one window and next to nothing in two others is a third of a second of little. */
static void harm_is_of_the_last_third_of_a_second(void **state)
{
	static const struct { uint32_t waits[4]; bool level; } cases[] = {
		{ { 40000 }, true }, { { 40000, 30000, 2000 }, true }, { { 40000, 2000, 2000, 2000 }, false },
		{ { 2000, 2000, 2000, 25000 }, false }, { { 2000, 2000, 40000, 50000 }, true }, { { 12000, 12000, 12000, 12000 }, false },
	};
	unsigned i, k;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		blame_forget(g);
		for (k = 0; k < 4 && cases[i].waits[k]; k++) {
			w->now += 100 * MS;
			world_begin(w, 100 * MS, 9000);
			world_sample(w, 3, 2000, cases[i].waits[k], 0, 0);
			world_sample(w, 10, 90000, 5000, 0, 0);
			compute();
		}
		assert_int_equal(h->level[IMPORTANCE_LOGIN] > 0, cases[i].level);
	}
	/* After a gap nothing of before counts. */
	w->now += 10 * SEC;
	world_begin(w, 100 * MS, 9000);
	world_sample(w, 3, 2000, 100, 0, 0);
	compute();
	assert_in_range(victim(3)->foreign, 0, 500);
}

/* A sibling that did not run in this window did so a moment ago, and is not forgotten. */
static void blame_lasts_a_second(void **state)
{
	unsigned i;

	for (i = 0; i < 3; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9000);
		world_sample(w, 3, 5000, 90000, 0, 0);
		world_sample(w, 10 + i % 2, 90000, 5000, 0, 0);
		compute();
	}
	assert_in_range(blame(10), 6000, 7000);
	assert_in_range(blame(11), 3000, 4000);
	w->now += 2 * SEC;
	world_begin(w, 100 * MS, 9000);
	world_sample(w, 3, 5000, 90000, 0, 0);
	world_sample(w, 11, 90000, 5000, 0, 0);
	compute();
	assert_int_equal(blame(10), 0);
	assert_in_range(blame(11), 9000, 10000);
}

/* Half by others, half by its own: as bad as all by one. A crowd, not a login's few tasks. */
static void own_and_foreign_add_up(void **state)
{
	world_sample(w, 3, 45000, 900000, 45000, 900000);
	world_sample(w, 10, 45000, 5000, 45000, 5000);
	compute();
	assert_in_range(victim(3)->foreign, 4500, 5000);
	assert_in_range(victim(3)->self, 4500, 5000);
	assert_in_range(MAX(victim(3)->level, victim(3)->self_level), 9400, 9600);

	memset(answers, ANSWER_BAD, sizeof(answers));
	world_begin(w, 100 * MS, 9000);
	world_sample(w, 5, 20000, 40000, 20000, 40000);
	world_sample(w, 10, 25000, 5000, 20000, 5000);
	compute();
	assert_in_range(MAX(victim(5)->level, victim(5)->self_level), 2500, 4000);
	w->now += 10 * SEC;
	world_begin(w, 100 * MS, 9000);
	world_sample(w, 5, 40000, 1900000, 45000, 1900000);
	world_sample(w, 10, 45000, 5000, 45000, 5000);
	compute();
	assert_in_range(MAX(victim(5)->level, victim(5)->self_level), 9500, 10000);
}

/* 8 ms in 100 are harm where the load is no service's, and nobody else's. */
static void eased_in_a_crowd(void **state)
{
	world_sample(w, 3, 1000, 9000, 0, 0);
	world_sample(w, 10, 90000, 5000, 0, 0);
	compute();
	assert_int_equal(h->level[IMPORTANCE_LOGIN], 0);
	blame_ease(h);
	assert_in_range(h->level[IMPORTANCE_LOGIN], 7500, 8500);
	assert_int_equal(h->victims[0].id, 3);
	assert_in_range(h->victims[0].level, 7500, 8500);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(by_cpu), T(more_victims_than_kept), T(harm_is_of_the_last_third_of_a_second), T(blame_lasts_a_second), T(own_and_foreign_add_up), T(eased_in_a_crowd),
		T(small_amounts), T(two_agree), T(censored), T(canary_alone), T(each_victim_counts_alike), T(own_limit_is_taken_off),
		T(health), T(entitlement), T(grouped_by_unit), T(unknown), T(without_bpf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
