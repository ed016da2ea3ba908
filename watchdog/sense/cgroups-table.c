/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroups-table: one array of entries from the start, touched as far as it is used,
 * and a hash of the ids beside it. Ids and chains are apart from the entries, so
 * that a look-up touches few lines of cache: a tick makes some thousands of them.
 * Places that are left are used again first; an index is good until its cgroup goes.
 */
#include "sense/cgroups-table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/macro.h"
#include "base/str.h"

#define BUCKETS     16384       /* a power of two, twice CGROUPS_MAX */

static uint32_t bucket_of(uint64_t id)
{
	return (uint32_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (BUCKETS - 1);
}

int cgroups_index(const struct cgroups *c, uint64_t id)
{
	int32_t i;

	for (i = c->buckets[bucket_of(id)]; i != NONE; i = c->keys[i].next)
		if (c->keys[i].id == id)
			return i;
	return NONE;
}

const struct group_info *cgroups_find(const struct cgroups *c, uint64_t id)
{
	int i = cgroups_index(c, id);

	return i == NONE ? NULL : &c->entries[i].info;
}

const struct group_info *cgroups_at(const struct cgroups *c, unsigned i)
{
	return i < c->high && c->entries[i].used ? &c->entries[i].info : NULL;
}

unsigned cgroups_count(const struct cgroups *c)
{
	return c->count;
}

unsigned cgroups_refused(const struct cgroups *c)
{
	return c->refused;
}

const struct mounts *cgroups_mounts(const struct cgroups *c)
{
	return &c->mounts;
}

static bool is_self(const struct cgroups *c, const char *path)
{
	size_t i, n;

	for (i = 0; i < CGROUPS_SELF_MAX; i++) {
		n = strlen(c->self[i]);
		if (n > 1 && strncmp(path, c->self[i], n) == 0 && (path[n] == '/' || path[n] == 0))
			return true;
	}
	return false;
}

void cgroups_table_details(const struct cgroups *c, int dir, struct group_info *g)
{
	cgroups_read_limits(&c->trees, dir, g);
	if (is_self(c, g->path))
		g->flags |= GROUP_IS_SELF;
	else
		g->flags &= ~(uint32_t)GROUP_IS_SELF;
}

void cgroups_table_note(struct cgroups *c, int32_t i)
{
	c->keys[i].no_cpu = !c->entries[i].cut && !(c->entries[i].info.flags & (GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA | GROUP_IS_ROOT));
}

void cgroups_table_told(struct cgroups *c, const struct group_info *g)
{
	if (c->changed)
		c->changed(g, c->userdata);
}

int cgroups_table_forget(struct cgroups *c, int32_t i)
{
	uint64_t id = c->entries[i].info.id;
	int32_t *at;

	for (at = &c->buckets[bucket_of(id)]; *at != i; at = &c->keys[*at].next)
		;
	*at = c->keys[i].next;
	c->entries[i].used = false;
	c->keys[i].next = c->free;
	c->free = i;
	c->count--;
	if (c->gone)
		c->gone(id, c->userdata);
	return -ESTALE;
}

/* The wall clock may be stepped at any time: the offset is taken anew, and nothing is
 * born later than now. */
static usec_t born_at(const struct stat *st)
{
	struct timespec real, boot;
	int64_t now, at;

	(void)clock_gettime(CLOCK_REALTIME, &real);
	(void)clock_gettime(CLOCK_BOOTTIME, &boot);
	now = (int64_t)boot.tv_sec * (int64_t)USEC_PER_SEC + boot.tv_nsec / 1000;
	at = now - ((int64_t)(real.tv_sec - st->st_ctim.tv_sec) * (int64_t)USEC_PER_SEC + (real.tv_nsec - st->st_ctim.tv_nsec) / 1000);
	return at > 0 ? (usec_t)MIN(at, now) : 0;
}

/* dir and st are of the cgroup. cut: path is longer than can be kept. */
int cgroups_table_add(struct cgroups *c, uint64_t parent, const char *path, bool cut, int dir, const struct stat *st)
{
	int32_t i = c->free;
	struct entry *e;

	if (i == NONE) {
		c->refused_now++;
		return -ENOSPC;
	}
	e = &c->entries[i];
	if ((unsigned)i == c->high) {
		c->high++;
		c->free = c->high < CGROUPS_MAX ? (int32_t)c->high : NONE;
	} else {
		c->free = c->keys[i].next;      /* the chain of holes ends at the untouched rest */
	}
	memset(e, 0, sizeof(*e));
	e->used = true;
	e->info.id = st->st_ino;
	e->info.parent = parent;
	e->info.born = born_at(st);
	e->info.uid = cgroups_uid(path);
	str_copy(e->info.path, sizeof(e->info.path), path);
	cgroups_display_name(path, e->info.name);
	e->cut = cut;
	e->seen = c->round;
	if (cut)
		e->info.flags = GROUP_NO_TARGET;
	cgroups_table_details(c, dir, &e->info);
	c->keys[i] = (struct key){ .id = e->info.id, .next = c->buckets[bucket_of(e->info.id)] };
	c->buckets[bucket_of(e->info.id)] = i;
	cgroups_table_note(c, i);
	c->count++;
	c->added++;
	cgroups_table_told(c, &e->info);
	return i;
}

int cgroups_set_name(struct cgroups *c, uint64_t id, const char *name)
{
	int i = cgroups_index(c, id);
	char kept[GROUP_NAME_MAX] = "";
	struct entry *e;

	if (i == NONE)
		return -ENOENT;
	e = &c->entries[i];
	str_copy(kept, sizeof(kept), name);
	e->named = true;
	if (strcmp(e->info.name, kept) == 0)
		return 0;
	memcpy(e->info.name, kept, sizeof(kept));
	cgroups_table_told(c, &e->info);
	return 0;
}

int cgroups_set_procs(struct cgroups *c, uint64_t id, const char (*procs)[COMM_MAX], unsigned n)
{
	char kept[GROUP_PROCS_MAX][COMM_MAX] = {};
	int i = cgroups_index(c, id);
	unsigned k;

	if (i == NONE)
		return -ENOENT;
	for (k = 0; k < MIN(n, (unsigned)GROUP_PROCS_MAX); k++)
		str_copy(kept[k], COMM_MAX, procs[k]);
	if (memcmp(kept, c->entries[i].info.procs, sizeof(kept)) == 0)
		return 0;
	memcpy(c->entries[i].info.procs, kept, sizeof(kept));
	cgroups_table_told(c, &c->entries[i].info);
	return 0;
}

void cgroups_add_self(struct cgroups *c, const char *path)
{
	size_t i;

	for (i = 0; i < CGROUPS_SELF_MAX; i++)
		if (!c->self[i][0]) {
			str_copy(c->self[i], sizeof(c->self[i]), path);
			return;
		}
}

void cgroups_table_free(struct cgroups *c)
{
	if (c->entries)
		munmap(c->entries, CGROUPS_MAX * sizeof(*c->entries));
	free(c->keys);
	free(c->buckets);
}

int cgroups_table_new(struct cgroups *c)
{
	void *m;

	m = mmap(NULL, CGROUPS_MAX * sizeof(*c->entries), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		return -ENOMEM;
	c->entries = m;
	c->keys = calloc(CGROUPS_MAX, sizeof(*c->keys));
	c->buckets = malloc(BUCKETS * sizeof(*c->buckets));
	if (!c->keys || !c->buckets)
		return -ENOMEM;
	memset(c->buckets, 0xff, BUCKETS * sizeof(*c->buckets));
	return 0;
}
