/* SPDX-License-Identifier: Apache-2.0 */
/* tasks: scheduling class of single tasks, journalled and put back, with what they
 * forked meanwhile. A task is its tid and start time; what has another start time is
 * not touched. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "act/journal.h"
#include "act/tree.h"
#include "core/action.h"

#define TASKS_ANCESTORS_MAX 32          /* steps up when asked whose child a task is; beyond: not ours */
#define TASKS_LINGER        (1 * USEC_PER_SEC)          /* for forks that had begun when their parent was put back */
#define TASKS_CHILDREN_MAX  256         /* descendants looked at outside the group; beyond: they stay lowered */
#define TASKS_CHILDREN_TIME (10 * USEC_PER_MSEC)        /* for that */
#define TASKS_SCAN_MAX      (20 * USEC_PER_MSEC)        /* looking for SCHED_IDLE tasks before a squeeze; beyond: it counts as having some */

struct task_stat {
	int32_t tid, ppid;
	uint64_t start;                 /* clock ticks since boot */
	bool kthread;
};

/* Pure: the text of /proc/TID/stat, whose comm may hold anything. 0 or -EBADMSG. */
int  task_stat_parse(const char *text, struct task_stat *ret);
int  task_stat_read(int32_t tid, struct task_stat *ret);        /* -ESRCH */

/* Lowers them to SCHED_IDLE (VERB_TASKS_IDLE) or SCHED_OTHER (VERB_TASKS_OTHER:
 * real-time and deadline ones only). Tasks that are gone or so already are passed
 * over. 0 with *ret_n = how many were changed, or, where there was none, the
 * first -errno (-ESTALE: all gone; -ENOSPC: journal). message: of `group`. */
int  tasks_lower(struct journal *j, enum verb verb, uint64_t id, uint64_t inode, const struct place *group,
		 const struct task_ref *tasks, unsigned n, unsigned *ret_n);

/* Puts back what a squeeze of this group by one of the verbs (mask of 1 << verb)
 * lowered, and for SCHED_IDLE what was forked below it; place and jail are where to
 * look for those (fd -1: gone, or none). Until tree_clock() `until`: -ETIMEDOUT, and the
 * rest the next time. 0 or -errno; what could not be put back stays recorded. A task
 * whose class somebody changed meanwhile is left: counted in *ret_left.
 *   Not final: the records of VERB_TASKS_IDLE stay, marked as released, and it has to be
 * called again, final, some time later (TASKS_LINGER). */
int  tasks_restore(struct journal *j, uint64_t id, uint32_t mask, const struct place *group, const struct place *jail,
		   bool final, usec_t until, unsigned *ret_n, unsigned *ret_left);
bool tasks_linger(const struct journal_record *since, bool *ret_over);  /* is it marked so? long enough? */
