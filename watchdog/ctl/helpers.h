/* SPDX-License-Identifier: Apache-2.0 */
/* helpers: the guard's end towards steward and courier. Asks are sent and forgotten;
 * answers come back as callbacks. A helper that is absent, hangs or sends nonsense
 * costs the guard nothing: its socket is closed, the asks fail at once or by the
 * engine's own deadline. */
#pragma once

#include <stdbool.h>

#include "core/event.h"
#include "core/policy.h"
#include "steward/talk.h"
#include "sys/child.h"
#include "sys/gate.h"
#include "sys/loop.h"
#include "sys/owngroup.h"

#define HELPERS_OWN_ID (UINT64_C(1) << 63)      /* ids of the guard's own asks; the others are action ids */
#define HELPERS_WEIGHT  1000                    /* of a cgroup of their own, on the v2 scale */
#define HELPERS_ACCEPTS 20                      /* connections a second; beyond: they wait */
#define HELPERS_STOP (20 * USEC_PER_SEC)        /* at a stop, for a steward that puts back through a starved systemd */
#define HELPERS_PATIENCE (2 * USEC_PER_SEC)     /* of that, without a word */
#define HELPERS_SILENCE (30 * USEC_PER_SEC)     /* an ask unanswered for so long: the helper is cut off */

struct helper_link {
	enum protocol_role role;
	struct loop_source source;
	struct child child;
	int child_end;                  /* our copy of the child's socket end while it starts */
	usec_t asked;                   /* oldest unanswered ask; 0 = none */
	bool hello;
	char path[256], fd_text[8];
	char *argv[6];
};

struct helpers_ops {
	void (*hello)(enum protocol_role role, const char *missing, void *data);
	void (*gone)(enum protocol_role role, void *data);
	void (*answer)(const struct talk_answer *a, struct wire *w, void *data);   /* read the body from w at once */
	void (*ended)(enum protocol_role role, const char *how, void *data);       /* a child of ours ended */
};

struct helpers {
	struct loop *loop;
	const struct helpers_ops *ops;
	void *data;
	const char *rundir;
	bool stopping;
	bool spawned;                   /* both are our children */
	bool puts_back;                 /* the steward holds lifelines: its end is worth waiting for */
	struct gate gate;               /* of the socket at which they connect */
	struct loop_source pending;
	struct helper_link link[2];     /* steward, courier */
	uid_t courier;                  /* of the user `reprieve`, 0 = there is none */
	struct owngroup group;          /* where children live, in the foreground; none under systemd */
	struct wire out, in;
};

/* spawn: start both ourselves from `dir` (in the foreground, without systemd); else wait
 * for them to connect. 0 or -errno. */
int  helpers_init(struct helpers *h, struct loop *l, const char *rundir, bool spawn, const char *dir, const struct helpers_ops *ops, void *data);
void helpers_deinit(struct helpers *h);
/* Children of ours into a cgroup of their own with a raised weight, where that can be made;
 * or back to where we are, and it is removed, as in observe mode. */
void helpers_raise(struct helpers *h, bool raised);
/* Who the courier may be, and that the socket lets it in: after helpers_init and at a
 * reload. 0; -errno: root alone may connect. */
int  helpers_lookup(struct helpers *h);
bool helpers_have(const struct helpers *h, enum protocol_role role);

/* Fill helpers.out with a talk_ask_*, then this. 0; -ENOTCONN; -EAGAIN: it does not read. */
int  helpers_ask(struct helpers *h, enum protocol_role role);
