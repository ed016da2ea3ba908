/* SPDX-License-Identifier: Apache-2.0 */
/* cgroups: the table of cgroups in the measuring hierarchy (v2 where cpu is on v2,
 * else v1 cpu). Memory is taken at start; later steps are bounded in time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "core/snapshot.h"
#include "sense/mounts.h"

#define CGROUPS_MAX      8192   /* entries; beyond: not known by name, folded by the sampler, counted in cgroups_refused() */
#define CGROUPS_SELF_MAX 8      /* paths that are reprieve's own */

/* A cgroup appeared or changed in any field. A parent is told before its children. */
typedef void (*cgroups_changed_t)(const struct group_info *info, void *userdata);
typedef void (*cgroups_gone_t)(uint64_t id, void *userdata);

struct cgroups_config {
	const char *root;               /* "" or a directory that stands for / */
	const char *self[CGROUPS_SELF_MAX]; /* cgroup paths whose subtrees are reprieve's own; NULL = none */
	cgroups_changed_t changed;      /* may be NULL */
	cgroups_gone_t gone;            /* may be NULL */
	void *userdata;
};

struct cgroups;

/* 0 or -errno; -ENOENT: no usable hierarchy is mounted. Reads nothing of the tree yet. */
int cgroups_new(const struct cgroups_config *config, struct cgroups **ret);
struct cgroups *cgroups_free(struct cgroups *c);
const struct mounts *cgroups_mounts(const struct cgroups *c);
void cgroups_add_self(struct cgroups *c, const char *path);

/* The whole tree at once: at start and on request only. 0 or -errno. */
int cgroups_scan(struct cgroups *c);

/* Goes on with the endless walk for about `budget` of wall time: new, changed and
 * vanished cgroups. A walk of the tree takes many steps. */
void cgroups_step(struct cgroups *c, usec_t budget);

/* Makes an id known at once (and its ancestors), by file handle, which needs
 * CAP_DAC_READ_SEARCH. 0; -ESTALE: there is no such cgroup (any more); -EPERM,
 * -EOPNOTSUPP: no handles here, the walk finds it later; -ENOSPC. */
int cgroups_learn(struct cgroups *c, uint64_t id);
bool cgroups_handles(const struct cgroups *c);  /* does it work here? */

/* Is it still there? Forgets it (gone is called) and gives false if not. */
bool cgroups_check(struct cgroups *c, uint64_t id);

/* Is it in doubt whether a cgroup that had no cpu controller has none still? A manager turns
 * it on for all siblings at once, and the walk comes by minutes later. Then it, and what is
 * above it up to one that has cpu, is read again: at most once per CGROUPS_DOUBT. False: gone. */
#define CGROUPS_DOUBT USEC_PER_SEC
bool cgroups_in_doubt(const struct cgroups *c, uint64_t id, usec_t now);
bool cgroups_check_cpu(struct cgroups *c, uint64_t id, usec_t now);

const struct group_info *cgroups_find(const struct cgroups *c, uint64_t id);   /* NULL: not known */
unsigned cgroups_count(const struct cgroups *c);
const struct group_info *cgroups_at(const struct cgroups *c, unsigned i);      /* i < CGROUPS_MAX; NULL: a hole */
int  cgroups_index(const struct cgroups *c, uint64_t id);                      /* for cgroups_at(); -1: not known */
unsigned cgroups_refused(const struct cgroups *c);

/* From the steward. 0 or -ENOENT. changed is called if it is a change. */
int cgroups_set_name(struct cgroups *c, uint64_t id, const char *name);
int cgroups_set_procs(struct cgroups *c, uint64_t id, const char (*procs)[COMM_MAX], unsigned n);

/* Opens a file of a cgroup read-only. -ENOENT where the tree or the file is not there. */
enum cgroups_tree { CGROUPS_TREE_MEASURE, CGROUPS_TREE_V2, CGROUPS_TREE_PIDS, CGROUPS_TREE_CPUACCT };
int cgroups_open_file(const struct cgroups *c, uint64_t id, enum cgroups_tree tree, const char *file);

/* Pure parts. The display name: the nearest unit or container in the path, container
 * ids cut to 12 digits, else the last component. The uid of user-UID.slice, or UINT32_MAX. */
void cgroups_display_name(const char *path, char ret[static GROUP_NAME_MAX]);
uint32_t cgroups_uid(const char *path);
