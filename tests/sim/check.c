/* SPDX-License-Identifier: Apache-2.0 */
/* check: the laws
 *
 * Checked after every step against the model's truth and the policies, not against
 * the engine's own view: an engine that is wrong about itself must not be its own
 * witness. Where a law speaks of harm, what the engine was *told* counts. */
#include <stdarg.h>
#include <string.h>

#include "core/explain.h"
#include "core/triage.h"
#include "sim.h"

#define HARM_MEMORY     (5 * USEC_PER_SEC)      /* a squeeze follows harm within this */
#define UNTIL_GRACE     (10 * USEC_PER_SEC)     /* a release may fail and be tried again */
#define RELEASED_WITHIN (25 * USEC_PER_MIN)     /* after the last culprit is gone */
#define EVIDENCE_LASTS  (1500 * USEC_PER_MSEC)  /* a measurement stands so long without a newer one */
#define RESCUE_FINE     USEC_PER_SEC            /* alive for so long: the way in is not dead */
#define RESCUE_NEAR     0.4                     /* of RescueLogin=: its estimate and ours differ, by more beyond it */
#define FLIPS_PER_MIN   4
#define FLIPS_PER_10MIN 18                      /* a hold that doubles: 5; an AtMost of a minute begins it anew three times */

void check_fail(struct sim *s, const char *format, ...)
{
	va_list ap;

	if (s->check.failed[0])
		return;
	va_start(ap, format);
	(void) vsnprintf(s->check.failed, sizeof(s->check.failed), format, ap);
	va_end(ap);
}

static bool is_squeeze(enum verb v)
{
	return v >= VERB_WEIGHT && v <= VERB_TASKS_OTHER;
}

static enum rung rung_of(enum verb v)
{
	switch (v) {
	case VERB_WEIGHT:
	case VERB_IDLE: return RUNG_WEIGHT;
	case VERB_QUOTA: return RUNG_QUOTA;
	case VERB_TASKS_IDLE:
	case VERB_TASKS_OTHER: return RUNG_TASKS;
	case VERB_JAIL: return RUNG_JAIL;
	case VERB_PIDS: return RUNG_PIDS;
	case VERB_FREEZE: return RUNG_FREEZE;
	case VERB_KILL: return RUNG_KILL;
	default: return RUNG_NONE;
	}
}

/* By the policies in force; what is protected only while young does not count when it
 * may just have aged. */
static enum importance protected_as(const struct sim *s, const struct node *n, bool with_young)
{
	enum importance best = IMPORTANCE_NONE;

	for (int i = 0; i < s->set.n_policies; i++) {
		const struct policy *p = &s->set.policies[i];

		if (p->kind == POLICY_THROTTLE || (p->for_first != USEC_INFINITY && p->kind == POLICY_PROTECT && !with_young))
			continue;
		if (policy_matches(&s->set, p, &n->info, s->now))
			best = MIN(best, p->as);
	}
	return best;
}

/* The same, remembered for a while: it is asked for each group of each snapshot. */
static enum importance known_as(struct sim *s, int at)
{
	struct check_as *c = &s->check.as[at];

	if (c->id != s->m.nodes[at].info.id || c->until <= s->now || s->check.operator_at > c->asked)
		*c = (struct check_as) { .id = s->m.nodes[at].info.id, .asked = s->now, .until = s->now + 5 * USEC_PER_SEC,
					 .as = protected_as(s, &s->m.nodes[at], true) };
	return c->as;
}

static bool shelters(const struct sim *s, int at)
{
	for (int c = s->m.nodes[at].first_child; c >= 0; c = s->m.nodes[c].next_sibling)
		if (protected_as(s, &s->m.nodes[c], false) != IMPORTANCE_NONE || shelters(s, c))
			return true;
	return false;
}

/* How many times slower than alone, from what was told. */
static double slowdown(const struct snapshot *snap, const struct group_sample *g)
{
	double run = g->run_us, wait = g->wait_us;

	if (g->psi_some_us > 0) {
		wait = MAX(wait, (double) g->psi_some_us);
		if (snap->source != GROUP_SOURCE_BPF)   /* the only witness: what it says, it says of the window */
			return MAX((run + wait) / MAX(run, 1), 1 / (1.01 - (double) g->psi_some_us / (double) snap->window));
	}
	return run + wait < 200 ? 1 : (run + wait) / MAX(run, 1);
}

/* How long the way in was told to be dead: in four of five windows, and never alive for a second. */
static void count_dead(struct sim *s, bool told, bool dead, usec_t window)
{
	struct check *c = &s->check;

	if (told) {
		c->dead = dead;
		c->told_at = s->now;
	} else if (s->now - c->told_at > EVIDENCE_LASTS)
		c->dead = false;
	if (!c->dead && c->alive_since == 0)
		c->alive_since = s->now;
	if (told && c->dead) {
		c->alive_since = 0;
		if (c->dead_since == 0) {
			c->dead_since = s->now - window;        /* what is told is of the whole window */
			c->told_n = c->dead_n = 0;
		}
		c->dead_n++;
	}
	c->told_n += told;
	if (c->alive_since && s->now - c->alive_since >= RESCUE_FINE)
		c->dead_since = 0;
}

void check_before(struct sim *s, const struct event *ev)
{
	const struct snapshot *snap = ev->snapshot;
	const struct settings *set = &s->set.settings;
	double worst = 1, way = 1;
	permyriad_t wait = 9900;
	bool any = false;

	if (s->now > s->check.last_now + EVENT_GAP) {
		s->check.slept_until = s->now;
		s->check.dead_since = 0;
	}
	s->check.last_now = s->now;
	if (ev->type == EVENT_POLICIES || ev->type == EVENT_OPERATOR || ev->type == EVENT_JOURNAL_LOST)
		s->check.operator_at = s->now;
	if (ev->type == EVENT_POLICIES && sim_n_squeezed(s) > 0)
		s->check.served_until = s->now + EVENT_SERVED;
	if (ev->type == EVENT_OPERATOR && ev->order.verb == OPERATOR_PAUSE)
		s->check.pause_until = ev->order.until;
	if (ev->type == EVENT_OPERATOR && ev->order.verb == OPERATOR_RESUME)
		s->check.pause_until = 0;
	if (ev->type == EVENT_ENDPOINT && (!ev->endpoint.good || ev->endpoint.took > s->set.policies[ev->endpoint.policy].good))
		s->check.harm_told = s->now;
	if (ev->type != EVENT_SNAPSHOT)
		return;

	for (int i = 0; i < s->set.n_policies; i++)
		if (s->set.policies[i].kind == POLICY_THROTTLE)
			wait = MIN(wait, s->set.policies[i].wait);
	if (snap->canary.wall_us >= 0) {
		way = worst = (double) snap->canary.wall_us / snap->canary.cpu_us;
		any = true;
	}
	for (uint32_t i = 0; i < snap->n_groups; i++) {
		int at = s->m.sample_node[i];
		enum importance as = at >= 0 ? known_as(s, at) : IMPORTANCE_NONE;

		if (as == IMPORTANCE_NONE)
			continue;
		/* Much of almost nothing is no harm; in a crowd, where its next turn is far away, less counts. */
		if (MAX((int64_t) snap->groups[i].wait_us, snap->groups[i].psi_some_us) * (triage_many(snap) ? 50 : 12) < (int64_t) snap->window)
			continue;
		worst = MAX(worst, slowdown(snap, &snap->groups[i]));
		if (as == IMPORTANCE_LOGIN) {
			way = MAX(way, slowdown(snap, &snap->groups[i]));
			any = true;
		}
	}
	if ((worst - 1) / worst * 10000 >= wait / 3.0)
		s->check.harm_told = s->now;
	count_dead(s, any, way * (double) set->login_cost >= RESCUE_NEAR * (double) set->rescue_login, snap->window > EVENT_GAP ? 0 : snap->window);
}

static void check_target(struct sim *s, const struct action *a, int at)
{
	static const uint32_t needs[_VERB_MAX] = {
		[VERB_WEIGHT] = GROUP_CAN_WEIGHT, [VERB_IDLE] = GROUP_CAN_IDLE, [VERB_QUOTA] = GROUP_CAN_QUOTA, [VERB_PIDS] = GROUP_CAN_PIDS,
		[VERB_FREEZE] = GROUP_CAN_FREEZE, [VERB_KILL] = GROUP_CAN_KILL,
	};
	const struct node *n = &s->m.nodes[at];
	const char *verb = verb_to_string(a->verb);
	bool on_tasks = a->verb == VERB_TASKS_IDLE || a->verb == VERB_TASKS_OTHER || a->verb == VERB_JAIL;

	if (n->info.flags & (GROUP_IS_ROOT | GROUP_IS_SELF | GROUP_NO_TARGET))
		check_fail(s, "%s on %s, which is never a target", verb, n->info.path);
	if ((n->info.flags & needs[a->verb]) != needs[a->verb])
		check_fail(s, "%s on %s, which cannot (flags %x)", verb, n->info.path, n->info.flags);
	if (!on_tasks && protected_as(s, n, false) != IMPORTANCE_NONE && (a->verb != VERB_WEIGHT || a->value < n->weight0))
		check_fail(s, "%s %ld on the protected %s", verb, (long) a->value, n->info.path);
	if (!on_tasks && shelters(s, at))
		check_fail(s, "%s on %s, above something protected", verb, n->info.path);
	if (on_tasks && a->verb != VERB_TASKS_OTHER && protected_as(s, n, false) == IMPORTANCE_SYSTEM)
		check_fail(s, "%s in %s, which is protected as a part of the system", verb, n->info.path);
	if (on_tasks && n->run < 0.05 * s->m.ncpu * s->m.window && n->rt < 1)
		check_fail(s, "%s in %s, which uses only %.1f %% of the machine", verb, n->info.path, n->run / s->m.ncpu / s->m.window * 100);
	if (on_tasks && a->n_tasks == 0)
		check_fail(s, "%s on %s without a task", verb, n->info.path);
	if (a->verb == VERB_QUOTA && (a->value < 1000 || a->value2 < 1000 || a->value2 > 1000000))
		check_fail(s, "quota %ld/%ld on %s is not one the kernel takes", (long) a->value, (long) a->value2, n->info.path);
	if (a->verb == VERB_WEIGHT && (a->value < 1 || a->value > 10000))
		check_fail(s, "weight %ld on %s is not one the kernel takes", (long) a->value, n->info.path);
}

static void check_mode(struct sim *s, const struct action *a)
{
	const struct settings *set = &s->set.settings;
	const char *verb = verb_to_string(a->verb);
	usec_t most = set->rescue_at_most;
	bool served = s->check.served_until > s->now;

	if (set->mode == MODE_OBSERVE)
		check_fail(s, "%s in observe mode", verb);
	if (s->check.pause_until > s->now)
		check_fail(s, "%s while paused", verb);
	if (set->mode == MODE_RESCUE) {
		if (a->verb == VERB_PIDS || a->verb == VERB_FREEZE || a->verb == VERB_KILL || a->verb == VERB_JAIL)
			check_fail(s, "%s in rescue mode", verb);
		if (!served && sim_n_squeezed(s) == 0 && (s->check.dead_since == 0 || s->now - s->check.dead_since < set->rescue_for))
			check_fail(s, "%s in rescue mode after the way in was dead for %.1f of %.1f s", verb,
				   s->check.dead_since ? (double) (s->now - s->check.dead_since) / 1e6 : 0, (double) set->rescue_for / 1e6);
		if (!served && sim_n_squeezed(s) == 0 && s->check.dead_n * 5 < s->check.told_n * 4)
			check_fail(s, "%s in rescue mode after the way in was dead in %u of %u windows", verb, s->check.dead_n, s->check.told_n);
	} else if (a->reason.policy >= 0 && a->reason.policy < s->set.n_policies) {
		const struct policy *p = &s->set.policies[a->reason.policy];

		most = p->at_most;
		if (p->kind != POLICY_THROTTLE)
			check_fail(s, "%s by [%s], which is no [Throttle]", verb, p->name);
		if (rung_of(a->verb) > p->most)
			check_fail(s, "%s although the ladder of %s ends at %s", verb, p->name, rung_to_string(p->most));
		if (a->verb == VERB_KILL && p->most != RUNG_KILL)
			check_fail(s, "kill without being asked for");
	}
	if (a->verb != VERB_KILL && (a->until <= s->now || a->until > s->now + most + USEC_PER_SEC))
		check_fail(s, "%s until %.1f s from now; at most is %.1f s", verb, ((double) a->until - (double) s->now) / 1e6, (double) most / 1e6);
}

static struct check_node *book(struct sim *s, int at)
{
	struct check_node *c = &s->check.node[at];

	if (c->id != s->m.nodes[at].info.id)
		*c = (struct check_node) { .id = s->m.nodes[at].info.id };
	return c;
}

static void check_flips(struct sim *s, struct check_node *c, int at)
{
	unsigned minute = 0, ten = 0;

	c->flips[c->n_flips++ % ELEMENTSOF(c->flips)] = s->now;
	for (unsigned i = 0; i < MIN(c->n_flips, (uint32_t) ELEMENTSOF(c->flips)); i++) {
		minute += c->flips[i] + USEC_PER_MIN >= s->now;
		ten += c->flips[i] + 10 * USEC_PER_MIN >= s->now;
	}
	/* Operators, policies and other writers may make us begin again. */
	if (s->check.operator_at + 10 * USEC_PER_MIN > s->now && s->check.operator_at)
		return;
	if (minute > FLIPS_PER_MIN || ten > FLIPS_PER_10MIN)
		check_fail(s, "%s was squeezed anew %u times in a minute, %u times in ten: it flaps", s->m.nodes[at].info.path, minute, ten);
}

static void check_squeeze(struct sim *s, const struct action *a)
{
	int at = machine_find(&s->m, a->group);
	struct check_node *c;
	bool again = a->reason.why == WHY_REASSERT;

	s->n_squeezes++;
	check_mode(s, a);
	if (at < 0)
		return;         /* gone a moment ago, and not yet told */
	c = book(s, at);
	check_target(s, a, at);
	if (!again && s->check.harm_told + HARM_MEMORY < s->now && a->reason.cause != CAUSE_PIDS &&
	    a->reason.why != WHY_RECOVERED && !sim_squeezed(s, at))
		check_fail(s, "%s on %s although nobody was harmed for %.1f s", verb_to_string(a->verb), s->m.nodes[at].info.path,
			   (double) (s->now - s->check.harm_told) / 1e6);
	if (a->reason.cause != CAUSE_RUNAWAY && a->reason.cause != CAUSE_OVERLOAD && a->reason.cause != CAUSE_SELF &&
	    a->reason.cause != CAUSE_PIDS && a->reason.cause != CAUSE_REALTIME && !again && a->reason.why != WHY_RECOVERED)
		check_fail(s, "%s for the cause %s", verb_to_string(a->verb), cause_to_string(a->reason.cause));
	/* Giving back names who is to blame now, which may be another. */
	for (int i = 1; i < a->reason.n_candidates && !again && a->reason.why != WHY_RECOVERED && !sim_squeezed(s, at); i++)
		if (a->reason.candidates[0].blame * 20 < a->reason.candidates[i].blame)
			check_fail(s, "%s on %s, which has %d of the blame while another has %d", verb_to_string(a->verb), s->m.nodes[at].info.path,
				   a->reason.candidates[0].blame, a->reason.candidates[i].blame);
	if (!sim_squeezed(s, at) && c->until == 0 && !again)
		check_flips(s, c, at);
	c->policy = a->reason.policy;
	if (a->verb == VERB_QUOTA) {
		/* What is squeezed anew does not wait because somebody rewrote the squeeze before. */
		usec_t last = again || sim_squeezed(s, at) ? MAX(c->quota_at, c->again_at) : c->quota_at;

		if (last && s->now - last < USEC_PER_SEC && !(s->check.operator_at && s->check.operator_at + USEC_PER_SEC > s->now))
			check_fail(s, "the quota of %s is written again after %.3f s", s->m.nodes[at].info.path, (double) (s->now - last) / 1e6);
		*(again ? &c->again_at : &c->quota_at) = s->now;
	}
	if (a->verb != VERB_KILL)
		c->until = MAX(c->until, a->until);
}

void check_result(struct sim *s, const struct action *a, const struct result *r)
{
	int at;

	if (a->verb == VERB_QUOTA && r->status != RESULT_DONE)
		s->check.quota_failed_at = s->now;
	if (a->verb == VERB_RELEASE && a->value == 0 && r->status == RESULT_DONE) {
		if (a->group == GROUP_NONE)
			for (size_t i = 0; i < ELEMENTSOF(s->check.node); i++)  /* said once; each one's own release is still tried until it is done */
				s->check.node[i] = (struct check_node) { .id = s->check.node[i].id, .ending = s->check.node[i].ending };
		else if ((at = machine_find(&s->m, a->group)) >= 0)
			book(s, at)->until = 0;
	}
}

static void check_sum(struct sim *s)
{
	double sum[MAX_POLICIES + 1] = { 0 };
	int n[MAX_POLICIES + 1] = { 0 };
	bool own[MAX_POLICIES + 1] = { false };

	for (int i = 0; i < s->m.n_nodes; i++)
		if (s->told_id[i] && (!s->m.nodes[i].alive || s->m.nodes[i].info.id != s->told_id[i]))
			return;                 /* one vanished, which is told with the next tick: then the others get its part */
	for (int i = 0; i < s->m.n_nodes; i++) {
		const struct node *x = &s->m.nodes[i];
		int p = book(s, i)->policy + 1;

		if (!x->alive || book(s, i)->ending || p < 0 || p > MAX_POLICIES)
			continue;
		if (x->quota == x->quota0 && x->period == x->period0) {
			own[p] |= x->quota0 >= 0 && book(s, i)->until;  /* its own limit is the lower one */
			continue;
		}
		sum[p] += (double) x->quota / (double) x->period;
		n[p]++;
		own[p] |= x->quota0 >= 0;
	}
	for (int p = 0; p <= MAX_POLICIES; p++) {
		double share = p == 0 || s->set.settings.mode == MODE_RESCUE ? s->set.settings.rescue_share : s->set.policies[p - 1].min_share;

		if (n[p] && !own[p] && sum[p] < 0.9 * share / 10000 * s->m.ncpu)
			check_fail(s, "%d cgroups that are squeezed together keep %.3f CPUs; the floor is %.3f", n[p], sum[p], share / 10000 * s->m.ncpu);
	}
}

static void check_ends(struct sim *s)
{
	int squeezed = 0;

	for (int i = 0; i < s->m.n_nodes; i++) {
		struct check_node *c;

		if (!s->m.nodes[i].alive || !sim_squeezed(s, i))
			continue;
		squeezed++;
		c = book(s, i);
		if (sim_limited(&s->m.nodes[i]) && ((known_as(s, i) != IMPORTANCE_NONE && protected_as(s, &s->m.nodes[i], false) != IMPORTANCE_NONE) || shelters(s, i))) {
			if (c->wrong_since == 0)
				c->wrong_since = s->now;
			else if (s->now > MAX(c->wrong_since, s->check.slept_until) + 8 * USEC_PER_SEC + (s->faults.write_fails ? 20 * USEC_PER_SEC : 0))
				check_fail(s, "%s is protected since %.1f s and still squeezed", s->m.nodes[i].info.path, (double) (s->now - c->wrong_since) / 1e6);
		} else
			c->wrong_since = 0;
		if (c->until && s->now > MAX(c->until, s->check.slept_until) + UNTIL_GRACE + (s->faults.write_fails ? USEC_PER_MIN : 0))
			check_fail(s, "%s is squeezed %.1f s after its end", s->m.nodes[i].info.path, (double) (s->now - c->until) / 1e6);
	}
	if (squeezed == 0)
		s->check.squeezed_since = 0;
	else if (s->check.squeezed_since == 0)
		s->check.squeezed_since = s->now;
}

static void check_calm(struct sim *s)
{
	usec_t since = s->start;

	for (int i = 0; i < s->load.n; i++) {
		if (s->load.plan[i].on)
			return;
		if (s->load.plan[i].until <= s->now)
			since = MAX(since, s->load.plan[i].until);
	}
	if (s->now < since + RELEASED_WITHIN)
		return;
	if (sim_n_squeezed(s))
		check_fail(s, "%d cgroups are squeezed %.0f s after the last load ended", sim_n_squeezed(s), (double) (s->now - since) / 1e6);
	if (!engine_is_calm(s->e) && s->check.pause_until < s->now && s->check.operator_at + RELEASED_WITHIN < s->now)
		check_fail(s, "the engine is not calm %.0f s after the last load ended", (double) (s->now - since) / 1e6);
}

/* Never silently: what begins or ends a squeeze is said in the same step, with the same why. What
 * follows on it (the next rung, more of the share, another try) has a parent that was. */
static void check_said(struct sim *s, const struct action *a)
{
	int at = machine_find(&s->m, a->group);
	struct check_node *c = at < 0 ? NULL : book(s, at);
	bool ends = a->verb == VERB_RELEASE && a->value == 0;

	if (a->parent >= a->id)
		check_fail(s, "action %lu follows on %lu", (unsigned long) a->id, (unsigned long) a->parent);
	if ((!ends && !is_squeeze(a->verb) && a->verb != VERB_RANK) || (ends && c != NULL && c->ending) || (!ends && a->parent != 0))
		return;
	if (c != NULL)
		c->ending = ends;
	/* What vanishes is said for all at once, a tick later; a failure once per verb and incident. */
	if (a->reason.why == WHY_GONE || (a->reason.why == WHY_FAILED && s->check.said_failed))
		return;
	if (!(s->check.said & 1u << a->reason.why))
		check_fail(s, "%s on %s because of %s, which nobody said", verb_to_string(a->verb), at < 0 ? "something that is gone" : s->m.nodes[at].info.path,
			   why_to_string(a->reason.why));
}

void check_after(struct sim *s, const struct event *ev)
{
	bool quota_pending = false;

	if (s->acts.n > MAX_ACTIONS)
		check_fail(s, "%u actions in a step", s->acts.n);
	s->check.said = 0;
	for (uint32_t i = 0; i < s->acts.n; i++)
		if (s->acts.a[i].verb == VERB_REPORT)
			s->check.said |= 1u << s->acts.a[i].reason.why;
	if (s->check.said & (1u << WHY_INCIDENT_OPEN | 1u << WHY_FAILED))
		s->check.said_failed = s->check.said & 1u << WHY_FAILED;
	for (uint32_t i = 0; i < s->acts.n; i++) {
		const struct action *a = &s->acts.a[i];

		if (a->id <= s->check.last_id)
			check_fail(s, "action id %lu after %lu", (unsigned long) a->id, (unsigned long) s->check.last_id);
		s->check.last_id = a->id;
		if ((unsigned) a->verb >= _VERB_MAX || a->deadline < s->now || a->deadline > s->now + USEC_PER_HOUR)
			check_fail(s, "action %lu: verb %d, deadline %.1f s from now", (unsigned long) a->id, (int) a->verb, ((double) a->deadline - (double) s->now) / 1e6);
		if (a->verb == VERB_REPORT || a->verb == VERB_SENSE) {
			if (s->n_pending > MAX_INFLIGHT)
				check_fail(s, "%d actions in flight", s->n_pending);
			continue;
		}
		check_said(s, a);
		if (is_squeeze(a->verb))
			check_squeeze(s, a);
		if (a->verb == VERB_LIFELINE && a->value >= 0 && s->set.settings.mode == MODE_OBSERVE)
			check_fail(s, "a lifeline weight in observe mode");
		if (a->verb == VERB_LIFELINE && s->check.pause_until > s->now) {
			int at = machine_find(&s->m, a->group);

			if (at >= 0 && a->value > MAX(s->m.nodes[at].lifeline, 0))
				check_fail(s, "a lifeline weight of %ld in a pause", (long) a->value);
		}
	}

	if (ev->type == EVENT_TIMEOUT && engine_deadline(s->e) <= s->now) {
		if (++s->check.timeouts_in_row > 10)
			check_fail(s, "the deadline does not move: the engine spins");
	} else
		s->check.timeouts_in_row = 0;
	for (int i = 0; i < s->n_pending; i++)
		quota_pending |= s->pending[s->order[i]].action.verb == VERB_QUOTA;
	if (s->cut_since_check && !quota_pending && ev->type == EVENT_RESULT) {
		s->cut_since_check = false;
		if (s->check.quota_failed_at + 3 * USEC_PER_SEC < s->now)       /* the others get its part with the next cut */
			check_sum(s);
	}
	if (s->n_squeezes)
		check_ends(s);
	if (ev->type == EVENT_SNAPSHOT && s->ticks >= s->check.calm_at + 1024) {
		s->check.calm_at = s->ticks;
		check_calm(s);
	}
}
