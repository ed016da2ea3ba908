/* SPDX-License-Identifier: Apache-2.0 */
/* jail: some tasks of a cgroup in a child of it with a quota: on v2 a threaded child,
 * so that they keep the unit's memory, pids and device limits and its end; on v1 a
 * child in the cpu hierarchy alone. Undone: everything in it goes back, whoever
 * forked it, the child is removed, subtree_control is as it was. */
#pragma once

#include "act/journal.h"
#include "act/tree.h"
#include "core/action.h"

#define JAIL_NAME "reprieve-q"
#define JAIL_WAITS 20           /* of 1 ms, for tasks that are born or die in it, where a tick waits for us */

/* Makes the jail or changes its quota, and moves the tasks in. 0 with *ret_n moved
 * (also where the first were moved and the others had gone), or -errno: -EBUSY: the
 * cgroup has cgroups inside (v2); -ENOENT: no cpu controller there. A jail that
 * failed before anybody was moved is gone again. */
int jail_enter(struct journal *j, uint64_t id, uint64_t inode, const struct place *group, int64_t quota, int64_t period,
	       const struct task_ref *tasks, unsigned n, unsigned *ret_n);

/* Undoes it until tree_clock() `until`, sleeping at most `wait` times 1 ms: -ETIMEDOUT, and the rest the next time. */
int jail_leave(struct journal *j, struct journal_record *record, const struct place *group, usec_t until, unsigned wait,
	       unsigned *ret_n);

/* 1: the quota is as recorded; 0: it is not, or the jail is gone; -errno. */
int jail_check(const struct journal_record *record, const struct place *group);
