/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "sys/owngroup.h"
#include "sys/root.h"
#include "sys/rt.h"
#include "sys/sandbox.h"
#include "unit/needs.h"

/* Runs fn in a child process, as it changes what cannot be changed back. */
static int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(fn());
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

#define REQUIRE(x) do { if (!(x)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); return 1; } } while (0)

static char g_dir[] = "/tmp/reprieve-rt-XXXXXX";

static bool rt_groups(void)
{
	char mount[OWNGROUP_PATH_MAX], path[OWNGROUP_PATH_MAX + 32];
	bool v2;

	if (owngroup_mount(mount, sizeof(mount), &v2) < 0 || v2)
		return false;
	snprintf(path, sizeof(path), "%s/cpu.rt_runtime_us", mount);
	return faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

static int raised(void)
{
	struct rt_report rep;
	int d = root_open(g_dir);
	struct rlimit limit;

	rt_raise(d, &rep);
	REQUIRE(rep.locked == (rep.locked_text[0] == '\0'));
	REQUIRE(rep.oom == (rep.oom_text[0] == '\0'));
	REQUIRE((rep.scheduling == RT_FIFO_BUDGET) >= (rep.budget_text[0] != '\0'));
	REQUIRE((rep.scheduling == RT_FIFO || rep.scheduling == RT_FIFO_BUDGET) == (rep.scheduling_text[0] == '\0'));
	if (rep.scheduling != RT_FIFO && rep.scheduling != RT_FIFO_BUDGET)
		return 0;               /* the machine refuses: it said so */
	REQUIRE(sched_getscheduler(0) == (SCHED_FIFO | SCHED_RESET_ON_FORK));
	REQUIRE(getrlimit(RLIMIT_RTTIME, &limit) == 0 && limit.rlim_cur == RT_BUDGET);
	/* A child is ordinary. */
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(sched_getscheduler(0) == SCHED_OTHER ? 0 : 1);
	waitpid(pid, &status, 0);
	REQUIRE(status == 0);
	/* A loop that runs wild is made ordinary and lives. */
	REQUIRE(!rt_fell_back());
	struct timespec t0, t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
	do
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	while ((t.tv_sec - t0.tv_sec) * 1000 + (t.tv_nsec - t0.tv_nsec) / 1000000 < 2000 && sched_getscheduler(0) != SCHED_OTHER);
	REQUIRE(sched_getscheduler(0) == SCHED_OTHER);
	REQUIRE(rt_fell_back());
	REQUIRE(!rt_fell_back());
	REQUIRE(rt_again() == 0);
	REQUIRE(rt_restore(d) == 0);
	return 0;
}

static int begun(void)
{
	int status;
	pid_t pid;

	(void)setpriority(PRIO_PROCESS, 0, 0);
	rt_begin();
	REQUIRE(geteuid() != 0 || sched_getscheduler(0) == (SCHED_FIFO | SCHED_RESET_ON_FORK) || getpriority(PRIO_PROCESS, 0) == -20);
	pid = fork();
	if (pid == 0)
		_exit(sched_getscheduler(0) == SCHED_OTHER && getpriority(PRIO_PROCESS, 0) == 0 ? 0 : 1);
	waitpid(pid, &status, 0);
	REQUIRE(status == 0);
	return 0;
}

static void begin_at_once(void **state)
{
	assert_int_equal(in_child(begun), 0);
}

static void raise_in_place(void **state)
{
	assert_int_equal(in_child(raised), 0);
}

/* In a cgroup below the root of a RT_GROUP_SCHED kernel: budget given, written down;
 * the process is killed, and another one puts it back. */
static struct owngroup g_group;

static int raised_in_group(void)
{
	struct rt_report rep;
	int d = root_open(g_dir);

	REQUIRE(owngroup_enter(&g_group) == 0);
	rt_raise(d, &rep);
	REQUIRE(rep.scheduling == RT_FIFO_BUDGET);
	REQUIRE(strstr(rep.budget_text, "50000 in 1 cgroup (/reprieve-test-rt and") != NULL);
	(void)raise(SIGKILL);
	return 0;
}

static int budgeted(void)
{
	char path[OWNGROUP_PATH_MAX + 32];
	int d = root_open(g_dir);
	int64_t v = -2;

	REQUIRE(owngroup_make(&g_group, "reprieve-test-rt", 100) == 0);
	snprintf(path, sizeof(path), "%s", g_group.path);
	REQUIRE(root_read_i64(g_group.dirfd, "cpu.rt_runtime_us", &v) == 0 && v == 0);
	REQUIRE(owngroup_enter(&g_group) == 0);
	REQUIRE(in_child(begun) == 0);          /* without a budget: nice */
	REQUIRE(root_read_i64(g_group.dirfd, "cpu.rt_runtime_us", &v) == 0 && v == 0);
	REQUIRE(in_child(raised_in_group) == 100 + SIGKILL);
	REQUIRE(in_child(begun) == 0);          /* in the small one that was left: nice */
	REQUIRE(root_read_i64(g_group.dirfd, "cpu.rt_runtime_us", &v) == 0 && v == RT_RUNTIME_US);
	REQUIRE(faccessat(d, RT_FILE, F_OK, 0) == 0);
	REQUIRE(rt_restore(d) == 0);
	REQUIRE(root_read_i64(g_group.dirfd, "cpu.rt_runtime_us", &v) == 0 && v == 0);
	REQUIRE(faccessat(d, RT_FILE, F_OK, 0) < 0);
	REQUIRE(rt_restore(d) == 0);
	owngroup_remove(&g_group);
	REQUIRE(faccessat(AT_FDCWD, path, F_OK, 0) < 0);
	return 0;
}

static void raise_with_budget(void **state)
{
	if (geteuid() != 0)
		needs("root");
	if (!rt_groups())
		needs("rt-group-sched");
	assert_int_equal(in_child(budgeted), 0);
}

/* A file that is broken or names what is gone does not stop the restore. */
static void restore_takes_anything(void **state)
{
	static const char text[] = "garbage\n0 /sys/fs/cgroup/cpu/reprieve-no-such/cpu.rt_runtime_us\n\n-1\n";
	int d = root_open(g_dir);

	assert_int_equal(root_replace_file(d, RT_FILE, text, strlen(text), 0600), 0);
	assert_int_equal(rt_restore(d), 0);
	assert_false(faccessat(d, RT_FILE, F_OK, 0) == 0);
	close(d);
}

static void only_budgets_are_restored(void **state)
{
	static const struct { const char *line; int r; int64_t v; } lines[] = {
		{ "0 /a/cpu.rt_runtime_us", 0, 0 }, { "950000 /a/b c/cpu.rt_runtime_us", 0, 950000 }, { "-1 /cpu.rt_runtime_us", 0, -1 },
		{ "", -EBADMSG, 0 }, { "0", -EBADMSG, 0 }, { "0 ", -EBADMSG, 0 }, { "0 /etc/passwd", -EBADMSG, 0 }, { "-2 /cpu.rt_runtime_us", -EBADMSG, 0 },
		{ " 0 /cpu.rt_runtime_us", -EBADMSG, 0 }, { "0 a/cpu.rt_runtime_us", -EBADMSG, 0 }, { "0 /a/../cpu.rt_runtime_us", -EBADMSG, 0 },
		{ "0 /xcpu.rt_runtime_us", -EBADMSG, 0 }, { "99999999999999999999 /cpu.rt_runtime_us", -EBADMSG, 0 },
	};
	char other[64], file[64], text[256], back[16];
	const char *path;
	int64_t v;
	int d = root_open(g_dir);

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(rt_parse_line(lines[i].line, &v, &path), lines[i].r);
		if (lines[i].r == 0)
			assert_true(v == lines[i].v && path == strchr(lines[i].line, '/'));
	}
	/* Deepest first, also where the record's last line has no end; nothing else is written to. */
	snprintf(other, sizeof(other), "%s/other", g_dir);
	snprintf(file, sizeof(file), "%s/cpu.rt_runtime_us", g_dir);
	assert_int_equal(root_replace_file(AT_FDCWD, other, "kept", 4, 0600), 0);
	assert_int_equal(root_replace_file(AT_FDCWD, file, "50000", 5, 0600), 0);
	snprintf(text, sizeof(text), "7 %s\n77777 %s", other, file);
	assert_int_equal(root_replace_file(d, RT_FILE, text, strlen(text), 0600), 0);
	assert_int_equal(rt_restore(d), 0);
	assert_true(root_read_file(AT_FDCWD, other, back, sizeof(back)) > 0);
	assert_string_equal(back, "kept");
	assert_true(root_read_file(AT_FDCWD, file, back, sizeof(back)) > 0);
	assert_string_equal(back, "77777");
	(void)unlink(other);
	(void)unlink(file);
	close(d);
}

static void own_group(void **state)
{
	struct owngroup g = OWNGROUP_INIT;
	char buf[64];
	int r;

	owngroup_remove(&g);
	assert_int_equal(owngroup_enter(&g), -ENOENT);
	if (geteuid() != 0)
		needs("root");
	r = owngroup_make(&g, "reprieve-test-own", 500);
	if (r == -EOPNOTSUPP || r == -EROFS || r == -ENOENT)
		needs("cgroup-cpu");
	assert_int_equal(r, 0);
	if (faccessat(g.dirfd, "cpu.shares", F_OK, 0) == 0) {
		assert_true(root_read_file(g.dirfd, "cpu.shares", buf, sizeof(buf)) > 0);
		assert_string_equal(buf, "5120\n");
	}
	/* Taken again, and removed with a process still in it. */
	struct owngroup again;

	assert_int_equal(owngroup_make(&again, "reprieve-test-own", 500), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)owngroup_enter(&g);
		pause();
		_exit(0);
	}
	for (int i = 0; i < 200; i++) {
		if (root_read_file(g.dirfd, "cgroup.procs", buf, sizeof(buf)) > 0)
			break;
		usleep(10000);
	}
	assert_int_equal(atoi(buf), pid);
	owngroup_remove(&again);
	assert_int_equal(access(g.path, F_OK), -1);
	close(g.dirfd);
	close(g.procs_fd);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int dropped(void)
{
	char *argv[] = { "/bin/true", NULL };
	char text[4096];
	int r;

	REQUIRE(sandbox_drop("no-such-user-at-all") == 0);
	REQUIRE(geteuid() != 0);
	REQUIRE(setuid(0) < 0);
	REQUIRE(root_read_file(AT_FDCWD, "/proc/self/status", text, sizeof(text)) > 0);
	REQUIRE(strstr(text, "CapEff:\t0000000000000000") != NULL && strstr(text, "CapBnd:\t0000000000000000") != NULL);
	REQUIRE(strstr(text, "NoNewPrivs:\t1") != NULL);
	r = sandbox_seccomp();
	if (r == -EOPNOTSUPP)
		return 0;
	REQUIRE(r == 0);
	REQUIRE(execv("/bin/true", argv) < 0 && errno == EPERM);
	REQUIRE(open("/dev/null", O_RDONLY) >= 0);
	return 0;
}

static void sandbox(void **state)
{
	if (geteuid() != 0)
		needs("root");
	assert_int_equal(in_child(dropped), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begin_at_once), cmocka_unit_test(raise_in_place), cmocka_unit_test(raise_with_budget), cmocka_unit_test(restore_takes_anything), cmocka_unit_test(only_budgets_are_restored),
		cmocka_unit_test(own_group), cmocka_unit_test(sandbox),
	};
	int r;

	if (mkdtemp(g_dir) == NULL)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(g_dir);
	return r;
}
