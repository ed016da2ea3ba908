/* SPDX-License-Identifier: Apache-2.0 */
/* Against the real /proc, with a directory of ours that looks like a cgroup: the list
 * of tasks is a file, everything else is the kernel's. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "steward/rank.h"
#include "sys/loop.h"
#include "sys/root.h"

static struct names *names;
static struct rank r;
static struct talk_ranked ranked;
static struct talk_globs globs;
static char g_dir[] = "/tmp/reprieve-rank-XXXXXX";
static int d;

enum kind { SPIN, SLEEP, CHURN };

static pid_t make(const char *comm, enum kind kind)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, comm);
	for (;;) {
		if (kind == SLEEP)
			pause();
		if (kind == CHURN) {
			pid_t c = fork();

			if (c == 0) {
				for (volatile int i = 0; i < 2000000; i++)
					;
				_exit(0);
			}
			waitpid(c, NULL, 0);
		}
	}
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void put_tasks(const char *file, const pid_t *pids, int n)
{
	char text[4096] = "";

	for (int i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d\n", pids[i]);
	assert_int_equal(root_replace_file(d, file, text, strlen(text), 0644), 0);
}

static void rank_for(bool deep, usec_t window)
{
	struct talk_rank q = { .group = 42, .deep = deep };

	strcpy(q.dir, g_dir);
	assert_int_equal(rank_begin(&r, names, &q, loop_clock()), 0);
	usleep((useconds_t)window);
	assert_int_equal(rank_end(&r, names, &globs, loop_clock(), &ranked), 0);
	assert_int_equal(ranked.group, 42);
}

static void rank_now(bool deep)
{
	rank_for(deep, RANK_WINDOW / 5);
}

/* The one expected runs without pause, but on a machine full of tests it may not get a
 * CPU in one window. */
static void rank_until(bool deep, pid_t first)
{
	for (int i = 0; i < 10; i++) {
		rank_now(deep);
		if (ranked.n > 0 && ranked.tasks[0].tid == first && ranked.tasks[0].cpu_pm > 0)
			return;
	}
}

static int cleanup(void **state)
{
	(void)unlinkat(d, "tasks", 0);
	(void)unlinkat(d, "cgroup.threads", 0);
	(void)unlinkat(d, "sub/tasks", 0);
	(void)unlinkat(d, "sub", AT_REMOVEDIR);
	globs.n = 0;
	return 0;
}

static void the_one_that_runs_is_first(void **state)
{
	pid_t p[3] = { make("sleepy", SLEEP), make("hog\n\x1b[m", SPIN), make("churner", CHURN) };

	put_tasks("tasks", p, 3);
	/* On a machine that others load, a window may pass in which one of them does not run at all. */
	for (int turn = 0; turn < 20; turn++) {
		rank_for(false, RANK_WINDOW);
		assert_int_equal(ranked.n, 3);
		if (ranked.tasks[0].cpu_pm > 50 && ranked.tasks[1].cpu_pm > 50)
			break;
	}
	assert_int_equal(ranked.seen, 3);
	/* The churner's own time is little: its children are counted. */
	assert_int_equal(ranked.tasks[2].pid, p[0]);
	assert_in_range(ranked.tasks[2].cpu_pm, 0, 49);
	assert_true(ranked.tasks[0].cpu_pm > 50 && ranked.tasks[1].cpu_pm > 50);
	for (int i = 0; i < 2; i++)
		if (ranked.tasks[i].pid == p[1])
			assert_string_equal(ranked.tasks[i].comm, "hog\n\x1b[m");       /* as the kernel has it */
	assert_int_equal(ranked.tasks[0].policy, 0);
	assert_true(ranked.tasks[0].start > 0);
	for (int i = 0; i < 3; i++)
		end(p[i]);
}

static void keep(void **state)
{
	pid_t p[2] = { make("postgres", SPIN), make("batch", SLEEP) };

	put_tasks("cgroup.threads", p, 2);      /* v2's name of the file */
	globs.n = 1;
	strcpy(globs.text[0], "postg*");
	rank_until(false, p[0]);
	assert_int_equal(ranked.n, 2);
	assert_int_equal(ranked.tasks[0].pid, p[0]);
	assert_true(ranked.tasks[0].keep);
	assert_false(ranked.tasks[1].keep);
	put_tasks("cgroup.threads", p, 1);      /* alone: what that means is the engine's to say */
	rank_now(false);
	assert_int_equal(ranked.n, 1);
	assert_true(ranked.tasks[0].keep);
	end(p[0]);
	end(p[1]);
}

static void what_is_gone_is_left_out(void **state)
{
	pid_t p[2] = { make("a", SLEEP), make("b", SLEEP) };
	struct talk_rank q = { .dir = "/no/such/cgroup" };

	assert_int_equal(rank_begin(&r, names, &q, 0), -ENOENT);
	put_tasks("tasks", p, 2);
	end(p[0]);
	rank_now(false);
	assert_int_equal(ranked.n, 1);
	assert_int_equal(ranked.tasks[0].pid, p[1]);
	put_tasks("tasks", p, 0);
	rank_now(false);
	assert_int_equal(ranked.n, 0);
	end(p[1]);
}

static void children_of_the_cgroup(void **state)
{
	pid_t p[2] = { make("top", SLEEP), make("below", SPIN) };
	char text[32];

	put_tasks("tasks", p, 1);
	assert_int_equal(mkdirat(d, "sub", 0755), 0);
	snprintf(text, sizeof(text), "%d\n", p[1]);
	assert_int_equal(root_replace_file(d, "sub/tasks", text, strlen(text), 0644), 0);
	rank_now(false);
	assert_int_equal(ranked.n, 1);
	rank_until(true, p[1]);
	assert_int_equal(ranked.n, 2);
	assert_int_equal(ranked.tasks[0].pid, p[1]);
	end(p[0]);
	end(p[1]);
}

static volatile int g_stop, g_tid;

static void *spin(void *arg)
{
	prctl(PR_SET_NAME, "worker");
	g_tid = (int)syscall(SYS_gettid);
	while (!g_stop)
		;
	return NULL;
}

/* Of a process with a busy thread, the thread is named, with its own figures. */
static void threads(void **state)
{
	pid_t p[2] = { getpid() };
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, spin, NULL), 0);
	while (g_tid == 0)
		usleep(1000);
	p[1] = g_tid;
	put_tasks("tasks", p, 2);
	globs.n = 1;
	strcpy(globs.text[0], "worker");
	rank_until(false, p[1]);
	assert_int_equal(ranked.n, 2);
	assert_int_equal(ranked.tasks[0].tid, p[1]);
	assert_int_equal(ranked.tasks[0].pid, p[0]);
	assert_string_equal(ranked.tasks[0].comm, "worker");
	assert_true(ranked.tasks[0].keep);
	assert_false(ranked.tasks[1].keep);
	assert_true(ranked.tasks[0].cpu_pm > 2 * ranked.tasks[1].cpu_pm);
	g_stop = 1;
	pthread_join(t, NULL);
}

/* More than are looked at: bounded, and it says how many there were. */
static void bounded(void **state)
{
	static char text[RANK_TASKS_MAX * 16];
	size_t n = 0;
	int lines = 0;

	while (n + 16 < sizeof(text)) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%d\n", getpid());
		lines++;
	}
	assert_int_equal(root_replace_file(d, "tasks", text, n, 0644), 0);
	rank_now(false);
	assert_int_equal(ranked.n, MAX_TASKS);
	assert_true(ranked.seen > RANK_TASKS_MAX);
	assert_true((int)ranked.seen <= lines);
}

static int g_rows;
static struct talk_found_row g_found;

static void found(const struct talk_found_row *row, void *data)
{
	g_rows++;
	g_found = *row;
}

static void find(void **state)
{
	char name[16];                          /* ours alone: the tests may run twice on a machine */
	pid_t p[3];

	snprintf(name, sizeof(name), "rpv%d-x", getpid());
	p[0] = make(name, SLEEP);
	p[1] = make(name, SLEEP);
	p[2] = make("a-name-longer-t", SLEEP);
	usleep(50000);
	globs.n = 1;
	snprintf(globs.text[0], sizeof(globs.text[0]), "rpv%d-?", getpid());
	assert_int_equal(rank_find(names, "cpu", &globs, found, NULL), 0);
	if (g_rows == 0)                        /* cpu is on v2 here */
		assert_int_equal(rank_find(names, "", &globs, found, NULL), 0);
	assert_int_equal(g_rows, 1);            /* two of one name in one cgroup: once */
	assert_string_equal(g_found.comm, name);
	assert_int_equal(g_found.path[0], '/');
	strcpy(globs.text[0], "a-name-longer-than-15");
	g_rows = 0;
	assert_int_equal(rank_find(names, "", &globs, found, NULL), 0);
	assert_in_range(g_rows, 1, 2);
	for (int i = 0; i < 3; i++)
		end(p[i]);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, cleanup)
	const struct CMUnitTest tests[] = {
		T(the_one_that_runs_is_first), T(keep), T(what_is_gone_is_left_out), T(threads), T(children_of_the_cgroup),
		T(bounded), T(find),
	};
	int code;

	if (mkdtemp(g_dir) == NULL || names_new(&names) < 0)
		return 1;
	d = root_open(g_dir);
	code = cmocka_run_group_tests(tests, NULL, NULL);
	names = names_free(names);
	close(d);
	rmdir(g_dir);
	return code;
}
