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
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"
#include "core/action.h"
#include "sense/sampler.h"

static char root[64];
static struct snapshot snap;
static struct sampler *s;
static unsigned n_changed;

static usec_t boottime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (usec_t)t.tv_sec * USEC_PER_SEC + (usec_t)t.tv_nsec / 1000;
}

static void changed(const struct group_info *info, void *userdata)
{
	n_changed++;
}

static void copy_root(const char *from)
{
	char cmd[256];

	strcpy(root, "/tmp/test-sampler.XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(cmd, sizeof(cmd), "cp -r tests/roots/%s/. %s", from, root);
	assert_int_equal(system(cmd), 0);
}

static int clean(void **state)
{
	char cmd[256];

	s = sampler_free(s);
	if (!root[0])
		return 0;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	root[0] = 0;
	return system(cmd);
}

static void put(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void start(void)
{
	const struct sampler_config config = { .root = root, .probe = SAMPLER_PROBE_NEVER, .changed = changed, .self = { "/ours" } };

	n_changed = 0;
	assert_int_equal(sampler_new(&config, boottime(), &s), 0);
}

static const struct group_sample *sample(const char *path)
{
	const struct group_info *g;
	unsigned i;

	for (i = 0; i < snap.n_groups; i++) {
		g = cgroups_find(sampler_cgroups(s), snap.groups[i].id);
		if (g && strcmp(g->path, path) == 0)
			return &snap.groups[i];
	}
	return NULL;
}

static uint64_t id_of(const char *path)
{
	unsigned i;

	for (i = 0; i < CGROUPS_MAX; i++)
		if (cgroups_at(sampler_cgroups(s), i) && strcmp(cgroups_at(sampler_cgroups(s), i)->path, path) == 0)
			return cgroups_at(sampler_cgroups(s), i)->id;
	fail_msg("no %s", path);
	return 0;
}

static bool is_missing(const char *name)
{
	const struct missing *m;
	unsigned i, n = sampler_missing(s, &m);

	for (i = 0; i < n; i++)
		if (strcmp(m[i].name, name) == 0)
			return m[i].what[0] != 0;
	return false;
}

static void calm_is_one_number(void **state)
{
	usec_t now;

	copy_root("v2");
	start();
	now = boottime();
	put("/proc/pressure/cpu", "some total=9000000\nfull total=0\n");
	assert_int_equal(sampler_calm(s, now + 10, &snap), 0);
	put("/proc/pressure/cpu", "some total=9050000\nfull total=0\n");
	assert_int_equal(sampler_calm(s, now + 10 + 250000, &snap), 0);
	assert_int_equal(snap.window, 250000);
	assert_int_equal(snap.machine.cpu_some, 2000);
	assert_int_equal(snap.machine.user, -1);
	assert_int_equal(snap.n_groups, 0);
	assert_int_equal(snap.canary.wall_us, -1);
	assert_int_equal(snap.pressure, PRESSURE_PSI);
	assert_int_equal(snap.source, GROUP_SOURCE_NONE);
}

/* A disk that everybody waits for, or a host that takes time away, needs no busy CPU: seen in calm, over five seconds. */
static void calm_sees_trouble_that_lasts(void **state)
{
	usec_t now;

	copy_root("v2");
	start();
	now = boottime();
	put("/proc/pressure/io", "some total=60778796\nfull total=14555949\n");
	put("/proc/stat", "cpu  248277 9264 122829 256952 1403 0 3703 1097 0 0\ncpu0 1\ncpu1 1\nprocesses 9620300\nprocs_running 4\nprocs_blocked 3\n");
	assert_int_equal(sampler_calm(s, now + SAMPLER_WIDE_EVERY / 2, &snap), 0);
	assert_int_equal(snap.machine.io_full, -1);
	assert_int_equal(sampler_calm(s, now + SAMPLER_WIDE_EVERY + 1000, &snap), 1);
	assert_in_range(snap.machine.io_full, 5900, 6000);
	assert_in_range(snap.machine.io_some, 7900, 8000);
	assert_int_equal(snap.machine.mem_full, 0);
	assert_int_equal(snap.machine.steal, 2000);
	assert_int_equal(snap.machine.irq, 0);
	assert_int_equal(snap.machine.blocked, 3);
	assert_int_equal(snap.machine.tasks, 168);
	assert_int_equal(snap.machine.forks, -1);
	assert_int_equal(snap.n_groups, 0);
	assert_int_equal(sampler_calm(s, now + SAMPLER_WIDE_EVERY + 251000, &snap), 0);
	assert_int_equal(snap.machine.io_full, -1);
	assert_int_equal(snap.machine.steal, -1);
}

static void alarm_without_probe(void **state)
{
	const struct group_sample *g;
	uint64_t ids[2];
	usec_t now;

	copy_root("v2");
	start();
	assert_int_equal(n_changed, 13);
	assert_true(is_missing("probe-off"));
	assert_false(is_missing("pressure-off"));
	assert_false(sampler_probed(s));

	ids[0] = id_of("/shop.slice/postgresql@15-main.service");
	ids[1] = id_of("/system.slice/ssh.service");
	sampler_protect(s, ids, 2);
	assert_int_equal(sampler_want(s, SENSE_ALARM | SENSE_PROBE), 0);
	now = boottime();

	/* The docker scope used 80 ms, its slice 95 in all; the jail 10 of its unit's 30, the unit all of its slice's. */
	put("/sys/fs/cgroup/cpu.stat", "usage_usec 145000\n");
	put("/sys/fs/cgroup/system.slice/cpu.stat", "usage_usec 104000\n");
	put("/sys/fs/cgroup/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope/cpu.stat", "usage_usec 85000\n");
	put("/sys/fs/cgroup/shop.slice/cpu.stat", "usage_usec 33000\nthrottled_usec 54000\n");
	put("/sys/fs/cgroup/shop.slice/postgresql@15-main.service/cpu.stat", "usage_usec 32000\nthrottled_usec 4000\n");
	put("/sys/fs/cgroup/shop.slice/postgresql@15-main.service/jail/cpu.stat", "usage_usec 11500\nthrottled_usec 4000\n");
	put("/sys/fs/cgroup/shop.slice/postgresql@15-main.service/cpu.pressure", "some total=31000\nfull total=10\n");
	assert_int_equal(sampler_snapshot(s, now + 250000, &snap), 0);

	assert_int_equal(snap.source, GROUP_SOURCE_CPUSTAT);
	assert_true(snap.window >= 250000 && snap.window < 450000);
	g = sample("/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope");
	assert_int_equal(g->run_us, 80000);
	assert_int_equal(g->wait_us, 0);
	assert_int_equal(g->psi_some_us, -1);
	assert_int_equal(sample("/system.slice")->run_us, 15000);
	g = sample("/shop.slice/postgresql@15-main.service");
	assert_int_equal(g->run_us, 20000);
	assert_int_equal(g->psi_some_us, 30000);
	assert_int_equal(g->throttled_us, 50000);       /* by its slice */
	assert_int_equal(sample("/shop.slice/postgresql@15-main.service/jail")->run_us, 10000);
	assert_null(sample("/shop.slice"));              /* all of it was its children's */
	g = sample("/system.slice/ssh.service");         /* protected: there without having run */
	assert_int_equal(g->run_us, 0);
	assert_int_equal(g->throttled_us, 0);
	assert_int_equal(g->psi_some_us, 0);
	assert_null(sample("/user.slice"));
	assert_int_equal(snap.n_cpu, 0);

	/* Nobody protected any more: no files, no samples of the idle. */
	sampler_protect(s, NULL, 0);
	assert_int_equal(sampler_snapshot(s, now + 500000, &snap), 0);
	assert_null(sample("/system.slice/ssh.service"));
}

static void pids_come_round(void **state)
{
	uint64_t id;
	usec_t now;
	int i;

	copy_root("v2");
	start();
	id = id_of("/system.slice/ssh.service");
	sampler_protect(s, &id, 1);
	sampler_want(s, SENSE_ALARM | SENSE_PROBE);
	now = boottime();
	for (i = 1; i <= 8; i++)
		assert_int_equal(sampler_snapshot(s, now + (usec_t)i * 100000, &snap), 0);
	assert_int_equal(sample("/system.slice/ssh.service")->pids, 3);
}

static void a_new_group_is_told_in_time(void **state)
{
	char cmd[300];
	usec_t now;
	int i;

	copy_root("v2");
	start();
	sampler_want(s, SENSE_ALARM | SENSE_PROBE);
	now = boottime();
	snprintf(cmd, sizeof(cmd), "mkdir %s/sys/fs/cgroup/new.slice && echo 'usage_usec 5' >%s/sys/fs/cgroup/new.slice/cpu.stat", root, root);
	assert_int_equal(system(cmd), 0);
	for (i = 1; i <= 20; i++)
		assert_int_equal(sampler_snapshot(s, now + (usec_t)i * 100000, &snap), 0);
	assert_int_equal(n_changed, 14);
	put("/sys/fs/cgroup/new.slice/cpu.stat", "usage_usec 7005\n");
	put("/sys/fs/cgroup/cpu.stat", "usage_usec 27000\n");
	assert_int_equal(sampler_snapshot(s, now + 2200000, &snap), 0);
	assert_int_equal(sample("/new.slice")->run_us, 7000);
}

static void no_pressure_no_v2(void **state)
{
	copy_root("v1-nopsi");
	start();
	assert_true(is_missing("pressure-off"));
	assert_true(is_missing("pressure-groups"));
	assert_int_equal(sampler_pressure(s), PRESSURE_RUNQUEUE);
	assert_int_equal(sampler_calm(s, boottime() + 250000, &snap), 0);
	assert_int_equal(snap.pressure, PRESSURE_RUNQUEUE);
	assert_int_equal(snap.machine.cpu_some, 2500);
}

static void our_own_group(void **state)
{
	copy_root("v2");
	start();
	assert_true(cgroups_find(sampler_cgroups(s), id_of("/system.slice/reprieved.service/canary"))->flags & GROUP_IS_SELF);
	assert_false(cgroups_find(sampler_cgroups(s), id_of("/system.slice/ssh.service"))->flags & GROUP_IS_SELF);
}

static void nothing_to_sample(void **state)
{
	const struct sampler_config config = { .root = "tests/roots/none", .probe = SAMPLER_PROBE_NEVER };

	assert_int_equal(sampler_new(&config, boottime(), &s), -ENOENT);
	assert_null(sampler_free(NULL));
}

static pid_t only_child(void)
{
	char path[64], text[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_true(atoi(text) > 1);
	return atoi(text);
}

static void the_canary_gives_its_turns(void **state)
{
	const struct canary_config config = { .cpu = 3000 };
	struct canary_sample c;
	struct canary *canary;
	int i;

	assert_int_equal(canary_new(&config, &canary), 0);
	canary_read(canary, &c);
	assert_int_equal(c.wall_us, -1);
	canary_start(canary);
	canary_start(canary);           /* a second one before the end is the same one */
	for (i = 0; i < 500; i++) {
		usleep(10000);
		canary_read(canary, &c);
		if (c.wall_us >= 0)
			break;
	}
	assert_in_range(c.cpu_us, 3000, 8000);
	assert_true(c.wall_us >= c.cpu_us - 1000);
	for (i = 0; i < 500 && c.wall_us >= 0; i++) {
		usleep(10000);          /* on a loaded machine the first answer may have been "late" */
		canary_read(canary, &c);
	}
	assert_int_equal(c.wall_us, -1);

	/* Stopped or killed, it says nothing; a new one does. */
	assert_int_equal(canary_state(canary), CANARY_RUNS);
	kill(only_child(), SIGSTOP);
	for (i = 0; i < 500 && canary_state(canary) != CANARY_STOPPED; i++)
		usleep(10000);
	assert_int_equal(canary_state(canary), CANARY_STOPPED);
	canary_start(canary);
	usleep(60000);
	canary_read(canary, &c);
	assert_int_equal(c.wall_us, -1);
	assert_int_equal(canary_revive(canary), 0);
	assert_int_equal(canary_state(canary), CANARY_STOPPED);
	kill(only_child(), SIGKILL);
	for (i = 0; i < 500 && canary_state(canary) != CANARY_GONE; i++)
		usleep(10000);
	assert_int_equal(canary_state(canary), CANARY_GONE);
	canary_read(canary, &c);
	assert_int_equal(c.wall_us, -1);
	assert_int_equal(canary_revive(canary), 0);
	assert_int_equal(canary_state(canary), CANARY_RUNS);
	canary_start(canary);
	for (i = 0; i < 500 && c.wall_us < 0; i++) {
		usleep(10000);
		canary_read(canary, &c);
	}
	assert_in_range(c.cpu_us, 3000, 8000);
	assert_null(canary_free(canary));
}

static void a_canary_without_a_place(void **state)
{
	const struct canary_config config = { .dir = "/nonexistent/canary" };
	struct canary *canary;

	assert_int_equal(canary_new(&config, &canary), -ENOENT);
	assert_null(canary_free(NULL));
}

#define T(f) cmocka_unit_test_teardown(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(calm_is_one_number), T(calm_sees_trouble_that_lasts), T(alarm_without_probe), T(pids_come_round), T(a_new_group_is_told_in_time),
		T(no_pressure_no_v2), T(our_own_group), T(nothing_to_sample), T(the_canary_gives_its_turns), T(a_canary_without_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
