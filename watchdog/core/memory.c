/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory: who is let alone for a while, and why
 *
 * What did not help is not tried again in this alarm; what a person released, or another
 * writer insisted on, is let alone beyond it. The list is short: the one that ends soonest
 * gives way.
 */
#include "core/engine-state.h"

/* No weight helps against real-time tasks: that it did not says nothing of them. */
bool memory_bars(const struct engine *e, uint64_t group, bool realtime)
{
	uint32_t i;

	for (i = 0; i < e->n_memories; i++) {
		const struct memory *m = &e->memories[i];

		if (m->group == group && m->until > e->now && (!realtime || m->realtime || m->why != WHY_NO_EFFECT))
			return true;
	}
	return false;
}

void memory_forget(struct engine *e)
{
	uint32_t i, n = 0;

	for (i = 0; i < e->n_memories; i++)
		if (e->memories[i].until > e->now && (e->memories[i].why == WHY_OPERATOR || e->memories[i].why == WHY_YIELD))
			e->memories[n++] = e->memories[i];
	e->n_memories = n;
}

void memory_add(struct engine *e, uint64_t group, enum why why, usec_t until)
{
	uint32_t i, at = e->n_memories, soonest = 0;
	const struct squeeze *s = squeeze_find(e, group);

	for (i = 0; i < e->n_memories; i++) {
		if (e->memories[i].group == group || e->memories[i].until <= e->now) {
			at = i;
			if (e->memories[i].group == group)
				break;
		}
		if (e->memories[i].until < e->memories[soonest].until)
			soonest = i;
	}
	if (at == MAX_MEMORIES)
		at = soonest;
	if (at == e->n_memories)
		e->n_memories++;
	e->memories[at] = (struct memory) { .group = group, .why = why, .realtime = s != NULL && s->realtime, .until = until };
}
