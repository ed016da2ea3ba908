/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-engine: any record as a story for the engine: every event it can be made of,
 * in any order and of any value. No crash, no undefined arithmetic, no more actions
 * than are promised, ids that ascend, nothing that changes a machine in observe mode
 * or in a pause. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine.h"
#include "core/explain.h"
#include "core/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct policy_set set;

static void add(enum policy_kind kind, const char *name, enum importance as, uint8_t match, const char *glob)
{
	struct policy *p = &set.policies[set.n_policies++];

	*p = POLICY_INIT;
	p->kind = kind;
	p->as = as;
	memcpy(p->name, name, strlen(name) + 1);
	p->glob_first = set.n_globs;
	p->glob_n = 1;
	set.globs[set.n_globs].kind = match;
	memcpy(set.globs[set.n_globs++].text, glob, strlen(glob) + 1);
	if (kind == POLICY_ENDPOINT)
		memcpy(p->url, "http://127.0.0.1/", 18);
	if (kind == POLICY_THROTTLE)
		p->most = RUNG_KILL;
	policy_defaults(p);
}

static void policies(uint8_t byte)
{
	memset(&set, 0, sizeof(set));
	set.settings = SETTINGS_DEFAULT;
	set.settings.mode = (enum mode)(byte % _MODE_MAX);
	set.settings.rescue_for = USEC_PER_SEC;
	add(POLICY_PROTECT, "login", IMPORTANCE_LOGIN, MATCH_UNITS, "ssh*");
	add(POLICY_PROTECT, "db", IMPORTANCE_DATABASE, MATCH_PROCESSES, "postgres");
	add(POLICY_ENDPOINT, "shop", IMPORTANCE_HEALTH, MATCH_UNITS, "api*");
	add(POLICY_THROTTLE, "rest", IMPORTANCE_NONE, MATCH_CGROUPS, "*");
}

static void check(const struct engine *e, const struct actions *a, uint64_t *last, usec_t now)
{
	struct engine_view v;
	char text[EXPLAIN_MAX];

	engine_view(e, &v);
	if (a->n > MAX_ACTIONS || a->n_tasks > MAX_SQUEEZED_TASKS)
		abort();
	for (uint32_t i = 0; i < a->n; i++) {
		const struct action *x = &a->a[i];
		bool squeeze = x->verb >= VERB_WEIGHT && x->verb <= VERB_TASKS_OTHER;

		if (x->id <= *last || (unsigned)x->verb >= _VERB_MAX || x->task_first + x->n_tasks > a->n_tasks)
			abort();
		*last = x->id;
		if (squeeze && (v.mode == MODE_OBSERVE || v.paused_until > now))
			abort();
		if (squeeze && x->verb != VERB_KILL && x->until <= now)
			abort();
		if (memchr(explain_action(e, x, text, sizeof(text)), '\n', strlen(text)))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct trace_reader reader;
	static struct actions actions;
	static struct engine *e;
	const char *p = (const char *)data, *end = p + size;
	uint64_t last = 0;
	struct trace_item item;

	if (e == NULL)
		e = malloc(engine_size());
	if (e == NULL || size == 0)
		return 0;
	policies(*(const uint8_t *)p++);
	engine_init(e, &set, 1);
	memset(&reader, 0, sizeof(reader));
	reader.versioned = true;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl ? (size_t)(nl - p) + 1 : (size_t)(end - p);
		int k = trace_read(&reader, p, n, &item);

		p += n;
		if (k < 0 || item.type != TRACE_EVENT)
			continue;
		if (item.event.type == EVENT_POLICIES)
			item.event.policies = &set;
		if (engine_step(e, &item.event, &actions) == 0)
			check(e, &actions, &last, item.event.now);
		(void)engine_deadline(e);
		(void)engine_is_calm(e);
	}
	return 0;
}
