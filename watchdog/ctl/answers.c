/* SPDX-License-Identifier: Apache-2.0 */
/* answers: the guard's state as JSON.
 *
 * Written into a buffer that exists since start, from plain values only: a status
 * request under overload costs microseconds and no memory. Names of cgroups are
 * hostile; the JSON writer escapes what JSON needs, and whoever prints them for
 * people escapes the rest (ctl/render.c). */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "core/explain.h"
#include "ctl/answers.h"

const char *answer_time(usec_t boottime, usec_t real_offset, char buf[static 40])
{
	usec_t real = boottime + real_offset;
	time_t t = (time_t)(real / USEC_PER_SEC);
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		return str_copy(buf, 40, "?"), buf;
	str_format(buf, 40, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		   tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(real % USEC_PER_SEC / USEC_PER_MSEC));
	return buf;
}

usec_t facts_real_offset(void)
{
	struct timespec real, boot;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (usec_t)((int64_t)(real.tv_sec - boot.tv_sec) * (int64_t)USEC_PER_SEC + (real.tv_nsec - boot.tv_nsec) / 1000);
}

static void key_time(struct json *j, const char *key, usec_t when, const struct facts *f)
{
	char buf[40];

	json_key(j, key);
	if (when == 0 || when == USEC_INFINITY)
		json_null(j);
	else
		json_string(j, answer_time(when, f->real_offset, buf));
}

void facts_set(struct facts *f, const char *what, bool have, const char *why, const char *remedy)
{
	struct fact *fact = NULL;

	for (uint32_t i = 0; i < f->n_facts; i++)
		if (strcmp(f->fact[i].what, what) == 0)
			fact = &f->fact[i];
	if (fact == NULL) {
		if (f->n_facts == FACTS_MAX)
			return;
		fact = &f->fact[f->n_facts++];
		str_copy(fact->what, sizeof(fact->what), what);
	}
	fact->have = have;
	str_copy(fact->why, sizeof(fact->why), why ? why : "");
	str_copy(fact->remedy, sizeof(fact->remedy), remedy ? remedy : "");
}

static bool lacks(const struct facts *f, const char *what)
{
	for (uint32_t i = 0; i < f->n_facts; i++)
		if (strcmp(f->fact[i].what, what) == 0)
			return !f->fact[i].have;
	return false;
}

bool facts_probe(struct facts *f, int error, const char *without)
{
	bool was = lacks(f, "probe-attach");
	char why[sizeof(f->fact[0].why)];

	if (error >= 0 && was)
		facts_set(f, "probe-attach", true, "attached again", "");
	else if (error < 0) {
		str_format(why, sizeof(why), "the BPF probe could not be attached (%s); %s is read instead, which shows who runs but not who waits",
			   strerror(-error), without);
		facts_set(f, "probe-attach", false, why, "see the kernel's log; reprieve tries again with the next alarm");
	}
	return was != (error < 0);
}

void facts_drop(struct facts *f, const char *what)
{
	for (uint32_t i = 0; i < f->n_facts; i++)
		if (strcmp(f->fact[i].what, what) == 0) {
			f->n_facts--;
			memmove(&f->fact[i], &f->fact[i + 1], (f->n_facts - i) * sizeof(f->fact[0]));
			return;
		}
}

void why_log_add(struct why_log *log, usec_t when, uint32_t incident, const struct action *a, const char *text)
{
	struct why_line *l = &log->line[log->next];

	log->next = (log->next + 1) % WHY_LINES_MAX;
	if (log->n < WHY_LINES_MAX)
		log->n++;
	*l = (struct why_line){ .when = when, .incident = incident, .why = a->reason.why, .verb = a->verb, .group = a->group };
	str_copy(l->text, sizeof(l->text), text);
}

static void group_keys(struct json *j, const struct engine *e, uint64_t id)
{
	const struct group_info *g = id == GROUP_CANARY || id == GROUP_NONE ? NULL : engine_group(e, id);

	json_kstring(j, "name", id == GROUP_CANARY ? "canary" : g ? g->name : id == GROUP_OTHER ? "others" : "(gone)");
	json_kstring(j, "cgroup", g != NULL ? g->path : NULL);
}

static const char *state_of(const struct engine_view *v)
{
	return v->paused_until ? "paused" : v->incident_since ? "incident" : v->alarm ? "alarm" : "calm";
}

/* For another one, whatever its path. 256 cgroups with paths of a kilobyte do not fit: better some than none. */
static bool has_room(const struct json *j)
{
	return j->used < j->size - j->size / 4;
}

/* Every key is always there; null where the squeeze has no such part. */
static void key_int_if(struct json *j, const char *key, bool have, int64_t v)
{
	json_key(j, key);
	have ? json_int(j, v) : json_null(j);
}

static void write_findings(struct json *j, const struct engine *e, const struct engine_view *v)
{
	json_key(j, "findings");
	json_begin_array(j);
	for (uint32_t i = 0; i < v->n_findings; i++) {
		const struct engine_finding *x = &v->findings[i];

		json_begin_object(j);
		json_kstring(j, "cause", cause_to_string(x->cause));
		json_kbool(j, "decides", x->cause == v->cause);
		json_kstring(j, "measure", x->measure);
		json_kstring(j, "unit", x->tasks ? "tasks" : "%");
		if (x->tasks) {
			json_kint(j, "measured", x->measured);
			json_kint(j, "limit", x->limit);
		} else {
			json_kpercent(j, "measured", x->measured);
			json_kpercent(j, "limit", x->limit);
		}
		if (x->group != GROUP_NONE)
			group_keys(j, e, x->group);
		else {
			json_kstring(j, "name", NULL);
			json_kstring(j, "cgroup", NULL);
		}
		json_kstring(j, "remedy", explain_remedy(x->cause));
		json_end_object(j);
	}
	json_end_array(j);
}

static void write_squeezes(struct json *j, const struct engine *e, const struct engine_view *v, const struct facts *f)
{
	const uint32_t quota = 1u << VERB_QUOTA | 1u << VERB_JAIL;
	uint32_t i;

	json_key(j, "squeezes");
	json_begin_array(j);
	for (i = 0; i < v->n_squeezes && has_room(j); i++) {
		const struct engine_squeeze *s = &v->squeezes[i];

		json_begin_object(j);
		group_keys(j, e, s->group);
		json_kstring(j, "rung", rung_to_string(s->rung));
		key_int_if(j, "weight", s->knobs & 1u << VERB_WEIGHT, s->weight);
		json_kbool(j, "idle", s->knobs & 1u << VERB_IDLE);
		key_int_if(j, "quota_us", s->knobs & quota, s->quota_us);
		key_int_if(j, "period_us", s->knobs & quota, s->period_us);
		key_int_if(j, "tasks", s->n_tasks > 0, s->n_tasks);
		json_kstring(j, "tasks_class", s->n_tasks == 0 ? NULL : s->knobs & 1u << VERB_TASKS_OTHER ? "other" : "idle");
		key_time(j, "since", s->since, f);
		key_time(j, "until", s->until, f);
		json_kstring(j, "why", why_to_string(s->reason.why));
		json_end_object(j);
	}
	json_end_array(j);
	json_kuint(j, "squeezes_more", v->n_squeezes - i);
}

static void write_lifeline(struct json *j, const struct facts *f)
{
	uint32_t i;

	json_key(j, "lifeline");
	json_begin_array(j);
	for (i = 0; i < f->n_lifeline && has_room(j); i++) {
		json_begin_object(j);
		json_kstring(j, "unit", f->lifeline[i].unit);
		key_int_if(j, "before", f->lifeline[i].before >= 0, f->lifeline[i].before);
		key_int_if(j, "after", f->lifeline[i].after >= 0, f->lifeline[i].after);
		json_kstring(j, "by", f->lifeline[i].by_systemd ? "systemd" : "cgroupfs");
		json_kbool(j, "failed", f->lifeline[i].failed);
		json_end_object(j);
	}
	json_end_array(j);
	json_kuint(j, "lifeline_more", f->n_lifeline - i);
}

void answer_status(struct json *j, const struct engine *e, const struct facts *f)
{
	static struct engine_view v;    /* 60 KiB: not on the guard's stack */

	engine_view(e, &v);
	json_begin_object(j);
	json_kint(j, "schema", ANSWER_SCHEMA);
	json_kstring(j, "version", VERSION);
	key_time(j, "time", v.now, f);
	key_time(j, "started", f->started, f);
	json_kstring(j, "state", state_of(&v));
	json_kstring(j, "mode", mode_to_string(v.mode));
	json_key(j, "rescue");
	if (v.mode != MODE_RESCUE)
		json_null(j);
	else {
		json_begin_object(j);
		json_key(j, "login");
		json_seconds(j, engine_policies(e)->settings.rescue_login);
		json_key(j, "for");
		json_seconds(j, v.served_until ? 0 : engine_policies(e)->settings.rescue_for);
		json_end_object(j);
	}
	json_kstring(j, "cause", v.cause == CAUSE_NONE ? NULL : cause_to_string(v.cause));
	json_kuint(j, "incident", v.incident);
	key_time(j, "incident_since", v.incident_since, f);
	key_time(j, "paused_until", v.paused_until, f);
	json_kstring(j, "pause_reason", v.paused_until ? v.pause_reason : NULL);
	key_time(j, "released_until", v.barred_until, f);
	json_key(j, "pressure");
	json_begin_object(j);
	json_kstring(j, "source", f->pressure_source);
	json_kpercent(j, "cpu_some", v.pressure);
	json_end_object(j);
	json_key(j, "groups");
	json_begin_object(j);
	json_kstring(j, "source", f->group_source);
	json_kbool(j, "probe_attached", f->probe_attached);
	json_kuint(j, "known", v.n_groups);
	json_kuint(j, "forgotten", v.groups_forgotten);
	json_kuint(j, "lost_us", f->lost_us);
	json_end_object(j);
	json_key(j, "victims");
	json_begin_array(j);
	for (uint32_t i = 0; i < v.n_victims; i++) {
		json_begin_object(j);
		group_keys(j, e, v.victims[i].group);
		json_kstring(j, "as", importance_to_string(v.victims[i].as));
		json_kpercent(j, "wait", v.victims[i].wait);
		json_kpercent(j, "self_wait", v.victims[i].self_wait);
		json_key(j, "login_estimate");
		v.victims[i].login_estimate ? json_seconds(j, v.victims[i].login_estimate) : json_null(j);
		json_kbool(j, "harmed", v.victims[i].harmed);
		json_end_object(j);
	}
	json_end_array(j);
	json_key(j, "suspects");
	json_begin_array(j);
	for (uint32_t i = 0; i < v.n_suspects; i++) {
		json_begin_object(j);
		group_keys(j, e, v.suspects[i].group);
		json_kpercent(j, "blame", v.suspects[i].blame);
		json_end_object(j);
	}
	json_end_array(j);
	write_findings(j, e, &v);
	write_squeezes(j, e, &v, f);
	write_lifeline(j, f);
	json_kuint(j, "policies", f->n_policies);
	json_kstring(j, "config_error", f->config_error[0] ? f->config_error : NULL);
	json_key(j, "capabilities");
	json_begin_array(j);
	for (uint32_t i = 0; i < f->n_facts; i++) {
		json_begin_object(j);
		json_kstring(j, "what", f->fact[i].what);
		json_kbool(j, "have", f->fact[i].have);
		json_kstring(j, "why", f->fact[i].why);
		json_kstring(j, "remedy", f->fact[i].remedy[0] ? f->fact[i].remedy : NULL);
		json_end_object(j);
	}
	json_end_array(j);
	json_end_object(j);
}

void answer_why(struct json *j, const struct why_log *log, const struct facts *f, uint32_t most, uint32_t incident)
{
	uint32_t first = (log->next + WHY_LINES_MAX - log->n) % WHY_LINES_MAX, of = 0;

	for (uint32_t i = 0; i < log->n; i++)
		of += incident == 0 || log->line[(first + i) % WHY_LINES_MAX].incident == incident;
	json_begin_object(j);
	json_kint(j, "schema", ANSWER_SCHEMA);
	key_int_if(j, "incident", incident != 0, incident);
	json_kint(j, "kept", WHY_LINES_MAX);
	json_key(j, "lines");
	json_begin_array(j);
	for (uint32_t i = 0; i < log->n; i++) {
		const struct why_line *l = &log->line[(first + i) % WHY_LINES_MAX];

		if ((incident != 0 && l->incident != incident) || of-- > most)
			continue;
		json_begin_object(j);
		key_time(j, "time", l->when, f);
		json_kuint(j, "incident", l->incident);
		json_kstring(j, "why", why_to_string(l->why));
		json_kstring(j, "verb", verb_to_string(l->verb));
		json_kstring(j, "text", l->text);
		json_end_object(j);
	}
	json_end_array(j);
	json_end_object(j);
}

void answer_error(struct json *j, const char *error, const char *remedy)
{
	json_begin_object(j);
	json_kint(j, "schema", ANSWER_SCHEMA);
	json_kstring(j, "error", error);
	json_kstring(j, "remedy", remedy);
	json_end_object(j);
}

void answer_done(struct json *j, const char *text)
{
	json_begin_object(j);
	json_kint(j, "schema", ANSWER_SCHEMA);
	json_kstring(j, "done", text);
	json_end_object(j);
}
