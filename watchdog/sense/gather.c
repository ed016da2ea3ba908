/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gather: from the probe's deltas, CPU by CPU, to samples, cgroup by cgroup.
 *
 * Deltas of one CPU come together; a snapshot wants those of one cgroup together.
 * They are kept as they come, counted per cgroup, and put in their places once the
 * order of the cgroups is known, so no large sort is needed. What is sorted are
 * indices of cgroups, by a natural merge sort: ids come nearly ascending from the
 * probe, which makes it one pass or two; and qsort() of glibc allocates. Sums stay in nanoseconds until the end, so
 * that a thousand short runs are not a thousand roundings.
 */
#include "sense/gather.h"

#include <stdlib.h>
#include <string.h>

#include "base/macro.h"

#define HASH (2 * GATHER_GROUPS)        /* a power of two */

struct cell {
	uint16_t group, cpu;
	uint32_t run_us, wait_us;
};

struct bucket {
	uint64_t id;
	uint32_t round;                 /* of another round: empty */
	uint32_t group;
};

struct gather {
	uint32_t round;
	uint64_t window_ns;
	unsigned n, n_cells;
	struct gather_group groups[GATHER_GROUPS + 1];  /* the last one: GROUP_OTHER, where there is no room */
	uint16_t order[GATHER_GROUPS], merge[GATHER_GROUPS];
	bool ranked;
	uint32_t place[GATHER_GROUPS];                  /* where the next cell of a group goes; NOWHERE */
	struct bucket hash[HASH];
	struct cell cells[GATHER_CELLS];
};

#define NOWHERE UINT32_MAX

struct gather *gather_new(void)
{
	struct gather *g = calloc(1, sizeof(*g));

	if (g)
		gather_begin(g, 0);
	return g;
}

struct gather *gather_free(struct gather *g)
{
	free(g);
	return NULL;
}

void gather_begin(struct gather *g, usec_t window)
{
	g->round++;
	g->window_ns = window > UINT64_MAX / 1000 ? UINT64_MAX : window * 1000;
	g->n = g->n_cells = 0;
	g->ranked = false;
	g->groups[GATHER_GROUPS] = (struct gather_group){ .id = GROUP_OTHER };
}

static unsigned group_of(struct gather *g, uint64_t id)
{
	uint32_t at = (uint32_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (HASH - 1);

	if (id == GROUP_OTHER)
		return GATHER_GROUPS;
	for (; g->hash[at].round == g->round; at = (at + 1) & (HASH - 1))
		if (g->hash[at].id == id)
			return g->hash[at].group;
	if (g->n == GATHER_GROUPS)
		return GATHER_GROUPS;
	g->hash[at] = (struct bucket){ .id = id, .round = g->round, .group = g->n };
	g->groups[g->n] = (struct gather_group){ .id = id };
	g->order[g->n] = (uint16_t)g->n;
	return g->n++;
}

static uint32_t to_us(uint64_t ns)
{
	return (uint32_t)MIN(ns / 1000, (uint64_t)UINT32_MAX);
}

void gather_add(struct gather *g, const struct gather_delta *d)
{
	uint64_t run = MIN(d->run_ns, g->window_ns);
	unsigned at = group_of(g, d->id);
	struct gather_group *o = &g->groups[at];

	o->run_ns += run;
	o->wait_ns += d->wait_ns;
	o->rt_run_ns += MIN(d->rt_run_ns, run);
	o->kthread_run_ns += MIN(d->kthread_run_ns, run);
	o->forks += d->forks;
	if (at == GATHER_GROUPS || g->n_cells == GATHER_CELLS || (!to_us(run) && !to_us(d->wait_ns)))
		return;
	o->cells++;
	g->cells[g->n_cells++] = (struct cell){
		.group = (uint16_t)at, .cpu = (uint16_t)d->cpu, .run_us = to_us(run), .wait_us = to_us(d->wait_ns),
	};
}

void gather_add_run(struct gather *g, uint64_t id, uint64_t run_us)
{
	g->groups[group_of(g, id)].run_ns += run_us * 1000;
}

void gather_keep(struct gather *g, uint64_t id)
{
	g->groups[group_of(g, id)].keep = true;
}

typedef bool (*before_t)(const struct gather_group *a, const struct gather_group *b);

static bool larger(const struct gather_group *a, const struct gather_group *b)
{
	uint64_t x = a->run_ns + a->wait_ns, y = b->run_ns + b->wait_ns;

	return x != y ? x > y : a->id < b->id;
}

static bool lower_id(const struct gather_group *a, const struct gather_group *b)
{
	return a->id < b->id;
}

/* Merges neighbouring runs that are in order until there is one. */
static void merge_sort(struct gather *g, uint16_t *v, unsigned n, before_t before)
{
	unsigned from, mid, to, a, b, k, runs;

#define IN_ORDER(x, y) (!before(&g->groups[y], &g->groups[x]))
	do {
		for (runs = 0, from = 0; from < n; from = to, runs++) {
			for (mid = from + 1; mid < n && IN_ORDER(v[mid - 1], v[mid]); mid++)
				;
			for (to = MIN(mid + 1, n); to < n && IN_ORDER(v[to - 1], v[to]); to++)
				;
			if (mid >= n) {
				runs++;
				break;
			}
			memcpy(&g->merge[from], &v[from], (mid - from) * sizeof(*v));
			for (k = a = from, b = mid; a < mid; k++)
				v[k] = b < to && !IN_ORDER(g->merge[a], v[b]) ? v[b++] : g->merge[a++];
		}
	} while (runs > 1);
#undef IN_ORDER
}

unsigned gather_count(const struct gather *g)
{
	return g->n;
}

void gather_rank(struct gather *g)
{
	merge_sort(g, g->order, g->n, larger);
	g->ranked = true;
}

struct gather_group *gather_at(struct gather *g, unsigned i)
{
	return &g->groups[g->order[i]];
}

static void fold(struct gather_group *other, const struct gather_group *o)
{
	other->run_ns += o->run_ns;
	other->wait_ns += o->wait_ns;
	other->rt_run_ns += o->rt_run_ns;
	other->kthread_run_ns += o->kthread_run_ns;
	other->forks += o->forks;
}

static void sample(const struct gather_group *o, struct group_sample *ret)
{
	*ret = (struct group_sample){
		.id = o->id, .run_us = to_us(o->run_ns), .wait_us = to_us(o->wait_ns),
		.rt_run_us = to_us(o->rt_run_ns), .kthread_run_us = to_us(o->kthread_run_ns), .forks = o->forks,
		.psi_some_us = -1, .throttled_us = -1, .pids = -1,
	};
}

void gather_finish(struct gather *g, struct snapshot *ret)
{
	struct gather_group *other = &g->groups[GATHER_GROUPS], *o;
	unsigned i, kept = 0, n = 0, room = MAX_SAMPLES - 1, shares = MAX_CPU_SHARES;
	uint32_t first = 0;
	const struct cell *c;
	uint16_t at;

	if (!g->ranked && (g->n >= MAX_SAMPLES || g->n_cells > MAX_CPU_SHARES))
		gather_rank(g);
	for (i = 0; i < g->n; i++)
		kept += g->groups[i].keep;
	room = kept < room ? room - kept : 0;

	/* Largest first: who stays, and who gets figures per CPU. */
	for (i = 0; i < g->n; i++) {
		at = g->order[i];
		o = &g->groups[at];
		g->place[at] = NOWHERE;
		if (n == MAX_SAMPLES - 1 || (!o->keep && (o->fold || !room))) {
			fold(other, o);
			continue;
		}
		room -= !o->keep;
		g->order[n++] = at;
		if (o->cells > shares)
			continue;
		shares -= o->cells;
		g->place[at] = 0;
	}

	merge_sort(g, g->order, n, lower_id);
	for (i = 0; i < n; i++) {
		at = g->order[i];
		o = &g->groups[at];
		sample(o, &ret->groups[i]);
		if (g->place[at] == NOWHERE)
			continue;
		ret->groups[i].cpu_first = g->place[at] = first;
		ret->groups[i].cpu_n = o->cells;
		first += o->cells;
	}
	for (i = 0; i < g->n_cells; i++) {
		c = &g->cells[i];
		if (g->place[c->group] != NOWHERE)
			ret->cpu[g->place[c->group]++] = (struct cpu_share){ .cpu = c->cpu, .run_us = c->run_us, .wait_us = c->wait_us };
	}
	if (other->run_ns || other->wait_ns || other->forks)
		sample(other, &ret->groups[n++]);
	ret->n_groups = n;
	ret->n_cpu = first;
}
