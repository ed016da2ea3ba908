/* SPDX-License-Identifier: Apache-2.0 */
/* rt: SCHED_FIFO 1 first. Under 64 groups of 2 hogs it wakes 0.1 ms late (p99),
 * an own cgroup at the highest weight 34 ms late.
 *
 * Where the kernel has RT_GROUP_SCHED (Amazon Linux 2023 among others), FIFO in a
 * cpu cgroup below the root is EPERM even for root, until that cgroup and all above
 * it have a budget in cpu.rt_runtime_us. That file exists on v1 only. It is set
 * here, top down, after the originals were written down, and put back bottom up; a
 * budget cannot be taken away from a group with a real-time task in it (EBUSY), so
 * rt_restore makes the caller ordinary first.
 *
 * A real-time loop that runs wild would be the very thing this program is against:
 * RLIMIT_RTTIME sends SIGXCPU after RT_BUDGET of CPU time without one blocking call,
 * and the handler makes us an ordinary task. sched_setscheduler is safe there.
 * RESET_ON_FORK keeps children ordinary.
 *
 * A guard started in mid-runaway competes from its first instruction, so rt_begin()
 * takes what changes nothing outside of the process at once; the budget has to be
 * written down first and comes with rt_raise(). A budget is made for ticks: what a
 * start takes in one go (policies, the probe's verification) would be throttled in it
 * for seconds, so in a cgroup with a small one the start is ordinary, at nice -20.
 *
 * MCL_ONFAULT locks what is touched, not what is mapped; the stack is touched here
 * so that a deep call in an emergency does not fault. */
#include "sys/rt.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/owngroup.h"
#include "sys/root.h"

#define RT_LEVELS_MAX 16        /* depth of cgroup that gets a budget; beyond: none does */
#define STACK_TOUCH   (256 * 1024)
#define RT_KNOB       "/cpu.rt_runtime_us"
#define START_RUNTIME_US 500000 /* per second: from that budget on a start is not throttled much */

static volatile sig_atomic_t g_fell_back;

const char *rt_class_to_string(enum rt_class c)
{
	switch (c) {
	case RT_FIFO:        return "real-time";
	case RT_FIFO_BUDGET: return "real-time, with a budget set for its cgroup";
	case RT_NICE:        return "nice -20";
	case RT_NONE:        break;
	}
	return "ordinary";
}

static int set_fifo(void)
{
	struct sched_param p = { .sched_priority = 1 };

	return sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &p) < 0 ? -errno : 0;
}

static void on_budget(int signo)
{
	struct sched_param p = { 0 };
	int saved = errno;

	(void)sched_setscheduler(0, SCHED_OTHER, &p);
	g_fell_back = 1;
	errno = saved;
}

/* Our directory in the v1 cpu hierarchy. -ENOENT: cpu is not on v1, or we are at its root. */
static int own_v1_dir(char *buf, size_t size, size_t *ret_mount)
{
	bool v2;
	int r = owngroup_self(buf, size, ret_mount, &v2);

	return r < 0 ? r : v2 || buf[*ret_mount] == '\0' ? -ENOENT : 0;
}

/* Gives a budget to our v1 cgroup and all above it that have none, and says of which. */
static int give_budget(int rundir, char text[static RT_TEXT_MAX])
{
	char dir[1024], record[4096] = "", value[32], name[64];
	size_t mount = 0, ends[RT_LEVELS_MAX];
	int n = 0, given = 0, r = own_v1_dir(dir, sizeof(dir), &mount);

	if (r < 0)
		return r;
	for (size_t i = mount + 1; dir[i - 1] != '\0'; i++)
		if (dir[i] == '/' || dir[i] == '\0') {
			if (n == RT_LEVELS_MAX)
				return -E2BIG;
			ends[n++] = i;
		}
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < n; i++) {
			char path[1024 + 32];
			int64_t now;

			(void)str_format(path, sizeof(path), "%.*s" RT_KNOB, (int)ends[i], dir);
			r = root_read_i64(AT_FDCWD, path, &now);
			if (r < 0)
				return r;
			if (now >= RT_RUNTIME_US || now == -1)
				continue;
			if (pass == 0) {
				if (!str_appendf(record, sizeof(record), "%lld %s\n", (long long)now, path))
					return -E2BIG;
				continue;
			}
			(void)str_format(value, sizeof(value), "%d", RT_RUNTIME_US);
			r = root_write_file(AT_FDCWD, path, value);
			if (r < 0) {
				(void)rt_restore(rundir);
				return r;
			}
			given++;
		}
		if (pass == 0) {
			r = root_replace_file(rundir, RT_FILE, record, strlen(record), 0600);
			if (r < 0)
				return r;
		}
	}
	if (given > 0)
		(void)str_format(text, RT_TEXT_MAX, "cpu.rt_runtime_us is set to %d in %d cgroup%s (%s and what is above it); put back at stop",
				 RT_RUNTIME_US, given, given == 1 ? "" : "s", str_escape(name, sizeof(name), dir + mount));
	return 0;
}

int rt_parse_line(const char *line, int64_t *ret_runtime, const char **ret_path)
{
	long long v;
	char *end;

	if ((line[0] < '0' || line[0] > '9') && !str_starts(line, "-1 "))
		return -EBADMSG;
	errno = 0;
	v = strtoll(line, &end, 10);
	/* What is written to is a budget, whatever the file says. */
	if (errno != 0 || *end != ' ' || end[1] != '/' || !str_ends(end, RT_KNOB) || strstr(end, "/../") != NULL)
		return -EBADMSG;
	*ret_runtime = v;
	*ret_path = end + 1;
	return 0;
}

int rt_restore(int rundir)
{
	char record[4096], *end;
	struct sched_param p = { 0 };
	ssize_t n = root_read_file(rundir, RT_FILE, record, sizeof(record));
	int r = 0;

	if (n == -ENOENT)
		return 0;
	if (n < 0)
		return (int)n;
	(void)sched_setscheduler(0, SCHED_OTHER, &p);
	/* Last line first: the deepest. */
	for (end = record + n; end > record; ) {
		char *line = end, value[32];
		const char *path;
		int64_t v;
		int q;

		/* The last one may have lost its end. */
		if (line[-1] == '\n')
			*--line = '\0';
		while (line > record && line[-1] != '\n')
			line--;
		end = line;
		if (rt_parse_line(line, &v, &path) < 0)
			continue;
		(void)str_format(value, sizeof(value), "%lld", (long long)v);
		q = root_write_file(AT_FDCWD, path, value);
		if (q < 0 && q != -ENOENT && q != -ENODEV)
			r = q;
	}
	if (r == 0 && unlinkat(rundir, RT_FILE, 0) < 0)
		r = -errno;
	return r;
}

static void touch_stack(void)
{
	volatile char page[STACK_TOUCH];

	for (size_t i = 0; i < sizeof(page); i += 1024)
		page[i] = 0;
}

/* RESET_ON_FORK here too: children shall not have the nice value. */
static bool set_nice(void)
{
	struct sched_param p = { 0 };

	(void)sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &p);
	return setpriority(PRIO_PROCESS, 0, -20) == 0;
}

/* At most so much CPU time in one go as a real-time task. A sleep begins the count anew. */
static void limit_turn(usec_t most)
{
	struct rlimit limit = { .rlim_cur = most, .rlim_max = RLIM_INFINITY };
	struct sigaction sa = { .sa_handler = on_budget, .sa_flags = SA_RESTART };
	struct timespec moment = { .tv_nsec = 50000 };

	(void)sigaction(SIGXCPU, &sa, NULL);
	(void)nanosleep(&moment, NULL);
	(void)setrlimit(RLIMIT_RTTIME, &limit);
}

static bool has_small_budget(void)
{
	char dir[1024], path[1024 + 32];
	size_t mount = 0;
	int64_t now;

	return own_v1_dir(dir, sizeof(dir), &mount) == 0 && str_format(path, sizeof(path), "%s" RT_KNOB, dir) &&
	       root_read_i64(AT_FDCWD, path, &now) == 0 && now >= 0 && now < START_RUNTIME_US;
}

void rt_begin(void)
{
	limit_turn(RT_START_BUDGET);
	if (has_small_budget() || set_fifo() < 0)
		(void)set_nice();
}

static void raise_scheduling(int rundir, struct rt_report *ret)
{
	int r, b = 0;

	limit_turn(RT_BUDGET);
	g_fell_back = 0;                /* what the start used up is no tick */
	r = set_fifo();
	ret->scheduling = RT_FIFO;
	if (r == 0)
		return;
	if (r == -EPERM && rundir >= 0) {
		b = give_budget(rundir, ret->budget_text);
		if (b == 0 && set_fifo() == 0) {
			ret->scheduling = RT_FIFO_BUDGET;
			return;
		}
		if (b == 0)
			(void)rt_restore(rundir);
		ret->budget_text[0] = '\0';
	}
	ret->scheduling = set_nice() ? RT_NICE : RT_NONE;
	(void)str_format(ret->scheduling_text, RT_TEXT_MAX, "no real-time scheduling (%s): %s", strerror(-r),
			 geteuid() != 0 || r != -EPERM ? "start it as root, with CAP_SYS_NICE and without RestrictRealtime="
			 : "RT_GROUP_SCHED gives our cgroup no cpu.rt_runtime_us; run it in the root cpu cgroup");
}

void rt_raise(int rundir, struct rt_report *ret)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	int r;

	*ret = (struct rt_report){ 0 };
	touch_stack();
	(void)setrlimit(RLIMIT_MEMLOCK, &all);
	ret->locked = mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
	if (!ret->locked)
		(void)str_format(ret->locked_text, RT_TEXT_MAX, "memory is not locked (%s): give it LimitMEMLOCK=infinity or CAP_IPC_LOCK",
				 strerror(errno));
	r = root_write_file(AT_FDCWD, "/proc/self/oom_score_adj", "-950");
	ret->oom = r == 0;
	if (!ret->oom)
		(void)str_format(ret->oom_text, RT_TEXT_MAX, "the OOM killer may take it (%s): set OOMScoreAdjust=-950 or give it CAP_SYS_RESOURCE",
				 strerror(-r));
	raise_scheduling(rundir, ret);
}

bool rt_fell_back(void)
{
	bool fell = g_fell_back != 0;

	g_fell_back = 0;
	return fell;
}

int rt_again(void)
{
	return set_fifo();
}
