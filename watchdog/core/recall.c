/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recall: what a calm engine knows beyond policies, groups and seed
 *
 * A flight record begins in mid-life, and an engine that is made anew for its replay has
 * to be where the recorded one was: else a pause that ends in it asks for lifelines that
 * the replay has given long ago, or none where there are some. So all that outlives an
 * alarm is told as events here, and nothing else may outlive it.
 *
 * A fresh engine that is told a group asks for its lifeline, and is answered; only where
 * that was not so, it is said: in a pause, while an answer or the next try is due. Of
 * what waits for an answer, only what still changes something with nothing squeezed counts.
 */
#include "core/engine-state.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"

enum { PAUSE, NAMES, LIFTED, AGAIN, FAILED, ASKED = FAILED + _VERB_MAX };

static bool said_once(const struct engine *e, uint32_t i, struct event *ret)
{
	switch (i) {
	case PAUSE:
		ret->type = EVENT_OPERATOR;
		ret->order = (struct operator_order) { .verb = OPERATOR_PAUSE, .until = e->paused_until };
		memcpy(ret->order.reason, e->pause_reason, sizeof(ret->order.reason));
		return engine_paused(e);
	case NAMES:
		ret->type = EVENT_NAMES;
		ret->names = (struct names_news) { .state = NAMES_AWAITED, .since = e->names_since };
		return e->names_since != 0;
	case LIFTED:
		ret->type = EVENT_LIFTED;
		ret->lifted = (struct lifted_news) { .until = e->served_until, .barred = e->barred_until };
		return e->served_until > e->now || e->barred_until > e->now;
	case AGAIN:
		ret->type = EVENT_RECALL;
		ret->recall = (struct recall) { .what = RECALL_AGAIN, .verb = VERB_LIFELINE, .value = e->lifeline_tries, .at = e->lifeline_retry, .due = e->lifelines_due };
		return e->lifeline_tries || e->lifeline_retry || e->lifelines_due;
	default:
		ret->type = EVENT_RECALL;
		ret->recall = (struct recall) { .what = RECALL_FAILED, .verb = (enum verb)(i - FAILED) };
		return e->failed_verbs & (1u << (i - FAILED));
	}
}

static bool counts(enum verb verb)
{
	return verb == VERB_LIFELINE || verb == VERB_RELEASE;
}

/* What a fresh engine would have asked for. */
static int32_t expected(const struct engine *e, const struct group *x)
{
	return e->set.settings.mode == MODE_OBSERVE || (x->info.flags & (GROUP_IS_ROOT | GROUP_NO_TARGET)) ? -1 : x->lifeline_wanted;
}

bool engine_recall(const struct engine *e, uint32_t *at, struct event *ret)
{
	for (;;) {
		uint32_t i = (*at)++;

		ret->now = e->now;
		if (i < ASKED) {
			if (said_once(e, i, ret))
				return true;
			continue;
		}
		ret->type = EVENT_RECALL;
		i -= ASKED;
		if (i < e->n_inflight) {
			const struct inflight *f = &e->inflight[i];

			ret->recall = (struct recall) { .what = RECALL_ASKED, .verb = f->verb, .group = f->group, .action = f->id, .at = f->deadline };
			if (counts(f->verb))
				return true;
			continue;
		}
		i -= e->n_inflight;
		/* All have theirs, unless something holds that up: calm is not for walks through a thousand cgroups. */
		if (i >= e->groups.n || !(engine_paused(e) || e->lifeline_retry || e->lifelines_due || e->lifeline_hidden))
			return false;
		ret->recall = (struct recall) { .what = RECALL_HAS, .verb = VERB_LIFELINE, .group = e->groups.slot[e->groups.by_id[i]].info.id,
						.value = e->groups.slot[e->groups.by_id[i]].lifeline };
		if (ret->recall.value != expected(e, &e->groups.slot[e->groups.by_id[i]]))
			return true;
	}
}

int recall_step(struct engine *e, const struct recall *r)
{
	int slot = groups_find(&e->groups, r->group);

	if ((unsigned)r->verb >= _VERB_MAX)
		return -EINVAL;
	switch (r->what) {
	case RECALL_HAS:
		if (r->value < LIFELINE_UNKNOWN || r->value > 10000)
			return -EINVAL;
		if (slot >= 0)
			e->groups.slot[slot].lifeline = (int32_t)r->value;
		return 0;
	case RECALL_ASKED:
		if (!counts(r->verb) || r->action == 0 || r->action > INT64_MAX || e->n_inflight >= MAX_INFLIGHT)
			return -EINVAL;
		e->inflight[e->n_inflight++] = (struct inflight) { .id = r->action, .verb = r->verb, .group = r->group, .deadline = r->at };
		e->next_id = MAX(e->next_id, r->action + 1);
		return 0;
	case RECALL_FAILED:
		e->failed_verbs |= 1u << r->verb;
		return 0;
	case RECALL_AGAIN:
		if (r->value < 0 || r->value > INT32_MAX)
			return -EINVAL;
		e->lifeline_tries = (uint32_t)r->value;
		e->lifeline_retry = r->at;
		e->lifelines_due = r->due;
		return 0;
	case _RECALL_MAX:
		break;
	}
	return -EINVAL;
}
