/* SPDX-License-Identifier: Apache-2.0 */
/* child: fork and exec with nothing of ours left in it.
 *
 * The parent is the guard, which must not wait: there is no pipe on which a failed
 * exec would be reported (a loaded machine takes a second to get that far), it is
 * an exit with 127 like any other end. The pidfd is taken right after the fork: the
 * child cannot be reaped by anybody but us, so the pid is still its own. */
#include "sys/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macro.h"

#define KILL_WAIT_MSEC 5000

static char *const g_env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", NULL };

static int start(struct child *c);

/* From here to exec only system calls: the fork copied whatever state libc was in. */
static _Noreturn void become(const struct child_spec *s, pid_t parent)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	int high[CHILD_FDS_MAX];
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &dfl, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		_exit(CHILD_EXEC_FAILED);
	if (s->enter != NULL && s->enter(s->data) < 0)
		_exit(CHILD_EXEC_FAILED);
	/* First above all targets, so that none is overwritten before it is copied. */
	for (int i = 0; i < s->n_fds; i++) {
		high[i] = fcntl(s->fds[i], F_DUPFD_CLOEXEC, 3 + CHILD_FDS_MAX);
		if (high[i] < 0)
			_exit(CHILD_EXEC_FAILED);
	}
	for (int i = 0; i < s->n_fds; i++)
		if (dup2(high[i], 3 + i) < 0)
			_exit(CHILD_EXEC_FAILED);
	if (syscall(SYS_close_range, 3 + s->n_fds, ~0U, 0) < 0)
		for (int fd = 3 + s->n_fds; fd < 1024; fd++)
			(void)close(fd);
	(void)execve(s->argv[0], s->argv, s->envp != NULL ? s->envp : g_env);
	_exit(CHILD_EXEC_FAILED);
}

static int again(struct loop *l, struct loop_timer *t, void *data)
{
	struct child *c = data;

	if (start(c) < 0) {
		c->backoff = MIN(MAX(c->backoff * 2, CHILD_BACKOFF_MIN), CHILD_BACKOFF_MAX);
		loop_set_timer(l, t, loop_now(l) + c->backoff, again, c);
	}
	return 0;
}

static bool reap(struct child *c, int *ret_code, int *ret_status)
{
	siginfo_t info = { 0 };

	if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG) < 0) {
		if (errno != ECHILD)
			return false;
		info.si_code = CLD_EXITED;      /* somebody else reaped it: gone all the same */
	} else if (info.si_pid == 0)
		return false;
	loop_remove(c->loop, &c->source);
	if (c->pidfd >= 0)
		(void)close(c->pidfd);
	c->pidfd = -1;
	c->pid = 0;
	*ret_code = info.si_code;
	*ret_status = info.si_status;
	return true;
}

static int on_end(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	struct child *c = data;
	int code, status;

	if (!reap(c, &code, &status))
		return 0;
	if (c->spec.restart) {
		if (loop_now(l) - c->started >= CHILD_BACKOFF_MAX)
			c->backoff = 0;
		c->backoff = c->backoff == 0 ? CHILD_BACKOFF_MIN : MIN(c->backoff * 2, CHILD_BACKOFF_MAX);
		loop_set_timer(l, &c->timer, loop_now(l) + c->backoff, again, c);
	}
	if (c->spec.ended != NULL)
		c->spec.ended(c, code, status, c->spec.data);
	return 0;
}

static int start(struct child *c)
{
	pid_t parent = getpid(), pid;
	int r;

	if (c->spec.prepare != NULL) {
		r = c->spec.prepare(c->spec.data);
		if (r < 0)
			return r;
	}
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become(&c->spec, parent);
	c->pid = pid;
	c->started = loop_now(c->loop);
	c->starts++;
	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	r = c->pidfd < 0 ? -errno : loop_add(c->loop, &c->source, c->pidfd, EPOLLIN, on_end, c);
	if (r < 0) {
		/* Without its end as an event it would never be reaped. */
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		if (c->pidfd >= 0)
			(void)close(c->pidfd);
		c->pidfd = -1;
		c->pid = 0;
		return r;
	}
	if (c->spec.started != NULL)
		c->spec.started(c, c->spec.data);
	return 0;
}

int child_start(struct child *c, struct loop *l, const struct child_spec *spec)
{
	if (spec->n_fds < 0 || spec->n_fds > CHILD_FDS_MAX)
		return -EINVAL;
	*c = CHILD_INIT;
	c->loop = l;
	c->spec = *spec;
	return start(c);
}

void child_set_fd(struct child *c, int index, int fd)
{
	if (index >= 0 && index < CHILD_FDS_MAX)
		c->spec.fds[index] = fd;
}

int child_signal(struct child *c, int signo)
{
	if (c->pid == 0)
		return -ESRCH;
	return syscall(SYS_pidfd_send_signal, c->pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

bool child_ask_stop(struct child *c, usec_t wait)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };

	if (c->loop == NULL)
		return true;
	c->spec.restart = false;
	loop_cancel_timer(c->loop, &c->timer);
	if (c->pid == 0)
		return true;
	(void)child_signal(c, SIGTERM);
	return poll(&p, 1, (int)MIN(wait / USEC_PER_MSEC, (usec_t)600000)) == 1;
}

void child_stop(struct child *c, usec_t wait)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
	bool ended = child_ask_stop(c, wait);
	int code, status;

	if (c->loop == NULL || c->pid == 0)
		return;
	if (!ended) {
		(void)child_signal(c, SIGKILL);
		(void)poll(&p, 1, KILL_WAIT_MSEC);  /* it needs a CPU to die; in D state it does not: go on */
	}
	if (!reap(c, &code, &status)) {
		loop_remove(c->loop, &c->source);
		(void)close(c->pidfd);
		c->pidfd = -1;
		c->pid = 0;
	} else if (c->spec.ended != NULL)
		c->spec.ended(c, code, status, c->spec.data);
}
