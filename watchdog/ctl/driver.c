/* SPDX-License-Identifier: Apache-2.0 */
/* driver: events in, actions out, results back in.
 *
 * One rule keeps this simple: engine_step() is never called from within itself. What
 * an action yields at once (a cgroup write) is put into a queue of results, and the
 * queue is emptied after all actions of the step were carried out; what it yields
 * later (the steward's answer) comes by the loop. The engine names the deadline for
 * the ones that never come. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "core/explain.h"
#include "ctl/drift.h"
#include "ctl/driver.h"
#include "ctl/lifelines.h"
#include "ctl/remind.h"
#include "sys/log.h"

static int on_tick(struct loop *l, struct loop_timer *t, void *data);
static int on_deadline(struct loop *l, struct loop_timer *t, void *data);
static int on_pending(struct loop *l, struct loop_timer *t, void *data);

static void push_result(struct driver *d, const struct result *r)
{
	if (d->n_results < MAX_INFLIGHT) {
		d->results[(d->result_at + d->n_results++) % MAX_INFLIGHT] = *r;
		return;
	}
	if (!d->said_results)
		log_error("more than %d actions were answered at once; the rest counts as not answered in time", MAX_INFLIGHT);
	d->said_results = true;
}

static void protect_again(struct driver *d)
{
	uint64_t ids[SAMPLER_PROTECTED_MAX];
	unsigned n = 0;

	d->groups_changed = false;
	/* The most important first: beyond the bound the rest is seen by the probe only. */
	for (int as = IMPORTANCE_LOGIN; as < IMPORTANCE_NONE; as++)
		for (uint32_t i = 0;; i++) {
			const struct group_info *g = engine_group_at(d->engine, i);

			if (g == NULL)
				break;
			if (n < SAMPLER_PROTECTED_MAX && (int)engine_importance(d->engine, g->id) == as)
				ids[n++] = g->id;
		}
	if (d->sampler != NULL)
		sampler_protect(d->sampler, ids, n);
}

static void say(struct driver *d, const struct action *a)
{
	char line[EXPLAIN_MAX];
	struct engine_view *v;
	static struct engine_view view;
	int level = a->reason.why == WHY_FAILED || a->reason.why == WHY_YIELD || a->reason.why == WHY_INCIDENT_OPEN || a->reason.why == WHY_JOURNAL ? LOG_WARNING :
		    a->reason.why == WHY_ALARM || a->reason.why == WHY_CALM ? LOG_INFO : LOG_NOTICE;

	engine_view(d->engine, v = &view);
	explain_action(d->engine, a, line, sizeof(line));
	why_log_add(&d->why, loop_now(d->loop), v->incident, a, line);
	log_write(level, NULL, "%s", line);
}

static void carry_rank(struct driver *d, const struct action *a, const struct group_info *g)
{
	struct result r = { .action = a->id, .status = RESULT_FAILED, .error = ENOTCONN };
	static struct talk_globs keep;
	struct talk_rank q = { .group = a->group };
	const struct mounts *m = cgroups_mounts(sampler_cgroups(d->sampler));

	keep.n = 0;
	for (unsigned i = 0; i < d->set->n_policies; i++) {
		const struct policy *p = &d->set->policies[i];

		if (p->kind == POLICY_ENDPOINT && q.n_ports < MAX_ENDPOINTS && policy_port(p) != 0 && engine_answers_from(d->engine, i, a->group))
			q.ports[q.n_ports++] = policy_port(p);
		if (p->kind != POLICY_PROTECT)
			continue;
		for (unsigned k = p->glob_first; k < p->glob_first + p->glob_n; k++)
			if (d->set->globs[k].kind == MATCH_PROCESSES && keep.n < TALK_GLOBS_MAX)
				str_copy(keep.text[keep.n++], GLOB_TEXT_MAX, d->set->globs[k].text);
	}
	if (g != NULL && str_format(q.dir, sizeof(q.dir), "%s%s", m->layout == MOUNTS_V2 ? m->v2 : m->cpu, g->path)) {
		talk_ask_rank(&d->helpers->out, a->id, &q, &keep);
		if (helpers_ask(d->helpers, ROLE_STEWARD) == 0)
			return;
	}
	push_result(d, &r);
}

static void carry_check(struct driver *d, const struct action *a)
{
	struct result r = { .action = a->id, .status = RESULT_FAILED, .error = ENOTCONN };
	const struct policy *p = a->group < d->set->n_policies ? &d->set->policies[a->group] : NULL;

	if (p != NULL && p->kind == POLICY_ENDPOINT) {
		talk_ask_check(&d->helpers->out, a->id, (int16_t)a->group, p->url, p->timeout);
		if (helpers_ask(d->helpers, ROLE_COURIER) == 0)
			return;
	}
	push_result(d, &r);
}

static void say_failed_write(struct driver *d, const struct result *r)
{
	if (r->status != RESULT_DONE && d->act != NULL && act_message(d->act)[0] != '\0')
		log_write(r->error == ESTALE || r->error == EEXIST ? LOG_DEBUG : LOG_WARNING, NULL, "%s", act_message(d->act));
}

/* What act had begun and was not done with. */
static int on_pending(struct loop *l, struct loop_timer *t, void *data)
{
	struct driver *d = data;
	struct event e = { .type = EVENT_RESULT };

	while (act_poll(d->act, &e.result)) {
		say_failed_write(d, &e.result);
		driver_event(d, &e);
	}
	if (act_pending(d->act) > 0)
		loop_set_timer(l, t, loop_now(l) + ACT_POLL, on_pending, d);
	return 0;
}

static void sense(struct driver *d, unsigned wants)
{
	int r = sampler_want(d->sampler, wants);
	bool asked = sampler_probed(d->sampler) && (wants & SENSE_PROBE);

	d->wants = wants;
	d->facts.probe_attached = asked && r >= 0;
	if (!asked || !facts_probe(&d->facts, r, sampler_without(d->sampler)))
		return;
	if (r < 0)
		log_warning("the probe could not be attached (%s); judging by %s instead, until it can be", strerror(-r), sampler_without(d->sampler));
	else
		log_notice("the probe is attached again");
}

static void carry(struct driver *d, const struct action *a)
{
	const struct group_info *g = engine_group(d->engine, a->group);
	struct result r = { .action = a->id, .status = RESULT_DONE };

	switch (a->verb) {
	case VERB_REPORT:
		say(d, a);
		push_result(d, &r);
		return;
	case VERB_SENSE:
		sense(d, (unsigned)a->value);
		loop_set_timer(d->loop, &d->tick, loop_now(d->loop) + d->set->settings.alarm_tick / (d->wants & SENSE_SOON ? 2 : 1), on_tick, d);
		push_result(d, &r);
		return;
	case VERB_LIFELINE:
		if (lifelines_carry(d, a, g, &r))
			push_result(d, &r);
		return;
	case VERB_RANK:
		carry_rank(d, a, g);
		return;
	case VERB_CHECK:
		carry_check(d, a);
		return;
	default:
		if (d->act == NULL)
			r = (struct result){ .action = a->id, .status = RESULT_FAILED, .error = d->no_act };
		else if (!act_carry_out(d->act, a, &d->actions.tasks[a->task_first], g, &r)) {
			loop_set_timer(d->loop, &d->pending, loop_now(d->loop) + ACT_POLL, on_pending, d);
			return;
		}
		say_failed_write(d, &r);
		push_result(d, &r);
	}
}

static void record(struct driver *d, const struct event *event)
{
	const char *what, *remedy;

	recorder_event(d->recorder, d->engine, event, &d->actions);
	if (!recorder_trouble(d->recorder, &what, &remedy))
		return;
	facts_set(&d->facts, "flight recorder", what == NULL, what ? what : "incidents are recorded again", what ? remedy : "");
	if (what != NULL)
		log_warning("%s%s%s", what, remedy[0] ? "; " : "", remedy);
}

static void step(struct driver *d, const struct event *event)
{
	int r = engine_step(d->engine, event, &d->actions);

	if (d->recorder != NULL)
		record(d, event);
	if (r < 0) {
		log_error("the engine refused an event of type %d: %s; it is left out", event->type, strerror(-r));
		return;
	}
	for (uint32_t i = 0; i < d->actions.n; i++)
		carry(d, &d->actions.a[i]);
}

void driver_event(struct driver *d, struct event *event)
{
	event->now = loop_now(d->loop);
	if (d->stepping) {
		/* Nothing that is carried out calls back; if it did, the step under way would be lost. */
		log_error("an event of type %d came during a step; it is left out", event->type);
		return;
	}
	d->stepping = true;
	step(d, event);
	while (d->n_results > 0) {
		struct event e = { .now = event->now, .type = EVENT_RESULT, .result = d->results[d->result_at] };

		d->result_at = (d->result_at + 1) % MAX_INFLIGHT;
		d->n_results--;
		step(d, &e);
	}
	d->stepping = false;
	loop_set_timer(d->loop, &d->deadline, engine_deadline(d->engine), on_deadline, d);
}

static int on_deadline(struct loop *l, struct loop_timer *t, void *data)
{
	struct event e = { .type = EVENT_TIMEOUT };

	driver_event(data, &e);
	return 0;
}

/* --- process names: Processes= patterns become cgroups ------------------------- */

static void tell_names(struct driver *d, enum names_state state)
{
	struct event e = { .type = EVENT_NAMES, .names = { .state = state, .since = loop_now(d->loop) } };

	if (d->sampler != NULL)
		driver_event(d, &e);
}

static void sweep(struct driver *d)
{
	static struct talk_globs globs;
	const struct mounts *m = cgroups_mounts(sampler_cgroups(d->sampler));
	bool beyond = false;

	globs.n = 0;
	d->new_container = false;
	for (unsigned i = 0; i < d->set->n_globs; i++) {
		if (d->set->globs[i].kind != MATCH_PROCESSES)
			continue;
		if (globs.n < TALK_GLOBS_MAX)
			str_copy(globs.text[globs.n++], GLOB_TEXT_MAX, d->set->globs[i].text);
		else
			beyond = true;
	}
	if (beyond && !d->said_globs)
		log_warning("more than %d patterns in Processes=; processes that only the rest names are not found", TALK_GLOBS_MAX);
	d->said_globs = beyond;
	d->last_sweep = loop_now(d->loop);
	if (globs.n == 0)
		return;
	d->sweep_id = HELPERS_OWN_ID | ++d->own_id;
	talk_ask_find(&d->helpers->out, d->sweep_id, m->layout == MOUNTS_V2 ? "" : "cpu", &globs);
	(void)helpers_ask(d->helpers, ROLE_STEWARD);
}

static uint64_t id_of_path(struct driver *d, const char *path)
{
	const struct mounts *m = cgroups_mounts(sampler_cgroups(d->sampler));
	char dir[TALK_DIR_MAX];
	struct stat st;

	if (!str_format(dir, sizeof(dir), "%s%s", m->layout == MOUNTS_V2 ? m->v2 : m->cpu, path) || stat(dir, &st) < 0)
		return GROUP_NONE;
	return st.st_ino;
}

static void found(struct driver *d, struct wire *w, bool more)
{
	struct talk_found_row row;
	bool truncated;
	uint32_t n;

	if (talk_get_found(w, &truncated, &n) < 0)
		return;
	while (n-- > 0 && talk_get_found_row(w, &row) == 0)
		found_add(&d->found, id_of_path(d, row.path), row.comm);
	d->found.beyond = d->found.beyond || truncated;
	if (more)
		return;
	for (uint32_t i = 0; i < d->found.n; i++) {
		const struct found_group *g = &d->found.group[i];

		(void)cgroups_learn(sampler_cgroups(d->sampler), g->id);
		(void)cgroups_set_procs(sampler_cgroups(d->sampler), g->id, (const char (*)[COMM_MAX])g->procs, g->n);
	}
	for (uint32_t k = 0; k < d->before.n; k++) {
		if (found_has(&d->found, d->before.group[k].id))
			continue;
		/* Of what there was no room for it is not known whether it is gone: the next whole look tells. */
		if (!d->found.beyond)
			(void)cgroups_set_procs(sampler_cgroups(d->sampler), d->before.group[k].id, NULL, 0);
		else if (d->found.n < FOUND_MAX)
			d->found.group[d->found.n++] = d->before.group[k];
	}
	if (d->found.beyond && !d->said_found)
		log_warning("more cgroups than %d hold processes that Processes= names; the rest is not protected by that: name them by Units=, Containers= or Cgroups=",
			    FOUND_MAX);
	d->said_found = d->said_found || d->found.beyond;
	d->before = d->found;
	found_clear(&d->found);
	protect_again(d);
}

static void ask_names(struct driver *d)
{
	while (d->n_names > 0) {
		const struct group_info *g = cgroups_find(sampler_cgroups(d->sampler), d->names[d->n_names - 1]);
		char id[TALK_ID_MAX];

		if (g != NULL && talk_container_of_path(g->path, id) == 0) {
			talk_ask_name(&d->helpers->out, HELPERS_OWN_ID | ++d->own_id, g->id, id);
			if (helpers_ask(d->helpers, ROLE_STEWARD) < 0)
				return;
		}
		d->n_names--;
	}
}

/* --- what the sampler says -------------------------------------------------------- */

void driver_on_group(const struct group_info *info, void *data)
{
	struct driver *d = data;
	struct event e = { .type = EVENT_GROUP, .group = info };
	char id[TALK_ID_MAX];
	bool is_new = engine_group(d->engine, info->id) == NULL;

	d->groups_changed = true;
	driver_event(d, &e);
	if (is_new && talk_container_of_path(info->path, id) == 0) {
		d->new_container = true;
		if (d->n_names < ELEMENTSOF(d->names))
			d->names[d->n_names++] = info->id;
	}
}

void driver_on_gone(uint64_t id, void *data)
{
	struct event e = { .type = EVENT_GROUP_GONE, .gone = id };
	struct driver *d = data;

	d->groups_changed = true;
	driver_event(d, &e);
	lifelines_gone(d, id);
}

static void tell_again(const struct group_info *info, void *data)
{
	struct event e = { .type = EVENT_GROUP, .group = info };
	struct driver *d = data;

	d->groups_changed = true;
	driver_event(d, &e);
}

static void remind_engine(struct driver *d)
{
	unsigned refused = remind(d->engine, sampler_cgroups(d->sampler), &d->snapshot, tell_again, d);

	if (refused > 0 && !d->said_full)
		log_warning("all %d cgroups that are kept in mind are protected, squeezed or above such; of %u that run nothing is known, and they cannot be squeezed",
			    MAX_GROUPS, refused);
	d->said_full = d->said_full || refused > 0;
}

static int on_tick(struct loop *l, struct loop_timer *t, void *data)
{
	struct driver *d = data;
	const struct settings *s = &d->set->settings;
	bool alarm = d->wants & SENSE_ALARM, near;
	usec_t now = loop_now(l), span = alarm ? s->alarm_tick : s->calm_tick;
	struct event e = { .type = EVENT_SNAPSHOT, .snapshot = &d->snapshot };
	int r;

	if (alarm && d->snapshot.source == GROUP_SOURCE_CPUSTAT)
		span = MAX(span, DRIVER_SLOW);
	loop_set_timer(l, &d->tick, now + span, on_tick, d);
	r = alarm ? sampler_snapshot(d->sampler, now, &d->snapshot) : sampler_calm(d->sampler, now, &d->snapshot);
	if (r < 0) {
		log_error("the machine cannot be read: %s; no decision this time", strerror(-r));
		return 0;
	}
	/* Something may have begun just now: half a glance more shows it a fifth of a second sooner.
	 * Not twice in a row, so that constant little pressure does not cost more. */
	near = d->snapshot.machine.cpu_some > s->alarm / DRIVER_GLANCE;
	d->glance = !alarm && !d->glance && near;
	if (d->glance)
		loop_set_timer(l, &d->tick, now + span / 4, on_tick, d);
	d->ticks++;
	d->last_tick = now;
	/* Most of what a calm tick costs is to fetch the rest of us into the cache. */
	if (!alarm && !near && r == 0 && now < d->last_told + DRIVER_TOLD)
		return 0;
	d->last_told = now;
	d->facts.lost_us += d->snapshot.lost;
	remind_engine(d);
	driver_event(d, &e);
	if (d->groups_changed)
		protect_again(d);
	if (now >= d->last_drift + (alarm ? DRIVER_DRIFT : DRIVER_DRIFT_CALM))
		drift_look(d);
	if (now >= d->last_sweep + (alarm ? DRIVER_SWEEP_ALARM : DRIVER_SWEEP) || (d->new_container && now >= d->last_sweep + USEC_PER_SEC))
		sweep(d);
	if (d->n_names > 0)
		ask_names(d);
	d->facts.group_source = d->snapshot.source == GROUP_SOURCE_BPF || (d->snapshot.source != GROUP_SOURCE_CPUSTAT && sampler_probed(d->sampler)) ?
				"bpf" : sampler_without(d->sampler);
	return 0;
}

/* --- what the helpers say -------------------------------------------------------------- */

static void on_hello(enum protocol_role role, const char *missing, void *data)
{
	struct driver *d = data;
	char text[TALK_TEXT_MAX * 2];

	facts_set(&d->facts, role == ROLE_STEWARD ? "steward" : "courier", true, missing[0] ? str_escape(text, sizeof(text), missing) : "connected", "");
	if (role != ROLE_STEWARD)
		return;
	lifelines_again(d);
	if (d->sampler != NULL)
		sweep(d);
}

static void on_helper_gone(enum protocol_role role, void *data)
{
	struct driver *d = data;

	facts_set(&d->facts, role == ROLE_STEWARD ? "steward" : "courier", false,
		  role == ROLE_STEWARD ? "not connected: tasks inside a shared cgroup cannot be ranked, processes not found by name" :
		  "not connected: health endpoints are not checked", role == ROLE_STEWARD ? "systemctl status reprieve-steward" : "systemctl status reprieve-courier");
	if (role == ROLE_STEWARD)
		tell_names(d, NAMES_FAILED);
}

static void on_ended(enum protocol_role role, const char *how, void *data)
{
	log_warning("the %s %s; it is started again", role == ROLE_STEWARD ? "steward" : "courier", how);
	if (role == ROLE_STEWARD)
		tell_names(data, NAMES_FAILED);
}

static void on_answer(const struct talk_answer *a, struct wire *w, void *data)
{
	struct driver *d = data;
	struct event e = { .type = EVENT_RESULT, .result = { .action = a->id, .status = a->status < 0 ? RESULT_FAILED : RESULT_DONE, .error = -a->status } };
	char text[TALK_TEXT_MAX * 2];

	if (a->status < 0 && a->text[0] != '\0')
		log_warning("%s", str_escape(text, sizeof(text), a->text));
	switch (a->verb) {
	case PROTOCOL_FIND:
		if (a->status == 0)
			found(d, w, a->more);
		if (!a->more && (a->status < 0 || a->id == d->sweep_id))
			tell_names(d, a->status < 0 ? NAMES_FAILED : NAMES_KNOWN);
		return;
	case PROTOCOL_NAME: {
		struct talk_named named;

		if (a->status == 0 && talk_get_named(w, &named) == 0)
			(void)cgroups_set_name(sampler_cgroups(d->sampler), named.group, named.name);
		return;
	}
	case PROTOCOL_RANK:
		if (a->status == 0 && talk_get_ranked(w, &d->ranked) < 0)
			e.result = (struct result){ .action = a->id, .status = RESULT_FAILED, .error = EBADMSG };
		e.result.tasks = d->ranked.tasks;
		e.result.n_tasks = e.result.status == RESULT_DONE ? d->ranked.n : 0;
		break;
	case PROTOCOL_LIFELINE: {
		struct talk_lifelined l;

		if (a->status == 0 && talk_get_lifelined(w, &l) == 0)
			e.result.value = l.after;
		lifelines_answered(d, a->id, a->status);
		break;
	}
	case PROTOCOL_CHECK: {
		struct talk_checked c;

		if (a->status == 0 && talk_get_checked(w, &c) == 0) {
			struct event answer = { .type = EVENT_ENDPOINT, .endpoint = { .policy = c.policy, .good = c.good, .took = c.took } };

			driver_event(d, &answer);
		}
		break;
	}
	default:
		return;
	}
	if (!(a->id & HELPERS_OWN_ID))
		driver_event(d, &e);
}

const struct helpers_ops DRIVER_HELPERS_OPS = { .hello = on_hello, .gone = on_helper_gone, .answer = on_answer, .ended = on_ended };

/* --- life ---------------------------------------------------------------------------- */

int driver_init(struct driver *d, const struct driver_config *c)
{
	struct engine *engine = calloc(1, engine_size());

	if (engine == NULL)
		return -ENOMEM;
	*d = (struct driver){ .loop = c->loop, .engine = engine, .act = c->act, .no_act = c->no_act, .helpers = c->helpers, .recorder = c->recorder, .set = c->set,
			      .systemd = c->systemd, .service = c->service, .tick = LOOP_TIMER_INIT, .deadline = LOOP_TIMER_INIT, .pending = LOOP_TIMER_INIT };
	engine_init(engine, c->set, c->seed);
	return 0;
}

void driver_start(struct driver *d, struct sampler *s)
{
	d->sampler = s;
	protect_again(d);
	loop_set_timer(d->loop, &d->tick, loop_now(d->loop) + d->set->settings.calm_tick, on_tick, d);
}

void driver_policies(struct driver *d, const struct policy_set *set)
{
	struct event e = { .type = EVENT_POLICIES, .policies = set };

	d->set = set;
	d->facts.n_policies = set->n_policies;
	driver_event(d, &e);
	lifelines_own(d);
	if (d->sampler != NULL) {
		/* Before the first tick it may still be on its way. */
		tell_names(d, d->ticks == 0 || helpers_have(d->helpers, ROLE_STEWARD) ? NAMES_AWAITED : NAMES_FAILED);
		protect_again(d);
		sweep(d);
	}
}

void driver_lifted(struct driver *d, bool just_before, usec_t barred)
{
	struct event e = { .type = EVENT_LIFTED, .lifted = { .until = just_before ? loop_now(d->loop) + EVENT_SERVED : 0, .barred = barred } };

	if (just_before || barred > 0)
		driver_event(d, &e);
}

void driver_deinit(struct driver *d)
{
	loop_cancel_timer(d->loop, &d->tick);
	loop_cancel_timer(d->loop, &d->deadline);
	loop_cancel_timer(d->loop, &d->pending);
	free(d->engine);
	d->engine = NULL;
}
