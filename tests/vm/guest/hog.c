/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gated load generator for the guest: `hog MODE GATE N` starts N workers
 * that sleep on a futex in the file GATE while its first word is 0 and load
 * the machine while it is not.
 *
 * The gate is what makes an overloaded guest testable: 64 services are started
 * in calm, set off together by one write, and stopped by one write as well,
 * without asking PID 1 for anything while it starves. Sleeping workers cost
 * nothing, so a started but closed hog does not disturb the idle figures.
 *
 *	hog  spin GATE N     burn the CPU
 *	hog  fork GATE N     fork a child that exits at once, for ever
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

static volatile uint32_t *gate;

static void gate_wait(void)
{
	while (*gate == 0)
		syscall(SYS_futex, gate, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void work_spin(void)
{
	for (;;) {
		gate_wait();
		while (*gate != 0)
			for (volatile int i = 0; i < 10000; i++)
				;
	}
}

static void work_fork(void)
{
	for (;;) {
		pid_t pid;

		gate_wait();
		pid = fork();
		if (pid == 0)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		else
			usleep(1000);
	}
}

int main(int argc, char **argv)
{
	void (*work)(void);
	int fd, n;

	if (argc != 4) {
		fprintf(stderr, "usage: hog spin|fork GATE N\n");
		return 64;
	}
	work = strcmp(argv[1], "fork") == 0 ? work_fork : work_spin;
	n = atoi(argv[3]);

	fd = open(argv[2], O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		perror(argv[2]);
		return 1;
	}
	gate = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (gate == MAP_FAILED) {
		perror("mmap");
		return 1;
	}

	for (int i = 1; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			work();
		}
	}
	work();
}
