/* SPDX-License-Identifier: Apache-2.0 */
/* control: the guard's end of the control socket (see ctl/socket.h). Anyone may ask
 * to read; what changes something needs uid 0, checked by the peer's credentials.
 * One client at a time is served, each for CONTROL_PATIENCE at most; no allocation. */
#pragma once

#include <stdbool.h>

#include "base/json.h"
#include "ctl/socket.h"
#include "sys/loop.h"

#define CONTROL_PATIENCE (2 * USEC_PER_SEC)

struct control;

/* Fills the answer. `argument` is what follows the first blank, "" where nothing does;
 * it is hostile. `root`: the peer is uid 0. */
typedef void (*control_handler_t)(struct json *answer, const char *verb, const char *argument, bool root, void *data);

struct control {
	struct loop *loop;
	control_handler_t handler;
	void *data;
	struct loop_source listener, client;
	struct loop_timer patience;
	bool root, answering;
	size_t used, sent, size;
	char request[CONTROL_REQUEST_MAX];
	char answer[CONTROL_ANSWER_MAX];
};

/* Listens at RUNDIR/CONTROL_SOCKET; a stale socket is replaced. 0 or -errno. */
int  control_init(struct control *c, struct loop *l, const char *rundir, control_handler_t handler, void *data);
void control_deinit(struct control *c);
