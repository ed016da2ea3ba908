/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results: what came of the actions
 *
 * A write that failed makes its rung unusable for that cgroup and the next one is
 * taken; a cgroup that is gone is forgotten; a release that failed is tried again,
 * since an original value must not stay lost: ten times each second, then, said once,
 * every half minute for ever, which keeps neither alarm nor incident open. A helper that does not answer until
 * the deadline has failed, once again for a ranking. Answers to what is no longer in
 * flight (late, or of before a restart) change nothing.
 *
 * Somebody else's value in a squeezed file (systemd's daemon-reload, kubelet, a
 * person) is answered with ours again at most once a second; after five times we
 * give in and say so, since two writers that fight are worse than either. A limit
 * that is tighter than ours is nobody's fight: it is kept, and becomes ours.
 */
#include "core/engine-state.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "base/str.h"

#define OWN_MOST INT64_C(1000000000)    /* µs; beyond, it limits nothing, and the comparison would not fit */

static const char *error_words(int error)
{
	switch (error) {
	case ENOENT:
		return "no such file: the controller is off there or the kernel is too old";
	case ESTALE:
		return "it is gone";
	case EPERM:
	case EACCES:
		return "not permitted; is the cgroup tree mounted read-only, or a capability missing?";
	case ENODEV:
		return "no cgroup tree to act in is mounted";
	case ENOLCK:
		return "there is no undo journal, so nothing is changed; `reprieve status` says why";
	case EROFS:
		return "the cgroup tree is read-only";
	case ENOSPC:
		return "the undo journal has no room, so nothing was changed";
	case EINVAL:
		return "the kernel refused the value";
	case EBUSY:
		return "something is in the way";
	case ETIMEDOUT:
		return "no answer in time";
	default:
		return NULL;
	}
}

static void say_failed(struct engine *e, const struct inflight *f, const struct squeeze *s, int error, const char *then)
{
	struct reason r;
	struct action *a;
	const char *words = error_words(error);
	char text[REASON_TEXT_MAX];

	/* 64 writes that fail are one line, and so are their next attempts. */
	if (e->failed_verbs & (1u << f->verb))
		return;
	e->failed_verbs |= 1u << f->verb;
	if (s != NULL)
		r = s->reason;
	else {
		memset(&r, 0, sizeof(r));
		r.policy = -1;
		r.measured = r.limit = PERMYRIAD_UNKNOWN;
	}
	if (words != NULL)
		(void)str_format(text, sizeof(text), "%s failed: %s%s", verb_to_string(f->verb), words, then);
	else
		(void)str_format(text, sizeof(text), "%s failed with error %d%s", verb_to_string(f->verb), error, then);
	a = engine_report(e, WHY_FAILED, &r, f->verb == VERB_CHECK ? GROUP_NONE : f->group, text);
	if (a != NULL)
		a->value2 = f->verb;
}

static bool tighter(struct law_quota a, struct law_quota b)
{
	return a.quota_us > 0 && a.period_us > 0 && a.quota_us * b.period_us < b.quota_us * a.period_us;
}

/* What the cgroup has of its own, as it was found now: what it will be put back to, and never loosened. True where that
 * makes our value a smaller one. */
static bool take_own(struct engine *e, struct squeeze *s, enum verb knob, int64_t value, int64_t value2)
{
	int slot = groups_find(&e->groups, s->group);
	struct group_info *info = slot >= 0 ? &e->groups.slot[slot].info : NULL;
	bool ours = false;

	if (knob == VERB_WEIGHT && value > 0) {
		s->own_weight = (int32_t)MIN(value, INT32_MAX);
		ours = s->own_weight < s->weight;
		s->weight = MIN(s->weight, s->own_weight);
		if (info != NULL)
			info->weight = s->own_weight;
	} else if (knob == VERB_QUOTA && value != 0 && value2 > 0) {
		s->own = (struct law_quota) { .quota_us = MIN(value, OWN_MOST), .period_us = MIN(value2, OWN_MOST) };
		ours = tighter(s->own, s->quota);
		if (ours)
			s->quota = s->own;
		if (info != NULL) {
			info->quota_us = s->own.quota_us;
			info->period_us = s->own.period_us;
		}
	}
	return ours;
}

static enum rung rung_of(enum verb verb, const struct squeeze *s)
{
	switch (verb) {
	case VERB_WEIGHT:
	case VERB_IDLE:
		return RUNG_WEIGHT;
	case VERB_QUOTA:
		return RUNG_QUOTA;
	case VERB_PIDS:
		return RUNG_PIDS;
	case VERB_FREEZE:
		return RUNG_FREEZE;
	case VERB_KILL:
		return RUNG_KILL;
	case VERB_JAIL:
		return RUNG_JAIL;
	default:
		return (enum rung)s->rung;
	}
}

static void squeeze_failed(struct engine *e, const struct inflight *f, struct squeeze *s, int error)
{
	enum rung failed = rung_of(f->verb, s), next;
	struct ladder_case c;
	struct reason r = s->reason;

	if (error == ESTALE) {
		s->gone = true;
		return;
	}
	s->broken |= 1u << failed;
	s->knobs &= ~(1u << f->verb);
	if (failed != s->rung)
		return;
	c = squeeze_case(e, s->pool, groups_find(&e->groups, s->group), s->broken);
	c.inside = s->inside;
	c.weight_only = c.weight_only && s->weight_only;
	next = s->realtime ? RUNG_NONE : ladder_next(&c, failed);
	if (next == RUNG_NONE && failed == RUNG_QUOTA) {
		/* Better a lower weight than nothing, also for a pattern. */
		c.pattern = PATTERN_NONE;
		next = ladder_next(&c, RUNG_NONE) == RUNG_WEIGHT ? RUNG_WEIGHT : RUNG_NONE;
	}
	if (next != RUNG_NONE) {
		say_failed(e, f, s, error, "; the next rung is taken");
		squeeze_climb(e, s, next);
		return;
	}
	say_failed(e, f, s, error, "; left alone");
	memory_add(e, s->group, WHY_FAILED, e->now + (f->verb == VERB_RANK ? MEMORY_RANK : MEMORY_FAILED));
	r.why = WHY_FAILED;
	squeeze_release(e, s, &r);
}

static void release_result(struct engine *e, const struct inflight *f, struct squeeze *s, enum result_status status, int error)
{
	if (s == NULL || s->releasing != f->id)
		return;                 /* a part only, or an operator's */
	s->releasing = 0;
	if (status == RESULT_DONE || error == ESTALE) {
		if (squeeze_stuck(s)) {
			struct reason r = s->reason;

			r.lasting = e->now - s->since;
			r.measured = r.limit = PERMYRIAD_UNKNOWN;      /* of long ago */
			(void)engine_report(e, WHY_RECOVERED, &r, s->group, "could be released at last");
		}
		squeeze_drop(e, s);
		return;
	}
	s->tries = (uint8_t)MIN(s->tries + 1, RELEASE_TRIES + 1);
	s->retry_at = e->now + (s->tries < RELEASE_TRIES ? RELEASE_GAP : RELEASE_SLOW);
	if (s->tries == RELEASE_TRIES)
		say_failed(e, f, s, error, "; tried again every 30s");
}

static void settle(struct engine *e, const struct inflight *f, enum result_status status, int error, const struct result *r)
{
	struct squeeze *s = squeeze_find(e, f->group);
	int slot;

	switch (f->verb) {
	case VERB_RELEASE:
		if (f->group != GROUP_NONE)
			release_result(e, f, s, status, error);
		else if (status != RESULT_DONE)
			say_failed(e, f, NULL, error, "");
		break;
	case VERB_RANK:
		if (s == NULL || s->ranking != f->id)
			break;
		s->ranking = 0;
		if (s->release)
			break;
		if (status == RESULT_DONE && r != NULL)
			inside_ranked(e, s, r);
		else if (s->n_tasks == 0 && e->pools[s->pool].level < e->pools[s->pool].limit) {
			struct reason why = s->reason;  /* asked again, it would tell of another time */

			why.why = WHY_NOT;
			(void)engine_report(e, WHY_NOT, &why, s->group, "the ranking of its tasks came to nothing, and nobody is harmed any more");
			squeeze_release(e, s, &why);
		} else if (s->rounds < 2)
			s->todo |= 1u << VERB_RANK;
		else if (s->n_tasks > 0)
			s->rounds = RANK_ROUNDS;        /* what is lowered already helps without a steward */
		else
			squeeze_failed(e, f, s, error);
		break;
	case VERB_LIFELINE:
		slot = groups_find(&e->groups, f->group);
		if (slot < 0 || status == RESULT_DONE || error == ESTALE)
			break;
		if ((error == ENOTCONN || error == ETIMEDOUT || error == EAGAIN || error == EBUSY) && e->lifeline_tries < LIFELINE_TRIES) {
			/* The steward is not there yet, or has its hands full. What is wanted stays wanted. */
			e->groups.slot[slot].lifeline = LIFELINE_UNKNOWN;
			e->lifeline_retry = e->now + LIFELINE_GAP;
		} else
			say_failed(e, f, NULL, error, "");
		break;
	case VERB_CHECK:
		break;
	case VERB_TASKS_IDLE:
	case VERB_TASKS_OTHER:
	case VERB_JAIL:
		if (s == NULL || s->release)
			break;
		if (status == RESULT_DONE && r != NULL) {
			uint32_t n = MIN(r->n_tasks, MAX_SQUEEZED_TASKS - MIN(e->n_tasks, MAX_SQUEEZED_TASKS));

			if (f->verb != VERB_JAIL) {
				s->n_tasks = (uint16_t)(s->n_tasks + n);
				e->n_tasks += n;
				s->unsaid = (uint16_t)(s->unsaid + n);
				inside_say(e, s, false);
				slot = groups_find(&e->groups, f->group);
				if (slot >= 0 && n > 0 && f->verb == VERB_TASKS_IDLE)
					e->groups.slot[slot].lowered = true;
				/* They ended meanwhile, or another had lowered them. */
				if (s->n_tasks == 0 && ++s->empty >= RANK_ROUNDS)
					squeeze_failed(e, f, s, ESRCH);
				else if (s->n_tasks == 0)
					s->todo |= 1u << VERB_RANK;
			}
			break;
		}
		squeeze_failed(e, f, s, error);
		break;
	default:
		if (s == NULL || s->release || status == RESULT_DONE)
			break;
		/* Refused, since it has less already: then that. */
		if (error == EEXIST && r != NULL && take_own(e, s, f->verb, r->value, r->value2))
			s->todo |= 1u << f->verb;
		else
			squeeze_failed(e, f, s, error);
		break;
	}
}

int results_step(struct engine *e, const struct result *r)
{
	struct inflight f;
	uint32_t i;

	for (i = 0; i < e->n_inflight && e->inflight[i].id != r->action; i++)
		;
	if (i == e->n_inflight)
		return 0;
	f = e->inflight[i];
	e->inflight[i] = e->inflight[--e->n_inflight];
	settle(e, &f, r->status, r->status == RESULT_TIMED_OUT ? ETIMEDOUT : r->error, r);
	return 0;
}

void results_deadlines(struct engine *e)
{
	uint32_t i;

	/* Settling may emit, and so append: those deadlines are in the future. */
	for (i = e->n_inflight; i > 0; i--) {
		struct inflight f = e->inflight[i - 1];

		if (f.deadline > e->now)
			continue;
		e->inflight[i - 1] = e->inflight[--e->n_inflight];
		settle(e, &f, RESULT_TIMED_OUT, ETIMEDOUT, NULL);
	}
}

void results_drift(struct engine *e, const struct drift *d)
{
	struct squeeze *s = squeeze_find(e, d->group);
	struct action *a;
	struct reason r;
	bool less;

	if (s == NULL || s->release || s->gone || !(s->knobs & (1u << d->knob)))
		return;
	less = take_own(e, s, d->knob, d->value, d->value2);
	if ((s->drift_at && e->now - s->drift_at < DRIFT_GAP) || (d->knob == VERB_QUOTA && e->now - s->written < LAW_WRITE_GAP))
		return;
	if (s->drift_at && e->now - s->drift_at > USEC_PER_MIN * 10)
		s->drifts = 0;
	s->drift_at = e->now;
	r = s->reason;
	r.candidates[0].group = s->group;
	if (s->drifts++ < DRIFT_MOST) {
		r.why = WHY_REASSERT;
		r.lasting = e->now - s->since;
		a = s->drifts > 1 ? NULL :
		    engine_report(e, WHY_REASSERT, &r, s->group, less ? "somebody set a tighter limit than ours; theirs holds" :
				  "somebody rewrote our value; written again, at most once a second and five times");
		if (a != NULL)
			a->until = s->until;
		s->reason = r;
		if (d->knob == VERB_JAIL || d->knob == VERB_TASKS_IDLE || d->knob == VERB_TASKS_OTHER)
			s->todo |= 1u << VERB_RANK;
		else
			s->todo |= 1u << d->knob;
		if (d->knob == VERB_QUOTA)
			s->written = e->now;
		return;
	}
	r.why = WHY_YIELD;
	r.lasting = e->now - s->since;
	memory_add(e, s->group, WHY_YIELD, e->now + MEMORY_YIELDED);
	(void)engine_report(e, WHY_YIELD, &r, s->group, "somebody keeps rewriting our value; given in, left alone for 10min");
	squeeze_release(e, s, &r);
}
