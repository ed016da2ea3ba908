/* SPDX-License-Identifier: Apache-2.0 */
/*
 * groups
 *
 * Measure at the leaf, act at the unit: a stock Debian has the cpu controller off
 * below the root, so what is measured (the leaf a task lives in) and what can be
 * squeezed (the nearest cgroup above it with a cpu controller) may be two. A unit
 * with anything protected below it is no unit, and its own parents are none either,
 * since they cover the same.
 *
 * What a policy says counts for everything below as well: the payload of a container
 * lives in cgroups of its own below the one that carries its name. Among [Protect]
 * the most important wins, among equals the later; among [Throttle] the later file
 * wins, so that a site's 60-shop overrides the shipped 30-throttle. The root
 * hands nothing down.
 *
 * Matching costs (patterns × globs), so its outcome is kept with each cgroup and
 * only the tree walk, some 20 µs for a thousand, is done again after a change.
 */
#include "core/groups.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"

void groups_init(struct groups *g)
{
	memset(g, 0, sizeof(*g));
	g->next_expiry = USEC_INFINITY;
}

/* Position of id in by_id, or where it would be. */
static uint32_t position(const struct groups *g, uint64_t id)
{
	uint32_t lo = 0, hi = g->n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (g->slot[g->by_id[mid]].info.id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int groups_find(const struct groups *g, uint64_t id)
{
	uint32_t at = position(g, id);

	return at < g->n && g->slot[g->by_id[at]].info.id == id ? g->by_id[at] : SLOT_NONE;
}

static void classify(struct groups *g, const struct policy_set *set, struct group *x, usec_t now)
{
	int i;

	x->own_as = IMPORTANCE_NONE;
	x->own_protect = x->own_throttle = x->own_endpoint = -1;
	x->own_until = USEC_INFINITY;
	x->lifeline_wanted = -1;
	for (i = 0; i < set->n_policies; i++) {
		const struct policy *p = &set->policies[i];

		if (!policy_matches(set, p, &x->info, now))
			continue;
		if (p->kind == POLICY_THROTTLE) {
			x->own_throttle = (int16_t)i;
			continue;
		}
		if (p->kind == POLICY_ENDPOINT)
			x->own_endpoint = (int16_t)i;
		/* A young session is protected, but the runaway may have been started in one. */
		if (p->kind == POLICY_PROTECT && p->weight > 0 && p->for_first == USEC_INFINITY)
			x->lifeline_wanted = p->weight;
		if (p->as > x->own_as)
			continue;
		x->own_as = (uint8_t)p->as;
		x->own_protect = (int16_t)i;
		x->own_until = p->for_first == USEC_INFINITY ? USEC_INFINITY : x->info.born + p->for_first;
	}
	if (x->own_until < g->next_expiry)
		g->next_expiry = x->own_until;
	g->dirty = true;
}

void groups_classify(struct groups *g, const struct policy_set *set, usec_t now)
{
	uint32_t i;

	g->next_expiry = USEC_INFINITY;
	for (i = 0; i < g->n; i++)
		classify(g, set, &g->slot[g->by_id[i]], now);
	g->dirty = true;
}

bool groups_remove(struct groups *g, uint64_t id)
{
	uint32_t at = position(g, id);

	if (at >= g->n || g->slot[g->by_id[at]].info.id != id)
		return false;
	g->slot[g->by_id[at]].used = false;
	g->n--;
	memmove(&g->by_id[at], &g->by_id[at + 1], (g->n - at) * sizeof(g->by_id[0]));
	g->dirty = true;
	return true;
}

/* Parents, depths, and by_depth by counting. */
static void build_tree(struct groups *g)
{
	uint32_t count[GROUPS_DEPTH_MAX + 2] = { 0 }, i, d;

	for (i = 0; i < g->n; i++) {
		struct group *x = &g->slot[g->by_id[i]];

		x->parent = (int16_t)groups_find(g, x->info.parent);
	}
	for (i = 0; i < g->n; i++) {
		struct group *x = &g->slot[g->by_id[i]];
		int up = x->parent;

		for (d = 0; up >= 0 && d <= GROUPS_DEPTH_MAX; d++)
			up = g->slot[up].parent;
		if (d > GROUPS_DEPTH_MAX) {
			x->parent = SLOT_NONE;
			d = 0;
		}
		x->depth = (uint8_t)d;
	}
	/* A cut chain changes what is below it: depths again, now that there is no ring. */
	for (i = 0; i < g->n; i++) {
		struct group *x = &g->slot[g->by_id[i]];
		int up = x->parent;

		for (d = 0; up >= 0 && d < GROUPS_DEPTH_MAX; d++)
			up = g->slot[up].parent;
		x->depth = (uint8_t)d;
		count[d + 1]++;
	}
	for (d = 1; d < ELEMENTSOF(count); d++)
		count[d] += count[d - 1];
	for (i = 0; i < g->n; i++)
		g->by_depth[count[g->slot[g->by_id[i]].depth]++] = g->by_id[i];
}

static void inherit(struct groups *g, struct group *x)
{
	const struct group *up = x->parent >= 0 ? &g->slot[x->parent] : NULL;

	x->as = x->own_as;
	x->protect = x->own_protect;
	x->young = x->own_protect >= 0 && x->own_until != USEC_INFINITY;
	x->throttle = x->own_throttle;
	x->endpoint = x->own_endpoint;
	x->self = x->info.flags & GROUP_IS_SELF;
	x->covers = false;
	if (up == NULL || (up->info.flags & GROUP_IS_ROOT))
		return;
	x->self = x->self || up->self;
	if (up->as < x->as) {
		x->as = up->as;
		x->protect = up->protect;
		x->young = up->young;
	}
	x->throttle = MAX(x->throttle, up->throttle);
	x->endpoint = MAX(x->endpoint, up->endpoint);
}

static void find_unit(const struct groups *g, struct group *x, int slot)
{
	int up = slot;

	x->unit = SLOT_NONE;
	if (x->info.flags & GROUP_IS_ROOT)
		x->no_unit = UNIT_ROOT;
	else if (x->self)
		x->no_unit = UNIT_SELF;
	else if (x->as != IMPORTANCE_NONE)
		x->no_unit = UNIT_PROTECTED;
	else {
		x->no_unit = UNIT_NO_CPU;
		for (; up >= 0 && !(g->slot[up].info.flags & GROUP_IS_ROOT); up = g->slot[up].parent) {
			const struct group *u = &g->slot[up];

			if (!(u->info.flags & (GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA)))
				continue;
			if (u->covers)
				x->no_unit = UNIT_COVERS;
			else if (u->info.flags & GROUP_NO_TARGET)
				x->no_unit = UNIT_NO_TARGET;
			else {
				x->no_unit = UNIT_OK;
				x->unit = (int16_t)up;
			}
			return;
		}
	}
}

/* Parents, protection and units as the table stands. */
static void place(struct groups *g)
{
	uint32_t i;

	build_tree(g);
	for (i = 0; i < g->n; i++)
		inherit(g, &g->slot[g->by_depth[i]]);
	for (i = g->n; i > 0; i--) {
		struct group *x = &g->slot[g->by_depth[i - 1]];

		if (x->as != IMPORTANCE_NONE || x->self)
			x->covers = true;
		if (x->covers && x->parent >= 0)
			g->slot[x->parent].covers = true;
	}
	for (i = 0; i < g->n; i++)
		find_unit(g, &g->slot[g->by_id[i]], g->by_id[i]);
}

/* Makes room: the least recently active, parents last. Never what is squeezed, nor what is
 * protected or above that: nothing would shelter it any more. */
static uint64_t forget_one(struct groups *g)
{
	uint64_t worst = GROUP_NONE;
	usec_t worst_seen = 0;
	bool worst_parent = false, is_parent[MAX_GROUPS] = { 0 };
	uint32_t i;

	if (g->dirty)
		place(g);       /* and dirty it stays: the next refresh has to tell */
	for (i = 0; i < g->n; i++)
		if (g->slot[g->by_id[i]].parent >= 0)
			is_parent[g->slot[g->by_id[i]].parent] = true;
	for (i = 0; i < g->n; i++) {
		const struct group *x = &g->slot[g->by_id[i]];
		bool parent = is_parent[g->by_id[i]];

		if (x->pinned || x->covers || x->lifeline > 0 || (x->info.flags & GROUP_IS_ROOT))
			continue;
		if (worst == GROUP_NONE || parent < worst_parent || (parent == worst_parent && x->seen < worst_seen)) {
			worst = x->info.id;
			worst_parent = parent;
			worst_seen = x->seen;
		}
	}
	return worst;
}

int groups_put(struct groups *g, const struct policy_set *set, const struct group_info *info, usec_t now, uint64_t *ret_forgotten)
{
	uint64_t forgotten = GROUP_NONE;
	struct group *x;
	uint32_t at;
	int slot;

	if (info->id == GROUP_NONE || info->id == GROUP_OTHER || info->id == GROUP_CANARY || info->id == info->parent)
		return -EINVAL;
	slot = groups_find(g, info->id);
	if (slot < 0) {
		if (g->n >= MAX_GROUPS) {
			forgotten = forget_one(g);
			if (forgotten == GROUP_NONE)
				return -ENOSPC;
			(void)groups_remove(g, forgotten);
			g->forgotten++;
		}
		for (slot = 0; g->slot[slot].used; slot++)
			;
		at = position(g, info->id);
		memmove(&g->by_id[at + 1], &g->by_id[at], (g->n - at) * sizeof(g->by_id[0]));
		g->by_id[at] = (uint16_t)slot;
		g->n++;
		memset(&g->slot[slot], 0, sizeof(g->slot[slot]));
		g->slot[slot].used = true;
		g->slot[slot].lifeline = -1;
		g->slot[slot].seen = now;
		g->slot[slot].as = IMPORTANCE_NONE;
	}
	x = &g->slot[slot];
	x->info = *info;
	x->info.path[sizeof(x->info.path) - 1] = 0;
	x->info.name[sizeof(x->info.name) - 1] = 0;
	for (at = 0; at < GROUP_PROCS_MAX; at++)
		x->info.procs[at][COMM_MAX - 1] = 0;
	x->info.weight = CLAMP(x->info.weight, 1, 10000);
	classify(g, set, x, now);
	*ret_forgotten = forgotten;
	return slot;
}

bool groups_refresh(struct groups *g, const struct policy_set *set, usec_t now)
{
	uint32_t i;

	if (now >= g->next_expiry) {
		g->next_expiry = USEC_INFINITY;
		for (i = 0; i < g->n; i++) {
			struct group *x = &g->slot[g->by_id[i]];

			if (x->own_until <= now)
				classify(g, set, x, now);
			else if (x->own_until < g->next_expiry)
				g->next_expiry = x->own_until;
		}
	}
	if (!g->dirty)
		return false;
	g->dirty = false;
	place(g);
	return true;
}

bool groups_above(const struct groups *g, int a, int b)
{
	int d;

	for (d = 0; b >= 0 && d <= GROUPS_DEPTH_MAX; d++, b = g->slot[b].parent)
		if (a == b)
			return true;
	return false;
}
