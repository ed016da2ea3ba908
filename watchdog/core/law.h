/* SPDX-License-Identifier: Apache-2.0 */
/* law: the arithmetic of the control law. Values in, values out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"

#define LAW_CUT_GAP      (300 * USEC_PER_MSEC)  /* between two cuts */
#define LAW_JUDGE_TICKS  3                      /* windows in which an effect must show */
#define LAW_JUDGE_MOST   (3 * USEC_PER_SEC)     /* ... or this long, where nobody is measured */
#define LAW_UNDO_AFTER   (2 * USEC_PER_SEC)     /* an effect may take so long to show before anything is undone; a pattern: twice */
#define LAW_EFFECT       7000                   /* harm must fall to this part of what it was, permyriad */
#define LAW_HOLD_FIRST   (5 * USEC_PER_SEC)
#define LAW_HOLD_RELAPSE (10 * USEC_PER_SEC)
#define LAW_HOLD_MOST    (300 * USEC_PER_SEC)
#define LAW_GROWTH_FIRST 1000                   /* of the machine per second, permyriad */
#define LAW_GROWTH_LEAST 100
#define LAW_MEMORY       (60 * USEC_PER_SEC)    /* harm again this soon after a release is a relapse */
#define LAW_GROW_GAP     USEC_PER_SEC           /* between two steps of relaxing */
#define LAW_WRITE_GAP    USEC_PER_SEC           /* between two quotas written to one cgroup */
#define LAW_DEAD_BAND    1000                   /* a smaller change of a quota is not written, permyriad */

#define LAW_QUOTA_LEAST  1000                   /* µs; the kernel's */
#define LAW_PERIOD_FIRST 25000
#define LAW_PERIOD_MOST  1000000
#define LAW_WEIGHT_PART  10                     /* a squeezed weight is a tenth */

/* What all that is squeezed together may use at the first cut, of the machine: half of
 * what they use or what they are entitled to, never less than the floor. */
permyriad_t law_first_share(permyriad_t usage, permyriad_t entitled, permyriad_t floor);
permyriad_t law_cut(permyriad_t share, permyriad_t floor);
/* After `dt` of growth; not beyond the ceiling, PERMYRIAD_FULL where there is none. */
permyriad_t law_grow(permyriad_t share, permyriad_t growth, usec_t dt, permyriad_t ceiling);

/* One of n cgroups that share `share` of ncpu CPUs, with tasks on `cpus` CPUs.
 * period_us: the one it has already, kept if it fits; 0 = none. */
struct law_quota { int64_t quota_us, period_us; };
struct law_quota law_quota(permyriad_t share, uint32_t n, uint32_t ncpu, uint32_t cpus, int64_t period_us);

/* Is the change worth a write? Each write refills the quota. */
bool law_worth_writing(struct law_quota old, struct law_quota new_);

/* 0: it cannot go lower. */
int32_t law_weight(int32_t weight);

usec_t law_hold_after_relapse(usec_t hold);
permyriad_t law_growth_after_relapse(permyriad_t growth);
