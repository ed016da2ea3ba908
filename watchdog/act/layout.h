/* SPDX-License-Identifier: Apache-2.0 */
/* layout: where the hierarchies are that act writes to. Filled by the guard from
 * sense/mounts, stored in the journal's header for a restore without a guard. */
#pragma once

#include <stdbool.h>

#define ACT_ROOT_MAX     256    /* bytes of a mount point with NUL; beyond: refused -ENAMETOOLONG */

/* "" = there is none. group_info.id is the inode and group_info.path the path in
 * cpu_root. Two equal strings are one hierarchy. */
struct act_layout {
	char cpu_root[ACT_ROOT_MAX], pids_root[ACT_ROOT_MAX], freezer_root[ACT_ROOT_MAX];
	bool cpu_v2, pids_v2, freezer_v2;
};

/* One line for people, escaped, no newline. Called from within act_*. */
typedef void (*act_say_t)(void *userdata, const char *line);
