/* SPDX-License-Identifier: Apache-2.0 */
/* remind: tells the engine again of cgroups it has forgotten. */
#include "ctl/remind.h"

#include "base/macro.h"

#define DEPTH_MAX 64            /* levels; beyond, the engine cuts the chain anyway */

struct busy {
	uint64_t id, us;
};

/* The busiest that the engine does not know, most first. */
static unsigned busiest(const struct engine *e, const struct snapshot *s, struct busy ret[static REMIND_MOST])
{
	unsigned n = 0, k;

	for (uint32_t i = 0; i < s->n_groups; i++) {
		const struct group_sample *g = &s->groups[i];
		struct busy b = { .id = g->id, .us = (uint64_t)g->run_us + g->wait_us };

		if (g->id == GROUP_OTHER || (usec_t)g->run_us * REMIND_LEAST < s->window || engine_group(e, g->id) != NULL ||
		    (n == REMIND_MOST && b.us <= ret[n - 1].us))
			continue;
		k = n < REMIND_MOST ? n++ : REMIND_MOST - 1;
		for (; k > 0 && ret[k - 1].us < b.us; k--)
			ret[k] = ret[k - 1];
		ret[k] = b;
	}
	return n;
}

unsigned remind(const struct engine *e, const struct cgroups *c, const struct snapshot *s, cgroups_changed_t tell, void *userdata)
{
	unsigned n, refused = 0, told = 0;
	struct busy unknown[REMIND_MOST];

	/* Mostly it knows all there are. */
	if (engine_groups(e) >= cgroups_count(c))
		return 0;
	n = busiest(e, s, unknown);
	for (unsigned i = 0; i < n && told < REMIND_MOST; i++) {
		const struct group_info *chain[DEPTH_MAX];
		unsigned depth = 0;

		for (uint64_t id = unknown[i].id; depth < DEPTH_MAX && id != GROUP_NONE && engine_group(e, id) == NULL; depth++) {
			chain[depth] = cgroups_find(c, id);
			if (chain[depth] == NULL)
				break;
			id = chain[depth]->parent;
		}
		if (depth == 0)
			continue;
		told += depth;
		do
			tell(chain[--depth], userdata);
		while (depth > 0 && engine_group(e, chain[depth]->id) != NULL);
		refused += engine_group(e, unknown[i].id) == NULL;
	}
	return refused;
}
