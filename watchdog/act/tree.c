/* SPDX-License-Identifier: Apache-2.0 */
/* tree: one cgroup, and no other.
 *
 * A cgroup path can change hands between decision and write: a container's scope
 * goes, another one gets its name. So the path only finds the directory, the inode
 * says whether it is the one, and the file is opened relative to the directory
 * that was looked at: kernfs answers ENODEV there once the cgroup is removed.
 *
 * openat2 (5.6) keeps the walk beneath the root; where it is missing or a sandbox
 * refuses it, the path is walked by component with O_NOFOLLOW, which is the same
 * since ".." was ruled out before.
 *
 * On v1 a target is spread over several trees and only its tasks know where. A
 * pids or freezer cgroup is its own only if all that lives there is the target's:
 * the cost of asking each process is bounded by TREE_CHECK_TASKS. */

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "act/inject.h"
#include "act/journal.h"
#include "act/tree.h"
#include "base/cgpath.h"
#include "base/cleanup.h"
#include "base/str.h"

#define CGROUP_V1_MAGIC 0x27e0eb
#define CGROUP_V2_MAGIC 0x63677270
#define HANDLE_KERNFS   0xfe    /* FILEID_KERNFS: the handle is the id */
#define PROC_CGROUP_MAX 4096    /* bytes of /proc/PID/cgroup; a longer one is not understood */

usec_t tree_clock(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

/* pid 0: ourselves. */
static int proc_cgroup(int pid, char ret[static PROC_CGROUP_MAX])
{
	_cleanup_(cleanup_close) int fd = -1;
	char name[64];
	ssize_t n;

	ret[0] = '\0';
	if (pid == 0)
		str_copy(name, sizeof(name), "/proc/self/cgroup");
	else
		str_format(name, sizeof(name), "/proc/%d/cgroup", pid);
	fd = open(name, O_RDONLY|O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, ret, PROC_CGROUP_MAX - 1);
	if (n < 0)
		return errno == ENOENT ? -ESRCH : tree_errno();
	ret[n] = '\0';
	return 0;
}

int tree_open(struct tree *t, const char *controller, const char *root, bool v2, bool fake)
{
	_cleanup_(cleanup_close) int fd = -1;
	char text[PROC_CGROUP_MAX];
	struct statfs fs;

	*t = TREE_INIT;
	t->controller = controller;
	t->v2 = v2;
	t->fake = fake;
	if (root[0] == '\0')
		return 0;
	if (!str_copy(t->root, sizeof(t->root), root))
		return -ENAMETOOLONG;
	fd = open(root, O_PATH|O_DIRECTORY|O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	if (!fake && (unsigned long)fs.f_type != (v2 ? CGROUP_V2_MAGIC : CGROUP_V1_MAGIC))
		return -EINVAL;
	if (fake || proc_cgroup(0, text) < 0 || cgpath_of(text, v2 ? "" : controller, t->own, GROUP_PATH_MAX) < 0)
		t->own[0] = '\0';
	t->fd = TAKE_FD(fd);
	return 0;
}

void tree_close(struct tree *t)
{
	cleanup_close(&t->fd);
}

bool tree_holds_us(const struct tree *t, const char *path)
{
	size_t n = strlen(path);

	return strncmp(t->own, path, n) == 0 && (t->own[n] == '\0' || t->own[n] == '/');
}

int place_fail(const struct place *p, int error, const char *format, ...)
{
	va_list args;

	if (p->message == NULL)
		return error;
	va_start(args, format);
	(void)vsnprintf(p->message, p->message_size, format, args);
	va_end(args);
	return error;
}

static const char *place_name(const struct place *p, char buf[static 192])
{
	return str_escape(buf, 192, p->path);
}

static int open_beneath(int root_fd, const char *path)
{
	static bool no_openat2;         /* asked once */
	struct open_how how = {
		.flags = O_PATH|O_DIRECTORY|O_CLOEXEC,
		.resolve = RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS|RESOLVE_NO_MAGICLINKS|RESOLVE_NO_XDEV,
	};
	char name[GROUP_NAME_MAX * 4 + 1];
	int fd;

	if (!no_openat2) {
		fd = (int)syscall(SYS_openat2, root_fd, path + 1, &how, sizeof(how));
		if (fd >= 0)
			return fd;
		if (errno != ENOSYS && errno != EPERM)
			return -errno;
		no_openat2 = true;
	}
	fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
	for (const char *c = path + 1; fd >= 0 && *c != '\0'; ) {
		size_t n = strcspn(c, "/");
		int next = -1;

		if (n < sizeof(name)) {
			memcpy(name, c, n);
			name[n] = '\0';
			next = openat(fd, name, O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
		} else
			errno = ENAMETOOLONG;
		cleanup_close(&fd);
		fd = next;
		c += n + (c[n] == '/');
	}
	return fd < 0 ? -errno : fd;
}

/* v1 lets a cgroup be renamed; its id is its handle as well. Needs CAP_DAC_READ_SEARCH;
 * without it things stay as they are: gone, or another one. */
static void open_renamed(struct place *p, const struct tree *t, uint64_t inode)
{
	_cleanup_(cleanup_close) int root = openat(t->fd, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);     /* O_PATH is not taken */
	struct {
		struct file_handle h;
		uint64_t id;
	} handle = { .h = { .handle_bytes = sizeof(inode), .handle_type = HANDLE_KERNFS } };
	int fd;

	memcpy(handle.h.f_handle, &inode, sizeof(inode));
	fd = root < 0 || t->v2 || t->fake ? -1 : open_by_handle_at(root, &handle.h, O_PATH|O_DIRECTORY|O_CLOEXEC);
	if (fd < 0)
		return;
	if (p->fd >= 0)
		place_close(p);
	p->fd = fd;
}

int place_open(struct place *p, const struct tree *t, const char *path, uint64_t inode, char *message, size_t size)
{
	char name[192];
	uint64_t found;

	*p = (struct place){ .fd = -1, .v2 = t->v2, .fake = t->fake, .path = path, .message = message, .message_size = size };
	if (t->fd < 0)
		return place_fail(p, -ENOENT, "there is no cgroup hierarchy with controller %s", t->controller);
	if (!journal_path_is_sound(path))
		return place_fail(p, -EPERM, "%s is never a target", place_name(p, name));
	p->fd = open_beneath(t->fd, path);
	if (inode != 0 && (p->fd == -ENOENT || (p->fd >= 0 && place_inode(p) != inode)))
		open_renamed(p, t, inode);
	if (p->fd < 0) {
		int r = p->fd;

		p->fd = -1;
		if (r == -ENOENT || r == -ENOTDIR || r == -ENODEV)
			return place_fail(p, -ESTALE, "cgroup %s is gone", place_name(p, name));
		return place_fail(p, r, "cgroup %s cannot be opened: %s", place_name(p, name), strerror(-r));
	}
	found = place_inode(p);
	if (inode != 0 && found != inode) {
		place_close(p);
		return place_fail(p, -ESTALE, "cgroup %s is another one now", place_name(p, name));
	}
	return 0;
}

int place_child(struct place *p, const struct place *parent, const char *name)
{
	*p = *parent;
	p->fd = openat(parent->fd, name, O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
	if (p->fd >= 0)
		return 0;
	p->fd = -1;
	return errno == ENODEV ? -ENOENT : -errno;
}

void place_close(struct place *p)
{
	cleanup_close(&p->fd);
}

uint64_t place_inode(const struct place *p)
{
	struct stat st;

	return fstat(p->fd, &st) < 0 ? 0 : st.st_ino;
}

bool place_has(const struct place *p, const char *file)
{
	return faccessat(p->fd, file, F_OK, 0) == 0;
}

/* What the kernel's answer means for this file. */
static int place_explain(const struct place *p, const char *file, const char *text, int error)
{
	static const struct {
		const char *prefix;
		const char *missing;
	} files[] = {
		{ "cpu.idle",         "kernel before 5.15, or controller cpu not enabled in its parent" },
		{ "cpu.max.burst",    "kernel before 5.14, or controller cpu not enabled in its parent" },
		{ "cpu.",             "controller cpu not enabled in its parent (a CPU setting of any unit beside it turns it on)" },
		{ "pids.",            "controller pids not enabled in its parent" },
		{ "cgroup.kill",      "kernel before 5.14" },
		{ "cgroup.",          "kernel too old" },
		{ "freezer.",         "not a freezer cgroup" },
		{ "",                 "no such file" },
	};
	static const struct {
		int error;
		const char *meaning;
	} meanings[] = {
		{ EROFS,  "read-only here: ProtectControlGroups=, or a container without the host's cgroups" },
		{ EACCES, "not permitted: root without CAP_DAC_OVERRIDE, or an LSM" },
		{ EPERM,  "not permitted: an LSM, or a cgroup namespace" },
		{ EBUSY,  "busy: a cgroup inside or a process is in the way" },
		{ ENOTSUP, "not supported for a cgroup of this type" },
		{ ERANGE, "out of range" },
	};
	char name[192], value[64];
	const char *meaning = NULL;

	place_name(p, name);
	if (error == ENODEV || (error == ENOENT && !place_has(p, "cgroup.procs") && !p->fake))
		return place_fail(p, -ESTALE, "cgroup %s is gone", name);
	if (error == ENOENT) {
		for (size_t i = 0; meaning == NULL; i++)
			if (strncmp(file, files[i].prefix, strlen(files[i].prefix)) == 0)
				meaning = files[i].missing;
		return place_fail(p, -ENOENT, "cgroup %s has no %s: %s", name, file, meaning);
	}
	if (error == EINVAL && strstr(file, "cfs_") != NULL)
		meaning = "out of range, more than its parent's quota, or less than a cgroup's inside (v1 does not allow it)";
	else if (error == EINVAL && strcmp(file, "cpu.max") == 0)
		meaning = "out of range: 1 ms to 1 s, or less than the burst";
	else if (error == EINVAL && (strcmp(file, "cpu.weight") == 0 || strcmp(file, "cpu.shares") == 0))
		meaning = "an idle cgroup (cpu.idle) has no weight";
	for (size_t i = 0; meaning == NULL && i < ELEMENTSOF(meanings); i++)
		if (meanings[i].error == error)
			meaning = meanings[i].meaning;
	if (text == NULL)
		return place_fail(p, -error, "%s of cgroup %s cannot be read: %s", file, name,
				  meaning != NULL ? meaning : strerror(error));
	return place_fail(p, -error, "%s of cgroup %s does not take \"%s\": %s", file, name, str_escape(value, sizeof(value), text),
			  meaning != NULL ? meaning : strerror(error));
}

int place_read(const struct place *p, const char *file, char ret[static TREE_FILE_MAX])
{
	_cleanup_(cleanup_close) int fd = openat(p->fd, file, O_RDONLY|O_NOFOLLOW|O_CLOEXEC);
	char buf[TREE_FILE_MAX];
	ssize_t n;

	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));
	if (n < 0)
		return place_explain(p, file, NULL, errno);
	if ((size_t)n == sizeof(buf))
		return place_explain(p, file, NULL, EFBIG);
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	memcpy(ret, buf, (size_t)n);
	ret[n] = '\0';
	return 0;
}

int tree_parse_number(const char *text, int64_t *ret)
{
	char *end;
	int64_t value;

	if (strcmp(text, "max") == 0 || strcmp(text, "-1") == 0) {
		*ret = -1;
		return 0;
	}
	/* strtoll would take blanks and signs, which no such file has. */
	if (text[0] < '0' || text[0] > '9')
		return -EBADMSG;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (*end != '\0' || errno != 0)
		return -EBADMSG;
	*ret = value;
	return 0;
}

int place_read_number(const struct place *p, const char *file, int64_t *ret)
{
	char text[TREE_FILE_MAX];
	int r = place_read(p, file, text);

	if (r < 0)
		return r;
	return tree_parse_number(text, ret) < 0 ? place_explain(p, file, NULL, EBADMSG) : 0;
}

int place_write(const struct place *p, const char *file, const char *text)
{
	_cleanup_(cleanup_close) int fd = openat(p->fd, file, O_WRONLY|O_NOFOLLOW|O_CLOEXEC);
	ssize_t n;
	int r;

	if (fd < 0)
		return place_explain(p, file, text, errno);
	r = INJECT(file);
	if (r < 0)
		return place_explain(p, file, text, -r);
	n = write(fd, text, strlen(text));
	r = n < 0 ? errno : (size_t)n != strlen(text) ? EIO : 0;
	if (p->fake && r == 0 && ftruncate(fd, n) < 0)
		r = errno;
	(void)INJECT(file);
	return r != 0 ? place_explain(p, file, text, r) : 0;
}

int place_write_number(const struct place *p, const char *file, int64_t value)
{
	char text[32];

	str_format(text, sizeof(text), "%lld", (long long)value);
	return place_write(p, file, text);
}

const char *place_threads(const struct place *p)
{
	return p->v2 ? "cgroup.threads" : "tasks";
}

int idlist_open(struct idlist *l, const struct place *p, const char *file)
{
	*l = (struct idlist){ .fd = openat(p->fd, file, O_RDONLY|O_NOFOLLOW|O_CLOEXEC) };
	return l->fd < 0 ? place_explain(p, file, NULL, errno) : 0;
}

int idlist_next(struct idlist *l)
{
	int64_t id = 0;
	bool digits = false;

	for (;;) {
		if (l->at == l->n) {
			ssize_t n = read(l->fd, l->buf, sizeof(l->buf));

			if (n < 0)
				return errno == ENODEV ? 0 : -errno;
			l->at = 0;
			l->n = (unsigned)n;
			if (n == 0)
				return digits && id > 0 ? (int)id : 0;
		}
		char c = l->buf[l->at++];

		if (c >= '0' && c <= '9') {
			id = MIN(id * 10 + (c - '0'), (int64_t)INT32_MAX);
			digits = true;
		} else if (digits && id > 0)
			return (int)id;
		else {
			digits = false;
			id = 0;
		}
	}
}

void idlist_close(struct idlist *l)
{
	cleanup_close(&l->fd);
}

int tree_find(const struct tree *t, const struct tree *from, const struct place *group, char ret_path[static GROUP_PATH_MAX],
	      uint64_t *ret_inode)
{
	_cleanup_(idlist_close) struct idlist ids = { .fd = -1 };
	_cleanup_(place_close) struct place there = { .fd = -1 };
	char text[PROC_CGROUP_MAX], path[GROUP_PATH_MAX], other[GROUP_PATH_MAX], name[192];
	unsigned seen = 0;
	struct stat st;
	int r, pid;

	place_name(group, name);
	if (t->fd < 0)
		return place_fail(group, -ENOENT, "there is no cgroup hierarchy with controller %s", t->controller);
	r = idlist_open(&ids, group, "cgroup.procs");
	if (r < 0)
		return r;
	while (seen < TREE_CHECK_TASKS && (pid = idlist_next(&ids)) > 0) {
		if (proc_cgroup(pid, text) < 0 || cgpath_of(text, t->v2 ? "" : t->controller, other, GROUP_PATH_MAX) < 0)
			continue;
		if (seen++ == 0)
			memcpy(path, other, sizeof(path));
		else if (strcmp(path, other) != 0)
			return place_fail(group, -ENOENT, "the processes of cgroup %s are in several %s cgroups", name, t->controller);
	}
	if (seen == 0)
		return place_fail(group, -ESTALE, "cgroup %s has no processes", name);
	if (!journal_path_is_sound(path))
		return place_fail(group, -ENOENT, "the processes of cgroup %s have no %s cgroup of their own", name, t->controller);
	if (tree_holds_us(t, path))
		return place_fail(group, -EPERM, "the %s cgroup of %s is our own", t->controller, name);
	idlist_close(&ids);

	r = place_open(&there, t, path, 0, group->message, group->message_size);
	if (r < 0)
		return r;
	/* Cgroups inside it are the target's too only where both trees are made alike. */
	if (strcmp(path, group->path) != 0 && fstat(there.fd, &st) == 0 && st.st_nlink > 2)
		return place_fail(group, -ENOENT, "the %s cgroup of %s has others inside", t->controller, name);
	r = idlist_open(&ids, &there, "cgroup.procs");
	if (r < 0)
		return r;
	for (seen = 0; (pid = idlist_next(&ids)) > 0; seen++) {
		size_t n = strlen(group->path);

		if (seen == TREE_CHECK_TASKS)
			return place_fail(group, -ENOENT, "the %s cgroup of %s has more than %d processes, which cannot all be asked whose they are",
					  t->controller, name, TREE_CHECK_TASKS);
		if (proc_cgroup(pid, text) < 0 || cgpath_of(text, from->v2 ? "" : from->controller, other, GROUP_PATH_MAX) < 0)
			continue;
		if (strncmp(other, group->path, n) != 0 || (other[n] != '\0' && other[n] != '/'))
			return place_fail(group, -ENOENT, "the %s cgroup of %s also holds processes of other cgroups", t->controller, name);
	}
	*ret_inode = place_inode(&there);
	memcpy(ret_path, path, sizeof(path));
	return 0;
}
