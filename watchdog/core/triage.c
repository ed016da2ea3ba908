/* SPDX-License-Identifier: Apache-2.0 */
/*
 * triage: the cause before the remedy
 *
 * The order is that of what a squeeze would make worse or could not help: a host that
 * takes the CPU away, interrupts, a scheduler that knows no weights, memory and disk,
 * kernel threads, real-time tasks. Only then a culprit is looked for. What is smoothed
 * starts at nothing, so a single odd window (a noisy host) delays nothing, while a
 * T-instance out of credits, eighty per cent stolen, is named in the second window.
 *
 * Dozens of siblings that share the blame evenly, or thousands of forks per second,
 * are no service at its peak: such a pattern may be squeezed harder and is
 * a runaway even where the host steals time as well.
 */
#include "core/triage.h"

#include "base/macro.h"

#define ALIKE_PART    4                 /* who ran in one window of the last second counts for less, but for a quarter of the average */
#define BLOCKED_MOST  1000000           /* beyond: as many */
#define BLOCKED_SCALE 100               /* a smoothed level of few whole tasks would never get there */

static void smooth(permyriad_t *v, permyriad_t now)
{
	if (now >= 0)
		*v = (permyriad_t)(*v + (now - *v) / TRIAGE_SMOOTH);
}

bool triage_many(const struct snapshot *s)
{
	return s->machine.runnable >= TRIAGE_CROWD * MAX(s->machine.ncpu, 1);
}

int32_t triage_blocked(const struct snapshot *s)
{
	const struct machine_sample *m = &s->machine;

	return m->mem_full < 0 && m->io_full < 0 ? MIN(m->blocked, BLOCKED_MOST) : -1;
}

int32_t triage_blocked_limit(const struct snapshot *s)
{
	return TRIAGE_BLOCKED * MAX(s->machine.ncpu, 1);
}

/* The suspects that explain the greater part, and whether they form a pattern. */
static void find_set(const struct harm *h, const struct snapshot *s, const struct groups *g, struct triage *t)
{
	uint64_t sum = 0, most = 0, forks = 0, all_forks = 0, siblings = 0, usage = 0, least;
	uint32_t i, n_touchable = 0, alike = 0;
	int parent = SLOT_NONE;

	for (i = 0; i < h->n_suspects; i++)
		all_forks += h->suspects[i].forks;
	if (s->machine.forks > 0)
		all_forks = MAX(all_forks, (uint64_t)s->machine.forks * USEC_PER_SEC / MAX(s->window, 1));
	for (i = 0; i < h->n_suspects && sum * PERMYRIAD_FULL < h->touchable * BLAME_SET_PART; i++) {
		const struct suspect *x = &h->suspects[i];

		if (x->no_unit != UNIT_OK)
			continue;
		if (n_touchable == 0)
			parent = g->slot[x->slot].parent;
		n_touchable++;
		sum += x->blame;
		most = MAX(most, x->blame);
		forks += x->forks;
		usage += (uint64_t)MAX(x->usage, 0);
		if (g->slot[x->slot].parent == parent)
			siblings++;
	}
	for (i = 0; i < h->n_suspects; i++)
		if (h->suspects[i].no_unit == UNIT_OK && g->slot[h->suspects[i].slot].parent == parent &&
		    h->suspects[i].blame * n_touchable * ALIKE_PART >= sum)
			alike++;
	t->n_set = n_touchable;
	t->forks = (uint32_t)MIN(forks, UINT32_MAX);
	usage = usage * (uint64_t)MAX(s->machine.ncpu, 1) * (USEC_PER_SEC / PERMYRIAD_FULL);
	least = triage_many(s) && usage <= forks * TRIAGE_FORK_COST ? TRIAGE_FORKS_SLOW : TRIAGE_FORKS;
	if (forks >= least && forks >= 10 * (all_forks - MIN(forks, all_forks)))
		t->pattern = PATTERN_FORKS;
	else if (sum > 0 && alike >= TRIAGE_SIBLINGS && most * PERMYRIAD_FULL <= sum * TRIAGE_ONE_PART && siblings * 10 >= n_touchable * UINT64_C(8))
		t->pattern = PATTERN_SIBLINGS;
}

/* At a peak or in a build some tasks wait in turn; eight on every CPU, from dozens of
 * siblings or thousands of forks per second, are neither. */
bool triage_crowd(const struct snapshot *s, const struct harm *h, const struct groups *g)
{
	struct triage t = { .cause = CAUSE_NONE };

	if (!triage_many(s))
		return false;
	find_set(h, s, g, &t);
	return t.pattern == PATTERN_SIBLINGS || (t.pattern == PATTERN_FORKS && t.forks >= TRIAGE_STORM);
}

static void find(struct triage *t, enum finding f, permyriad_t measured, permyriad_t limit, uint64_t group)
{
	t->all |= 1u << f;
	t->found[f] = (struct found) { .measured = measured, .limit = limit, .group = group };
}

static void find_own_limit(const struct harm *h, struct triage *t)
{
	permyriad_t most = TRIAGE_OWN_LIMIT - 1;
	uint32_t i;

	for (i = 0; i < h->n_victims; i++)
		if (h->victims[i].own_limit > most) {
			most = h->victims[i].own_limit;
			find(t, FOUND_OWN_LIMIT, most, TRIAGE_OWN_LIMIT, h->victims[i].id);
		}
}

/* Who runs most at real-time priority. Not the root cgroup: nobody's tasks are touched there, and
 * started by hand we run in it so ourselves, on a slow machine for half of a short window. */
static bool find_realtime(struct triage_memory *m, const struct harm *h, const struct snapshot *s)
{
	const struct suspect *best = NULL;
	bool known = false;
	uint32_t i;

	m->rt_left -= MIN(m->rt_left, s->window);

	for (i = 0; i < h->n_suspects; i++) {
		const struct suspect *x = &h->suspects[i];

		if (x->no_unit != UNIT_SELF && x->no_unit != UNIT_ROOT && (best == NULL || x->rt_run_us > best->rt_run_us) &&
		    (uint64_t)x->rt_run_us * PERMYRIAD_FULL >= MAX(s->window, 1) * TRIAGE_RT_PART)
			best = x;
		known = known || x->id == m->rt_group;
	}
	if (best == NULL)
		return known && m->rt_left > 0;
	m->rt_group = best->id;
	m->rt_run = (permyriad_t)MIN((uint64_t)best->rt_run_us * PERMYRIAD_FULL / MAX(s->window, 1), (uint64_t)INT32_MAX);
	m->rt_left = TRIAGE_RT_LASTS;
	return true;
}

static void find_all(struct triage_memory *m, const struct snapshot *s, const struct harm *h, permyriad_t level, permyriad_t over, struct triage *t)
{
	const struct machine_sample *x = &s->machine;
	bool harmed = level >= over, rt = find_realtime(m, h, s);
	permyriad_t pids = -1;

	smooth(&m->steal, x->steal);
	smooth(&m->irq, x->irq);
	smooth(&m->mem_full, x->mem_full);
	smooth(&m->io_full, x->io_full);
	smooth(&m->blocked, triage_blocked(s) * BLOCKED_SCALE);
	if (x->tasks > 0 && x->tasks_max > 0)
		pids = (permyriad_t)MIN((int64_t)x->tasks * PERMYRIAD_FULL / x->tasks_max, PERMYRIAD_FULL);
	find_own_limit(h, t);
	if (pids >= TRIAGE_PIDS)
		find(t, FOUND_PIDS, pids, TRIAGE_PIDS, !harmed && h->n_suspects > 0 ? h->suspects[0].id : GROUP_NONE);
	if (m->steal >= TRIAGE_STEAL)
		find(t, FOUND_STEAL, m->steal, TRIAGE_STEAL, GROUP_NONE);
	if (m->irq >= TRIAGE_IRQ)
		find(t, FOUND_IRQ, m->irq, TRIAGE_IRQ, GROUP_NONE);
	if (x->sched_ext && harmed)
		find(t, FOUND_SCHED_EXT, level, over, GROUP_NONE);
	if (m->mem_full >= TRIAGE_MEM_FULL)
		find(t, FOUND_MEMORY, m->mem_full, TRIAGE_MEM_FULL, GROUP_NONE);
	if (m->io_full >= TRIAGE_IO_FULL)
		find(t, FOUND_IO, m->io_full, TRIAGE_IO_FULL, GROUP_NONE);
	if (triage_blocked(s) >= 0 && m->blocked >= triage_blocked_limit(s) * BLOCKED_SCALE)
		find(t, FOUND_TASKS, m->blocked / BLOCKED_SCALE, triage_blocked_limit(s), GROUP_NONE);
	if (harmed && h->total > 0 && h->kernel * 2 >= h->total)
		find(t, FOUND_KERNEL, (permyriad_t)(h->kernel * PERMYRIAD_FULL / h->total), PERMYRIAD_FULL / 2, GROUP_NONE);
	if (harmed && rt)
		find(t, FOUND_REALTIME, m->rt_run, TRIAGE_RT_PART, m->rt_group);
}

/* The first that is there decides; who is harmed while memory or disk are slow may suffer a neighbour. */
static bool decide_found(struct triage *t, bool harmed)
{
	static const struct { enum finding found; bool unharmed; } order[] = {
		{ FOUND_STEAL, false }, { FOUND_IRQ, false }, { FOUND_SCHED_EXT, false }, { FOUND_MEMORY, true }, { FOUND_IO, true },
		{ FOUND_TASKS, true }, { FOUND_KERNEL, false }, { FOUND_REALTIME, false }, { FOUND_PIDS, true }, { FOUND_OWN_LIMIT, true },
	};
	uint32_t i;

	for (i = 0; i < ELEMENTSOF(order); i++) {
		enum finding f = order[i].found;

		if (!(t->all & (1u << f)) || (order[i].unharmed && harmed) || (f == FOUND_STEAL && t->pattern != PATTERN_NONE))
			continue;
		t->cause = triage_cause(f);
		t->measured = f == FOUND_TASKS ? -1 : t->found[f].measured;
		t->limit = f == FOUND_TASKS ? -1 : t->found[f].limit;
		t->group = t->found[f].group;
		return true;
	}
	return false;
}

void triage_decide(struct triage_memory *m, const struct snapshot *s, const struct harm *h, const struct groups *g,
		   permyriad_t over, struct triage *ret)
{
	struct triage t = { .cause = CAUSE_NONE, .measured = -1, .limit = -1 };
	permyriad_t level = h->self_level;
	bool harmed;
	uint32_t i;

	for (i = 0; i < IMPORTANCE_NONE; i++)
		level = MAX(level, h->level[i]);
	harmed = level >= over;
	find_set(h, s, g, &t);
	find_all(m, s, h, level, over, &t);
	if (decide_found(&t, harmed) || !harmed) {
		*ret = t;
		return;
	}
	if (h->inside >= 0 && h->protected_ * 2 > h->total) {
		t.cause = CAUSE_SELF;
		t.measured = (permyriad_t)(h->protected_ * PERMYRIAD_FULL / MAX(h->total, 1));
		t.limit = PERMYRIAD_FULL / 2;
		t.group = g->slot[h->inside].info.id;
	} else if (h->total > 0) {
		t.cause = t.pattern != PATTERN_NONE || t.n_set <= TRIAGE_FEW ? CAUSE_RUNAWAY : CAUSE_OVERLOAD;
		t.measured = level;
		t.limit = over;
		for (i = 0; i < h->n_suspects; i++)
			if (h->suspects[i].no_unit != UNIT_PROTECTED && h->suspects[i].no_unit != UNIT_SELF) {
				t.group = h->suspects[i].id;
				break;
			}
	}
	*ret = t;
}

bool triage_squeezes(enum cause cause)
{
	return cause == CAUSE_RUNAWAY || cause == CAUSE_OVERLOAD || cause == CAUSE_SELF || cause == CAUSE_REALTIME;
}

static const struct { enum cause cause; const char *measure; } findings[_FOUND_MAX] = {
	[FOUND_OWN_LIMIT] = { CAUSE_OWN_LIMIT, "throttled by its own limit" },
	[FOUND_PIDS] = { CAUSE_PIDS, "task table in use" },
	[FOUND_STEAL] = { CAUSE_STEAL, "stolen CPU time" },
	[FOUND_IRQ] = { CAUSE_IRQ, "CPU time in interrupts" },
	[FOUND_SCHED_EXT] = { CAUSE_SCHED_EXT, "cpu wait under sched_ext" },
	[FOUND_MEMORY] = { CAUSE_BLOCKED, "memory pressure (full)" },
	[FOUND_IO] = { CAUSE_BLOCKED, "io pressure (full)" },
	[FOUND_TASKS] = { CAUSE_BLOCKED, "tasks blocked by the disk" },
	[FOUND_KERNEL] = { CAUSE_KERNEL, "blame of kernel threads" },
	[FOUND_REALTIME] = { CAUSE_REALTIME, "real-time tasks, of one CPU" },
};

enum cause triage_cause(enum finding f) { return findings[f].cause; }
const char *triage_measure(enum finding f) { return findings[f].measure; }
