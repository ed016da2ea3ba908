/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causes: what is said of the trouble that no squeeze helps against
 *
 * Each finding once per alarm, when two windows agree on it, whether it decides or
 * stands beside a cause that leads to a squeeze: who squeezes a neighbour has to know
 * that the disk was slow as well. What is a level and not smoothed is said at once.
 */
#include "core/engine-state.h"

#include <string.h>

#include "base/macro.h"
#include "base/str.h"

_Static_assert(_FOUND_MAX <= ENGINE_FINDINGS, "status has no room for all of them");

void causes_measured(enum finding f, const struct found *x, struct reason *r, char text[static REASON_TEXT_MAX])
{
	bool tasks = f == FOUND_TASKS;

	r->measured = tasks ? PERMYRIAD_UNKNOWN : x->measured;
	r->limit = tasks ? PERMYRIAD_UNKNOWN : x->limit;
	(void)str_copy(text, REASON_TEXT_MAX, triage_measure(f));
	if (tasks)
		(void)str_format(text, REASON_TEXT_MAX, "%d %s (limit %d)", (int)x->measured, triage_measure(f), (int)x->limit);
}

static void say(struct engine *e, enum finding f)
{
	const struct found *x = &e->triage.found[f];
	const struct harm *h = &e->harm;
	char text[REASON_TEXT_MAX];
	struct reason r;

	memset(&r, 0, sizeof(r));
	r.policy = -1;
	r.cause = triage_cause(f);
	if (f == FOUND_OWN_LIMIT)
		r.victim = x->group;
	else if (f != FOUND_PIDS && h->n_victims > 0 && h->victims[0].level > 0)
		r.victim = h->victims[0].id;
	causes_measured(f, x, &r, text);
	/* Only of this cause there are several kinds. */
	(void)engine_report(e, WHY_TRIAGE, &r, x->group, r.cause == CAUSE_BLOCKED ? text : "");
}

void causes_say(struct engine *e)
{
	const struct triage *t = &e->triage;
	enum finding f;

	e->cause_windows = t->cause == e->cause_next ? (uint8_t)MIN(e->cause_windows + 1, 200) : 1;
	e->cause_next = t->cause;
	if (e->cause_windows >= 2 && (t->cause != CAUSE_NONE || !e->incident_since))
		e->cause = t->cause;
	e->found = t->all & (e->found_next | 1u << FOUND_OWN_LIMIT | 1u << FOUND_PIDS);
	e->found_next = t->all;
	for (f = 0; f < _FOUND_MAX; f++) {
		/* What is acted upon is said with the squeeze. */
		if (!(e->found & ~e->said & (1u << f)) || (triage_cause(f) == t->cause && triage_squeezes(t->cause)))
			continue;
		e->said |= 1u << f;
		say(e, f);
	}
}

uint32_t causes_view(const struct engine *e, struct engine_finding ret[static ENGINE_FINDINGS])
{
	uint32_t n = 0;
	enum finding f;

	for (f = 0; f < _FOUND_MAX; f++)
		if (e->found & (1u << f))
			ret[n++] = (struct engine_finding) {
				.cause = triage_cause(f), .measure = triage_measure(f), .measured = e->triage.found[f].measured,
				.limit = e->triage.found[f].limit, .group = e->triage.found[f].group, .tasks = f == FOUND_TASKS,
			};
	return n;
}
