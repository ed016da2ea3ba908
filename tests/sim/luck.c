/* SPDX-License-Identifier: Apache-2.0 */
/* luck: what goes wrong, from the dice: cgroups vanish, somebody else writes, the
 * machine sleeps, an operator or a new policy comes in between; and which of it a
 * random run has. */
#include <string.h>

#include "sim.h"

static int random_leaf(struct sim *s, bool squeezed)
{
	for (int tries = 0; tries < 40; tries++) {
		int i = (int) dice_range(&s->dice, 1, s->m.n_nodes - 1);
		const struct node *n = &s->m.nodes[i];

		if (n->alive && n->first_child < 0 && n->parent > 0 && !n->is_protected && !(n->info.flags & GROUP_IS_SELF) &&
		    (!squeezed || sim_squeezed(s, i)))
			return i;
	}
	return -1;
}

static void drift(struct sim *s)
{
	int i = random_leaf(s, true);
	struct node *n = &s->m.nodes[MAX(i, 0)];
	struct drift d = { .original = dice_chance(&s->dice, 7000) };

	if (i < 0)
		return;
	d.group = n->info.id;
	if (n->quota != n->quota0 || n->period != n->period0) {
		d.knob = VERB_QUOTA;
		if (!d.original)
			n->quota0 = 30000 + dice_range(&s->dice, 0, 50000);
		d.value = n->quota0;
		d.value2 = n->period0;
		n->quota = n->quota0;
		n->period = n->period0;
		n->quota_written = s->now;
	} else if (n->weight != n->weight0) {
		d.knob = VERB_WEIGHT;
		if (!d.original)
			n->weight0 = (int32_t) dice_range(&s->dice, 50, 300);
		d.value = n->weight0;
		n->weight = n->weight0;
	} else if (n->idle) {
		d.knob = VERB_IDLE;
		d.original = true;
		n->idle = false;
	} else if (n->pids_max >= 0) {
		d.knob = VERB_PIDS;
		d.original = true;
		n->pids_max = -1;
	} else if (n->frozen) {
		d.knob = VERB_FREEZE;
		d.original = true;
		n->frozen = false;
	} else
		return;
	sim_step(s, &(struct event) { .type = EVENT_DRIFT, .drift = d });
}

static void operator_acts(struct sim *s)
{
	struct operator_order o = { .verb = (enum operator_verb) dice_below(&s->dice, 5) };

	if (o.verb > OPERATOR_RESUME) {
		sim_step(s, &(struct event) { .type = EVENT_JOURNAL_LOST });
		return;
	}
	if (o.verb == OPERATOR_RELEASE) {
		int i = random_leaf(s, true);

		if (i < 0)
			return;
		o.group = s->m.nodes[i].info.id;
	} else if (o.verb == OPERATOR_PAUSE) {
		o.until = s->now + (usec_t) dice_range(&s->dice, 1, 900) * USEC_PER_SEC;
		(void) snprintf(o.reason, sizeof(o.reason), "deploy\n\x1b[2J");
	}
	sim_step(s, &(struct event) { .type = EVENT_OPERATOR, .order = o });
}

static void reload(struct sim *s)
{
	load_policies(&s->other, &s->dice);
	s->set = s->other;
	if (s->record && s->recording) {
		sim_record_policies(s);
	}
	sim_step(s, &(struct event) { .type = EVENT_POLICIES, .policies = &s->set });
}

void sim_fault(struct sim *s)
{
	int i;

	s->next_fault = s->now + (usec_t) dice_range(&s->dice, 1, s->m.busy ? 20 : 400) * USEC_PER_SEC;
	if (dice_chance(&s->dice, s->faults.vanish) && (i = random_leaf(s, dice_chance(&s->dice, 5000))) >= 0) {
		machine_remove_node(&s->m, i);
		if (dice_chance(&s->dice, 5000))
			sim_sync(s);                 /* else it is noticed at the next tick */
	}
	if (dice_chance(&s->dice, s->faults.turns_database) && (i = random_leaf(s, dice_chance(&s->dice, 5000))) >= 0) {
		(void) snprintf(s->m.nodes[i].info.procs[GROUP_PROCS_MAX - 1], COMM_MAX, "postgres");   /* it is protected from now on */
		s->m.nodes[i].told = false;
		sim_sync(s);
	}
	if (dice_chance(&s->dice, s->faults.drift))
		drift(s);
	if (dice_chance(&s->dice, s->faults.gap)) {
		usec_t gap = (usec_t) dice_range(&s->dice, 1, 600) * USEC_PER_SEC;

		s->now += gap;
		s->m.last = MAX(s->m.last, s->now - 50 * USEC_PER_MSEC);
		s->next_tick = MAX(s->next_tick, s->now);
	}
	if (dice_chance(&s->dice, s->faults.operator_))
		operator_acts(s);
	if (dice_chance(&s->dice, s->faults.reload))
		reload(s);
}

void sim_random(struct sim *s, double hours, bool dense)
{
	s->faults_on = true;
	s->faults = (struct faults) { .write_fails = dice_chance(&s->dice, 3000) ? 300 : 0, .rank_fails = 500, .rank_lost = 500,
				      .vanish = 2000, .drift = 2000, .gap = 100, .turns_database = 300, .operator_ = 300, .reload = 200 };
	load_policies(&s->set, &s->dice);
	s->m.weight_works = dice_chance(&s->dice, 5000) ? 1 : dice_unit(&s->dice);
	s->m.jitter = dice_chance(&s->dice, 5000) ? 0 : (double) dice_range(&s->dice, 500, 12000);
	if (dice_chance(&s->dice, 2500))        /* a guest under emulation */
		s->m.quota_lag = (double) dice_range(&s->dice, 8, 900) * 1000;
	s->m.v1 = dice_chance(&s->dice, 3000);
	if (dice_chance(&s->dice, 1500))
		s->m.source = GROUP_SOURCE_CPUSTAT;
	if (dice_chance(&s->dice, 1500))
		s->m.pressure = PRESSURE_RUNQUEUE;
	s->m.sched_ext = dice_chance(&s->dice, 300);
	s->end = s->now + (usec_t) (hours * 3600e6);
	load_plan(&s->load, s->seed * 101 + 5, s->now + 5 * USEC_PER_SEC, s->end, dense);
	sim_begin(s);
}
