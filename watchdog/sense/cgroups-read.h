/* SPDX-License-Identifier: Apache-2.0 */
/* cgroups-read: the directories of the hierarchies, and what one cgroup's files
 * say. Used by cgroups only. */
#pragma once

#include <stdbool.h>

#include "core/snapshot.h"
#include "sense/cgroups.h"
#include "sense/mounts.h"

/* Directories, -1 = not there; on v2 the same one everywhere. */
struct cgroups_trees {
	int measure, v2, pids, cpuacct, freezer;
	enum mounts_layout layout;
};
#define CGROUPS_TREES_INIT { -1, -1, -1, -1, -1, MOUNTS_V2 }

int  cgroups_trees_open(struct cgroups_trees *t, const char *root, const struct mounts *m); /* 0, -ENOENT */
void cgroups_trees_close(struct cgroups_trees *t);
int  cgroups_trees_get(const struct cgroups_trees *t, enum cgroups_tree which);

/* The directory of path below top; fd or -errno. */
int  cgroups_open_dir(int top, const char *path, int flags);

/* Sets flags (but NO_TARGET and IS_SELF), weight, quota, period from the files in dir. */
void cgroups_read_limits(const struct cgroups_trees *t, int dir, struct group_info *g);
