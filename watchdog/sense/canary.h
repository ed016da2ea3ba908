/* SPDX-License-Identifier: Apache-2.0 */
/* canary: a small process of an sshd's standing that wants a little CPU time now
 * and then. How long it takes to get it is what a login would feel. It covers
 * what the probe cannot see: a task that has not run yet. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "core/snapshot.h"

#define CANARY_CPU_DEFAULT (5 * USEC_PER_MSEC)  /* of CPU time per turn */

struct canary;

struct canary_config {
	const char *dir;                /* directory of its cgroup, made and removed here; NULL: with us */
	bool v1;                        /* dir is in a v1 cpu hierarchy */
	int32_t weight;                 /* v2 scale */
	usec_t cpu;                     /* CPU time of a turn */
};

/* Forks the child: at start, before threads and mlockall. 0 or -errno. It dies
 * with the caller. */
int canary_new(const struct canary_config *config, struct canary **ret);
struct canary *canary_free(struct canary *c);           /* ends the child, removes the cgroup */

/* Into a cgroup of its own, which is made; or out of it, and it is removed: dir NULL. 0 or
 * -errno: then it is with us. */
int canary_place(struct canary *c, const char *dir, bool v1);

/* Takes no turns until it shall again. */
void canary_rest(struct canary *c, bool rest);

/* Gone or stopped, it says nothing. */
enum canary_state { CANARY_RUNS, CANARY_STOPPED, CANARY_GONE };
enum canary_state canary_state(const struct canary *c);

/* Forks it anew where it is gone. 0 or -errno; to be tried again later. */
int canary_revive(struct canary *c);

/* New policies: as sshd's. v2 scale; 0: as it is. */
void canary_set_weight(struct canary *c, int32_t weight);

/* Asks for a turn unless one is under way. Never blocks. */
void canary_start(struct canary *c);

/* A turn that ended since the last call, or one that is under way and late already
 * (then what it took so far); else wall_us = -1. */
void canary_read(struct canary *c, struct canary_sample *ret);
