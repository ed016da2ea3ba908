/* SPDX-License-Identifier: Apache-2.0 */
/* gate: while the bucket is empty the listener is not listened to, since a
 * level-triggered one would wake us for each who waits. */
#include "sys/gate.h"

#include <sys/epoll.h>
#include <unistd.h>

static void fill(struct gate *g, usec_t now)
{
	usec_t n = (now - g->filled) / g->each;

	if (n >= g->most - g->tokens) {
		g->tokens = g->most;
		g->filled = now;
	} else {
		g->tokens += (unsigned)n;
		g->filled += n * g->each;
	}
}

static int on_opens(struct loop *l, struct loop_timer *t, void *data)
{
	struct gate *g = data;

	(void)loop_modify(l, &g->source, EPOLLIN);
	return 0;
}

static int on_listener(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	struct gate *g = data;

	fill(g, loop_now(l));
	if (g->tokens == 0) {
		(void)loop_modify(l, s, 0);
		loop_set_timer(l, &g->opens, loop_now(l) + GATE_SHUT, on_opens, g);
		return 0;
	}
	g->tokens--;
	return g->fn(l, s, events, g->data);
}

int gate_open(struct gate *g, struct loop *l, int fd, unsigned rate, unsigned most, loop_source_fn fn, void *data)
{
	*g = GATE_INIT;
	g->each = USEC_PER_SEC / rate;
	g->filled = loop_now(l);
	g->tokens = g->most = most;
	g->fn = fn;
	g->data = data;
	return loop_add(l, &g->source, fd, EPOLLIN, on_listener, g);
}

void gate_close(struct gate *g, struct loop *l)
{
	int fd = g->source.fd;

	loop_cancel_timer(l, &g->opens);
	loop_remove(l, &g->source);
	if (fd >= 0)
		(void)close(fd);
}
