/* SPDX-License-Identifier: Apache-2.0 */
/* model: how a machine shares its CPU time out
 *
 * A fluid model: in each window every cgroup and every set of tasks below a parent
 * gets its weight's part of what the parent has, what one does not want goes to the
 * others, and a quota is a ceiling. That is what CFS and EEVDF do over 100 ms, and it
 * gives the logins that were measured (64 siblings of weight 100: a login of 0.35 s of
 * CPU on 2 CPUs takes 11 s; at weight 1, or with 1 % each, 0.35 s). What a task waits
 * follows from the rate at which it would be served while it is runnable (`pot`).
 *
 * What is modelled beside it: a quota bites 8 ms after it is written, on a slow guest
 * up to a second, and each write refills it; small services wait a few ms for almost
 * nothing now and then; weights that hardly work (v1 files on 6.18); tasks of SCHED_IDLE
 * and of real-time classes; no cpu controller at a level, so that tasks compete there
 * one by one; stolen and interrupt time, which leaves less for everybody. */
#include "sim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_WEIGHT 0.3
#define CANARY_CPU 5000
#define CANARY_EVERY (1250 * USEC_PER_MSEC)

void machine_init(struct machine *m, uint64_t seed)
{
	memset(m, 0, sizeof(*m));
	m->dice.s = seed;
	m->next_id = 100;
	m->next_pid = 1000;
	m->kthread_node = m->ssh = m->api = m->db = m->ssh_set = m->api_set = -1;
	m->tasks_max = 32768;
	m->weight_works = 1;
	m->source = GROUP_SOURCE_BPF;
	m->pressure = PRESSURE_PSI;
	m->ncpu = 2;
	m->wait_noise = 0.02;
	m->quota_lag = 8000;
}

int machine_add_node(struct machine *m, int parent, const char *name, usec_t now)
{
	struct node *n;
	int i;

	/* A parent comes before its children, so a slot is reused only for a leaf below an older one. */
	for (i = parent + 1; i < m->n_nodes && m->nodes[i].alive; i++)
		;
	if (i == SIM_NODES)
		return -1;
	if (i == m->n_nodes)
		m->n_nodes++;
	n = &m->nodes[i];
	memset(n, 0, sizeof(*n));
	n->alive = true;
	n->parent = parent;
	n->ctl = parent < 0 || m->nodes[parent].children_ctl;
	n->children_ctl = true;
	n->first_child = n->next_sibling = -1;
	n->weight = n->weight0 = 100;
	n->quota = n->quota0 = -1;
	n->period = n->period0 = 100000;
	n->pids_max = -1;
	n->info.id = m->ids[i] = m->next_id++;
	n->info.parent = parent >= 0 ? m->nodes[parent].info.id : GROUP_NONE;
	n->info.flags = GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA | GROUP_CAN_IDLE | GROUP_CAN_PIDS | GROUP_CAN_FREEZE | GROUP_CAN_KILL;
	if (!n->ctl)
		n->info.flags &= ~(uint32_t) (GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA | GROUP_CAN_IDLE);
	n->info.weight = 100;
	n->info.quota_us = -1;
	n->info.period_us = 100000;
	n->info.born = now;
	n->info.uid = UINT32_MAX;
	if (parent < 0) {
		n->info.flags = GROUP_IS_ROOT;
		strcpy(n->info.path, "/");
	} else {
		(void) snprintf(n->info.path, sizeof(n->info.path), "%.300s/%.100s", parent ? m->nodes[parent].info.path : "", name);
		n->next_sibling = m->nodes[parent].first_child;
		m->nodes[parent].first_child = i;
	}
	(void) snprintf(n->info.name, sizeof(n->info.name), "%.60s", name);
	return i;
}

int machine_add_set(struct machine *m, int node, enum set_kind kind, int tasks, const char *comm)
{
	struct set *s;
	int i;

	for (i = 0; i < m->n_sets && m->sets[i].alive; i++)
		;
	if (i == SIM_SETS)
		return -1;
	if (i == m->n_sets)
		m->n_sets++;
	s = &m->sets[i];
	memset(s, 0, sizeof(*s));
	s->alive = true;
	s->kind = kind;
	s->node = node;
	s->tasks = tasks;
	s->until = USEC_INFINITY;
	s->pid = m->next_pid;
	m->next_pid += tasks;
	s->start = (uint64_t) s->pid * 7;
	(void) snprintf(s->comm, sizeof(s->comm), "%.15s", comm);
	for (int k = 0; k < GROUP_PROCS_MAX; k++)
		if (!m->nodes[node].info.procs[k][0]) {
			memcpy(m->nodes[node].info.procs[k], s->comm, COMM_MAX);
			m->nodes[node].told = false;
			break;
		}
	return i;
}

void machine_remove_node(struct machine *m, int at)
{
	int *link;

	while (m->nodes[at].first_child >= 0)
		machine_remove_node(m, m->nodes[at].first_child);
	for (int i = 0; i < m->n_sets; i++)
		if (m->sets[i].alive && m->sets[i].node == at)
			m->sets[i].alive = false;
	for (link = &m->nodes[m->nodes[at].parent].first_child; *link != at; link = &m->nodes[*link].next_sibling)
		;
	*link = m->nodes[at].next_sibling;
	m->nodes[at].alive = false;
	m->ids[at] = 0;
}

int machine_find(const struct machine *m, uint64_t id)
{
	for (int i = 0; i < m->n_nodes; i++)
		if (m->ids[i] == id)
			return i;
	return -1;
}

/* What the kernel makes of a weight that was lowered. */
static double node_weight(const struct machine *m, const struct node *n)
{
	double w = n->idle ? IDLE_WEIGHT : n->weight;

	if (m->weight_works >= 1 || w >= n->weight0)
		return w;
	return pow(n->weight0, 1 - m->weight_works) * pow(w, m->weight_works);
}

static double lowered_part(const struct set *s)
{
	int n = MIN(s->tasks, SIM_SET_TASKS);

	return (double) s->n_lowered / n;
}

static void set_demand(struct machine *m, struct set *s, usec_t now, double window)
{
	double normal = 1, jail = (double) s->n_jailed / MIN(s->tasks, SIM_SET_TASKS);
	struct node *n = &m->nodes[s->node];

	s->d = s->w = s->run = s->wait = s->pot = 0;
	s->active = 0;
	if (!s->alive || now <= s->from || now > s->until || n->frozen)
		return;
	switch (s->kind) {
	case SET_HOG:
	case SET_API:
	case SET_REALTIME:
		s->active = s->tasks;
		s->d = s->tasks * window;
		break;
	case SET_SERVICE:
		s->backlog += (int64_t) ((double) s->rate * window / 1e6 * (0.5 + dice_unit(&m->dice)));
		s->backlog = MIN(s->backlog, (int64_t) s->tasks * 1000 * 1000);         /* what waits longer is given up */
		s->d = (double) s->backlog;
		s->active = CLAMP((int) ceil(s->d / window), s->d > 0 ? 1 : 0, s->tasks);
		s->d = MIN(s->d, s->active * window);
		break;
	}
	if (jail > 0 && n->jail) {
		double capped = s->d * jail;

		capped = MIN(capped, (double) n->jail_quota / (double) n->jail_period * window);
		s->d = s->d * (1 - jail) + capped;
	}
	normal = 1 - lowered_part(s);
	s->w = s->active * (100 * normal + IDLE_WEIGHT * (1 - normal));
}

static double quota_cap(const struct machine *m, const struct node *n, usec_t now, double window)
{
	double rate, before = m->quota_lag;

	if (n->quota < 0)
		return INFINITY;
	rate = (double) n->quota / (double) n->period;
	if (n->quota_written + (usec_t) (window + m->quota_lag) < now || n->quota_written == 0)
		return rate * window;
	if (n->quota_written > now - (usec_t) window)
		before += (double) (n->quota_written - (now - (usec_t) window));
	else
		before -= MIN(before, (double) ((now - (usec_t) window) - n->quota_written));
	before = MIN(before, window);
	return rate * (window - before) + before * m->ncpu + (double) n->quota;
}

struct entry {
	double d, w, grant, pot, cap;
	int set, node;
};

/* Shares `cap` out among the entries by weight; pot as if each wanted more. */
static void share_out(struct entry *e, int n, double cap)
{
	double left = cap, weight = 0, spare;
	bool again = true, full = false;

	for (int i = 0; i < n; i++) {
		e[i].grant = -1;
		weight += e[i].w;
	}
	while (again) {
		again = false;
		for (int i = 0; i < n; i++)
			if (e[i].grant < 0 && e[i].d * weight <= left * e[i].w + 1e-6) {
				e[i].grant = e[i].d;
				left -= e[i].d;
				weight -= e[i].w;
				again = true;
			}
	}
	for (int i = 0; i < n; i++)
		if (e[i].grant < 0)
			full = true;
	spare = MAX(left, 0.0);
	for (int i = 0; i < n; i++) {
		if (e[i].grant < 0)
			e[i].grant = e[i].pot = weight > 0 ? spare * e[i].w / weight : 0;
		else if (full)
			e[i].pot = MAX(e[i].grant, (spare + e[i].grant) * e[i].w / (weight + e[i].w));
		else
			e[i].pot = spare + e[i].grant;
		e[i].pot = MIN(e[i].pot, e[i].cap);
	}
}

static void set_outcome(struct machine *m, struct set *s, double window)
{
	double rate;

	s->run = MIN(s->d, s->pot);
	if (s->active == 0)
		return;
	rate = CLAMP(s->pot / (window * s->active), 1e-6, 1.0);
	if (s->run < s->d * 0.999 || s->kind != SET_SERVICE)
		s->wait = s->active * window - s->run;
	else
		s->wait = s->d * (1 / rate - 1);
	if (s->kind == SET_HOG && s->n_jailed)
		s->wait = MIN(s->wait, (s->active - s->n_jailed) * window);
	s->wait = CLAMP(s->wait, 0.0, s->active * window - s->run);
	m->nodes[s->node].stall += s->wait;
	s->wait *= 1 - lowered_part(s);         /* the probe does not count SCHED_IDLE tasks as waiting, PSI does */
	s->wait += s->run * m->wait_noise * dice_unit(&m->dice) * 2;
	if (s->kind == SET_SERVICE) {
		double late = dice_unit(&m->dice);

		s->backlog -= (int64_t) s->run;
		if (m->busy)
			s->wait += m->jitter * late * late * late;
	}
	m->total_run += s->run;
	if (m->nodes[s->node].useful || s->kind == SET_API)
		m->useful_run += s->run;
	m->runnable += (int) lround((s->run + s->wait) / window);
}

static void place(struct machine *m, double window)
{
	double room[SIM_CPUS];

	for (int c = 0; c < m->ncpu; c++)
		room[c] = window;
	for (int i = 0; i < m->n_sets; i++) {
		struct set *s = &m->sets[i];
		struct node *n;
		int k, home;
		double rest;

		if (!s->alive || s->active == 0)
			continue;
		n = &m->nodes[s->node];
		k = MIN(s->active, m->ncpu);
		home = (int) ((s->start * 31 + m->last / (5 * USEC_PER_SEC)) % (uint64_t) m->ncpu);
		rest = s->run;
		for (int c = 0; c < k; c++) {
			int cpu = (home + c) % m->ncpu;
			double r = MIN(s->run / k, room[cpu]);

			n->cpu_run[cpu] += r;
			n->cpu_wait[cpu] += s->wait / k;
			room[cpu] -= r;
			rest -= r;
		}
		for (int c = 0; c < m->ncpu && rest > 0.5; c++) {
			double r = MIN(rest, room[c]);

			n->cpu_run[c] += r;
			room[c] -= r;
			rest -= r;
		}
		n->cpu_run[home] += MAX(rest, 0.0);
	}
}

void machine_run(struct machine *m, usec_t now, bool canary)
{
	static struct entry e[SIM_NODES + SIM_SETS];
	static int first_set[SIM_NODES], next_set[SIM_SETS];
	double window = (double) (now - m->last), cap, wait = 0;
	bool full;

	m->total_run = m->useful_run = 0;
	m->runnable = 0;
	for (int i = 0; i < m->n_nodes; i++) {
		struct node *n = &m->nodes[i];

		first_set[i] = -1;
		n->d = n->run = n->wait = n->stall = n->rt = n->kthread = n->throttled = n->pot = 0;
		n->active = 0;
		n->forks = 0;
		memset(n->cpu_run, 0, sizeof(n->cpu_run[0]) * (size_t) m->ncpu);
		memset(n->cpu_wait, 0, sizeof(n->cpu_wait[0]) * (size_t) m->ncpu);
	}
	m->capacity = cap = m->ncpu * window * (1 - (m->steal + m->irq) / 10000.0);

	/* Real-time tasks first, up to 95 %. */
	for (int i = 0; i < m->n_sets; i++) {
		struct set *s = &m->sets[i];

		set_demand(m, s, now, window);
		if (s->kind != SET_REALTIME || s->active == 0)
			continue;
		if (s->n_other < s->tasks) {
			double rt = MIN((s->tasks - s->n_other) * window, 0.95 * cap);

			m->nodes[s->node].rt += rt;
			cap -= rt;
			s->d = s->n_other * window;
			s->w = 100.0 * s->n_other;
			s->active = s->n_other;
			m->runnable += s->tasks;
		}
	}
	if (m->kthread_node >= 0) {
		double k = MIN(m->kthread * window, 0.9 * cap);

		m->nodes[m->kthread_node].kthread = k;
		cap -= k;
	}

	/* Demand, bottom up. */
	for (int i = 0; i < m->n_sets; i++)
		if (m->sets[i].alive && m->sets[i].active) {
			m->nodes[m->sets[i].node].d += m->sets[i].d;
			m->nodes[m->sets[i].node].active += m->sets[i].active;
			next_set[i] = first_set[m->sets[i].node];
			first_set[m->sets[i].node] = i;
		}
	for (int i = m->n_nodes - 1; i > 0; i--) {
		struct node *n = &m->nodes[i];
		double limit;

		if (!n->alive || n->d <= 0)
			continue;
		limit = quota_cap(m, n, now, window);
		if (n->d > limit) {
			n->throttled = window * (1 - limit / MIN(n->d, m->ncpu * window));
			n->d = limit;
		}
		m->nodes[n->parent].d += n->d;
		m->nodes[n->parent].active += n->active;
	}

	/* Shares, top down. */
	m->nodes[0].pot = cap;
	for (int i = 0; i < m->n_nodes; i++) {
		struct node *n = &m->nodes[i];
		int k = 0;

		if (!n->alive || n->active == 0)
			continue;
		for (int c = n->first_child; c >= 0; c = m->nodes[c].next_sibling) {
			struct node *child = &m->nodes[c];

			if (child->active == 0)
				continue;
			/* A budget that is not used up does not slow down. */
			e[k++] = (struct entry) { .d = child->d, .set = -1, .node = c, .cap = child->throttled > 0 ? child->d : INFINITY,
						  .w = child->ctl ? node_weight(m, child) : 100.0 * child->active };
		}
		for (int c = first_set[i]; c >= 0; c = next_set[c]) {
			const struct set *s = &m->sets[c];

			e[k++] = (struct entry) { .d = s->d, .w = s->w, .set = c, .node = -1, .cap = s->active * window };
		}
		share_out(e, k, n->pot);
		for (int c = 0; c < k; c++)
			if (e[c].set >= 0)
				m->sets[e[c].set].pot = e[c].pot;
			else
				m->nodes[e[c].node].pot = e[c].pot;
	}

	for (int i = 0; i < m->n_sets; i++) {
		struct set *s = &m->sets[i];
		struct node *n = &m->nodes[s->node];

		if (!s->alive || s->active == 0)
			continue;
		set_outcome(m, s, window);
		n->run += s->run;
		n->wait += s->wait;
		wait += s->wait;
		n->forks += (uint32_t) (s->forks * window / 1e6 * (s->d > 0 ? MIN(1.0, s->run / (s->tasks * window) * 4) : 1));
	}
	full = m->total_run > cap * 0.98;
	m->some = MIN(1.0, wait / (window * m->ncpu));
	if (full)
		m->some = MAX(m->some, 0.3);
	place(m, window);
	if (m->kthread_node >= 0)
		m->nodes[m->kthread_node].cpu_run[0] += m->nodes[m->kthread_node].kthread;
	for (int i = 0; i < m->n_nodes; i++)
		if (m->nodes[i].rt > 0) {
			m->nodes[i].run += m->nodes[i].rt;
			for (int c = 0; c < m->ncpu; c++)
				m->nodes[i].cpu_run[c] += m->nodes[i].rt / m->ncpu;
		}

	/* What people feel. */
	if (m->ssh_set >= 0) {
		double rate = m->sets[m->ssh_set].active ? m->sets[m->ssh_set].pot / window : 1;

		m->login = 350000 / CLAMP(rate / MAX(1, m->sets[m->ssh_set].active), 1e-4, 1.0);
		m->canary_pot = MIN(window, m->sets[m->ssh_set].pot);
		if (m->nodes[m->ssh].active > 1)        /* the canary is alone in its own cgroup */
			m->canary_pot = MIN(window, m->nodes[m->ssh].pot);
	}
	if (m->api_set >= 0) {
		const struct set *a = &m->sets[m->api_set];
		double rate = a->active ? a->pot / window : m->ncpu;

		m->endpoint = (double) a->piece * MAX(1, a->active) / CLAMP(rate, 1e-4, (double) m->ncpu);
	}
	if (canary && m->canary_left > 0)
		m->canary_left -= (int64_t) MIN(m->canary_pot, (double) (now - MAX(m->canary_since, m->last)));
	m->window = window;
	m->last = now;
}

static permyriad_t of(double part, double all)
{
	return all > 0 ? (permyriad_t) CLAMP(part / all * 10000, 0.0, 10000.0) : 0;
}

static void canary_sense(struct machine *m, usec_t now, bool on, struct canary_sample *ret)
{
	*ret = (struct canary_sample) { -1, -1 };
	if (!on) {
		m->canary_left = 0;
		m->canary_next = now;
		return;
	}
	if (m->canary_since && m->canary_left <= 0) {
		double over = (double) -m->canary_left, rate = MAX(m->canary_pot, 1.0) / m->window;

		*ret = (struct canary_sample) { CANARY_CPU, (int32_t) MAX((double) CANARY_CPU, (double) (now - m->canary_since) - over / MIN(rate, 1.0)) };
		m->canary_since = 0;
		m->canary_next = now + CANARY_EVERY;
	} else if (m->canary_since && now - m->canary_since > 4 * CANARY_CPU)
		*ret = (struct canary_sample) { CANARY_CPU, (int32_t) (now - m->canary_since) };
	if (m->canary_since == 0 && now >= m->canary_next) {
		m->canary_since = now;
		m->canary_left = CANARY_CPU;
	}
}

void machine_wide(const struct machine *m, usec_t now, struct machine_sample *x)
{
	bool psi = m->pressure == PRESSURE_PSI;
	int tasks = 200;

	for (int i = 0; i < m->n_nodes; i++)
		if (m->nodes[i].alive)
			tasks += m->nodes[i].pids;
	for (int i = 0; i < m->n_sets; i++)
		if (m->sets[i].alive && now > m->sets[i].from && now <= m->sets[i].until)
			tasks += m->sets[i].tasks;
	x->iowait = m->iowait;
	x->steal = m->steal;
	x->irq = m->irq;
	x->mem_some = psi ? m->mem : -1;
	x->mem_full = psi ? m->mem / 2 : -1;
	x->io_some = psi ? m->io : -1;
	x->io_full = psi ? m->io / 2 : -1;
	x->blocked = m->blocked;
	x->tasks = MIN(tasks, m->tasks_max);
	x->tasks_max = m->tasks_max;
}

void machine_sense(struct machine *m, usec_t now, usec_t window, bool groups, bool canary, struct snapshot *ret)
{
	double all = m->ncpu * (double) window, busy = m->total_run;

	ret->window = window;
	ret->source = groups ? m->source : GROUP_SOURCE_NONE;
	ret->pressure = m->pressure;
	ret->lost = 0;
	ret->n_groups = ret->n_cpu = 0;
	canary_sense(m, now, canary, &ret->canary);
	for (int i = 0; i < m->n_nodes; i++)
		busy += m->nodes[i].rt + m->nodes[i].kthread;
	ret->machine = (struct machine_sample) {
		.ncpu = (uint16_t) m->ncpu,
		.user = of(busy * 0.8, all), .system = of(busy * 0.2, all),
		.cpu_some = m->pressure == PRESSURE_NONE ? -1 : of(m->some * (0.97 + dice_unit(&m->dice) * 0.03), 1),
		.runnable = m->runnable, .sched_ext = m->sched_ext,
	};
	machine_wide(m, now, &ret->machine);
	ret->machine.idle = MAX(0, 10000 - ret->machine.user - ret->machine.system - ret->machine.iowait - ret->machine.steal - ret->machine.irq);
	for (int i = 0; i < m->n_nodes; i++)
		ret->machine.forks += (int32_t) m->nodes[i].forks;
	if (!groups)
		return;

	/* Ascending by id; ids are handed out ascending, slots are reused: sort what is there. */
	for (int i = 0; i < m->n_nodes; i++) {
		const struct node *n = &m->nodes[i];
		struct group_sample *g;
		uint32_t at;

		if (!n->alive || !n->told || (n->run + n->wait + n->kthread < 1 && !n->is_protected && n->throttled < 1))
			continue;
		if (ret->n_groups == MAX_SAMPLES)
			break;
		for (at = ret->n_groups; at > 0 && ret->groups[at - 1].id > n->info.id; at--) {
			ret->groups[at] = ret->groups[at - 1];
			m->sample_node[at] = m->sample_node[at - 1];
		}
		m->sample_node[at] = i;
		g = &ret->groups[at];
		ret->n_groups++;
		*g = (struct group_sample) {
			.id = n->info.id,
			.run_us = (uint32_t) (n->run + n->kthread), .rt_run_us = (uint32_t) n->rt, .kthread_run_us = (uint32_t) n->kthread,
			.wait_us = m->source == GROUP_SOURCE_BPF ? (uint32_t) n->wait : 0,
			.forks = n->forks,
			.psi_some_us = n->is_protected && m->pressure == PRESSURE_PSI ?
				(int32_t) MIN((double) window, n->stall + n->throttled) : -1,
			.throttled_us = n->quota >= 0 || n->is_protected ? (int32_t) n->throttled : -1,
			.pids = n->pids,
		};
		if (m->source != GROUP_SOURCE_BPF)
			continue;
		/* A throttled group's tasks count as waiting. */
		g->wait_us += (uint32_t) (n->throttled > 0 && n->quota0 >= 0 ? n->throttled : 0);
		g->cpu_first = ret->n_cpu;
		for (int c = 0; c < m->ncpu && ret->n_cpu < MAX_CPU_SHARES; c++)
			if (n->cpu_run[c] + n->cpu_wait[c] >= 1) {
				ret->cpu[ret->n_cpu++] = (struct cpu_share) {
					.cpu = (uint16_t) c, .run_us = (uint32_t) n->cpu_run[c], .wait_us = (uint32_t) n->cpu_wait[c] };
				g->cpu_n++;
			}
	}
}

/* Only the pressure is read in calm, but for a wide look now and then. */
void machine_calm(const struct machine *m, usec_t window, permyriad_t some, struct snapshot *ret)
{
	ret->window = window;
	ret->source = GROUP_SOURCE_NONE;
	ret->pressure = m->pressure;
	ret->n_groups = ret->n_cpu = ret->lost = 0;
	ret->canary = (struct canary_sample) { -1, -1 };
	ret->machine = (struct machine_sample) {
		.ncpu = (uint16_t) m->ncpu, .user = -1, .system = -1, .iowait = -1, .steal = -1, .irq = -1, .idle = -1,
		.cpu_some = m->pressure == PRESSURE_NONE ? -1 : some, .mem_some = -1, .mem_full = -1, .io_some = -1, .io_full = -1,
		.runnable = -1, .blocked = -1, .forks = -1, .tasks = -1, .tasks_max = -1,
	};
}

void machine_idle(struct machine *m, usec_t now, struct snapshot *ret)
{
	machine_calm(m, now - m->last, (permyriad_t) (dice_roll(&m->dice) % 300), ret);
	m->login = 350000;
	m->endpoint = 5000;
	m->some = 0;
	m->last = now;
}
