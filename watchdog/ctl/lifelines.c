/* SPDX-License-Identifier: Apache-2.0 */
/* lifelines: the weights that were given beforehand, and who has been asked for them.
 *
 * Under systemd they go through the steward, who may come late or again: a row is what
 * shall hold, -1 where that is nothing but could not be asked for yet, and a new steward
 * is asked for all rows. Elsewhere act writes them. How
 * high they are is decided in core: by the engine for what policies name, by
 * policy_own_weight() for our own units, which are no cgroup the engine acts on. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "ctl/lifelines.h"
#include "sys/log.h"

#define WEIGHT_DEFAULT  100

/* Set once, said once: what was changed beforehand, and on whom; after -1: and put back. */
static void say_lifeline(struct driver *d, uint64_t group, const char *unit, int32_t before, int32_t after)
{
	struct action a = { .verb = VERB_LIFELINE, .group = group, .reason = { .why = WHY_LIFELINE } };
	char name[GROUP_PATH_MAX * 2], line[WHY_TEXT_MAX];

	str_escape(name, sizeof(name), unit);
	if (after < 0)
		str_format(line, sizeof(line), "lifeline: weight put back on %s, which has %d again", name, before < 0 ? WEIGHT_DEFAULT : before);
	else
		str_format(line, sizeof(line), "lifeline: weight %d on %s, which had %d", after, name, before < 0 ? WEIGHT_DEFAULT : before);
	why_log_add(&d->why, loop_now(d->loop), 0, &a, line);
	log_notice("%s", line);
}

static void put_back(struct driver *d, struct lifeline_row *row)
{
	say_lifeline(d, row->group, row->unit, row->before, -1);
	*row = d->facts.lifeline[--d->facts.n_lifeline];
}

static void lifeline_row(struct driver *d, uint64_t group, uint64_t asked, const char *unit, int32_t before, int32_t after, bool by_systemd, bool failed)
{
	struct lifeline_row *row = NULL;

	for (uint32_t i = 0; i < d->facts.n_lifeline; i++)
		if (d->facts.lifeline[i].group == group || strcmp(d->facts.lifeline[i].unit, unit) == 0)
			row = &d->facts.lifeline[i];
	if (after < 0 && (row == NULL || !failed)) {    /* put back: the row goes */
		if (row != NULL)
			put_back(d, row);
		return;
	}
	if (row == NULL) {
		if (d->facts.n_lifeline == LIFELINE_MAX)
			return;
		row = &d->facts.lifeline[d->facts.n_lifeline++];
		*row = (struct lifeline_row){ .before = before };
		if (!failed)
			say_lifeline(d, group, unit, before, after);
	}
	row->group = group;
	row->asked = asked;
	str_copy(row->unit, sizeof(row->unit), unit);
	if (before >= 0)
		row->before = before;
	row->after = after;
	row->by_systemd = by_systemd;
	row->failed = failed;
}

static int ask_lifeline(struct driver *d, uint64_t id, const char *path, int32_t weight)
{
	char unit[TALK_UNIT_MAX];
	int r = talk_unit_of_path(path, unit, sizeof(unit));

	if (r < 0)
		return r;
	talk_ask_lifeline(&d->helpers->out, id, unit, weight);
	return helpers_ask(d->helpers, ROLE_STEWARD);
}

bool lifelines_carry(struct driver *d, const struct action *a, const struct group_info *g, struct result *ret)
{
	struct result r = { .action = a->id, .status = RESULT_FAILED, .error = ENOTCONN };
	char unit[TALK_UNIT_MAX];

	if (d->systemd && g != NULL && talk_unit_of_path(g->path, unit, sizeof(unit)) == 0) {
		bool asked = ask_lifeline(d, a->id, g->path, (int32_t)a->value) == 0;

		/* Without a steward the row waits for one: on_hello() asks for all rows. */
		lifeline_row(d, a->group, a->id, g->path, g->weight, (int32_t)a->value, true, !asked);
		if (asked)
			return false;
		r = (struct result){ .action = a->id, .status = RESULT_DONE, .value = a->value };
	} else if (d->act != NULL) {
		int32_t before = g ? g->weight : -1;

		(void)act_carry_out(d->act, a, NULL, g, &r);
		lifeline_row(d, a->group, a->id, g ? g->path : "", before, (int32_t)a->value, false, r.status != RESULT_DONE);
	}
	*ret = r;
	return true;
}

void lifelines_own(struct driver *d)
{
	static const char *const own[_OWN_MAX] = {
		[OWN_GUARD] = "/system.slice/reprieve.service", [OWN_STEWARD] = "/system.slice/reprieve-steward.service",
		[OWN_COURIER] = "/system.slice/reprieve-courier.service",
	};

	for (unsigned i = 0; d->service && i < _OWN_MAX; i++) {
		int32_t weight = policy_own_weight(d->set, (enum own_unit)i);
		bool asked = false, have = false;

		for (uint32_t k = 0; k < d->facts.n_lifeline; k++)
			have = have || (d->facts.lifeline[k].after > 0 && strcmp(d->facts.lifeline[k].unit, own[i]) == 0);
		if ((weight > 0) == have)
			continue;
		if (helpers_have(d->helpers, ROLE_STEWARD))
			asked = ask_lifeline(d, HELPERS_OWN_ID | ++d->own_id, own[i], weight) == 0;
		lifeline_row(d, GROUP_NONE - 1 - i, HELPERS_OWN_ID | d->own_id, own[i], WEIGHT_DEFAULT, weight, true, !asked);
	}
}

/* A steward puts all back when it starts: what holds is asked for again. */
void lifelines_again(struct driver *d)
{
	for (uint32_t i = 0; i < d->facts.n_lifeline; i++) {
		struct lifeline_row *row = &d->facts.lifeline[i];

		if (!row->by_systemd)
			continue;
		row->asked = HELPERS_OWN_ID | ++d->own_id;
		row->failed = ask_lifeline(d, row->asked, row->unit, row->after) < 0;
	}
	lifelines_own(d);
}

void lifelines_gone(struct driver *d, uint64_t group)
{
	for (uint32_t i = 0; i < d->facts.n_lifeline; i++) {
		struct lifeline_row *row = &d->facts.lifeline[i];

		if (row->group != group)
			continue;
		/* A scope never comes back: the steward need not keep it in mind. */
		if (row->by_systemd && str_ends(row->unit, ".scope") && helpers_have(d->helpers, ROLE_STEWARD))
			(void)ask_lifeline(d, HELPERS_OWN_ID | ++d->own_id, row->unit, -1);
		*row = d->facts.lifeline[--d->facts.n_lifeline];
		return;
	}
}

void lifelines_answered(struct driver *d, uint64_t asked, int error)
{
	for (uint32_t i = 0; i < d->facts.n_lifeline; i++) {
		struct lifeline_row *row = &d->facts.lifeline[i];

		if (!row->by_systemd || row->asked != asked)
			continue;
		row->failed = error < 0;
		/* -ENOENT: it had put that back at its start. */
		if (row->after < 0 && (error == 0 || error == -ENOENT))
			put_back(d, row);
		return;
	}
}
