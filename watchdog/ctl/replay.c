/* SPDX-License-Identifier: Apache-2.0 */
/* replay: the same events in the same order give the same actions
 *
 * The record begins at a calm moment: an engine that is made anew there, and told
 * what that one knew, is the one that ran. Only its ids count from one again, so ids of
 * the record are translated. What it asks for while it is told the groups (a
 * lifeline weight, say) was done long ago on the machine, and is answered as done; where
 * it was not, the record says so after them.
 *
 * With other policies the ids of the record mean nothing: its results are left out,
 * every action is answered as done at once, a ranking with the latest that the
 * record holds for that cgroup, and the engine's own deadlines are kept. */
#include "ctl/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "conf/policies.h"
#include "core/explain.h"
#include "core/trace.h"
#include "ctl/complain.h"
#include "ctl/policy_cmd.h"

#define ANSWERS_MOST  (8 * MAX_ACTIONS)         /* answers that lead to new actions, in one moment; beyond: the rest stays unanswered */
#define RANKINGS_KEPT 16                        /* beyond: the oldest is forgotten */
#define POLICY_LINES  4096                      /* lines kept for --json; beyond: left out, counted */

struct ranking {
	uint64_t group;
	uint32_t n;
	struct task_ref tasks[MAX_TASKS];
};

struct replay {
	struct engine *engine;
	struct conf *conf;
	void (*line)(void *, usec_t, const struct action *, const char *);
	void *userdata;
	bool other, made, begun;
	usec_t begin, now;
	struct policy_set set, policies;
	char text[CONF_TEXT_MAX];
	size_t n_text;

	struct actions actions;         /* of the latest event */
	uint32_t at;                    /* the record's next action is this one */
	uint32_t n_ids;                 /* ids without a result; beyond MAX_INFLIGHT the oldest is forgotten */
	struct { uint64_t recorded, own, group; enum verb verb; } ids[MAX_INFLIGHT];
	uint32_t n_due, next_ranking;
	struct action due[ANSWERS_MOST];
	struct ranking rankings[RANKINGS_KEPT];

	struct trace_reader reader;
	struct replay_result result;
};

struct replay *replay_new(const struct policy_set *policies,
			  void (*line)(void *userdata, usec_t at, const struct action *a, const char *text), void *userdata)
{
	struct replay *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->engine = calloc(1, engine_size());
	r->conf = conf_new();
	if (r->engine == NULL || r->conf == NULL)
		return replay_free(r);
	r->line = line;
	r->userdata = userdata;
	r->result.same = true;
	if (policies != NULL) {
		r->other = true;
		r->set = *policies;
	}
	return r;
}

struct replay *replay_free(struct replay *r)
{
	if (r != NULL) {
		free(r->engine);
		(void)conf_free(r->conf);
		free(r);
	}
	return NULL;
}

static _printf_(2, 3) int refuse(struct replay *r, const char *format, ...)
{
	va_list ap;

	r->result.same = false;
	r->result.line = r->reader.line;
	va_start(ap, format);
	(void)vsnprintf(r->result.what, sizeof(r->result.what), format, ap);
	va_end(ap);
	return -EINVAL;
}

static int differ(struct replay *r, const char *what, const struct action *was, const struct action *is)
{
	char a[EXPLAIN_MAX / 3], b[EXPLAIN_MAX / 3];

	r->result.same = false;
	r->result.line = r->reader.line;
	(void)str_format(r->result.what, sizeof(r->result.what), "at %.6f s %s: recorded %s %s%s, now %s %s%s",
			 (double)(r->now - r->begin) / 1e6, what,
			 was ? verb_to_string(was->verb) : "nothing", was ? why_to_string(was->reason.why) : "",
			 was ? (a[0] = ' ', explain_action(r->engine, was, a + 1, sizeof(a) - 1), a) : "",
			 is ? verb_to_string(is->verb) : "nothing", is ? why_to_string(is->reason.why) : "",
			 is ? (b[0] = ' ', explain_action(r->engine, is, b + 1, sizeof(b) - 1), b) : "");
	return 1;
}

static int load(struct replay *r, struct policy_set *ret)
{
	int k = conf_text_load(r->conf, r->text, r->n_text, "record", ret, NULL);

	r->n_text = 0;
	if (k < 0) {
		char text[768];

		return refuse(r, "the policies in the record are refused: %s", conf_errors_text(r->conf, text, sizeof(text)));
	}
	return 0;
}

static struct ranking *ranking_of(struct replay *r, uint64_t group)
{
	for (uint32_t i = 0; i < RANKINGS_KEPT; i++)
		if (r->rankings[i].n > 0 && r->rankings[i].group == group)
			return &r->rankings[i];
	return NULL;
}

static void ranking_keep(struct replay *r, uint64_t group, const struct result *result)
{
	struct ranking *k = ranking_of(r, group);

	if (result->tasks == NULL || result->n_tasks == 0)
		return;
	if (k == NULL)
		k = &r->rankings[r->next_ranking++ % RANKINGS_KEPT];
	k->group = group;
	k->n = MIN(result->n_tasks, (uint32_t)MAX_TASKS);
	memcpy(k->tasks, result->tasks, k->n * sizeof(k->tasks[0]));
}

static void tell(struct replay *r)
{
	char text[EXPLAIN_MAX];

	for (uint32_t i = 0; r->begun && i < r->actions.n; i++) {
		r->result.actions++;
		if (r->line != NULL)
			r->line(r->userdata, r->now - r->begin, &r->actions.a[i], explain_action(r->engine, &r->actions.a[i], text, sizeof(text)));
	}
}

static int step(struct replay *r, struct event *e)
{
	int k = engine_step(r->engine, e, &r->actions);

	r->at = 0;
	if (k < 0)
		return refuse(r, "the engine refuses this event (%s); an engine that had recorded it would not have", strerror(-k));
	tell(r);
	return 0;
}

/* Answers whatever was asked for as done, and what follows from that. */
static int answer_all(struct replay *r)
{
	uint32_t head = 0;
	int k = 0;

	r->n_due = 0;
	for (;;) {
		struct event e = { .now = r->now, .type = EVENT_RESULT };
		const struct ranking *rank;
		const struct action *a;

		for (uint32_t i = 0; i < r->actions.n && r->n_due < ANSWERS_MOST; i++)
			r->due[r->n_due++] = r->actions.a[i];
		if (k < 0 || head == r->n_due)
			return k;
		a = &r->due[head++];
		e.result = (struct result){ .action = a->id, .status = RESULT_DONE, .value = a->value, .n_tasks = a->n_tasks };
		if (a->verb == VERB_RANK) {
			rank = ranking_of(r, a->group);
			e.result.status = rank ? RESULT_DONE : RESULT_FAILED;
			e.result.error = rank ? 0 : ESRCH;
			e.result.n_tasks = rank ? rank->n : 0;
			e.result.tasks = rank ? rank->tasks : NULL;
		}
		k = step(r, &e);
	}
}

/* With other policies: the deadlines that come before the record's next event. */
static int keep_deadlines(struct replay *r, usec_t until)
{
	for (unsigned i = 0; i < 10000; i++) {
		struct event e = { .now = engine_deadline(r->engine), .type = EVENT_TIMEOUT };
		int k;

		if (e.now >= until)
			return 0;
		e.now = MAX(e.now, r->now);
		r->now = e.now;
		k = step(r, &e);
		if (k == 0)
			k = answer_all(r);
		if (k != 0)
			return k;
	}
	return refuse(r, "the engine's deadline does not move on");
}

static int on_init(struct replay *r, const struct trace_item *item)
{
	int k;

	if (r->made)
		return refuse(r, "a record has one init line");
	k = load(r, &r->policies);
	if (k < 0)
		return k;
	if (r->other)
		r->set.settings = r->policies.settings;
	else
		r->set = r->policies;
	engine_init(r->engine, &r->set, item->seed);
	r->made = true;
	r->begin = r->now = item->now;
	return 0;
}

/* The endpoint of the same name among the other policies; -1: there is none. */
static int16_t other_endpoint(const struct replay *r, int16_t policy)
{
	if (policy < 0 || policy >= r->policies.n_policies)
		return -1;
	for (uint16_t i = 0; i < r->set.n_policies; i++)
		if (r->set.policies[i].kind == POLICY_ENDPOINT && str_equal(r->set.policies[i].name, r->policies.policies[policy].name))
			return (int16_t)i;
	return -1;
}

static void remember(struct replay *r, uint64_t recorded, uint64_t own, uint64_t group, enum verb verb)
{
	if (r->n_ids == MAX_INFLIGHT)
		memmove(&r->ids[0], &r->ids[1], --r->n_ids * sizeof(r->ids[0]));
	r->ids[r->n_ids].recorded = recorded;
	r->ids[r->n_ids].own = own;
	r->ids[r->n_ids].group = group;
	r->ids[r->n_ids++].verb = verb;
}

static int on_event(struct replay *r, struct trace_item *item)
{
	struct event *e = &item->event;
	int k = 0;

	if (!r->made)
		return refuse(r, "an event before the init line");
	if (!r->other && r->begun && r->at < r->actions.n)
		return differ(r, "there is one more", NULL, &r->actions.a[r->at]);
	if (e->now < r->now)
		return refuse(r, "time goes back by %.6f s", (double)(r->now - e->now) / 1e6);
	if (r->other && r->begun)
		k = keep_deadlines(r, e->now);
	if (k != 0)
		return k;
	r->now = e->now;
	if (r->begun && r->result.events++ == 0)
		r->begin = r->now;

	if (e->type == EVENT_RECALL) {
		if (r->begun)
			return refuse(r, "what the engine knew before comes before the begin line");
		if (r->other)
			return 0;               /* of what the record's policies had asked for */
		if (e->recall.what == RECALL_ASKED)
			remember(r, e->recall.action, e->recall.action, e->recall.group, e->recall.verb);
	}
	if (e->type == EVENT_POLICIES) {
		if (r->other)
			return 0;               /* the other policies stay */
		k = load(r, &r->policies);
		if (k < 0)
			return k;
		e->policies = &r->policies;
	}
	if (e->type == EVENT_RESULT) {
		uint32_t i;

		for (i = 0; i < r->n_ids && r->ids[i].recorded != e->result.action; i++)
			;
		if (i == r->n_ids)
			e->result.action = 0;   /* too late, or of before: it changes nothing, but a step it is */
		else {
			if (r->ids[i].verb == VERB_RANK)
				ranking_keep(r, r->ids[i].group, &e->result);
			e->result.action = r->ids[i].own;
			memmove(&r->ids[i], &r->ids[i + 1], (--r->n_ids - i) * sizeof(r->ids[0]));
		}
		if (r->other)
			return 0;
	}
	if (r->other && e->type == EVENT_TIMEOUT)
		return 0;
	if (r->other && e->type == EVENT_ENDPOINT) {
		e->endpoint.policy = other_endpoint(r, e->endpoint.policy);
		if (e->endpoint.policy < 0)
			return 0;
	}
	k = step(r, e);
	if (k == 0 && (r->other || !r->begun)) {
		k = answer_all(r);
		r->actions.n = 0;
	}
	return k;
}

static int on_action(struct replay *r, const struct trace_item *item)
{
	const struct action *is = r->at < r->actions.n ? &r->actions.a[r->at] : NULL;
	const char *key;

	if (!r->begun)
		return refuse(r, "an action before the begin line");
	if (!r->other) {
		if (is == NULL)
			return differ(r, "one is missing", &item->action, NULL);
		key = trace_action_differs(&item->action, item->tasks, is, r->actions.tasks + is->task_first);
		if (key != NULL) {
			char what[64];

			(void)str_format(what, sizeof(what), "%s= differs", key);
			return differ(r, what, &item->action, is);
		}
		r->at++;
	}
	remember(r, item->action.id, is ? is->id : 0, item->action.group, item->action.verb);
	return 0;
}

int replay_line(struct replay *r, const char *line, size_t n)
{
	struct trace_item item;

	if (trace_read(&r->reader, line, n, &item) < 0)
		return refuse(r, "%s", r->reader.error);
	switch (item.type) {
	case TRACE_NOTHING:
		return 0;
	case TRACE_TEXT:
		if (item.n_text > sizeof(r->text) - r->n_text)
			return refuse(r, "the policies are longer than %d bytes", CONF_TEXT_MAX);
		memcpy(r->text + r->n_text, item.text, item.n_text);
		r->n_text += item.n_text;
		return 0;
	case TRACE_INIT:
		return on_init(r, &item);
	case TRACE_BEGIN:
		if (!r->made || r->begun)
			return refuse(r, "one begin line follows the init line");
		r->begun = r->result.begun = true;
		return 0;
	case TRACE_EVENT:
		return on_event(r, &item);
	case TRACE_ACTION:
		return on_action(r, &item);
	}
	return 0;
}

static bool in_incident(const struct engine *e)
{
	static struct engine_view v;    /* 60 KiB */

	engine_view(e, &v);
	return v.incident_since != 0 || v.n_squeezes > 0;
}

void replay_end(struct replay *r, struct replay_result *ret)
{
	r->result.lasted = r->now - r->begin;
	r->result.cut = r->result.begun && (r->result.cut || trace_read_partial(&r->reader) ||
					    (!r->other && (r->at < r->actions.n || in_incident(r->engine))));
	*ret = r->result;
	if (ret->same && !ret->begun) {
		ret->same = false;
		(void)str_copy(ret->what, sizeof(ret->what), "the record ends before it begins: there is no begin line");
	}
}

int replay_file(struct replay *r, FILE *f, struct replay_result *ret)
{
	char line[TRACE_LINE_MAX + 2];
	int k = 0;

	while (k == 0 && fgets(line, sizeof(line), f) != NULL) {
		size_t n = strlen(line);

		/* Half a line is what a full disk left. */
		if (r->result.begun && n > 0 && line[n - 1] != '\n' && feof(f))
			r->result.cut = true;
		else
			k = replay_line(r, line, n);
	}
	if (k == 0 && ferror(f))
		k = refuse(r, "it cannot be read: %s", strerror(errno));
	replay_end(r, ret);
	return k == 0 && !ret->begun ? -EINVAL : k;
}

/* ---- the command ---- */

struct output {
	bool json, all, verbose;        /* all: other policies, so every decision is news */
	uint64_t n, left_out;
	FILE *lines;                    /* JSON array being made; NULL: plain */
};

static void print_line(void *userdata, usec_t at, const struct action *a, const char *text)
{
	struct output *o = userdata;
	char buf[EXPLAIN_MAX * 2];
	const char *out;
	struct json j;

	if (a->verb != VERB_REPORT || !(o->all || o->verbose))
		return;
	if (!o->json) {
		printf("[%8.3f] %s\n", (double)at / 1e6, text);
		return;
	}
	if (o->n == POLICY_LINES) {
		o->left_out++;
		return;
	}
	json_init(&j, buf, sizeof(buf));
	json_begin_object(&j);
	json_kseconds(&j, "at", at);
	json_kstring(&j, "why", why_to_string(a->reason.why));
	json_kstring(&j, "text", text);
	json_end_object(&j);
	if (json_finish(&j, &out) == 0)
		fprintf(o->lines, "%s%s", o->n++ ? "," : "", out);
}

static void print_json(const struct output *o, const char *file, int k, const struct replay_result *r, const char *decisions)
{
	static char buf[64 * 1024];
	const char *out;
	struct json j;

	json_init(&j, buf, sizeof(buf));
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstring(&j, "file", file);
	json_kuint(&j, "events", r->events);
	json_kuint(&j, "actions", r->actions);
	json_kseconds(&j, "lasted", r->lasted);
	if (!o->all)
		json_kbool(&j, "same", k == 0);
	json_kbool(&j, "cut", r->cut);
	if (k != 0) {
		json_kuint(&j, "line", r->line);
		json_kstring(&j, k > 0 ? "difference" : "error", r->what);
	}
	if (o->left_out)
		json_kuint(&j, "left_out", o->left_out);
	json_end_object(&j);
	if (json_finish(&j, &out) < 0)
		return;
	if (o->all || o->verbose)
		printf("%.*s,\"decisions\":[%s]}\n", (int)strlen(out) - 1, out, decisions);
	else
		printf("%s\n", out);
}

static void cleanup_replay(struct replay **r)
{
	*r = replay_free(*r);
}

static int other_policies(const char *path, struct policy_set *ret, bool json)
{
	struct conf *c = conf_new();
	int code = c == NULL ? complain(json, EXIT_FAILURE, strerror(ENOMEM), NULL) :
		   conf_load_path(c, path, NULL, ret) < 0 ? policy_refuse(c, "nothing was decided", json) : 0;

	(void)conf_free(c);
	return code;
}

static int no_record(const char *file, int error, bool json)
{
	char text[PATH_MAX + 128];

	str_format(text, sizeof(text), "%s: %s", file, strerror(error));
	if (error == EACCES || error == EPERM)
		return complain(json, EX_NOPERM, text, "use sudo");
	return complain(json, EX_NOINPUT, text, "give a flight record, such as /run/reprieve/flight-1.trace");
}

int replay_command(const char *file, const char *policy, bool verbose, bool json)
{
	_cleanup_(cleanup_fclose) FILE *f = NULL;
	_cleanup_(cleanup_replay) struct replay *r = NULL;
	_cleanup_(cleanup_free) struct policy_set *set = calloc(1, sizeof(*set));
	_cleanup_(cleanup_free) char *decisions = NULL;
	struct output o = { .json = json, .verbose = verbose, .all = policy != NULL };
	struct replay_result result;
	_cleanup_(cleanup_close) int fd = -1;
	int own;
	size_t n_decisions = 0;
	struct stat st;
	int k;

	if (set == NULL)
		return complain(json, EXIT_FAILURE, strerror(ENOMEM), NULL);
	if (policy != NULL) {
		k = other_policies(policy, set, json);
		if (k != 0)
			return k;
	}
	/* A FIFO without a writer would be waited for, a device read without an end. */
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return no_record(file, errno, json);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		char text[PATH_MAX + 64];

		str_format(text, sizeof(text), "%s is no regular file", file);
		return complain(json, EX_DATAERR, text, "give a flight record, such as /run/reprieve/flight-1.trace; what comes through a pipe, write to a file first");
	}
	own = TAKE_FD(fd);
	f = fdopen(own, "r");
	if (f == NULL) {
		k = errno;
		(void)close(own);
		return no_record(file, k, json);
	}
	o.lines = open_memstream(&decisions, &n_decisions);
	r = replay_new(policy ? set : NULL, print_line, &o);
	if (r == NULL || o.lines == NULL)
		return complain(json, EXIT_FAILURE, strerror(ENOMEM), NULL);
	k = replay_file(r, f, &result);
	(void)fclose(o.lines);
	if (o.json)
		print_json(&o, file, k, &result, decisions);
	else if (k > 0)
		printf("%s:%u: %s\n", file, result.line, result.what);
	else if (k < 0)
		fprintf(stderr, "%s:%u: %s\n", file, result.line, result.what[0] ? result.what : strerror(-k));
	else if (policy != NULL)
		printf("%lu events over %.1f s; these are decisions on what was seen, not on what the machine would have done then\n",
		       (unsigned long)result.events, (double)result.lasted / 1e6);
	else
		printf("%lu events over %.1f s: the same %lu actions\n", (unsigned long)result.events, (double)result.lasted / 1e6, (unsigned long)result.actions);
	if (!o.json && k == 0 && result.cut)
		puts("the record ends in mid-incident: the guard died, or FlightRecorder= or the room in the run directory was used up; what came after is not in it");
	return k == 0 ? 0 : k > 0 ? 1 : EX_DATAERR;
}
