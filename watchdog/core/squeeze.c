/* SPDX-License-Identifier: Apache-2.0 */
/*
 * squeeze: whom, by which rung, and how it becomes actions
 *
 * The set is the smallest one that explains four fifths of the blame that can be
 * touched, the guiltiest first. Once a pool works, only who takes more than its share is
 * added, a late sibling of a pattern too: what is squeezed runs less, so the blame moves on
 * to the innocent.
 *
 * A service at its peak is work, not a runaway: where only the way in suffers, all
 * that is no pattern gets a lower weight and nothing else. A person's session is no
 * service, and a database or a health check that suffers is more important.
 *
 * What a squeeze is to become is kept as bits (todo, undo, release) and turned into
 * actions at the end of each step, so that a full list of actions only delays. Deeper
 * cgroups come first: on v1 a parent's quota cannot be below its child's.
 */
#include "core/engine-state.h"

#include <string.h>

#include "base/macro.h"
#include "base/str.h"

#define WRITE_WITHIN (2 * USEC_PER_SEC)
#define RANK_WITHIN  (8 * USEC_PER_SEC) /* the steward is a normal process on a machine that is short of CPU */
#define SET_LEAST_PART 10               /* who explains less than a tenth of the worst is no culprit, but in a pattern */
#define RISING_BY    200                /* more tasks than at the start of the alarm: a bomb, not churn */

struct squeeze *squeeze_find(struct engine *e, uint64_t group)
{
	uint32_t i;

	for (i = 0; i < e->n_squeezes; i++)
		if (e->squeezes[i].group == group)
			return &e->squeezes[i];
	return NULL;
}

bool squeeze_stuck(const struct squeeze *s)
{
	return s->release && !s->gone && s->tries >= RELEASE_TRIES;
}

bool squeeze_holds(const struct engine *e)
{
	uint32_t i;

	for (i = 0; i < e->n_squeezes; i++)
		if (!squeeze_stuck(&e->squeezes[i]))
			return true;
	return false;
}

/* Something outside counts as a neighbour of the victims where its own siblings (or
 * what lives below them) are who is harmed. */
static bool weight_counts(const struct engine *e, int slot, permyriad_t over)
{
	const struct groups *g = &e->groups;
	int up = g->slot[slot].parent;
	uint32_t i;

	if (up < 0)
		return false;
	for (i = 0; i < e->harm.n_victims; i++) {
		const struct victim *v = &e->harm.victims[i];

		if (v->level < over)
			continue;
		/* The canary stands where the way in does. */
		if (v->slot < 0 ? g->slot[up].covers : groups_above(g, up, v->slot))
			return true;
	}
	return false;
}

/* What a person started by hand is no service. */
static bool is_service(const struct group_info *info)
{
	return strstr(info->path, "/session-") == NULL && !str_starts(info->path, "/user.slice/") && !str_starts(info->path, "/user/");
}

struct ladder_case squeeze_case(const struct engine *e, uint32_t pool, int slot, uint32_t broken)
{
	struct params par = engine_params(e, pool);
	const struct harm *h = &e->harm;
	const struct group *x;
	bool important = h->level[IMPORTANCE_DATABASE] >= par.wait || h->level[IMPORTANCE_HEALTH] >= par.wait;
	struct ladder_case c = { .most = par.most, .broken = broken, .pattern = e->triage.pattern };

	if (slot < 0)
		return c;
	x = &e->groups.slot[slot];
	c.flags = x->info.flags;
	c.weight = x->info.weight;
	c.rising = e->tasks_now > e->tasks_before + RISING_BY && e->tasks_before > 0;
	c.weight_counts = weight_counts(e, slot, MIN(par.wait, MAX(e->level, 1)));
	c.healthy = !important && endpoints_well(e, x->endpoint);
	c.weight_only = !important && (par.useful || (c.pattern == PATTERN_NONE && is_service(&x->info)));
	return c;
}

static uint16_t cpus_used(const struct engine *e)
{
	return (uint16_t)MIN(e->ncpu, 4);
}

static void refuse(struct plan *plan, uint64_t group, const char *why)
{
	if (plan->refused != GROUP_NONE)
		return;
	plan->refused = group;
	plan->why_not = why;
}

static const char *why_no_unit(enum no_unit why)
{
	switch (why) {
	case UNIT_ROOT:
		return "its tasks are in the root cgroup, which is never a target; start it as a service or in a session";
	case UNIT_NO_CPU:
		return "the cpu controller is off there; Mode=rescue or enforce turns it on, or set CPUWeight= for a unit of its slice";
	case UNIT_COVERS:
		return "the nearest cgroup with a cpu controller also holds what is protected; set CPUWeight= for a unit of its slice";
	case UNIT_NO_TARGET:
		return "its cgroup is unknown, unreadable or has too long a path";
	case UNIT_SELF:
		return "it is reprieve itself";
	case UNIT_PROTECTED:
		return "it is protected";
	case UNIT_OK:
		break;
	}
	return "";
}

void squeeze_plan(struct engine *e, uint32_t pool, bool more, struct plan *ret)
{
	const struct harm *h = &e->harm;
	uint64_t total = 0, sum = 0, usage = 0, entitled = 0, mean = 0, most = 0;
	int parent = SLOT_NONE;
	uint32_t i, n = 0, room = MAX_SQUEEZES - MIN(e->n_squeezes, MAX_SQUEEZES);
	uint8_t fits[MAX_SAMPLES];

	memset(ret, 0, sizeof(*ret));
	for (i = 0; i < h->n_suspects; i++) {
		const struct suspect *x = &h->suspects[i];
		const struct group *u = x->slot >= 0 ? &e->groups.slot[x->slot] : NULL;
		struct squeeze *s = u && u->pinned ? squeeze_find(e, x->id) : NULL;

		fits[i] = 0;
		if (x->blame == 0)
			continue;
		if (engine_shows(e, x))
			most = MAX(most, x->blame);
		if (x->no_unit != UNIT_OK || u == NULL) {
			if (x->no_unit != UNIT_PROTECTED && x->no_unit != UNIT_SELF && x->blame * 2 >= h->total)
				refuse(ret, x->id, why_no_unit((enum no_unit)x->no_unit));
			continue;
		}
		if (pool > 0 && u->throttle != (int16_t)(pool - 1)) {
			if (u->throttle < 0 && x->blame * 2 >= h->total)
				refuse(ret, x->id, "no [Throttle] policy names it");
			continue;
		}
		if (s == NULL && memory_bars(e, x->id, false))
			continue;
		fits[i] = s != NULL ? 2 : 1;
		total += x->blame;
	}
	for (i = 0; i < h->n_suspects; i++) {
		const struct suspect *x = &h->suspects[i];
		bool full = sum * PERMYRIAD_FULL >= total * BLAME_SET_PART;
		struct ladder_case c;
		enum rung rung;

		if (fits[i] == 0)
			continue;
		/* Of a pattern every sibling that does the same: the last fifth of 64 would be
		 * enough to go on with. */
		if (full && (e->triage.pattern != PATTERN_SIBLINGS || e->groups.slot[x->slot].parent != parent))
			continue;
		/* Who is far below the average is not one of them; late ones join (add_siblings). */
		if (e->triage.pattern == PATTERN_SIBLINGS && x->blame * 2 < mean)
			continue;
		/* No tail of bystanders behind one that explains almost enough. */
		if (x->blame * (e->triage.pattern == PATTERN_NONE ? SET_LEAST_PART : SET_LEAST_PART * 3 / 2) < most)
			continue;
		if (!full) {
			if (n == 0)
				parent = e->groups.slot[x->slot].parent;
			sum += x->blame;
			mean = sum / ++n;
		}
		if (fits[i] == 2)
			continue;
		if (more && x->usage * 10 <= x->entitled * 11)
			continue;
		c = squeeze_case(e, pool, x->slot, 0);
		rung = ladder_next(&c, RUNG_NONE);
		if (rung == RUNG_NONE) {
			refuse(ret, x->id, ladder_why_not(&c));
			continue;
		}
		if (ret->n >= room) {
			e->over |= 1u << OVER_SQUEEZES;
			break;
		}
		usage += (uint64_t)x->usage;
		entitled += (uint64_t)x->entitled;
		ret->targets[ret->n++] = (struct target) {
			.slot = x->slot, .rung = (uint8_t)rung, .depth = e->groups.slot[x->slot].depth,
			.weight_only = c.weight_only, .cpus = cpus_used(e),
		};
	}
	ret->usage = (permyriad_t)MIN(usage, (uint64_t)PERMYRIAD_FULL);
	ret->entitled = (permyriad_t)MIN(entitled, (uint64_t)PERMYRIAD_FULL);
}

/* "hog17.service" and "hog3.service", "docker-7a….scope" and "docker-c4….scope": the same up
 * to the first digit or to a separator. */
static bool same_stem(const char *a, const char *b)
{
	uint32_t i;

	for (i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] >= '0' && a[i] <= '9')
			break;
	if (i < 2)
		return false;
	return memchr("-_@:", a[i - 1], 4) != NULL ||
	       ((a[i] == 0 || (a[i] >= '0' && a[i] <= '9')) && (b[i] == 0 || (b[i] >= '0' && b[i] <= '9')));
}

static const char *last_component(const struct group_info *info)
{
	const char *last = strrchr(info->path, '/');

	return last ? last + 1 : info->path;
}

/* Those that are called like the ones squeezed already, live beside them and take more
 * than their share. */
void squeeze_plan_siblings(struct engine *e, uint32_t pool, int parent, struct plan *ret)
{
	const struct harm *h = &e->harm;
	const char *like = NULL;
	uint64_t most = 0;
	uint32_t i;

	memset(ret, 0, sizeof(*ret));
	for (i = 0; i < h->n_suspects; i++)
		if (engine_shows(e, &h->suspects[i]))
			most = MAX(most, h->suspects[i].blame);
	for (i = 0; i < e->n_squeezes && like == NULL; i++) {
		int slot = groups_find(&e->groups, e->squeezes[i].group);

		if (e->squeezes[i].pool == pool && slot >= 0 && e->groups.slot[slot].parent == parent)
			like = last_component(&e->groups.slot[slot].info);
	}
	for (i = 0; like != NULL && i < h->n_suspects && e->n_squeezes + ret->n < MAX_SQUEEZES; i++) {
		const struct suspect *x = &h->suspects[i];
		const struct group *u = x->slot >= 0 ? &e->groups.slot[x->slot] : NULL;
		struct ladder_case c;
		enum rung rung;

		if (u == NULL || x->no_unit != UNIT_OK || u->pinned || u->parent != parent || x->blame * SET_LEAST_PART * 3 / 2 < most || x->usage * 10 <= x->entitled * 11 ||
		    (pool > 0 && u->throttle != (int16_t)(pool - 1)) || memory_bars(e, x->id, false) || !same_stem(like, last_component(&u->info)))
			continue;
		c = squeeze_case(e, pool, x->slot, 0);
		c.pattern = PATTERN_SIBLINGS;
		c.weight_only = engine_params(e, pool).useful;
		rung = ladder_next(&c, RUNG_NONE);
		if (rung == RUNG_NONE)
			continue;
		ret->targets[ret->n++] = (struct target) { .slot = x->slot, .rung = (uint8_t)rung, .depth = u->depth, .weight_only = c.weight_only, .cpus = cpus_used(e) };
	}
}

struct squeeze *squeeze_new(struct engine *e, uint32_t pool, const struct target *t, const struct reason *r)
{
	struct group *x = &e->groups.slot[t->slot];
	struct params par = engine_params(e, pool);
	struct squeeze *s;

	s = squeeze_find(e, x->info.id);
	if (s != NULL && t->realtime) {
		/* Its tasks turned out to be real-time ones. */
		s->todo = 0;
		s->undo = s->knobs;
		s->inside = s->realtime = true;
		s->reason = *r;
		squeeze_climb(e, s, (enum rung)t->rung);
		return s;
	}
	if (e->n_squeezes >= MAX_SQUEEZES)
		return NULL;
	s = &e->squeezes[e->n_squeezes++];
	memset(s, 0, sizeof(*s));
	s->group = x->info.id;
	s->pool = (uint16_t)pool;
	s->depth = t->depth;
	s->inside = t->inside;
	s->realtime = t->realtime;
	s->weight_only = t->weight_only;
	s->selfish = t->selfish;
	s->own_weight = x->info.weight;
	s->own = (struct law_quota) { .quota_us = x->info.quota_us, .period_us = x->info.period_us };
	s->cpus = t->cpus;
	s->since = s->acted = e->now;
	s->until = e->now + par.at_most;
	s->hold = e->pools[pool].hold;
	/* A relapse of its own, whatever the others do: who comes and goes is held longer each time. */
	if (x->let_go && e->now - x->let_go < LAW_MEMORY)
		s->hold = MAX(s->hold, law_hold_after_relapse(x->hold));
	s->reason = *r;
	x->pinned = true;
	e->pools[pool].n++;
	squeeze_climb(e, s, (enum rung)t->rung);
	return s;
}

void squeeze_drop(struct engine *e, struct squeeze *s)
{
	int slot = groups_find(&e->groups, s->group);

	if (slot >= 0)
		e->groups.slot[slot].pinned = e->groups.slot[slot].lowered = false;
	e->n_tasks -= MIN(e->n_tasks, s->n_tasks);
	if (!s->release && e->pools[s->pool].n > 0)
		e->pools[s->pool].n--;
	*s = e->squeezes[--e->n_squeezes];
}

void squeeze_release(struct engine *e, struct squeeze *s, const struct reason *r)
{
	struct pool *p = &e->pools[s->pool];

	if (s->release)
		return;
	inside_say(e, s, true);
	s->release = true;
	s->todo = s->undo = 0;
	s->reason = *r;
	if (p->n > 0 && --p->n == 0) {
		p->released_at = e->now;
		/* The evidence for rescue begins anew: this one was gathered under a lower limit. */
		if (s->pool == 0) {
			p->over_since = p->fine_since = 0;
			p->over_windows = p->measured = p->bad = 0;
		}
	}
}

void squeeze_climb(struct engine *e, struct squeeze *s, enum rung rung)
{
	s->rung = (uint8_t)rung;
	s->acted = e->now;
	switch (rung) {
	case RUNG_WEIGHT:
		s->weight = law_weight(s->own_weight);
		s->todo |= 1u << VERB_WEIGHT;
		break;
	case RUNG_QUOTA:
		/* The value comes with the pool's share. Never both ends at once. */
		s->undo |= s->knobs & (1u << VERB_WEIGHT);
		break;
	case RUNG_TASKS:
	case RUNG_JAIL:
		s->todo |= 1u << VERB_RANK;
		break;
	case RUNG_PIDS:
		s->pids = -1;
		s->todo |= 1u << VERB_PIDS;
		break;
	case RUNG_FREEZE:
		s->todo |= 1u << VERB_FREEZE;
		break;
	case RUNG_KILL:
		s->todo |= 1u << VERB_KILL;
		break;
	case RUNG_NONE:
	case _RUNG_MAX:
		break;
	}
}

/* A quota stays in force under the rungs above it. */
static bool has_quota(const struct squeeze *s)
{
	return s->rung == RUNG_QUOTA || (s->knobs & (1u << VERB_QUOTA));
}

void squeeze_share(struct engine *e, uint32_t pool)
{
	const struct pool *p = &e->pools[pool];
	int64_t capacity = (int64_t)MAX(e->ncpu, 1) * PERMYRIAD_FULL, total = (int64_t)p->share * MAX(e->ncpu, 1), part = 0, taken = 0, own;
	uint32_t i, n = 0, small = 0;
	permyriad_t share;

	for (i = 0; i < e->n_squeezes; i++)
		n += e->squeezes[i].pool == pool && !e->squeezes[i].release && has_quota(&e->squeezes[i]);
	/* What one may not use by its own limit, the others get. */
	if (n > 0)
		part = total / n;
	for (i = 0; n > 0 && i < e->n_squeezes; i++) {
		const struct squeeze *s = &e->squeezes[i];

		if (s->pool != pool || s->release || !has_quota(s) || s->own.quota_us <= 0 || s->own.period_us <= 0)
			continue;
		own = MIN(s->own.quota_us, INT64_C(1000000000)) * PERMYRIAD_FULL / s->own.period_us;
		if (own < part) {
			taken += own;
			small++;
		}
	}
	share = (permyriad_t)CLAMP((total - taken) * PERMYRIAD_FULL / capacity, 1, PERMYRIAD_FULL);
	n = MAX(n - small, n > 0 ? 1u : 0u);
	for (i = 0; n > 0 && i < e->n_squeezes; i++) {
		struct squeeze *s = &e->squeezes[i];
		struct law_quota q;

		if (s->pool != pool || s->release || s->gone || !has_quota(s))
			continue;
		q = law_quota(share, n, e->ncpu, s->cpus, s->quota.period_us);
		/* Its own limit is never loosened. */
		if (s->own.quota_us > 0 && s->own.period_us > 0 && q.quota_us * s->own.period_us > s->own.quota_us * q.period_us)
			q = s->own;
		if (!law_worth_writing(s->quota, q))
			continue;
		if (s->written && e->now - s->written < LAW_WRITE_GAP)
			continue;
		s->quota = q;
		s->low_for = s->low_run = s->low_wait = 0;
		s->written = e->now;
		s->todo |= 1u << VERB_QUOTA;
	}
}

static struct action *squeeze_emit(struct engine *e, struct squeeze *s, enum verb verb, usec_t within)
{
	struct action *a = engine_emit(e, verb, s->group, within);

	if (a == NULL)
		return NULL;
	a->reason = s->reason;
	a->parent = s->last_action;
	a->until = s->until;
	s->last_action = a->id;
	return a;
}

/* False: no room, to be gone on with in the next step. */
static bool flush_one(struct engine *e, struct squeeze *s)
{
	static const enum verb order[] = { VERB_WEIGHT, VERB_QUOTA, VERB_PIDS, VERB_FREEZE, VERB_KILL, VERB_RANK };
	struct action *a;
	uint32_t i;

	if (s->release) {
		if (s->releasing || e->now < s->retry_at)
			return true;
		if ((a = squeeze_emit(e, s, VERB_RELEASE, WRITE_WITHIN)) == NULL)
			return false;
		a->until = 0;
		s->releasing = a->id;
		return true;
	}
	for (i = 0; i < ELEMENTSOF(order); i++) {
		enum verb verb = order[i];

		if (!(s->todo & (1u << verb)))
			continue;
		if ((a = squeeze_emit(e, s, verb, verb == VERB_RANK ? RANK_WITHIN : WRITE_WITHIN)) == NULL)
			return false;
		s->todo &= ~(1u << verb);
		if (verb == VERB_WEIGHT)
			a->value = s->weight;
		else if (verb == VERB_QUOTA) {
			a->value = s->quota.quota_us;
			a->value2 = s->quota.period_us;
		} else if (verb == VERB_PIDS)
			a->value = s->pids;
		else if (verb == VERB_RANK) {
			s->ranking = a->id;
			s->ranked_at = e->now;
			s->rounds++;
			continue;
		}
		s->knobs |= 1u << verb;
	}
	if (s->undo) {
		if ((a = squeeze_emit(e, s, VERB_RELEASE, WRITE_WITHIN)) == NULL)
			return false;
		a->value = s->undo;
		a->until = 0;
		s->knobs &= ~s->undo;
		s->undo = 0;
	}
	return true;
}

static void forget_gone(struct engine *e)
{
	uint32_t i;

	for (i = e->n_squeezes; i > 0; i--) {
		struct squeeze *s = &e->squeezes[i - 1];
		struct reason r = s->reason;
		struct action *a;

		if (!s->gone)
			continue;
		/* The journal still knows it. */
		a = engine_emit(e, VERB_RELEASE, s->group, WRITE_WITHIN);
		if (a == NULL)
			return;
		r.why = WHY_GONE;
		r.lasting = e->now - s->since;
		a->reason = r;
		squeeze_drop(e, s);
	}
}

/* What ends by itself: the time is up, or nobody tells any more how the victims are. */
static void expire(struct engine *e)
{
	bool blind = e->last_snapshot && e->now - e->last_snapshot > BLIND_MOST;
	uint64_t first = GROUP_NONE;
	struct reason r;
	struct action *a;
	uint32_t i, n = 0, pool = 0;

	for (i = 0; i < e->n_squeezes; i++) {
		struct squeeze *s = &e->squeezes[i];
		usec_t rest = CLAMP((s->until - s->since) / COOL_DOWN_PART, COOL_DOWN_LEAST, COOL_DOWN_MOST);

		if (s->release || s->gone || (!blind && e->now < s->until))
			continue;
		if (n++ == 0) {
			first = s->group;
			pool = s->pool;
		}
		engine_reason(e, &r, blind ? WHY_FAILED : WHY_TOO_LONG, s->pool, s->group);
		r.lasting = e->now - s->since;
		if (!blind) {
			memory_add(e, s->group, WHY_TOO_LONG, e->now + rest);
			e->pools[s->pool].cooling = rest;
		}
		squeeze_release(e, s, &r);
	}
	if (n == 0)
		return;
	engine_reason(e, &r, blind ? WHY_FAILED : WHY_TOO_LONG, pool, first);
	a = engine_report(e, r.why, &r, first, blind ? "nothing was measured for 5s; released" : "released: AtMost= is over");
	if (a != NULL) {
		a->value = n;
		a->value2 = VERB_RELEASE;
	}
}

void squeeze_flush(struct engine *e)
{
	int depth, deepest = 0;
	uint32_t i;

	expire(e);
	forget_gone(e);
	for (i = 0; i < e->n_squeezes; i++)
		deepest = MAX(deepest, (int)e->squeezes[i].depth);
	for (depth = deepest; depth >= 0; depth--)
		for (i = 0; i < e->n_squeezes; i++) {
			struct squeeze *s = &e->squeezes[i];

			if (s->depth == depth && (s->todo || s->undo || s->release) && !flush_one(e, s))
				return;
		}
}
