/* SPDX-License-Identifier: Apache-2.0 */
/* loop: one thread, one epoll. File descriptors, timers (absolute,
 * on CLOCK_BOOTTIME) and signals (signalfd) become callbacks. Sources and
 * timers are embedded in the caller's structs: the loop allocates nothing after
 * loop_init. The clock is read once per wake-up; everybody uses loop_now(). */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"

#define LOOP_BATCH_MAX 32       /* epoll events of one wake-up; the rest come with the next */

struct loop;
struct loop_source;
struct loop_timer;

/* Callbacks return 0, or -errno to end loop_run() with it. */
typedef int (*loop_source_fn)(struct loop *l, struct loop_source *s, uint32_t events, void *data);
typedef int (*loop_timer_fn)(struct loop *l, struct loop_timer *t, void *data);
typedef int (*loop_signal_fn)(struct loop *l, int signo, void *data);

struct loop_source {
	int fd;                         /* -1: not added. Never closed by the loop */
	loop_source_fn fn;
	void *data;
};
#define LOOP_SOURCE_INIT ((struct loop_source){ .fd = -1 })

struct loop_timer {
	usec_t at, slack;               /* USEC_INFINITY: not armed */
	loop_timer_fn fn;
	void *data;
	struct loop_timer *next;        /* the loop's */
	bool linked;
};
#define LOOP_TIMER_INIT ((struct loop_timer){ .at = USEC_INFINITY })

struct loop {
	int epoll_fd, timer_fd, signal_fd;
	usec_t now, armed;
	bool exiting;
	int code;
	loop_signal_fn signal_fn;
	void *signal_data;
	struct loop_timer *timers;      /* unsorted: a handful */
	int batch_n;                    /* the wake-up in hand, so that a removed source is not called */
	struct loop_source *batch[LOOP_BATCH_MAX];
	struct loop_source timer_source, signal_source;
};
#define LOOP_INIT ((struct loop){ .epoll_fd = -1, .timer_fd = -1, .signal_fd = -1, .armed = USEC_INFINITY, \
	.timer_source = LOOP_SOURCE_INIT, .signal_source = LOOP_SOURCE_INIT })

int  loop_init(struct loop *l);
void loop_deinit(struct loop *l);

/* events: EPOLLIN and friends, level-triggered. EPOLLERR and EPOLLHUP always come. */
int  loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events, loop_source_fn fn, void *data);
int  loop_modify(struct loop *l, struct loop_source *s, uint32_t events);
void loop_remove(struct loop *l, struct loop_source *s);       /* before the fd is closed; twice is fine */

/* Arms t for `at` (CLOCK_BOOTTIME; USEC_INFINITY disarms). It fires once; fn may
 * arm it again. A time that has passed fires at the next turn. */
void loop_set_timer(struct loop *l, struct loop_timer *t, usec_t at, loop_timer_fn fn, void *data);
/* Fires with the first wake-up after `at`, whatever that is for, and causes one itself
 * only when `slack` has passed without: a wake-up is what an idle program costs. */
void loop_set_timer_lazy(struct loop *l, struct loop_timer *t, usec_t at, usec_t slack, loop_timer_fn fn, void *data);
void loop_cancel_timer(struct loop *l, struct loop_timer *t);

/* Blocks these signals and delivers them to fn; once per loop. */
int  loop_signals(struct loop *l, const sigset_t *set, loop_signal_fn fn, void *data);

usec_t loop_now(const struct loop *l);  /* of this wake-up; before the first: of loop_init */
int  loop_turn(struct loop *l, int timeout_msec);       /* waits once, calls back. 0 or -errno; -1: no time limit */
int  loop_run(struct loop *l);          /* until loop_exit: its code; or the first -errno */
void loop_exit(struct loop *l, int code);

usec_t loop_clock(void);                /* reads CLOCK_BOOTTIME: for mains and tests, not for callbacks */
