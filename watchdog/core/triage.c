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

static const struct { enum cause cause; const char *measure; permyriad_t limit; } findings[_FOUND_MAX] = {
	[FOUND_OWN_LIMIT] = { CAUSE_OWN_LIMIT, "throttled by its own limit", TRIAGE_OWN_LIMIT },
	[FOUND_PIDS] = { CAUSE_PIDS, "task table in use", TRIAGE_PIDS },
	[FOUND_STEAL] = { CAUSE_STEAL, "stolen CPU time", TRIAGE_STEAL },
	[FOUND_IRQ] = { CAUSE_IRQ, "CPU time in interrupts", TRIAGE_IRQ },
	[FOUND_SCHED_EXT] = { CAUSE_SCHED_EXT, "cpu wait under sched_ext", 0 },
	[FOUND_MEMORY] = { CAUSE_BLOCKED, "memory pressure (full)", TRIAGE_MEM_FULL },
	[FOUND_IO] = { CAUSE_BLOCKED, "io pressure (full)", TRIAGE_IO_FULL },
	[FOUND_MEMORY_SOME] = { CAUSE_BLOCKED, "memory pressure (some)", TRIAGE_MEM_SOME },
	[FOUND_IO_SOME] = { CAUSE_BLOCKED, "io pressure (some)", TRIAGE_IO_SOME },
	[FOUND_TASKS] = { CAUSE_BLOCKED, "tasks blocked by the disk", TRIAGE_BLOCKED * PERMYRIAD_FULL },
	[FOUND_KERNEL] = { CAUSE_KERNEL, "blame of kernel threads", PERMYRIAD_FULL / 2 },
	[FOUND_REALTIME] = { CAUSE_REALTIME, "real-time tasks, of one CPU", TRIAGE_RT_PART },
};

/* Those that the machine's own figures tell; the first ones are trouble by themselves. */
#define ALARMING 6
static const enum finding told[] = {
	FOUND_STEAL, FOUND_IRQ, FOUND_MEMORY, FOUND_IO, FOUND_TASKS, FOUND_PIDS, FOUND_MEMORY_SOME, FOUND_IO_SOME,
};

enum cause triage_cause(enum finding f) { return findings[f].cause; }
const char *triage_measure(enum finding f) { return findings[f].measure; }

void triage_levels(const struct snapshot *s, struct triage_levels *ret)
{
	const struct machine_sample *m = &s->machine;
	bool busy = m->idle >= 0 && (int64_t)m->idle + MAX(m->iowait, 0) <= PERMYRIAD_FULL - TRIAGE_BUSY;
	enum finding f;

	*ret = (struct triage_levels) { .ncpu = MAX(m->ncpu, 1), .psi = m->mem_full >= 0 || m->io_full >= 0 };
	for (f = 0; f < _FOUND_MAX; f++)
		ret->of[f] = -1;
	ret->of[FOUND_STEAL] = m->steal;
	ret->of[FOUND_IRQ] = m->irq;
	ret->of[FOUND_MEMORY] = m->mem_full;
	ret->of[FOUND_IO] = m->io_full;
	ret->of[FOUND_MEMORY_SOME] = busy ? m->mem_some : MIN(m->mem_some, 0);
	ret->of[FOUND_IO_SOME] = busy ? m->io_some : MIN(m->io_some, 0);
	if (m->blocked >= 0)
		ret->of[FOUND_TASKS] = (permyriad_t)MIN((int64_t)m->blocked * PERMYRIAD_FULL / ret->ncpu, (int64_t)INT32_MAX);
	if (m->tasks > 0 && m->tasks_max > 0)
		ret->of[FOUND_PIDS] = (permyriad_t)MIN((int64_t)m->tasks * PERMYRIAD_FULL / m->tasks_max, (int64_t)PERMYRIAD_FULL);
}

void triage_watch(struct triage_memory *m, const struct snapshot *s)
{
	struct triage_levels now;
	uint32_t i;

	triage_levels(s, &now);
	for (i = 0; i < ELEMENTSOF(told); i++) {
		permyriad_t *v = &m->level.of[told[i]], x = now.of[told[i]];

		if (told[i] == FOUND_PIDS)
			*v = x;
		else if (x >= 0)
			*v += (x - *v) / TRIAGE_SMOOTH;
	}
	m->level.ncpu = now.ncpu;
	m->level.psi = now.psi;
}

/* Where pressure is told, blocked tasks are evidence beside it: of a disk that is slow, it knows better. */
static bool only_beside(const struct triage_levels *l, enum finding f)
{
	return f == FOUND_TASKS && l->psi;
}

enum finding triage_alarming(const struct triage_levels *l, permyriad_t part)
{
	uint32_t i;

	for (i = 0; i < ALARMING; i++)
		if (l->of[told[i]] >= findings[told[i]].limit / part && !only_beside(l, told[i]))
			return told[i];
	return _FOUND_MAX;
}

struct found triage_found(const struct triage_levels *l, enum finding f)
{
	struct found x = { .measured = l->of[f], .limit = findings[f].limit, .group = GROUP_NONE };

	if (f == FOUND_TASKS) {
		x.measured = (permyriad_t)((int64_t)x.measured * l->ncpu / PERMYRIAD_FULL);
		x.limit = TRIAGE_BLOCKED * l->ncpu;
	}
	return x;
}

bool triage_many(const struct snapshot *s)
{
	return s->machine.runnable >= TRIAGE_CROWD * MAX(s->machine.ncpu, 1);
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
	uint32_t i;

	find_own_limit(h, t);
	for (i = 0; i < ELEMENTSOF(told); i++) {
		enum finding f = told[i];

		if (m->level.of[f] < findings[f].limit || (f == FOUND_MEMORY_SOME && t->all & (1u << FOUND_MEMORY)) ||
		    (f == FOUND_IO_SOME && t->all & (1u << FOUND_IO)))
			continue;
		t->all |= 1u << f;
		t->found[f] = triage_found(&m->level, f);
		if (f == FOUND_PIDS && !harmed && h->n_suspects > 0)
			t->found[f].group = h->suspects[0].id;
	}
	if (x->sched_ext && harmed)
		find(t, FOUND_SCHED_EXT, level, over, GROUP_NONE);
	if (harmed && h->total > 0 && h->kernel * 2 >= h->total)
		find(t, FOUND_KERNEL, (permyriad_t)(h->kernel * PERMYRIAD_FULL / h->total), findings[FOUND_KERNEL].limit, GROUP_NONE);
	if (harmed && rt)
		find(t, FOUND_REALTIME, m->rt_run, TRIAGE_RT_PART, m->rt_group);
}

/* The first that is there decides; who is harmed while memory or disk are slow may suffer a neighbour. */
static bool decide_found(struct triage *t, const struct triage_levels *l, bool harmed)
{
	static const struct { enum finding found; bool unharmed; } order[] = {
		{ FOUND_STEAL, false }, { FOUND_IRQ, false }, { FOUND_SCHED_EXT, false }, { FOUND_MEMORY, true }, { FOUND_IO, true },
		{ FOUND_TASKS, true }, { FOUND_KERNEL, false }, { FOUND_REALTIME, false }, { FOUND_PIDS, true }, { FOUND_OWN_LIMIT, true },
	};
	uint32_t i;

	for (i = 0; i < ELEMENTSOF(order); i++) {
		enum finding f = order[i].found;

		if (!(t->all & (1u << f)) || only_beside(l, f) || (order[i].unharmed && harmed) || (f == FOUND_STEAL && t->pattern != PATTERN_NONE))
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
	if (decide_found(&t, &m->level, harmed) || !harmed) {
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
