/* SPDX-License-Identifier: Apache-2.0 */
/* Needs no privilege: a task may lower itself and its children; coming back is root's. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "act/journal.h"
#include "act/tasks.h"
#include "unit/needs.h"

static const struct act_layout layout = { .cpu_root = "/" };
static char rundir[64];
static struct journal *journal;
static char message[256];
static struct place place;

static int setup(void **state)
{
	strcpy(rundir, "/tmp/test-tasks-XXXXXX");
	place = (struct place){ .fd = -1, .fake = true, .path = "/x", .message = message, .message_size = sizeof(message) };
	return mkdtemp(rundir) == NULL || journal_new(&journal, rundir, &layout, NULL, NULL) != 0;
}

static int teardown(void **state)
{
	char path[128];

	journal = journal_free(journal);
	snprintf(path, sizeof(path), "%s/journal", rundir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/journal.lock", rundir);
	unlink(path);
	return rmdir(rundir);
}

static void test_stat_parse(void **state)
{
	static const struct { const char *text; int r; int tid, ppid; uint64_t start; bool kthread; } cases[] = {
		{ "42 (sleep) S 7 42 42 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 123456 1 2 3", 0, 42, 7, 123456, false },
		{ "42 (a) b) (c) R 7 42 42 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 5 1", 0, 42, 7, 5, false },
		{ "42 () 1 2 (\n) Z 7 42 42 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 5 1", 0, 42, 7, 5, false },
		{ "3 (kworker/0:0) I 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 9 0", 0, 3, 2, 9, true },
		{ "", -EBADMSG }, { "42", -EBADMSG }, { "42 (x", -EBADMSG }, { "42 (x)", -EBADMSG }, { "42 (x) S 7 42", -EBADMSG },
		{ "x (x) S 7 42 42 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 5 1", -EBADMSG },
		{ "42 (x) S 7 42 42 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 ", -EBADMSG },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct task_stat s = { .tid = -9 };

		if (task_stat_parse(cases[i].text, &s) != cases[i].r)
			fail_msg("%s", cases[i].text);
		if (cases[i].r < 0) {
			assert_int_equal(s.tid, -9);
			continue;
		}
		assert_int_equal(s.tid, cases[i].tid);
		assert_int_equal(s.ppid, cases[i].ppid);
		assert_int_equal(s.start, cases[i].start);
		assert_int_equal(s.kthread, cases[i].kthread);
	}
}

static void test_stat_read(void **state)
{
	struct task_stat s;

	assert_int_equal(task_stat_read(getpid(), &s), 0);
	assert_int_equal(s.tid, getpid());
	assert_int_equal(s.ppid, getppid());
	assert_true(s.start > 0);
	assert_int_equal(task_stat_read(INT32_MAX, &s), -ESRCH);
}

static pid_t spawn(void)
{
	pid_t pid = fork();

	if (pid == 0)
		for (prctl(PR_SET_PDEATHSIG, SIGKILL);;)
			pause();
	return pid;
}

static struct task_ref ref(pid_t pid)
{
	struct task_stat s;

	assert_int_equal(task_stat_read(pid, &s), 0);
	return (struct task_ref){ .pid = pid, .tid = pid, .start = s.start };
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_lower_and_restore(void **state)
{
	pid_t a = spawn(), b = spawn();
	struct task_ref refs[3] = { ref(a), ref(b), ref(b) };
	unsigned n = 0, back = 0, left = 0;
	const struct place none = { .fd = -1 };
	int r;

	setpriority(PRIO_PROCESS, (id_t)a, 6);
	refs[2].start--;                /* a reused number */
	assert_int_equal(tasks_lower(journal, VERB_TASKS_IDLE, 5, 5, &place, refs, 3, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(sched_getscheduler(a), SCHED_IDLE);
	assert_int_equal(sched_getscheduler(b), SCHED_IDLE);
	assert_int_equal(journal_live(journal), 3);     /* two tasks and the group */
	assert_int_equal(tasks_lower(journal, VERB_TASKS_IDLE, 5, 5, &place, refs, 2, &n), 0);
	assert_int_equal(n, 0);                         /* are so already */
	assert_int_equal(journal_live(journal), 3);

	assert_int_equal(tasks_restore(journal, 6, ~0u, &none, &none, true, USEC_INFINITY, &back, &left), 0);
	assert_int_equal(sched_getscheduler(a), SCHED_IDLE);    /* another group's */
	r = tasks_restore(journal, 5, ~0u, &none, &none, true, USEC_INFINITY, &back, &left);
	if (r == -EPERM && geteuid() != 0) {
		/* Without CAP_SYS_NICE it cannot be put back; then it has to stay on record. */
		assert_int_equal(journal_live(journal), 3);
		end(a);
		end(b);
		assert_int_equal(tasks_restore(journal, 5, ~0u, &none, &none, true, USEC_INFINITY, &back, &left), 0);
	} else {
		assert_int_equal(r, 0);
		assert_int_equal(back, 2);
		assert_int_equal(sched_getscheduler(a), SCHED_OTHER);
		assert_int_equal(sched_getscheduler(b), SCHED_OTHER);
		assert_int_equal(getpriority(PRIO_PROCESS, (id_t)a), 6);
		end(a);
		end(b);
	}
	assert_int_equal(journal_live(journal), 0);
	assert_int_equal(left, 0);
}

/* Somebody made it SCHED_BATCH while it was lowered, and it is lowered again. */
static void test_somebody_elses_class(void **state)
{
	const struct sched_param none = {};
	const struct place nowhere = { .fd = -1 };
	pid_t a = spawn();
	struct task_ref t = ref(a);
	unsigned n = 0, back = 0, left = 0;

	assert_int_equal(tasks_lower(journal, VERB_TASKS_IDLE, 5, 5, &place, &t, 1, &n), 0);
	if (sched_setscheduler(a, SCHED_BATCH, &none) < 0) {
		end(a);
		needs("root");          /* coming back is root's */
	}
	assert_int_equal(tasks_lower(journal, VERB_TASKS_IDLE, 5, 5, &place, &t, 1, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(sched_getscheduler(a), SCHED_IDLE);
	assert_int_equal(tasks_restore(journal, 5, ~0u, &nowhere, &nowhere, true, USEC_INFINITY, &back, &left), 0);
	assert_int_equal(sched_getscheduler(a), SCHED_BATCH);
	assert_int_equal(back, 1);
	assert_int_equal(left, 0);
	end(a);
}

static void test_refused(void **state)
{
	pid_t a = spawn();
	struct task_ref gone = ref(a), self = ref(getpid()), init = { .pid = 1, .tid = 1 };
	struct task_ref kthreadd = { .pid = 2, .tid = 2 };
	struct task_stat s;
	unsigned n = 7;

	end(a);
	assert_int_equal(tasks_lower(journal, VERB_TASKS_OTHER, 5, 5, &place, &gone, 1, &n), -ESTALE);
	assert_int_equal(tasks_lower(journal, VERB_TASKS_OTHER, 5, 5, &place, &self, 1, &n), -EPERM);
	assert_int_equal(tasks_lower(journal, VERB_TASKS_OTHER, 5, 5, &place, &init, 1, &n), -EPERM);
	if (task_stat_read(2, &s) == 0 && s.kthread) {
		kthreadd.start = s.start;
		assert_int_equal(tasks_lower(journal, VERB_TASKS_OTHER, 5, 5, &place, &kthreadd, 1, &n), -EPERM);
	}
	assert_int_equal(n, 7);
	assert_int_equal(journal_live(journal), 0);
	assert_int_not_equal(message[0], '\0');
}

static void test_dead_tasks_leave_nothing(void **state)
{
	pid_t a = spawn();
	struct task_ref t = ref(a);
	unsigned n, back = 0, left = 0;
	const struct place none = { .fd = -1 };
	bool over = true;

	assert_int_equal(tasks_lower(journal, VERB_TASKS_IDLE, 5, 5, &place, &t, 1, &n), 0);
	end(a);
	assert_false(tasks_linger(journal_find(journal, JOURNAL_SINCE, 5), &over));
	assert_int_equal(tasks_restore(journal, 5, ~0u, &none, &none, false, USEC_INFINITY, &back, &left), 0);
	assert_int_equal(journal_live(journal), 2);     /* lingers */
	assert_true(tasks_linger(journal_find(journal, JOURNAL_SINCE, 5), &over));
	assert_false(over);
	assert_int_equal(tasks_restore(journal, 5, 1u << VERB_TASKS_OTHER, &none, &none, true, USEC_INFINITY, &back, &left), 0);
	assert_int_equal(journal_live(journal), 2);     /* the other verb's */
	assert_int_equal(tasks_restore(journal, 5, 1u << VERB_TASKS_IDLE, &none, &none, true, USEC_INFINITY, &back, &left), 0);
	assert_int_equal(back, 0);
	assert_int_equal(journal_live(journal), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat_parse),
		cmocka_unit_test(test_stat_read),
		cmocka_unit_test_setup_teardown(test_lower_and_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(test_somebody_elses_class, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead_tasks_leave_nothing, setup, teardown),
	};

	return cmocka_run_group_tests_name("tasks", tests, NULL, NULL);
}
