/* SPDX-License-Identifier: Apache-2.0 */
/* guard: what surrounds the engine
 *
 * It ticks, tells of cgroups, carries actions out on the model and brings each
 * result back exactly once: writes at once, the steward's ranking and the health
 * check after a while, what got lost as timed out at its deadline. Faults come
 * from the dice: a write that fails, a steward that hangs, a cgroup that is gone
 * between decision and write, another writer, a suspended machine. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf/format.h"
#include "core/explain.h"
#include "ctl/driver.h"
#include "sim.h"

static void note(struct sim *s, uint64_t v)
{
	s->hash = (s->hash ^ v) * UINT64_C(0x100000001b3);
	s->hash ^= s->hash >> 29;
}

static void queue(struct sim *s, usec_t due, const struct action *a, const struct task_ref *tasks)
{
	int slot = s->n_pending, at;
	bool used[SIM_PENDING] = { false };

	if (s->n_pending == SIM_PENDING) {
		check_fail(s, "more than %d actions without a result", SIM_PENDING);
		return;
	}
	for (int i = 0; i < s->n_pending; i++)
		used[s->order[i]] = true;
	for (slot = 0; used[slot]; slot++)
		;
	s->pending[slot] = (struct pending) { .due = due, .action = *a };
	if (a->n_tasks && tasks) {
		s->pending[slot].tasks = malloc(a->n_tasks * sizeof(*tasks));
		if (s->pending[slot].tasks)
			memcpy(s->pending[slot].tasks, tasks, a->n_tasks * sizeof(*tasks));
	}
	for (at = s->n_pending; at > 0 && s->pending[s->order[at - 1]].due > due; at--)
		s->order[at] = s->order[at - 1];
	s->order[at] = slot;
	s->n_pending++;
}

void sim_record_policies(struct sim *s)
{
	static char text[CONF_TEXT_MAX];

	if (conf_format(&s->set, NULL, text, sizeof(text)) < 0)
		check_fail(s, "the policies do not fit in CONF_TEXT_MAX");
	else
		trace_put_text(s->record, text, strlen(text));
}

static void say(struct sim *s, const struct action *a)
{
	char line[EXPLAIN_MAX];

	if (a->verb == VERB_REPORT || a->verb == VERB_SENSE)
		(void) fprintf(s->log, "[%9.3f] %-12s %s\n", (double) (s->now - s->start) / 1e6, a->verb == VERB_REPORT ? why_to_string(a->reason.why) : "sense",
			       a->verb == VERB_REPORT ? explain_action(s->e, a, line, sizeof(line)) : (snprintf(line, sizeof(line), "%d", (int) a->value), line));
	else
		(void) fprintf(s->log, "[%9.3f]     %s %s g=%lu v=%ld/%ld n=%u until=%.1f\n", (double) (s->now - s->start) / 1e6, verb_to_string(a->verb),
			       why_to_string(a->reason.why), (unsigned long) a->group, (long) a->value, (long) a->value2, a->n_tasks,
			       a->until ? (double) (a->until - s->start) / 1e6 : 0.0);
}

/* One event in, its actions queued. */
void sim_step(struct sim *s, struct event *ev)
{
	bool calm = s->record && !s->recording && ev->type == EVENT_SNAPSHOT;
	int r;

	if (s->check.failed[0])
		return;
	ev->now = s->now;
	check_before(s, ev);
	(void) calm;
	if (s->record && s->recording)
		trace_put_event(s->record, ev);
	r = engine_step(s->e, ev, &s->acts);
	if (r < 0) {
		check_fail(s, "engine_step refused a good event of type %d: %s", ev->type, strerror(-r));
		return;
	}
	if (s->recorder)
		recorder_event(s->recorder, s->e, ev, &s->acts);
	s->steps++;
	note(s, ev->type);
	for (uint32_t i = 0; i < s->acts.n; i++) {
		const struct action *a = &s->acts.a[i];
		usec_t due = s->now;

		if (s->record && s->recording)
			trace_put_action(s->record, &s->acts, i);
		note(s, a->id);
		note(s, (uint64_t) a->verb << 32 ^ a->group);
		note(s, (uint64_t) a->value ^ (uint64_t) a->value2 << 40);
		note(s, a->until ^ a->reason.victim);
		s->n_actions++;
		if (s->log)
			say(s, a);
		if (s->on_action)
			s->on_action(s, a);
		if (a->verb == VERB_SENSE) {
			uint32_t was = s->sense;

			s->sense = (uint32_t) a->value;
			if ((s->sense & SENSE_PROBE) && !(was & SENSE_PROBE))
				s->sense_since = s->now;
			s->next_tick = MIN(s->next_tick, s->now + (s->sense & SENSE_ALARM ? s->set.settings.alarm_tick : s->set.settings.calm_tick));
			if (s->sense & SENSE_SOON)
				s->next_tick = s->now + s->set.settings.alarm_tick / 2;
		} else if (a->verb == VERB_RANK) {
			due += (usec_t) dice_range(&s->dice, 5, 150) * USEC_PER_MSEC;
			if (s->faults_on && dice_chance(&s->dice, s->faults.rank_lost))
				due = USEC_INFINITY;
		} else if (a->verb == VERB_CHECK) {
			const struct policy *p = a->group < s->set.n_policies ? &s->set.policies[a->group] : NULL;

			if (!p || p->kind != POLICY_ENDPOINT) {
				check_fail(s, "a check of policy %lu, which is no endpoint", (unsigned long) a->group);
				return;
			}
			due += MIN((usec_t) s->m.endpoint, p->timeout);
		} else if (a->verb == VERB_LIFELINE)
			due += (usec_t) dice_range(&s->dice, 1, 30) * USEC_PER_MSEC;
		queue(s, MIN(due, a->deadline), a, s->acts.tasks + a->task_first);
		if (due > a->deadline && s->n_pending)
			for (int k = 0; k < s->n_pending; k++)
				if (s->pending[s->order[k]].action.id == a->id)
					s->pending[s->order[k]].lost = true;
	}
	if (s->log && ev->type == EVENT_SNAPSHOT && ev->snapshot->n_groups && getenv("SIM_VICTIMS")) {
		static struct engine_view v;

		engine_view(s->e, &v);
		(void) fprintf(s->log, "[%9.3f] login %.2f s, endpoint %.1f ms, %d squeezed; canary %d/%d;", (double) (s->now - s->start) / 1e6, s->m.login / 1e6,
			       s->m.endpoint / 1e3, sim_n_squeezed(s), ev->snapshot->canary.wall_us, ev->snapshot->canary.cpu_us);
		for (uint32_t i = 0; i < MIN(v.n_victims, 3u); i++)
			(void) fprintf(s->log, " %s wait %d self %d login %.2f%s", s->m.nodes[MAX(0, machine_find(&s->m, v.victims[i].group))].info.name,
				       v.victims[i].wait, v.victims[i].self_wait, (double) v.victims[i].login_estimate / 1e6, v.victims[i].harmed ? " harmed" : "");
		(void) fprintf(s->log, "\n");
	}
	check_after(s, ev);
}

static void tell_group(struct sim *s, int at)
{
	struct node *n = &s->m.nodes[at];

	n->told = true;
	s->told_id[at] = n->info.id;
	sim_step(s, &(struct event) { .type = EVENT_GROUP, .group = &n->info });
}

void sim_sync(struct sim *s)
{
	for (int i = 0; i < s->m.n_nodes; i++) {
		const struct node *n = &s->m.nodes[i];

		if (s->told_id[i] && (!n->alive || n->info.id != s->told_id[i])) {
			uint64_t id = s->told_id[i];

			s->told_id[i] = 0;
			sim_step(s, &(struct event) { .type = EVENT_GROUP_GONE, .gone = id });
		}
		if (n->alive && !n->told)
			tell_group(s, i);
	}
}

/* ---- carrying out ---- */

static int rank_by_cpu(const void *a, const void *b)
{
	const struct task_ref *x = a, *y = b;

	if (x->cpu_pm != y->cpu_pm)
		return x->cpu_pm > y->cpu_pm ? -1 : 1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static uint32_t rank(struct sim *s, int at, struct task_ref tasks[static MAX_TASKS])
{
	static struct task_ref all[SIM_SETS * 4];
	struct machine *m = &s->m;
	uint32_t n = 0;

	for (int i = 0; i < m->n_sets; i++) {
		const struct set *t = &m->sets[i];

		if (!t->alive || t->node != at || s->now <= t->from || s->now > t->until)
			continue;
		for (int k = 0; k < MIN(t->tasks, SIM_SET_TASKS) && n < ELEMENTSOF(all); k++) {
			bool fifo = t->kind == SET_REALTIME && k >= t->n_other;
			double part = fifo ? m->nodes[at].rt / (t->tasks - t->n_other) / 100000 : t->active ? t->run / t->tasks / 100000 : 0;

			all[n] = (struct task_ref) {
				.pid = t->pid + k, .tid = t->pid + k, .start = t->start, .keep = t->keep,
				.cpu_pm = t->state[k] == TASK_NORMAL ? (uint32_t) (10000 * MIN(part, 1.0)) : 10,
				.policy = fifo ? 1 : t->state[k] == TASK_LOWERED ? 5 : 0,
			};
			memcpy(all[n++].comm, t->comm, COMM_MAX);
		}
	}
	qsort(all, n, sizeof(all[0]), rank_by_cpu);
	n = MIN(n, (uint32_t) MAX_TASKS);
	memcpy(tasks, all, n * sizeof(all[0]));
	return n;
}

static struct set *set_of(struct machine *m, int node, int32_t pid, uint64_t start, int *ret_k)
{
	for (int i = 0; i < m->n_sets; i++) {
		struct set *t = &m->sets[i];

		if (t->alive && t->node == node && t->start == start && pid >= t->pid && pid < t->pid + MIN(t->tasks, SIM_SET_TASKS)) {
			*ret_k = pid - t->pid;
			return t;
		}
	}
	return NULL;
}

static void task_set_state(struct set *t, int k, enum task_state state)
{
	if (t->state[k] == TASK_LOWERED)
		t->n_lowered--;
	if (t->state[k] == TASK_JAILED)
		t->n_jailed--;
	t->state[k] = (uint8_t) state;
	if (state == TASK_LOWERED)
		t->n_lowered++;
	if (state == TASK_JAILED)
		t->n_jailed++;
}

static uint32_t on_tasks(struct machine *m, int at, const struct pending *p)
{
	uint32_t n = 0;

	for (uint32_t i = 0; p->tasks && i < p->action.n_tasks; i++) {
		int k;
		struct set *t = set_of(m, at, p->tasks[i].pid, p->tasks[i].start, &k);

		if (!t)
			continue;
		if (p->action.verb == VERB_TASKS_OTHER)
			t->n_other = (uint8_t) MIN(t->n_other + 1, t->tasks);
		else
			task_set_state(t, k, p->action.verb == VERB_JAIL ? TASK_JAILED : TASK_LOWERED);
		n++;
	}
	return n;
}

static void release(struct sim *s, int at, int64_t mask)
{
	struct node *n = &s->m.nodes[at];
	bool all = mask == 0;

	if (all || mask & (1 << VERB_IDLE))
		n->idle = false;
	if (all || mask & (1 << VERB_WEIGHT))
		n->weight = n->weight0;
	if (all || mask & (1 << VERB_QUOTA)) {
		n->quota = n->quota0;
		n->period = n->period0;
		n->quota_written = s->now;
	}
	if (all || mask & (1 << VERB_PIDS))
		n->pids_max = -1;
	if (all || mask & (1 << VERB_FREEZE))
		n->frozen = false;
	if (all || mask & (1 << VERB_JAIL))
		n->jail = false;
	for (int i = 0; i < s->m.n_sets; i++) {
		struct set *t = &s->m.sets[i];

		if (!t->alive || t->node != at)
			continue;
		for (int k = 0; k < MIN(t->tasks, SIM_SET_TASKS); k++)
			if ((t->state[k] == TASK_LOWERED && (all || mask & (1 << VERB_TASKS_IDLE))) ||
			    (t->state[k] == TASK_JAILED && (all || mask & (1 << VERB_JAIL))))
				task_set_state(t, k, TASK_NORMAL);
		if (all || mask & (1 << VERB_TASKS_OTHER))
			t->n_other = 0;
	}
}

/* 0 or errno. */
static int carry_out(struct sim *s, const struct pending *p, struct result *r)
{
	const struct action *a = &p->action;
	struct machine *m = &s->m;
	int at = machine_find(m, a->group);
	struct node *n = at >= 0 ? &m->nodes[at] : NULL;

	switch (a->verb) {
	case VERB_SENSE:
	case VERB_REPORT:
	case VERB_CHECK:
		return 0;
	case VERB_RELEASE:
		if (s->faults_on && dice_chance(&s->dice, s->faults.write_fails))
			return EIO;
		if (a->group == GROUP_NONE)
			for (int i = 1; i < m->n_nodes; i++)
				release(s, i, a->value);
		else if (n)
			release(s, at, a->value);
		return 0;
	default:
		break;
	}
	if (!n)
		return ESTALE;
	if (a->verb == VERB_RANK) {
		static struct task_ref tasks[MAX_TASKS];

		if (s->faults_on && dice_chance(&s->dice, s->faults.rank_fails))
			return EAGAIN;
		r->n_tasks = rank(s, at, tasks);
		r->tasks = tasks;
		return 0;
	}
	if (s->faults_on && dice_chance(&s->dice, s->faults.write_fails))
		return dice_chance(&s->dice, 5000) ? EACCES : ENOENT;
	r->value = a->value;
	switch (a->verb) {
	case VERB_WEIGHT:
		n->weight = (int32_t) a->value;
		break;
	case VERB_IDLE:
		n->idle = true;
		break;
	case VERB_QUOTA:
		if (n->quota0 > 0 && a->value * n->period0 > n->quota0 * a->value2) {
			r->value = n->quota0;
			r->value2 = n->period0;
			return EEXIST;
		}
		n->quota = a->value;
		n->period = a->value2;
		n->quota_written = s->now;
		s->cut_since_check = true;
		break;
	case VERB_PIDS:
		n->pids_max = a->value < 0 ? n->pids : a->value;
		r->value = n->pids_max;
		break;
	case VERB_FREEZE:
		n->frozen = true;
		break;
	case VERB_KILL:
		for (int i = 0; i < m->n_sets; i++)
			if (m->sets[i].alive && m->sets[i].node == at) {
				n->pids -= m->sets[i].tasks;
				m->sets[i].alive = false;
			}
		break;
	case VERB_JAIL:
		n->jail = true;
		n->jail_quota = a->value;
		n->jail_period = a->value2;
		r->n_tasks = on_tasks(m, at, p);
		break;
	case VERB_TASKS_IDLE:
	case VERB_TASKS_OTHER:
		r->n_tasks = on_tasks(m, at, p);
		break;
	case VERB_LIFELINE:
		n->lifeline = a->value < 0 ? 0 : (int32_t) a->value;
		if (n->weight == n->weight0)
			n->weight = a->value < 0 ? 100 : (int32_t) a->value;
		n->weight0 = a->value < 0 ? 100 : (int32_t) a->value;
		n->info.weight = n->weight0;
		if (!m->nodes[n->parent].children_ctl && a->value > 0) {        /* systemd turns the controller on for all siblings */
			m->nodes[n->parent].children_ctl = true;
			for (int c = m->nodes[n->parent].first_child; c >= 0; c = m->nodes[c].next_sibling) {
				m->nodes[c].ctl = true;
				m->nodes[c].info.flags |= GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA | GROUP_CAN_IDLE;
				m->nodes[c].told = false;
			}
		}
		n->told = false;
		break;
	default:
		break;
	}
	return 0;
}

static void deliver(struct sim *s)
{
	struct pending p = s->pending[s->order[0]];
	struct result r = { .action = p.action.id };

	memmove(s->order, s->order + 1, (size_t) --s->n_pending * sizeof(s->order[0]));
	if (p.lost)
		r.status = RESULT_TIMED_OUT;
	else {
		r.error = carry_out(s, &p, &r);
		r.status = r.error ? RESULT_FAILED : RESULT_DONE;
	}
	check_result(s, &p.action, &r);
	if (p.action.verb == VERB_CHECK && p.action.group < s->set.n_policies) {
		const struct policy *pol = &s->set.policies[p.action.group];
		usec_t took = MIN((usec_t) s->m.endpoint, pol->timeout);

		sim_step(s, &(struct event) { .type = EVENT_ENDPOINT, .endpoint = {
			.policy = (int16_t) p.action.group, .took = took, .good = (usec_t) s->m.endpoint < pol->timeout } });
	}
	sim_step(s, &(struct event) { .type = EVENT_RESULT, .result = r });
	free(p.tasks);
	if (p.action.verb == VERB_LIFELINE)
		sim_sync(s);
}

/* ---- time ---- */

static void tick(struct sim *s)
{
	bool sensing = s->sense & (SENSE_ALARM | SENSE_PROBE | SENSE_CANARY), wide = s->now - s->last_wide >= SAMPLER_WIDE_EVERY;
	usec_t window = s->now - s->last_snapshot;

	s->ticks++;
	s->next_tick = s->now + (s->sense & SENSE_ALARM ? s->set.settings.alarm_tick : s->set.settings.calm_tick);
	if (s->faults_on && dice_chance(&s->dice, 20))          /* late */
		s->next_tick += (usec_t) dice_range(&s->dice, 1, 1500) * USEC_PER_MSEC;
	if (window == 0)
		return;
	if (s->m.busy || sensing) {
		sim_sync(s);
		machine_run(&s->m, s->now, s->sense & SENSE_CANARY);
		if (sensing) {
			s->alarm_ticks++;
			machine_sense(&s->m, s->now, window, s->sense & SENSE_PROBE, s->sense & SENSE_CANARY, &s->snap);
		} else
			machine_calm(&s->m, window, (permyriad_t) (s->m.some * 10000), &s->snap);
	} else
		machine_idle(&s->m, s->now, &s->snap);
	s->last_snapshot = s->now;
	if (!sensing && wide)
		machine_wide(&s->m, s->now, &s->snap.machine);
	if (sensing || wide)
		s->last_wide = s->now;
	/* Of a quiet machine the guard tells now and then. */
	if (!sensing && !wide && s->snap.machine.cpu_some <= s->set.settings.alarm / DRIVER_GLANCE && s->now < s->last_told + DRIVER_TOLD)
		return;
	s->last_told = s->now;
	s->sense &= ~(uint32_t) SENSE_SOON;
	sim_step(s, &(struct event) { .type = EVENT_SNAPSHOT, .snapshot = &s->snap });
}

void sim_run(struct sim *s, usec_t until)
{
	if (s->next_load == 0)
		s->next_load = load_next(&s->load, 0);
	while (!s->check.failed[0]) {
		usec_t deadline = engine_deadline(s->e), t = MIN(s->next_tick, deadline);

		t = MIN(t, s->next_load);
		if (s->n_pending)
			t = MIN(t, s->pending[s->order[0]].due);
		if (s->faults_on)
			t = MIN(t, s->next_fault);
		if (t >= until)
			break;
		s->now = MAX(s->now, t);
		if (s->n_pending && s->pending[s->order[0]].due <= s->now)
			deliver(s);
		else if (s->next_load <= s->now) {
			load_run(&s->load, &s->m, s->now);
			s->next_load = load_next(&s->load, s->now);
			sim_sync(s);
		} else if (s->faults_on && s->next_fault <= s->now)
			sim_fault(s);
		else if (s->next_tick <= s->now)
			tick(s);
		else
			sim_step(s, &(struct event) { .type = EVENT_TIMEOUT });
	}
	if (!s->check.failed[0])
		s->now = MAX(s->now, until);
}

bool sim_limited(const struct node *n)
{
	return n->idle || n->frozen || n->pids_max >= 0 || n->weight < n->weight0 || n->quota != n->quota0 || n->period != n->period0;
}

bool sim_squeezed(const struct sim *s, int at)
{
	const struct node *n = &s->m.nodes[at];

	if (!n->alive)
		return false;
	if (sim_limited(n) || n->jail || n->weight != n->weight0)
		return true;
	for (int i = 0; i < s->m.n_sets; i++)
		if (s->m.sets[i].alive && s->m.sets[i].node == at && (s->m.sets[i].n_lowered || s->m.sets[i].n_jailed || s->m.sets[i].n_other))
			return true;
	return false;
}

int sim_n_squeezed(const struct sim *s)
{
	int n = 0;

	for (int i = 0; i < s->m.n_nodes; i++)
		n += sim_squeezed(s, i);
	return n;
}

struct sim *sim_new(uint64_t seed, int ncpu)
{
	struct sim *s = calloc(1, sizeof(*s));

	if (!s || !(s->e = calloc(1, engine_size())))
		abort();
	s->seed = seed;
	s->start = s->now = 1000 * USEC_PER_SEC;
	s->dice.s = seed * 7919 + 1;
	machine_init(&s->m, seed * 31 + 7);
	s->m.last = s->last_snapshot = s->last_wide = s->now;
	load_layout(&s->m, &s->dice, ncpu, s->now);
	load_policies(&s->set, NULL);
	s->load.dice.s = seed * 17 + 3;
	return s;
}

struct sim *sim_free(struct sim *s)
{
	if (s) {
		while (s->n_pending)
			free(s->pending[s->order[--s->n_pending]].tasks);
		free(s->e);
		free(s);
	}
	return NULL;
}

void sim_begin(struct sim *s)
{
	engine_init(s->e, &s->set, (uint32_t) s->seed);
	s->next_tick = s->now + s->set.settings.calm_tick;
	s->next_fault = s->now + 30 * USEC_PER_SEC;
	if (s->record) {
		trace_put_version(s->record);
		sim_record_policies(s);
		trace_put_init(s->record, s->now, (uint32_t) s->seed);
		trace_put_begin(s->record);
		s->recording = true;
	}
	sim_sync(s);
}
