/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blame: harm of the protected × guilt of the others
 *
 * blame(j→v) = Σ_cpu wait_v[cpu] · run_j[cpu] / Σ_k run_k[cpu]
 *
 * Who ran where a victim waited is to blame for the waiting: a hog that is alone on
 * another CPU harms nobody, whatever it uses. The own part (j = v) is what a group
 * does to itself. Each victim's waits are normalised by its harm before they are
 * added up, else a database with fifty waiting backends would outvote an sshd that
 * is stuck.
 *
 * Three things know of harm: the probe (waits of tasks that got to run), PSI of the
 * cgroup (also counts those that did not yet) and the canary. Where two of them
 * speak, harm is what two agree on: the second largest. So no threshold needs to
 * be known here. A task that is throttled by its own group's limit counts as waiting
 * in all of them, so that part is taken off first; the rest is a neighbour's.
 *
 * A single window of 100 ms says little: a task with 4 ms of work waits 6 ms in one and
 * 50 in the next (measured, 64 siblings). So harm is judged over what each victim did in
 * the last third of a second or so, and blame is remembered for a second, since on a
 * slow CPU only some of 64 siblings get to run in a window. Both begin with the first
 * window; harm begins anew when something is squeezed (blame_forget), since an effect is
 * judged by what came after it.
 *
 * Guilt is what is used beyond the entitlement by weight among the active siblings, up
 * the tree. It orders the suspects but never acquits: 64 siblings with one hog each
 * use what they are entitled to and together still kill the machine, so a tenth of
 * the blame always stands. Where the cpu controller is off, tasks compete one by
 * one; entitlement then counts as if each cgroup had the default weight, which is
 * what people expect of two services.
 */
#include "core/blame.h"

#include <string.h>

#include "base/macro.h"

#define SCALE       4096                /* fixed point of the per-CPU harm */
#define GUILT_FLOOR 1000                /* permyriad of the blame that stands at any usage */
#define ENT_FULL    UINT64_C(1000000)   /* the whole machine, in entitled[] */
#define ACTIVE_US   500                 /* run + wait in a window that makes a sibling an active one */

static permyriad_t part(uint64_t a, uint64_t of)
{
	return of == 0 ? 0 : (permyriad_t)MIN(a * PERMYRIAD_FULL / of, (uint64_t)PERMYRIAD_FULL);
}

/* Small amounts of waiting harm nobody, whatever share of the wanted time they are. */
static permyriad_t scaled(permyriad_t share, uint64_t waited, uint64_t full)
{
	if (waited >= full || full == 0)
		return share;
	return (permyriad_t)((uint64_t)share * waited / full);
}

/* ... and below three quarters of that it is none to act on. */
static permyriad_t actionable(permyriad_t level, uint64_t waited, uint64_t full)
{
	return waited * PERMYRIAD_FULL < full * BLAME_LEAST_PART ? 0 : level;
}

/* What two of up to three agree on; what one says where it is alone. -1: unknown. */
static permyriad_t agreed(permyriad_t a, permyriad_t b, permyriad_t c)
{
	permyriad_t hi = MAX(a, MAX(b, c)), lo = MIN(a, MIN(b, c)), mid = (permyriad_t)(a + b + c - hi - lo);

	return mid >= 0 ? mid : hi;
}

static usec_t login_time(permyriad_t share, usec_t cost)
{
	return cost * PERMYRIAD_FULL / (usec_t)(PERMYRIAD_FULL - MIN(share, PERMYRIAD_FULL - 1));
}

static uint32_t cpus_of(const struct snapshot *s, const struct group_sample *x)
{
	uint32_t n = MIN(s->n_cpu, MAX_CPU_SHARES);

	return x->cpu_first > n ? 0 : MIN(x->cpu_n, n - x->cpu_first);
}

static uint64_t faded(uint64_t v, usec_t age, usec_t lasts)
{
	return age >= lasts ? 0 : v * (lasts - age) / lasts;
}

/* Adds a window; after a gap it begins with it. */
static void recent_add(struct recent *r, usec_t now, usec_t window, uint64_t run, uint64_t waited, uint64_t own, uint64_t some)
{
	bool gap = now - MIN(r->at, now) > 2 * window;

	r->wall = (gap ? 0 : faded(r->wall, window, BLAME_RECENT)) + window;
	r->run = (gap ? 0 : faded(r->run, window, BLAME_RECENT)) + run;
	r->waited = (gap ? 0 : faded(r->waited, window, BLAME_RECENT)) + waited;
	r->own = (gap ? 0 : faded(r->own, window, BLAME_RECENT)) + own;
	r->some = (gap ? 0 : faded(r->some, window, BLAME_RECENT)) + some;
	r->at = now;
}

void blame_forget(struct groups *g)
{
	uint32_t i;

	for (i = 0; i < g->n; i++)
		g->slot[g->by_id[i]].recent = (struct recent) { 0 };
}

void blame_reset(struct harm *h, struct groups *g)
{
	uint32_t i;

	blame_forget(g);
	h->blamed_at = 0;
	for (i = 0; i < g->n; i++)
		g->slot[g->by_id[i]].blame = g->slot[g->by_id[i]].kernel_blame = g->slot[g->by_id[i]].let_go = 0;
}

/* Slots of the samples; run time per CPU; run and demand of each subtree. */
static void sum_up(struct harm *h, const struct snapshot *s, struct groups *g, usec_t now)
{
	uint32_t i, j, k = 0, n = MIN(s->n_groups, MAX_SAMPLES), ncpu = MAX(s->machine.ncpu, 1);

	memset(h->run, 0, sizeof(h->run));
	h->all_run = 0;
	memset(h->sub_run, 0, sizeof(h->sub_run));
	memset(h->sub_want, 0, sizeof(h->sub_want));
	for (i = 0; i < g->n; i++)
		g->slot[g->by_id[i]].active = false;
	for (i = 0; i < n; i++) {
		const struct group_sample *x = &s->groups[i];
		uint32_t m = cpus_of(s, x);

		while (k < g->n && g->slot[g->by_id[k]].info.id < x->id)
			k++;
		h->all_run += x->run_us;
		h->sample_slot[i] = SLOT_NONE;
		if (k < g->n && g->slot[g->by_id[k]].info.id == x->id) {
			int slot = g->by_id[k];

			h->sample_slot[i] = (int16_t)slot;
			h->sub_run[slot] += x->run_us;
			h->sub_want[slot] += (uint64_t)x->run_us + x->wait_us;
			if (x->run_us || x->wait_us) {
				g->slot[slot].active = true;
				g->slot[slot].seen = now;
			}
		}
		for (j = 0; j < m; j++)
			h->run[s->cpu[x->cpu_first + j].cpu % MAX_CPUS] += s->cpu[x->cpu_first + j].run_us;
		for (j = 0; m == 0 && j < MIN(ncpu, (uint32_t)MAX_CPUS); j++)
			h->run[j] += x->run_us / ncpu;
	}
}

static void entitle(struct harm *h, const struct groups *g)
{
	uint32_t i;

	memset(h->weights, 0, sizeof(h->weights));
	memset(h->entitled, 0, sizeof(h->entitled));
	/* Own tasks of an inner cgroup compete with its children like one more of them. */
	for (i = 0; i < g->n; i++)
		if (h->sub_want[g->by_id[i]] >= ACTIVE_US)
			h->weights[g->by_id[i]] = 100;
	for (i = g->n; i > 0; i--) {
		int slot = g->by_depth[i - 1], up = g->slot[slot].parent;

		if (up < 0)
			continue;
		h->sub_run[up] += h->sub_run[slot];
		h->sub_want[up] += h->sub_want[slot];
		if (h->sub_want[slot] >= ACTIVE_US)
			h->weights[up] += g->slot[slot].info.flags & GROUP_CAN_WEIGHT ? (uint64_t)g->slot[slot].info.weight : 100;
	}
	for (i = 0; i < g->n; i++) {
		int slot = g->by_depth[i], up = g->slot[slot].parent;
		uint64_t w = g->slot[slot].info.flags & GROUP_CAN_WEIGHT ? (uint64_t)g->slot[slot].info.weight : 100;

		if (up < 0)
			h->entitled[slot] = ENT_FULL;
		else if (h->weights[up] > 0)
			h->entitled[slot] = MIN(h->entitled[up] * w / h->weights[up], h->entitled[up]);
	}
}

uint64_t blame_run(const struct harm *h, int slot)
{
	return h->sub_run[slot];
}

uint64_t blame_wait(const struct harm *h, int slot)
{
	return h->sub_want[slot] - MIN(h->sub_run[slot], h->sub_want[slot]);
}

/* Is `o` to stand before `v`? */
static bool worse(const struct victim *o, const struct victim *v)
{
	permyriad_t a = MAX(o->level, o->self_level), b = MAX(v->level, v->self_level);

	return a > b || (a == b && (o->as < v->as || (o->as == v->as && o->id < v->id)));
}

/* weak: it wanted too little to prove anything. */
static void add_victim(struct harm *h, const struct victim *v, bool weak)
{
	uint32_t i;

	h->level[v->as] = MAX(h->level[v->as], v->level);
	h->self_level = MAX(h->self_level, v->self_level);
	h->strain = MAX(h->strain, v->strain);
	h->fresh = h->fresh || !weak;
	if (!weak && v->as == IMPORTANCE_LOGIN && v->login > 0) {
		h->login = MAX(h->login, v->login);
		h->login_fresh = true;
	}
	if (h->n_victims == MAX_VICTIMS) {
		h->beyond = true;
		if (!worse(v, &h->victims[MAX_VICTIMS - 1]))
			return;
		h->n_victims--;
	}
	for (i = h->n_victims; i > 0 && !worse(&h->victims[i - 1], v); i--)
		h->victims[i] = h->victims[i - 1];
	h->victims[i] = *v;
	h->n_victims++;
}

/* The canary: what it says of itself; also the third opinion on the login class. */
static permyriad_t judge_canary(struct harm *h, const struct snapshot *s, usec_t login_cost)
{
	const struct canary_sample *c = &s->canary;
	struct victim v = { .slot = SLOT_NONE, .id = GROUP_CANARY, .as = IMPORTANCE_LOGIN };
	uint64_t waited;

	if (c->wall_us < 0 || c->cpu_us < 0 || (c->wall_us == 0 && c->cpu_us == 0))
		return PERMYRIAD_UNKNOWN;
	waited = c->wall_us > c->cpu_us ? (uint64_t)(c->wall_us - c->cpu_us) : 0;
	v.foreign = part(waited, waited + (uint64_t)MAX(c->cpu_us, 1));
	v.strain = scaled(v.foreign, waited, BLAME_FULL_CANARY / 4);
	v.level = actionable(scaled(v.foreign, waited, BLAME_FULL_CANARY), waited, BLAME_FULL_CANARY);
	v.eased = v.strain;
	v.hurt = part(waited, s->window);
	v.login = login_time(v.foreign, login_cost);
	add_victim(h, &v, false);
	return v.strain;
}

static void judge_group(struct harm *h, const struct snapshot *s, struct groups *g, uint32_t i,
			permyriad_t canary, usec_t login_cost, const uint8_t *answers, usec_t now)
{
	const struct group_sample *x = &s->groups[i];
	struct group *who = &g->slot[h->sample_slot[i]];
	struct recent *r = &who->recent;
	struct victim v = { .slot = h->sample_slot[i], .id = x->id, .as = who->as, .young = who->young };
	uint32_t j, m = cpus_of(s, x);
	uint64_t window = MAX(s->window, 1), throttled = x->throttled_us > 0 ? (uint64_t)x->throttled_us : 0;
	uint64_t own = 0, spread = MAX(m, 1), tasks, waited = x->wait_us, wanted, full, held = throttled / spread, foreign, psi_foreign = 0;
	permyriad_t probe = -1, psi = -1, whole = -1, psi_whole = -1, third = v.as == IMPORTANCE_LOGIN ? canary : -1;
	permyriad_t probe_eased = -1, psi_eased = -1, share;
	uint8_t answer = who->endpoint >= 0 && answers != NULL ? answers[who->endpoint] : ANSWER_NONE;
	/* PSI still counts tasks that were lowered to SCHED_IDLE. */
	bool has_psi = x->psi_some_us >= 0 && !who->lowered;

	v.selfish = (v.as == IMPORTANCE_LOGIN && !v.young) || answer == ANSWER_BAD;
	for (j = 0; j < m; j++) {
		const struct cpu_share *c = &s->cpu[x->cpu_first + j];
		uint64_t run = h->run[c->cpu % MAX_CPUS];

		if (run > 0)
			own += (uint64_t)c->wait_us * c->run_us / run;
	}
	v.own_limit = part(throttled, window * spread);
	/* While its limit holds it, each of its tasks that wants to run waits. */
	tasks = MAX((x->run_us + waited) * 100 / (window * spread), 100);
	throttled = MIN(throttled * tasks / 100, waited);
	own = waited > 0 ? MIN(own, waited) * (waited - throttled) / waited : 0;
	recent_add(r, now, window, x->run_us, waited - throttled, own, has_psi ? (uint64_t)x->psi_some_us - MIN((uint64_t)x->psi_some_us, held) : 0);

	full = r->wall / BLAME_FULL_PART;
	wanted = r->run + r->waited;
	foreign = r->waited - MIN(r->own, r->waited);
	own = r->own;
	if (s->source == GROUP_SOURCE_BPF && wanted >= BLAME_WANTED_MIN) {
		v.foreign = part(foreign, wanted);
		v.self = part(own, wanted);
		whole = part(r->waited, wanted);
		probe = scaled(v.foreign, foreign, full);
		probe_eased = scaled(v.foreign, foreign, full / BLAME_EASED);
		v.hurt = part(v.selfish ? r->waited : foreign, r->wall);
	}
	if (has_psi) {
		/* Of one task PSI and the probe say the same; of many PSI says less. */
		share = MAX(part(r->some, r->some + r->run), part(r->some, r->wall));
		wanted = MAX(wanted, r->some + r->run);
		if (probe >= 0) {
			/* Own and foreign as the probe tells them apart. */
			psi_whole = share;
			psi_foreign = r->waited > 0 ? r->some * foreign / r->waited : r->some;
			share = r->waited > 0 ? (permyriad_t)((uint64_t)share * foreign / r->waited) : share;
		} else if (r->some >= BLAME_WANTED_MIN) {
			/* PSI cannot tell own from foreign: by what ran at all. */
			uint64_t mine = (uint64_t)part(x->run_us, h->all_run);

			psi_whole = share;
			own = r->some * mine / PERMYRIAD_FULL;
			psi_foreign = r->some - own;
			v.self = (permyriad_t)((uint64_t)share * mine / PERMYRIAD_FULL);
			v.foreign = share - v.self;
			v.hurt = part(v.selfish ? r->some : psi_foreign, r->wall);
			share = v.foreign;
		}
		if (psi_whole >= 0) {
			psi = scaled(share, psi_foreign, full);
			psi_eased = scaled(share, psi_foreign, full / BLAME_EASED);
		}
	}
	if (probe < 0 && psi < 0)
		return;
	v.level = v.strain = agreed(probe, psi, third);
	v.level = actionable(v.level, (uint64_t)v.hurt * r->wall / PERMYRIAD_FULL, full);
	v.eased = agreed(probe_eased, psi_eased, third);
	/* Who answers its health check well is not harmed, however long its tasks wait. */
	if (v.as == IMPORTANCE_HEALTH && answer == ANSWER_GOOD)
		v.level = v.strain = v.eased = 0;
	if (v.self > 0 && v.selfish) {
		/* Half by others and half by itself is as bad as all by one: the larger part stands for
		 * both, if a crowd waits in it. The few tasks of a login wait for each other, and those
		 * of a service at its peak do. */
		bool crowd = r->waited >= BLAME_CROWD * (uint64_t)MAX(s->machine.ncpu, 1) * r->wall;
		permyriad_t both = !crowd ? 0 : actionable(agreed(scaled(whole, r->waited, full), psi_whole < 0 ? -1 : scaled(psi_whole, r->some, full), third),
					      r->waited, full);

		v.strain = MAX(v.strain, scaled(v.self, own, full));
		v.self_level = actionable(scaled(v.self, own, full), own, full);
		if (foreign >= own)
			v.level = MAX(v.level, both);
		else
			v.self_level = MAX(v.self_level, both);
	}
	if (v.as == IMPORTANCE_LOGIN)
		v.login = login_time(v.young ? v.level : agreed(whole, psi_whole, -1), login_cost);
	add_victim(h, &v, wanted * BLAME_WEAK_PART < full);
}

void blame_ease(struct harm *h)
{
	uint32_t i, j;

	for (i = 0; i < h->n_victims; i++) {
		struct victim v = h->victims[i];

		v.level = MAX(v.level, v.eased);
		h->level[v.as] = MAX(h->level[v.as], v.level);
		h->strain = MAX(h->strain, v.level);
		for (j = i; j > 0 && !worse(&h->victims[j - 1], &v); j--)
			h->victims[j] = h->victims[j - 1];
		h->victims[j] = v;
	}
}

/* Harm of each victim onto the CPUs where it waited; where that is not known, onto all
 * by what ran there. */
static void spread_harm(struct harm *h, const struct snapshot *s)
{
	uint64_t all = 0, anywhere = 0;
	uint32_t i, j, n = MIN(s->n_groups, MAX_SAMPLES);
	permyriad_t level_of[MAX_GROUPS];

	memset(h->hw, 0, sizeof(h->hw));
	memset(level_of, 0, sizeof(level_of));
	for (i = 0; i < h->n_victims; i++) {
		const struct victim *v = &h->victims[i];

		if (v->slot >= 0)
			level_of[v->slot] = v->strain;
		else
			anywhere += (uint64_t)v->strain * SCALE;
	}
	for (i = 0; i < n; i++) {
		const struct group_sample *x = &s->groups[i];
		uint64_t wait = 0, level;
		uint32_t m = cpus_of(s, x);

		if (h->sample_slot[i] < 0 || (level = (uint64_t)level_of[h->sample_slot[i]] * SCALE) == 0)
			continue;
		for (j = 0; j < m; j++)
			wait += s->cpu[x->cpu_first + j].wait_us;
		if (wait < BLAME_WANTED_MIN / 2) {
			anywhere += level;
			continue;
		}
		for (j = 0; j < m; j++)
			h->hw[s->cpu[x->cpu_first + j].cpu % MAX_CPUS] += level * s->cpu[x->cpu_first + j].wait_us / wait;
	}
	for (i = 0; i < MAX_CPUS; i++)
		all += h->run[i];
	for (i = 0; anywhere > 0 && all > 0 && i < MAX_CPUS; i++)
		h->hw[i] += anywhere * h->run[i] / all;
}

static uint64_t blame_of(const struct harm *h, const struct snapshot *s, uint32_t i)
{
	const struct group_sample *x = &s->groups[i];
	uint64_t b = 0;
	uint32_t j, m = cpus_of(s, x), ncpu = MAX(s->machine.ncpu, 1);

	for (j = 0; j < m; j++) {
		uint32_t cpu = s->cpu[x->cpu_first + j].cpu % MAX_CPUS;

		if (h->run[cpu] > 0)
			b += h->hw[cpu] * s->cpu[x->cpu_first + j].run_us / h->run[cpu];
	}
	for (j = 0; m == 0 && j < MIN(ncpu, (uint32_t)MAX_CPUS); j++)
		if (h->run[j] > 0)
			b += h->hw[j] * (x->run_us / ncpu) / h->run[j];
	return b;
}

/* What a victim does to itself is no harm, but to the way in. */
static uint64_t own_blame(const struct harm *h, const struct snapshot *s, uint32_t i)
{
	const struct group_sample *x = &s->groups[i];
	uint64_t wait = 0, b = 0, level = 0;
	uint32_t j, m = cpus_of(s, x);

	for (j = 0; h->sample_slot[i] >= 0 && j < h->n_victims; j++)
		if (h->victims[j].slot == h->sample_slot[i] && !h->victims[j].selfish)
			level = (uint64_t)h->victims[j].strain * SCALE;
	if (level == 0)
		return 0;
	for (j = 0; j < m; j++)
		wait += s->cpu[x->cpu_first + j].wait_us;
	for (j = 0; wait >= BLAME_WANTED_MIN / 2 && j < m; j++) {
		const struct cpu_share *c = &s->cpu[x->cpu_first + j];

		if (h->run[c->cpu % MAX_CPUS] > 0)
			b += level * c->wait_us / wait * c->run_us / h->run[c->cpu % MAX_CPUS];
	}
	return b;
}

/* x: of a cgroup nobody told about. NULL: no room. */
static struct suspect *suspect_for(struct harm *h, const struct groups *g, const struct group *who, const struct group_sample *x, int slot)
{
	int key = who == NULL ? -1 : who->unit >= 0 ? who->unit : slot;
	struct suspect *y;

	if (key >= 0 && h->slot_suspect[key] >= 0)
		return &h->suspects[h->slot_suspect[key]];
	if (h->n_suspects == MAX_SAMPLES)
		return NULL;
	y = &h->suspects[h->n_suspects];
	memset(y, 0, sizeof(*y));
	y->slot = y->leaf = (int16_t)key;
	y->id = key >= 0 ? g->slot[key].info.id : x->id;
	y->no_unit = who == NULL ? UNIT_NO_TARGET : who->no_unit;
	if (key >= 0)
		h->slot_suspect[key] = (int16_t)h->n_suspects;
	h->n_suspects++;
	return y;
}

/* What this window adds to the blame of each cgroup, and what else it tells of it. */
static void collect_window(struct harm *h, const struct snapshot *s, struct groups *g)
{
	uint32_t i, n = MIN(s->n_groups, MAX_SAMPLES);
	uint64_t window = MAX(s->window, 1);

	for (i = 0; i < n; i++) {
		const struct group_sample *x = &s->groups[i];
		int slot = h->sample_slot[i];
		struct group *who = slot >= 0 ? &g->slot[slot] : NULL;
		uint64_t blame = blame_of(h, s, i), kernel = x->run_us > 0 ? blame * MIN(x->kthread_run_us, x->run_us) / x->run_us : 0;
		struct suspect *y;

		if (who != NULL && who->as != IMPORTANCE_NONE)
			blame -= MIN(blame, own_blame(h, s, i));
		if (who != NULL) {
			who->blame += blame;
			who->kernel_blame += MIN(kernel, blame);
		}
		if ((who != NULL ? who->blame : blame) == 0 && x->forks == 0)
			continue;
		y = suspect_for(h, g, who, x, slot);
		if (y == NULL)
			continue;
		y->forks += (uint32_t)(x->forks * USEC_PER_SEC / window);
		y->rt_run_us += x->rt_run_us;
		y->n_leaves++;
		if (x->run_us > 0) {
			y->rt_pm = MAX(y->rt_pm, (uint32_t)part(x->rt_run_us, x->run_us));
			y->kthread_pm = MAX(y->kthread_pm, (uint32_t)part(x->kthread_run_us, x->run_us));
		}
		if (who != NULL)
			continue;
		y->blame += blame;
		h->total += blame;
		h->kernel += MIN(kernel, blame);
		h->unknown += blame;
	}
}

static void collect(struct harm *h, const struct snapshot *s, struct groups *g, usec_t now)
{
	usec_t age = now - MIN(h->blamed_at, now);
	uint32_t i;

	h->blamed_at = now;
	memset(h->slot_suspect, 0xff, sizeof(h->slot_suspect));
	for (i = 0; i < g->n; i++) {
		struct group *who = &g->slot[g->by_id[i]];

		who->blame = faded(who->blame, age, BLAME_MEMORY);
		who->kernel_blame = faded(who->kernel_blame, age, BLAME_MEMORY);
	}
	collect_window(h, s, g);
	for (i = 0; i < g->n; i++) {
		int slot = g->by_id[i];
		const struct group *who = &g->slot[slot];
		struct suspect *y = who->blame > 0 ? suspect_for(h, g, who, NULL, slot) : NULL;

		if (y == NULL)
			continue;
		y->blame += who->blame;
		if (who->blame >= y->leaf_blame) {
			y->leaf_blame = who->blame;
			y->leaf = (int16_t)slot;
		}
		if (who->as != IMPORTANCE_NONE && who->blame > h->inside_blame && !who->self) {
			h->inside = (int16_t)slot;
			h->inside_blame = who->blame;
		}
		h->total += who->blame;
		h->kernel += who->kernel_blame;
		if (who->as != IMPORTANCE_NONE)
			h->protected_ += who->blame;
		else if (who->unit >= 0)
			h->touchable += who->blame;
	}
}

static void order(struct harm *h, const struct snapshot *s)
{
	uint64_t capacity = MAX(s->window, 1) * MAX(s->machine.ncpu, 1);
	uint32_t i;

	for (i = 0; i < h->n_suspects; i++) {
		struct suspect *y = &h->suspects[i];
		uint64_t guilt = PERMYRIAD_FULL;

		if (y->slot >= 0) {
			y->usage = part(h->sub_run[y->slot], capacity);
			y->entitled = (permyriad_t)(h->entitled[y->slot] / (ENT_FULL / PERMYRIAD_FULL));
			guilt = y->usage > 0 && y->usage > y->entitled ? (uint64_t)PERMYRIAD_FULL - (uint64_t)y->entitled * PERMYRIAD_FULL / (uint64_t)y->usage : 0;
		}
		y->score = y->blame * MAX(guilt, GUILT_FLOOR) / PERMYRIAD_FULL;
		h->keys[i] = (struct sort_key) { .key = y->score, .id = y->id, .index = i };
	}
	sort_keys(h->keys, h->n_suspects);
	memcpy(h->sorted, h->suspects, h->n_suspects * sizeof(h->sorted[0]));
	for (i = 0; i < h->n_suspects; i++)
		h->suspects[i] = h->sorted[h->keys[i].index];
}

void blame_compute(struct harm *h, const struct snapshot *s, struct groups *g, usec_t login_cost, const uint8_t *answers, usec_t now)
{
	uint32_t i, n = MIN(s->n_groups, MAX_SAMPLES);
	permyriad_t canary;

	h->sampled = n > 0;
	h->fresh = h->login_fresh = h->beyond = false;
	h->n_victims = h->n_suspects = 0;
	memset(h->level, 0, sizeof(h->level));
	h->self_level = h->strain = 0;
	h->login = 0;
	h->total = h->touchable = h->protected_ = h->kernel = h->unknown = h->inside_blame = 0;
	h->inside = SLOT_NONE;
	sum_up(h, s, g, now);
	entitle(h, g);
	canary = judge_canary(h, s, login_cost);
	for (i = 0; i < n; i++) {
		int slot = h->sample_slot[i];

		if (slot >= 0 && g->slot[slot].as != IMPORTANCE_NONE && !g->slot[slot].self)
			judge_group(h, s, g, i, canary, login_cost, answers, now);
	}
	if (h->strain == 0)
		return;
	spread_harm(h, s);
	collect(h, s, g, now);
	order(h, s);
}
