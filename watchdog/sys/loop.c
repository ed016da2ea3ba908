/* SPDX-License-Identifier: Apache-2.0 */
/* loop: level-triggered epoll, deliberately plain.
 *
 * Timers are absolute CLOCK_BOOTTIME times: time spent suspended counts, and no
 * rounding adds up from turn to turn. What is more than a second away is waited for by
 * one timerfd, so that a deadline that passed in suspend fires at once after the resume.
 * What is near is waited for by epoll_wait() itself, in milliseconds, rounded up: a tick
 * then costs one system call to wait instead of three (arm, wait, drain; a tenth of what
 * a calm guard costs), and after a resume it is a second late at most. The list is
 * scanned, not sorted: there are about ten.
 *
 * A callback may remove any source, also one whose event waits in the same wake-up:
 * the batch in hand is kept as an array of pointers and a removed one is struck out
 * there. A timer may be cancelled or armed by any callback; to keep that safe, the
 * scan begins anew after each timer that fired. A timer that arms itself for a time
 * that has passed fires in the next turn, not in this one, so that fds get theirs. */
#include "sys/loop.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"

#define NEAR USEC_PER_SEC

usec_t loop_clock(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

static int drain_timer(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	uint64_t expirations;

	(void)!read(s->fd, &expirations, sizeof(expirations));
	l->armed = USEC_INFINITY;       /* it fired: arm again whatever comes first */
	return 0;
}

int loop_init(struct loop *l)
{
	int r;

	*l = LOOP_INIT;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		return -errno;
	l->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->timer_fd < 0) {
		r = -errno;
		loop_deinit(l);
		return r;
	}
	r = loop_add(l, &l->timer_source, l->timer_fd, EPOLLIN, drain_timer, NULL);
	if (r < 0) {
		loop_deinit(l);
		return r;
	}
	l->now = loop_clock();
	return 0;
}

void loop_deinit(struct loop *l)
{
	loop_remove(l, &l->signal_source);
	loop_remove(l, &l->timer_source);
	if (l->signal_fd >= 0)
		(void)close(l->signal_fd);
	if (l->timer_fd >= 0)
		(void)close(l->timer_fd);
	if (l->epoll_fd >= 0)
		(void)close(l->epoll_fd);
	*l = LOOP_INIT;
}

int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events, loop_source_fn fn, void *data)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (s->fd >= 0)
		return -EBUSY;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	s->fd = fd;
	s->fn = fn;
	s->data = data;
	return 0;
}

int loop_modify(struct loop *l, struct loop_source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (s->fd < 0)
		return -ENOENT;
	return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev) < 0 ? -errno : 0;
}

void loop_remove(struct loop *l, struct loop_source *s)
{
	if (s->fd < 0)
		return;
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	for (int i = 0; i < l->batch_n; i++)
		if (l->batch[i] == s)
			l->batch[i] = NULL;
	s->fd = -1;
}

void loop_set_timer(struct loop *l, struct loop_timer *t, usec_t at, loop_timer_fn fn, void *data)
{
	loop_set_timer_lazy(l, t, at, 0, fn, data);
}

void loop_set_timer_lazy(struct loop *l, struct loop_timer *t, usec_t at, usec_t slack, loop_timer_fn fn, void *data)
{
	t->at = at;
	t->slack = slack;
	t->fn = fn;
	t->data = data;
	if (!t->linked && at != USEC_INFINITY) {
		t->next = l->timers;
		l->timers = t;
		t->linked = true;
	}
}

void loop_cancel_timer(struct loop *l, struct loop_timer *t)
{
	struct loop_timer **p = &l->timers;

	t->at = USEC_INFINITY;
	if (!t->linked)
		return;
	while (*p != NULL && *p != t)
		p = &(*p)->next;
	if (*p == t)
		*p = t->next;
	t->next = NULL;
	t->linked = false;
}

static int drain_signals(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	struct signalfd_siginfo info;
	int r;

	while (read(s->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		r = l->signal_fn(l, (int)info.ssi_signo, l->signal_data);
		if (r < 0)
			return r;
	}
	return 0;
}

int loop_signals(struct loop *l, const sigset_t *set, loop_signal_fn fn, void *data)
{
	if (l->signal_fd >= 0)
		return -EBUSY;
	if (sigprocmask(SIG_BLOCK, set, NULL) < 0)
		return -errno;
	l->signal_fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l->signal_fd < 0)
		return -errno;
	l->signal_fn = fn;
	l->signal_data = data;
	return loop_add(l, &l->signal_source, l->signal_fd, EPOLLIN, drain_signals, NULL);
}

usec_t loop_now(const struct loop *l)
{
	return l->now;
}

static int arm(struct loop *l, usec_t first)
{
	struct itimerspec its = {
		.it_value.tv_sec = (time_t)(first / USEC_PER_SEC), .it_value.tv_nsec = (long)(first % USEC_PER_SEC) * 1000,
	};

	if (first == l->armed)
		return 0;
	if (timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL) < 0)
		return -errno;
	l->armed = first;
	return 0;
}

/* Bounds the next wait, in ms (-1: none), by the timers. A timerfd that is still armed
 * for a timer that is gone wakes us once for nothing. */
static int prepare(struct loop *l, int *timeout_msec)
{
	usec_t first = USEC_INFINITY, now;
	int msec;

	for (struct loop_timer *t = l->timers; t != NULL; t = t->next)
		if (t->at < USEC_INFINITY - t->slack)
			first = MIN(first, t->at + t->slack);
	if (first == USEC_INFINITY)
		return 0;
	now = loop_clock();
	if (first > now && first - now > NEAR)
		return arm(l, first);
	msec = first > now ? (int)((first - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC) : 0;
	*timeout_msec = *timeout_msec < 0 ? msec : MIN(msec, *timeout_msec);
	return 0;
}

static int fire(struct loop *l)
{
	struct loop_timer *t;
	int r;

	for (;;) {
		struct loop_timer *due = NULL;

		for (t = l->timers; t != NULL; t = t->next)
			if (t->at <= l->now && (due == NULL || t->at < due->at))
				due = t;
		if (due == NULL)
			return 0;
		loop_cancel_timer(l, due);
		r = due->fn(l, due, due->data);
		if (r < 0)
			return r;
		/* Armed again for the past: one microsecond after now ends this round. */
		if (due->linked && due->at <= l->now)
			due->at = l->now + 1;
	}
}

int loop_turn(struct loop *l, int timeout_msec)
{
	struct epoll_event events[LOOP_BATCH_MAX];
	int n, r = prepare(l, &timeout_msec);

	if (r < 0)
		return r;
	n = epoll_wait(l->epoll_fd, events, LOOP_BATCH_MAX, timeout_msec);
	if (n < 0 && errno != EINTR)
		return -errno;
	l->now = loop_clock();
	l->batch_n = MAX(n, 0);
	for (int i = 0; i < l->batch_n; i++)
		l->batch[i] = events[i].data.ptr;

	r = fire(l);
	for (int i = 0; r == 0 && i < l->batch_n; i++)
		if (l->batch[i] != NULL)
			r = l->batch[i]->fn(l, l->batch[i], events[i].events, l->batch[i]->data);
	l->batch_n = 0;
	return MIN(r, 0);
}

int loop_run(struct loop *l)
{
	while (!l->exiting) {
		int r = loop_turn(l, -1);

		if (r < 0)
			return r;
	}
	return l->code;
}

void loop_exit(struct loop *l, int code)
{
	l->exiting = true;
	l->code = code;
}
