/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpustat: the fallback where the probe cannot be loaded.
 *
 * cpu.stat is on every v2 cgroup, the controller on or not; cpuacct.usage on v1.
 * Both count the subtree, while a snapshot wants what a cgroup's own tasks did, so
 * a child's growth is taken off its parent's, and a negative rest is nothing.
 *
 * A read costs 2 to 4 µs, and most cgroups of a machine do nothing. So those with
 * children are read first, then the children that did something last time; the
 * others only where that leaves growth of their parent's unexplained. (Read in this
 * order, what happens meanwhile makes the rest smaller, never larger.)
 */
#include "sense/cpustat.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/macro.h"
#include "sense/cgfile.h"

/* Zero is closed, so that the table costs no memory before it is used. */
struct file {
	uint64_t id;
	int fd;
	bool primed, busy;              /* busy: grew when it was read last */
	bool has_children, fresh;       /* in this read */
	int32_t parent;                 /* index, -1: none, or not measured */
	uint64_t last_us;
	int64_t grown_us, rest_us;      /* rest: not explained by children yet */
};

#define UNEXPLAINED 1000        /* µs of a parent's growth that make it worth to ask all children */

struct cpustat {
	const struct cgroups *cgroups;
	bool v2;
	unsigned open;
	struct file files[CGROUPS_MAX];         /* by index of the cgroup table */
};

struct cpustat *cpustat_new(const struct cgroups *c)
{
	struct cpustat *s = calloc(1, sizeof(*s));
	struct rlimit l;

	if (!s)
		return NULL;
	s->cgroups = c;
	s->v2 = cgroups_mounts(c)->layout == MOUNTS_V2;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < CPUSTAT_FDS + 512) {
		l.rlim_cur = MIN(l.rlim_max, (rlim_t)CPUSTAT_FDS + 512);
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
	return s;
}

static void close_file(struct cpustat *s, struct file *f)
{
	if (f->fd > 0) {
		close(f->fd);
		s->open--;
	}
	*f = (struct file){};
}

struct cpustat *cpustat_free(struct cpustat *s)
{
	unsigned i;

	if (!s)
		return NULL;
	for (i = 0; i < CGROUPS_MAX; i++)
		close_file(s, &s->files[i]);
	free(s);
	return NULL;
}

static void open_file(struct cpustat *s, struct file *f, uint64_t id)
{
	int fd = cgroups_open_file(s->cgroups, id, CGROUPS_TREE_CPUACCT, s->v2 ? "cpu.stat" : "cpuacct.usage");

	*f = (struct file){ .id = id, .fd = MAX(fd, 0) };        /* what failed is not tried again */
	if (fd <= 0)
		return;
	s->open++;
}

static void read_file(struct cpustat *s, struct file *f)
{
	char buf[1024];
	uint64_t us;
	int r;

	if (f->fd <= 0 || f->fresh)
		return;
	r = cgfile_pread(f->fd, buf, sizeof(buf));
	if (r < 0) {
		close_file(s, f);
		return;
	}
	f->fresh = true;
	r = s->v2 ? cgfile_parse_key(buf, "usage_usec", &us) : cgfile_parse_u64(buf, &us);
	if (r < 0)
		return;
	if (!s->v2)
		us /= 1000;
	if (f->primed && us > f->last_us)
		f->grown_us = f->rest_us = (int64_t)(us - f->last_us);
	f->busy = f->grown_us > 0 || !f->primed;
	f->last_us = us;
	f->primed = true;
	if (f->parent >= 0)
		s->files[f->parent].rest_us -= f->grown_us;
}

/* Opens and closes what came and went, and finds out who is whose child. */
static void follow_table(struct cpustat *s)
{
	const struct group_info *info;
	unsigned i, opened = 0;
	struct file *f;

	for (i = 0; i < CGROUPS_MAX; i++) {
		f = &s->files[i];
		info = cgroups_at(s->cgroups, i);
		if (f->fd > 0 && (!info || info->id != f->id))
			close_file(s, f);
		if (info && f->id != info->id && s->open < CPUSTAT_FDS && opened < CPUSTAT_OPEN) {
			open_file(s, f, info->id);
			opened++;
		}
		if (f->fd > 0) {
			f->has_children = f->fresh = false;
			f->grown_us = f->rest_us = 0;
		}
	}
	for (i = 0; i < CGROUPS_MAX; i++) {
		f = &s->files[i];
		if (f->fd <= 0)
			continue;
		info = cgroups_at(s->cgroups, i);
		f->parent = info ? cgroups_index(s->cgroups, info->parent) : -1;
		if (f->parent >= 0 && s->files[f->parent].fd <= 0)
			f->parent = -1;
		if (f->parent >= 0)
			s->files[f->parent].has_children = true;
	}
}

void cpustat_read(struct cpustat *s, struct gather *g)
{
	unsigned i;

	follow_table(s);
	for (i = 0; i < CGROUPS_MAX; i++)
		if (s->files[i].has_children)
			read_file(s, &s->files[i]);
	for (i = 0; i < CGROUPS_MAX; i++)
		if (s->files[i].busy || !s->files[i].primed)
			read_file(s, &s->files[i]);
	for (i = 0; i < CGROUPS_MAX; i++)
		if (s->files[i].parent < 0 || s->files[s->files[i].parent].rest_us > UNEXPLAINED)
			read_file(s, &s->files[i]);
	for (i = 0; g && i < CGROUPS_MAX; i++)
		if (s->files[i].rest_us > 0)
			gather_add_run(g, s->files[i].id, (uint64_t)s->files[i].rest_us);
}
