/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine: events in, actions out
 *
 * Calm, a snapshot is one number: the pressure of the machine. Above Alarm= the engine
 * asks for more (shorter tick, probe, canary) and looks at who is harmed by whom.
 * What it then does is split over five files: causes (what is said of the trouble),
 * relief (when to cut, hold and give back), squeeze (whom, by which rung), inside
 * (tasks of a cgroup that is protected itself) and results (what came of it). This one is the frame: the event's way
 * through, alarm and incident, and every action's way out.
 *
 * The moment of harm is earlier than the snapshot that shows it: the calm poll that
 * saw the pressure knows for how much of its window tasks have waited, so harm began
 * that long ago at the latest. Where many tasks are runnable it counts as the first of
 * the two windows that harm has to last; else 300 ms from onset to relief could not be
 * met.
 *
 * Nothing is remembered in calm but policies, groups, seed and what recall tells. Leaving the
 * alarm forgets the rest, and the alarm cannot be left while anything is squeezed or a
 * release is young enough that harm would be a relapse.
 */
#include "core/engine-state.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "base/str.h"

size_t engine_size(void)
{
	return sizeof(struct engine);
}

void engine_reset_pools(struct engine *e)
{
	uint32_t i;

	memset(e->pools, 0, sizeof(e->pools));
	for (i = 0; i < MAX_POOLS; i++) {
		e->pools[i].hold = LAW_HOLD_FIRST;
		e->pools[i].growth = LAW_GROWTH_FIRST;
		e->pools[i].ceiling = PERMYRIAD_FULL;
	}
}

void engine_init(struct engine *e, const struct policy_set *set, uint32_t seed)
{
	memset(e, 0, sizeof(*e));
	e->seed = seed;
	e->next_id = 1;
	e->set = *set;
	e->pressure = PERMYRIAD_UNKNOWN;
	e->ncpu = 1;
	groups_init(&e->groups);
	engine_reset_pools(e);
}

uint32_t engine_seed(const struct engine *e) { return e->seed; }
const struct policy_set *engine_policies(const struct engine *e) { return &e->set; }
bool engine_paused(const struct engine *e) { return e->paused_until > e->now; }
bool engine_may_act(const struct engine *e) { return e->set.settings.mode != MODE_OBSERVE && !engine_paused(e) && e->now >= e->barred_until; }

/* Rescue knows one pool, [0]; the other modes the policies'. */
uint32_t engine_first_pool(const struct engine *e) { return e->set.settings.mode == MODE_RESCUE ? 0 : 1; }
uint32_t engine_end_pool(const struct engine *e) { return e->set.settings.mode == MODE_RESCUE ? 1 : e->set.n_policies + 1u; }

/* Normal work makes others wait, too; dozens of siblings or a fork storm are none. */
static permyriad_t in_a_crowd(const struct engine *e, permyriad_t wait)
{
	return e->crowd ? wait * CROWD_PART / 8 : wait;
}

struct params engine_params(const struct engine *e, uint32_t pool)
{
	const struct settings *s = &e->set.settings;
	const struct policy *p;

	if (pool == 0)
		return (struct params) {
			.policy = -1,
			.wait = (permyriad_t)(PERMYRIAD_FULL - s->login_cost * PERMYRIAD_FULL / MAX(s->rescue_login, s->login_cost + 1)),
			.wait_for = e->now < e->served_until ? 0 : s->rescue_for, .min_share = s->rescue_share, .at_most = s->rescue_at_most, .most = RUNG_TASKS,
		};
	p = &e->set.policies[pool - 1];
	return (struct params) {
		.policy = (int16_t)(pool - 1), .wait = in_a_crowd(e, p->wait), .wait_for = p->wait_for, .min_share = p->min_share,
		.at_most = p->at_most, .most = p->most, .useful = p->useful,
	};
}

bool engine_shows(const struct engine *e, const struct suspect *x)
{
	switch ((enum no_unit)x->no_unit) {
	case UNIT_PROTECTED:
		return x->blame > 0 && e->triage.cause == CAUSE_SELF;
	case UNIT_ROOT:
		return x->blame * 2 >= e->harm.total && x->blame > 0;
	case UNIT_SELF:
		return false;
	default:
		return x->blame > 0;
	}
}

struct action *engine_emit(struct engine *e, enum verb verb, uint64_t group, usec_t within)
{
	bool answered = verb != VERB_REPORT && verb != VERB_SENSE;
	struct action *a;

	if (e->out->n >= MAX_ACTIONS)
		return NULL;
	if (answered && e->n_inflight >= MAX_INFLIGHT) {
		e->over |= 1u << OVER_INFLIGHT;
		return NULL;
	}
	a = &e->out->a[e->out->n++];
	memset(a, 0, sizeof(*a));
	a->id = e->next_id++;
	a->verb = verb;
	a->group = group;
	a->deadline = e->now + within;
	a->reason.measured = a->reason.limit = PERMYRIAD_UNKNOWN;
	a->reason.policy = -1;
	if (answered)
		e->inflight[e->n_inflight++] = (struct inflight) { .id = a->id, .verb = verb, .group = group, .deadline = a->deadline };
	return a;
}

/* The worst victim, what it suffers, the target and the next to blame. */
void engine_reason(struct engine *e, struct reason *r, enum why why, uint32_t pool, uint64_t target)
{
	const struct harm *h = &e->harm;
	struct params p = engine_params(e, pool);
	const struct victim *v = h->n_victims > 0 ? &h->victims[0] : NULL;
	uint32_t i;

	memset(r, 0, sizeof(*r));
	r->why = why;
	r->cause = e->pools[pool].cause != CAUSE_NONE ? e->pools[pool].cause : e->triage.cause;
	r->policy = p.policy;
	r->limit = p.wait;
	r->measured = PERMYRIAD_UNKNOWN;
	for (i = 0; pool == 0 && i < h->n_victims; i++)
		if (h->victims[i].as == IMPORTANCE_LOGIN) {
			v = &h->victims[i];
			break;
		}
	if (v != NULL) {
		r->victim = v->id;
		r->measured = MAX(v->self_level > v->level ? v->self : v->foreign, MAX(v->level, v->self_level));
	}
	if (pool == 0 && e->pools[0].limit > 0) {
		r->measured = e->pools[0].level;
		r->limit = e->pools[0].limit;
	}
	r->lasting = e->pools[pool].over_since ? e->now - e->pools[pool].over_since : 0;
	if (target != GROUP_NONE) {
		r->candidates[0].group = target;
		for (i = 0; i < h->n_suspects; i++)
			if (h->suspects[i].id == target && h->total > 0) {
				r->candidates[0].blame = (permyriad_t)(h->suspects[i].blame * PERMYRIAD_FULL / h->total);
				break;
			}
		r->n_candidates = 1;
	}
	for (i = 0; i < h->n_suspects && r->n_candidates < MAX_CANDIDATES && h->total > 0; i++)
		if (h->suspects[i].id != target && engine_shows(e, &h->suspects[i])) {
			r->candidates[r->n_candidates].group = h->suspects[i].id;
			r->candidates[r->n_candidates++].blame = (permyriad_t)(h->suspects[i].blame * PERMYRIAD_FULL / h->total);
		}
}

struct action *engine_report(struct engine *e, enum why why, const struct reason *r, uint64_t group, const char *text)
{
	struct action *a = engine_emit(e, VERB_REPORT, group, USEC_PER_SEC);

	if (a == NULL)
		return NULL;
	if (r != NULL)
		a->reason = *r;
	a->reason.why = why;
	a->value = group == GROUP_NONE ? 0 : 1;
	a->value2 = -1;
	(void)str_copy(a->reason.text, sizeof(a->reason.text), text);
	return a;
}

static void sense(struct engine *e, uint32_t bits, const struct reason *r)
{
	struct action *a = engine_emit(e, VERB_SENSE, GROUP_NONE, 2 * USEC_PER_SEC);

	if (a == NULL)
		return;
	a->value = bits;
	a->reason = *r;
	e->sense = bits & ~(uint32_t)SENSE_SOON;
}

/* What PSI says; where there is none, how far the run queue exceeds the CPUs. */
static permyriad_t pressure_of(const struct snapshot *s)
{
	const struct machine_sample *m = &s->machine;

	if (m->cpu_some >= 0)
		return m->cpu_some;
	if (m->runnable > 0 && m->ncpu > 0)
		return m->runnable > m->ncpu ? (permyriad_t)((int64_t)(m->runnable - m->ncpu) * PERMYRIAD_FULL / m->runnable) : 0;
	return PERMYRIAD_UNKNOWN;
}

/* Where no CPU is short, `other` is what begins it. */
static void start_alarm(struct engine *e, const struct snapshot *s, const struct triage_levels *l, enum finding other)
{
	struct reason r = { .why = WHY_ALARM, .measured = e->pressure, .limit = e->set.settings.alarm, .policy = -1 };
	char text[REASON_TEXT_MAX] = "";

	if (e->pressure <= r.limit) {
		struct found x = triage_found(l, other);

		causes_measured(other, &x, &r, text);
	}
	e->alarm = true;
	e->quiet_since = e->low_since = 0;
	e->harm_from = e->now - MIN(e->now, s->window * (usec_t)MAX(e->pressure, 0) / PERMYRIAD_FULL);
	e->tasks_before = s->machine.tasks;
	(void)engine_report(e, WHY_ALARM, &r, GROUP_NONE, text);
	sense(e, SENSE_ALARM | SENSE_PROBE | SENSE_CANARY | SENSE_SOON, &r);
}

static void end_alarm(struct engine *e)
{
	struct reason r = { .why = WHY_CALM, .measured = e->pressure, .limit = e->set.settings.alarm, .policy = -1 };

	e->alarm = false;
	e->last_snapshot = e->harm_from = e->quiet_since = e->low_since = 0;
	e->said = e->over = e->over_said = 0;
	e->cause = e->cause_next = CAUSE_NONE;
	e->cause_windows = 0;
	e->found = e->found_next = 0;
	e->level = 0;
	e->level_at = e->over_since = e->login = e->login_at = 0;
	e->over_windows = 0;
	memory_forget(e);
	e->failed_verbs = 0;
	memset(&e->triage_memory, 0, sizeof(e->triage_memory));
	memset(&e->triage, 0, sizeof(e->triage));
	e->inside = GROUP_NONE;
	e->crowd = false;
	e->runnable = -1;
	blame_reset(&e->harm, &e->groups);
	memset(e->endpoints, 0, sizeof(e->endpoints));
	e->harm.n_victims = e->harm.n_suspects = 0;
	e->harm.total = 0;
	engine_reset_pools(e);
	(void)engine_report(e, WHY_CALM, &r, GROUP_NONE, "");
	sense(e, 0, &r);
}

/* Relapse memory keeps the alarm, or a relapse would look like a first offence. */
static bool remembers(const struct engine *e)
{
	uint32_t i;

	if (squeeze_holds(e) || e->incident_since)
		return true;
	for (i = 0; i < MAX_POOLS; i++)
		if (e->pools[i].released_at && e->now - e->pools[i].released_at < LAW_MEMORY + e->pools[i].cooling)
			return true;
	return false;
}

/* The pool whose policy is the first to call it harm; [0] where there is none. */
static uint32_t keenest_pool(const struct engine *e)
{
	uint32_t i, pool = 0;

	for (i = 0; i < e->set.n_policies; i++)
		if (e->set.policies[i].kind == POLICY_THROTTLE && (pool == 0 || e->set.policies[i].wait < e->set.policies[pool - 1].wait))
			pool = i + 1;
	return pool;
}

static permyriad_t lowest_wait(const struct engine *e)
{
	uint32_t pool = keenest_pool(e);

	return in_a_crowd(e, pool == 0 ? 5000 : e->set.policies[pool - 1].wait);
}

/* Rescue has limits of its own, and they are about the way in alone: where somebody else is
 * harmed, none is in force. */
static void rescue_limit(const struct engine *e, struct reason *r, char *text, size_t size)
{
	usec_t waits = engine_params(e, 0).wait_for;
	char login[UNITS_TEXT_MAX], t[UNITS_TEXT_MAX];
	const struct victim *v = NULL;
	uint32_t i;

	for (i = 0; i < e->harm.n_victims && v == NULL; i++)
		if (e->harm.victims[i].id == r->victim)
			v = &e->harm.victims[i];
	if (v != NULL && v->as != IMPORTANCE_LOGIN) {
		r->measured = MAX(v->level, v->self_level);
		r->limit = PERMYRIAD_UNKNOWN;
		r->lasting = e->over_since ? e->now - e->over_since : 0;
	}
	(void)str_format(text, size, "rescue acts once a login takes more than %s", units_format_usec(e->set.settings.rescue_login, login));
	if (waits > 0)
		(void)str_appendf(text, size, " for %s", units_format_usec(waits, t));
}

void engine_open_incident(struct engine *e, uint32_t pool)
{
	char text[REASON_TEXT_MAX] = "";
	struct reason r;

	if (e->incident_since)
		return;
	e->incident++;
	e->incident_since = e->now;
	e->incident_quiet = 0;
	e->cause = e->triage.cause;
	engine_reason(e, &r, WHY_INCIDENT_OPEN, pool, GROUP_NONE);
	if (pool == 0)
		rescue_limit(e, &r, text, sizeof(text));
	else if (e->over_since)
		r.lasting = e->now - e->over_since;
	(void)engine_report(e, WHY_INCIDENT_OPEN, &r, r.n_candidates ? r.candidates[0].group : GROUP_NONE, text);
}

static void close_incident(struct engine *e)
{
	struct reason r = { .why = WHY_INCIDENT_CLOSE, .policy = -1, .measured = -1, .limit = -1, .lasting = e->now - e->incident_since };
	uint32_t i;

	e->incident_since = e->incident_quiet = 0;
	e->failed_verbs = 0;
	inside_boost(e, false);
	for (i = 0; i < MAX_POOLS; i++) {
		struct pool *p = &e->pools[i];

		p->failures = 0;
		p->said_limit = p->said_would = p->said_not = false;
	}
	(void)engine_report(e, WHY_INCIDENT_CLOSE, &r, GROUP_NONE, e->n_squeezes > 0 ? "what could not be released is tried again every 30s" : "");
}

static void judge_harm(struct engine *e, usec_t window, bool many)
{
	permyriad_t over = lowest_wait(e), level = e->harm.self_level, i;

	for (i = 0; i < IMPORTANCE_NONE; i++)
		level = MAX(level, e->harm.level[i]);
	if (e->harm.login_fresh) {
		e->login = e->harm.login;
		e->login_at = e->now;
	}
	if (e->harm.fresh) {
		e->level = level;
		e->level_at = e->now;
	} else if (e->now - e->level_at > EVIDENCE_LASTS)
		e->level = 0;
	if (e->level < over) {
		e->over_windows = 0;
		e->over_since = 0;
	} else if (e->harm.fresh) {
		if (e->over_windows++ == 0) {
			e->over_since = e->harm_from ? e->harm_from : e->now - MIN(window, e->now);
			e->over_windows += e->harm_from != 0 && many;
		}
	}
	/* The alarm's own evidence is a window, too, where many tasks are runnable; of those only
	 * some ran meanwhile, so it counts until somebody is found to suffer. */
	if (e->harm.fresh && !(many && e->over_windows == 0))
		e->harm_from = 0;
	if (e->incident_since) {
		if (e->level >= over / 2 || squeeze_holds(e))
			e->incident_quiet = 0;
		else if (e->incident_quiet == 0)
			e->incident_quiet = e->now;
		else if (e->now - e->incident_quiet >= INCIDENT_END)
			close_incident(e);
	}
}

static int on_snapshot(struct engine *e, const struct snapshot *s)
{
	permyriad_t alarm = e->set.settings.alarm;
	usec_t since = e->last_snapshot ? e->now - e->last_snapshot : 0;
	uint8_t answers[MAX_POLICIES];
	uint32_t i;

	if (s->n_groups > MAX_SAMPLES || s->n_cpu > MAX_CPU_SHARES || s->window == 0)
		return -EINVAL;
	e->pressure = pressure_of(s);
	orders_say_gone(e);
	if (s->machine.ncpu > 0)
		e->ncpu = s->machine.ncpu;
	if (!e->alarm) {
		struct triage_levels l;
		enum finding other;

		triage_levels(s, &l);
		other = triage_alarming(&l, 1);
		if (s->window <= EVENT_GAP && (e->pressure > alarm || other != _FOUND_MAX))
			start_alarm(e, s, &l, other);
		return 0;
	}
	e->last_snapshot = e->now;
	e->window = s->window;
	if (e->harm_from && e->now - e->harm_from > ALARM_EVIDENCE)
		e->harm_from = 0;
	if (s->window > EVENT_GAP || since > EVENT_GAP) {
		/* Slept, or late: what happened in between is not known. */
		for (i = 0; i < MAX_POOLS; i++) {
			e->pools[i].over_since = e->pools[i].well_since = 0;
			e->pools[i].over_windows = 0;
		}
		e->over_windows = 0;
		e->over_since = e->harm_from = e->quiet_since = e->low_since = 0;
		return 0;
	}
	if (groups_refresh(&e->groups, &e->set, e->now))
		orders_shelter(e);
	triage_watch(&e->triage_memory, s);
	e->tasks_now = s->machine.tasks;
	e->runnable = triage_many(s) ? s->machine.runnable : -1;
	if (s->n_groups > 0 || s->canary.wall_us >= 0) {
		endpoints_answers(e, answers);
		blame_compute(&e->harm, s, &e->groups, e->set.settings.login_cost, answers, e->now);
		e->over |= (uint32_t)e->harm.beyond << OVER_VICTIMS;
		e->crowd = triage_crowd(s, &e->harm, &e->groups);
		if (e->crowd)
			blame_ease(&e->harm);
		triage_decide(&e->triage_memory, s, &e->harm, &e->groups, lowest_wait(e), &e->triage);
		causes_say(e);
		if (e->triage.cause != CAUSE_SELF)
			e->inside = GROUP_NONE;
		else if (e->inside != e->triage.group) {
			e->inside = e->triage.group;
			e->inside_since = e->now - MIN(s->window, e->now);
		}
	} else {
		e->harm.sampled = e->harm.fresh = e->harm.login_fresh = false;
	}
	judge_harm(e, s->window, e->runnable >= 0);
	relief_tick(e);
	/* A policy that acts has opened it in its own name. */
	if (e->over_windows >= 2 && e->triage.cause != CAUSE_NONE)
		engine_open_incident(e, e->set.settings.mode == MODE_RESCUE ? 0 : keenest_pool(e));
	inside_watch(e);
	endpoints_ask(e);
	if (e->pressure >= alarm || triage_alarming(&e->triage_memory.level, 2) != _FOUND_MAX || remembers(e))
		e->low_since = 0;
	else if (e->low_since == 0)
		e->low_since = e->now;
	if (e->low_since == 0 || e->pressure >= alarm / 2)
		e->quiet_since = 0;
	else if (e->quiet_since == 0)
		e->quiet_since = e->now;
	if ((e->quiet_since && e->now - e->quiet_since >= ALARM_END) || (e->low_since && e->now - e->low_since >= ALARM_LINGERS))
		end_alarm(e);
	return 0;
}

int engine_step(struct engine *e, const struct event *event, struct actions *ret)
{
	int r = 0;

	if (event->now < e->now || (unsigned)event->type >= _EVENT_MAX)
		return -EINVAL;
	switch (event->type) {          /* what can be wrong, before anything changes */
	case EVENT_SNAPSHOT:
		if (event->snapshot == NULL)
			return -EINVAL;
		break;
	case EVENT_GROUP:
		if (event->group == NULL)
			return -EINVAL;
		break;
	case EVENT_POLICIES:
		if (event->policies == NULL || event->policies->n_policies > MAX_POLICIES || event->policies->n_globs > MAX_GLOBS)
			return -EINVAL;
		break;
	case EVENT_ENDPOINT:
		if (event->endpoint.policy < 0 || event->endpoint.policy >= e->set.n_policies ||
		    e->set.policies[event->endpoint.policy].kind != POLICY_ENDPOINT)
			return -EINVAL;
		break;
	case EVENT_OPERATOR:
		if ((unsigned)event->order.verb > OPERATOR_RESUME)
			return -EINVAL;
		break;
	case EVENT_RESULT:
		if ((unsigned)event->result.status > RESULT_TIMED_OUT)
			return -EINVAL;
		break;
	case EVENT_NAMES:
		if ((unsigned)event->names.state >= _NAMES_MAX || event->names.since > event->now)
			return -EINVAL;
		break;
	case EVENT_DRIFT:
		if ((unsigned)event->drift.knob >= _VERB_MAX)
			return -EINVAL;
		break;
	default:
		break;
	}
	ret->n = ret->n_tasks = 0;
	if (event->type == EVENT_RECALL && (r = recall_step(e, &event->recall)) < 0)
		return r;
	e->now = event->now;
	if (event->type == EVENT_RECALL)
		return 0;               /* what follows from it is the next event's */
	e->out = ret;
	if (e->leaving != GROUP_NONE && e->gone_n == 0) {
		(void)groups_remove(&e->groups, e->leaving);
		e->leaving = GROUP_NONE;
	}
	if (e->paused_until && e->paused_until <= e->now) {
		struct reason over = { .why = WHY_OPERATOR, .policy = -1, .measured = -1, .limit = -1 };

		e->paused_until = 0;
		e->lifelines_due = true;
		(void)engine_report(e, WHY_OPERATOR, &over, GROUP_NONE, "the pause has ended");
	}
	switch (event->type) {
	case EVENT_SNAPSHOT:
		r = on_snapshot(e, event->snapshot);
		break;
	case EVENT_GROUP:
		r = orders_group(e, event->group);
		break;
	case EVENT_GROUP_GONE:
		orders_gone(e, event->gone);
		break;
	case EVENT_RESULT:
		r = results_step(e, &event->result);
		break;
	case EVENT_DRIFT:
		results_drift(e, &event->drift);
		break;
	case EVENT_ENDPOINT:
		endpoints_heard(e, &event->endpoint);
		break;
	case EVENT_POLICIES:
		orders_policies(e, event->policies);
		break;
	case EVENT_OPERATOR:
		orders_operator(e, &event->order);
		break;
	case EVENT_NAMES:
		orders_names(e, &event->names);
		break;
	case EVENT_LIFTED:
		e->served_until = MIN(event->lifted.until, e->now + EVENT_SERVED);
		e->barred_until = MIN(event->lifted.barred, e->now + EVENT_BARRED);
		break;
	case EVENT_JOURNAL_LOST:
		orders_journal_lost(e);
		break;
	case EVENT_RECALL:
	case EVENT_TIMEOUT:
	case _EVENT_MAX:
		break;
	}
	if (e->n_inflight > 0)
		results_deadlines(e);
	if (e->n_squeezes > 0)
		squeeze_flush(e);
	orders_lifelines(e);
	orders_say_over(e);
	e->out = NULL;
	return r;
}
