/* SPDX-License-Identifier: Apache-2.0 */
/* control: the guard's end of the control socket (see ctl/socket.h). Anyone may ask
 * to read; what changes something needs uid 0, checked by the peer's credentials. A
 * request whose sender has hung up before it was its turn is dropped.
 * No client can keep another waiting: up to CONTROL_CLIENTS are listened to at once,
 * each for CONTROL_PATIENCE at most; where all places are taken the one that came first
 * goes, root's last. Others than root get CONTROL_RATE answers a second, and of the socket
 * that is everybody's CONTROL_ACCEPTS connections a second are taken. No allocation. */
#pragma once

#include <stdbool.h>

#include "base/json.h"
#include "ctl/socket.h"
#include "sys/gate.h"

#define CONTROL_PATIENCE (2 * USEC_PER_SEC)
#define CONTROL_CLIENTS  16
#define CONTROL_RATE     50     /* answers a second to others than root, together; beyond: hung up on */
#define CONTROL_ACCEPTS  100    /* connections a second, all together; beyond: they wait in connect() */
#define CONTROL_BURST    50     /* at once after a rest */

struct control;

/* Fills the answer. `argument` is what follows the first blank, "" where nothing does;
 * it is hostile. `root`: the peer is uid 0. */
typedef void (*control_handler_t)(struct json *answer, const char *verb, const char *argument, bool root, void *data);

struct control_client {
	struct control *control;
	struct loop_source source;      /* fd -1: the place is free */
	struct loop_timer patience;
	uint64_t number;                /* ascending: who came first */
	bool root;
	size_t used;
	char request[CONTROL_REQUEST_MAX];
};

struct control {
	struct loop *loop;
	control_handler_t handler;
	void *data;
	struct gate gate;               /* everybody's socket */
	struct loop_source root;        /* root's */
	uint64_t made[2];               /* the sockets' inodes, to know ours by; root's first */
	uint64_t number;
	usec_t second;                  /* of the rate */
	unsigned answered;              /* in it */
	struct control_client client[CONTROL_CLIENTS];
	char answer[CONTROL_ANSWER_MAX];
};

/* Listens at RUNDIR/CONTROL_SOCKET and CONTROL_SOCKET_ROOT; stale ones are replaced. 0 or -errno.
 * control_deinit() removes them, unless another guard has put its own there. */
int  control_init(struct control *c, struct loop *l, const char *rundir, control_handler_t handler, void *data);
void control_deinit(struct control *c);
