/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relief: when to cut, to hold and to give back
 *
 * All that one policy squeezes is a pool: judged by one harm, fed from one share of the
 * machine. A pool without members waits until its policy's harm has lasted; one with
 * members is cut further while harm lasts, each cut being judged by three windows;
 * is held until harm was below half the threshold for a while; and is then given
 * back in steps. Only the victims' measured harm decides, never the pressure of the
 * machine or of the offender: what is throttled counts as stalled, so both stay
 * high as long as the squeeze works (measured: the offender's 14 → 91 %, the
 * victim's 1-2 %).
 *
 * A window in which nobody was measured decides nothing; harm seen before stands for
 * a second and a half, since an idle sshd is only spoken for by the canary's turns.
 *
 * A relapse while giving back marks a ceiling a fifth below the share that hurt, and
 * each relapse doubles the hold and halves the growth: under a steady overload it
 * comes to rest, with a try every five minutes at most; a pattern a minute later.
 */
#include "core/engine-state.h"

#include <string.h>

#include "base/macro.h"
#include "base/str.h"

static void describe(const struct engine *e, const struct pool *p, const struct target *t, char *buf, size_t size)
{
	char share[UNITS_TEXT_MAX], login[UNITS_TEXT_MAX];
	const struct group *x = &e->groups.slot[t->slot];

	switch ((enum rung)t->rung) {
	case RUNG_WEIGHT:
		(void)str_format(buf, size, "weight %d instead of %d", (int)law_weight(x->info.weight), (int)x->info.weight);
		break;
	case RUNG_QUOTA:
		(void)str_format(buf, size, "quota, together %s of the machine", units_format_permyriad(p->share, share));
		break;
	case RUNG_TASKS:
		(void)str_copy(buf, size, t->realtime ? "SCHED_OTHER for its real-time tasks" : "SCHED_IDLE for its worst tasks");
		break;
	default:
		(void)str_copy(buf, size, rung_to_string((enum rung)t->rung));
		break;
	}
	if (p == &e->pools[0] && e->harm.login > 0)
		(void)str_appendf(buf, size, " (a login would take %s)",
				  units_format_usec(e->harm.login / (100 * USEC_PER_MSEC) * 100 * USEC_PER_MSEC, login));
}

static enum verb verb_of(const struct target *t)
{
	static const enum verb verbs[_RUNG_MAX] = {
		[RUNG_WEIGHT] = VERB_WEIGHT, [RUNG_QUOTA] = VERB_QUOTA, [RUNG_TASKS] = VERB_TASKS_IDLE, [RUNG_JAIL] = VERB_JAIL,
		[RUNG_PIDS] = VERB_PIDS, [RUNG_FREEZE] = VERB_FREEZE, [RUNG_KILL] = VERB_KILL,
	};

	return t->realtime ? VERB_TASKS_OTHER : verbs[t->rung];
}

/* One line for each rung of a plan, and, unless it is only said, the squeezes. */
static uint32_t carry_out(struct engine *e, uint32_t pool, const struct plan *plan, enum why why, bool act)
{
	struct pool *p = &e->pools[pool];
	uint32_t i, made = 0;
	enum rung rung;

	for (rung = RUNG_WEIGHT; rung < _RUNG_MAX; rung++) {
		struct action *a;
		struct reason r;
		char text[REASON_TEXT_MAX];
		const struct target *first = NULL;
		uint32_t n = 0;

		for (i = 0; i < plan->n; i++)
			if (plan->targets[i].rung == rung && n++ == 0)
				first = &plan->targets[i];
		if (n == 0)
			continue;
		describe(e, p, first, text, sizeof(text));
		engine_reason(e, &r, act ? why : WHY_WOULD, pool, e->groups.slot[first->slot].info.id);
		a = engine_report(e, r.why, &r, e->groups.slot[first->slot].info.id, text);
		if (a != NULL) {
			a->value = n;
			a->value2 = verb_of(first);
			a->until = e->now + engine_params(e, pool).at_most;
		}
		for (i = 0; act && i < plan->n; i++) {
			const struct target *t = &plan->targets[i];

			if (t->rung != rung)
				continue;
			engine_reason(e, &r, why, pool, e->groups.slot[t->slot].info.id);
			(void)str_copy(r.text, sizeof(r.text), text);
			if (squeeze_new(e, pool, t, &r) == NULL) {
				e->over |= 1u << OVER_SQUEEZES;
				return made;
			}
			made++;
		}
	}
	return made;
}

static void say_not(struct engine *e, uint32_t pool, uint64_t group, const char *text)
{
	struct reason r;

	if (e->pools[pool].said_not)
		return;
	e->pools[pool].said_not = true;
	engine_reason(e, &r, WHY_NOT, pool, group);
	(void)engine_report(e, WHY_NOT, &r, group, text);
}

/* Why its members have the values they are about to get. */
static void pool_reason(struct engine *e, uint32_t pool, const struct reason *r)
{
	uint32_t i;

	for (i = 0; i < e->n_squeezes; i++)
		if (e->squeezes[i].pool == pool && !e->squeezes[i].release) {
			engine_reason(e, &e->squeezes[i].reason, r->why, pool, e->squeezes[i].group);
			(void)str_copy(e->squeezes[i].reason.text, sizeof(r->text), r->text);
		}
}

static void begin_judging(struct engine *e, struct pool *p)
{
	p->cut_at = e->now;
	p->judge = LAW_JUDGE_TICKS;
	p->before = p->hurt;
	p->effective = false;
	p->growing = false;
	blame_forget(&e->groups);
}

static void make_plan(struct engine *e, uint32_t pool, bool more, struct plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	if (e->triage.cause == CAUSE_SELF || e->triage.cause == CAUSE_REALTIME)
		(void)inside_plan(e, pool, plan);
	else
		squeeze_plan(e, pool, more, plan);
}

/* On a slow CPU a few of a crowd run in a window, and look like the only culprits: one by
 * one they would be squeezed for ten seconds (measured in a guest). Where those who ran are
 * only a small part of who is runnable, the others are waited for. */
static bool mostly_unseen(const struct engine *e, const struct pool *p, const struct plan *plan)
{
	int root = e->groups.n > 0 ? e->groups.by_depth[0] : SLOT_NONE;
	uint32_t i;

	if (root < 0 || e->runnable < 0 || e->triage.pattern != PATTERN_NONE || e->now - p->over_since >= UNSEEN_FOR)
		return false;
	for (i = 0; i < plan->n; i++)
		if (plan->targets[i].inside)
			return false;
	return (blame_run(&e->harm, root) + blame_wait(&e->harm, root)) * UNSEEN_PART < (uint64_t)e->runnable * e->window;
}

/* The first squeeze of a pool. */
static void start(struct engine *e, uint32_t pool)
{
	struct pool *p = &e->pools[pool];
	struct params par = engine_params(e, pool);
	bool relapse = p->released_at && e->now - p->released_at < LAW_MEMORY + p->cooling;
	struct plan plan;

	if (!triage_squeezes(e->triage.cause) || p->failures >= SETS_MOST)
		return;
	make_plan(e, pool, false, &plan);
	if (plan.n == 0) {
		p->refused = plan.refused == GROUP_NONE || squeeze_holds(e) ? 0 : (uint8_t)MIN(p->refused + 1, REFUSED_MOST);
		if (p->refused >= REFUSED_MOST)
			say_not(e, pool, plan.refused, plan.why_not);
		return;
	}
	p->refused = 0;
	if (mostly_unseen(e, p, &plan))
		return;
	engine_open_incident(e, pool);
	if (orders_names_awaited(e)) {
		struct reason r;

		if (!e->names_said) {
			engine_reason(e, &r, WHY_NOT, pool, e->groups.slot[plan.targets[0].slot].info.id);
			(void)engine_report(e, WHY_NOT, &r, r.candidates[0].group,
					    "not yet: processes that Processes= protects are still being looked for, for 2s at most");
		}
		e->names_said = true;
		return;
	}
	p->pattern = e->triage.pattern;
	p->parent = e->groups.slot[plan.targets[0].slot].parent;
	p->share = p->pattern != PATTERN_NONE ? par.min_share : law_first_share(plan.usage, plan.entitled, par.min_share);
	if (!engine_may_act(e)) {
		if (!p->said_would)
			(void)carry_out(e, pool, &plan, WHY_WOULD, false);
		p->said_would = true;
		return;
	}
	if (relapse) {
		p->hold = law_hold_after_relapse(p->hold);
		p->growth = law_growth_after_relapse(p->growth);
		p->share = par.min_share;
	} else {
		p->hold = LAW_HOLD_FIRST;
		p->growth = LAW_GROWTH_FIRST;
		p->ceiling = PERMYRIAD_FULL;
		p->ceiling_until = 0;
	}
	watch_effect(e, pool);
	p->first = p->hurt;
	p->database = e->harm.level[IMPORTANCE_DATABASE];
	p->added_at = p->began_at = e->now;
	p->worse = 0;
	p->cooling = 0;
	begin_judging(e, p);
	p->cause = e->triage.cause;
	if (e->triage.cause == CAUSE_SELF)
		inside_boost(e, true);
	(void)carry_out(e, pool, &plan, relapse ? WHY_RELAPSE : WHY_HARM, true);
	squeeze_share(e, pool);
}

void relief_release_pool(struct engine *e, uint32_t pool, enum why why, const char *text)
{
	struct pool *p = &e->pools[pool];
	uint64_t first = GROUP_NONE;
	struct action *a;
	struct reason r;
	uint32_t i, n = 0;

	for (i = 0; i < e->n_squeezes; i++) {
		struct squeeze *s = &e->squeezes[i];

		if (s->pool != pool || s->release)
			continue;
		if (n++ == 0)
			first = s->group;
		engine_reason(e, &r, why, pool, s->group);
		r.lasting = e->now - s->since;
		if (why == WHY_NO_EFFECT || why == WHY_VICTIM_WORSE)
			memory_add(e, s->group, why, e->now + MEMORY_FAILED);
		squeeze_release(e, s, &r);
	}
	if (n == 0)
		return;
	engine_reason(e, &r, why, pool, first);
	if (why == WHY_RECOVERED)
		watch_recovered(e, pool, &r);
	r.lasting = e->now - MIN(p->added_at, e->now);
	a = engine_report(e, why, &r, first, text);
	if (a != NULL) {
		a->value = n;
		a->value2 = VERB_RELEASE;
	}
	p->growing = false;
}

/* In the first, short window not every sibling got to run. Those that follow belong to
 * the pattern, also where harm has fallen below the threshold already. */
static bool add_siblings(struct engine *e, uint32_t pool)
{
	struct pool *p = &e->pools[pool];
	struct plan plan;

	if (p->pattern == PATTERN_NONE || e->now - p->added_at < LAW_CUT_GAP || e->now - p->began_at > SIBLINGS_FOR || p->growing)
		return false;
	squeeze_plan_siblings(e, pool, p->parent, &plan);
	if (plan.n == 0)
		return false;
	p->added_at = e->now;
	begin_judging(e, p);
	(void)carry_out(e, pool, &plan, WHY_HARM, true);
	return true;
}

/* Further: what is not squeezed yet, else the next rung or half the share. */
static void tighten(struct engine *e, uint32_t pool)
{
	struct pool *p = &e->pools[pool];
	struct params par = engine_params(e, pool);
	uint32_t i, quotas = 0, weights = 0, changed = 0, tasks = 0;
	uint64_t first = GROUP_NONE;
	struct plan plan;
	struct reason r;
	struct action *a;
	char text[REASON_TEXT_MAX], share[UNITS_TEXT_MAX];
	bool cut = false, fresh_quota = false;
	enum rung climbed = RUNG_NONE;

	if (triage_squeezes(e->triage.cause) && !orders_names_awaited(e)) {
		make_plan(e, pool, true, &plan);
		if (plan.n > 0) {
			if (e->triage.pattern != PATTERN_NONE)
				p->pattern = e->triage.pattern;
			p->added_at = e->now;
			p->database = e->harm.level[IMPORTANCE_DATABASE];
			begin_judging(e, p);
			p->cause = e->triage.cause;
			(void)carry_out(e, pool, &plan, WHY_HARM, true);
			squeeze_share(e, pool);
			return;
		}
	}
	for (i = 0; i < e->n_squeezes; i++) {
		const struct squeeze *s = &e->squeezes[i];

		if (s->pool != pool || s->release)
			continue;
		if (s->ranking)
			return;
		if (first == GROUP_NONE)
			first = s->group;
		quotas += s->rung == RUNG_QUOTA;
		fresh_quota = fresh_quota || (s->rung == RUNG_QUOTA && e->now - s->written < LAW_WRITE_GAP);
		weights += s->rung == RUNG_WEIGHT;
		tasks += s->rung == RUNG_TASKS;
	}
	/* Something else is to blame by now (the kernel, the host, another): no use in cutting these. */
	if (!triage_squeezes(e->triage.cause) || !watch_explains(e, pool))
		goto judge;
	for (i = 0; tasks > 0 && i < e->n_squeezes; i++) {
		struct squeeze *s = &e->squeezes[i];

		if (s->pool == pool && !s->release && s->rung == RUNG_TASKS && inside_again(e, s))
			changed++;
	}
	if (changed > 0) {
		begin_judging(e, p);
		return;
	}
	if (quotas > 0 && p->share > par.min_share) {
		if (fresh_quota && weights == 0)
			return;                 /* each write refills: not again so soon */
		p->share = law_cut(p->share, par.min_share);
		cut = true;
	}
	for (i = 0; i < e->n_squeezes; i++) {
		struct squeeze *s = &e->squeezes[i];
		struct ladder_case c;
		enum rung next;

		/* Weights first: a quota that can still be cut waits. */
		if (s->pool != pool || s->release || ((cut || weights > 0) && s->rung != RUNG_WEIGHT))
			continue;
		c = squeeze_case(e, pool, groups_find(&e->groups, s->group), s->broken);
		c.inside = s->inside;
		c.weight_only = c.weight_only && s->weight_only;
		c.pattern = p->pattern != PATTERN_NONE ? p->pattern : c.pattern;
		next = s->realtime ? RUNG_NONE : ladder_next(&c, (enum rung)s->rung);
		if (next == RUNG_NONE)
			continue;
		if (changed == 0) {
			first = s->group;
			climbed = next;
			if (next == RUNG_QUOTA && quotas == 0)
				p->share = p->pattern != PATTERN_NONE ? par.min_share :
					   law_first_share(PERMYRIAD_FULL, PERMYRIAD_FULL / 2, par.min_share);
		}
		squeeze_climb(e, s, next);
		changed++;
	}
	if (cut || changed > 0) {
		if (changed > 0 && climbed != RUNG_QUOTA)
			(void)str_format(text, sizeof(text), "%s, since the rung before did not help enough", rung_to_string(climbed));
		else
			(void)str_format(text, sizeof(text), "quota, together %s of the machine", units_format_permyriad(p->share, share));
		engine_reason(e, &r, p->effective ? WHY_HARM : WHY_NO_EFFECT, pool, first);
		begin_judging(e, p);
		a = engine_report(e, r.why, &r, first, text);
		(void)str_copy(r.text, sizeof(r.text), text);
		pool_reason(e, pool, &r);
		if (a != NULL) {
			a->until = watch_until(e, pool);
			a->value = changed > 0 ? changed : quotas;
			a->value2 = changed > 0 && climbed != RUNG_QUOTA ? -1 : VERB_QUOTA;
		}
		squeeze_share(e, pool);
		return;
	}
judge:
	/* Nothing further. Was it of any use? A pattern, or lowered tasks, that would go on at once are held in any case. */
	if (e->now - p->cut_at < (p->pattern != PATTERN_NONE ? 2 : 1) * LAW_UNDO_AFTER)
		return;
	if ((uint64_t)p->hurt * PERMYRIAD_FULL > (uint64_t)p->first * LAW_EFFECT && ((p->pattern == PATTERN_NONE && tasks == 0) || !watch_wants_more(e, pool))) {
		p->failures++;
		relief_release_pool(e, pool, WHY_NO_EFFECT, "it did not help; undone");
		p->released_at = 0;
		if (p->failures >= SETS_MOST)
			say_not(e, pool, GROUP_NONE, "three attempts did not help; nothing more is tried in this incident");
	} else if (!p->said_limit) {
		p->said_limit = true;
		engine_reason(e, &r, WHY_NOT, pool, first);
		(void)engine_report(e, WHY_NOT, &r, first, "it helps but not enough, and Ladder= or the kind of work allows nothing more");
	}
}

static void relapse(struct engine *e, uint32_t pool)
{
	struct pool *p = &e->pools[pool];
	struct params par = engine_params(e, pool);
	char text[REASON_TEXT_MAX], share[UNITS_TEXT_MAX];
	struct action *a;
	struct reason r;
	uint32_t i, n = 0;
	uint64_t first = GROUP_NONE;

	p->ceiling = MAX(p->share / 10 * 8, par.min_share);
	p->hold = law_hold_after_relapse(p->hold);
	p->growth = law_growth_after_relapse(p->growth);
	p->ceiling_until = e->now + 2 * p->hold;
	p->share = law_cut(p->share, par.min_share);
	watch_effect(e, pool);
	begin_judging(e, p);
	p->first = p->hurt;
	for (i = 0; i < e->n_squeezes; i++)
		if (e->squeezes[i].pool == pool && !e->squeezes[i].release && n++ == 0)
			first = e->squeezes[i].group;
	engine_reason(e, &r, WHY_RELAPSE, pool, first);
	(void)str_format(text, sizeof(text), "quota, together %s of the machine", units_format_permyriad(p->share, share));
	a = engine_report(e, WHY_RELAPSE, &r, first, text);
	if (a != NULL) {
		a->until = watch_until(e, pool);
		a->value = n;
		a->value2 = VERB_QUOTA;
	}
	(void)str_copy(r.text, sizeof(r.text), text);
	pool_reason(e, pool, &r);
	squeeze_share(e, pool);
}

static void relax(struct engine *e, uint32_t pool)
{
	struct pool *p = &e->pools[pool];
	uint64_t first = GROUP_NONE;
	uint32_t i, quotas = 0;
	struct reason r;

	for (i = 0; i < e->n_squeezes; i++) {
		const struct squeeze *s = &e->squeezes[i];

		if (s->pool == pool && !s->release && s->rung == RUNG_QUOTA && quotas++ == 0)
			first = s->group;
	}
	if (quotas == 0) {
		/* SCHED_IDLE wastes nothing, so it may last; but the cgroup's CPU time may be others' by now. */
		if (watch_would_go_on(e, pool) && e->now - p->well_since < p->hold + GO_ON_FOR)
			return;
		relief_release_pool(e, pool, WHY_RECOVERED, "victims are well");
		return;
	}
	/* Who wants less is let go by watch_demand(). These would take all at once, and each try slows logins. */
	if (!p->growing && p->pattern != PATTERN_NONE && e->now - p->well_since < p->hold + PATTERN_GOES_ON)
		return;
	if (!p->growing) {
		struct action *a;

		p->growing = true;
		p->grow_at = e->now - LAW_GROW_GAP;
		engine_reason(e, &r, WHY_RECOVERED, pool, first);
		(void)str_copy(r.text, sizeof(r.text), "giving back in steps");
		pool_reason(e, pool, &r);
		watch_recovered(e, pool, &r);
		a = engine_report(e, WHY_RECOVERED, &r, first, r.text);
		if (a != NULL) {
			a->until = watch_until(e, pool);
			a->value = quotas;
			a->value2 = VERB_QUOTA;
		}
	}
	if (e->now - p->grow_at < LAW_GROW_GAP)
		return;
	p->share = law_grow(p->share, p->growth, e->now - p->grow_at, e->now < p->ceiling_until ? p->ceiling : PERMYRIAD_FULL);
	p->grow_at = e->now;
	if (p->share >= PERMYRIAD_FULL)
		relief_release_pool(e, pool, WHY_RECOVERED, "victims are well, everything given back");
}

/* Single estimates of a login scatter by a factor of ten, so "dead for 20 s" is: in four of
 * five windows, and never alive for a second. */
static bool count_dead(const struct engine *e, struct pool *p, bool fresh, bool over)
{
	if (fresh && over) {
		p->fine_since = 0;
		if (p->over_windows == 0) {
			p->over_since = e->now;
			p->measured = p->bad = 0;
		}
		p->over_windows++;
		p->bad = (uint16_t)MIN(p->bad + 1, UINT16_MAX);
	} else if (!over && p->fine_since == 0)
		p->fine_since = e->now;
	if (fresh)
		p->measured = (uint16_t)MIN(p->measured + 1, UINT16_MAX);
	if (p->fine_since && e->now - p->fine_since >= RESCUE_FINE) {
		p->over_since = 0;
		p->over_windows = 0;
		return false;
	}
	return (uint32_t)p->bad * PERMYRIAD_FULL >= (uint32_t)p->measured * RESCUE_BAD;
}

static void pool_tick(struct engine *e, uint32_t pool)
{
	struct pool *p = &e->pools[pool];
	struct params par = engine_params(e, pool);
	permyriad_t level, strain;
	uint32_t i;
	bool fresh = watch_level(e, pool, &level, &strain), over, busy = p->n > 0, dead = true, slow;
	permyriad_t limit = pool == 0 ? watch_login_share(e, busy ? 2 : 1) : par.wait;
	permyriad_t well = watch_well(e, pool);

	if (fresh) {
		p->level = level;
		p->strain = strain;
		p->level_at = e->now;
	} else if (e->now - p->level_at > EVIDENCE_LASTS)
		p->level = p->strain = 0;
	p->limit = limit;
	over = p->level >= limit;
	if (pool == 0 && !busy)
		dead = count_dead(e, p, fresh, over);
	else if (!over) {
		p->over_since = 0;
		p->over_windows = 0;
	} else if (fresh && p->over_windows++ == 0) {
		/* The alarm's own evidence counts, see engine.c. */
		p->over_since = e->over_since ? MIN(e->over_since, e->now) : e->now - MIN(e->window, e->now);
		if (e->over_windows >= 2)
			p->over_windows = 2;
	}
	if (p->strain >= well)
		p->well_since = 0;
	else if (p->well_since == 0)
		p->well_since = e->now;
	if (p->released_at && e->now - p->released_at >= LAW_MEMORY + p->cooling && !busy) {
		p->released_at = p->cooling = 0;
		p->hold = LAW_HOLD_FIRST;
		p->growth = LAW_GROWTH_FIRST;
		p->ceiling = PERMYRIAD_FULL;
		p->ceiling_until = 0;
	}
	if (!busy) {
		p->cause = CAUSE_NONE;
		if (fresh && over && p->over_windows >= 2 && dead && e->now - p->over_since >= par.wait_for)
			start(e, pool);
		return;
	}
	watch_hurt(e, pool);
	/* A ranking sees only who ran meanwhile: the rest, as long as somebody suffers. */
	for (i = 0; fresh && p->strain >= well && i < e->n_squeezes; i++)
		if (e->squeezes[i].pool == pool && !e->squeezes[i].release && e->squeezes[i].rung == RUNG_TASKS &&
		    !e->squeezes[i].realtime && e->squeezes[i].n_tasks > 0)
			(void)inside_again(e, &e->squeezes[i]);
	if (watch_pending(e, pool)) {
		p->cut_at = e->now;
		p->judge = LAW_JUDGE_TICKS;
		return;
	}
	if (watch_worse(e, pool))
		return;
	if (e->harm.sampled)
		watch_demand(e, pool);
	slow = e->now - e->login_at < EVIDENCE_LASTS && 2 * e->login >= 3 * e->set.settings.login_cost;
	if (e->harm.total > 0 && (p->strain >= well || slow) && p->level < limit && add_siblings(e, pool)) {
		squeeze_share(e, pool);
		return;
	}
	if (p->judge > 0 && fresh) {
		p->judge--;
		p->effective = p->effective || (uint64_t)p->hurt * PERMYRIAD_FULL <= (uint64_t)p->before * LAW_EFFECT;
	}
	if (p->judge > 0 && e->now - p->cut_at >= LAW_JUDGE_MOST)
		p->judge = 0;
	if (over && fresh && p->over_windows >= 2 && p->judge == 0 && e->now - p->cut_at >= LAW_CUT_GAP) {
		if (p->growing && triage_squeezes(e->triage.cause) && watch_explains(e, pool))
			relapse(e, pool);
		else if (p->growing)
			p->well_since = 0;
		else
			tighten(e, pool);
	} else if (p->well_since && e->now - p->well_since >= p->hold)
		relax(e, pool);
	if (p->n > 0)
		squeeze_share(e, pool);
}

void relief_tick(struct engine *e)
{
	uint32_t i;

	for (i = engine_first_pool(e); i < engine_end_pool(e); i++)
		if (i == 0 || e->set.policies[i - 1].kind == POLICY_THROTTLE)
			pool_tick(e, i);
}
