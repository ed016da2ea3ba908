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
 */
#include "sense/cgroups-table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/str.h"

#define LINK_MAX_   8192        /* bytes of a path read back from a descriptor */
#define DEPTH_MAX   64          /* levels looked at upwards */
#define HANDLE_KERNFS 0xfe      /* FILEID_KERNFS */

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

/* Brings entry i up to date; its directory, or -errno. */
static int visit(struct cgroups *c, int32_t i)
{
	struct entry *e = &c->entries[i];
	struct group_info now = e->info;
	struct stat st;
	int dir;

	if (e->cut)
		return c->round - e->seen > 1 ? cgroups_table_forget(c, i) : -ENAMETOOLONG;
	dir = cgroups_open_dir(c->trees.measure, e->info.path, O_RDONLY);
	if (dir == -ENOENT || dir == -ENODEV || dir == -ENOTDIR)
		return cgroups_table_forget(c, i);
	if (dir < 0) {
		now.flags |= GROUP_NO_TARGET;
	} else {
		if (fstat(dir, &st) < 0 || st.st_ino != e->info.id) {
			close(dir);
			return cgroups_table_forget(c, i);
		}
		now.flags &= ~(uint32_t)GROUP_NO_TARGET;
		cgroups_table_details(c, dir, &now);
	}
	if (memcmp(&now, &e->info, sizeof(now)) != 0) {
		e->info = now;
		cgroups_table_note(c, i);
		cgroups_table_told(c, &e->info);
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
	cgroups_table_told(c, &e->info);
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
		(void)cgroups_table_add(c, parent->id, path, cut, dir, &st);
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
	return MIN(cgroups_table_add(c, GROUP_NONE, "/", false, c->trees.measure, &st), 0);
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
			r = cgroups_table_add(c, parent, path, cut, dir, &st);
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

static bool in_doubt(const struct cgroups *c, int i, usec_t now)
{
	const usec_t *at = &c->entries[i].checked;

	return c->keys[i].no_cpu && (*at == 0 || now - *at >= CGROUPS_DOUBT);
}

bool cgroups_in_doubt(const struct cgroups *c, uint64_t id, usec_t now)
{
	int i = cgroups_index(c, id);

	return i != NONE && in_doubt(c, i, now);
}

bool cgroups_check_cpu(struct cgroups *c, uint64_t id, usec_t now)
{
	uint64_t up = id, parent;
	unsigned depth;
	int i;

	for (depth = 0; depth < DEPTH_MAX && (i = cgroups_index(c, up)) != NONE && c->keys[i].no_cpu; depth++) {
		parent = c->entries[i].info.parent;

		if (in_doubt(c, i, now)) {
			c->entries[i].checked = now;
			if (cgroups_check(c, up) && !c->keys[i].no_cpu)
				break;  /* the nearest is what counts */
		}
		up = parent;
	}
	return cgroups_index(c, id) != NONE;
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

struct cgroups *cgroups_free(struct cgroups *c)
{
	if (!c)
		return NULL;
	list_end(c);
	cgroups_trees_close(&c->trees);
	cgroups_table_free(c);
	free(c);
	return NULL;
}

int cgroups_new(const struct cgroups_config *config, struct cgroups **ret)
{
	struct cgroups *c;
	char link[32];
	size_t i;
	int r;

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->trees = (struct cgroups_trees)CGROUPS_TREES_INIT;
	c->list_fd = -1;
	c->changed = config->changed;
	c->gone = config->gone;
	c->userdata = config->userdata;
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

	r = cgroups_table_new(c);
	if (r < 0)
		goto fail;
	*ret = c;
	return 0;
fail:
	cgroups_free(c);
	return r;
}
