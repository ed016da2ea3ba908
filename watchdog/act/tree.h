/* SPDX-License-Identifier: Apache-2.0 */
/* tree: a cgroup hierarchy to write into, and one cgroup of it held open. Every
 * path is opened beneath the hierarchy's root, through no symlink, and is the
 * cgroup that was meant only if its inode is. Files are then opened relative to
 * that directory: when the cgroup goes away in between, nothing is hit. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "act/layout.h"
#include "base/macro.h"
#include "base/units.h"
#include "core/limits.h"

#define TREE_FILE_MAX    256    /* bytes of a control file's content; beyond: -EFBIG */
#define TREE_CHECK_TASKS 4096   /* processes of a foreign tree's cgroup asked whose they are, about 5 us each; beyond: it is left alone */

struct tree {
	int fd;                         /* -1: there is no such hierarchy */
	bool v2, fake;
	const char *controller;         /* "cpu", "pids", "freezer" */
	char root[ACT_ROOT_MAX];
	char own[GROUP_PATH_MAX];       /* where we are ourselves; "" = not known */
};
#define TREE_INIT ((struct tree){ .fd = -1 })

/* root "": 0, and fd stays -1. -EINVAL: not a cgroup filesystem. */
int  tree_open(struct tree *t, const char *controller, const char *root, bool v2, bool fake);
void tree_close(struct tree *t);
bool tree_holds_us(const struct tree *t, const char *path);     /* we live in that cgroup or below it */

/* A cgroup held open. `message`, of `message_size` bytes, gets one sentence on each failure. */
struct place {
	int fd;
	bool v2, fake;
	const char *path;               /* the caller's */
	char *message;
	size_t message_size;
};

/* -ESTALE: it is gone, or it is another one (inode 0: any). One that was renamed (v1) is found by its inode. */
int  place_open(struct place *p, const struct tree *t, const char *path, uint64_t inode, char *message, size_t size);
int  place_child(struct place *p, const struct place *parent, const char *name);        /* name: one component. -ENOENT */
void place_close(struct place *p);      /* for _cleanup_ */
uint64_t place_inode(const struct place *p);                    /* 0: could not be read */
int  place_fail(const struct place *p, int error, const char *format, ...) _printf_(3, 4);      /* sets message, gives error */

/* Content without the final newline. -ENOENT: no such file; -ESTALE: no such cgroup any more. */
int  place_read(const struct place *p, const char *file, char ret[static TREE_FILE_MAX]);
int  place_read_number(const struct place *p, const char *file, int64_t *ret);  /* "max" = -1 */
int  tree_parse_number(const char *text, int64_t *ret);         /* pure: that content. -EBADMSG: no number from -1 on */
int  place_write(const struct place *p, const char *file, const char *text);    /* one write; what errno means is in message */
int  place_write_number(const struct place *p, const char *file, int64_t value);
bool place_has(const struct place *p, const char *file);

/* The numbers in a file of ids, read in pieces. */
struct idlist {
	int fd;
	unsigned n, at;
	char buf[2048];
};

int  idlist_open(struct idlist *l, const struct place *p, const char *file);
int  idlist_next(struct idlist *l);     /* an id > 0; 0: no more; -errno. Ids of other pid namespaces (0) are passed over */
void idlist_close(struct idlist *l);    /* for _cleanup_ */
const char *place_threads(const struct place *p);       /* name of the file that lists and takes tids */

/* Where the tasks of `group` (in `from`) are in another tree. It must be one cgroup
 * for all of them, not the root, and hold no others. -ENOENT with the reason in
 * group's message where it is not so, -ESTALE where there are no tasks. */
int  tree_find(const struct tree *t, const struct tree *from, const struct place *group, char ret_path[static GROUP_PATH_MAX],
	       uint64_t *ret_inode);

/* -errno after a failed call, and never 0. */
static inline int tree_errno(void)
{
	int e = errno;

	return e > 0 ? -e : -EIO;
}

usec_t tree_clock(void);                /* CLOCK_MONOTONIC, for budgets only */
