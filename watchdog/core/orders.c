/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orders: what the engine is told that is no measurement
 *
 * A person's word stands above every policy: what was released by hand is left alone
 * for ten minutes (all of it, or one by name), and a pause releases everything and ends by
 * itself; a resume ends it, and the ten minutes after all was released. New policies
 * let go of what the old ones squeezed; if it is still harmful, the new set finds that
 * out within the next windows: rescue, too, which has waited for RescueFor= already. So
 * has a guard that takes over from one that was stopped or killed.
 *
 * The lifeline is the one change made before anybody is harmed: a moderate weight for
 * what must stay responsive, in rescue and enforce mode, put back in observe. A pause
 * leaves what is set, and sets no more.
 *
 * A guard that starts in mid-overload has its evidence within a third of a second, but
 * a database that is protected by the name of its processes alone is known only when
 * the steward has looked: so long nobody is squeezed, but not for ever, since the
 * steward starves on the same machine.
 */
#include "core/engine-state.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "base/str.h"

void orders_gone(struct engine *e, uint64_t id)
{
	struct squeeze *s = squeeze_find(e, id);

	if (s == NULL || s->gone || s->release || e->gone_n++ > 0) {
		(void)groups_remove(&e->groups, id);
	} else {
		if (e->leaving != GROUP_NONE)
			(void)groups_remove(&e->groups, e->leaving);
		e->leaving = id;
		e->gone_reason = s->reason;
		e->gone_reason.lasting = e->now - s->since;
	}
	if (s != NULL)
		s->gone = true;
}

/* One line for all that went between two snapshots. */
void orders_say_gone(struct engine *e)
{
	struct action *a;

	if (e->gone_n == 0)
		return;
	a = engine_report(e, WHY_GONE, &e->gone_reason, e->leaving, "gone by itself");
	if (a == NULL)
		return;
	a->value = e->gone_n;
	e->gone_n = 0;
}

/* Bounds of our own that were met: once in an alarm. */
void orders_say_over(struct engine *e)
{
	static const char *const texts[_OVER_MAX] = {
		[OVER_SQUEEZES] = "for more cgroups than can be squeezed at once; the least to blame stay free",
		[OVER_TASKS] = "for more tasks than can be lowered at once",
		[OVER_VICTIMS] = "for more protected cgroups than are kept in view; the least harmed are left out",
		[OVER_INFLIGHT] = "too many actions wait for an answer; no new ones until then",
	};
	struct reason r;
	uint32_t i;

	if (!e->alarm)
		e->over = 0;
	for (i = 0; i < _OVER_MAX && e->over != 0; i++) {
		if (!(e->over & ~e->over_said & (1u << i)))
			continue;
		engine_reason(e, &r, WHY_NOT, engine_first_pool(e), GROUP_NONE);
		if (engine_report(e, WHY_NOT, &r, GROUP_NONE, texts[i]) != NULL)
			e->over_said |= 1u << i;
	}
}

/* A squeezed cgroup is protected now, or something protected came to live in it. */
void orders_shelter(struct engine *e)
{
	uint32_t i, n = 0;
	uint64_t first = GROUP_NONE;
	struct action *a;
	struct reason r;

	for (i = 0; i < e->n_squeezes; i++) {
		struct squeeze *s = &e->squeezes[i];
		int slot = groups_find(&e->groups, s->group);

		if (s->inside || s->release || s->gone || slot < 0 ||
		    (!e->groups.slot[slot].covers && e->groups.slot[slot].as == IMPORTANCE_NONE))
			continue;
		if (n++ == 0)
			first = s->group;
		engine_reason(e, &r, WHY_POLICY, s->pool, s->group);
		r.lasting = e->now - s->since;
		squeeze_release(e, s, &r);
	}
	if (n == 0)
		return;
	engine_reason(e, &r, WHY_POLICY, 0, first);
	a = engine_report(e, WHY_POLICY, &r, first, "is protected now, or shelters what is; released");
	if (a != NULL) {
		a->value = n;
		a->value2 = VERB_RELEASE;
	}
}

int orders_group(struct engine *e, const struct group_info *info)
{
	uint64_t forgotten;
	int old = groups_find(&e->groups, info->id), slot;
	struct group_info copy = *info;

	/* What is read back of a squeezed cgroup is our own value, not its own. */
	if (old >= 0 && e->groups.slot[old].pinned) {
		copy.weight = e->groups.slot[old].info.weight;
		copy.quota_us = e->groups.slot[old].info.quota_us;
		copy.period_us = e->groups.slot[old].info.period_us;
	}
	if (info->id == e->leaving)
		e->leaving = GROUP_NONE;
	slot = groups_put(&e->groups, &e->set, &copy, e->now, &forgotten);
	if (slot < 0)
		return slot == -EINVAL ? slot : 0;
	if (e->n_squeezes > 0 && groups_refresh(&e->groups, &e->set, e->now))
		orders_shelter(e);
	e->lifeline_hidden = e->lifeline_hidden || ((info->flags & GROUP_NO_TARGET) && e->groups.slot[slot].lifeline != -1);
	e->lifelines_due = e->lifelines_due || (e->lifeline_retry == 0 && e->groups.slot[slot].lifeline_wanted != e->groups.slot[slot].lifeline);
	return 0;
}

/* Who should have a lifeline weight, has one; who should not any more, gets its own back. */
void orders_lifelines(struct engine *e)
{
	bool wanted = e->set.settings.mode != MODE_OBSERVE, all = true;
	uint32_t i;

	if (e->lifeline_retry && e->now >= e->lifeline_retry) {
		e->lifeline_retry = 0;
		e->lifeline_tries++;
		e->lifelines_due = true;
	}
	if (!e->lifelines_due)
		return;
	for (i = 0; i < e->groups.n; i++) {
		struct group *x = &e->groups.slot[e->groups.by_id[i]];
		int32_t weight = wanted ? MAX(x->lifeline_wanted, x->boosted ? BOOST_WEIGHT : -1) : -1;
		struct action *a;

		if (weight == x->lifeline || (x->info.flags & (GROUP_IS_ROOT | GROUP_NO_TARGET)))
			continue;
		if (engine_paused(e) && weight > x->lifeline)   /* looked at again when the pause ends */
			continue;
		a = engine_emit(e, VERB_LIFELINE, x->info.id, 30 * USEC_PER_SEC);
		if (a == NULL) {
			all = false;
			break;
		}
		a->value = weight;
		a->reason.why = WHY_LIFELINE;
		a->reason.policy = x->own_protect;
		x->lifeline = weight;
	}
	e->lifelines_due = !all;
}

void orders_policies(struct engine *e, const struct policy_set *set)
{
	struct reason r = { .why = WHY_POLICY, .policy = -1, .measured = -1, .limit = -1 };
	uint32_t i;

	/* What was squeezed by policies that may have changed is let go: the new set decides
	 * anew, within the next windows. */
	if (e->pools[0].n > 0)
		e->served_until = e->now + EVENT_SERVED;
	for (i = 0; i < MAX_POOLS; i++)
		if (e->pools[i].n > 0)
			relief_release_pool(e, i, WHY_POLICY, "the policies changed");
	engine_reset_pools(e);
	memset(e->endpoints, 0, sizeof(e->endpoints));
	e->set = *set;
	groups_classify(&e->groups, &e->set, e->now);
	(void)groups_refresh(&e->groups, &e->set, e->now);
	e->lifelines_due = true;
	e->lifeline_tries = 0;
	e->failed_verbs = 0;
	(void)engine_report(e, WHY_POLICY, &r, GROUP_NONE, set->n_policies > 0 ? "" : "none is in force");
}

/* Nothing is squeezed again until an alarm that goes on has had time to be looked into. */
static void release_everything(struct engine *e, const struct reason *r, const char *alone)
{
	char text[REASON_TEXT_MAX];
	struct action *a;
	uint32_t i;

	for (i = 0; i < e->n_squeezes; i++) {
		squeeze_release(e, &e->squeezes[i], r);
		e->squeezes[i].retry_at = 0;
	}
	if (e->alarm)
		e->barred_until = e->now + MEMORY_OPERATOR;
	(void)str_format(text, sizeof(text), "everything released%s", e->alarm ? alone : "");
	(void)engine_report(e, r->why, r, GROUP_NONE, text);
	a = engine_emit(e, VERB_RELEASE, GROUP_NONE, 5 * USEC_PER_SEC);
	if (a != NULL)
		a->reason.why = r->why;
}

/* What a crash would leave behind for ever is rather not there. */
void orders_journal_lost(struct engine *e)
{
	struct reason r = { .why = WHY_JOURNAL, .policy = -1, .measured = -1, .limit = -1 };

	release_everything(e, &r, ", nothing squeezed without it");
}

void orders_operator(struct engine *e, const struct operator_order *o)
{
	struct reason r = { .why = WHY_OPERATOR, .policy = -1, .measured = -1, .limit = -1 };
	struct squeeze *s;
	uint32_t i;

	switch (o->verb) {
	case OPERATOR_RELEASE:
		s = squeeze_find(e, o->group);
		memory_add(e, o->group, WHY_OPERATOR, e->now + MEMORY_OPERATOR);
		if (s != NULL) {
			squeeze_release(e, s, &r);
			s->retry_at = 0;
		}
		(void)engine_report(e, WHY_OPERATOR, &r, o->group, s ? "released, and left alone for 10min" : "left alone for 10min");
		break;
	case OPERATOR_RELEASE_ALL:
		release_everything(e, &r, ", and left alone for 10min");
		break;
	case OPERATOR_PAUSE:
		e->paused_until = o->until;
		memcpy(e->pause_reason, o->reason, sizeof(e->pause_reason));
		e->pause_reason[sizeof(e->pause_reason) - 1] = 0;
		r.lasting = o->until > e->now ? o->until - e->now : 0;
		for (i = 0; i < e->n_squeezes; i++)
			squeeze_release(e, &e->squeezes[i], &r);
		(void)engine_report(e, WHY_OPERATOR, &r, GROUP_NONE, "paused: everything squeezed is released, and nothing more is changed until it ends");
		break;
	case OPERATOR_RESUME:
		if (e->paused_until != 0 || e->barred_until > e->now)
			(void)engine_report(e, WHY_OPERATOR, &r, GROUP_NONE, e->paused_until != 0 ? "resumed" : "resumed: what was released is no longer left alone");
		e->lifelines_due = e->lifelines_due || e->paused_until != 0;
		e->paused_until = e->barred_until = 0;
		break;
	}
}

void orders_names(struct engine *e, const struct names_news *x)
{
	e->names_since = x->state == NAMES_AWAITED ? MAX(x->since, (usec_t)1) : 0;
	e->names_said = false;
}

bool orders_names_awaited(const struct engine *e)
{
	uint32_t i;

	if (e->names_since == 0 || e->now - e->names_since >= NAMES_WAIT)
		return false;
	for (i = 0; i < e->set.n_globs; i++)
		if (e->set.globs[i].kind == MATCH_PROCESSES)
			return true;
	return false;
}
