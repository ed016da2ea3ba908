/* SPDX-License-Identifier: Apache-2.0 */
/* recorder: the flight record of an incident, RUNDIR/flight-N.trace (core/trace.h), for
 * `reprieve replay`. A record begins when the engine leaves calm and ends when it is calm
 * again; the newest RECORDER_KEPT are kept. Bounded in bytes: what comes beyond is left
 * out and said in the record. Nothing allocates after recorder_new(); a full disk ends
 * the record, never the guard. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/engine.h"

#define RECORDER_KEPT 2

struct recorder;

int  recorder_new(struct recorder **ret, int rundir_fd, uint64_t most_bytes);
struct recorder *recorder_free(struct recorder *r);     /* NULL is fine; gives NULL */

/* After each engine_step(): the event and what it led to. */
void recorder_event(struct recorder *r, const struct engine *e, const struct event *event, const struct actions *actions);

/* Why nothing is recorded any more; NULL: all is well. Said once per record. */
const char *recorder_trouble(struct recorder *r);
