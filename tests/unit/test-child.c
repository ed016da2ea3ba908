/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/child.h"

static struct loop l;
static struct child c;
static int g_ends, g_code, g_status;

static void ended(struct child *ch, int code, int status, void *data)
{
	g_ends++;
	g_code = code;
	g_status = status;
	assert_int_equal(ch->pid, 0);
}

static int setup(void **state)
{
	g_ends = 0;
	c = CHILD_INIT;
	return loop_init(&l);
}

static int teardown(void **state)
{
	child_stop(&c, USEC_PER_SEC);
	loop_deinit(&l);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);       /* nothing is left */
	assert_int_equal(errno, ECHILD);
	return 0;
}

static void until_ends(int n)
{
	for (int i = 0; g_ends < n && i < 100; i++)
		assert_int_equal(loop_turn(&l, 100), 0);
	assert_int_equal(g_ends, n);
}

static void exit_code_and_env(void **state)
{
	char *argv[] = { "/bin/sh", "-c", "test -z \"$SECRET\" && test \"$LANG\" = C && exit 7", NULL };
	struct child_spec s = { .argv = argv, .ended = ended };

	setenv("SECRET", "1", 1);
	assert_int_equal(child_start(&c, &l, &s), 0);
	until_ends(1);
	assert_int_equal(g_code, CLD_EXITED);
	assert_int_equal(g_status, 7);
	assert_int_equal(child_signal(&c, SIGTERM), -ESRCH);
}

/* Only the fds that were named, in order, even where their numbers cross; no more. */
static void fds_are_clean(void **state)
{
	char *argv[] = { "/bin/sh", "-c", "read a <&3 && read b <&4 && test \"$a$b\" = onetwo && ! test -e /proc/self/fd/9 && "
			 "! (: <&9) 2>/dev/null && ! (: <&5) 2>/dev/null", NULL };
	struct child_spec s = { .argv = argv, .ended = ended, .n_fds = 2 };
	int one[2], two[2], high;

	assert_int_equal(pipe2(one, O_CLOEXEC), 0);
	assert_int_equal(pipe2(two, O_CLOEXEC), 0);
	assert_int_equal(write(one[1], "one\n", 4), 4);
	assert_int_equal(write(two[1], "two\n", 4), 4);
	high = dup2(one[0], 9);                 /* no CLOEXEC: would leak */
	s.fds[0] = one[0];
	s.fds[1] = two[0];
	if (one[0] < two[0]) {                  /* make the numbers cross: 4 -> fd 3, 3 -> fd 4 */
		int x = fcntl(one[0], F_DUPFD_CLOEXEC, 100);

		s.fds[0] = x;
	}
	assert_int_equal(child_start(&c, &l, &s), 0);
	until_ends(1);
	assert_int_equal(g_code, CLD_EXITED);
	assert_int_equal(g_status, 0);
	close(high);
	if (s.fds[0] != one[0])
		close(s.fds[0]);
	for (int i = 0; i < 2; i++) {
		close(one[i]);
		close(two[i]);
	}
}

static void no_such_program(void **state)
{
	char *argv[] = { "/no/such/program", NULL };
	struct child_spec s = { .argv = argv, .ended = ended };

	assert_int_equal(child_start(&c, &l, &s), 0);
	until_ends(1);
	assert_int_equal(g_status, CHILD_EXEC_FAILED);
}

static int refuse(void *data)
{
	return -EPERM;
}

static void enter_can_refuse(void **state)
{
	char *argv[] = { "/bin/true", NULL };
	struct child_spec s = { .argv = argv, .ended = ended, .enter = refuse };

	assert_int_equal(child_start(&c, &l, &s), 0);
	until_ends(1);
	assert_int_equal(g_status, CHILD_EXEC_FAILED);
}

/* Blocked and ignored signals of the parent are not the child's. */
static void killed_and_restarted(void **state)
{
	char *argv[] = { "/bin/sleep", "100", NULL };
	struct child_spec s = { .argv = argv, .ended = ended, .restart = true };
	sigset_t set;
	usec_t t0;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	assert_int_equal(child_start(&c, &l, &s), 0);
	assert_int_equal(child_signal(&c, SIGTERM), 0);
	t0 = loop_clock();
	until_ends(1);
	assert_int_equal(g_code, CLD_KILLED);
	assert_int_equal(g_status, SIGTERM);
	while (c.pid == 0)
		assert_int_equal(loop_turn(&l, 2000), 0);
	assert_true(loop_clock() - t0 >= CHILD_BACKOFF_MIN);
	assert_int_equal(c.starts, 2);
	assert_int_equal(c.backoff, CHILD_BACKOFF_MIN);
	child_stop(&c, USEC_PER_SEC);
	assert_int_equal(g_ends, 2);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void dies_with_its_parent(void **state)
{
	int p[2], status;
	pid_t pid, grandchild = 0;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		char *argv[] = { "/bin/sleep", "100", NULL };
		struct child_spec s = { .argv = argv };

		close(p[0]);
		if (loop_init(&l) == 0 && child_start(&c, &l, &s) == 0) {
			usleep(300000);         /* let it get past exec */
			(void)!write(p[1], &c.pid, sizeof(c.pid));
		}
		_exit(0);
	}
	close(p[1]);
	assert_int_equal(read(p[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
	waitpid(pid, &status, 0);
	for (int i = 0; i < 100 && kill(grandchild, 0) == 0; i++) {
		char path[64], buf[256] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", grandchild);
		f = fopen(path, "r");
		if (f != NULL) {
			(void)!fread(buf, 1, sizeof(buf) - 1, f);
			fclose(f);
		}
		if (strstr(buf, ") Z ") != NULL) {      /* dead; whoever took it over reaps it */
			close(p[0]);
			return;
		}
		usleep(20000);
	}
	assert_int_equal(kill(grandchild, 0), -1);
	close(p[0]);
}

static void stop_kills_the_stubborn(void **state)
{
	char *argv[] = { "/bin/sh", "-c", "trap '' TERM; echo > /dev/null; while :; do sleep 0.05; done", NULL };
	struct child_spec s = { .argv = argv, .ended = ended, .restart = true };

	assert_int_equal(child_start(&c, &l, &s), 0);
	usleep(200000);
	child_stop(&c, 100 * USEC_PER_MSEC);
	assert_int_equal(g_ends, 1);
	assert_int_equal(g_status, SIGKILL);
}

/* Asked first, waited for again: it may end by itself, and does. */
static void asked_and_given_time(void **state)
{
	char *argv[] = { "/bin/sh", "-c", "trap 'sleep 0.3; exit 5' TERM; while :; do sleep 0.01; done", NULL };
	struct child_spec s = { .argv = argv, .ended = ended, .restart = true };

	assert_int_equal(child_start(&c, &l, &s), 0);
	assert_int_equal(usleep(200000), 0);            /* the trap is set */
	assert_false(child_ask_stop(&c, 50 * USEC_PER_MSEC));
	assert_int_equal(g_ends, 0);
	child_stop(&c, 10 * USEC_PER_SEC);
	assert_int_equal(g_ends, 1);
	assert_int_equal(g_code, CLD_EXITED);
	assert_int_equal(g_status, 5);
	assert_true(child_ask_stop(&c, 0));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(exit_code_and_env), T(fds_are_clean), T(no_such_program), T(enter_can_refuse), T(killed_and_restarted),
		T(dies_with_its_parent), T(stop_kills_the_stubborn),
		cmocka_unit_test_setup_teardown(asked_and_given_time, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
