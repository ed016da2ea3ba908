/* SPDX-License-Identifier: Apache-2.0 */
/* event: what the engine is told. `now` is CLOCK_BOOTTIME; it never goes back
 * (the engine refuses -EINVAL), and a step of more than EVENT_GAP since the last
 * snapshot means that the machine slept or the guard was late: that window is
 * not decided on. Pointers belong to the caller and are read during the step only. */
#pragma once

#include "core/action.h"
#include "core/policy.h"
#include "core/snapshot.h"

#define EVENT_GAP    (2 * USEC_PER_SEC)
#define EVENT_SERVED (30 * USEC_PER_SEC)        /* so long after it was interrupted rescue does not wait for RescueFor= again */
#define EVENT_BARRED (10 * USEC_PER_MIN)        /* what a person released is left alone for so long */

enum event_type {
	EVENT_SNAPSHOT,
	EVENT_GROUP,            /* a cgroup appeared or changed */
	EVENT_GROUP_GONE,
	EVENT_RESULT,
	EVENT_DRIFT,            /* a squeezed value was found to be somebody else's */
	EVENT_ENDPOINT,         /* a health check answered, outside of a VERB_CHECK too */
	EVENT_POLICIES,         /* a new set is in force */
	EVENT_OPERATOR,
	EVENT_NAMES,            /* how far the look for processes by name is */
	EVENT_LIFTED,           /* the squeezes of an earlier guard were put back, by itself or by command */
	EVENT_JOURNAL_LOST,     /* the undo journal was removed and cannot be written anew */
	EVENT_RECALL,           /* at the beginning of a replay only: what earlier actions came to, see engine_recall() */
	EVENT_TIMEOUT,          /* the deadline that engine_deadline() named has come */
	_EVENT_MAX
};

enum result_status { RESULT_DONE, RESULT_FAILED, RESULT_TIMED_OUT };

struct result {
	uint64_t action;
	enum result_status status;
	int error;                      /* errno where failed, 0 */
	int64_t value, value2;          /* as the action's: what reading back gave, where it makes sense; failed with EEXIST: its own limit, which is tighter */
	uint32_t n_tasks;               /* VERB_RANK: the tasks; VERB_TASKS_*: how many were changed */
	const struct task_ref *tasks;
};

struct drift {
	uint64_t group;
	enum verb knob;                 /* VERB_WEIGHT, VERB_IDLE, VERB_QUOTA, VERB_PIDS, VERB_FREEZE */
	bool original;                  /* the value found is the recorded original; else it became the new original */
	int64_t value, value2;          /* that original, as the action's; 0 = unknown */
};

struct endpoint_answer {
	int16_t policy;
	bool good;                      /* answered with 2xx or 3xx within Timeout= */
	usec_t took;
};

enum operator_verb { OPERATOR_RELEASE, OPERATOR_RELEASE_ALL, OPERATOR_PAUSE, OPERATOR_RESUME };

struct operator_order {
	enum operator_verb verb;
	uint64_t group;                 /* RELEASE */
	usec_t until;                   /* PAUSE: absolute */
	char reason[REASON_TEXT_MAX];   /* PAUSE: raw, hostile */
};

/* Who is protected by Processes= alone is known when the steward has looked once. */
enum names_state {
	NAMES_AWAITED,                  /* asked for, or about to be; since `since` */
	NAMES_KNOWN,                    /* all that were found have been told as EVENT_GROUP */
	NAMES_FAILED,                   /* nobody is there who could look */
	_NAMES_MAX
};

struct names_news {
	enum names_state state;
	usec_t since;                   /* AWAITED: not after now */
};

struct lifted_news {
	usec_t until;                   /* it had waited for RescueFor= already, so this one does not; absolute, at most EVENT_SERVED from now counts */
	usec_t barred;                  /* a person had everything released: nothing is squeezed; absolute, at most EVENT_BARRED from now counts */
};

enum recall_what {
	RECALL_HAS,                     /* group has a lifeline of this value, -1: none, -2: nobody knows; only where it is not as the policies have it */
	RECALL_ASKED,                   /* action, of this verb for this group, waits for its answer until `at` */
	RECALL_FAILED,                  /* it was said already that this verb failed */
	RECALL_AGAIN,                   /* lifelines are asked for again: as soon as may be where due, and at `at`; value: so often before */
	_RECALL_MAX
};

struct recall {
	enum recall_what what;
	enum verb verb;
	uint64_t group, action;
	int64_t value;
	usec_t at;                      /* absolute; 0 = never */
	bool due;
};

struct event {
	usec_t now;
	enum event_type type;
	union {
		const struct snapshot *snapshot;
		const struct group_info *group;
		uint64_t gone;
		struct result result;
		struct drift drift;
		struct endpoint_answer endpoint;
		const struct policy_set *policies;
		struct operator_order order;
		struct names_news names;
		struct lifted_news lifted;
		struct recall recall;
	};
};
