/* SPDX-License-Identifier: Apache-2.0 */
/* requests: what the guard does with a line from the control socket: reads state
 * into the answer, or turns an operator's order into an event.
 *   why N [I]          the newest N lines (40; at most WHY_LINES_MAX), of incident I alone
 *   release NAME       every squeezed cgroup of that path or name, raw or as status shows it
 *   pause USEC REASON  1 µs to 7 days from now; more is refused, and so is a reason of
 *                      REASON_TEXT_MAX bytes or more, or none
 * A request is at most CONTROL_REQUEST_MAX bytes; an answer that does not fit into the
 * caller's buffer is the JSON writer's error, which the caller tells. */
#pragma once

#include "ctl/control.h"
#include "ctl/driver.h"

#define PAUSE_FILE "pause"      /* in the run directory: a pause outlives a restart of the guard, */
#define BARRED_FILE "barred"    /* and so do the ten minutes after `release --all` */

struct requests {
	struct driver *driver;
	int rundir_fd;
};

/* A control_handler_t; data is a struct requests. */
void requests_handle(struct json *answer, const char *verb, const char *argument, bool root, void *data);

/* Takes up a pause of an earlier guard of this boot that has not ended. */
void requests_restore_pause(struct requests *r);

/* Until when nothing is squeezed, since everything was released by a command to an earlier guard
 * of this boot; which is said. 0: no. */
usec_t requests_barred(const struct requests *r);
