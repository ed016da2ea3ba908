/* SPDX-License-Identifier: Apache-2.0 */
/*
 * endpoints: what the health checks say, and whether lowered tasks made it worse
 *
 * Who answered well and does not any more is worse. Who was slow is worse if it takes
 * twice as long, or fails, which may be at once: a refused connection is no quick
 * answer. Who failed before has nothing to lose, and the time a refusal took is none to
 * compare with.
 *
 * Rankings follow each other within seconds, and by the second one an answer may
 * already be what the first one did. So it is compared with the answer before the first
 * lowering, for as long as the squeeze lasts. A check that was under way then says nothing, and
 * two bad answers in a row count.
 */
#include "core/engine-state.h"

#include "base/macro.h"

#define WORSE_ANSWERS 2

void endpoints_ask(struct engine *e)
{
	uint32_t i;

	for (i = 0; i < e->set.n_policies; i++) {
		struct endpoint *x = &e->endpoints[i];

		if (e->set.policies[i].kind != POLICY_ENDPOINT || (x->asked_at && e->now - x->asked_at < CHECK_GAP))
			continue;
		if (engine_emit(e, VERB_CHECK, i, e->set.policies[i].timeout + USEC_PER_SEC) != NULL) {
			x->asked_at = e->now;
			if (x->first_asked == 0)
				x->first_asked = e->now;
		}
	}
}

static enum answer answer_of(const struct engine *e, uint32_t i)
{
	const struct policy *p = &e->set.policies[i];
	const struct endpoint *x = &e->endpoints[i];
	usec_t since = x->known ? x->at : x->first_asked;

	/* Until the first answer it gets the benefit of the doubt; who asks in vain has no word. */
	if (p->kind != POLICY_ENDPOINT || (since != 0 && e->now - since >= MAX(ENDPOINT_FRESH, 2 * p->timeout)))
		return ANSWER_NONE;
	return x->known && x->bad >= 2 ? ANSWER_BAD : ANSWER_GOOD;
}

void endpoints_answers(const struct engine *e, uint8_t answers[static MAX_POLICIES])
{
	uint32_t i;

	for (i = 0; i < e->set.n_policies; i++)
		answers[i] = (uint8_t)answer_of(e, i);
}

bool endpoints_well(const struct engine *e, int policy)
{
	return policy >= 0 && policy < e->set.n_policies && answer_of(e, (uint32_t)policy) == ANSWER_GOOD;
}

/* The policy of the nth endpoint, -1: there are fewer. */
static int nth_endpoint(const struct engine *e, uint32_t n)
{
	int i;

	for (i = 0; i < e->set.n_policies; i++)
		if (e->set.policies[i].kind == POLICY_ENDPOINT && n-- == 0)
			return i;
	return -1;
}

static struct before answer_before(const struct endpoint *x)
{
	if (!x->known)
		return (struct before) { .known = false };
	return (struct before) { .known = true, .good = x->good, .slow = x->answered && !x->good ? x->took : 0 };
}

void endpoints_before(const struct engine *e, struct squeeze *s)
{
	uint32_t n;
	int i;

	s->lowered_at = e->now;
	for (n = 0; n < MAX_ENDPOINTS && (i = nth_endpoint(e, n)) >= 0; n++)
		s->before[n] = answer_before(&e->endpoints[i]);
}

static bool is_worse(const struct before *b, const struct endpoint *x)
{
	if (b->good)
		return !x->good;
	return b->slow > 0 && (!x->answered || x->took >= 2 * b->slow);
}

void endpoints_heard(struct engine *e, const struct endpoint_answer *x)
{
	const struct policy *policy = &e->set.policies[x->policy];
	struct endpoint *p = &e->endpoints[x->policy];
	uint32_t i, n;

	/* Nothing is remembered in calm: an answer may come when the alarm is over. */
	if (!e->alarm)
		return;
	p->known = true;
	p->good = x->good && x->took <= policy->good;
	p->answered = x->good && x->took < policy->timeout;
	p->bad = p->good ? 0 : (uint8_t)MIN(p->bad + 1, 100);
	p->took = x->took;
	p->at = e->now;
	for (n = 0; n < MAX_ENDPOINTS && nth_endpoint(e, n) != x->policy; n++)
		;
	for (i = 0; n < MAX_ENDPOINTS && i < e->n_squeezes; i++) {
		struct squeeze *s = &e->squeezes[i];
		struct before *b = &s->before[n];

		if (s->lowered_at == 0)
			continue;
		if (!b->known)
			*b = answer_before(p);
		else if (e->now - MIN(MIN(x->took, policy->timeout), e->now) >= s->lowered_at)
			b->worse = is_worse(b, p) ? (uint8_t)MIN(b->worse + 1, WORSE_ANSWERS) : 0;
	}
}

int endpoints_worse(const struct engine *e, const struct squeeze *s)
{
	uint32_t n;

	for (n = 0; n < MAX_ENDPOINTS; n++)
		if (s->before[n].worse >= WORSE_ANSWERS)
			return nth_endpoint(e, n);
	return -1;
}
