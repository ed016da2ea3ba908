/* SPDX-License-Identifier: Apache-2.0 */
/* recorder: the flight record of an incident, RUNDIR/flight-N.trace (core/trace.h), for
 * `reprieve replay`. A record begins when the engine leaves calm and ends when it is calm
 * again; the newest RECORDER_KEPT are kept. Bounded in bytes: what comes beyond is left
 * out and said in the record. Nothing allocates after recorder_new(); a full disk ends
 * the record, never the guard. Numbers go on where an earlier guard's ended: the record
 * of the incident in which that one died is not written over by the next alarm. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/engine.h"

#define RECORDER_KEPT 2
#define RECORDER_LOOKS 4096       /* names in the run directory that are looked at; beyond: an older record may stay */

struct recorder;

/* Looks for records of earlier guards, and removes all but the newest. 0 or -errno. */
int  recorder_new(struct recorder **ret, int rundir_fd, uint64_t most_bytes);
struct recorder *recorder_free(struct recorder *r);     /* NULL is fine; gives NULL */

/* After each engine_step(): the event and what it led to. */
void recorder_event(struct recorder *r, const struct engine *e, const struct event *event, const struct actions *actions);

/* True once where something is to be said: a record cannot go on (*what and *remedy are
 * static text), or, after such a one, a later record has begun well (*what is NULL). */
bool recorder_trouble(struct recorder *r, const char **what, const char **remedy);
