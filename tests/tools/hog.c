/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hog: burn CPU in a bounded and tidy way.
 *
 *   hog [-n WORKERS] [-t] [-d SECONDS] [-f PRIORITY]
 *
 * Starts WORKERS busy loops (default: one per CPU), as processes, or with -t as
 * threads of one process. -f asks for SCHED_FIFO. Promises, since a load
 * generator that outlives its test makes every later measurement a lie:
 *
 * - it ends after SECONDS (default 60, at most MAX_SECONDS) of wall clock, each
 *   worker by itself, whatever happens to the others;
 * - it dies with whoever started it: every process asks for SIGKILL on the death
 *   of its parent, which also reaches a stopped process;
 * - SIGSTOP and SIGCONT on its process group pause and resume it at once, so a
 *   test can prepare a hundred hogs and let them loose in one system call.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_SECONDS 3600
#define MAX_WORKERS 4096

static struct timespec deadline;

static int deadline_passed(void) {
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > deadline.tv_sec
	       || (now.tv_sec == deadline.tv_sec && now.tv_nsec >= deadline.tv_nsec);
}

static void *burn(void *arg) {
	volatile uint64_t x = 88172645463325252ULL;

	while (!deadline_passed())
		for (int i = 0; i < 200000; i++)
			x = x * 6364136223846793005ULL + 1442695040888963407ULL;
	return arg;
}

static int die_with_parent(pid_t parent) {
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

static int number(const char *s, int lowest, int highest, int *ret) {
	char *end;
	long v = strtol(s, &end, 10);

	if (*s == '\0' || *end != '\0' || v < lowest || v > highest) {
		fprintf(stderr, "hog: \"%s\" is not a number from %d to %d\n", s, lowest, highest);
		return -EINVAL;
	}
	*ret = (int)v;
	return 0;
}

int main(int argc, char **argv) {
	int workers = (int)sysconf(_SC_NPROCESSORS_ONLN), seconds = 60, fifo = 0, threads = 0, c;
	pid_t self;

	while ((c = getopt(argc, argv, "n:td:f:")) != -1) {
		int r = 0;

		switch (c) {
		case 'n': r = number(optarg, 1, MAX_WORKERS, &workers); break;
		case 'd': r = number(optarg, 1, MAX_SECONDS, &seconds); break;
		case 'f': r = number(optarg, 1, 99, &fifo); break;
		case 't': threads = 1; break;
		default: r = -EINVAL;
		}
		if (r < 0) {
			fprintf(stderr, "usage: hog [-n WORKERS] [-t] [-d SECONDS] [-f PRIORITY]\n");
			return 64;
		}
	}
	if (die_with_parent(getppid()) < 0)
		return 1;
	if (fifo) {
		struct sched_param p = { .sched_priority = fifo };

		if (sched_setscheduler(0, SCHED_FIFO, &p) < 0) {
			fprintf(stderr, "hog: SCHED_FIFO refused: %s\n", strerror(errno));
			return 1;
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += seconds;
	self = getpid();
	for (int i = 1; i < workers; i++) {
		if (threads) {
			pthread_t t;

			if (pthread_create(&t, NULL, burn, NULL) != 0)
				return 1;
		} else {
			pid_t pid = fork();

			if (pid < 0) {
				fprintf(stderr, "hog: fork: %s\n", strerror(errno));
				return 1;
			}
			if (pid == 0) {
				if (die_with_parent(self) == 0)
					burn(NULL);
				_exit(0);
			}
		}
	}
	burn(NULL);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	return 0;
}
