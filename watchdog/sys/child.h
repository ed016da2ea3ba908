/* SPDX-License-Identifier: Apache-2.0 */
/* child: starts a program, learns of its end through a pidfd in the loop, and
 * starts it again with back-off where asked to. The child gets only the fds named
 * here (as 3, 4, ...) and 0, 1, 2; default signals; SIGTERM when its parent dies.
 * Nothing ever waits for it: a failed exec is an exit with CHILD_EXEC_FAILED. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "sys/loop.h"

#define CHILD_FDS_MAX     4
#define CHILD_EXEC_FAILED 127
#define CHILD_BACKOFF_MIN (1 * USEC_PER_SEC)    /* doubles with each end ... */
#define CHILD_BACKOFF_MAX (60 * USEC_PER_SEC)   /* ... up to this, and begins again after a life as long as this */

struct child;

struct child_spec {
	char *const *argv;              /* argv[0] is the path; kept by reference */
	char *const *envp;              /* NULL: an almost empty one (PATH, LANG=C) */
	int n_fds;
	int fds[CHILD_FDS_MAX];         /* become 3, 4, ... in the child; stay the caller's */
	int  (*prepare)(void *data);    /* before each start, in the parent: fills fds by child_set_fd. May be NULL; <0: try later */
	int  (*enter)(void *data);      /* in the child before exec: joins a cgroup. Async-signal-safe calls only; <0: exit. May be NULL */
	void (*started)(struct child *c, void *data);   /* in the parent, after the fork. May be NULL */
	/* status as of waitid: code CLD_EXITED or CLD_KILLED, and the exit status or signal */
	void (*ended)(struct child *c, int code, int status, void *data);
	void *data;
	bool restart;
};

struct child {
	struct loop *loop;
	struct child_spec spec;
	pid_t pid;                      /* 0: not running */
	int pidfd;
	usec_t started, backoff;
	unsigned starts;
	struct loop_source source;
	struct loop_timer timer;
};
#define CHILD_INIT ((struct child){ .pidfd = -1, .source = LOOP_SOURCE_INIT, .timer = LOOP_TIMER_INIT })

int  child_start(struct child *c, struct loop *l, const struct child_spec *spec);  /* 0 or -errno of the first start */
void child_set_fd(struct child *c, int index, int fd);         /* which fd the next start passes */
int  child_signal(struct child *c, int signo);                 /* 0, -ESRCH where not running */
/* No restart from now on; SIGTERM, up to `wait` for the end: has it come? Not reaped. Blocks: before child_stop() only. */
bool child_ask_stop(struct child *c, usec_t wait);
/* No restart from now on; SIGTERM, up to `wait` for the end, then SIGKILL; reaped. Blocks: for stopping only. */
void child_stop(struct child *c, usec_t wait);
