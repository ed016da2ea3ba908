/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canary: measures what a login would feel, by being one in small.
 *
 * The probe counts a wait when it ends; an sshd that has waited for ten seconds
 * and still does shows nothing. So a child process, in a cgroup of the standing of
 * sshd's, is woken now and then and burns a few milliseconds of its own CPU time;
 * wall time over CPU time is how many times slower than alone it ran, and a turn
 * under way for long already counts with what it took so far.
 *
 * It is a process and not a thread because a v1 cpu cgroup can hold single threads
 * but a v2 one cannot, and because the guard's own class (real-time) must not leak:
 * the child is made SCHED_OTHER, nice 0, on all CPUs.
 *
 * Both sides share one page. The guard writes a turn's number and wakes the child
 * (one futex call, never blocks); the child writes when it was done. Times are
 * CLOCK_MONOTONIC, which both read alike. The child dies with its parent.
 */
#include "sense/canary.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/str.h"
#include "sys/owngroup.h"

#define LATE_FACTOR 4           /* a running turn counts from this many times its CPU time on */
#define DIR_MAX     768
#define SPIN        2000        /* steps between two looks at the clock, some microseconds */

/* One page. Each field has one writer; ended is written last. */
struct page {
	uint32_t asked;                 /* guard: number of the turn, the futex */
	uint32_t ended;                 /* child: number of the turn that is over */
	uint64_t from_us;               /* guard */
	uint64_t to_us, cpu_us;         /* child */
};

struct canary {
	pid_t pid;
	struct page *page;
	uint32_t told;                  /* the last turn given out */
	usec_t cpu;
	int32_t weight;                 /* still to be set; 0 = done, or none wanted */
	int32_t wanted;                 /* what was set, for a cgroup that has to be made again */
	bool v1, rests;
	char dir[DIR_MAX];              /* "" = none made */
	char home[DIR_MAX * 2];         /* where we were when it began */
};

static usec_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (usec_t)t.tv_sec * USEC_PER_SEC + (usec_t)t.tv_nsec / 1000;
}

static long futex(uint32_t *at, int op, uint32_t value)
{
	return syscall(SYS_futex, at, op, value, NULL, NULL, 0);
}

static void burn(usec_t cpu)
{
	usec_t end = clock_us(CLOCK_THREAD_CPUTIME_ID) + cpu;
	volatile unsigned i;

	do {
		for (i = 0; i < SPIN; i++)
			;
	} while (clock_us(CLOCK_THREAD_CPUTIME_ID) < end);
}

/* By the parent: a v1 group without real-time budget refuses a real-time task, and
 * the child may not have run yet when it is moved there. */
static void make_ordinary(pid_t pid)
{
	const struct sched_param none = {};
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	(void)sched_setscheduler(pid, SCHED_OTHER, &none);
	(void)setpriority(PRIO_PROCESS, (id_t)pid, 0);
	(void)sched_setaffinity(pid, sizeof(all), &all);
}

static void close_all(void)
{
	int fd;

	if (syscall(SYS_close_range, 0, ~0U, 0) < 0)
		for (fd = 0; fd < 1024; fd++)
			close(fd);
}

static void __attribute__((noreturn)) child(struct page *page, usec_t cpu, pid_t parent)
{
	uint32_t asked, ended = page->ended;
	usec_t before;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	prctl(PR_SET_NAME, "reprieve-canary");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_IGN);        /* Ctrl-C is the guard's; we go when it goes */
	signal(SIGHUP, SIG_IGN);
	close_all();

	for (;;) {
		asked = __atomic_load_n(&page->asked, __ATOMIC_ACQUIRE);
		if (asked == ended) {
			futex(&page->asked, FUTEX_WAIT, asked);
			continue;
		}
		before = clock_us(CLOCK_THREAD_CPUTIME_ID);
		burn(cpu);
		page->cpu_us = clock_us(CLOCK_THREAD_CPUTIME_ID) - before;
		page->to_us = clock_us(CLOCK_MONOTONIC);
		ended = asked;
		__atomic_store_n(&page->ended, ended, __ATOMIC_RELEASE);
	}
}

static int write_file(const char *dir, const char *file, const char *text)
{
	char path[DIR_MAX + 32];
	int fd, r = 0;

	str_format(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* Where the cpu controller is off there is none to set; the lifelines turn it on later. */
static void weigh(struct canary *c)
{
	char text[32];

	str_format(text, sizeof(text), "%lld", (long long)c->weight * (c->v1 ? 1024 : 100) / 100);
	if (write_file(c->dir, c->v1 ? "cpu.shares" : "cpu.weight", text) == 0)
		c->weight = 0;
}

void canary_set_weight(struct canary *c, int32_t weight)
{
	if (weight > 0)
		c->wanted = weight;
	c->weight = c->dir[0] ? weight : 0;
	if (c->weight > 0)
		weigh(c);
}

static int enter(struct canary *c)
{
	char text[32];

	str_format(text, sizeof(text), "%d", (int)c->pid);
	return write_file(c->dir, "cgroup.procs", text);
}

static int begin(struct canary *c)
{
	pid_t parent = getpid();

	c->pid = fork();
	if (c->pid < 0)
		return -errno;
	if (c->pid == 0)
		child(c->page, c->cpu, parent);
	make_ordinary(c->pid);
	return 0;
}

static void end(struct canary *c)
{
	if (c->pid <= 0)
		return;
	kill(c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

/* Where it cannot go home it ends, and is begun anew there. */
static void leave(struct canary *c)
{
	char text[32];

	if (!c->dir[0])
		return;
	str_format(text, sizeof(text), "%d", (int)c->pid);
	if (c->pid > 0 && (!c->home[0] || write_file(c->home, "cgroup.procs", text) < 0))
		end(c);
	(void)rmdir(c->dir);
	c->dir[0] = '\0';
	c->weight = 0;
}

int canary_place(struct canary *c, const char *dir, bool v1)
{
	int r = 0;

	leave(c);
	if (dir && mkdir(dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (dir && !str_copy(c->dir, sizeof(c->dir), dir)) {
		c->dir[0] = '\0';
		return -ENAMETOOLONG;
	}
	if (dir) {
		c->v1 = v1;
		canary_set_weight(c, c->wanted);
		r = c->pid > 0 ? enter(c) : 0;
	}
	if (r < 0)
		leave(c);
	return r;
}

void canary_rest(struct canary *c, bool rest)
{
	c->rests = rest;
	if (!rest && __atomic_load_n(&c->page->ended, __ATOMIC_ACQUIRE) == c->page->asked)
		c->told = c->page->asked;       /* that was before */
}

struct canary *canary_free(struct canary *c)
{
	if (!c)
		return NULL;
	end(c);
	if (c->dir[0])
		(void)rmdir(c->dir);
	if (c->page)
		munmap(c->page, sizeof(*c->page));
	free(c);
	return NULL;
}

int canary_new(const struct canary_config *config, struct canary **ret)
{
	struct canary *c;
	size_t mount;
	bool v2;
	void *m;
	int r;

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->cpu = config->cpu ? config->cpu : CANARY_CPU_DEFAULT;
	m = mmap(NULL, sizeof(*c->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED) {
		r = -errno;
		canary_free(c);
		return r;
	}
	c->page = m;
	c->wanted = config->weight;
	if (owngroup_self(c->home, sizeof(c->home), &mount, &v2) < 0)
		c->home[0] = '\0';
	r = begin(c);
	if (r == 0 && config->dir)
		r = canary_place(c, config->dir, config->v1);
	if (r < 0) {
		canary_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

enum canary_state canary_state(const struct canary *c)
{
	siginfo_t info = {};

	if (c->pid <= 0 || waitid(P_PID, (id_t)c->pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) < 0)
		return CANARY_GONE;
	return info.si_pid == 0 ? CANARY_RUNS : info.si_code == CLD_STOPPED || info.si_code == CLD_TRAPPED ? CANARY_STOPPED : CANARY_GONE;
}

int canary_revive(struct canary *c)
{
	int r = 0;

	if (canary_state(c) != CANARY_GONE)
		return 0;
	if (c->pid > 0)
		(void)waitpid(c->pid, NULL, WNOHANG);
	c->page->ended = c->told = c->page->asked;
	r = begin(c);
	if (r < 0 || !c->dir[0])
		return r;
	if (mkdir(c->dir, 0755) == 0 && c->wanted > 0) {        /* somebody had removed it */
		c->weight = c->wanted;
		weigh(c);
	}
	r = enter(c);
	if (r < 0)
		(void)kill(c->pid, SIGKILL);    /* in our own cgroup it would tell of us; reaped at the next try */
	return r;
}

void canary_start(struct canary *c)
{
	struct page *p = c->page;

	if (c->rests || __atomic_load_n(&p->ended, __ATOMIC_ACQUIRE) != p->asked)
		return;
	if (c->weight > 0)
		weigh(c);
	p->from_us = clock_us(CLOCK_MONOTONIC);
	__atomic_store_n(&p->asked, p->asked + 1, __ATOMIC_RELEASE);
	futex(&p->asked, FUTEX_WAKE, 1);
}

void canary_read(struct canary *c, struct canary_sample *ret)
{
	const struct page *p = c->page;
	usec_t wall = 0, cpu = c->cpu;
	bool some = false;

	if (p->asked != c->told && !c->rests) {
		if (__atomic_load_n(&p->ended, __ATOMIC_ACQUIRE) == p->asked) {
			c->told = p->asked;
			wall = p->to_us > p->from_us ? p->to_us - p->from_us : 0;
			cpu = p->cpu_us;
			some = true;
		} else {
			wall = clock_us(CLOCK_MONOTONIC) - p->from_us;
			/* A child that somebody killed or stopped waits for nothing. */
			some = wall > LATE_FACTOR * c->cpu && canary_state(c) == CANARY_RUNS;
		}
	}
	*ret = (struct canary_sample){
		.cpu_us = (int32_t)MIN(cpu, (usec_t)INT32_MAX),
		.wall_us = some ? (int32_t)MIN(wall, (usec_t)INT32_MAX) : -1,
	};
}
