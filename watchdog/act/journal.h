/* SPDX-License-Identifier: Apache-2.0 */
/* journal: the undo journal, <rundir>/journal: the only record of what was changed.
 * One header and a fixed number of fixed-size slots, allocated at start, so that
 * lack of room shows before anything is squeezed. A record is on file before the
 * change it speaks of, is updated before each further change, and its slot is freed
 * after the original has been written back and read. Each record is checksummed and
 * names the boot: what does not check out is never acted on. Non-logging, but for
 * `say` while opening. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "act/layout.h"
#include "core/limits.h"

#define JOURNAL_FILE    "journal"
#define JOURNAL_HEADER_SIZE  4096
#define JOURNAL_RECORD_SIZE  1024
#define JOURNAL_SLOTS        1532       /* 1.5 MiB of tmpfs: 256 squeezes on three knobs and 512 tasks; beyond: -ENOSPC, the action is refused */
#define JOURNAL_FILE_SIZE    (JOURNAL_HEADER_SIZE + JOURNAL_SLOTS * JOURNAL_RECORD_SIZE)

enum journal_kind {
	JOURNAL_FREE,
	JOURNAL_WEIGHT,         /* v[0]: as in the file (v1 shares, v2 weight) */
	JOURNAL_IDLE,           /* v[0]: cpu.idle, v[1]: the weight file, which idle destroys */
	JOURNAL_QUOTA,          /* v[0]: quota, -1 = max; v[1]: period; v[2]: burst, -1 = no such file */
	JOURNAL_PIDS,           /* v[0]: -1 = max */
	JOURNAL_FREEZE,         /* v[0]: 0, 1 */
	JOURNAL_LIFELINE,       /* like WEIGHT */
	JOURNAL_JAIL,           /* original v[0]: was cpu in subtree_control; ours v[0..1]: quota, period */
	JOURNAL_TASK,           /* task */
	JOURNAL_SINCE,          /* original v[0]: clock ticks since boot from when on tasks of this group were lowered; v[1]: it had SCHED_IDLE
	                         * ones of its own; v[2]: ticks when released, 0 = is not */
	_JOURNAL_KIND_MAX
};

enum journal_tree { JOURNAL_CPU, JOURNAL_PIDS_TREE, JOURNAL_FREEZER, _JOURNAL_TREE_MAX };

struct journal_values {
	int64_t v[3];
};

/* What a task was. nice, prio and the deadline figures as sched_getattr gave them. */
struct journal_task {
	int32_t pid, tid;
	uint64_t start;                 /* clock ticks since boot */
	uint64_t runtime, deadline, period;
	uint32_t policy, prio, ours, previous;
	int32_t nice;
	uint32_t flags;                 /* SCHED_FLAG_RESET_ON_FORK and the deadline ones */
};

struct journal_record {
	uint64_t sum;                   /* of the rest; 0 = free slot */
	uint64_t boot[2];
	uint64_t path_sum;
	uint64_t group;                 /* the engine's id */
	uint64_t inode;                 /* of `path` in the tree below */
	uint8_t kind, tree, verb;       /* verb: whose squeeze it is, for the mask of a release */
	uint8_t busy;                   /* between two writes: any of original, ours, previous may be found */
	uint32_t depth;                 /* components of the path: parents first on v1 */
	union {
		struct {
			struct journal_values original, ours, previous;
		};
		struct journal_task task;
	};
};

struct journal;

enum { JOURNAL_E_LOCKED = 1, JOURNAL_E_NONE = 2 };

/* layout NULL: only an existing journal is opened (JOURNAL_E_NONE where there is
 * none); else one is made where there is none or it is not usable. JOURNAL_E_LOCKED:
 * another process has it. -ENOSPC, -EPERM (rundir is not ours alone), -errno. */
int  journal_new(struct journal **ret, const char *rundir, const struct act_layout *layout, act_say_t say, void *userdata);
struct journal *journal_free(struct journal *j);
const struct act_layout *journal_layout(const struct journal *j);       /* as in the header */
int  journal_set_layout(struct journal *j, const struct act_layout *layout);    /* only while journal_live() is 0: -EBUSY */

/* Puts a record on file; *ret: where it is from now on. -ENOSPC: no slot, -errno. */
int  journal_add(struct journal *j, const struct journal_record *record, const char *path, struct journal_record **ret);
/* Replaces what a record says, first on file, then in *record; on failure neither. */
int  journal_update(struct journal *j, struct journal_record *record, const struct journal_record *with);
int  journal_done(struct journal *j, struct journal_record *record);    /* frees the slot */

/* Somebody may have removed the file, or the lock, under us. 0: both are in place; 1: the file
 * was gone and is written anew; -EALREADY: another guard has the lock now; -errno: cannot be
 * written. journal_add() asks it, too. */
int  journal_keep(struct journal *j);
bool journal_anew(struct journal *j);   /* was it, by whichever call? True once */

/* Was it on file when the journal was opened, and has nobody claimed it since? */
bool journal_is_old(const struct journal *j, const struct journal_record *record);
void journal_claim(struct journal *j, const struct journal_record *record);

unsigned journal_live(const struct journal *j);
/* Live records, in slot order; NULL begins and ends. Adding and freeing while walking is fine. */
struct journal_record *journal_next(const struct journal *j, const struct journal_record *previous);
/* The record of this kind for this group; NULL. */
struct journal_record *journal_find(const struct journal *j, enum journal_kind kind, uint64_t group);
struct journal_record *journal_find_task(const struct journal *j, int32_t tid, uint64_t start);
/* The path it was made with, read from the file. 0 or -errno. */
int  journal_path(const struct journal *j, const struct journal_record *record, char ret[static GROUP_PATH_MAX]);

/* Sound records of this boot in RUNDIR's journal, whoever has it open; 0 also where there is none. */
unsigned journal_peek(const char *rundir);
int  journal_boot(uint64_t ret[static 2]);      /* this boot's id; 0 or -errno */

/* Pure: is this the record of a live slot, in itself sound? Fuzzed. */
bool journal_check(const void *slot, const uint64_t boot[2], struct journal_record *ret_record, char ret_path[static GROUP_PATH_MAX]);
void journal_seal(void *slot, const uint64_t boot[2]);       /* tests: makes boot and checksums of a slot right */
bool journal_path_is_sound(const char *path);   /* absolute, no "." or "..", no "//", not the root */
