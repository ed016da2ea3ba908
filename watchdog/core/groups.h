/* SPDX-License-Identifier: Apache-2.0 */
/* groups: the cgroups the engine knows: a table, the tree they form, and what the
 * policies say of each. A slot number stays that of its cgroup until it goes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/policy.h"
#include "core/snapshot.h"

#define GROUPS_DEPTH_MAX 64             /* levels; a chain beyond it (or a ring) is cut there */
#define SLOT_NONE        (-1)
#define LIFELINE_UNKNOWN (-2)           /* asked for, but nobody answered */

/* What a protected cgroup did lately: sums over `wall`, older time counting less. Kept by blame. */
struct recent {
	usec_t at;                      /* when it was added to last */
	uint64_t wall, run, waited, own, some;  /* µs; waited and some without what its own limit took */
};

/* Why a cgroup has no unit that could be squeezed in its place. */
enum no_unit {
	UNIT_OK,
	UNIT_PROTECTED,                 /* it is protected itself */
	UNIT_ROOT,                      /* the root cgroup */
	UNIT_SELF,                      /* reprieve's own */
	UNIT_NO_TARGET,                 /* path too long or unreadable */
	UNIT_NO_CPU,                    /* nowhere up the tree is the cpu controller on */
	UNIT_COVERS,                    /* where it is on, something protected lives as well */
};

struct group {
	struct group_info info;
	bool used;
	bool pinned;                    /* squeezed: never forgotten for want of room */
	bool lowered;                   /* some of its tasks are SCHED_IDLE by our doing */
	bool active;                    /* ran or waited in the latest window */
	uint8_t depth;
	usec_t seen;                    /* when it last ran or waited, or became known */
	struct recent recent;           /* protected ones only */
	uint64_t blame, kernel_blame;   /* lately, see blame_compute() */
	usec_t let_go, hold;            /* it wanted less than its quota: when it was let go, after which hold; 0 */

	/* What the policies say of it alone; see groups_refresh() for its place in the tree. */
	uint8_t own_as;                 /* enum importance */
	int16_t own_protect, own_throttle, own_endpoint;        /* policy index, -1 = none */
	usec_t own_until;               /* the protection ends then (Young=); USEC_INFINITY */
	int32_t lifeline_wanted;        /* weight, -1 = none */
	int32_t lifeline;               /* asked for or in force; -1 = none */
	bool boosted;                   /* gets one for as long as the culprit is protected */

	/* With what is above it. */
	uint8_t as;
	bool young;                     /* protected for a while only */
	bool self;
	int16_t protect, throttle, endpoint;
	int16_t parent;                 /* slot */
	int16_t unit;                   /* slot of what would be squeezed, SLOT_NONE: see no_unit */
	uint8_t no_unit;                /* enum no_unit */
	bool covers;                    /* it or something below it is protected */
};

struct groups {
	uint32_t n, forgotten;
	bool dirty;
	usec_t next_expiry;
	uint16_t by_id[MAX_GROUPS];     /* slots, ascending by id */
	uint16_t by_depth[MAX_GROUPS];  /* slots, parents before children */
	struct group slot[MAX_GROUPS];
};

void groups_init(struct groups *g);

/* Makes known or changes. The slot; -EINVAL: an id that is none; -ENOSPC: all there is has
 * to be kept. May forget another cgroup: its id is in *ret_forgotten then, else GROUP_NONE. */
int  groups_put(struct groups *g, const struct policy_set *set, const struct group_info *info, usec_t now, uint64_t *ret_forgotten);
bool groups_remove(struct groups *g, uint64_t id);
int  groups_find(const struct groups *g, uint64_t id);          /* slot or SLOT_NONE */

/* Another policy set: everything is classified anew. */
void groups_classify(struct groups *g, const struct policy_set *set, usec_t now);

/* Brings tree, units and protection up to date if anything changed or a young one
 * grew old. True if something was done. */
bool groups_refresh(struct groups *g, const struct policy_set *set, usec_t now);

/* Is slot a equal to, or above, slot b? */
bool groups_above(const struct groups *g, int a, int b);
