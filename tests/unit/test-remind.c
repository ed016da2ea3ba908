/* SPDX-License-Identifier: Apache-2.0 */
/* test-remind: more cgroups than the engine keeps in mind, and one it has forgotten runs wild. */
#include <sys/stat.h>

#include "unit/world.h"
#include "ctl/remind.h"

#define CROWD (MAX_GROUPS + 200)

static char root[64];
static struct world *w;
static struct cgroups *table;
static unsigned n_told;

static void tell(const struct group_info *info, void *data)
{
	struct event ev = { .now = w->now, .type = EVENT_GROUP, .group = info };

	/* Parents first. */
	assert_true(info->parent == GROUP_NONE || engine_group(w->e, info->parent) != NULL);
	n_told++;
	world_step(w, &ev);
}

static uint64_t make(const char *group)
{
	char full[256];
	struct stat st;

	(void)snprintf(full, sizeof(full), "%s/sys/fs/cgroup%s", root, group);
	assert_int_equal(mkdir(full, 0755), 0);
	assert_int_equal(stat(full, &st), 0);
	return st.st_ino;
}

static int clean(void **state)
{
	char cmd[128];

	table = cgroups_free(table);
	world_free(w);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	return system(cmd);
}

/* The tree is known to both; what came first is idle longest. */
static void start(const char *early, const char *early_leaf, uint64_t ret[2], const char *crowd)
{
	const struct cgroups_config config = { .root = root, .changed = tell };
	char path[512];
	FILE *f;

	strcpy(root, "/tmp/test-remind.XXXXXX");
	assert_non_null(mkdtemp(root));
	(void)snprintf(path, sizeof(path), "mkdir -p %s/proc/self %s/sys/fs/cgroup/%s", root, root, crowd);
	assert_int_equal(system(path), 0);
	(void)snprintf(path, sizeof(path), "%s/proc/self/mountinfo", root);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("26 22 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", f);
	fclose(f);
	ret[0] = make(early);
	ret[1] = make(early_leaf);
	w = world_new(MODE_ENFORCE);
	world_start(w);
	assert_int_equal(cgroups_new(&config, &table), 0);
	assert_int_equal(cgroups_scan(table), 0);
	for (int i = 0; i < CROWD; i++) {
		(void)snprintf(path, sizeof(path), "/%s/%d", crowd, i);
		(void)make(path);
	}
	w->now += SEC;
	assert_int_equal(cgroups_scan(table), 0);
	assert_true(cgroups_count(table) > MAX_GROUPS);
	assert_int_equal(engine_groups(w->e), MAX_GROUPS);
	n_told = 0;
	w->now += SEC;
	world_begin(w, 100 * MS, 9000);
}

static unsigned run(void)
{
	return remind(w->e, table, &w->s, tell, NULL);
}

static void who_runs_is_told_again(void **state)
{
	uint64_t id[2];

	start("/wild.slice", "/wild.slice/hog", id, "crowd.slice");
	assert_null(engine_group(w->e, id[1]));
	assert_int_equal(run(), 0);
	assert_int_equal(n_told, 0);            /* nobody runs: nothing to tell */
	world_sample(w, id[1], 400, 50000, 0, 0);
	assert_int_equal(run(), 0);
	assert_int_equal(n_told, 0);            /* hardly */
	w->s.n_groups = w->s.n_cpu = 0;
	world_sample(w, id[1], 90000, 5000, 0, 0);
	assert_int_equal(run(), 0);
	assert_non_null(engine_group(w->e, id[0]));
	assert_non_null(engine_group(w->e, id[1]));
	assert_int_equal(engine_groups(w->e), MAX_GROUPS);
	n_told = 0;
	assert_int_equal(run(), 0);
	assert_int_equal(n_told, 0);            /* once is enough */
}

static void a_few_at_a_time(void **state)
{
	const struct group_info *g;
	uint64_t id[2], busiest = 0;
	unsigned n = 0;

	start("/wild.slice", "/wild.slice/hog", id, "crowd.slice");
	for (unsigned i = 0; i < CGROUPS_MAX && n < 100; i++)
		if ((g = cgroups_at(table, i)) != NULL && engine_group(w->e, g->id) == NULL) {
			world_sample(w, g->id, 1000 + n++, 0, 0, 0);
			busiest = g->id;
		}
	assert_int_equal(n, 100);
	world_sample(w, GROUP_OTHER, 90000, 0, 0, 0);
	assert_int_equal(run(), 0);
	assert_in_range(n_told, REMIND_MOST, REMIND_MOST + 1);
	assert_non_null(engine_group(w->e, busiest));
	for (n = 0; n < 20; n++)
		(void)run();
	for (n = 0; n < 100; n++)
		assert_non_null(engine_group(w->e, w->s.groups[n].id));
}

/* Where all that is known is protected, it is said how many were not taken. */
static void no_room(void **state)
{
	uint64_t id[2];

	start("/a", "/a/hog", id, "ssh.service");
	assert_int_equal(run(), 0);
	world_sample(w, id[1], 90000, 0, 0, 0);
	assert_int_equal(run(), 1);
	assert_null(engine_group(w->e, id[1]));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(who_runs_is_told_again, clean), cmocka_unit_test_teardown(a_few_at_a_time, clean),
		cmocka_unit_test_teardown(no_room, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
