/* SPDX-License-Identifier: Apache-2.0 */
/* action: what the engine wants done. Each has an id and is answered by exactly
 * one EVENT_RESULT (done, failed or timed out). */
#pragma once

#include <stdint.h>

#include "base/units.h"
#include "core/limits.h"
#include "core/policy.h"

enum verb {
	/* value: bit set of enum sense_want. How closely to look from now on. */
	VERB_SENSE,

	/* Squeezes of a cgroup: the act layer journals the original, writes, reads back. */
	VERB_WEIGHT,            /* value: weight on the v2 scale */
	VERB_IDLE,              /* value: 1 cpu.idle */
	VERB_QUOTA,             /* value: quota µs, value2: period µs */
	VERB_PIDS,              /* value: pids.max, or -1: the current count; what is less already stays */
	VERB_FREEZE,
	VERB_KILL,              /* not reversible; opt-in only */
	VERB_JAIL,              /* tasks[]: into a threaded child (v2) or a sibling (v1); value: quota, value2: period */

	/* Squeezes of tasks of `group`: tasks[0..n_tasks), policy and nice journalled. */
	VERB_TASKS_IDLE,        /* SCHED_IDLE */
	VERB_TASKS_OTHER,       /* SCHED_FIFO/RR -> SCHED_OTHER */

	/* Puts everything of this group back (value 0), or only the knobs in value, a bit
	 * set of 1 << verb; the original is written and read back. GROUP_NONE: everything there is. */
	VERB_RELEASE,

	/* A lifeline weight on a protected unit. value: weight, -1: put back. */
	VERB_LIFELINE,

	/* Asks the steward for the tasks of `group`, by CPU time used in a short
	 * while, worst first. Answered with tasks in the result. */
	VERB_RANK,

	/* Asks for one turn of a health check; group is the endpoint's policy index. */
	VERB_CHECK,

	/* Says something: one line, see reason and core/explain.h. Always "done". Each
	 * decision has exactly one; what it leads to (64 VERB_QUOTA, say) carries the same
	 * reason but needs no line of its own. value: how many cgroups it speaks of (group
	 * is the first of them), value2: the verb decided on, or -1. */
	VERB_REPORT,
	_VERB_MAX
};

enum sense_want {
	SENSE_ALARM  = 1 << 0,  /* alarm tick instead of the calm one */
	SENSE_PROBE  = 1 << 1,  /* probe attached, cgroups read */
	SENSE_CANARY = 1 << 2,  /* canary takes turns */
	SENSE_SOON   = 1 << 3,  /* one snapshot after half an alarm tick */
};

/* What the triage can conclude. Only RUNAWAY and OVERLOAD lead to a squeeze. */
enum cause {
	CAUSE_NONE,
	CAUSE_RUNAWAY,          /* few, or a pattern that is no service load, harm others */
	CAUSE_OVERLOAD,         /* spread over many useful services */
	CAUSE_SELF,             /* the culprit is what we protect */
	CAUSE_OWN_LIMIT,        /* the victim is throttled by its own quota */
	CAUSE_STEAL,            /* the host takes the CPU away */
	CAUSE_BLOCKED,          /* D-state, memory or io pressure */
	CAUSE_IRQ,              /* softirq storm */
	CAUSE_KERNEL,           /* kernel threads */
	CAUSE_REALTIME,         /* a SCHED_FIFO/RR task */
	CAUSE_SCHED_EXT,        /* weights and quotas may mean nothing */
	CAUSE_PIDS,             /* the task table fills up */
	_CAUSE_MAX
};

/* Why a line is said or an action taken. */
enum why {
	WHY_ALARM, WHY_CALM,            /* pressure began, ended */
	WHY_INCIDENT_OPEN, WHY_INCIDENT_CLOSE,
	WHY_TRIAGE,                     /* the cause was named or changed */
	WHY_HARM,                       /* squeeze: protected tasks are harmed */
	WHY_NO_EFFECT,                  /* next rung, or undone: it did not help */
	WHY_RECOVERED,                  /* relaxed or released: victims are well */
	WHY_TOO_LONG,                   /* released: AtMost ran out */
	WHY_RELAPSE,                    /* tightened again */
	WHY_OPERATOR,                   /* released, paused, resumed by command */
	WHY_POLICY,                     /* policies changed */
	WHY_REASSERT, WHY_YIELD,        /* somebody rewrote our value; we gave in */
	WHY_VICTIM_WORSE,               /* undone: another protected service suffers more since */
	WHY_WOULD,                      /* observe mode, pause, or rescue not yet due: what would be done */
	WHY_NOT,                        /* what was not done, and why: text */
	WHY_GONE,                       /* target vanished */
	WHY_FAILED,                     /* an action failed */
	WHY_LIFELINE,
	WHY_LOWERED,                    /* so many tasks were lowered: text */
	WHY_JOURNAL,                    /* released: the undo journal is lost */
	_WHY_MAX
};

struct candidate {
	uint64_t group;
	permyriad_t blame;              /* part of all blame, of 10000 */
};

struct reason {
	enum why why;
	enum cause cause;
	uint64_t victim;                /* GROUP_NONE where nobody is named */
	permyriad_t measured, limit;    /* of what `why` and the policy speak; -1 = does not apply */
	usec_t lasting;                 /* how long it has lasted */
	int16_t policy;                 /* index into the set; -1 = built in (rescue) */
	uint8_t n_candidates;           /* [0] is the target where there is one */
	struct candidate candidates[MAX_CANDIDATES];
	char text[REASON_TEXT_MAX];     /* extra words, printable ASCII */
};

struct task_ref {
	int32_t pid, tid;
	uint64_t start;                 /* clock ticks since boot, /proc/TID/stat field 22: the identity */
	uint32_t cpu_pm;                /* part of one CPU it used while ranked, permyriad */
	uint8_t  policy;                /* SCHED_* */
	int8_t   nice;
	bool     keep;                  /* it, or its process, is named by a [Protect] Processes= or listens on the port of an [Endpoint] */
	char comm[COMM_MAX];            /* raw, hostile */
};

struct action {
	uint64_t id;                    /* ascending, never 0 */
	enum verb verb;
	uint64_t group;
	int64_t value, value2;
	uint64_t parent;                /* id of the action this one follows on, 0 = none */
	usec_t deadline;                /* a result is due by then */
	usec_t until;                   /* a squeeze, or what a report says of one, ends by itself then; 0 = does not apply */
	uint16_t task_first, n_tasks;   /* its part of actions.tasks[] */
	struct reason reason;
};

struct actions {
	uint32_t n, n_tasks;
	struct action a[MAX_ACTIONS];
	struct task_ref tasks[MAX_SQUEEZED_TASKS];
};

const char *verb_to_string(enum verb);
const char *cause_to_string(enum cause);
const char *why_to_string(enum why);
