/* SPDX-License-Identifier: Apache-2.0 */
/* test-groups: tree, units, classes, and what happens beyond the bounds. */
#include <errno.h>

#include "unit/world.h"
#include "core/groups.h"

static struct groups *g;
static struct policy_set *set;
static usec_t now;

static int setup(void **state)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	w.set.settings = SETTINGS_DEFAULT;
	world_policy(&w, POLICY_PROTECT, "login", MATCH_UNITS, "ssh.service")->as = IMPORTANCE_LOGIN;
	world_policy(&w, POLICY_PROTECT, "sessions", MATCH_UNITS, "session-*.scope")->as = IMPORTANCE_LOGIN;
	w.set.policies[1].for_first = 60 * SEC;
	world_policy(&w, POLICY_PROTECT, "databases", MATCH_PROCESSES, "postgres")->as = IMPORTANCE_DATABASE;
	w.set.policies[2].weight = 400;
	world_policy(&w, POLICY_THROTTLE, "all", MATCH_CGROUPS, "*");
	world_policy(&w, POLICY_THROTTLE, "shop", MATCH_CONTAINERS, "shop-*");
	world_policy(&w, POLICY_ENDPOINT, "api", MATCH_UNITS, "api.service");
	g = calloc(1, sizeof(*g));
	set = calloc(1, sizeof(*set));
	*set = w.set;
	now = 1000 * SEC;
	groups_init(g);
	return 0;
}

static int teardown(void **state)
{
	free(g);
	free(set);
	return 0;
}

static int put(uint64_t id, uint64_t parent, uint32_t flags, const char *path, usec_t born, const char *comm)
{
	struct group_info i = { .id = id, .parent = parent, .flags = flags, .weight = 100, .quota_us = -1, .born = born, .uid = UINT32_MAX };
	uint64_t forgotten;

	(void)str_copy(i.path, sizeof(i.path), path);
	(void)str_copy(i.name, sizeof(i.name), strrchr(path, '/') + 1);
	if (comm)
		(void)str_copy(i.procs[0], COMM_MAX, comm);
	return groups_put(g, set, &i, now, &forgotten);
}

static const struct group *get(uint64_t id)
{
	int slot = groups_find(g, id);

	assert_true(slot >= 0);
	return &g->slot[slot];
}

static uint64_t unit_of(uint64_t id)
{
	return get(id)->unit < 0 ? GROUP_NONE : g->slot[get(id)->unit].info.id;
}

static void base_tree(void)
{
	put(1, 0, GROUP_IS_ROOT, "/", 0, NULL);
	put(2, 1, CAN_ALL, "/system.slice", 0, NULL);
	put(3, 2, CAN_ALL, "/system.slice/ssh.service", 0, NULL);
	put(4, 2, CAN_ALL, "/system.slice/hog.service", 0, NULL);
}

static void units(void **state)
{
	static const struct { uint64_t id, unit; enum no_unit why; } cases[] = {
		{ 1, 0, UNIT_ROOT }, { 2, 0, UNIT_COVERS }, { 3, 0, UNIT_PROTECTED }, { 4, 4, UNIT_OK },
		{ 5, 4, UNIT_OK },              /* a leaf below, without a controller of its own */
		{ 7, 0, UNIT_NO_CPU },          /* nothing above it has one */
		{ 8, 0, UNIT_SELF }, { 9, 0, UNIT_NO_TARGET }, { 10, 0, UNIT_COVERS }, { 12, 0, UNIT_SELF },
	};
	unsigned i;

	base_tree();
	put(5, 4, 0, "/system.slice/hog.service/payload", 0, NULL);
	put(6, 1, 0, "/user.slice", 0, NULL);
	put(7, 6, 0, "/user.slice/x", 0, NULL);
	put(8, 2, CAN_ALL | GROUP_IS_SELF, "/system.slice/reprieved.service", 0, NULL);
	put(9, 1, CAN_ALL | GROUP_NO_TARGET, "/long", 0, NULL);
	put(10, 2, 0, "/system.slice/uncontrolled.service", 0, NULL);
	put(12, 8, CAN_ALL, "/system.slice/reprieved.service/canary", 0, NULL);
	assert_true(groups_refresh(g, set, now));
	assert_false(groups_refresh(g, set, now));
	for (i = 0; i < ELEMENTSOF(cases); i++) {
		assert_int_equal(unit_of(cases[i].id), cases[i].unit);
		assert_int_equal(get(cases[i].id)->no_unit, cases[i].why);
	}
	assert_true(groups_above(g, groups_find(g, 2), groups_find(g, 5)));
	assert_false(groups_above(g, groups_find(g, 5), groups_find(g, 2)));
	/* The protected one goes: what covered it may be squeezed. */
	assert_true(groups_remove(g, 3));
	assert_true(groups_remove(g, 8));
	assert_true(groups_remove(g, 12));
	groups_refresh(g, set, now);
	assert_int_equal(unit_of(10), 2);
}

static void classes(void **state)
{
	base_tree();
	put(5, 2, CAN_ALL, "/system.slice/pg.service", 0, "postgres");
	put(6, 5, CAN_ALL, "/system.slice/pg.service/workers", 0, NULL);
	put(7, 1, CAN_ALL, "/docker", 0, NULL);
	put(8, 7, CAN_ALL, "/docker/shop-1", 0, NULL);
	put(9, 8, CAN_ALL, "/docker/shop-1/inner", 0, NULL);
	put(10, 2, CAN_ALL, "/system.slice/api.service", 0, NULL);
	groups_refresh(g, set, now);
	assert_int_equal(get(3)->as, IMPORTANCE_LOGIN);
	assert_int_equal(get(5)->as, IMPORTANCE_DATABASE);
	assert_int_equal(get(6)->as, IMPORTANCE_DATABASE);       /* what lives below, too */
	assert_int_equal(get(10)->as, IMPORTANCE_HEALTH);
	assert_int_equal(get(10)->endpoint, 5);
	assert_int_equal(get(4)->as, IMPORTANCE_NONE);
	assert_int_equal(get(4)->throttle, 3);
	assert_int_equal(get(8)->throttle, 4);                   /* the later file wins ... */
	assert_int_equal(get(9)->throttle, 4);                   /* ... below as well, where only the first names it */
	assert_int_equal(get(5)->lifeline_wanted, 400);
	assert_int_equal(get(6)->lifeline_wanted, -1);
	assert_int_equal(get(3)->lifeline_wanted, -1);
	/* Another set: classified anew. */
	set->policies[0].as = IMPORTANCE_SYSTEM;
	groups_classify(g, set, now);
	groups_refresh(g, set, now);
	assert_int_equal(get(3)->as, IMPORTANCE_SYSTEM);
}

static void young_sessions_grow_old(void **state)
{
	base_tree();
	put(5, 1, CAN_ALL, "/user.slice", 0, NULL);
	put(6, 5, CAN_ALL, "/user.slice/session-1.scope", now - 10 * SEC, NULL);
	put(7, 5, CAN_ALL, "/user.slice/session-2.scope", 0, NULL);     /* of unknown age: not young */
	groups_refresh(g, set, now);
	assert_int_equal(get(6)->as, IMPORTANCE_LOGIN);
	assert_true(get(6)->young);
	assert_int_equal(get(7)->as, IMPORTANCE_NONE);
	assert_int_equal(get(5)->no_unit, UNIT_COVERS);
	assert_false(groups_refresh(g, set, now + 49 * SEC));
	assert_true(groups_refresh(g, set, now + 50 * SEC));
	assert_int_equal(get(6)->as, IMPORTANCE_NONE);
	assert_int_equal(unit_of(6), 6);
	assert_int_equal(unit_of(5), 5);
}

static void hostile_trees(void **state)
{
	char path[32];
	uint64_t i;

	assert_int_equal(put(GROUP_NONE, 1, 0, "/x", 0, NULL), -EINVAL);
	assert_int_equal(put(GROUP_OTHER, 1, 0, "/x", 0, NULL), -EINVAL);
	assert_int_equal(put(GROUP_CANARY, 1, 0, "/x", 0, NULL), -EINVAL);
	assert_int_equal(put(5, 5, 0, "/x", 0, NULL), -EINVAL);
	/* A ring, and a chain that is too deep: no endless walk, and something sensible. */
	put(10, 11, CAN_ALL, "/a", 0, NULL);
	put(11, 12, CAN_ALL, "/b", 0, NULL);
	put(12, 10, CAN_ALL, "/c", 0, NULL);
	for (i = 0; i < 200; i++) {
		(void)snprintf(path, sizeof(path), "/deep%d", (int)i);
		put(100 + i, 99 + i, CAN_ALL, path, 0, NULL);
	}
	groups_refresh(g, set, now);
	assert_int_equal(unit_of(11), 11);
	assert_int_equal(unit_of(299), 299);
	assert_true(get(299)->depth < GROUPS_DEPTH_MAX);
	assert_false(groups_above(g, groups_find(g, 11), groups_find(g, 299)));
}

static void full(void **state)
{
	uint64_t i, forgotten;
	struct group_info x = { .id = 5000, .parent = 2, .flags = CAN_ALL, .weight = 100, .path = "/system.slice/new" };
	char path[64];

	base_tree();
	put(5, 2, CAN_ALL, "/system.slice/pg.service", 0, "postgres");
	for (i = 0; g->n < MAX_GROUPS; i++) {
		(void)snprintf(path, sizeof(path), "/system.slice/x%d", (int)i);
		now++;
		assert_true(put(1000 + i, 2, CAN_ALL, path, 0, NULL) >= 0);
	}
	g->slot[groups_find(g, 1000)].pinned = true;
	g->slot[groups_find(g, 4)].seen = now;
	groups_refresh(g, set, now);
	/* The least recently seen that is neither root, parent, protected nor squeezed. */
	assert_true(groups_put(g, set, &x, now, &forgotten) >= 0);
	assert_int_equal(forgotten, 1001);
	assert_int_equal(g->n, MAX_GROUPS);
	assert_int_equal(g->forgotten, 1);
	assert_int_equal(groups_find(g, 1001), SLOT_NONE);
	assert_true(groups_find(g, 1) >= 0 && groups_find(g, 2) >= 0 && groups_find(g, 3) >= 0 && groups_find(g, 5) >= 0 && groups_find(g, 1000) >= 0);
}

/* However old: what is protected, and above it, or squeezed. Then there is no room. */
static void never_forgotten(void **state)
{
	struct group_info x = { .id = 9000, .parent = 2, .flags = CAN_ALL, .weight = 100, .path = "/system.slice/new" };
	uint64_t i, forgotten;
	char path[64];

	base_tree();
	put(5, 2, CAN_ALL, "/system.slice/pg.service", 0, "postgres");
	put(6, 5, CAN_ALL, "/system.slice/pg.service/inner", 0, NULL);
	for (i = 0; g->n < MAX_GROUPS - 2; i++) {
		(void)snprintf(path, sizeof(path), "/system.slice/x%d", (int)i);
		put(1000 + i, 2, CAN_ALL, path, 0, "postgres");
	}
	now++;
	put(7, 1, CAN_ALL, "/other.slice", 0, NULL);
	put(8, 7, CAN_ALL, "/other.slice/squeezed", 0, NULL);
	g->slot[groups_find(g, 4)].pinned = g->slot[groups_find(g, 8)].pinned = true;
	/* All are protected, squeezed or above: only the parent of what is squeezed may go. */
	assert_true(groups_put(g, set, &x, now, &forgotten) >= 0);
	assert_int_equal(forgotten, 7);
	x.id++;
	assert_true(groups_put(g, set, &x, now, &forgotten) >= 0);
	assert_int_equal(forgotten, 9000);
	g->slot[groups_find(g, x.id)].pinned = true;
	x.id++;
	assert_int_equal(groups_put(g, set, &x, now, &forgotten), -ENOSPC);
	assert_true(groups_refresh(g, set, now));
	for (i = 2; i <= 6; i++)
		assert_true(groups_find(g, i) >= 0);
	assert_true(groups_find(g, 1000) >= 0 && groups_find(g, 8) >= 0);
}

/* Random puts and removes: the index stays sorted and complete. */
static void index_stays_right(void **state)
{
	uint32_t seed = 7, i, j;
	bool there[300] = { 0 };

	for (i = 0; i < 20000; i++) {
		uint64_t id;

		seed = seed * 1664525 + 1013904223;
		id = 1 + (seed >> 16) % 299;
		if (seed & 0x8000) {
			assert_true(put(id, id / 2 == id ? 0 : id / 2, CAN_ALL, "/x", 0, NULL) >= 0);
			there[id] = true;
		} else {
			assert_int_equal(groups_remove(g, id), there[id]);
			there[id] = false;
		}
	}
	groups_refresh(g, set, now);
	for (i = 1; i < 300; i++)
		assert_int_equal(groups_find(g, i) >= 0, there[i]);
	for (j = 1; j < g->n; j++)
		assert_true(g->slot[g->by_id[j - 1]].info.id < g->slot[g->by_id[j]].info.id);
	for (j = 0; j < g->n; j++)
		if (g->slot[g->by_depth[j]].parent >= 0)
			assert_true(g->slot[g->slot[g->by_depth[j]].parent].depth < g->slot[g->by_depth[j]].depth);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(units, setup, teardown),
		cmocka_unit_test_setup_teardown(classes, setup, teardown),
		cmocka_unit_test_setup_teardown(young_sessions_grow_old, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_trees, setup, teardown),
		cmocka_unit_test_setup_teardown(full, setup, teardown),
		cmocka_unit_test_setup_teardown(never_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(index_stays_right, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
