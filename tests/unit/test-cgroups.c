/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"
#include "sense/cgroups.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char root[64];
static unsigned n_changed, n_gone;
static struct group_info last;
static uint64_t last_gone;

static void changed(const struct group_info *info, void *userdata)
{
	/* Parents are told first. */
	if (info->parent != GROUP_NONE)
		assert_non_null(cgroups_find(*(struct cgroups **)userdata, info->parent));
	n_changed++;
	last = *info;
}

static void gone(uint64_t id, void *userdata)
{
	n_gone++;
	last_gone = id;
}

static struct cgroups *table;

static void open_table(const char *at)
{
	const struct cgroups_config config = { .root = at, .self = { "/ours" }, .changed = changed, .gone = gone, .userdata = &table };

	n_changed = n_gone = 0;
	assert_int_equal(cgroups_new(&config, &table), 0);
	assert_int_equal(cgroups_scan(table), 0);
}

static const struct group_info *at_path(const char *path)
{
	unsigned i;

	for (i = 0; i < CGROUPS_MAX; i++)
		if (cgroups_at(table, i) && strcmp(cgroups_at(table, i)->path, path) == 0)
			return cgroups_at(table, i);
	return NULL;
}

static void put(const char *group, const char *file, const char *text)
{
	char full[6000];
	FILE *f;

	snprintf(full, sizeof(full), "%s/sys/fs/cgroup%s/%s", root, group, file);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void make(const char *group)
{
	char full[6000];

	snprintf(full, sizeof(full), "%s/sys/fs/cgroup%s", root, group);
	assert_int_equal(mkdir(full, 0755), 0);
}

static void drop(const char *group)
{
	char cmd[6000];

	snprintf(cmd, sizeof(cmd), "rm -r '%s/sys/fs/cgroup%s'", root, group);
	assert_int_equal(system(cmd), 0);
}

static int make_root(void **state)
{
	char cmd[256];
	FILE *f;

	strcpy(root, "/tmp/test-cgroups.XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(cmd, sizeof(cmd), "mkdir -p %s/proc/self %s/sys/fs/cgroup", root, root);
	assert_int_equal(system(cmd), 0);
	snprintf(cmd, sizeof(cmd), "%s/proc/self/mountinfo", root);
	f = fopen(cmd, "w");
	assert_non_null(f);
	fputs("26 22 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", f);
	fclose(f);
	return 0;
}

static int remove_root(void **state)
{
	char cmd[256];

	table = cgroups_free(table);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	return system(cmd);
}

static void walk_round(int rounds)
{
	/* With no time at all a step is still one small piece. */
	for (int i = 0; i < rounds * 200; i++)
		cgroups_step(table, 0);
}

static void names(void **state)
{
	static const struct { const char *path, *name; } cases[] = {
		{ "/", "/" },
		{ "/system.slice", "system.slice" },
		{ "/system.slice/ssh.service", "ssh.service" },
		{ "/system.slice/dev-disk\\x2dby.swap", "dev-disk\\x2dby.swap" },
		{ "/system.slice/docker-" HEX ".scope", "docker-0123456789ab" },
		{ "/system.slice/docker-" HEX ".scope/init", "docker-0123456789ab" },
		{ "/docker/" HEX, "docker-0123456789ab" },
		{ "/machine.slice/libpod-" HEX ".scope/container", "libpod-0123456789ab" },
		{ "/machine.slice/libpod-conmon-" HEX ".scope", "libpod-conmon-0123456789ab" },
		{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-" HEX ".scope", "containerd-0123456789ab" },
		{ "/kubepods/besteffort/pod1234/" HEX, "container-0123456789ab" },
		{ "/kubepods.slice/kubepods-burstable.slice", "kubepods-burstable.slice" },
		{ "/lxc.payload.web/system.slice", "lxc-web" },
		{ "/user.slice/user-1000.slice/session-3.scope", "session-3.scope" },
		{ "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", "foo.service" },
		{ "/user.slice/user-1000.slice/user@1000.service/app.slice", "user@1000.service" },
		{ "/system.slice/postgresql@15-main.service/jail", "postgresql@15-main.service" },
		{ "/batch/g17", "g17" },
		{ "/.service", ".service" },
		{ "/docker-short.scope", "docker-short.scope" },
	};
	char name[GROUP_NAME_MAX], path[300];
	size_t i;

	for (i = 0; i < ELEMENTSOF(cases); i++) {
		cgroups_display_name(cases[i].path, name);
		assert_string_equal(name, cases[i].name);
	}
	/* Cut between characters: 32 × "é" is 64 bytes, one too many for the NUL. */
	path[0] = '/';
	for (i = 0; i < 64; i++)
		memcpy(path + 1 + 2 * i, "\xc3\xa9", 2);
	path[129] = 0;
	cgroups_display_name(path, name);
	assert_int_equal(strlen(name), 62);
	/* Not UTF-8: cut at the byte. */
	memset(path + 1, 0xff, 200);
	path[201] = 0;
	cgroups_display_name(path, name);
	assert_int_equal(strlen(name), 63);
}

static void uids(void **state)
{
	assert_int_equal(cgroups_uid("/user.slice/user-1000.slice/session-3.scope"), 1000);
	assert_int_equal(cgroups_uid("/user.slice/user-0.slice"), 0);
	assert_true(cgroups_uid("/user.slice/user-.slice") == UINT32_MAX);
	assert_true(cgroups_uid("/user.slice/user-99999999999.slice") == UINT32_MAX);
	assert_true(cgroups_uid("/user.slice/user-1.slicex/a") == UINT32_MAX);
	assert_true(cgroups_uid("/system.slice/x.service") == UINT32_MAX);
	assert_int_equal(cgroups_uid("/user-x.slice/user-7.slice/a"), 7);
}

static void a_v2_machine(void **state)
{
	const struct group_info *g;

	open_table("tests/roots/v2");
	assert_int_equal(cgroups_count(table), 13);
	assert_int_equal(n_changed, 13);
	g = at_path("/");
	assert_int_equal(g->parent, GROUP_NONE);
	assert_int_equal(g->flags, GROUP_IS_ROOT);

	g = at_path("/system.slice/ssh.service");
	assert_int_equal(g->flags, GROUP_CAN_PIDS | GROUP_CAN_FREEZE | GROUP_CAN_KILL);
	assert_int_equal(g->weight, 100);
	assert_int_equal(g->quota_us, -1);

	g = at_path("/shop.slice");
	assert_int_equal(g->flags, GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA | GROUP_CAN_IDLE | GROUP_CAN_PIDS | GROUP_CAN_FREEZE | GROUP_CAN_KILL);
	assert_int_equal(g->weight, 250);
	assert_int_equal(g->quota_us, 50000);
	assert_int_equal(g->period_us, 100000);

	g = at_path("/shop.slice/postgresql@15-main.service/jail");
	assert_true(g->flags & GROUP_THREADED);
	assert_string_equal(g->name, "postgresql@15-main.service");
	assert_int_equal(g->parent, at_path("/shop.slice/postgresql@15-main.service")->id);
	assert_false(at_path("/shop.slice/postgresql@15-main.service")->flags & GROUP_THREADED);

	assert_int_equal(at_path("/user.slice/user-1000.slice/session-3.scope")->uid, 1000);
	cgroups_free(TAKE(table));
}

static void a_hybrid_machine(void **state)
{
	const struct group_info *g;
	int fd;

	open_table("tests/roots/hybrid");
	assert_int_equal(cgroups_mounts(table)->layout, MOUNTS_HYBRID);
	g = at_path("/system.slice");
	assert_int_equal(g->weight, 50);
	assert_true(g->flags & GROUP_CAN_WEIGHT);
	g = at_path("/docker");
	assert_int_equal(g->quota_us, 50000);
	assert_int_equal(g->period_us, 100000);
	assert_int_equal(g->flags, GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA | GROUP_CAN_IDLE | GROUP_CAN_PIDS | GROUP_CAN_FREEZE | GROUP_CAN_KILL);
	g = at_path("/system.slice/ssh.service");
	fd = cgroups_open_file(table, g->id, CGROUPS_TREE_V2, "cpu.pressure");
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(cgroups_open_file(table, g->id, CGROUPS_TREE_MEASURE, "cpu.pressure"), -ENOENT);
	assert_int_equal(cgroups_open_file(table, 99999999, CGROUPS_TREE_V2, "cpu.pressure"), -ENOENT);
	cgroups_free(TAKE(table));
}

static void a_v1_machine(void **state)
{
	open_table("tests/roots/v1-nopsi");
	assert_int_equal(cgroups_mounts(table)->layout, MOUNTS_V1);
	assert_int_equal(at_path("/system.slice/sshd.service")->weight, 200);
	assert_int_equal(at_path("/system.slice/sshd.service")->flags, GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA | GROUP_CAN_PIDS);
	cgroups_free(TAKE(table));
}

static void coming_changing_going(void **state)
{
	uint64_t a, b;

	make("/a");
	put("/a", "cpu.weight", "100\n");
	open_table(root);
	a = at_path("/a")->id;
	assert_int_equal(n_changed, 2);

	walk_round(2);
	assert_int_equal(n_changed, 2);

	make("/a/b");
	walk_round(1);
	assert_int_equal(n_changed, 3);
	b = at_path("/a/b")->id;
	assert_int_equal(at_path("/a/b")->parent, a);

	put("/a", "cpu.weight", "30\n");
	put("/a", "cpu.max", "1000 10000\n");
	walk_round(1);
	assert_int_equal(n_changed, 4);
	assert_int_equal(last.weight, 30);
	assert_int_equal(last.quota_us, 1000);
	assert_int_equal(last.id, a);

	/* A text that is no number leaves the default. */
	put("/a", "cpu.weight", "rubbish\n");
	walk_round(1);
	assert_int_equal(at_path("/a")->weight, 100);

	assert_true(cgroups_check(table, b));
	drop("/a/b");
	assert_false(cgroups_check(table, b));
	assert_int_equal(n_gone, 1);
	assert_int_equal(last_gone, b);
	assert_false(cgroups_check(table, b));
	assert_int_equal(n_gone, 1);
	drop("/a");
	walk_round(1);
	assert_int_equal(n_gone, 2);
	assert_int_equal(cgroups_count(table), 1);
}

/* The controller came for all at once; who runs is read again, up to who has it, and not always. */
static void cpu_in_doubt(void **state)
{
	uint64_t x, hog, inner, idle;

	make("/x");
	make("/x/hog");
	make("/x/hog/inner");
	make("/x/idle");
	open_table(root);
	x = at_path("/x")->id, hog = at_path("/x/hog")->id, inner = at_path("/x/hog/inner")->id, idle = at_path("/x/idle")->id;
	assert_true(cgroups_in_doubt(table, inner, 1000));
	assert_false(cgroups_in_doubt(table, cgroups_find(table, x)->parent, 1000));   /* the root has none, for sure */
	put("/x", "cpu.weight", "100\n");
	put("/x/hog", "cpu.weight", "100\n");
	put("/x/idle", "cpu.weight", "100\n");
	n_changed = 0;
	assert_true(cgroups_check_cpu(table, inner, 1000));
	assert_int_equal(n_changed, 1);
	assert_int_equal(last.id, hog);
	assert_true(last.flags & GROUP_CAN_WEIGHT);
	assert_false(cgroups_find(table, x)->flags & GROUP_CAN_WEIGHT);         /* the nearest is what counts */
	assert_false(cgroups_in_doubt(table, hog, 1000 + CGROUPS_DOUBT));
	assert_true(cgroups_in_doubt(table, idle, 1000));

	put("/x/hog/inner", "cpu.weight", "100\n");
	assert_false(cgroups_in_doubt(table, inner, 1000 + CGROUPS_DOUBT - 1));
	assert_true(cgroups_check_cpu(table, inner, 1000 + CGROUPS_DOUBT - 1));
	assert_int_equal(n_changed, 1);
	assert_true(cgroups_check_cpu(table, inner, 1000 + CGROUPS_DOUBT));
	assert_int_equal(last.id, inner);
	assert_true(last.flags & GROUP_CAN_WEIGHT);

	drop("/x/idle");
	assert_false(cgroups_check_cpu(table, idle, 1000));
	assert_int_equal(last_gone, idle);
	assert_false(cgroups_in_doubt(table, idle, 1000));
}

static void renamed_and_reused(void **state)
{
	char from[128], to[128];
	uint64_t a;

	make("/a");
	make("/a/x");
	open_table(root);
	a = at_path("/a")->id;
	snprintf(from, sizeof(from), "%s/sys/fs/cgroup/a", root);
	snprintf(to, sizeof(to), "%s/sys/fs/cgroup/b", root);
	assert_int_equal(rename(from, to), 0);
	make("/a");
	walk_round(3);
	assert_int_equal(cgroups_count(table), 4);
	assert_int_equal(at_path("/b")->id, a);
	assert_int_not_equal(at_path("/a")->id, a);
	assert_non_null(at_path("/b/x"));
	assert_null(at_path("/a/x"));
}

static void hostile_directories(void **state)
{
	static const char evil[] = "/x\n[31m\"'\\\xff.service";
	char path[1200];
	unsigned i, before;

	make(evil);
	open_table(root);
	assert_non_null(at_path(evil));
	assert_string_equal(at_path(evil)->name, evil + 1);

	/* A tree deeper than a path can be kept: seen, never a target, and no flapping. */
	path[0] = 0;
	for (i = 0; i < 5; i++) {
		strcat(path, "/");
		memset(path + strlen(path) + 200, 0, 1);
		memset(path + strlen(path), "abcde"[i], 200);
		make(path);
	}
	walk_round(2);
	assert_int_equal(cgroups_count(table), 5);
	before = n_changed;
	walk_round(4);
	assert_int_equal(n_changed, before);
	assert_int_equal(n_gone, 0);
	path[3 * 201] = 0;
	path[GROUP_PATH_MAX - 1] = 0;
	assert_true(at_path(path)->flags & GROUP_NO_TARGET);
}

static void symlinks_and_files_are_no_cgroups(void **state)
{
	char link[128];

	make("/a");
	put("/a", "b", "not a directory");
	snprintf(link, sizeof(link), "%s/sys/fs/cgroup/link", root);
	assert_int_equal(symlink("/", link), 0);
	open_table(root);
	assert_int_equal(cgroups_count(table), 2);
}

static void our_own(void **state)
{
	make("/ours");
	make("/ours/canary");
	make("/ours2");
	make("/late");
	open_table(root);
	assert_true(at_path("/ours")->flags & GROUP_IS_SELF);
	assert_true(at_path("/ours/canary")->flags & GROUP_IS_SELF);
	assert_false(at_path("/ours2")->flags & GROUP_IS_SELF);
	cgroups_add_self(table, "/late");
	walk_round(1);
	assert_true(at_path("/late")->flags & GROUP_IS_SELF);
}

static void names_from_the_steward_stay(void **state)
{
	static const char procs[5][COMM_MAX] = { "postgres", "a\nb", "", "x", "beyond" };
	uint64_t id;

	make("/docker");
	open_table(root);
	id = at_path("/docker")->id;
	assert_int_equal(cgroups_set_name(table, id, "web-1"), 0);
	assert_int_equal(n_changed, 3);
	assert_int_equal(cgroups_set_name(table, id, "web-1"), 0);
	assert_int_equal(n_changed, 3);
	assert_int_equal(cgroups_set_procs(table, id, procs, 5), 0);
	assert_int_equal(cgroups_set_procs(table, id, procs, 5), 0);
	assert_int_equal(n_changed, 4);
	walk_round(2);
	assert_int_equal(n_changed, 4);
	assert_string_equal(cgroups_find(table, id)->name, "web-1");
	assert_string_equal(cgroups_find(table, id)->procs[1], "a\nb");
	assert_int_equal(cgroups_set_name(table, 4711, "x"), -ENOENT);
	assert_int_equal(cgroups_set_procs(table, 4711, procs, 1), -ENOENT);
}

static void born_about_now(void **state)
{
	struct timespec t;
	usec_t now;

	make("/a");
	open_table(root);
	clock_gettime(CLOCK_BOOTTIME, &t);
	now = (usec_t)t.tv_sec * USEC_PER_SEC;
	assert_in_range(at_path("/a")->born, now - 20 * USEC_PER_SEC, now + 2 * USEC_PER_SEC);
}

static void more_than_the_table_holds(void **state)
{
	char path[128];
	unsigned i;

	for (i = 0; i < CGROUPS_MAX + 20; i++) {
		snprintf(path, sizeof(path), "/g%u", i);
		make(path);
	}
	open_table(root);
	assert_int_equal(cgroups_count(table), CGROUPS_MAX);
	assert_int_equal(cgroups_refused(table), 21);
	/* Room comes back. */
	for (i = 0; i < 200; i++) {
		snprintf(path, sizeof(path), "%s/sys/fs/cgroup/g%u", root, i);
		assert_int_equal(rmdir(path), 0);
	}
	for (i = 0; i < 60 && cgroups_refused(table); i++)
		cgroups_step(table, USEC_PER_SEC);
	assert_int_equal(cgroups_refused(table), 0);
	for (i = 0; i < 60 && cgroups_count(table) != CGROUPS_MAX + 20 - 200 + 1; i++)
		cgroups_step(table, USEC_PER_SEC);
	assert_int_equal(cgroups_count(table), CGROUPS_MAX + 20 - 200 + 1);
}

static void nothing_there(void **state)
{
	const struct cgroups_config config = { .root = "tests/roots/none" };
	struct cgroups *c;

	assert_int_equal(cgroups_new(&config, &c), -ENOENT);
	assert_null(cgroups_free(NULL));
}

#define IN_TREE(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names), cmocka_unit_test(uids), cmocka_unit_test(a_v2_machine), cmocka_unit_test(a_hybrid_machine),
		cmocka_unit_test(a_v1_machine), cmocka_unit_test(nothing_there),
		IN_TREE(coming_changing_going), IN_TREE(cpu_in_doubt), IN_TREE(renamed_and_reused), IN_TREE(hostile_directories),
		IN_TREE(symlinks_and_files_are_no_cgroups), IN_TREE(our_own), IN_TREE(names_from_the_steward_stay),
		IN_TREE(born_about_now), IN_TREE(more_than_the_table_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
