/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroups: the table of cgroups.
 *
 * An id is the inode of the cgroup's directory in the measuring hierarchy: the
 * same number the probe reads as kn->id. It is never reused while the machine
 * runs (its upper half is a generation), a path is; so a path is only ever used
 * together with a check of the inode.
 *
 * There are three ways to learn of a cgroup. At start the tree is walked once.
 * Later the walk goes on for ever in small steps: it visits one entry after the
 * other, reads its files again, lists its children, adds the unknown ones and
 * drops those that are gone; a directory with thousands of children is left in
 * the middle and taken up again. And an id that the probe has seen is turned into
 * a path at once by its file handle (kernfs handles are type 0xfe, eight bytes of
 * id; decoding needs CAP_DAC_READ_SEARCH), whatever the size of the tree.
 *
 * kernfs keeps no birth time. ctime of the directory is when its inode was first
 * looked up, which for cgroups made by a manager is within moments of its making;
 * it may be later, never earlier, and the first value read is kept.
 *
 * Memory is one table from the start, touched as far as it is used.
 */
#include "sense/cgroups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/str.h"
#include "sense/cgroups-read.h"

#define BUCKETS     16384       /* a power of two, twice CGROUPS_MAX */
#define LIST_BUFFER 16384       /* bytes of a listing in hand */
#define LINK_MAX_   8192        /* bytes of a path read back from a descriptor */
#define HANDLE_KERNFS 0xfe      /* FILEID_KERNFS */

enum { NONE = -1 };

struct entry {
	bool used;
	bool named;                     /* by the steward: keep it */
	bool cut;                       /* the path is longer than kept: never opened by it */
	uint32_t seen;                  /* the round of the walk that saw it last */
	int32_t next;                   /* in its bucket, or in the free list */
	struct group_info info;
};

struct cgroups {
	struct mounts mounts;
	struct cgroups_trees trees;
	char prefix[MOUNTS_PATH_MAX * 2];               /* path of `measure` as a descriptor shows it */
	char self[CGROUPS_SELF_MAX][GROUP_PATH_MAX];
	cgroups_changed_t changed;
	cgroups_gone_t gone;
	void *userdata;

	struct entry *entries;                          /* CGROUPS_MAX */
	int32_t *buckets;
	int32_t free, cursor;
	unsigned count, high, added, refused, refused_now;
	uint32_t round;
	int64_t boot_offset_us;                         /* CLOCK_BOOTTIME - CLOCK_REALTIME, at start */

	/* The listing in hand: children of entries[list_of] (list_id tells whether it still is). */
	int list_fd;
	int32_t list_of;
	uint64_t list_id;
	size_t list_at, list_n;
	char list[LIST_BUFFER] __attribute__((aligned(8)));
};

struct dirent_raw {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static int64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * (int64_t)USEC_PER_SEC + t.tv_nsec / 1000;
}

static uint32_t bucket_of(uint64_t id)
{
	return (uint32_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (BUCKETS - 1);
}

int cgroups_index(const struct cgroups *c, uint64_t id)
{
	int32_t i;

	for (i = c->buckets[bucket_of(id)]; i != NONE; i = c->entries[i].next)
		if (c->entries[i].info.id == id)
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

static void read_details(const struct cgroups *c, int dir, struct group_info *g)
{
	cgroups_read_limits(&c->trees, dir, g);
	if (is_self(c, g->path))
		g->flags |= GROUP_IS_SELF;
	else
		g->flags &= ~(uint32_t)GROUP_IS_SELF;
}

static void told(struct cgroups *c, const struct group_info *g)
{
	if (c->changed)
		c->changed(g, c->userdata);
}

static int forget(struct cgroups *c, int32_t i)
{
	uint64_t id = c->entries[i].info.id;
	int32_t *at;

	for (at = &c->buckets[bucket_of(id)]; *at != i; at = &c->entries[*at].next)
		;
	*at = c->entries[i].next;
	c->entries[i].used = false;
	c->entries[i].next = c->free;
	c->free = i;
	c->count--;
	if (c->gone)
		c->gone(id, c->userdata);
	return -ESTALE;
}

static usec_t born_at(const struct cgroups *c, const struct stat *st)
{
	int64_t at = (int64_t)st->st_ctim.tv_sec * (int64_t)USEC_PER_SEC + st->st_ctim.tv_nsec / 1000 + c->boot_offset_us;

	return at > 0 ? (usec_t)at : 0;
}

/* dir and st are of the cgroup. cut: path is longer than can be kept. */
static int add(struct cgroups *c, uint64_t parent, const char *path, bool cut, int dir, const struct stat *st)
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
		c->free = e->next;      /* the chain of holes ends at the untouched rest */
	}
	memset(e, 0, sizeof(*e));
	e->used = true;
	e->info.id = st->st_ino;
	e->info.parent = parent;
	e->info.born = born_at(c, st);
	e->info.uid = cgroups_uid(path);
	str_copy(e->info.path, sizeof(e->info.path), path);
	cgroups_display_name(path, e->info.name);
	e->cut = cut;
	e->seen = c->round;
	if (cut)
		e->info.flags = GROUP_NO_TARGET;
	read_details(c, dir, &e->info);
	e->next = c->buckets[bucket_of(e->info.id)];
	c->buckets[bucket_of(e->info.id)] = i;
	c->count++;
	c->added++;
	told(c, &e->info);
	return i;
}

/* Brings entry i up to date; its directory, or -errno. */
static int visit(struct cgroups *c, int32_t i)
{
	struct entry *e = &c->entries[i];
	struct group_info now = e->info;
	struct stat st;
	int dir;

	if (e->cut)
		return c->round - e->seen > 1 ? forget(c, i) : -ENAMETOOLONG;
	dir = cgroups_open_dir(c->trees.measure, e->info.path, O_RDONLY);
	if (dir == -ENOENT || dir == -ENODEV || dir == -ENOTDIR)
		return forget(c, i);
	if (dir < 0) {
		now.flags |= GROUP_NO_TARGET;
	} else {
		if (fstat(dir, &st) < 0 || st.st_ino != e->info.id) {
			close(dir);
			return forget(c, i);
		}
		now.flags &= ~(uint32_t)GROUP_NO_TARGET;
		read_details(c, dir, &now);
	}
	if (memcmp(&now, &e->info, sizeof(now)) != 0) {
		e->info = now;
		told(c, &e->info);
	}
	return dir;
}

static bool join(char *dst, size_t size, const char *parent, const char *name)
{
	return str_format(dst, size, "%s/%s", parent[1] ? parent : "", name);
}

/* The tree moved: v1 allows renaming. Entries below find it out when visited. */
static void rename_entry(struct cgroups *c, struct entry *e, uint64_t parent, const char *path)
{
	e->info.parent = parent;
	memset(e->info.path, 0, sizeof(e->info.path));
	str_copy(e->info.path, sizeof(e->info.path), path);
	if (!e->named)
		cgroups_display_name(path, e->info.name);
	told(c, &e->info);
}

static void found_child(struct cgroups *c, const struct dirent_raw *d)
{
	const struct group_info *parent = &c->entries[c->list_of].info;
	char path[GROUP_PATH_MAX];
	struct stat st;
	int32_t i;
	bool cut;
	int dir;

	cut = !join(path, sizeof(path), parent->path, d->name);
	i = cgroups_index(c, d->ino);
	if (i != NONE) {
		c->entries[i].seen = c->round;
		if (!cut && strcmp(c->entries[i].info.path, path) != 0)
			rename_entry(c, &c->entries[i], parent->id, path);
		return;
	}
	dir = openat(c->list_fd, d->name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return;
	if (fstat(dir, &st) == 0 && cgroups_index(c, st.st_ino) == NONE)
		(void)add(c, parent->id, path, cut, dir, &st);
	close(dir);
}

static void list_end(struct cgroups *c)
{
	if (c->list_fd >= 0)
		close(c->list_fd);
	c->list_fd = -1;
	c->list_at = c->list_n = 0;
}

/* One entry of the listing; false: at its end. */
static bool list_step(struct cgroups *c)
{
	const struct dirent_raw *d;
	ssize_t n;

	/* The parent may have been forgotten, and its place taken, meanwhile. */
	if (!c->entries[c->list_of].used || c->entries[c->list_of].info.id != c->list_id)
		return false;
	if (c->list_at >= c->list_n) {
		n = syscall(SYS_getdents64, c->list_fd, c->list, sizeof(c->list));
		if (n <= 0)
			return false;
		c->list_n = (size_t)n;
		c->list_at = 0;
	}
	d = (const struct dirent_raw *)(c->list + c->list_at);
	c->list_at += d->reclen;
	if ((d->type == DT_DIR || d->type == DT_UNKNOWN) && strcmp(d->name, ".") != 0 && strcmp(d->name, "..") != 0)
		found_child(c, d);
	return true;
}

static int add_root(struct cgroups *c)
{
	struct stat st;

	if (fstat(c->trees.measure, &st) < 0)
		return -errno;
	if (cgroups_index(c, st.st_ino) != NONE)
		return 0;
	return MIN(add(c, GROUP_NONE, "/", false, c->trees.measure, &st), 0);
}

/* One small piece of the walk; false: the walk has come round. */
static bool walk(struct cgroups *c)
{
	int dir;

	if (c->list_fd >= 0) {
		if (!list_step(c))
			list_end(c);
		return true;
	}
	while ((unsigned)c->cursor < c->high && !c->entries[c->cursor].used)
		c->cursor++;
	if ((unsigned)c->cursor >= c->high) {
		c->cursor = 0;
		c->round++;
		c->refused = c->refused_now;
		c->refused_now = 0;
		return false;
	}
	dir = visit(c, c->cursor);
	if (dir >= 0) {
		c->list_fd = dir;
		c->list_of = c->cursor;
		c->list_id = c->entries[c->cursor].info.id;
	}
	c->cursor++;
	return true;
}

int cgroups_scan(struct cgroups *c)
{
	int r;

	r = add_root(c);
	if (r < 0)
		return r;
	list_end(c);
	c->cursor = 0;
	do {
		c->added = 0;
		while (walk(c))
			;
	} while (c->added);
	return 0;
}

void cgroups_step(struct cgroups *c, usec_t budget)
{
	int64_t end = clock_us(CLOCK_MONOTONIC) + (int64_t)budget;

	if (!c->count)
		(void)add_root(c);
	/* Control files are most of a listing and cost next to nothing: look at the clock now and then. */
	do {
		int n = 0;

		while (n++ < 16 && walk(c))
			if (c->list_fd < 0 || c->list_at >= c->list_n)
				break;
		if (c->list_fd < 0 && c->cursor == 0)
			break;
	} while (clock_us(CLOCK_MONOTONIC) < end);
}

/* Everything on the way down to path, which begins with '/'. */
static int learn_path(struct cgroups *c, char *path, uint64_t id)
{
	uint64_t parent = GROUP_NONE;
	struct stat st;
	char *slash, kept;
	bool cut;
	int dir, r;

	r = add_root(c);
	if (r < 0 || fstat(c->trees.measure, &st) < 0)
		return r < 0 ? r : -errno;
	parent = st.st_ino;
	for (slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
		kept = slash ? *slash : 0;
		if (slash)
			*slash = 0;
		dir = cgroups_open_dir(c->trees.measure, path, O_PATH);
		if (dir < 0)
			return dir == -ENOENT ? -ESTALE : dir;
		r = fstat(dir, &st) < 0 ? -errno : 0;
		if (r == 0 && !slash && st.st_ino != id)
			r = -ESTALE;
		if (r == 0 && cgroups_index(c, st.st_ino) == NONE) {
			cut = strlen(path) >= GROUP_PATH_MAX;
			r = add(c, parent, path, cut, dir, &st);
		}
		close(dir);
		if (r < 0)
			return r;
		parent = st.st_ino;
		if (!slash)
			return 0;
		*slash = kept;
	}
}

/* A directory by its id; fd or -errno. */
static int open_id(const struct cgroups *c, uint64_t id)
{
	struct {
		struct file_handle h;
		uint64_t id;
	} handle = { .h = { .handle_bytes = sizeof(uint64_t), .handle_type = HANDLE_KERNFS } };
	int fd;

	memcpy(handle.h.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(c->trees.measure, &handle.h, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

bool cgroups_handles(const struct cgroups *c)
{
	struct stat st;
	int fd;

	if (!c->prefix[0] || fstat(c->trees.measure, &st) < 0)
		return false;
	fd = open_id(c, st.st_ino);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int cgroups_learn(struct cgroups *c, uint64_t id)
{
	char link[32], path[LINK_MAX_];
	size_t n = strlen(c->prefix);
	ssize_t got;
	int fd;

	if (cgroups_index(c, id) != NONE)
		return 0;
	fd = open_id(c, id);
	if (fd < 0)
		return fd == -ENOENT ? -ESTALE : fd;
	str_format(link, sizeof(link), "/proc/self/fd/%d", fd);
	got = readlink(link, path, sizeof(path) - 1);
	close(fd);
	if (got < 0)
		return -errno;
	if ((size_t)got >= sizeof(path) - 1)
		return -ENAMETOOLONG;
	path[got] = 0;
	if (strncmp(path, c->prefix, n) != 0 || path[n] != '/')
		return -ESTALE;
	return learn_path(c, path + n, id);
}

bool cgroups_check(struct cgroups *c, uint64_t id)
{
	int i = cgroups_index(c, id), dir;

	if (i == NONE)
		return false;
	dir = visit(c, i);
	if (dir >= 0)
		close(dir);
	return dir != -ESTALE;
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
	told(c, &e->info);
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
	told(c, &c->entries[i].info);
	return 0;
}

int cgroups_open_file(const struct cgroups *c, uint64_t id, enum cgroups_tree tree, const char *file)
{
	int top = cgroups_trees_get(&c->trees, tree);
	const struct group_info *g = cgroups_find(c, id);
	struct stat st;
	int dir, fd;

	if (!g || top < 0 || strlen(g->path) >= GROUP_PATH_MAX - 1)
		return -ENOENT;
	dir = cgroups_open_dir(top, g->path, O_PATH);
	if (dir < 0)
		return dir;
	if (top == c->trees.measure && (fstat(dir, &st) < 0 || st.st_ino != id)) {
		close(dir);
		return -ENOENT;
	}
	fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		fd = -errno;
	close(dir);
	return fd;
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

struct cgroups *cgroups_free(struct cgroups *c)
{
	if (!c)
		return NULL;
	list_end(c);
	cgroups_trees_close(&c->trees);
	if (c->entries)
		munmap(c->entries, CGROUPS_MAX * sizeof(*c->entries));
	free(c->buckets);
	free(c);
	return NULL;
}

int cgroups_new(const struct cgroups_config *config, struct cgroups **ret)
{
	struct cgroups *c;
	char link[32];
	size_t i;
	void *m;
	int r;

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->trees = (struct cgroups_trees)CGROUPS_TREES_INIT;
	c->list_fd = -1;
	c->changed = config->changed;
	c->gone = config->gone;
	c->userdata = config->userdata;
	c->boot_offset_us = clock_us(CLOCK_BOOTTIME) - clock_us(CLOCK_REALTIME);
	for (i = 0; i < CGROUPS_SELF_MAX; i++)
		if (config->self[i])
			cgroups_add_self(c, config->self[i]);

	r = mounts_read(config->root, &c->mounts);
	if (r < 0)
		goto fail;
	r = cgroups_trees_open(&c->trees, config->root, &c->mounts);
	if (r < 0)
		goto fail;
	str_format(link, sizeof(link), "/proc/self/fd/%d", c->trees.measure);
	if (readlink(link, c->prefix, sizeof(c->prefix) - 1) < 0)
		c->prefix[0] = 0;

	r = -ENOMEM;
	m = mmap(NULL, CGROUPS_MAX * sizeof(*c->entries), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		goto fail;
	c->entries = m;
	c->buckets = malloc(BUCKETS * sizeof(*c->buckets));
	if (!c->buckets)
		goto fail;
	memset(c->buckets, 0xff, BUCKETS * sizeof(*c->buckets));
	*ret = c;
	return 0;
fail:
	cgroups_free(c);
	return r;
}
