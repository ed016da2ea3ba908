/* SPDX-License-Identifier: Apache-2.0 */
/* rank: who is it, inside a cgroup.
 *
 * The library's CPU times come in clock ticks of 10 ms: 64 hogs on two CPUs get 6 ms
 * each in a window of 200 ms, so ticks rank them by chance. The task's own run time
 * is therefore taken from /proc/TID/schedstat, in nanoseconds (and from ticks where
 * the kernel has none). Identity, policy, nice and the children's time are the
 * library's. /proc/TID exists for every thread, though it is not listed.
 *
 * Children's time (cutime) is ticks too, but it adds up without loss; it comes at
 * once when a child is waited for, with all the child ever used. A shell whose
 * hour-long build just ended has not run an hour in 200 ms: growth beyond what the
 * window's CPUs could give is no churn and is not counted.
 *
 * A task that appeared between the looks has run nowhere else: all of its time counts.
 * Between the looks a tid may be another task: start is part of the identity.
 *
 * Names are read from /proc/TID/comm as they are: the library may change bytes that
 * a terminal would not show, and a pattern must match what the kernel has. */
#include "steward/rank.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cgpath.h"
#include "base/cleanup.h"
#include "base/macro.h"
#include "base/str.h"
#include "core/policy.h"
#include "steward/listen.h"
#include "sys/root.h"

#define LIST_SIZE (RANK_TASKS_MAX * 11 + 1)

static int compare_tids(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

static int compare_found(const void *key, const void *task)
{
	int32_t x = *(const int32_t *)key, y = ((const struct rank_task *)task)->tid;

	return (x > y) - (x < y);
}

static int compare_blame(const void *a, const void *b)
{
	const struct task_ref *x = a, *y = b;

	return x->cpu_pm != y->cpu_pm ? (x->cpu_pm < y->cpu_pm) - (x->cpu_pm > y->cpu_pm) : (x->tid > y->tid) - (x->tid < y->tid);
}

/* Adds the tids of one cgroup: "tasks" on v1, "cgroup.threads" on v2. */
static int list_one(int dirfd, int32_t *tids, uint32_t *n, uint32_t *seen)
{
	static const char *const files[] = { "tasks", "cgroup.threads", "cgroup.procs" };
	static char text[LIST_SIZE];
	ssize_t r = -ENOENT;
	char *p, *end;

	for (size_t i = 0; i < ELEMENTSOF(files) && (r == -ENOENT || r == -EOPNOTSUPP); i++)
		r = root_read_file(dirfd, files[i], text, sizeof(text));
	if (r < 0 && r != -EFBIG)
		return (int)r;
	if (r == -EFBIG)                /* the last number may be half a one */
		*(strrchr(text, '\n') ?: text) = '\0';
	for (p = text; *p != '\0'; p = end) {
		long tid = strtol(p, &end, 10);

		if (end == p)
			break;
		(*seen)++;
		if (tid > 0 && *n < RANK_TASKS_MAX)
			tids[(*n)++] = (int32_t)tid;
	}
	return 0;
}

static void list_below(int dirfd, int depth, unsigned *dirs, int32_t *tids, uint32_t *n, uint32_t *seen)
{
	_cleanup_(cleanup_closedir) DIR *d = fdopendir(dirfd);
	struct dirent *e;

	if (d == NULL) {
		(void)close(dirfd);
		return;
	}
	while ((e = readdir(d)) != NULL && *dirs < RANK_DIRS_MAX) {
		int sub;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		sub = root_open_dir(dirfd, e->d_name);
		if (sub < 0)
			continue;
		(*dirs)++;
		(void)list_one(sub, tids, n, seen);
		if (depth < RANK_DEPTH_MAX)
			list_below(sub, depth + 1, dirs, tids, n, seen);
		else
			(void)close(sub);
	}
}

static int list_tasks(const struct talk_rank *q, int32_t *tids, uint32_t *ret_n, uint32_t *ret_seen)
{
	int fd = root_open_dir(AT_FDCWD, q->dir), r;
	unsigned dirs = 0;

	*ret_n = *ret_seen = 0;
	if (fd < 0)
		return fd;
	r = list_one(fd, tids, ret_n, ret_seen);
	if (r == 0 && q->deep)
		list_below(fd, 1, &dirs, tids, ret_n, ret_seen);
	else
		(void)close(fd);
	qsort(tids, *ret_n, sizeof(*tids), compare_tids);
	return r;
}

/* First number of /proc/TID/schedstat: ns on a CPU. */
static bool run_ns(int32_t tid, uint64_t *ret)
{
	char path[48], text[96], *end;

	(void)str_format(path, sizeof(path), "/proc/%d/schedstat", tid);
	if (root_read_file(AT_FDCWD, path, text, sizeof(text)) <= 0)
		return false;
	*ret = strtoull(text, &end, 10);
	return end != text;
}

static uint64_t tick_ns(void)
{
	long hz = sysconf(_SC_CLK_TCK);

	return UINT64_C(1000000000) / (uint64_t)(hz > 0 ? hz : 100);
}

/* One look: tasks[] ascending by tid, with rows for policy and nice beside it. */
static int look(struct names *names, const struct talk_rank *q, struct rank_task *tasks, struct names_row *rows,
		uint32_t *ret_n, uint32_t *ret_seen)
{
	static int32_t tids[RANK_TASKS_MAX];
	size_t got = 0;
	int r = list_tasks(q, tids, ret_n, ret_seen);

	if (r < 0)
		return r;
	r = names_read(names, tids, *ret_n, rows, &got);
	if (r < 0)
		return r;
	for (size_t i = 0; i < got; i++) {
		tasks[i] = (struct rank_task){ .tid = rows[i].tid, .start = rows[i].start, .child_ticks = rows[i].child_ticks };
		if (!run_ns(rows[i].tid, &tasks[i].run_ns))
			tasks[i].run_ns = rows[i].ticks * tick_ns();
	}
	*ret_n = (uint32_t)got;
	return 0;
}

static struct names_row g_rows[RANK_TASKS_MAX];

int rank_begin(struct rank *r, struct names *names, const struct talk_rank *query, usec_t now)
{
	uint32_t seen;

	r->query = *query;
	r->began = now;
	return look(names, query, r->tasks, g_rows, &r->n, &seen);
}

static void read_comm(int32_t tid, char comm[static COMM_MAX])
{
	char path[48], text[COMM_MAX + 2];
	ssize_t n;

	comm[0] = '\0';
	(void)str_format(path, sizeof(path), "/proc/%d/comm", tid);
	n = root_read_file(AT_FDCWD, path, text, sizeof(text));
	if (n <= 0)
		return;
	if (text[n - 1] == '\n')        /* the last one is the file's; others are the name's */
		text[n - 1] = '\0';
	(void)str_copy(comm, COMM_MAX, text);
}

static int32_t read_tgid(int32_t tid)
{
	char path[48], text[2048], *p;

	(void)str_format(path, sizeof(path), "/proc/%d/status", tid);
	(void)root_read_file(AT_FDCWD, path, text, sizeof(text));
	p = strstr(text, "\nTgid:");    /* a newline in Name: is escaped by the kernel */
	return p != NULL ? (int32_t)strtol(p + 6, NULL, 10) : tid;
}

static bool matches(const struct talk_globs *g, const char *comm)
{
	for (uint32_t i = 0; i < g->n; i++)
		if (glob_match_comm(g->text[i], comm))
			return true;
	return false;
}

int rank_end(struct rank *r, struct names *names, const struct talk_globs *keep, usec_t now, struct talk_ranked *ret)
{
	static struct rank_task tasks[RANK_TASKS_MAX];
	static struct task_ref refs[RANK_TASKS_MAX];
	usec_t window = MAX(now - r->began, (usec_t)1000);
	long ncpu = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t most_ticks = window * 1000 * (uint64_t)MAX(ncpu, 1L) / tick_ns() + 2;
	uint32_t n, seen;
	int q = look(names, &r->query, tasks, g_rows, &n, &seen);

	if (q < 0)
		return q;
	for (uint32_t i = 0; i < n; i++) {
		const struct rank_task *was = bsearch(&tasks[i].tid, r->tasks, r->n, sizeof(*r->tasks), compare_found);
		uint64_t ns = tasks[i].run_ns, children = 0;

		if (was != NULL && was->start == tasks[i].start) {
			ns -= MIN(was->run_ns, ns);
			children = tasks[i].child_ticks - MIN(was->child_ticks, tasks[i].child_ticks);
			if (children <= most_ticks)
				ns += children * tick_ns();
		}
		refs[i] = (struct task_ref){
			.tid = tasks[i].tid, .start = tasks[i].start, .policy = g_rows[i].policy, .nice = g_rows[i].nice,
			.cpu_pm = (uint32_t)MIN(ns * 10 / window, (uint64_t)UINT32_MAX),
		};
	}
	qsort(refs, n, sizeof(*refs), compare_blame);
	ret->group = r->query.group;
	ret->seen = seen;
	ret->n = 0;
	for (uint32_t i = 0; i < n && ret->n < MAX_TASKS; i++) {
		struct task_ref *t = &refs[i];
		char leader[COMM_MAX];

		t->pid = read_tgid(t->tid);
		read_comm(t->tid, t->comm);
		if (t->comm[0] == '\0' || t->pid <= 0)
			continue;               /* it ended meanwhile */
		read_comm(t->pid, leader);
		t->keep = matches(keep, t->comm) || matches(keep, leader);
		ret->tasks[ret->n++] = *t;
	}
	(void)listen_mark(ret->tasks, ret->n, r->query.ports, r->query.n_ports, LISTEN_WITHIN);
	return 0;
}

struct finding {
	const char *controller;
	const struct talk_globs *globs;
	rank_found_fn fn;
	void *data;
	uint32_t n;
	bool cut;
	uint64_t seen[FIND_ROWS_MAX];   /* hashes of what was told */
};

static uint64_t hash(const char *text, uint64_t h)
{
	for (; *text != '\0'; text++)
		h = (h ^ (uint8_t)*text) * UINT64_C(1099511628211);
	return (h ^ 0xff) * UINT64_C(1099511628211);
}

static void find_one(int32_t pid, const char *shown, void *data)
{
	struct finding *f = data;
	struct talk_found_row row;
	char path[48], text[8192];
	uint64_t h;

	/* The library's name may differ from the kernel's only where it is odd: then ask. */
	(void)str_copy(row.comm, sizeof(row.comm), shown);
	for (const char *c = shown; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e || *c == '?' || *c == '.' || *c == '\\') {
			read_comm(pid, row.comm);
			break;
		}
	if (!matches(f->globs, row.comm))
		return;
	(void)str_format(path, sizeof(path), "/proc/%d/cgroup", pid);
	if (root_read_file(AT_FDCWD, path, text, sizeof(text)) <= 0 ||
	    cgpath_of(text, f->controller, row.path, sizeof(row.path)) < 0)
		return;
	h = hash(row.comm, hash(row.path, UINT64_C(14695981039346656037)));
	for (uint32_t i = 0; i < f->n; i++)
		if (f->seen[i] == h)
			return;
	if (f->n == FIND_ROWS_MAX) {
		f->cut = true;
		return;
	}
	f->seen[f->n++] = h;
	f->fn(&row, f->data);
}

int rank_find(struct names *names, const char *controller, const struct talk_globs *globs, rank_found_fn fn, void *data)
{
	static struct finding f;
	int r;

	f = (struct finding){ .controller = controller, .globs = globs, .fn = fn, .data = data };
	r = names_sweep(names, FIND_PROCS_MAX, find_one, &f);
	if (r < 0 && r != -E2BIG)
		return r;
	return r == -E2BIG || f.cut ? 1 : 0;
}
