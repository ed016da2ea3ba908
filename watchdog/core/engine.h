/* SPDX-License-Identifier: Apache-2.0 */
/* engine: the one that decides. Pure: no clock, no I/O, no allocation; the same
 * events in the same order give the same actions, bit for bit.
 *
 * Contract: events in, actions out. Every action of actions.a is answered, in any
 * order, by one EVENT_RESULT. The caller calls again no later than
 * engine_deadline() with EVENT_TIMEOUT if nothing else happened.
 *
 * A calm engine (no alarm, nothing squeezed, no relapse memory, nobody let alone by name, nothing
 * gone that is not said) equals a fresh one that was given the same seed, policies and groups,
 * whose lifelines were answered as done, and then engine_recall()'s events: a pause, a wait for
 * names, what was lifted or barred, and lifelines that are not as the policies have them, asked
 * for, due again or failed. That is where a flight record begins (engine_is_calm). Two things are
 * left out: which cgroup was active last, so a full table may forget another one, and which
 * protection had run out but was not looked at since. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/event.h"

struct engine;          /* plain values, no pointers but to itself; see core/engine-state.h */

size_t engine_size(void);       /* bytes the caller provides, aligned as for malloc */
void   engine_init(struct engine *e, const struct policy_set *set, uint32_t seed);

/* 0; -EINVAL: time went back or the event is malformed, nothing changed. ret->n = 0
 * on entry is not needed; it is set. */
int    engine_step(struct engine *e, const struct event *event, struct actions *ret);
usec_t engine_deadline(const struct engine *e);         /* USEC_INFINITY: none */
bool   engine_is_calm(const struct engine *e);
uint32_t engine_seed(const struct engine *e);           /* what engine_init was given: nothing is drawn yet */

/* The next event that makes a fresh engine equal to this calm one. *at: 0 for the first, then left
 * alone. false: no more, *ret is nothing. */
bool   engine_recall(const struct engine *e, uint32_t *at, struct event *ret);

/* What status and the sampler need to see. Pointers are into the engine and good
 * until the next step. */
struct engine_squeeze {
	uint64_t group;
	enum rung rung;
	uint32_t knobs;                 /* bit set of 1 << verb in force */
	int64_t weight, quota_us, period_us;
	uint32_t n_tasks;
	usec_t since, until;
	struct reason reason;           /* of the latest action on it */
};

struct engine_victim {
	uint64_t group;                 /* or GROUP_CANARY */
	enum importance as;
	permyriad_t wait;               /* part of wanted CPU time waited for others, latest window */
	permyriad_t self_wait;          /* ... for its own kind */
	usec_t login_estimate;          /* login class and canary: what a login would take; 0 = unknown */
	bool harmed;
};

/* What no squeeze helps against, deciding or beside the cause. */
#define ENGINE_FINDINGS 12
struct engine_finding {
	enum cause cause;
	const char *measure;            /* what was measured, in words */
	permyriad_t measured, limit;
	bool tasks;                     /* both are numbers of tasks */
	uint64_t group;                 /* whom it is about; GROUP_NONE */
};

struct engine_view {
	usec_t now;
	enum mode mode;
	bool alarm;
	usec_t incident_since;          /* 0 = none open */
	uint32_t incident;              /* counter, 0 = none yet */
	enum cause cause;
	uint32_t n_findings; struct engine_finding findings[ENGINE_FINDINGS];
	usec_t paused_until;            /* 0 = not paused */
	usec_t served_until;            /* rescue does not wait for RescueFor= again until then; 0 */
	usec_t barred_until;            /* nothing is squeezed until then, since everything was released by command; 0 */
	const char *pause_reason;
	permyriad_t pressure;           /* cpu some, latest window */
	uint32_t n_victims; struct engine_victim victims[8];            /* worst first */
	uint32_t n_suspects; struct candidate suspects[8];              /* most to blame first */
	uint32_t n_squeezes; struct engine_squeeze squeezes[MAX_SQUEEZES];
	uint32_t n_groups, groups_forgotten;
	usec_t names_since;             /* processes are looked for by name since then; 0 = nobody waits for that */
};

void engine_view(const struct engine *e, struct engine_view *ret);
usec_t engine_now(const struct engine *e);                                      /* of the latest event */
const struct group_info *engine_group(const struct engine *e, uint64_t id);     /* NULL: not known */
const struct group_info *engine_group_at(const struct engine *e, uint32_t i);   /* the i-th known, ascending by id; NULL: beyond */
uint32_t engine_groups(const struct engine *e);                                 /* how many are known */
const struct policy_set *engine_policies(const struct engine *e);
enum importance engine_importance(const struct engine *e, uint64_t id);         /* IMPORTANCE_NONE: not protected */

/* May the server that answers this [Endpoint] have tasks in the cgroup? Where it names the
 * cgroup or one above or below it, or none at all. */
bool engine_answers_from(const struct engine *e, uint32_t policy, uint64_t group);
