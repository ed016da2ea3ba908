/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch: what a pool looks at
 *
 * Harm as its policy means it, and two reasons to undo that are no harm to logins: a
 * protected database that suffers since (it may wait for a lock that a throttled
 * task holds), and a squeezed cgroup that does not want its quota any more.
 */
#include "core/engine-state.h"

#include "base/macro.h"

static permyriad_t share_of_login(const struct engine *e, usec_t login)
{
	return login == 0 ? 0 : (permyriad_t)(PERMYRIAD_FULL - MIN(e->set.settings.login_cost * PERMYRIAD_FULL / login, (usec_t)PERMYRIAD_FULL));
}

/* Harm as this pool sees it: rescue looks only at what a login would take. Where tasks of
 * a cgroup that harmed itself are lowered, that cgroup tells whether it helps: a canary
 * elsewhere waits for the cgroup as before. False: nobody was measured. */
bool watch_level(const struct engine *e, uint32_t pool, permyriad_t *ret_level, permyriad_t *ret_strain)
{
	const struct harm *h = &e->harm;
	permyriad_t level = h->self_level, inside = 0, strain = 0, i;
	bool selfish = false, seen = false;
	uint32_t j, k;

	for (j = 0; e->pools[pool].n > 0 && j < e->n_squeezes; j++) {
		const struct squeeze *s = &e->squeezes[j];

		if (s->pool != pool || s->release || !s->selfish)
			continue;
		selfish = true;
		for (k = 0; k < h->n_victims; k++) {
			const struct victim *v = &h->victims[k];

			if (v->id != s->group)
				continue;
			inside = MAX(inside, pool == 0 ? share_of_login(e, v->login) : MAX(v->level, v->self_level));
			strain = MAX(strain, pool == 0 ? inside : v->strain);
			seen = true;
		}
	}
	if (selfish) {
		*ret_level = inside;
		*ret_strain = strain;
		return seen;
	}
	for (i = 0; i < IMPORTANCE_NONE; i++)
		level = MAX(level, h->level[i]);
	*ret_level = pool == 0 ? share_of_login(e, h->login) : level;
	*ret_strain = pool == 0 ? *ret_level : h->strain;
	return pool == 0 ? h->login_fresh : h->fresh;
}

/* A login that takes 1/part of RescueLogin=, as a share of waiting. */
permyriad_t watch_login_share(const struct engine *e, unsigned part)
{
	const struct settings *s = &e->set.settings;
	usec_t target = MAX(s->rescue_login / part, s->login_cost + s->login_cost / 2);

	return (permyriad_t)(PERMYRIAD_FULL - s->login_cost * PERMYRIAD_FULL / target);
}

/* Below it the victims of this pool are well. */
permyriad_t watch_well(const struct engine *e, uint32_t pool)
{
	return pool == 0 ? watch_login_share(e, 4) : engine_params(e, pool).wait / 2;
}

/* What giving back is decided by. */
void watch_recovered(const struct engine *e, uint32_t pool, struct reason *r)
{
	r->measured = e->pools[pool].strain;
	r->limit = watch_well(e, pool);
}

/* When the last of this pool's squeezes ends by itself. */
usec_t watch_until(const struct engine *e, uint32_t pool)
{
	usec_t until = 0;
	uint32_t i;

	for (i = 0; i < e->n_squeezes; i++)
		if (e->squeezes[i].pool == pool && !e->squeezes[i].release)
			until = MAX(until, e->squeezes[i].until);
	return until;
}

static uint32_t hurt_now(const struct engine *e, const struct pool *p)
{
	uint32_t i, j, sum = 0;

	for (i = 0; i < e->harm.n_victims; i++)
		for (j = 0; j < p->n_who; j++)
			if (e->harm.victims[i].id == p->who[j])
				sum += (uint32_t)e->harm.victims[i].hurt;
	return sum;
}

void watch_effect(struct engine *e, uint32_t pool)
{
	struct pool *p = &e->pools[pool];
	permyriad_t wait = engine_params(e, pool).wait;
	uint32_t i;

	p->n_who = 0;
	for (i = 0; i < e->harm.n_victims && p->n_who < MAX_WHO; i++) {
		const struct victim *v = &e->harm.victims[i];

		/* A canary elsewhere waits as before for a cgroup whose tasks are lowered. */
		if (MAX(v->level, v->self_level) * 2 >= wait && (v->slot >= 0 || p->n_who == 0))
			p->who[p->n_who++] = v->id;
	}
	p->hurt = hurt_now(e, p);
}

void watch_hurt(struct engine *e, uint32_t pool)
{
	struct pool *p = &e->pools[pool];

	if (e->harm.fresh)
		p->hurt = (3 * p->hurt + hurt_now(e, p)) / 4;
}

bool watch_explains(const struct engine *e, uint32_t pool)
{
	uint64_t blame = 0;
	uint32_t i, j;

	for (i = 0; i < e->harm.n_suspects; i++)
		for (j = 0; e->harm.suspects[i].blame > 0 && j < e->n_squeezes; j++)
			if (e->squeezes[j].pool == pool && !e->squeezes[j].release && e->squeezes[j].group == e->harm.suspects[i].id)
				blame += e->harm.suspects[i].blame;
	return blame * EXPLAINS_PART >= e->harm.total;
}

/* Lowered tasks wait no more, but what they burn now they would take at once. */
bool watch_would_go_on(const struct engine *e, uint32_t pool)
{
	uint64_t lowered = 0;
	uint32_t i;

	for (i = 0; i < e->n_squeezes; i++) {
		const struct squeeze *s = &e->squeezes[i];
		int slot = groups_find(&e->groups, s->group);

		if (s->pool == pool && !s->release && slot >= 0 && s->rung == RUNG_TASKS && s->n_tasks > 0)
			lowered += blame_run(&e->harm, slot);
	}
	return lowered > 0 && lowered * 2 >= (uint64_t)e->window * e->ncpu;
}

bool watch_wants_more(const struct engine *e, uint32_t pool)
{
	uint64_t blame = 0, wait = 0, n = 0;
	uint32_t i, j;

	for (i = 0; i < e->n_squeezes; i++) {
		const struct squeeze *s = &e->squeezes[i];
		int slot = groups_find(&e->groups, s->group);

		if (s->pool != pool || s->release || slot < 0)
			continue;
		n++;
		wait += blame_wait(&e->harm, slot);
		for (j = 0; j < e->harm.n_suspects; j++)
			if (e->harm.suspects[j].id == s->group) {
				blame += e->harm.suspects[j].blame;
				break;
			}
	}
	return blame * 2 >= MAX(e->harm.total, 1) || watch_would_go_on(e, pool) || (n > 0 && wait / n * 2 >= e->window);
}

bool watch_pending(const struct engine *e, uint32_t pool)
{
	uint32_t i;

	for (i = 0; i < e->n_squeezes; i++) {
		const struct squeeze *s = &e->squeezes[i];

		if (s->pool == pool && !s->release && s->inside && (s->ranking || (s->todo & (1u << VERB_RANK)) || s->n_tasks == 0) &&
		    s->rung == RUNG_TASKS)
			return true;
	}
	return false;
}

/* A service more important than what was cut suffers since: locks, for example. */
bool watch_worse(struct engine *e, uint32_t pool)
{
	struct pool *p = &e->pools[pool];
	permyriad_t now = e->harm.level[IMPORTANCE_DATABASE];

	if (e->now - p->added_at > WORSE_FOR || !e->harm.fresh)
		return false;
	if (now < p->database + WORSE_BY || e->harm.level[IMPORTANCE_LOGIN] * 2 > p->limit) {
		p->worse = 0;
		return false;
	}
	if (++p->worse < LAW_JUDGE_TICKS)
		return false;
	p->failures++;
	relief_release_pool(e, pool, WHY_VICTIM_WORSE, "a protected database waits more since; undone");
	p->released_at = 0;
	return true;
}

/* One that does not want what it may have needs no quota any more. */
void watch_demand(struct engine *e, uint32_t pool)
{
	uint64_t first = GROUP_NONE;
	struct action *a;
	struct reason r;
	uint32_t i, n = 0;

	for (i = 0; i < e->n_squeezes; i++) {
		struct squeeze *s = &e->squeezes[i];
		int slot = groups_find(&e->groups, s->group);
		usec_t enough;

		if (s->pool != pool || s->release || s->rung != RUNG_QUOTA || s->quota.period_us <= 0 || slot < 0)
			continue;
		/* Throttled, it seems to want nothing for several periods at a time: judged as a whole. */
		enough = MAX(s->hold, 10 * (usec_t)s->quota.period_us);
		s->low_for += e->window;
		s->low_run += blame_run(&e->harm, slot);
		s->low_wait += blame_wait(&e->harm, slot);
		if (s->low_run * 2 * (uint64_t)s->quota.period_us >= (uint64_t)s->quota.quota_us * enough || s->low_wait * 20 > s->low_for)
			s->low_for = s->low_run = s->low_wait = 0;
		else if (s->low_for >= enough) {
			if (n++ == 0)
				first = s->group;
			engine_reason(e, &r, WHY_RECOVERED, pool, s->group);
			r.lasting = e->now - s->since;
			memory_add(e, s->group, WHY_RECOVERED, e->now + MEMORY_IDLE);
			e->groups.slot[slot].let_go = e->now;
			e->groups.slot[slot].hold = s->hold;
			squeeze_release(e, s, &r);
		}
	}
	if (n == 0)
		return;
	r.candidates[0].group = first;
	a = engine_report(e, WHY_RECOVERED, &r, first, "released: it wants less than its quota");
	if (a != NULL) {
		a->value = n;
		a->value2 = VERB_RELEASE;
	}
}
