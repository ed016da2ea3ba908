/* SPDX-License-Identifier: Apache-2.0 */
/* ladder: which rung for whom.
 *
 * RUNG_WEIGHT is a weight, never cpu.idle: measured, a weight does as well on v2 (1: 2.4 and 1.7 s a login on 6.1 and 6.12, idle 2.4
 * and 1.5), better on 6.18 (a tenth 0.54, idle 0.8); an idle cgroup keeps no share of its own and takes no lifeline. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/policy.h"
#include "core/snapshot.h"
#include "core/triage.h"

struct ladder_case {
	uint32_t flags;                 /* group_info.flags of the unit */
	int32_t weight;                 /* what it has */
	enum rung most;                 /* the highest one allowed by the policy */
	enum pattern pattern;
	bool rising;                    /* PATTERN_FORKS and the tasks get more: a bomb */
	bool weight_counts;             /* its weight competes with a victim's, directly */
	bool weight_only;               /* useful work */
	bool healthy;                   /* useful work by its own account: its endpoint answers well, and only the way in suffers */
	bool inside;                    /* tasks within a cgroup that is protected itself */
	uint32_t broken;                /* 1 << rung: failed here */
};

/* The first one above `rung` (RUNG_NONE: to begin with) that can work; RUNG_NONE: there
 * is none. */
enum rung ladder_next(const struct ladder_case *c, enum rung rung);

/* Why there is no first rung, one sentence with the remedy. */
const char *ladder_why_not(const struct ladder_case *c);
