/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain: what, why, measured value, limit, how long, by which policy, and who else
 *
 * One shape for everything that squeezes or lets go, so that lines can be read in a
 * column and searched: MEASURED > LIMIT for TIME (POLICY) -> WHAT on WHOM; next: ...;
 * for at most TIME, and what lets go: WHAT on WHOM after TIME (POLICY): MEASURED < LIMIT.
 * The numbers are those the engine decided by. Names come from the machine and are
 * hostile: escaped here, once.
 */
#include "core/explain.h"

#include <string.h>

#include "base/macro.h"
#include "base/str.h"

#define NAME_MAX_ (GROUP_NAME_MAX * 4 + 8)

const char *explain_group(const struct engine *e, uint64_t group, char *buf, size_t size)
{
	const struct group_info *g;

	if (group == GROUP_CANARY)
		(void)str_copy(buf, size, "the canary");
	else if (group == GROUP_OTHER)
		(void)str_copy(buf, size, "all other cgroups");
	else if (group == GROUP_NONE)
		(void)str_copy(buf, size, "nobody");
	else if ((g = engine_group(e, group)) == NULL)
		(void)str_format(buf, size, "cgroup %llu", (unsigned long long)group);
	else
		(void)str_escape(buf, size, g->name[0] ? g->name : g->path);
	return buf;
}

const char *explain_remedy(enum cause cause)
{
	switch (cause) {
	case CAUSE_OWN_LIMIT:
		return "raise its CPUQuota= or cpu limit; throttling others would not help";
	case CAUSE_STEAL:
		return "the host takes the CPU away: a T instance out of credits (unlimited mode, or another type), or a noisy host";
	case CAUSE_BLOCKED:
		return "tasks wait for memory or disk, which no squeeze shortens: look at memory.pressure and io.pressure, or at the tasks in state D";
	case CAUSE_IRQ:
		return "interrupts use the CPU: look at /proc/softirqs and the network; no cgroup is to blame";
	case CAUSE_KERNEL:
		return "kernel threads use the CPU: look at /proc/pressure/memory and io (kswapd, kworker); they cannot be squeezed";
	case CAUSE_SCHED_EXT:
		return "a sched_ext scheduler is loaded, weights and quotas may mean nothing: stop it, then reprieve can help";
	case CAUSE_REALTIME:
		return "a real-time task takes the CPU: run it without SCHED_FIFO or SCHED_RR";
	case CAUSE_PIDS:
		return "the task table is nearly full: stop what forks, or raise kernel.pid_max and kernel.threads-max";
	case CAUSE_SELF:
		return "what is protected is itself the culprit: look into its own work";
	case CAUSE_NONE:
	case CAUSE_RUNAWAY:
	case CAUSE_OVERLOAD:
	case _CAUSE_MAX:
		break;
	}
	return "";
}

static const char *const cause_words[_CAUSE_MAX] = {
	[CAUSE_NONE] = "no cause known", [CAUSE_RUNAWAY] = "a runaway", [CAUSE_OVERLOAD] = "overload by many",
	[CAUSE_SELF] = "the culprit is protected", [CAUSE_OWN_LIMIT] = "throttled by its own limit",
	[CAUSE_STEAL] = "stolen CPU time", [CAUSE_BLOCKED] = "memory or disk", [CAUSE_IRQ] = "interrupts",
	[CAUSE_KERNEL] = "kernel threads", [CAUSE_REALTIME] = "a real-time task", [CAUSE_SCHED_EXT] = "sched_ext",
	[CAUSE_PIDS] = "the task table fills up",
};

static void add_policy(const struct engine *e, const struct reason *r, char *buf, size_t size)
{
	const struct policy_set *set = engine_policies(e);
	char file[sizeof(set->policies[0].source) * 4], name[NAME_TEXT_MAX * 4];
	const char *end;

	if (r->policy < 0 || r->policy >= set->n_policies) {
		if (set->settings.mode == MODE_RESCUE)
			(void)str_append(buf, size, " (rescue)");
		return;
	}
	(void)str_escape(name, sizeof(name), set->policies[r->policy].name);
	end = strstr(set->policies[r->policy].source, ".policy");
	if (end == NULL)
		(void)str_appendf(buf, size, " (%s)", name);
	else {
		(void)str_escape_n(file, sizeof(file), set->policies[r->policy].source, (size_t)(end - set->policies[r->policy].source));
		(void)str_appendf(buf, size, " (%s/%s)", file, name);
	}
}

/* "cpu wait of X 97.31% > 75%" */
static void add_wait(const struct engine *e, const struct reason *r, char *buf, size_t size)
{
	char name[NAME_MAX_], m[UNITS_TEXT_MAX], l[UNITS_TEXT_MAX];

	(void)str_append(buf, size, "cpu wait");
	if (r->victim != GROUP_NONE)
		(void)str_appendf(buf, size, " of %s", explain_group(e, r->victim, name, sizeof(name)));
	if (r->measured >= 0) {
		(void)str_appendf(buf, size, " %s", units_format_permyriad(r->measured, m));
		if (r->limit >= 0)
			(void)str_appendf(buf, size, " %s %s", r->measured >= r->limit ? ">" : "<", units_format_permyriad(r->limit, l));
	}
}

/* "... for 100ms (30-throttle/everything-else)" */
static void add_measured(const struct engine *e, const struct reason *r, char *buf, size_t size)
{
	char t[UNITS_TEXT_MAX];

	add_wait(e, r, buf, size);
	if (r->lasting > 0)
		(void)str_appendf(buf, size, " for %s", units_format_usec(r->lasting / USEC_PER_MSEC * USEC_PER_MSEC, t));
	add_policy(e, r, buf, size);
}

static void add_candidates(const struct engine *e, const struct reason *r, uint32_t first, const char *lead, char *buf, size_t size)
{
	char name[NAME_MAX_];
	uint32_t i;

	for (i = first; i < r->n_candidates && i < MAX_CANDIDATES; i++)
		(void)str_appendf(buf, size, "%s%s %d%%", i == first ? lead : ", ",
				  explain_group(e, r->candidates[i].group, name, sizeof(name)), (r->candidates[i].blame + 50) / 100);
}

/* "on X", or "on 64 cgroups under /system.slice". */
static void add_target(const struct engine *e, const struct action *a, char *buf, size_t size)
{
	char name[GROUP_PATH_MAX * 2];
	const struct group_info *g, *up;

	if (a->group == GROUP_NONE)
		return;
	if (a->verb != VERB_REPORT || a->value <= 1) {
		(void)str_appendf(buf, size, " on %s", explain_group(e, a->group, name, sizeof(name)));
		return;
	}
	(void)str_appendf(buf, size, " on %lld cgroups", (long long)a->value);
	g = engine_group(e, a->group);
	up = g ? engine_group(e, g->parent) : NULL;
	if (up != NULL && up->path[0])
		(void)str_appendf(buf, size, " under %s", str_escape(name, sizeof(name), up->path));
}

/* A squeeze ends by itself. */
static void add_until(const struct engine *e, const struct action *a, char *buf, size_t size)
{
	usec_t now = engine_now(e), left = a->until > now && a->until - now < USEC_INFINITY / 2 ? a->until - now : 0;
	char t[UNITS_TEXT_MAX];

	left = (left + USEC_PER_SEC / 2) / USEC_PER_SEC * USEC_PER_SEC;
	if (left > 0)
		(void)str_appendf(buf, size, "; for at most %s", units_format_usec(left, t));
}

static void what(const struct engine *e, const struct action *a, char *buf, size_t size)
{
	char q[UNITS_TEXT_MAX], p[UNITS_TEXT_MAX];

	switch (a->verb) {
	case VERB_SENSE:
		(void)str_append(buf, size, a->value == 0 ? "look from afar" : "look closely");
		return;
	case VERB_WEIGHT:
		(void)str_appendf(buf, size, "weight %lld", (long long)a->value);
		break;
	case VERB_QUOTA:
	case VERB_JAIL:
		(void)str_appendf(buf, size, "%s%s/%s", a->verb == VERB_JAIL ? "jail with quota " : "quota ",
				  units_format_usec((usec_t)MAX(a->value, 0), q), units_format_usec((usec_t)MAX(a->value2, 0), p));
		break;
	case VERB_PIDS:
		(void)str_append(buf, size, a->value < 0 ? "no new tasks (pids.max at the current count)" : "pids.max");
		break;
	case VERB_TASKS_IDLE:
		(void)str_appendf(buf, size, "SCHED_IDLE for %u tasks", (unsigned)a->n_tasks);
		break;
	case VERB_TASKS_OTHER:
		(void)str_appendf(buf, size, "SCHED_OTHER for %u real-time tasks", (unsigned)a->n_tasks);
		break;
	case VERB_RELEASE:
		(void)str_append(buf, size, a->value == 0 ? "release" : "release of what the next rung replaces");
		break;
	case VERB_LIFELINE:
		if (a->value < 0)
			(void)str_append(buf, size, "lifeline weight put back");
		else
			(void)str_appendf(buf, size, "lifeline weight %lld", (long long)a->value);
		break;
	case VERB_RANK:
		(void)str_append(buf, size, "rank the tasks");
		break;
	case VERB_CHECK:
		(void)str_append(buf, size, "health check");
		return;
	default:
		(void)str_append(buf, size, verb_to_string(a->verb));
		break;
	}
	add_target(e, a, buf, size);
}

static void report(const struct engine *e, const struct action *a, char *buf, size_t size)
{
	const struct reason *r = &a->reason;
	char m[UNITS_TEXT_MAX], l[UNITS_TEXT_MAX], t[UNITS_TEXT_MAX], name[NAME_MAX_];
	const char *remedy = explain_remedy(r->cause);
	usec_t lasting = r->lasting / USEC_PER_MSEC * USEC_PER_MSEC;

	switch (r->why) {
	case WHY_ALARM:
		(void)str_appendf(buf, size, "alarm: %s", r->text[0] ? r->text : "cpu pressure");
		if (r->measured >= 0)
			(void)str_appendf(buf, size, " %s %s %s", units_format_permyriad(r->measured, m), r->measured > r->limit ? ">" : ">=", units_format_permyriad(r->limit, l));
		return;
	case WHY_CALM:
		(void)str_appendf(buf, size, "calm: cpu pressure %s", r->measured < 0 ? "unknown" : units_format_permyriad(r->measured, m));
		return;
	case WHY_INCIDENT_OPEN:
		(void)str_append(buf, size, "incident: ");
		add_measured(e, r, buf, size);
		(void)str_appendf(buf, size, ": %s", cause_words[(unsigned)r->cause < _CAUSE_MAX ? r->cause : CAUSE_NONE]);
		add_candidates(e, r, 0, "; to blame: ", buf, size);
		if (r->text[0])
			(void)str_appendf(buf, size, "; %s", r->text);
		return;
	case WHY_INCIDENT_CLOSE:
		(void)str_appendf(buf, size, "incident over after %s: nobody is harmed, %s", units_format_usec(lasting, t),
				  r->text[0] ? r->text : "nothing is squeezed");
		return;
	case WHY_TRIAGE:
		(void)str_appendf(buf, size, "cause: %s", cause_words[(unsigned)r->cause < _CAUSE_MAX ? r->cause : CAUSE_NONE]);
		if (a->group != GROUP_NONE)
			(void)str_appendf(buf, size, ", %s", explain_group(e, a->group, name, sizeof(name)));
		if (r->text[0])
			(void)str_appendf(buf, size, ", %s", r->text);
		if (r->measured >= 0)
			(void)str_appendf(buf, size, "%s%s (limit %s)", r->text[0] ? " " : ", ", units_format_permyriad(r->measured, m),
					  r->limit < 0 ? "unknown" : units_format_permyriad(r->limit, l));
		if (remedy[0])
			(void)str_appendf(buf, size, "; %s", remedy);
		return;
	case WHY_OPERATOR:
	case WHY_POLICY:
	case WHY_JOURNAL:
		(void)str_append(buf, size, r->why == WHY_OPERATOR ? "by command: " : r->why == WHY_POLICY ? "policies: " : "undo journal lost: ");
		if (a->group != GROUP_NONE)
			(void)str_appendf(buf, size, "%s ", explain_group(e, a->group, name, sizeof(name)));
		(void)str_append(buf, size, r->text[0] ? r->text : "a new set is in force");
		if (r->lasting > 0 && r->why == WHY_OPERATOR)
			(void)str_appendf(buf, size, " (%s)", units_format_usec(lasting, t));
		return;
	case WHY_WOULD:
	case WHY_NOT:
	case WHY_HARM:
	case WHY_NO_EFFECT:
	case WHY_RELAPSE:
	case WHY_VICTIM_WORSE:
	case WHY_FAILED:
	case WHY_LOWERED:
		add_measured(e, r, buf, size);
		(void)str_appendf(buf, size, " -> %s%s", r->why == WHY_WOULD ? "would set " : r->why == WHY_NOT ? "nothing done: " :
				  r->why == WHY_RELAPSE ? "again " : "", r->text);
		add_target(e, a, buf, size);
		if (r->why != WHY_LOWERED)
			add_candidates(e, r, 1, "; next: ", buf, size);
		add_until(e, a, buf, size);
		return;
	case WHY_RECOVERED:
	case WHY_TOO_LONG:
	case WHY_REASSERT:
	case WHY_YIELD:
	case WHY_GONE:
	case WHY_LIFELINE:
	case _WHY_MAX:
		break;
	}
	(void)str_append(buf, size, r->text[0] ? r->text : why_to_string(r->why));
	add_target(e, a, buf, size);
	if (lasting > 0)
		(void)str_appendf(buf, size, " after %s", units_format_usec(lasting, t));
	add_policy(e, r, buf, size);
	if (r->why == WHY_TOO_LONG || r->why == WHY_REASSERT || r->why == WHY_YIELD)
		add_candidates(e, r, 1, "; next: ", buf, size);
	/* Of the others it is what was measured when the squeeze began. */
	if ((r->why == WHY_RECOVERED || r->why == WHY_TOO_LONG) && r->measured >= 0) {
		(void)str_append(buf, size, ": ");
		add_wait(e, r, buf, size);
	}
	add_until(e, a, buf, size);
}

const char *explain_action(const struct engine *e, const struct action *a, char *buf, size_t size)
{
	if (size == 0)
		return buf;
	buf[0] = 0;
	if (a->verb == VERB_REPORT) {
		report(e, a, buf, size);
		return buf;
	}
	if (a->reason.why == WHY_HARM || a->reason.why == WHY_NO_EFFECT || a->reason.why == WHY_RELAPSE) {
		add_measured(e, &a->reason, buf, size);
		(void)str_append(buf, size, " -> ");
	} else if (a->verb != VERB_SENSE && a->verb != VERB_CHECK)
		(void)str_appendf(buf, size, "%s: ", why_to_string(a->reason.why));
	what(e, a, buf, size);
	if (a->reason.why == WHY_HARM || a->reason.why == WHY_NO_EFFECT || a->reason.why == WHY_RELAPSE)
		add_candidates(e, &a->reason, 1, "; next: ", buf, size);
	if (a->verb != VERB_RANK && a->verb != VERB_SENSE)
		add_until(e, a, buf, size);
	return buf;
}
