/* SPDX-License-Identifier: Apache-2.0 */
/* world: a small stage for engine stories. Cgroups, one snapshot that each test fills
 * as it likes, an engine whose actions are answered at once (unless told otherwise)
 * and kept as lines. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/macro.h"
#include "base/str.h"
#include "core/engine.h"
#include "core/explain.h"

#define MS USEC_PER_MSEC
#define SEC USEC_PER_SEC

struct world {
	struct engine *e;
	struct policy_set set;
	struct snapshot s;
	struct actions out;
	usec_t now;
	bool mute;                      /* leave actions unanswered */
	bool none_lowered;              /* tasks are gone when they are to be lowered */
	int fail[_VERB_MAX];            /* errno with which a verb fails */
	uint32_t count[_VERB_MAX];      /* actions since world_clear() */
	uint32_t whys[_WHY_MAX];        /* reports since world_clear() */
	struct action last[_VERB_MAX];
	struct task_ref ranked[MAX_TASKS], lowered[MAX_SQUEEZED_TASKS];
	uint32_t n_ranked, n_lowered;
	uint32_t verbs_of[512];         /* per group id: bits of verbs done and not released */
	struct law_values { int64_t quota, period; } quota[512];
	char lines[65536];
};

static inline struct policy *world_policy(struct world *w, enum policy_kind kind, const char *name, enum match_kind match, const char *glob)
{
	struct policy *p = &w->set.policies[w->set.n_policies++];

	*p = POLICY_INIT;
	p->kind = kind;
	(void)str_copy(p->name, sizeof(p->name), name);
	(void)str_format(p->source, sizeof(p->source), "50-test.policy:%d", w->set.n_policies);
	p->glob_first = w->set.n_globs;
	p->glob_n = 1;
	w->set.globs[w->set.n_globs].kind = (uint8_t)match;
	(void)str_copy(w->set.globs[w->set.n_globs++].text, GLOB_TEXT_MAX, glob);
	if (kind == POLICY_ENDPOINT)
		(void)str_copy(p->url, sizeof(p->url), "http://127.0.0.1:1/");
	policy_defaults(p);
	return p;
}

/* Enforce mode; sshd is the way in, postgres a database, everything else may be squeezed. */
static inline struct world *world_new(enum mode mode)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->e = calloc(1, engine_size());
	assert_non_null(w->e);
	w->set.settings = SETTINGS_DEFAULT;
	w->set.settings.mode = mode;
	world_policy(w, POLICY_PROTECT, "login", MATCH_UNITS, "ssh.service")->as = IMPORTANCE_LOGIN;
	world_policy(w, POLICY_PROTECT, "databases", MATCH_UNITS, "postgres*")->as = IMPORTANCE_DATABASE;
	world_policy(w, POLICY_THROTTLE, "everything-else", MATCH_CGROUPS, "*");
	w->now = 1000 * SEC;
	return w;
}

static inline void world_free(struct world *w)
{
	free(w->e);
	free(w);
}

static inline void world_clear(struct world *w)
{
	memset(w->count, 0, sizeof(w->count));
	memset(w->whys, 0, sizeof(w->whys));
	memset(w->last, 0, sizeof(w->last));
	w->lines[0] = 0;
}

static inline void world_step(struct world *w, struct event *event);

static inline void world_take(struct world *w)
{
	static struct action todo[MAX_ACTIONS];
	static char line[EXPLAIN_MAX];
	uint32_t n = w->out.n, i;

	memcpy(todo, w->out.a, n * sizeof(todo[0]));
	for (i = 0; i < n; i++) {
		const struct action *a = &todo[i];

		w->count[a->verb]++;
		w->last[a->verb] = *a;
		if (a->verb == VERB_REPORT)
			w->whys[a->reason.why]++;
		if (a->verb == VERB_TASKS_IDLE || a->verb == VERB_TASKS_OTHER || a->verb == VERB_JAIL) {
			memcpy(w->lowered, &w->out.tasks[a->task_first], a->n_tasks * sizeof(w->lowered[0]));
			w->n_lowered = a->n_tasks;
		}
		(void)str_appendf(w->lines, sizeof(w->lines), "[%8.3f] %s%s\n", (double)w->now / 1e6, a->verb == VERB_REPORT ? "" : "  ",
				  explain_action(w->e, a, line, sizeof(line)));
	}
	for (i = 0; i < n && !w->mute; i++) {
		const struct action *a = &todo[i];
		struct event ev = { .now = w->now, .type = EVENT_RESULT, .result = { .action = a->id, .status = RESULT_DONE } };

		if (a->verb == VERB_REPORT || a->verb == VERB_SENSE)
			continue;
		if (w->fail[a->verb]) {
			ev.result.status = RESULT_FAILED;
			ev.result.error = w->fail[a->verb];
		} else if (a->verb == VERB_RANK) {
			ev.result.tasks = w->ranked;
			ev.result.n_tasks = w->n_ranked;
		} else if (a->n_tasks)
			ev.result.n_tasks = w->none_lowered ? 0 : a->n_tasks;
		if (!w->fail[a->verb] && a->group < ELEMENTSOF(w->verbs_of)) {
			if (a->verb == VERB_RELEASE)
				w->verbs_of[a->group] &= a->value ? ~(uint32_t)a->value : 0;
			else if (a->verb <= VERB_TASKS_OTHER)
				w->verbs_of[a->group] |= 1u << a->verb;
			if (a->verb == VERB_QUOTA)
				w->quota[a->group] = (struct law_values) { a->value, a->value2 };
		}
		world_step(w, &ev);
	}
}

static inline void world_step(struct world *w, struct event *event)
{
	assert_int_equal(engine_step(w->e, event, &w->out), 0);
	world_take(w);
}

static inline void world_start(struct world *w)
{
	int index;
	char why[256];

	if (policy_validate(&w->set, &index, why, sizeof(why)) != 0)
		fail_msg("policy %d: %s", index, why);
	engine_init(w->e, &w->set, 1);
}

#define CAN_ALL (GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA | GROUP_CAN_IDLE | GROUP_CAN_PIDS | GROUP_CAN_FREEZE | GROUP_CAN_KILL)

static inline void world_group(struct world *w, uint64_t id, uint64_t parent, uint32_t flags, const char *path)
{
	struct group_info g = { .id = id, .parent = parent, .flags = flags, .weight = 100, .quota_us = -1, .period_us = 100000, .uid = UINT32_MAX };
	struct event ev = { .now = w->now, .type = EVENT_GROUP, .group = &g };
	const char *last = strrchr(path, '/');

	(void)str_copy(g.path, sizeof(g.path), path);
	(void)str_copy(g.name, sizeof(g.name), last && last[1] ? last + 1 : path);
	world_step(w, &ev);
}

/* "/", /system.slice (2) with ssh.service (3), and room for more below. */
static inline void world_tree(struct world *w)
{
	world_group(w, 1, GROUP_NONE, GROUP_IS_ROOT, "/");
	world_group(w, 2, 1, CAN_ALL, "/system.slice");
	world_group(w, 3, 2, CAN_ALL, "/system.slice/ssh.service");
}

/* An empty snapshot of `window`. */
static inline struct snapshot *world_begin(struct world *w, usec_t window, permyriad_t pressure)
{
	struct snapshot *s = &w->s;

	s->window = window;
	s->source = GROUP_SOURCE_BPF;
	s->pressure = PRESSURE_PSI;
	s->machine = (struct machine_sample) {
		.ncpu = 2, .user = 9000, .system = 500, .iowait = 0, .steal = 0, .irq = 0, .idle = 500, .cpu_some = pressure, .mem_some = 0, .mem_full = 0,
		.io_some = 0, .io_full = 0, .runnable = 10, .blocked = 0, .forks = 0, .tasks = 300, .tasks_max = 32768,
	};
	s->canary = (struct canary_sample) { -1, -1 };
	s->n_groups = s->n_cpu = 0;
	return s;
}

/* Ids must ascend. run and wait on each of both CPUs, µs. */
static inline struct group_sample *world_sample(struct world *w, uint64_t id, uint32_t run0, uint32_t wait0, uint32_t run1, uint32_t wait1)
{
	struct snapshot *s = &w->s;
	struct group_sample *g = &s->groups[s->n_groups++];

	*g = (struct group_sample) { .id = id, .run_us = run0 + run1, .wait_us = wait0 + wait1, .cpu_first = s->n_cpu, .psi_some_us = -1, .throttled_us = -1, .pids = -1 };
	if (run0 || wait0)
		s->cpu[s->n_cpu++] = (struct cpu_share) { 0, run0, wait0 };
	if (run1 || wait1)
		s->cpu[s->n_cpu++] = (struct cpu_share) { 1, run1, wait1 };
	g->cpu_n = s->n_cpu - g->cpu_first;
	return g;
}

static inline void world_send(struct world *w)
{
	struct event ev = { .now = w->now, .type = EVENT_SNAPSHOT, .snapshot = &w->s };

	world_step(w, &ev);
}

/* A calm poll 250 ms later. */
static inline void world_calm(struct world *w, permyriad_t pressure)
{
	w->now += 250 * MS;
	world_begin(w, 250 * MS, pressure);
	world_send(w);
}

#define assert_said(w, text) do { if (!strstr((w)->lines, text)) fail_msg("not said: %s\n%s", text, (w)->lines); } while (0)
#define assert_unsaid(w, text) do { if (strstr((w)->lines, text)) fail_msg("said: %s\n%s", text, (w)->lines); } while (0)
