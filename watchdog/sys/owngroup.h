/* SPDX-License-Identifier: Apache-2.0 */
/* owngroup: a cgroup of our own in the cpu hierarchy, with a raised weight: the place
 * of the helpers in the foreground, and of the guard where real-time is refused. Under
 * systemd the units' CPUWeight= does this and nothing is made. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#define OWNGROUP_PATH_MAX 256

struct owngroup {
	int dirfd;                      /* -1: none */
	int procs_fd;                   /* cgroup.procs, open for writing: async-signal-safe entering */
	int home_fd;                    /* the same of where the visitor came from; -1: nobody visits */
	bool v2;
	char path[OWNGROUP_PATH_MAX];   /* absolute */
	char home[OWNGROUP_PATH_MAX * 4];       /* where its maker was then; "": not known */
};
#define OWNGROUP_INIT ((struct owngroup){ .dirfd = -1, .procs_fd = -1, .home_fd = -1 })

/* Where the cpu controller is mounted: absolute path. v2 is true for cgroup2. -ENOENT: nowhere. */
int owngroup_mount(char *buf, size_t size, bool *ret_v2);

/* The caller's own directory there; ret_mount: how much of it is the mount's path. */
int owngroup_self(char *buf, size_t size, size_t *ret_mount, bool *ret_v2);

/* One line of mountinfo: what it mounts, and where. For the tests. */
enum owngroup_kind { OWNGROUP_NEITHER, OWNGROUP_CPU, OWNGROUP_V2 };
enum owngroup_kind owngroup_parse(const char *line, char point[static OWNGROUP_PATH_MAX]);

/* Makes MOUNT/NAME (or takes the one left by an earlier run) with this weight on the
 * v2 scale. -EOPNOTSUPP: v2 without cpu in the root's subtree_control; nothing is made. */
int  owngroup_make(struct owngroup *g, const char *name, unsigned weight);
int  owngroup_weigh(const struct owngroup *g, unsigned weight); /* written only where it is another */
int  owngroup_enter(const struct owngroup *g);                  /* the caller; async-signal-safe */
int  owngroup_visit(struct owngroup *g);                        /* the same, until owngroup_go_home */
void owngroup_go_home(struct owngroup *g);
void owngroup_remove(struct owngroup *g);                       /* goes home, and so does what is left there; removes */
