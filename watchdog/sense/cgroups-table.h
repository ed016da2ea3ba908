/* SPDX-License-Identifier: Apache-2.0 */
/* cgroups-table: the entries of the table of cgroups, found by id. Used by cgroups
 * only; what is public of it is in cgroups.h. */
#pragma once

#include <stdint.h>
#include <sys/stat.h>

#include "sense/cgroups-read.h"
#include "sense/cgroups.h"

#define CGROUPS_LIST 4096        /* bytes of a listing in hand: about a hundred names, some 50 µs */

enum { NONE = -1 };

struct entry {
	bool used;
	bool named;                     /* by the steward: keep it */
	bool cut;                       /* the path is longer than kept: never opened by it */
	uint32_t seen;                  /* the round of the walk that saw it last */
	usec_t checked;                 /* by cgroups_check_cpu(); 0: never */
	struct group_info info;
};

/* Apart from the entries: a look-up touches few lines of cache. */
struct key {
	uint64_t id;
	int32_t next;                   /* in its bucket, or in the free list */
	bool no_cpu;                    /* it cannot be squeezed, as far as is known */
};

struct cgroups {
	struct mounts mounts;
	struct cgroups_trees trees;
	char prefix[MOUNTS_PATH_MAX * 2];               /* path of `measure` as a descriptor shows it */
	char self[CGROUPS_SELF_MAX][GROUP_PATH_MAX];
	cgroups_changed_t changed;
	cgroups_gone_t gone;
	void *userdata;

	struct entry *entries;                          /* CGROUPS_MAX */
	struct key *keys;                               /* the same index */
	int32_t *buckets;
	int32_t free, cursor;
	unsigned count, high, added, refused, refused_now;
	uint32_t round;

	/* The listing in hand: children of entries[list_of] (list_id tells whether it still is). */
	int list_fd;
	int32_t list_of;
	uint64_t list_id;
	size_t list_at, list_n;
	char list[CGROUPS_LIST] __attribute__((aligned(8)));
};

int  cgroups_table_new(struct cgroups *c);              /* 0, -ENOMEM */
void cgroups_table_free(struct cgroups *c);

/* dir and st are of the cgroup; cut: path is longer than can be kept. Its index, or
 * -ENOSPC. Tells the caller's `changed`. */
int  cgroups_table_add(struct cgroups *c, uint64_t parent, const char *path, bool cut, int dir, const struct stat *st);
int  cgroups_table_forget(struct cgroups *c, int32_t i);        /* tells `gone`; -ESTALE, for handing on */
void cgroups_table_note(struct cgroups *c, int32_t i);          /* after its details were read */
void cgroups_table_told(struct cgroups *c, const struct group_info *g);
void cgroups_table_details(const struct cgroups *c, int dir, struct group_info *g);     /* what can change */
