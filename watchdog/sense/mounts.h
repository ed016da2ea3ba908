/* SPDX-License-Identifier: Apache-2.0 */
/* mounts: where which cgroup hierarchy is, from /proc/self/mountinfo. */
#pragma once

#include <stdbool.h>

#define MOUNTS_PATH_MAX 256     /* bytes of a mount point; a longer one is passed over */

enum mounts_layout {
	MOUNTS_V2,                      /* the measuring hierarchy is cgroup2 */
	MOUNTS_V1,                      /* ... is v1 cpu, and there is no cgroup2 */
	MOUNTS_HYBRID,                  /* ... is v1 cpu, and there is a cgroup2 beside (per-cgroup PSI) */
};

struct mounts {                 /* "" = not mounted */
	enum mounts_layout layout;
	char v2[MOUNTS_PATH_MAX];
	char cpu[MOUNTS_PATH_MAX], cpuacct[MOUNTS_PATH_MAX], pids[MOUNTS_PATH_MAX];
	char freezer[MOUNTS_PATH_MAX];
};

/* 0, -EINVAL: not mountinfo, -ENOENT: no hierarchy to measure in. The first mount
 * of a hierarchy whose own root is "/" wins, else its first. */
int mounts_parse(const char *mountinfo, struct mounts *ret);
int mounts_read(const char *root, struct mounts *ret);  /* paths stay without root */
