/* SPDX-License-Identifier: Apache-2.0 */
/* load: what runs on the machine
 *
 * A layout like a VM with Docker and a database, in the sizes and flavours that are
 * found, and episodes: runaways, honest work at its peak, and trouble that no squeeze
 * helps against. An episode is a table row: how it begins decides everything, how it
 * ends is the same for all. "As in life" is one normal load (build, backup, upgrade)
 * a day and a runaway or another trouble every four days; dense is one every few
 * minutes. */
#include "sim.h"

#include <string.h>

static int leaf(struct machine *m, int parent, const char *name, usec_t now, const char *comm, int tasks, int64_t rate)
{
	int n = machine_add_node(m, parent, name, now), s;

	if (n < 0)
		return -1;
	s = machine_add_set(m, n, SET_SERVICE, tasks, comm);
	if (s >= 0)
		m->sets[s].rate = rate;
	m->nodes[n].pids = tasks;
	return n;
}

void load_layout(struct machine *m, struct dice *d, int ncpu, usec_t now)
{
	static const struct { const char *unit, *comm; int64_t rate; } services[] = {
		{ "systemd-logind.service", "systemd-logind", 500 }, { "dbus.service", "dbus-daemon", 800 },
		{ "systemd-journald.service", "systemd-journal", 2000 }, { "cron.service", "cron", 200 },
		{ "containerd.service", "containerd", 3000 }, { "docker.service", "dockerd", 3000 },
		{ "amazon-ssm-agent.service", "amazon-ssm-agen", 1000 }, { "chrony.service", "chronyd", 100 },
	};
	static const int cpus[] = { 1, 2, 2, 2, 4, 8, 16 };
	int root, system, user, session, n, containers;
	char name[80];

	m->ncpu = cpus[dice_below(d, ELEMENTSOF(cpus))];
	if (ncpu)
		m->ncpu = ncpu;
	root = machine_add_node(m, -1, "/", 0);
	(void) leaf(m, root, "init.scope", 0, "systemd", 1, 500);
	system = machine_add_node(m, root, "system.slice", 0);
	user = machine_add_node(m, root, "user.slice", 0);
	m->nodes[system].children_ctl = !dice_chance(d, 3000);   /* as on a stock Debian: off */
	for (size_t i = 0; i < ELEMENTSOF(services); i++) {
		n = leaf(m, system, services[i].unit, 0, services[i].comm, 1, services[i].rate);
		m->nodes[n].is_protected = i < 3 || (i >= 4 && i < 7);
	}
	m->ssh = leaf(m, system, "ssh.service", 0, "sshd", 1, 4000);
	m->nodes[m->ssh].is_protected = true;
	m->ssh_set = m->n_sets - 1;
	m->sets[m->ssh_set].keep = true;
	m->db = leaf(m, system, "postgresql.service", 0, "postgres", 8, 20000);
	m->nodes[m->db].is_protected = m->nodes[m->db].useful = true;
	m->api = leaf(m, system, "api.service", 0, "api", 8, 30000);
	m->nodes[m->api].is_protected = m->nodes[m->api].useful = true;
	m->api_set = m->n_sets - 1;
	m->sets[m->api_set].piece = 3000;
	m->sets[m->api_set].keep = true;
	n = leaf(m, system, "reprieved.service", 0, "reprieved", 1, 300);
	m->nodes[n].info.flags |= GROUP_IS_SELF;
	session = machine_add_node(m, user, "user-1000.slice", now);
	m->nodes[session].info.uid = 1000;
	m->user = session;
	n = leaf(m, session, "session-3.scope", now, "bash", 1, 300);
	m->nodes[n].info.uid = 1000;
	containers = (int) dice_range(d, 3, dice_chance(d, 1000) ? 200 : 20);
	for (int i = 0; i < containers; i++) {
		(void) snprintf(name, sizeof(name), "docker-%016lx%016lx.scope", (unsigned long) dice_roll(d), (unsigned long) dice_roll(d));
		n = leaf(m, system, name, now, "app", 2, dice_range(d, 2, 80) * 500 * m->ncpu / containers);  /* together about 2 % */
		(void) snprintf(m->nodes[n].info.name, GROUP_NAME_MAX, "app-%d", i);
		if (dice_chance(d, 1500)) {     /* with a limit of its own */
			m->nodes[n].quota = m->nodes[n].quota0 = m->nodes[n].info.quota_us = 50000;
		}
	}
}

void load_policies(struct policy_set *set, struct dice *d)
{
	static const struct { enum policy_kind kind; const char *name; enum importance as; int weight; usec_t young; int most; bool useful; const char *globs[8]; uint8_t match; } plain[] = {
		{ POLICY_PROTECT, "login", IMPORTANCE_LOGIN, 800, 0, 0, false,
		  { "ssh.service", "sshd.service", "systemd-logind.service", "amazon-ssm-agent.service", "user@*.service" }, MATCH_UNITS },
		{ POLICY_PROTECT, "session", IMPORTANCE_LOGIN, -1, USEC_PER_MIN, 0, false, { "session-*.scope" }, MATCH_UNITS },
		{ POLICY_PROTECT, "system", IMPORTANCE_SYSTEM, 400, 0, 0, false,
		  { "dbus.service", "systemd-journald.service", "containerd.service", "docker.service", "init.scope" }, MATCH_UNITS },
		{ POLICY_PROTECT, "databases", IMPORTANCE_DATABASE, 400, 0, 0, false, { "postgres" }, MATCH_PROCESSES },
		{ POLICY_ENDPOINT, "shop", IMPORTANCE_HEALTH, -1, 0, 0, false, { "api.service" }, MATCH_UNITS },
		{ POLICY_THROTTLE, "everything-else", 0, 0, 0, RUNG_TASKS, false, { "*" }, MATCH_CGROUPS },
	};

	memset(set, 0, sizeof(*set));
	set->settings = SETTINGS_DEFAULT;
	set->settings.mode = MODE_ENFORCE;
	for (size_t i = 0; i < ELEMENTSOF(plain); i++) {
		struct policy *p = &set->policies[set->n_policies++];

		*p = POLICY_INIT;
		p->kind = plain[i].kind;
		(void) snprintf(p->name, sizeof(p->name), "%s", plain[i].name);
		(void) snprintf(p->source, sizeof(p->source), "50-sim.policy:%zu", i + 1);
		p->glob_first = set->n_globs;
		for (const char *const *g = plain[i].globs; *g; g++) {
			set->globs[set->n_globs].kind = plain[i].match;
			(void) snprintf(set->globs[set->n_globs++].text, GLOB_TEXT_MAX, "%s", *g);
			p->glob_n++;
		}
		if (p->kind == POLICY_PROTECT) {
			p->as = plain[i].as;
			p->weight = plain[i].weight;
			if (plain[i].young)
				p->for_first = plain[i].young;
		} else if (p->kind == POLICY_ENDPOINT) {
			p->as = IMPORTANCE_HEALTH;
			(void) snprintf(p->url, sizeof(p->url), "http://127.0.0.1:8080/health");
		} else
			p->most = plain[i].most;
		if (d && p->kind == POLICY_THROTTLE) {
			p->wait = (permyriad_t) dice_range(d, 2, 8) * 1000;
			p->wait_for = (usec_t) dice_range(d, 0, 20) * 100 * USEC_PER_MSEC;
			p->min_share = (permyriad_t) dice_range(d, 5, 60) * 100;
			p->at_most = (usec_t) dice_range(d, 1, 60) * USEC_PER_MIN / (dice_chance(d, 2000) ? 6 : 1);
			p->most = (enum rung) dice_range(d, RUNG_WEIGHT, RUNG_KILL);
			p->useful = dice_chance(d, 1000) && p->most <= RUNG_TASKS;
		}
		policy_defaults(p);
	}
	if (d) {
		struct settings *s = &set->settings;

		s->mode = (enum mode) dice_below(d, _MODE_MAX);
		s->rescue_login = (usec_t) dice_range(d, 2, 10) * USEC_PER_SEC;
		s->rescue_for = (usec_t) dice_range(d, 2, 60) * USEC_PER_SEC;
		s->rescue_share = (permyriad_t) dice_range(d, 10, 50) * 100;
		s->rescue_at_most = (usec_t) dice_range(d, 1, 15) * USEC_PER_MIN;
		s->alarm = (permyriad_t) dice_range(d, 5, 20) * 100;
	}
}

static int hogs(struct machine *m, struct episode *e, int node, enum set_kind kind, int tasks, const char *comm, usec_t now)
{
	int s = node >= 0 && e->n_sets < (int) ELEMENTSOF(e->sets) ? machine_add_set(m, node, kind, tasks, comm) : -1;

	if (s < 0)
		return -1;
	m->sets[s].from = now;
	e->set_pid[e->n_sets] = m->sets[s].pid;
	e->sets[e->n_sets++] = s;
	m->nodes[node].pids += tasks;
	return s;
}

static int fresh(struct machine *m, struct episode *e, int parent, const char *name, usec_t now)
{
	int n = e->n_nodes < (int) ELEMENTSOF(e->nodes) ? machine_add_node(m, parent, name, now) : -1;

	if (n >= 0) {
		e->node_id[e->n_nodes] = m->nodes[n].info.id;
		e->nodes[e->n_nodes++] = n;
	}
	return n;
}

static int slice_of(const struct machine *m)
{
	return m->nodes[m->ssh].parent;
}

static void begin_siblings(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	int n = m->few_siblings ? m->few_siblings : (int) dice_range(d, 24, 64);
	char name[96];

	for (int i = 0; i < n; i++) {
		(void) snprintf(name, sizeof(name), "docker-%012lx%052d.scope", (unsigned long) (dice_roll(d) >> 16), i);
		(void) hogs(m, e, fresh(m, e, slice_of(m), name, now), SET_HOG, m->ncpu, "burn", now);
	}
}

static void begin_inside(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	(void) hogs(m, e, m->ssh, SET_HOG, 32 * m->ncpu, "burn", now);
}

/* One cgroup among others would harm nobody: either tasks compete one by one, or
 * there are many of them. */
static void churn(struct machine *m, struct episode *e, int parents, uint32_t forks, usec_t now)
{
	int groups = m->nodes[slice_of(m)].children_ctl ? 32 : 1;
	char name[32];

	for (int i = 0; i < groups; i++) {
		int s;

		(void) snprintf(name, sizeof(name), "churn-%d.service", i);
		s = hogs(m, e, fresh(m, e, slice_of(m), name, now), SET_HOG, MAX(m->ncpu, parents / groups), "sh", now);
		if (s >= 0)
			m->sets[s].forks = forks / (uint32_t) groups;
	}
}

static void begin_churn(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	churn(m, e, 64, 15000, now);
}

static void begin_bomb(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	churn(m, e, 100, 8000, now);
}

static void begin_api_wild(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	(void) hogs(m, e, m->api, SET_HOG, 16 * m->ncpu, "api-worker", now);
}

static void begin_realtime(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	(void) hogs(m, e, fresh(m, e, slice_of(m), "audio.service", now), SET_REALTIME, m->ncpu, "fifo", now);
}

static void begin_peak(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	int s = hogs(m, e, m->api, SET_API, 4 * m->ncpu, "api", now);

	if (s >= 0)
		m->sets[s].piece = 3000;
	(void) hogs(m, e, m->db, SET_API, 2 * m->ncpu, "postgres", now);
}

static void begin_build(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	int s = hogs(m, e, fresh(m, e, m->user, "session-9.scope", now), SET_HOG, m->ncpu + 2, "cc1", now);

	if (s >= 0)
		m->sets[s].forks = 60;
}

static void begin_backup(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	(void) hogs(m, e, fresh(m, e, slice_of(m), "backup.service", now), SET_HOG, 2, "zstd", now);
	m->io = 1500;
	m->iowait = 800;
}

static void begin_apt(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	int s = hogs(m, e, fresh(m, e, slice_of(m), "apt-daily-upgrade.service", now), SET_SERVICE, 2, "dpkg", now);

	if (s >= 0) {
		m->sets[s].rate = 900000;
		m->sets[s].forks = 80;
	}
	m->io = 2500;
}

static void begin_logrotate(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	(void) hogs(m, e, fresh(m, e, slice_of(m), "logrotate.service", now), SET_HOG, 1, "gzip", now);
}

static void begin_big_hog(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	(void) hogs(m, e, fresh(m, e, slice_of(m), "batch.service", now), SET_HOG, 64 * m->ncpu, "batch", now);
}

static void begin_overload(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	int n = 0;

	for (int i = 0; i < m->n_nodes && n < 60; i++)
		if (m->nodes[i].alive && m->nodes[i].parent == slice_of(m) && !m->nodes[i].is_protected &&
		    !(m->nodes[i].info.flags & GROUP_IS_SELF) && m->nodes[i].first_child < 0) {
			(void) hogs(m, e, i, SET_API, 3, "worker", now);
			m->nodes[i].useful = true;
			n++;
		}
}

static void begin_steal(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	m->steal = (permyriad_t) dice_range(d, 4000, 9000);
	(void) hogs(m, e, m->api, SET_API, 2 * m->ncpu, "api", now);
}

static void begin_irq(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	m->irq = (permyriad_t) dice_range(d, 6000, 9000);
	(void) hogs(m, e, m->api, SET_API, m->ncpu, "api", now);
}

static void begin_blocked(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	m->io = 9000;
	m->mem = 4000;
	m->iowait = 5000;
	m->blocked = 40;
}

/* From its own dice: the others' are not to depend on it. */
static void begin_stall(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	struct dice own = { .s = now };

	switch (dice_below(&own, 5)) {
	case 0: m->io = (permyriad_t) dice_range(&own, 3000, 9800); m->iowait = m->io / 2; break;
	case 1: m->mem = (permyriad_t) dice_range(&own, 1000, 9000); break;
	case 2: m->steal = (permyriad_t) dice_range(&own, 200, 5000); break;
	case 3: m->irq = (permyriad_t) dice_range(&own, 500, 5000); break;
	default: m->blocked = (int) dice_range(&own, 4, 80); break;
	}
}

static void begin_kthread(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	m->kthread_node = 0;
	m->kthread = 0.9 * m->ncpu;
}

static void begin_own_limit(struct machine *m, struct episode *e, struct dice *d, usec_t now)
{
	struct node *n = &m->nodes[m->api];

	if (n->quota < 0) {
		n->quota = n->quota0 = n->info.quota_us = 20000;
		n->told = false;
	}
	(void) hogs(m, e, m->api, SET_API, 4, "api", now);
}

static const struct {
	const char *name;
	bool culprit;
	int seconds_min, seconds_max;
	void (*begin)(struct machine *, struct episode *, struct dice *, usec_t);
} kinds[_EPISODE_MAX] = {
	[EPISODE_SIBLINGS]  = { "siblings", true, 60, 900, begin_siblings },
	[EPISODE_INSIDE]    = { "inside", true, 60, 600, begin_inside },
	[EPISODE_CHURN]     = { "churn", true, 60, 600, begin_churn },
	[EPISODE_BOMB]      = { "bomb", true, 60, 300, begin_bomb },
	[EPISODE_API_WILD]  = { "api-wild", true, 60, 600, begin_api_wild },
	[EPISODE_REALTIME]  = { "realtime", true, 60, 300, begin_realtime },
	[EPISODE_PEAK]      = { "peak", false, 120, 1800, begin_peak },
	[EPISODE_BUILD]     = { "build", false, 60, 300, begin_build },
	[EPISODE_BACKUP]    = { "backup", false, 60, 400, begin_backup },
	[EPISODE_APT]       = { "apt", false, 30, 120, begin_apt },
	[EPISODE_LOGROTATE] = { "logrotate", false, 5, 30, begin_logrotate },
	[EPISODE_BIG_HOG]   = { "big-hog", false, 60, 600, begin_big_hog },
	[EPISODE_OVERLOAD]  = { "overload", true, 60, 900, begin_overload },
	[EPISODE_STEAL]     = { "steal", false, 60, 600, begin_steal },
	[EPISODE_IRQ]       = { "irq", false, 60, 300, begin_irq },
	[EPISODE_BLOCKED]   = { "blocked", false, 60, 300, begin_blocked },
	[EPISODE_KTHREAD]   = { "kthread", false, 60, 300, begin_kthread },
	[EPISODE_OWN_LIMIT] = { "own-limit", false, 60, 600, begin_own_limit },
	[EPISODE_STALL]     = { "stall", false, 2, 300, begin_stall },
};

const char *episode_name(enum episode_kind kind)
{
	return kinds[kind].name;
}

bool episode_is_culprit(enum episode_kind kind)
{
	return kinds[kind].culprit;
}

static void end_episode(struct machine *m, struct episode *e)
{
	switch (e->kind) {
	case EPISODE_STEAL: m->steal = 0; break;
	case EPISODE_IRQ: m->irq = 0; break;
	case EPISODE_BLOCKED: m->io = m->mem = m->iowait = 0; m->blocked = 0; break;
	case EPISODE_STALL: m->io = m->mem = m->iowait = m->steal = m->irq = 0; m->blocked = 0; break;
	case EPISODE_KTHREAD: m->kthread_node = -1; break;
	case EPISODE_BACKUP:
	case EPISODE_APT: m->io = m->iowait = 0; break;
	case EPISODE_BOMB: break;
	default: break;
	}
	for (int i = 0; i < e->n_sets; i++) {
		struct set *s = &m->sets[e->sets[i]];

		if (s->alive && s->pid == e->set_pid[i]) {
			m->nodes[s->node].pids -= s->tasks;
			s->alive = false;
		}
	}
	for (int i = 0; i < e->n_nodes; i++)
		if (m->nodes[e->nodes[i]].alive && m->nodes[e->nodes[i]].info.id == e->node_id[i])
			machine_remove_node(m, e->nodes[i]);
	e->n_sets = e->n_nodes = 0;
	e->on = false;
}

void load_add(struct load *l, enum episode_kind kind, usec_t from, usec_t until)
{
	if (l->n < SIM_PLANS)
		l->plan[l->n++] = (struct episode) { .kind = kind, .from = from, .until = until };
}

/* Wherever they fall. */
static void plan_stalls(struct load *l, uint64_t seed, usec_t from, usec_t until, int n)
{
	struct dice d = { .s = ~seed };

	for (int i = 0; i < n; i++) {
		usec_t at = from + dice_below(&d, until - from);

		load_add(l, EPISODE_STALL, at, at + (usec_t) dice_range(&d, kinds[EPISODE_STALL].seconds_min, kinds[EPISODE_STALL].seconds_max) * USEC_PER_SEC);
	}
}

void load_plan(struct load *l, uint64_t seed, usec_t from, usec_t until, bool dense)
{
	static const enum episode_kind harmless[] = { EPISODE_BUILD, EPISODE_BACKUP, EPISODE_APT, EPISODE_LOGROTATE };
	usec_t at = from;

	l->dice.s = seed;
	plan_stalls(l, seed, from, until, dense ? 8 : 1);
	for (;;) {
		enum episode_kind kind;
		usec_t gap = dense ? (usec_t) dice_range(&l->dice, 20, 1500) * USEC_PER_SEC : (usec_t) dice_range(&l->dice, 0, 38 * 3600) * USEC_PER_SEC;

		if (dense || dice_chance(&l->dice, 2000))
			kind = (enum episode_kind) dice_below(&l->dice, EPISODE_STALL);
		else
			kind = harmless[dice_below(&l->dice, ELEMENTSOF(harmless))];
		at += gap;
		if (at >= until || l->n == SIM_PLANS)
			return;
		load_add(l, kind, at, at + (usec_t) dice_range(&l->dice, kinds[kind].seconds_min, kinds[kind].seconds_max) * USEC_PER_SEC);
		if (dense && dice_chance(&l->dice, 7000))
			at = l->plan[l->n - 1].until;
	}
}

void load_run(struct load *l, struct machine *m, usec_t now)
{
	bool busy = false;

	for (int i = 0; i < l->n; i++) {
		struct episode *e = &l->plan[i];

		if (!e->on && e->from <= now && now < e->until) {
			e->on = true;
			kinds[e->kind].begin(m, e, &l->dice, now);
		} else if (e->on && now >= e->until)
			end_episode(m, e);
		busy |= e->on && e->kind != EPISODE_STALL;
		if (e->on && e->kind == EPISODE_BOMB && e->n_sets)      /* the table fills up, unless pids.max is in the way */
			for (int k = 0; k < e->n_nodes; k++) {
				struct node *n = &m->nodes[e->nodes[k]];

				if (n->alive && n->info.id == e->node_id[k] && !n->frozen && (n->pids_max < 0 || n->pids < n->pids_max))
					n->pids = MIN(n->pids + 40, m->tasks_max - 500);
			}
	}
	m->busy = busy;
}

usec_t load_next(const struct load *l, usec_t now)
{
	usec_t next = USEC_INFINITY;

	for (int i = 0; i < l->n; i++) {
		usec_t t = l->plan[i].on ? l->plan[i].until : l->plan[i].from > now ? l->plan[i].from : USEC_INFINITY;

		next = MIN(next, t);
	}
	return next;
}
