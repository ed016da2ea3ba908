/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkchurn: many parents that fork short-lived children without pause.
 *
 *   forkchurn [-n PARENTS] [-d SECONDS] [-u MICROSECONDS] [-k CHILDREN] [-r]
 *
 * Each parent keeps CHILDREN (default 1) alive at a time; a child works for
 * MICROSECONDS of CPU (default 0) and exits. The number of forks is kept in
 * shared memory; -r prints "forks N" once a second, and a last line
 * "forks-per-second N" always comes at the end. The number of processes is
 * bounded by PARENTS * (CHILDREN + 1) at any time: this is churn, not a bomb, so
 * a machine never runs out of pids by a test.
 *
 * It ends after SECONDS (default 60) by itself, and dies with its parent; so do
 * the parents it forks and their children.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_SECONDS 3600
#define MAX_PARENTS 1024
#define MAX_CHILDREN 64
#define MAX_USEC 1000000

static double now(clockid_t clock) {
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int die_with_parent(pid_t parent) {
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

static void work(int usec) {
	double end = now(CLOCK_PROCESS_CPUTIME_ID) + usec / 1e6;

	while (now(CLOCK_PROCESS_CPUTIME_ID) < end)
		;
}

/* A failed fork (pids.max, EAGAIN) is what relief may look like: wait and go on. */
static void churn(double end, int usec, int children, uint64_t *forks) {
	const struct timespec pause = { .tv_nsec = 10000000 };
	pid_t self = getpid();
	int alive = 0;

	while (now(CLOCK_MONOTONIC) < end) {
		pid_t pid = fork();

		if (pid == 0) {
			if (usec > 0 && die_with_parent(self) == 0)
				work(usec);
			_exit(0);
		}
		if (pid < 0)
			nanosleep(&pause, NULL);
		else {
			__atomic_fetch_add(forks, 1, __ATOMIC_RELAXED);
			alive++;
		}
		while (alive > 0 && waitpid(-1, NULL, alive >= children ? 0 : WNOHANG) > 0)
			alive--;
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static int number(const char *s, int lowest, int highest, int *ret) {
	char *end;
	long v = strtol(s, &end, 10);

	if (*s == '\0' || *end != '\0' || v < lowest || v > highest) {
		fprintf(stderr, "forkchurn: \"%s\" is not a number from %d to %d\n", s, lowest, highest);
		return -EINVAL;
	}
	*ret = (int)v;
	return 0;
}

int main(int argc, char **argv) {
	int parents = 64, seconds = 60, usec = 0, children = 1, report = 0, c;
	double start, end;
	uint64_t *forks;
	pid_t self;

	while ((c = getopt(argc, argv, "n:d:u:k:r")) != -1) {
		int r = 0;

		switch (c) {
		case 'n': r = number(optarg, 1, MAX_PARENTS, &parents); break;
		case 'd': r = number(optarg, 1, MAX_SECONDS, &seconds); break;
		case 'u': r = number(optarg, 0, MAX_USEC, &usec); break;
		case 'k': r = number(optarg, 1, MAX_CHILDREN, &children); break;
		case 'r': report = 1; break;
		default: r = -EINVAL;
		}
		if (r < 0) {
			fprintf(stderr, "usage: forkchurn [-n PARENTS] [-d SECONDS] [-u MICROSECONDS] [-k CHILDREN] [-r]\n");
			return 64;
		}
	}
	if (die_with_parent(getppid()) < 0)
		return 1;
	forks = mmap(NULL, sizeof *forks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (forks == MAP_FAILED) {
		fprintf(stderr, "forkchurn: mmap: %s\n", strerror(errno));
		return 1;
	}
	self = getpid();
	start = now(CLOCK_MONOTONIC);
	end = start + seconds;
	for (int i = 0; i < parents; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			fprintf(stderr, "forkchurn: fork: %s\n", strerror(errno));
			return 1;
		}
		if (pid == 0) {
			if (die_with_parent(self) == 0)
				churn(end, usec, children, forks);
			_exit(0);
		}
	}
	while (now(CLOCK_MONOTONIC) < end) {
		sleep(1);
		if (report) {
			printf("forks %llu\n", (unsigned long long)__atomic_load_n(forks, __ATOMIC_RELAXED));
			fflush(stdout);
		}
	}
	while (wait(NULL) > 0 || errno == EINTR)
		;
	printf("forks-per-second %.0f\n", (double)*forks / (now(CLOCK_MONOTONIC) - start));
	return 0;
}
