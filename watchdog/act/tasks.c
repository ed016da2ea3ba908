/* SPDX-License-Identifier: Apache-2.0 */
/* tasks: lowers single tasks, in place, by one system call each.
 *
 * Identity. The kernel takes a number, and numbers are reused. So: open
 * /proc/TID/stat, compare the start time, change the class, and read the same file
 * again: it stays bound to that task, and gives ESRCH when it is gone. Only then can
 * the call have hit another one, within those microseconds; that one, if it was new
 * and has our class, gets the recorded one back. A pidfd would not help: there is no
 * sched_setattr by pidfd.
 *
 * What is kept. SCHED_IDLE leaves the nice value alone, so it is not put back either:
 * a renice in between is somebody's newer decision. For real-time tasks the nice
 * value behind the class comes from getpriority(). From 6.12 on sched_getattr() also
 * shows the slice of a fair task; writing the default back would pin it, so it is
 * kept only where it differs from kthreadd's. RESET_ON_FORK stays as it was: for
 * SCHED_IDLE it changes nothing.
 *
 * Forks inherit SCHED_IDLE, and nobody records them. So the group has a record of
 * when it began; at release every SCHED_IDLE task of the group that was born since is
 * put back, unless the group had SCHED_IDLE tasks of its own: then only those that
 * descend from one that we lowered. Parents are put back before the search, and it is
 * repeated until it finds nothing. That is not all: a fork takes its class early and
 * enters the cgroup's list late, and a starved parent may be between the two for long
 * (seen: one missed in an emulated guest). So the records linger and the search is
 * repeated later. A fork goes back to the class that its parent had, but never to a
 * real-time one; nor does what a real-time task forked while it was SCHED_OTHER: what
 * gave such a class up by itself looks the same. What left the group is looked for by /proc/TID/children, where the
 * kernel has that: below each recorded task that lives, as long as its parents do. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "act/inject.h"
#include "act/tasks.h"
#include "base/cleanup.h"
#include "base/str.h"

#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE  6
#endif
#define KTHREADD        2
#define PF_KTHREAD      0x00200000
#define SCAN_ROUNDS     4       /* until no lowered task is found any more; beyond: the next time */
#define STAT_MAX        512

/* sched_attr of the kernel, first version; libc has it from 2.41 on, under that name. */
struct task_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static int attr_get(int32_t tid, struct task_attr *ret)
{
	struct task_attr a = { .size = sizeof(a) };

	if (syscall(SYS_sched_getattr, tid, &a, sizeof(a), 0) < 0)
		return tree_errno();
	*ret = a;
	return 0;
}

static int attr_set(int32_t tid, struct task_attr *a)
{
	int r;

	a->size = sizeof(*a);
	r = INJECT("sched:before");
	if (r < 0)
		return r;
	r = syscall(SYS_sched_setattr, tid, a, 0) < 0 ? tree_errno() : 0;
	(void)INJECT("sched:after");
	return r;
}

static bool is_fair(uint32_t policy)
{
	return policy == SCHED_OTHER || policy == SCHED_BATCH;
}

static bool is_realtime(uint32_t policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE;
}

static bool is_idle(int32_t tid)
{
	int policy = sched_getscheduler(tid);

	return policy >= 0 && (policy & ~SCHED_RESET_ON_FORK) == SCHED_IDLE;
}

int task_stat_parse(const char *text, struct task_stat *ret)
{
	const char *p = strrchr(text, ')');
	struct task_stat s = {};
	char *end;
	uint64_t flags = 0;

	s.tid = (int32_t)strtol(text, &end, 10);
	if (end == text || p == NULL || p[1] != ' ' || s.tid <= 0)
		return -EBADMSG;
	p += 2;                         /* field 3, the state */
	for (unsigned field = 3; field < 22; field++) {
		p = strchr(p, ' ');
		if (p == NULL)
			return -EBADMSG;
		p++;
		if (field + 1 == 4)
			s.ppid = (int32_t)strtol(p, NULL, 10);
		else if (field + 1 == 9)
			flags = strtoull(p, NULL, 10);
	}
	s.start = strtoull(p, &end, 10);
	if (end == p)
		return -EBADMSG;
	s.kthread = (flags & PF_KTHREAD) != 0;
	*ret = s;
	return 0;
}

static int stat_open(int32_t tid)
{
	char name[48];
	int fd;

	str_format(name, sizeof(name), "/proc/%d/stat", tid);
	fd = open(name, O_RDONLY|O_CLOEXEC);
	return fd >= 0 ? fd : errno == ENOENT ? -ESRCH : tree_errno();
}

static int stat_reread(int fd, struct task_stat *ret)
{
	char text[STAT_MAX];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return tree_errno();
	text[n] = '\0';
	return task_stat_parse(text, ret);
}

int task_stat_read(int32_t tid, struct task_stat *ret)
{
	_cleanup_(cleanup_close) int fd = stat_open(tid);

	return fd < 0 ? fd : stat_reread(fd, ret);
}

static uint64_t default_slice(void)
{
	struct task_attr a = {};

	return attr_get(KTHREADD, &a) < 0 ? 0 : a.runtime;
}

/* Changes the class of exactly this task. */
static int task_set(int32_t tid, uint64_t start, struct task_attr *to)
{
	_cleanup_(cleanup_close) int fd = stat_open(tid);
	struct task_attr before = {}, now = {};
	struct task_stat s = {};
	uint32_t policy = to->policy;
	int r;

	if (fd < 0)
		return fd;
	r = stat_reread(fd, &s);
	if (r < 0)
		return r;
	if (s.start != start)
		return -ESRCH;
	r = attr_get(tid, &before);
	if (r >= 0)
		r = attr_set(tid, to);
	if (r < 0)
		return r;
	r = stat_reread(fd, &s);
	if (r == -ESRCH && attr_get(tid, &now) >= 0 && now.policy == policy && before.policy != policy) {
		if (is_fair(before.policy))
			before.runtime = 0;
		(void)attr_set(tid, &before);
	}
	return r;
}

static struct task_attr attr_for(const struct task_attr *was, uint32_t policy, int32_t nice)
{
	return (struct task_attr){ .policy = policy, .nice = nice, .flags = was->flags & 1 /* RESET_ON_FORK */ };
}

/* 1: changed. 0: nothing to do. -errno. */
static int task_lower(struct journal *j, enum verb verb, uint64_t id, const struct task_ref *t, uint64_t slice)
{
	uint32_t policy = verb == VERB_TASKS_IDLE ? SCHED_IDLE : SCHED_OTHER;
	struct journal_record with, *record;
	struct task_attr was = {}, to;
	struct task_stat s = {};
	struct journal_task is;
	int r;

	if (t->tid <= 1 || t->tid == getpid() || t->pid == getpid())
		return -EPERM;
	r = task_stat_read(t->tid, &s);
	if (r >= 0 && s.start != t->start)
		r = -ESRCH;
	if (r >= 0 && s.kthread)
		r = -EPERM;
	if (r >= 0)
		r = attr_get(t->tid, &was);
	if (r < 0)
		return r;
	if (was.policy == policy || (verb == VERB_TASKS_OTHER && !is_realtime(was.policy)))
		return 0;
	errno = 0;
	if (!is_fair(was.policy))
		was.nice = getpriority(PRIO_PROCESS, (id_t)t->tid);

	is = (struct journal_task){
		.pid = t->pid, .tid = t->tid, .start = t->start, .policy = was.policy, .prio = was.priority,
		.nice = was.nice, .flags = (uint32_t)was.flags, .deadline = was.deadline, .period = was.period,
		.runtime = is_fair(was.policy) && was.runtime == slice ? 0 : was.runtime,
		.ours = policy, .previous = policy,
	};
	record = journal_find_task(j, t->tid, t->start);
	if (record != NULL) {
		journal_claim(j, record);
		with = *record;
		with.verb = (uint8_t)verb;
		with.group = id;
		/* Neither ours nor the original: somebody's newer decision, and what it goes back to. */
		if (was.policy != with.task.ours && was.policy != with.task.previous &&
		    (was.policy != with.task.policy || was.priority != with.task.prio))
			with.task = is;
		with.task.previous = record->task.ours;
		with.task.ours = policy;
		r = journal_update(j, record, &with);
	} else {
		with = (struct journal_record){ .kind = JOURNAL_TASK, .tree = JOURNAL_CPU, .verb = (uint8_t)verb, .group = id, .task = is };
		r = journal_add(j, &with, "", &record);
	}
	if (r < 0)
		return r == -ESRCH ? -EIO : -ENOSPC;
	to = attr_for(&was, policy, was.nice);
	r = task_set(t->tid, t->start, &to);
	if (r == -ESRCH)
		(void)journal_done(j, record);
	return r < 0 ? r : 1;
}

/* Does the group have SCHED_IDLE tasks that are not ours? Yes also where there was no time to look. */
static bool has_own_idle(const struct journal *j, const struct place *group)
{
	_cleanup_(idlist_close) struct idlist ids = { .fd = -1 };
	usec_t until = tree_clock() + TASKS_SCAN_MAX;
	struct task_stat s = {};
	int tid;

	if (idlist_open(&ids, group, place_threads(group)) < 0)
		return true;
	for (unsigned i = 0; (tid = idlist_next(&ids)) > 0; i++) {
		if (is_idle(tid) && task_stat_read(tid, &s) >= 0 && journal_find_task(j, tid, s.start) == NULL)
			return true;
		if (i % 64 == 63 && tree_clock() > until)
			return true;
	}
	return tid < 0;
}

static int64_t clock_ticks(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * sysconf(_SC_CLK_TCK) + ts.tv_nsec / (1000000000 / sysconf(_SC_CLK_TCK));
}

int tasks_lower(struct journal *j, enum verb verb, uint64_t id, uint64_t inode, const struct place *group,
		const struct task_ref *tasks, unsigned n, unsigned *ret_n)
{
	struct journal_record *since = journal_find(j, JOURNAL_SINCE, id);
	uint64_t slice = default_slice();
	unsigned changed = 0;
	int first = 0, r;

	/* They are put back by group: from now on all of it is this squeeze's. */
	for (struct journal_record *x = journal_next(j, NULL); x != NULL; x = journal_next(j, x))
		if ((x->kind == JOURNAL_TASK || x->kind == JOURNAL_SINCE) && x->group == id)
			journal_claim(j, x);
	if (verb == VERB_TASKS_IDLE && since != NULL && since->original.v[2] != 0) {
		struct journal_record with = *since;

		with.original.v[2] = 0;         /* released a moment ago: goes on */
		r = journal_update(j, since, &with);
		if (r < 0)
			return place_fail(group, -ENOSPC, "the undo journal does not take a record: %s", strerror(-r));
	}
	if (verb == VERB_TASKS_IDLE && since == NULL) {
		struct journal_record *record, with = {
			.kind = JOURNAL_SINCE, .tree = JOURNAL_CPU, .verb = VERB_TASKS_IDLE, .group = id, .inode = inode,
			.original = { .v = { clock_ticks(), has_own_idle(j, group) } },
		};

		r = journal_add(j, &with, group->path, &record);
		if (r < 0)
			return place_fail(group, -ENOSPC, "the undo journal does not take a record: %s", strerror(-r));
	}
	for (unsigned i = 0; i < n; i++) {
		r = task_lower(j, verb, id, &tasks[i], slice);
		if (r > 0)
			changed++;
		else if (r < 0 && (first == 0 || first == -ESRCH))
			first = r;
	}
	if (changed == 0 && first < 0) {
		if (first == -ESRCH)
			return place_fail(group, -ESTALE, "the tasks are gone");
		return place_fail(group, first, "the class of a task cannot be changed: %s",
				  first == -ENOSPC ? "the undo journal is full or cannot be written" : strerror(-first));
	}
	*ret_n = changed;
	return 0;
}

/* 1: put back now. 0: gone, or is so already. 2: left, somebody else changed it. -errno. */
static int task_restore(const struct journal_task *t)
{
	struct task_attr now = {}, to;
	struct task_stat s = {};
	int r;

	r = task_stat_read(t->tid, &s);
	if (r == -ESRCH || (r >= 0 && s.start != t->start))
		return 0;
	if (r >= 0)
		r = attr_get(t->tid, &now);
	if (r < 0)
		return r == -ESRCH ? 0 : r;
	if (now.policy == t->policy)
		return 0;
	if (now.policy != t->ours && now.policy != t->previous)
		return 2;
	to = (struct task_attr){ .policy = t->policy, .priority = t->prio, .nice = t->nice, .flags = t->flags,
				 .runtime = t->runtime, .deadline = t->deadline, .period = t->period };
	if (is_fair(t->policy) && now.policy == SCHED_IDLE)
		to.nice = now.nice;
	r = task_set(t->tid, t->start, &to);
	return r == -ESRCH ? 0 : r < 0 ? r : 1;
}

/* The process a thread is of; 0: gone. */
static int32_t tgid_of(int32_t tid)
{
	_cleanup_(cleanup_close) int fd = -1;
	char name[48], text[STAT_MAX];
	const char *p;
	ssize_t n;

	str_format(name, sizeof(name), "/proc/%d/status", tid);
	fd = open(name, O_RDONLY|O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return 0;
	text[n] = '\0';
	p = strstr(text, "\nTgid:\t");
	return p == NULL ? 0 : (int32_t)strtol(p + 7, NULL, 10);
}

/* Is it of a process of which we lowered a task, or was that one's child's child? */
static bool descends(const struct journal *j, int32_t tid, uint64_t id)
{
	int32_t tgid = tgid_of(tid);
	struct task_stat s = {};

	for (unsigned i = 0; i < TASKS_ANCESTORS_MAX && tgid > 1; i++) {
		for (const struct journal_record *r = journal_next(j, NULL); r != NULL; r = journal_next(j, r))
			if (r->kind == JOURNAL_TASK && r->group == id && r->task.pid == tgid)
				return true;
		if (task_stat_read(tgid, &s) < 0)
			return false;
		tgid = s.ppid;
	}
	return false;
}

/* The class of the tasks that we lowered in a group (of one process of it; pid 0: of all):
 * SCHED_BATCH where all had that, SCHED_OTHER where none had, -1 where they differ, -ESRCH
 * where there are none. */
static int lowered_from(const struct journal *j, uint64_t id, int32_t pid)
{
	int class = -ESRCH;

	for (const struct journal_record *r = journal_next(j, NULL); r != NULL; r = journal_next(j, r)) {
		int was = r->task.policy == SCHED_BATCH ? SCHED_BATCH : SCHED_OTHER;

		if (r->kind != JOURNAL_TASK || r->group != id || r->verb != VERB_TASKS_IDLE || (pid != 0 && r->task.pid != pid))
			continue;
		if (class >= 0 && class != was)
			return -1;
		class = was;
	}
	return class;
}

/* What a fork of a lowered task goes back to: SCHED_BATCH is inherited. So is real-time, but
 * what gave that up by itself cannot be told from what never had the choice, and too high a
 * class may do harm where too low a one does not: it becomes SCHED_OTHER. `class`: of the whole group. */
static uint32_t class_of_fork(const struct journal *j, uint64_t id, int class, int32_t tid)
{
	struct task_stat s = {};

	if (class != -1)
		return class == SCHED_BATCH ? SCHED_BATCH : SCHED_OTHER;
	tid = tgid_of(tid);
	for (unsigned i = 0; i < TASKS_ANCESTORS_MAX && tid > 1; i++) {
		class = lowered_from(j, id, tid);
		if (class != -ESRCH)
			return class == SCHED_BATCH ? SCHED_BATCH : SCHED_OTHER;
		if (task_stat_read(tid, &s) < 0)
			break;
		tid = s.ppid;
	}
	return SCHED_OTHER;
}

/* One search: how many were put back, or -errno. *ret_left: born since, but not of ours. */
static int restore_forks(const struct journal *j, const struct journal_record *since, const struct place *p, usec_t until,
			 unsigned *ret_left)
{
	_cleanup_(idlist_close) struct idlist ids = { .fd = -1 };
	struct task_attr was = {}, to;
	struct task_stat s = {};
	int tid, n = 0, class = lowered_from(j, since->group, 0), r;

	r = idlist_open(&ids, p, place_threads(p));
	if (r < 0)
		return r == -ESTALE || p->fake ? 0 : r;
	for (unsigned i = 0; (tid = idlist_next(&ids)) > 0; i++) {
		if (i % 64 == 63 && tree_clock() > until)
			return -ETIMEDOUT;
		if (!is_idle(tid) || task_stat_read(tid, &s) < 0 || s.start < (uint64_t)since->original.v[0])
			continue;
		if (since->original.v[1] != 0 && !descends(j, tid, since->group)) {
			(*ret_left)++;
			continue;
		}
		if (attr_get(tid, &was) < 0)
			continue;
		to = attr_for(&was, class_of_fork(j, since->group, class, tid), was.nice);
		r = task_set(tid, s.start, &to);
		if (r < 0 && r != -ESRCH)
			return r;
		n++;
	}
	return tid < 0 ? tid : n;
}

/* Appends the children of one thread, as many as fit. Fails where it is gone or CONFIG_PROC_CHILDREN is off. */
static unsigned add_children(int32_t pid, int32_t tid, int32_t queue[static TASKS_CHILDREN_MAX], unsigned n)
{
	_cleanup_(idlist_close) struct idlist ids = { .fd = -1 };
	char name[64];
	int child;

	str_format(name, sizeof(name), "/proc/%d/task/%d/children", pid, tid);
	ids.fd = open(name, O_RDONLY|O_CLOEXEC);
	while (ids.fd >= 0 && n < TASKS_CHILDREN_MAX && (child = idlist_next(&ids)) > 0)
		queue[n++] = child;
	return n;
}

/* Those born below a lowered task that may have left the group. How many were put back. */
static unsigned restore_children(const struct journal *j, const struct journal_record *since)
{
	usec_t until = tree_clock() + TASKS_CHILDREN_TIME;
	int32_t queue[TASKS_CHILDREN_MAX];
	struct task_attr was = {}, to;
	struct task_stat s = {};
	unsigned n = 0, changed = 0;
	int class = lowered_from(j, since->group, 0);

	for (const struct journal_record *r = journal_next(j, NULL); r != NULL && n < TASKS_CHILDREN_MAX && tree_clock() < until; r = journal_next(j, r))
		if (r->kind == JOURNAL_TASK && r->group == since->group && r->verb == VERB_TASKS_IDLE &&
		    task_stat_read(r->task.tid, &s) >= 0 && s.start == r->task.start)
			n = add_children(r->task.pid, r->task.tid, queue, n);
	for (unsigned at = 0; at < n && tree_clock() < until; at++) {
		/* Older ones were not born lowered, nor was what they bore. */
		if (task_stat_read(queue[at], &s) < 0 || s.start < (uint64_t)since->original.v[0])
			continue;
		/* One with a record is another squeeze's; ours were put back just before. */
		if (is_idle(queue[at]) && journal_find_task(j, queue[at], s.start) == NULL && attr_get(queue[at], &was) >= 0) {
			to = attr_for(&was, class_of_fork(j, since->group, class, queue[at]), was.nice);
			changed += task_set(queue[at], s.start, &to) >= 0;
		}
		n = add_children(queue[at], queue[at], queue, n);
	}
	return changed;
}

/* Is it still as we made it? */
static bool task_is_lowered(const struct journal_task *t)
{
	struct task_attr now = {};
	struct task_stat s = {};

	return task_stat_read(t->tid, &s) >= 0 && s.start == t->start && attr_get(t->tid, &now) >= 0 &&
	       now.policy != t->policy && (now.policy == t->ours || now.policy == t->previous);
}

bool tasks_linger(const struct journal_record *since, bool *ret_over)
{
	if (since->kind != JOURNAL_SINCE || since->original.v[2] == 0)
		return false;
	*ret_over = clock_ticks() - since->original.v[2] >= (int64_t)(TASKS_LINGER / USEC_PER_SEC) * sysconf(_SC_CLK_TCK);
	return true;
}

int tasks_restore(struct journal *j, uint64_t id, uint32_t mask, const struct place *group, const struct place *jail,
		  bool final, usec_t until, unsigned *ret_n, unsigned *ret_left)
{
	struct journal_record *since = mask & (1u << VERB_TASKS_IDLE) ? journal_find(j, JOURNAL_SINCE, id) : NULL;
	const struct place *places[] = { group, jail };
	struct journal_record *record;
	unsigned changed = 0, left = 0, left_forks = 0;
	int error = 0, r;

	/* First the classes, with the records kept: the search below asks them. */
	for (record = journal_next(j, NULL); record != NULL; record = journal_next(j, record)) {
		if (record->kind != JOURNAL_TASK || record->group != id || !(mask & (1u << record->verb)))
			continue;
		r = task_restore(&record->task);
		changed += r == 1;
		left += r == 2;
		error = error == 0 && r < 0 ? r : error;
		if (tree_clock() > until)
			return -ETIMEDOUT;
	}
	r = since != NULL ? 1 : 0;
	for (unsigned round = 0; r > 0 && round < SCAN_ROUNDS; round++) {
		r = 0;
		left_forks = 0;
		for (size_t i = 0; i < ELEMENTSOF(places); i++) {
			int n = places[i]->fd >= 0 ? restore_forks(j, since, places[i], until, &left_forks) : 0;

			if (n < 0)
				return n;
			r += n;
		}
		changed += (unsigned)r;
	}
	if (since != NULL)
		changed += restore_children(j, since);
	for (record = journal_next(j, NULL); record != NULL; record = journal_next(j, record)) {
		if (record->kind != JOURNAL_TASK || record->group != id || !(mask & (1u << record->verb)))
			continue;
		if (!final && since != NULL && record->verb == VERB_TASKS_IDLE)
			continue;
		r = error < 0 && task_is_lowered(&record->task) ? 0 : journal_done(j, record);
		error = error == 0 && r < 0 ? r : error;
	}
	if (since != NULL && final && error == 0)
		error = journal_done(j, since);
	else if (since != NULL && !final && since->original.v[2] == 0) {
		struct journal_record with = *since;

		with.original.v[2] = clock_ticks();
		r = journal_update(j, since, &with);
		error = error == 0 ? r : error;
	}
	*ret_n += changed;
	*ret_left += left + left_forks;
	return error;
}
