/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view: what others may see of the engine
 *
 * Status and the sampler look in here; nothing decides by it.
 */
#include <string.h>

#include "base/macro.h"
#include "core/engine-state.h"

usec_t engine_deadline(const struct engine *e)
{
	usec_t next = e->paused_until ? e->paused_until : USEC_INFINITY;
	uint32_t i;

	if (e->lifeline_retry)
		next = MIN(next, MAX(e->lifeline_retry, e->now + 1));
	for (i = 0; i < e->n_inflight; i++)
		next = MIN(next, e->inflight[i].deadline);
	for (i = 0; i < e->n_squeezes; i++) {
		const struct squeeze *s = &e->squeezes[i];

		if (s->release || s->gone)
			next = s->releasing ? next : MIN(next, MAX(s->retry_at, e->now + 1));
		else
			next = MIN(next, MAX(s->until, e->now + 1));
	}
	if (e->n_squeezes > 0 && e->last_snapshot)
		next = MIN(next, MAX(e->last_snapshot + BLIND_MOST, e->now + USEC_PER_SEC));
	return next;
}

usec_t engine_now(const struct engine *e)
{
	return e->now;
}

bool engine_is_calm(const struct engine *e)
{
	uint32_t i;

	for (i = 0; i < e->n_memories; i++)
		if (e->memories[i].until > e->now)
			return false;
	return !e->alarm && e->n_squeezes == 0 && e->gone_n == 0;
}

const struct group_info *engine_group(const struct engine *e, uint64_t id)
{
	int slot = groups_find(&e->groups, id);

	return slot < 0 ? NULL : &e->groups.slot[slot].info;
}

const struct group_info *engine_group_at(const struct engine *e, uint32_t i)
{
	return i < e->groups.n ? &e->groups.slot[e->groups.by_id[i]].info : NULL;
}

uint32_t engine_groups(const struct engine *e)
{
	return e->groups.n;
}

enum importance engine_importance(const struct engine *e, uint64_t id)
{
	int slot = groups_find(&e->groups, id), up;
	enum importance as = IMPORTANCE_NONE;
	uint32_t d = 0;

	/* The tree may be newer than the last refresh: look up it, as that would. */
	for (up = slot; up >= 0 && d++ <= GROUPS_DEPTH_MAX; up = groups_find(&e->groups, e->groups.slot[up].info.parent)) {
		const struct group *x = &e->groups.slot[up];

		if (up != slot && (x->info.flags & GROUP_IS_ROOT))
			break;
		if (x->own_as < as && x->own_until > e->now)
			as = x->own_as;
	}
	return as;
}

/* What a policy says of the root is of the root alone: see groups. */
static bool is_above(const struct groups *g, int a, int b)
{
	return groups_above(g, a, b) && (a == b || !(g->slot[a].info.flags & GROUP_IS_ROOT));
}

bool engine_answers_from(const struct engine *e, uint32_t policy, uint64_t group)
{
	const struct policy *p = policy < e->set.n_policies ? &e->set.policies[policy] : NULL;
	int slot = groups_find(&e->groups, group);
	bool names = false;
	uint32_t i;

	if (p == NULL || p->kind != POLICY_ENDPOINT)
		return false;
	for (i = p->glob_first; i < (uint32_t)p->glob_first + p->glob_n; i++)
		names = names || e->set.globs[i].kind != MATCH_EXCEPT;
	for (i = 0; names && slot >= 0 && i < e->groups.n; i++) {
		int at = e->groups.by_id[i];

		if ((is_above(&e->groups, at, slot) || is_above(&e->groups, slot, at)) && policy_matches(&e->set, p, &e->groups.slot[at].info, e->now))
			return true;
	}
	return !names;
}

void engine_view(const struct engine *e, struct engine_view *ret)
{
	const struct harm *h = &e->harm;
	permyriad_t over = PERMYRIAD_FULL;
	uint32_t i;

	memset(ret, 0, sizeof(*ret));
	ret->now = e->now;
	ret->mode = e->set.settings.mode;
	ret->alarm = e->alarm;
	ret->incident_since = e->incident_since;
	ret->incident = e->incident;
	ret->cause = e->cause;
	ret->n_findings = causes_view(e, ret->findings);
	ret->paused_until = engine_paused(e) ? e->paused_until : 0;
	ret->pause_reason = engine_paused(e) ? e->pause_reason : NULL;
	ret->served_until = e->served_until > e->now ? e->served_until : 0;
	ret->barred_until = e->barred_until > e->now ? e->barred_until : 0;
	ret->pressure = e->pressure;
	ret->n_groups = e->groups.n;
	ret->groups_forgotten = e->groups.forgotten;
	ret->names_since = orders_names_awaited(e) ? e->names_since : 0;
	for (i = 0; i < e->set.n_policies; i++)
		if (e->set.policies[i].kind == POLICY_THROTTLE)
			over = MIN(over, e->set.policies[i].wait);
	for (i = 0; i < h->n_victims && ret->n_victims < ELEMENTSOF(ret->victims); i++) {
		const struct victim *v = &h->victims[i];

		ret->victims[ret->n_victims++] = (struct engine_victim) {
			.group = v->id, .as = (enum importance)v->as, .wait = v->foreign, .self_wait = v->self,
			.login_estimate = v->login, .harmed = MAX(v->level, v->self_level) >= over,
		};
	}
	for (i = 0; i < h->n_suspects && ret->n_suspects < ELEMENTSOF(ret->suspects) && h->total > 0; i++)
		if (engine_shows(e, &h->suspects[i]))
			ret->suspects[ret->n_suspects++] = (struct candidate) {
				.group = h->suspects[i].id, .blame = (permyriad_t)(h->suspects[i].blame * PERMYRIAD_FULL / h->total),
			};
	for (i = 0; i < e->n_squeezes; i++) {
		const struct squeeze *s = &e->squeezes[i];

		ret->squeezes[ret->n_squeezes++] = (struct engine_squeeze) {
			.group = s->group, .rung = (enum rung)s->rung, .knobs = s->knobs,
			.weight = s->knobs & (1u << VERB_WEIGHT) ? s->weight : -1,
			.quota_us = s->knobs & ((1u << VERB_QUOTA) | (1u << VERB_JAIL)) ? s->quota.quota_us : -1,
			.period_us = s->quota.period_us, .n_tasks = s->n_tasks, .since = s->since, .until = s->until, .reason = s->reason,
		};
	}
}
