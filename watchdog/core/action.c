/* SPDX-License-Identifier: Apache-2.0 */
/*
 * action: the names of verbs, causes and whys
 *
 * They are part of two formats, the flight record and the JSON answers: a name
 * once released stays.
 */
#include "core/action.h"


static const char *const verbs[_VERB_MAX] = {
	[VERB_SENSE] = "sense", [VERB_WEIGHT] = "weight", [VERB_IDLE] = "idle", [VERB_QUOTA] = "quota",
	[VERB_PIDS] = "pids", [VERB_FREEZE] = "freeze", [VERB_KILL] = "kill", [VERB_JAIL] = "jail",
	[VERB_TASKS_IDLE] = "tasks-idle", [VERB_TASKS_OTHER] = "tasks-other", [VERB_RELEASE] = "release",
	[VERB_LIFELINE] = "lifeline", [VERB_RANK] = "rank", [VERB_CHECK] = "check", [VERB_REPORT] = "report",
};

static const char *const causes[_CAUSE_MAX] = {
	[CAUSE_NONE] = "none", [CAUSE_RUNAWAY] = "runaway", [CAUSE_OVERLOAD] = "overload", [CAUSE_SELF] = "self",
	[CAUSE_OWN_LIMIT] = "own-limit", [CAUSE_STEAL] = "steal", [CAUSE_BLOCKED] = "blocked", [CAUSE_IRQ] = "irq",
	[CAUSE_KERNEL] = "kernel", [CAUSE_REALTIME] = "realtime", [CAUSE_SCHED_EXT] = "sched-ext", [CAUSE_PIDS] = "pids",
};

static const char *const whys[_WHY_MAX] = {
	[WHY_ALARM] = "alarm", [WHY_CALM] = "calm", [WHY_INCIDENT_OPEN] = "incident-open",
	[WHY_INCIDENT_CLOSE] = "incident-close", [WHY_TRIAGE] = "triage", [WHY_HARM] = "harm",
	[WHY_NO_EFFECT] = "no-effect", [WHY_RECOVERED] = "recovered", [WHY_TOO_LONG] = "too-long",
	[WHY_RELAPSE] = "relapse", [WHY_OPERATOR] = "operator", [WHY_POLICY] = "policy", [WHY_REASSERT] = "reassert",
	[WHY_YIELD] = "yield", [WHY_VICTIM_WORSE] = "victim-worse", [WHY_WOULD] = "would", [WHY_NOT] = "not",
	[WHY_GONE] = "gone", [WHY_FAILED] = "failed", [WHY_LIFELINE] = "lifeline",
	[WHY_LOWERED] = "lowered", [WHY_JOURNAL] = "journal",
};

const char *verb_to_string(enum verb v) { return (unsigned)v < _VERB_MAX ? verbs[v] : "?"; }
const char *cause_to_string(enum cause v) { return (unsigned)v < _CAUSE_MAX ? causes[v] : "?"; }
const char *why_to_string(enum why v) { return (unsigned)v < _WHY_MAX ? whys[v] : "?"; }
