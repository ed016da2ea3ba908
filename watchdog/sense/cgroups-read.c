/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroups-read: opens the hierarchies and reads one cgroup's limits.
 *
 * On v2 everything is in one directory, and a file is there exactly where its
 * controller is on. On v1 cpu's files are in the measuring hierarchy; pids and
 * freezer have trees of their own, of which only the same path is looked at: a
 * manager makes them alike, and who acts checks again.
 */
#include "sense/cgroups-read.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/str.h"
#include "sense/cgfile.h"

static int open_tree(const char *root, const char *mount)
{
	char full[MOUNTS_PATH_MAX * 2];
	int fd;

	if (!mount[0] || !str_format(full, sizeof(full), "%s%s", root, mount))
		return -1;
	fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -1 : fd;
}

int cgroups_trees_open(struct cgroups_trees *t, const char *root, const struct mounts *m)
{
	t->layout = m->layout;
	t->v2 = open_tree(root, m->v2);
	if (m->layout == MOUNTS_V2) {
		t->measure = t->pids = t->cpuacct = t->freezer = t->v2;
	} else {
		t->measure = open_tree(root, m->cpu);
		t->pids = open_tree(root, m->pids);
		t->cpuacct = open_tree(root, m->cpuacct);
		t->freezer = open_tree(root, m->freezer);
	}
	return t->measure < 0 ? -ENOENT : 0;
}

void cgroups_trees_close(struct cgroups_trees *t)
{
	int *const fds[] = { &t->freezer, &t->cpuacct, &t->pids, &t->v2, &t->measure };
	size_t i;

	for (i = 0; i < ELEMENTSOF(fds); i++) {
		if (*fds[i] >= 0 && (t->layout != MOUNTS_V2 || fds[i] == &t->measure))
			close(*fds[i]);
		*fds[i] = -1;
	}
}

int cgroups_trees_get(const struct cgroups_trees *t, enum cgroups_tree which)
{
	switch (which) {
	case CGROUPS_TREE_MEASURE: return t->measure;
	case CGROUPS_TREE_V2:      return t->v2;
	case CGROUPS_TREE_PIDS:    return t->pids;
	case CGROUPS_TREE_CPUACCT: return t->cpuacct;
	}
	return -1;
}

/* A path of the hierarchy as openat() wants it. */
static const char *below(const char *path)
{
	return path[0] == '/' && path[1] ? path + 1 : ".";
}

int cgroups_open_dir(int top, const char *path, int flags)
{
	int fd = openat(top, below(path), flags | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

static bool there(int dir, const char *file)
{
	return faccessat(dir, file, F_OK, 0) == 0;
}

static bool there_in(int tree, const char *path, const char *file)
{
	char full[GROUP_PATH_MAX + 32];

	return tree >= 0 && str_format(full, sizeof(full), "%s/%s", below(path), file) && there(tree, full);
}

static void read_v2(int dir, struct group_info *g)
{
	char buf[64];
	uint64_t v;

	if (cgfile_read_at(dir, "cpu.weight", buf, sizeof(buf)) > 0) {
		g->flags |= GROUP_CAN_WEIGHT;
		/* An idle group shows 0. */
		if (cgfile_parse_u64(buf, &v) == 0)
			g->weight = (int32_t)CLAMP(v, UINT64_C(1), UINT64_C(10000));
		if (cgfile_read_at(dir, "cpu.max", buf, sizeof(buf)) > 0) {
			g->flags |= GROUP_CAN_QUOTA;
			(void)cgfile_parse_max(buf, &g->quota_us, &g->period_us);
		}
		if (there(dir, "cpu.idle"))
			g->flags |= GROUP_CAN_IDLE;
	}
	if (there(dir, "pids.max"))
		g->flags |= GROUP_CAN_PIDS;
	if (there(dir, "cgroup.freeze"))
		g->flags |= GROUP_CAN_FREEZE;
	if (there(dir, "cgroup.kill"))
		g->flags |= GROUP_CAN_KILL;
	if (cgfile_read_at(dir, "cgroup.type", buf, sizeof(buf)) > 0 && str_starts(buf, "threaded"))
		g->flags |= GROUP_THREADED;
}

static void read_v1(const struct cgroups_trees *t, int dir, struct group_info *g)
{
	int64_t quota, period;
	char buf[64];
	uint64_t v;

	if (cgfile_read_at(dir, "cpu.shares", buf, sizeof(buf)) > 0) {
		g->flags |= GROUP_CAN_WEIGHT;
		if (cgfile_parse_u64(buf, &v) == 0)
			g->weight = cgfile_weight_of_shares(v);
	}
	if (cgfile_read_at(dir, "cpu.cfs_quota_us", buf, sizeof(buf)) > 0 && cgfile_parse_i64(buf, &quota) == 0) {
		g->flags |= GROUP_CAN_QUOTA;
		g->quota_us = quota < 0 ? -1 : quota;
		if (quota >= 0 && cgfile_read_at(dir, "cpu.cfs_period_us", buf, sizeof(buf)) > 0 && cgfile_parse_i64(buf, &period) == 0)
			g->period_us = period;
	}
	if (there(dir, "cpu.idle"))
		g->flags |= GROUP_CAN_IDLE;
	if (there_in(t->pids, g->path, "pids.max"))
		g->flags |= GROUP_CAN_PIDS;
	if (there_in(t->freezer, g->path, "freezer.state"))
		g->flags |= GROUP_CAN_FREEZE | GROUP_CAN_KILL;
}

void cgroups_read_limits(const struct cgroups_trees *t, int dir, struct group_info *g)
{
	g->flags &= GROUP_NO_TARGET | GROUP_IS_SELF;
	g->weight = 100;
	g->quota_us = -1;
	g->period_us = 100000;
	if (g->parent == GROUP_NONE)
		g->flags |= GROUP_IS_ROOT;
	else if (t->layout == MOUNTS_V2)
		read_v2(dir, g);
	else
		read_v1(t, dir, g);
}
