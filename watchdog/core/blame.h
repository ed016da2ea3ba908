/* SPDX-License-Identifier: Apache-2.0 */
/* blame: one snapshot → who is harmed, and by whom. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/groups.h"
#include "core/snapshot.h"
#include "core/sort.h"

#define BLAME_RECENT       (300 * USEC_PER_MSEC) /* harm is judged over about so long ... */
#define BLAME_MEMORY       USEC_PER_SEC /* ... and blame, since not every sibling runs in every window */
#define BLAME_EASED        2            /* in a crowd half as much waiting counts in full */
#define MAX_VICTIMS        64           /* protected cgroups judged in one window; beyond: the least harmed are left out, said */
#define BLAME_WANTED_MIN   2000         /* µs wanted in a window below which a victim says nothing */
#define BLAME_FULL_PART    5            /* a foreign wait of window/5 counts in full, less in proportion ... */
#define BLAME_LEAST_PART   7500         /* ... and below this part of that it is no harm, permyriad: 15 ms in 100 */
#define BLAME_WEAK_PART    4            /* who wanted less than window/5 / 4 proves neither harm nor health */
#define BLAME_CROWD        4            /* tasks per CPU that wait in one cgroup and are no login and no peak */
#define BLAME_FULL_CANARY  40000        /* the same of the canary's turn, µs */
#define BLAME_SET_PART     8000         /* of all touchable blame, what the set has to explain, permyriad */

struct victim {
	int16_t slot;                   /* SLOT_NONE: the canary */
	uint64_t id;                    /* or GROUP_CANARY */
	uint8_t as;                     /* enum importance */
	bool young;
	bool selfish;                   /* what it does to itself is harm, too */
	permyriad_t foreign, self;      /* parts of wanted time waited for others and for its own kind, as measured */
	permyriad_t level;              /* foreign harm as it is judged: confirmed, small amounts scaled down, tiny ones none */
	permyriad_t eased;              /* what level is where the load is no service's: see blame_ease() */
	permyriad_t strain;             /* the same and its own, tiny amounts included: whether it is well */
	permyriad_t self_level;         /* the same of what it does to itself; login class only (not young) */
	permyriad_t hurt;               /* absolute foreign wait (and own, where that is harm): part of the window, ≤ 10000 */
	permyriad_t own_limit;          /* part of the window its own limit kept it off the CPU */
	usec_t login;                   /* what a login would take; 0 = not of the login class */
};

/* What could be squeezed as one: a unit, or a leaf that has none. */
struct suspect {
	int16_t slot;                   /* SLOT_NONE: a cgroup nobody told about, or the overflow */
	uint64_t id;
	uint8_t no_unit;                /* enum no_unit; UNIT_OK = slot is a unit */
	uint64_t blame;                 /* own scale; see harm.total */
	uint64_t score;                 /* blame × what it uses beyond its entitlement */
	permyriad_t usage, entitled;    /* of the machine */
	uint32_t forks;                 /* per second */
	uint32_t rt_pm, kthread_pm;     /* part of its run time, permyriad */
	uint32_t rt_run_us;
	uint32_t n_leaves;
	int16_t leaf;                   /* slot of the worst leaf in it */
	uint64_t leaf_blame;
};

struct harm {
	bool sampled;                   /* cgroups were looked at in this window */
	bool fresh;                     /* ... and somebody protected, or the canary, could tell of it */
	bool beyond;                    /* there are more victims than that */
	uint32_t n_victims;
	struct victim victims[MAX_VICTIMS];     /* worst first */
	permyriad_t level[_IMPORTANCE_MAX];     /* worst of each class; the canary is of the login class */
	permyriad_t strain;                     /* worst of all */
	permyriad_t self_level;                 /* worst login */
	usec_t login;                   /* worst of the login class and the canary; 0 = none was measured */
	bool login_fresh;

	usec_t blamed_at;               /* the windows before this one are remembered as of then */

	/* Blame: 0 everywhere unless somebody is harmed. */
	uint64_t total, touchable, protected_, kernel, unknown;
	uint32_t n_suspects;
	struct suspect suspects[MAX_SAMPLES];   /* by score */

	/* The protected leaf that harms protected ones most, itself included. */
	int16_t inside;
	uint64_t inside_blame;          /* same scale as total */

	/* Working space, of no meaning outside. */
	uint64_t hw[MAX_CPUS], run[MAX_CPUS], all_run;
	int16_t sample_slot[MAX_SAMPLES], slot_suspect[MAX_GROUPS];
	uint64_t sub_run[MAX_GROUPS], sub_want[MAX_GROUPS], weights[MAX_GROUPS], entitled[MAX_GROUPS];
	struct sort_key keys[MAX_SAMPLES];
	struct suspect sorted[MAX_SAMPLES];
};

/* What the endpoint of a policy answers. NONE: the policy is no endpoint; GOOD also as
 * long as nothing is known of it. */
enum answer { ANSWER_NONE, ANSWER_GOOD, ANSWER_BAD };

/* g must be refreshed. answers: enum answer by policy index, NULL = none has one.
 * Also updates group.active and seen. */
void blame_compute(struct harm *h, const struct snapshot *s, struct groups *g, usec_t login_cost, const uint8_t *answers, usec_t now);

/* The load is a pattern and a crowd: small amounts of waiting are harm, too. Levels become
 * what `eased` says where that is more. */
void blame_ease(struct harm *h);

/* Something was changed: what was suffered before it is no evidence any more. */
void blame_forget(struct groups *g);
void blame_reset(struct harm *h, struct groups *g);      /* the alarm is over: of whom one thought ill, too */

/* Time run and waited, µs, of a cgroup and all below it in the latest window. */
uint64_t blame_run(const struct harm *h, int slot);
uint64_t blame_wait(const struct harm *h, int slot);
