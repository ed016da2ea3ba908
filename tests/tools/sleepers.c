/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sleepers: tasks that exist and do nothing, to see what a crowd costs.
 *
 *   sleepers -n THREADS [-d SECONDS]
 *
 * Prints "ready" once all threads sleep. Ends after SECONDS (default 600) by itself
 * and dies with its parent.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MAX_THREADS 20000
#define MAX_SECONDS 3600
#define STACK (64 * 1024)

static void *rest(void *arg) {
	for (;;)
		pause();
	return arg;
}

int main(int argc, char **argv) {
	pid_t parent = getppid();
	int threads = 1, seconds = 600, c;
	pthread_attr_t attr;

	while ((c = getopt(argc, argv, "n:d:")) != -1)
		if (c == 'n')
			threads = atoi(optarg);
		else if (c == 'd')
			seconds = atoi(optarg);
		else
			return 64;
	if (threads < 1 || threads > MAX_THREADS || seconds < 1 || seconds > MAX_SECONDS)
		return 64;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return 1;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (int i = 1; i < threads; i++) {
		pthread_t t;

		if (pthread_create(&t, &attr, rest, NULL) != 0) {
			fprintf(stderr, "sleepers: only %d threads could be made\n", i);
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	sleep((unsigned)seconds);
	return 0;
}
