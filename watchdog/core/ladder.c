/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ladder: what wastes nothing first
 *
 * A weight costs no CPU time but works only against the cgroup's own siblings, so it is
 * tried where the victim is one of them (or lives below one). A pattern, which is no
 * service load, goes to the quota at once: dozens of siblings at a tenth of the weight
 * are still several times the victim's (measured on 6.18, relief by weight needs up to
 * four times the login of relief by quota). Tasks are lowered only inside a cgroup that
 * is shared with what is protected; against other cgroups that does nothing (measured:
 * 26 and 37 s per login). Where such a cgroup answers its own health check well, that,
 * which wastes nothing, is all it gets for the sake of logins: no quota on its tasks.
 */
#include "core/ladder.h"

static bool ladder_fits(const struct ladder_case *c, enum rung rung)
{
	if (rung > c->most || (c->broken & (1u << rung)))
		return false;
	switch (rung) {
	case RUNG_WEIGHT:
		return !c->inside && (c->flags & GROUP_CAN_WEIGHT) && c->weight > 1 && c->weight_counts &&
		       (c->pattern == PATTERN_NONE || c->weight_only);
	case RUNG_QUOTA:
		return !c->inside && !c->weight_only && (c->flags & GROUP_CAN_QUOTA);
	case RUNG_TASKS:
		return c->inside;
	case RUNG_JAIL:
		return c->inside && !c->weight_only && !(c->healthy && c->pattern == PATTERN_NONE);
	case RUNG_PIDS:
		return !c->inside && !c->weight_only && c->pattern == PATTERN_FORKS && c->rising && (c->flags & GROUP_CAN_PIDS);
	case RUNG_FREEZE:
		return !c->inside && !c->weight_only && (c->flags & GROUP_CAN_FREEZE);
	case RUNG_KILL:
		return !c->inside && !c->weight_only;
	case RUNG_NONE:
	case _RUNG_MAX:
		break;
	}
	return false;
}

enum rung ladder_next(const struct ladder_case *c, enum rung rung)
{
	enum rung r;

	for (r = rung + 1; r < _RUNG_MAX; r++)
		if (ladder_fits(c, r))
			return r;
	return RUNG_NONE;
}

const char *ladder_why_not(const struct ladder_case *c)
{
	if (c->inside)
		return "its tasks share a cgroup with what is protected; allow Ladder=tasks for it";
	if (!(c->flags & (GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA)))
		return "the cpu controller is off there; Mode=rescue or enforce turns it on, or set CPUWeight= for a unit of its slice";
	if (c->weight_only && !c->weight_counts)
		return "it does useful work, so only its weight may change, and that does not compete with the victim's";
	if (c->weight_only)
		return "it does useful work, so only its weight may change, and that cannot go lower";
	if (c->most < RUNG_QUOTA)
		return "its policy allows no quota; raise Ladder=";
	return "no rung of the ladder that is allowed works there";
}
