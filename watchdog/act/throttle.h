/* SPDX-License-Identifier: Apache-2.0 */
/* throttle: reads and writes the values of one cgroup, in v2's or v1's files, in
 * the order that the kernel accepts. Keeps no record: that is act.c's. Values are as
 * the files have them (journal.h says which is which). All give 0 or -errno with the
 * place's message set. */
#pragma once

#include "act/journal.h"
#include "act/tree.h"

#define THROTTLE_KILL_FREEZE (5 * USEC_PER_MSEC)        /* until frozen, before a kill without cgroup.kill */
#define THROTTLE_KILL_WAIT   (20 * USEC_PER_MSEC)       /* in all, until nobody is left that could fork */

int  throttle_read(const struct place *p, enum journal_kind kind, struct journal_values *ret);

/* From what is there to what shall be. A group already there is not written to: each
 * quota write refills the quota. */
int  throttle_write(const struct place *p, enum journal_kind kind, const struct journal_values *from, const struct journal_values *to);

bool throttle_equal(enum journal_kind kind, const struct journal_values *a, const struct journal_values *b);
/* Is `found` what we wrote, or (busy) may it be from the middle of what we wrote? */
bool throttle_is_ours(const struct journal_record *r, const struct journal_values *found);
/* What somebody else wrote wants to be put back to: quota, period and burst are three
 * values, and those of them that are still ours are put back to the original. */
struct journal_values throttle_theirs(const struct journal_record *r, const struct journal_values *found);

/* Pure: the content of cpu.max, "max 100000" or "5000 100000", into v[0] and v[1]. -EBADMSG. */
int throttle_parse_quota(const char *text, struct journal_values *ret);

/* The weight of v2 (1..10000) as the file has it, and back. */
int64_t throttle_weight_to_file(bool v2, int64_t weight);
int64_t throttle_weight_from_file(bool v2, int64_t value);

/* 1: frozen; 0: asked for, not yet; -errno. */
int  throttle_frozen(const struct place *p);

/* SIGKILL to all in `p` and, on v1, in `inner` (fd -1: none). frozen: the place the caller froze them in, thawed here once
 * they have their signal; NULL: none. */
int  throttle_kill(const struct place *p, const struct place *inner, const struct place *frozen, unsigned *ret_n);
