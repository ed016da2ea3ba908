/* SPDX-License-Identifier: Apache-2.0 */
/*
 * closely: pressure, throttling and pids of few cgroups.
 *
 * Pressure of a cgroup exists in the v2 tree only. Where cpu is on v1 and cgroup2
 * is mounted beside, the same path there is the same unit (systemd's hybrid set-up).
 *
 * Throttled time is the victim's own limit at work, and a limit binds from above
 * too: the figure is the largest growth among the cgroup and its ancestors that
 * have a quota. It is a sum over CPUs, as the probe's wait is.
 *
 * pids.current is read of those that fork most, and of one more sampled cgroup in
 * turn, so that a bomb that stands at its limit is seen too.
 */
#include "sense/closely.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macro.h"
#include "sense/cgfile.h"
#include "sense/psi.h"

#define ANCESTORS 4             /* quotas on the way up that are looked at, the cgroup's own first */
#define DEPTH_MAX 32

struct limit {
	uint64_t id, last_us;
};

struct one {
	uint64_t id;
	struct psi psi;
	struct limit limits[ANCESTORS];
};

struct closely {
	struct cgroups *cgroups;
	unsigned n;
	struct one all[CLOSELY_MAX];
	unsigned turn;
};

struct closely *closely_new(struct cgroups *c)
{
	struct closely *w = calloc(1, sizeof(*w));

	if (w)
		w->cgroups = c;
	return w;
}

struct closely *closely_free(struct closely *w)
{
	unsigned i;

	if (!w)
		return NULL;
	for (i = 0; i < w->n; i++)
		psi_close(&w->all[i].psi);
	free(w);
	return NULL;
}

unsigned closely_count(const struct closely *w)
{
	return w->n;
}

uint64_t closely_id(const struct closely *w, unsigned i)
{
	return w->all[i].id;
}

static bool listed(const uint64_t *ids, unsigned n, uint64_t id)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static void open_psi(struct closely *w, struct one *o)
{
	uint64_t some, full;
	struct psi p;
	int fd;

	fd = cgroups_open_file(w->cgroups, o->id, CGROUPS_TREE_V2, "cpu.pressure");
	if (fd < 0)
		return;
	p = (struct psi){ .fd = fd };
	if (psi_read(&p, &some, &full) < 0)
		psi_close(&p);
	o->psi = p;
}

void closely_protect(struct closely *w, const uint64_t *ids, unsigned n)
{
	uint64_t have[CLOSELY_MAX];
	unsigned i, kept = 0;

	for (i = 0; i < w->n; i++) {
		if (listed(ids, n, w->all[i].id))
			w->all[kept++] = w->all[i];
		else
			psi_close(&w->all[i].psi);
	}
	w->n = kept;
	for (i = 0; i < kept; i++)
		have[i] = w->all[i].id;
	for (i = 0; i < n && w->n < CLOSELY_MAX; i++) {
		if (listed(have, kept, ids[i]))
			continue;
		w->all[w->n] = (struct one){ .id = ids[i], .psi = PSI_INIT };
		open_psi(w, &w->all[w->n]);
		w->n++;
	}
}

static int read_throttled(const struct closely *w, uint64_t id, uint64_t *ret_us)
{
	char buf[1024];
	uint64_t v;
	int fd, r;

	fd = cgroups_open_file(w->cgroups, id, CGROUPS_TREE_MEASURE, "cpu.stat");
	if (fd < 0)
		return fd;
	r = cgfile_pread(fd, buf, sizeof(buf));
	close(fd);
	if (r < 0)
		return r;
	if (cgfile_parse_key(buf, "throttled_usec", &v) == 0) {
		*ret_us = v;
		return 0;
	}
	r = cgfile_parse_key(buf, "throttled_time", &v);
	if (r == 0)
		*ret_us = v / 1000;
	return r;
}

/* The largest growth on the way up; a quota seen for the first time counts from now. */
static int32_t throttled(struct closely *w, struct one *o)
{
	const struct group_info *g = cgroups_find(w->cgroups, o->id);
	struct limit now[ANCESTORS] = {};
	unsigned n = 0, depth, k;
	uint64_t us, most = 0;

	if (!g)
		return -1;
	for (depth = 0; g && n < ANCESTORS && depth < DEPTH_MAX; g = cgroups_find(w->cgroups, g->parent), depth++) {
		if (g->quota_us < 0)
			continue;
		if (read_throttled(w, g->id, &us) < 0)
			continue;
		for (k = 0; k < ANCESTORS; k++)
			if (o->limits[k].id == g->id && us > o->limits[k].last_us)
				most = MAX(most, us - o->limits[k].last_us);
		now[n++] = (struct limit){ g->id, us };
	}
	memcpy(o->limits, now, sizeof(now));
	return (int32_t)MIN(most, (uint64_t)INT32_MAX);
}

static struct group_sample *sample_of(struct snapshot *s, uint64_t id)
{
	unsigned lo = 0, hi = s->n_groups, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (s->groups[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n_groups && s->groups[lo].id == id ? &s->groups[lo] : NULL;
}

static void read_pids(struct closely *w, struct group_sample *g)
{
	char buf[32];
	uint64_t v;
	int fd;

	fd = cgroups_open_file(w->cgroups, g->id, CGROUPS_TREE_PIDS, "pids.current");
	if (fd < 0)
		return;
	if (cgfile_pread(fd, buf, sizeof(buf)) > 0 && cgfile_parse_u64(buf, &v) == 0)
		g->pids = (int32_t)MIN(v, (uint64_t)INT32_MAX);
	close(fd);
}

static void read_forkers(struct closely *w, struct snapshot *s)
{
	struct group_sample *most;
	unsigned k, i;

	for (k = 0; k < CLOSELY_FORKERS; k++) {
		most = NULL;
		for (i = 0; i < s->n_groups; i++)
			if (s->groups[i].forks >= CLOSELY_FORKS && s->groups[i].pids < 0 && (!most || s->groups[i].forks > most->forks))
				most = &s->groups[i];
		if (!most)
			break;
		read_pids(w, most);
	}
	if (s->n_groups)
		read_pids(w, &s->groups[w->turn++ % s->n_groups]);
}

void closely_prime(struct closely *w)
{
	uint64_t some, full;
	unsigned i;

	for (i = 0; i < w->n; i++) {
		if (w->all[i].psi.fd >= 0)
			(void)psi_read(&w->all[i].psi, &some, &full);
		(void)throttled(w, &w->all[i]);
	}
}

void closely_read(struct closely *w, struct snapshot *s)
{
	struct group_sample *g;
	uint64_t some, full;
	unsigned i;

	for (i = 0; i < w->n; i++) {
		g = sample_of(s, w->all[i].id);
		if (!g)
			continue;
		if (psi_read(&w->all[i].psi, &some, &full) == 0)
			g->psi_some_us = (int32_t)MIN(some, (uint64_t)INT32_MAX);
		g->throttled_us = throttled(w, &w->all[i]);
	}
	read_forkers(w, s);
}
