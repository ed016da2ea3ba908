/* SPDX-License-Identifier: Apache-2.0 */
/* stories: what the product promises, as outcomes on the model
 *
 * Invariants say what must never happen; these say what must: each of the three
 * runaways is relieved within a bounded time in enforce and in rescue, honest work
 * at its peak and normal loads are left alone, the right one of 200 cgroups is
 * named, a steady overload comes to rest. Seeds that once broke a law are kept
 * here by name. */
#include <stdlib.h>
#include <string.h>

#include "conf/policies.h"
#include "sim.h"

#define SEC USEC_PER_SEC

struct story {
	struct sim *s;
	bool verbose, quick;
	char why[300];
};

static bool wrong(struct story *st, const char *format, ...) _printf_(2, 3);
static bool wrong(struct story *st, const char *format, ...)
{
	__builtin_va_list ap;

	__builtin_va_start(ap, format);
	(void) vsnprintf(st->why, sizeof(st->why), format, ap);
	__builtin_va_end(ap);
	return false;
}

/* The policies that are installed; read from the source tree. NULL: those of load.c. */
static const struct policy_set *installed;

static bool with_installed(struct story *st, bool (*run)(struct story *))
{
	static struct policy_set set;
	struct conf *c = conf_new();
	bool ok = c && conf_load_path(c, "policies", NULL, &set) == 0;

	(void) conf_free(c);
	if (!ok)
		return wrong(st, "./policies cannot be read; run this in the source tree");
	installed = &set;
	ok = run(st);
	installed = NULL;
	return ok;
}

/* A machine of this many CPUs on which one thing happens, 60 s after it has begun. */
static struct sim *machine(struct story *st, uint64_t seed, int ncpu, enum mode mode, enum episode_kind kind, usec_t lasts)
{
	struct sim *s = st->s = sim_new(seed, ncpu);

	if (installed)
		s->set = *installed;
	s->set.settings.mode = mode;
	for (int i = 1; i < s->m.n_nodes; i++) {
		s->m.nodes[i].ctl = s->m.nodes[i].children_ctl = true;
		s->m.nodes[i].info.flags |= GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA | GROUP_CAN_IDLE;
	}
	load_add(&s->load, kind, s->start + 60 * SEC, s->start + 60 * SEC + lasts);
	if (st->verbose)
		s->log = stdout;
	return s;
}

static bool ran_well(struct story *st)
{
	return st->s->check.failed[0] ? wrong(st, "%.280s", st->s->check.failed) : true;
}

/* How long until a login takes less than `most` for 3 s on end, from the onset on; -1: not within `within`. */
static double relieved_after(struct sim *s, double most, usec_t within, double *ret_worst)
{
	usec_t onset = s->start + 60 * SEC, good = 0;

	for (usec_t t = onset + 100000; t <= onset + within + 3 * SEC && !s->check.failed[0]; t += 100000) {
		sim_run(s, t);
		*ret_worst = MAX(*ret_worst, s->m.login);
		if (s->m.login > most)
			good = 0;
		else if (good == 0)
			good = t;
		else if (t - good >= 3 * SEC)
			return (double) (good - onset) / 1e6;
	}
	return -1;
}

static double quota_lag = 8000, jitter;

static bool relieved(struct story *st, enum mode mode, enum episode_kind kind, double weight_works, usec_t within)
{
	double worst_login = 0, needs = mode == MODE_RESCUE ? 5500000 : 3 * 350000;
	int proven = 0;

	for (uint64_t seed = 1; seed <= (st->quick ? 3 : 12); seed++) {
		struct sim *s = machine(st, seed, mode == MODE_RESCUE ? 1 + (int) (seed % 2) : 2 + 2 * (int) (seed % 2), mode, kind, 300 * SEC);
		double after;

		s->m.weight_works = weight_works;
		s->m.quota_lag = quota_lag;
		s->m.jitter = jitter;
		for (int i = 0; i < s->set.n_policies; i++)     /* with the lifeline there would be little harm */
			s->set.policies[i].weight = -1;
		sim_begin(s);
		sim_run(s, s->start + 60 * SEC);
		worst_login = 0;
		after = relieved_after(s, (mode == MODE_RESCUE ? 3.5 : 1.5) * 350000, within, &worst_login);
		if (!ran_well(st))
			return false;
		if (worst_login < needs) {      /* without harm it proves nothing */
			st->s = sim_free(s);
			continue;
		}
		proven++;
		if (after < 0)
			return wrong(st, "seed %lu: a login takes %.2f s (at first %.2f s) after %.0f s; %d squeezed", (unsigned long) seed,
				     s->m.login / 1e6, worst_login / 1e6, (double) within / 1e6, sim_n_squeezed(s));
		/* And it is put back when the runaway has ended. */
		sim_run(s, s->start + 360 * SEC + 400 * SEC);
		if (!ran_well(st))
			return false;
		if (sim_n_squeezed(s))
			return wrong(st, "seed %lu: %d still squeezed 400 s after it ended", (unsigned long) seed, sim_n_squeezed(s));
		st->s = sim_free(s);
	}
	return proven >= (st->quick ? 1 : 4) ? true : wrong(st, "only %d seeds had harm: this proves nothing", proven);
}

#define RELIEVED(name, mode, kind, works, within) \
	static bool name(struct story *st) { return relieved(st, mode, kind, works, within); }
RELIEVED(siblings_enforce, MODE_ENFORCE, EPISODE_SIBLINGS, 1, 3 * SEC)
RELIEVED(siblings_enforce_no_weights, MODE_ENFORCE, EPISODE_SIBLINGS, 0, 5 * SEC)
RELIEVED(siblings_rescue, MODE_RESCUE, EPISODE_SIBLINGS, 1, 30 * SEC)
RELIEVED(siblings_rescue_no_weights, MODE_RESCUE, EPISODE_SIBLINGS, 0, 32 * SEC)
RELIEVED(inside_enforce, MODE_ENFORCE, EPISODE_INSIDE, 1, 10 * SEC)
RELIEVED(inside_rescue, MODE_RESCUE, EPISODE_INSIDE, 1, 40 * SEC)
RELIEVED(churn_enforce, MODE_ENFORCE, EPISODE_CHURN, 1, 5 * SEC)
RELIEVED(churn_rescue, MODE_RESCUE, EPISODE_CHURN, 1, 32 * SEC)

static bool slow_guest(struct story *st)
{
	bool ok;

	quota_lag = 700000;
	jitter = 8000;
	ok = relieved(st, MODE_ENFORCE, EPISODE_SIBLINGS, 1, 8 * SEC) && relieved(st, MODE_RESCUE, EPISODE_SIBLINGS, 0, 40 * SEC);
	quota_lag = 8000;
	jitter = 0;
	return ok;
}

/* Nothing may be squeezed while this load runs. */
static bool left_alone(struct story *st, enum episode_kind kind, bool any_mode)
{
	for (int mode = any_mode ? MODE_OBSERVE : MODE_ENFORCE; mode < _MODE_MAX; mode++)
		for (uint64_t seed = 1; seed <= (st->quick ? 1 : 6); seed++) {
			struct sim *s = machine(st, seed, seed % 3 == 0 ? 4 : 2, (enum mode) mode, kind, 600 * SEC);

			sim_begin(s);
			sim_run(s, s->start + 700 * SEC);
			if (!ran_well(st))
				return false;
			if (s->n_squeezes)
				return wrong(st, "seed %lu in %s: %lu squeezes", (unsigned long) seed, mode_to_string((enum mode) mode), (unsigned long) s->n_squeezes);
			st->s = sim_free(s);
		}
	return true;
}

/* A build while small services wait a few ms for next to nothing, as on a slow guest. */
static bool noise_alone(struct story *st)
{
	for (int mode = MODE_RESCUE; mode < _MODE_MAX; mode++)
		for (uint64_t seed = 1; seed <= (st->quick ? 1 : 6); seed++) {
			struct sim *s = machine(st, seed, 2, (enum mode) mode, seed % 2 ? EPISODE_LOGROTATE : EPISODE_BUILD, 300 * SEC);

			s->m.jitter = 12000;
			sim_begin(s);
			sim_run(s, s->start + 400 * SEC);
			if (!ran_well(st))
				return false;
			if (s->n_squeezes)
				return wrong(st, "seed %lu in %s: %lu squeezes", (unsigned long) seed, mode_to_string((enum mode) mode), (unsigned long) s->n_squeezes);
			st->s = sim_free(s);
		}
	return true;
}

#define LEFT_ALONE(name, kind) static bool name(struct story *st) { return left_alone(st, kind, true); }
LEFT_ALONE(peak_alone, EPISODE_PEAK)
LEFT_ALONE(build_alone, EPISODE_BUILD)
LEFT_ALONE(backup_alone, EPISODE_BACKUP)
LEFT_ALONE(apt_alone, EPISODE_APT)
LEFT_ALONE(logrotate_alone, EPISODE_LOGROTATE)
LEFT_ALONE(big_hog_alone, EPISODE_BIG_HOG)
LEFT_ALONE(steal_alone, EPISODE_STEAL)
LEFT_ALONE(irq_alone, EPISODE_IRQ)
LEFT_ALONE(blocked_alone, EPISODE_BLOCKED)
LEFT_ALONE(kthread_alone, EPISODE_KTHREAD)
LEFT_ALONE(own_limit_alone, EPISODE_OWN_LIMIT)

static bool installed_relieve(struct story *st)
{
	return siblings_rescue_no_weights(st) && inside_enforce(st) && (st->quick || (siblings_enforce(st) && churn_rescue(st)));
}

static bool installed_alone(struct story *st)
{
	return peak_alone(st) && noise_alone(st) && (st->quick || (build_alone(st) && backup_alone(st) && steal_alone(st)));
}

static bool installed_relieves(struct story *st) { return with_installed(st, installed_relieve); }
static bool installed_leaves_alone(struct story *st) { return with_installed(st, installed_alone); }

/* ---- who is named ---- */
static uint64_t first_named;

static void note_first(struct sim *s, const struct action *a)
{
	if (first_named == 0 && a->verb >= VERB_WEIGHT && a->verb <= VERB_TASKS_OTHER)
		first_named = a->group;
}

/* 200 cgroups; decoys in slices of their own use more CPU than the culprit and harm nobody
 * more than it does: the culprit's hogs sit beside the victim, at a high weight. */
static bool attribution(struct story *st)
{
	int right = 0, of = st->quick ? 10 : 100;

	for (uint64_t seed = 1; seed <= (uint64_t) of; seed++) {
		struct sim *s = machine(st, seed, 8, MODE_ENFORCE, EPISODE_LOGROTATE, SEC);
		int culprit = -1, slice = machine_add_node(&s->m, 0, "batch.slice", s->start);
		char name[32];

		s->load.n = 0;
		for (int i = 0; i < s->set.n_policies; i++)
			s->set.policies[i].weight = -1;
		s->m.nodes[slice].weight = s->m.nodes[slice].weight0 = 20;
		for (int i = 0; i < 170; i++) {
			bool decoy = i % 2;
			int n, set;

			(void) snprintf(name, sizeof(name), "job-%d.service", i);
			n = machine_add_node(&s->m, decoy ? slice : s->m.nodes[s->m.ssh].parent, name, s->start);
			set = machine_add_set(&s->m, n, SET_SERVICE, 1, "job");
			s->m.sets[set].rate = decoy ? 60000 : dice_range(&s->dice, 500, 3000);
			if (!decoy && culprit < 0 && (dice_chance(&s->dice, 1500) || i >= 168)) {
				culprit = n;
				set = machine_add_set(&s->m, n, SET_HOG, 64, "runaway");
				s->m.sets[set].from = s->start + 60 * SEC;
				s->m.nodes[n].weight = s->m.nodes[n].weight0 = s->m.nodes[n].info.weight = 10000;
			}
		}
		s->m.busy = true;
		first_named = 0;
		s->on_action = note_first;
		sim_begin(s);
		s->load.plan[0] = (struct episode) { .kind = EPISODE_LOGROTATE, .from = s->start, .until = s->start + 3600 * SEC, .on = true };
		s->load.n = 1;
		sim_run(s, s->start + 70 * SEC);
		if (!ran_well(st))
			return false;
		if (culprit >= 0 && first_named == s->m.nodes[culprit].info.id)
			right++;
		else if (st->verbose)
			printf("seed %lu: named %lu, was %lu, login %.2f\n", (unsigned long) seed, (unsigned long) first_named,
			       culprit >= 0 ? (unsigned long) s->m.nodes[culprit].info.id : 0, s->m.login / 1e6);
		st->s = sim_free(s);
	}
	return right * 100 >= of * 99 ? true : wrong(st, "%d of %d right", right, of);
}

/* ---- coming to rest ---- */
static unsigned writes;

static void count_writes(struct sim *s, const struct action *a)
{
	if (a->verb == VERB_QUOTA || a->verb == VERB_WEIGHT || a->verb == VERB_RELEASE)
		writes++;
}

/* Ten minutes of a steady overload: few changes after the first minute, and logins stay good. */
static bool steady(struct story *st)
{
	for (uint64_t seed = 1; seed <= (st->quick ? 1 : 4); seed++) {
		struct sim *s = machine(st, seed, 2, MODE_ENFORCE, EPISODE_SIBLINGS, 700 * SEC);
		unsigned n = 0, bad = 0, groups;

		s->m.weight_works = seed % 2;
		for (int i = 0; i < s->set.n_policies; i++)
			s->set.policies[i].weight = -1;
		s->on_action = count_writes;
		sim_begin(s);
		sim_run(s, s->start + 120 * SEC);
		groups = (unsigned) MAX(1, s->load.plan[0].n_nodes);
		writes = 0;
		for (usec_t t = 0; t < 600 * SEC; t += SEC / 2) {
			sim_run(s, s->start + 120 * SEC + t);
			bad += s->m.login > 1600000;    /* the policy's 75 % are four times an idle one's */
			n++;
		}
		if (!ran_well(st))
			return false;
		/* Growth and back-off touch each group a few times a try; a try every half minute at first. */
		if (writes > groups * 60)
			return wrong(st, "seed %lu: %u writes on %u cgroups in ten minutes: it oscillates", (unsigned long) seed, writes, groups);
		if (bad * 100 > n * 5)
			return wrong(st, "seed %lu: logins were bad for %u%% of ten minutes", (unsigned long) seed, bad * 100 / n);
		st->s = sim_free(s);
	}
	return true;
}

/* The API that runs wild also answers the health check: the answer comes back. */
static bool api_wild(struct story *st)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct sim *s = machine(st, seed, 2, MODE_ENFORCE, EPISODE_API_WILD, 300 * SEC);
		double before;

		s->m.sets[s->m.api_set].piece = 60000;
		sim_begin(s);
		sim_run(s, s->start + 61 * SEC);
		before = s->m.endpoint;
		sim_run(s, s->start + 90 * SEC);
		if (!ran_well(st))
			return false;
		if (before < 600000)
			return wrong(st, "seed %lu: the endpoint takes %.1f ms: no harm, so this proves nothing", (unsigned long) seed, before / 1e3);
		if (s->m.endpoint > before / 3)
			return wrong(st, "seed %lu: the endpoint takes %.1f ms, before %.1f ms", (unsigned long) seed, s->m.endpoint / 1e3, before / 1e3);
		st->s = sim_free(s);
	}
	return true;
}

/* Seeds that once broke a law: kept. */
static const struct { uint64_t seed; double hours; bool dense; const char *what; } found[] = {
	{ 7, 24, false, "not calm long after a pause had ended" },
	{ 8, 2, true, "a quota written twice within a second" },
	{ 16, 2, true, "the same" },
	{ 63, 1, true, "a failed write left the others below the floor" },
	{ 65, 1, true, "a quota written twice within a second" },
	{ 95, 1, true, "a group's own limit left the others below the floor" },
	{ 123, 1, true, "the floor while groups go" },
	{ 240, 2, true, "culprits let go as if they wanted nothing" },
	{ 300, 2, true, "bystanders of a pattern, squeezed again and again" },
	{ 562, 2, true, "one that comes and goes, squeezed again and again" },
	{ 1050, 1, true, "growth, release and relapse within a second" },
	{ 3054, 1, true, "cut on and on while kernel threads were to blame" },
	{ 6001, 1, true, "tasks of the container runtime lowered" },
	{ 9074, 1, true, "the back-off forgotten when AtMost ran out" },
	{ 10139, 1, true, "a ranking answered after the machine had slept" },
	{ 10147, 1, true, "a bystander with a thousandth of the blame" },
	{ 12067, 1, true, "a release of everything in calm" },
};

static bool found_seeds(struct story *st)
{
	for (size_t i = 0; i < ELEMENTSOF(found); i += st->quick ? 6 : 1) {
		struct sim *s = st->s = sim_new(found[i].seed, 0);

		sim_random(s, found[i].hours, found[i].dense);
		sim_run(s, s->end);
		if (s->check.failed[0])
			return wrong(st, "seed %lu (%s): %.200s", (unsigned long) found[i].seed, found[i].what, s->check.failed);
		st->s = sim_free(s);
	}
	return true;
}

static const struct { const char *name; bool (*run)(struct story *); const char *says; } stories[] = {
	{ "siblings-enforce", siblings_enforce, "64 sibling cgroups of hogs: logins are well within 3 s" },
	{ "siblings-enforce-no-weights", siblings_enforce_no_weights, "... where weights do nothing, within 5 s" },
	{ "siblings-rescue", siblings_rescue, "... in rescue mode within 30 s" },
	{ "siblings-rescue-no-weights", siblings_rescue_no_weights, "... where weights do nothing, within 32 s" },
	{ "inside-enforce", inside_enforce, "hogs inside sshd's own cgroup: logins are well within 10 s" },
	{ "inside-rescue", inside_rescue, "... in rescue mode within 40 s" },
	{ "churn-enforce", churn_enforce, "fork churn: logins are well within 5 s" },
	{ "churn-rescue", churn_rescue, "... in rescue mode within 32 s" },
	{ "api-wild", api_wild, "the API runs wild: its health check answers again" },
	{ "peak-alone", peak_alone, "an API and its database at their peak are left alone in every mode" },
	{ "build-alone", build_alone, "a parallel build is left alone" },
	{ "backup-alone", backup_alone, "a backup is left alone" },
	{ "apt-alone", apt_alone, "a package upgrade is left alone" },
	{ "logrotate-alone", logrotate_alone, "log rotation is left alone" },
	{ "noise-alone", noise_alone, "small services that wait for next to nothing are no harm" },
	{ "slow-guest", slow_guest, "a guest on which a quota takes most of a second to bite: relieved, and not undone as without effect" },
	{ "big-hog-alone", big_hog_alone, "one cgroup of many hogs that harms nobody is left alone" },
	{ "steal-alone", steal_alone, "stolen CPU time leads to no squeeze" },
	{ "irq-alone", irq_alone, "a softirq storm leads to no squeeze" },
	{ "blocked-alone", blocked_alone, "tasks in D state lead to no squeeze" },
	{ "kthread-alone", kthread_alone, "kernel threads lead to no squeeze" },
	{ "own-limit-alone", own_limit_alone, "a victim of its own limit leads to no squeeze" },
	{ "installed-relieve", installed_relieves, "the installed policies relieve the same runaways" },
	{ "installed-alone", installed_leaves_alone, "... and leave the same loads alone" },
	{ "attribution", attribution, "the right one of 200 cgroups is named first in 99 of 100" },
	{ "steady", steady, "ten minutes of steady overload without oscillation" },
	{ "found-seeds", found_seeds, "seeds that once broke a law" },
};

int stories_run(const char *only, bool quick, bool verbose)
{
	int failed = 0, n = 0;

	for (size_t i = 0; i < ELEMENTSOF(stories); i++) {
		struct story st = { .verbose = verbose && only, .quick = quick };
		bool ok;

		if (only && strcmp(only, stories[i].name) != 0)
			continue;
		ok = stories[i].run(&st);
		printf("%sok %d - sim %s: %s%s%s\n", ok ? "" : "not ", ++n, stories[i].name, stories[i].says, ok ? "" : ": ", st.why);
		failed += !ok;
		(void) sim_free(st.s);
	}
	return n == 0 ? 1 : failed;
}
