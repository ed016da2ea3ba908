/* SPDX-License-Identifier: Apache-2.0 */
/* gate: a listening socket from which so many connections are taken a second and no
 * more (a token bucket). Who comes beyond waits in the kernel's queue, then in
 * connect(), where waiting costs us nothing. No allocation. */
#pragma once

#include "sys/loop.h"

#define GATE_SHUT (100 * USEC_PER_MSEC) /* for so long, once the bucket is empty: one wake-up instead of many */

struct gate {
	struct loop_source source;      /* fd -1: not open */
	struct loop_timer opens;
	usec_t each, filled;            /* a token comes so often; the latest came then */
	unsigned tokens, most;
	loop_source_fn fn;
	void *data;
};
#define GATE_INIT ((struct gate){ .source = LOOP_SOURCE_INIT, .opens = LOOP_TIMER_INIT })

/* fn accepts one connection of s->fd. `rate` a second, `most` at once after a rest. The fd
 * is the gate's from then on. 0 or -errno (the fd is still the caller's). */
int  gate_open(struct gate *g, struct loop *l, int fd, unsigned rate, unsigned most, loop_source_fn fn, void *data);
void gate_close(struct gate *g, struct loop *l);        /* closes the fd; also what was never opened */
