/* SPDX-License-Identifier: Apache-2.0 */
/* found: a plain list; it is made anew by each look for processes by name. */
#include "ctl/found.h"

#include "base/str.h"

void found_clear(struct found *f)
{
	f->n = 0;
	f->beyond = false;
}

static uint32_t position(const struct found *f, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < f->n && f->group[i].id != id; i++)
		;
	return i;
}

bool found_has(const struct found *f, uint64_t id)
{
	return position(f, id) < f->n;
}

void found_add(struct found *f, uint64_t id, const char *comm)
{
	uint32_t i = position(f, id);
	struct found_group *g = &f->group[i];

	if (id == GROUP_NONE)
		return;
	if (i == FOUND_MAX) {
		f->beyond = true;
		return;
	}
	if (i == f->n) {
		f->n++;
		g->id = id;
		g->n = 0;
	}
	if (g->n < GROUP_PROCS_MAX)
		str_copy(g->procs[g->n++], COMM_MAX, comm);
}
