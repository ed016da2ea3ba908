/* SPDX-License-Identifier: Apache-2.0 */
/* knob: one value of one cgroup with its journal record: set it, put it back, see
 * whether it is still ours. Internal to act. */
#pragma once

#include "act/act.h"
#include "act/journal.h"
#include "act/tree.h"

#define ACT_TREES _JOURNAL_TREE_MAX

struct act {
	struct journal *journal;
	struct act_layout layout;       /* wanted; the journal's is in use while it holds records */
	struct tree trees[ACT_TREES];
	bool fake;
	act_say_t say;
	void *userdata;
	char message[ACT_MESSAGE_MAX];
	unsigned n_freezing;            /* asked for, not known to be frozen yet */
	struct { uint64_t action, group; usec_t since; } freezing[MAX_SQUEEZES];
};

void knob_say(struct act *a, const char *format, ...) _printf_(2, 3);

/* Opens the cgroup that this kind of value of `group` is in. path holds its path then. */
int knob_place(struct act *a, enum journal_kind kind, const struct group_info *group, struct place *ret,
		  char path[static GROUP_PATH_MAX]);
/* Opens the cgroup of a record, at its own path. */
int knob_place_of(struct act *a, const struct journal_record *record, struct place *ret, char path[static GROUP_PATH_MAX]);

/* Somebody's own limit, also one set in mid-squeeze, is never loosened: -EEXIST, and in ret what it is, as an action has it.
 * Of weights that are the same to an action, the file keeps the smaller. */
int knob_refuse(struct act *a, enum journal_kind kind, uint64_t group, const struct place *p, const struct journal_values *now,
		struct journal_values *to, int64_t ret[static 2]);

/* Journals and writes. 0 with what reading back gave, or -errno and things as before. */
int knob_set(struct act *a, enum journal_kind kind, enum verb verb, uint64_t group, const struct place *p,
		const struct journal_values *to, struct journal_values *ret);

enum knob_release { KNOB_NOTHING, KNOB_RESTORED, KNOB_LEFT };
/* enum knob_release and the record is gone, or -errno and it stays. */
int knob_release(struct act *a, struct journal_record *record);

/* 1: not ours any more, *ret_original: it is the original; 0: ours, or gone. */
int knob_drifted(struct act *a, struct journal_record *record, bool *ret_original);

/* A lifeline weight on a group; -1 takes it away. The weight of a squeeze on top of it stays. */
int knob_lifeline(struct act *a, uint64_t group, const struct place *p, int64_t weight, struct journal_values *ret);
