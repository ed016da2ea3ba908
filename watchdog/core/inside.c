/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inside: when the culprit is what we protect
 *
 * The API that runs wild also answers the health check; the hogs live in ssh.service.
 * The cgroup itself is never squeezed then. Its tasks are ranked by the steward and
 * the worst are lowered to SCHED_IDLE, which inside one cgroup is as good as moving
 * them (measured: 64 hogs beside sshd, 7.8 s per login → 0.50 s), stays in place and
 * is inherited by what they fork. A real-time hog becomes SCHED_OTHER.
 *
 * Worst is what stands out: half of the largest where one stands out, half of the mean
 * where all are alike, whoever runs at all in a crowd that shares few CPUs. What a
 * [Protect] names by Processes= is not lowered, unless what runs beside it explains less
 * than a tenth: then it is the culprit itself (a database in its own cgroup, an idle shell
 * or an exporter beside it). What was lowered before it counts as beside it, however
 * little it gets to run since; what is SCHED_IDLE by its owner's will does not. A login that waits looks like a hog
 * (it gets as much of the CPU), so young tasks are spared as long as the old ones
 * explain most of it.
 *
 * Endpoints are the control input: if one answers worse than before the first tasks were
 * lowered, that is undone.
 */
#include "core/engine-state.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "base/str.h"

#define SCHED_FIFO_  1
#define SCHED_RR_    2
#define SCHED_IDLE_  5
#define TICK_US      10000              /* USER_HZ is 100 everywhere: task_ref.start */
#define YOUNG_TASK   (5 * USEC_PER_SEC)
#define RT_LEAST     1000               /* permyriad of a CPU that makes a real-time task a hog */
#define CROWD_MOST   2000               /* the same of the largest task: below it nobody stands out */
#define TASK_LEAST   10                 /* the same of any task, to be looked at */
#define BESIDE_PART  10                 /* this part of what the named ones use makes those beside them the culprits */
#define RANK_FRESH   (10 * USEC_PER_SEC) /* an older ranking tells of another time */
#define WATCH_FOR    (10 * USEC_PER_SEC)

static void refuse(struct plan *plan, uint64_t group, const char *why)
{
	plan->refused = group;
	plan->why_not = why;
}

/* Somebody at least as important as the culprit suffers (it may be itself). */
static bool is_worth_it(const struct engine *e, uint32_t pool, int slot)
{
	permyriad_t wait = engine_params(e, pool).wait;
	uint32_t i;

	for (i = 0; i < e->harm.n_victims; i++) {
		const struct victim *v = &e->harm.victims[i];

		if (MAX(v->level, v->self_level) * 2 >= wait && v->as <= e->groups.slot[slot].as)
			return true;
	}
	return false;
}

static bool harms_itself(const struct engine *e, uint32_t pool, int slot)
{
	uint32_t i;

	for (i = 0; i < e->harm.n_victims; i++)
		if (e->harm.victims[i].slot == slot && e->harm.victims[i].self_level * 2 >= engine_params(e, pool).wait)
			return true;
	return false;
}

bool inside_plan(const struct engine *e, uint32_t pool, struct plan *ret)
{
	bool realtime = e->triage.cause == CAUSE_REALTIME;
	struct ladder_case c;
	const struct group *x;
	int slot = e->harm.inside;
	enum rung rung;
	uint32_t i;

	if (realtime) {
		slot = SLOT_NONE;
		for (i = 0; i < e->harm.n_suspects; i++)
			if (e->harm.suspects[i].id == e->triage.group)
				slot = e->harm.suspects[i].leaf;
	}
	if (slot < 0)
		return false;
	x = &e->groups.slot[slot];
	for (i = 0; i < e->n_squeezes; i++) {
		const struct squeeze *s = &e->squeezes[i];

		/* A weight or quota that it has already gives way to what can help. */
		if (s->group == x->info.id && (!realtime || s->realtime || s->inside || s->release || s->pool != pool))
			return false;
	}
	if (memory_bars(e, x->info.id, realtime))
		return false;
	if (x->self)
		return false;
	if (x->info.flags & (GROUP_IS_ROOT | GROUP_NO_TARGET)) {
		refuse(ret, x->info.id, "its tasks are in the root cgroup or one that cannot be used; start it as a service or in a session");
		return false;
	}
	if (realtime && x->as != IMPORTANCE_NONE) {
		refuse(ret, x->info.id, "a protected service runs at real-time priority; lower it with chrt or CPUSchedulingPolicy=");
		return false;
	}
	if (pool > 0 && x->throttle != (int16_t)(pool - 1)) {
		if (x->throttle < 0)
			refuse(ret, x->info.id, "no [Throttle] policy names it");
		return false;
	}
	if (!realtime && (e->inside != x->info.id ||
			  (e->now - e->inside_since < INSIDE_FOR && (x->as != IMPORTANCE_LOGIN || blame_wait(&e->harm, slot) < (uint64_t)BLAME_CROWD * e->ncpu * e->window))))
		return false;
	if (!realtime && x->as == IMPORTANCE_SYSTEM) {
		refuse(ret, x->info.id, "it is a part of the system, whose tasks are not touched");
		return false;
	}
	if (!realtime && blame_run(&e->harm, slot) * PERMYRIAD_FULL < (uint64_t)INSIDE_LEAST * e->window * e->ncpu)
		return false;
	if (!realtime && !is_worth_it(e, pool, slot)) {
		refuse(ret, x->info.id, "what is to blame is more important than what suffers");
		return false;
	}
	c = squeeze_case(e, pool, slot, 0);
	c.inside = true;
	c.weight_only = false;
	rung = ladder_next(&c, RUNG_NONE);
	if (rung == RUNG_NONE) {
		refuse(ret, x->info.id, ladder_why_not(&c));
		return false;
	}
	ret->targets[ret->n++] = (struct target) {
		.slot = (int16_t)slot, .rung = (uint8_t)rung, .depth = x->depth, .inside = true, .realtime = realtime,
		.selfish = !realtime && harms_itself(e, pool, slot),
		.cpus = (uint16_t)MIN(e->ncpu, 4),
	};
	return true;
}

void inside_boost(struct engine *e, bool on)
{
	uint32_t i;

	for (i = 0; i < e->groups.n; i++) {
		struct group *x = &e->groups.slot[e->groups.by_id[i]];
		bool boost = on && (x->own_as == IMPORTANCE_LOGIN || x->own_as == IMPORTANCE_HEALTH) && !x->young &&
			     (x->info.flags & GROUP_CAN_WEIGHT) && e->groups.by_id[i] != e->harm.inside;

		if (boost == x->boosted)
			continue;
		x->boosted = boost;
		e->lifelines_due = true;
	}
}

bool inside_again(struct engine *e, struct squeeze *s)
{
	if (s->ranking || s->rounds >= RANK_ROUNDS)
		return s->ranking != 0;
	if (e->now - s->ranked_at >= RANK_GAP)
		s->todo |= 1u << VERB_RANK;
	return true;
}

/* Are those spared that a [Protect] names by Processes=? */
static bool spares_named(const struct squeeze *s, const struct task_ref *tasks, uint32_t n)
{
	uint64_t named = 0, beside = 0;
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (tasks[i].keep)
			named += tasks[i].cpu_pm;
		else if (tasks[i].policy == SCHED_IDLE_ && s->beside)
			return true;
		else
			beside += tasks[i].cpu_pm;
	}
	return beside * BESIDE_PART >= named;
}

static bool lowerable(const struct squeeze *s, const struct task_ref *t, bool spare_named)
{
	bool rt = t->policy == SCHED_FIFO_ || t->policy == SCHED_RR_;

	if (s->realtime)
		/* A steward that runs only while they are throttled sees them idle. */
		return rt && (t->cpu_pm >= RT_LEAST || s->rounds >= RANK_ROUNDS);
	if ((t->keep && spare_named) || rt || t->cpu_pm < TASK_LEAST)
		return false;
	return s->rung == RUNG_JAIL || t->policy != SCHED_IDLE_;
}

static bool is_young(const struct engine *e, const struct task_ref *t)
{
	usec_t started = t->start * TICK_US;

	return t->start > 0 && started < e->now && e->now - started < YOUNG_TASK;
}

/* From which part of a CPU on a task is one of the worst, of those that may be lowered: an sshd that is
 * answering a login uses more than any of 64 hogs. */
static uint32_t worst_from(const struct squeeze *s, const struct task_ref *tasks, uint32_t n, bool spare_named)
{
	uint64_t sum = 0, most = 0;
	uint32_t i, count = 0;

	for (i = 0; i < n; i++) {
		if (!lowerable(s, &tasks[i], spare_named))
			continue;
		sum += tasks[i].cpu_pm;
		most = MAX(most, tasks[i].cpu_pm);
		count++;
	}
	if (count == 0 || s->realtime)
		return 0;
	/* A crowd: each got a slice or three meanwhile, and which of them is chance. */
	if (most < CROWD_MOST)
		return (uint32_t)(most / 8);
	return (uint32_t)(most >= 2 * sum / count ? most / 2 : sum / count / 2);
}

static void add_comm(char *buf, size_t size, const char *comm)
{
	uint32_t i;

	for (i = 0; i < COMM_MAX && comm[i] != 0; i++)
		(void)str_appendf(buf, size, comm[i] >= 0x20 && comm[i] < 0x7f ? "%c" : "\\x%02x", (unsigned char)comm[i]);
}

/* "wild x38, sh x2", the most frequent first. */
static void name_tasks(struct squeeze *s, const struct task_ref *tasks, uint32_t n)
{
	uint16_t first[MAX_TASKS], count[MAX_TASKS];
	uint32_t i, k, kinds = 0, left = MIN(n, (uint32_t)MAX_TASKS);

	s->asked = (uint16_t)left;
	s->names[0] = 0;
	for (i = 0; i < s->asked; i++) {
		for (k = 0; k < kinds && strncmp(tasks[first[k]].comm, tasks[i].comm, COMM_MAX) != 0; k++)
			;
		if (k == kinds) {
			first[kinds] = (uint16_t)i;
			count[kinds++] = 0;
		}
		count[k]++;
	}
	while (left > 0) {
		char piece[COMM_MAX * 4 + 16];
		uint32_t most = 0;

		for (k = 1; k < kinds; k++)
			if (count[k] > count[most])
				most = k;
		(void)str_copy(piece, sizeof(piece), s->names[0] ? ", " : "");
		add_comm(piece, sizeof(piece), tasks[first[most]].comm);
		(void)str_appendf(piece, sizeof(piece), " x%u", (unsigned)count[most]);
		if (strlen(s->names) + strlen(piece) + sizeof(", 128 others") > sizeof(s->names)) {
			(void)str_appendf(s->names, sizeof(s->names), ", %u others", (unsigned)left);
			return;
		}
		(void)str_append(s->names, sizeof(s->names), piece);
		left -= count[most];
		count[most] = 0;
	}
}

void inside_say(struct engine *e, struct squeeze *s, bool now)
{
	const char *class = s->realtime ? "SCHED_OTHER" : "SCHED_IDLE";
	struct reason r = s->reason;
	char text[REASON_TEXT_MAX];
	struct action *a;

	if (s->unsaid == 0 || (!now && s->said_at != 0 && e->now - s->said_at < TASKS_SAY_GAP))
		return;
	if (s->said_at != 0)
		(void)str_format(text, sizeof(text), "%u more tasks are %s now, %u in all: %s", (unsigned)s->unsaid, class, (unsigned)s->n_tasks, s->names);
	else if (s->unsaid < s->asked)
		(void)str_format(text, sizeof(text), "%u of %u tasks are %s now: %s", (unsigned)s->unsaid, (unsigned)s->asked, class, s->names);
	else
		(void)str_format(text, sizeof(text), "%u tasks are %s now: %s", (unsigned)s->unsaid, class, s->names);
	a = engine_report(e, WHY_LOWERED, &r, s->group, text);
	if (a == NULL)
		return;
	a->value2 = s->realtime ? VERB_TASKS_OTHER : VERB_TASKS_IDLE;
	a->until = s->until;
	s->unsaid = 0;
	s->said_at = MAX(e->now, (usec_t)1);
}

void inside_ranked(struct engine *e, struct squeeze *s, const struct result *r)
{
	enum verb verb = s->realtime ? VERB_TASKS_OTHER : s->rung == RUNG_JAIL ? VERB_JAIL : VERB_TASKS_IDLE;
	uint32_t i, n = r->tasks != NULL ? MIN(r->n_tasks, (uint32_t)MAX_TASKS) : 0, from;
	uint32_t room = MIN(MAX_SQUEEZED_TASKS - e->out->n_tasks, MAX_SQUEEZED_TASKS - MIN(e->n_tasks, MAX_SQUEEZED_TASKS));
	struct pool *p = &e->pools[s->pool];
	uint64_t old = 0, all = 0;
	uint32_t found = 0;
	bool spare, spare_named;
	struct action *a;
	struct reason why = s->reason;

	if (e->now >= s->until)
		return;                 /* the machine slept meanwhile; it is released in this step */
	if (e->now - s->ranked_at > RANK_FRESH) {
		s->todo |= 1u << VERB_RANK;
		return;
	}
	spare_named = spares_named(s, r->tasks, n);
	from = worst_from(s, r->tasks, n, spare_named);
	for (i = 0; i < n; i++)
		if (lowerable(s, &r->tasks[i], spare_named) && r->tasks[i].cpu_pm >= from) {
			found++;
			all += r->tasks[i].cpu_pm;
			old += is_young(e, &r->tasks[i]) ? 0 : r->tasks[i].cpu_pm;
		}
	if (e->n_tasks + found > MAX_SQUEEZED_TASKS)
		e->over |= 1u << OVER_TASKS;
	spare = old > 0 && old * 2 >= all;
	if (found == 0 && s->n_tasks == 0 && s->rounds < RANK_ROUNDS) {
		s->todo |= 1u << VERB_RANK;
		return;
	}
	if (found == 0 || room == 0) {
		s->rounds = RANK_ROUNDS;
		if (s->n_tasks > 0 || s->rung == RUNG_JAIL)
			return;
		why.why = WHY_NOT;
		(void)engine_report(e, WHY_NOT, &why, s->group, room == 0 ? "too many tasks are lowered already" :
				    s->realtime ? "no real-time task that uses a CPU was found in it" : "no task in it stands out that may be lowered");
		memory_add(e, s->group, WHY_NOT, e->now + USEC_PER_MIN);
		squeeze_release(e, s, &why);
		return;
	}
	a = engine_emit(e, verb, s->group, 2 * USEC_PER_SEC);
	if (a == NULL) {
		s->todo |= 1u << VERB_RANK;
		return;
	}
	a->task_first = (uint16_t)e->out->n_tasks;
	for (i = 0; i < n && a->n_tasks < room; i++) {
		const struct task_ref *t = &r->tasks[i];

		if (!lowerable(s, t, spare_named) || t->cpu_pm < from || (spare && is_young(e, t)))
			continue;
		e->out->tasks[e->out->n_tasks++] = *t;
		s->beside = s->beside || !t->keep;
		a->n_tasks++;
	}
	name_tasks(s, &e->out->tasks[a->task_first], a->n_tasks);
	s->rounds = 0;                  /* a ranking sees only who ran meanwhile: again, as long as it finds any */
	a->reason = s->reason;
	a->until = s->until;
	a->parent = s->last_action;
	s->last_action = a->id;
	s->knobs |= 1u << verb;
	s->acted = e->now;
	if (verb == VERB_JAIL) {
		s->quota = law_quota(engine_params(e, s->pool).min_share, 1, e->ncpu, s->cpus, 0);
		a->value = s->quota.quota_us;
		a->value2 = s->quota.period_us;
		s->rounds = RANK_ROUNDS;
	}
	p->cut_at = e->now;
	p->judge = LAW_JUDGE_TICKS;
	if (!s->realtime && s->lowered_at == 0)
		endpoints_before(e, s);
}

void inside_watch(struct engine *e)
{
	uint32_t i;

	for (i = 0; i < e->n_squeezes; i++) {
		struct squeeze *s = &e->squeezes[i];
		struct reason r = s->reason;
		int policy;

		if (!s->release)
			inside_say(e, s, false);
		if (!s->inside || s->realtime || s->release || s->n_tasks == 0 || e->now - s->acted > WATCH_FOR)
			continue;
		policy = endpoints_worse(e, s);
		if (policy < 0)
			continue;
		r.why = WHY_VICTIM_WORSE;
		r.policy = (int16_t)policy;
		memory_add(e, s->group, WHY_VICTIM_WORSE, e->now + MEMORY_FAILED);
		(void)engine_report(e, WHY_VICTIM_WORSE, &r, s->group, "the endpoint answers badly since; undone");
		squeeze_release(e, s, &r);
	}
}
