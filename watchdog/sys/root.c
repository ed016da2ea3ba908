/* SPDX-License-Identifier: Apache-2.0 */
/* root: the few ways in which files are read and written, in one place.
 *
 * Kernel facts it leans on: /proc and cgroupfs give a whole (small) file to one
 * read, seq_files longer than a page need several, so reading goes on until 0.
 * A cgroup file takes one write() as one command: a second write() is a second
 * command, hence exactly one. A read of a removed cgroup's file gives ENODEV, an
 * open of it ENOENT; both are passed on unchanged. */
#include "sys/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* AT_FDCWD is no root: an absolute path stays absolute. */
static const char *below(int dirfd, const char *path)
{
	while (dirfd != AT_FDCWD && *path == '/')
		path++;
	return *path == '\0' ? "." : path;
}

int root_open(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int root_open_dir(int dirfd, const char *path)
{
	int fd = openat(dirfd, below(dirfd, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int root_open_file(int dirfd, const char *path, int flags)
{
	int fd = openat(dirfd, below(dirfd, path), flags | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

ssize_t root_read_fd(int fd, char *buf, size_t size)
{
	size_t have = 0;

	for (;;) {
		ssize_t n = pread(fd, buf + have, size - 1 - have, (off_t)have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		have += (size_t)n;
		buf[have] = '\0';
		if (n == 0)
			return (ssize_t)have;
		if (have == size - 1) {
			char more;

			n = pread(fd, &more, 1, (off_t)have);
			return n == 0 ? (ssize_t)have : n < 0 ? -errno : -EFBIG;
		}
	}
}

ssize_t root_read_file(int dirfd, const char *path, char *buf, size_t size)
{
	_cleanup_(cleanup_close) int fd = root_open_file(dirfd, path, O_RDONLY);

	return fd < 0 ? fd : root_read_fd(fd, buf, size);
}

static const char *number_end(const char *p)
{
	while (*p == ' ' || *p == '\n' || *p == '\t')
		p++;
	return p;
}

int root_read_i64(int dirfd, const char *path, int64_t *ret)
{
	char buf[64], *end;
	ssize_t n = root_read_file(dirfd, path, buf, sizeof(buf));
	long long v;

	if (n < 0)
		return (int)n;
	if (strncmp(buf, "max", 3) == 0 && *number_end(buf + 3) == '\0') {
		*ret = -1;
		return 0;
	}
	if ((buf[0] < '0' || buf[0] > '9') && buf[0] != '-')
		return -EINVAL;
	errno = 0;
	v = strtoll(buf, &end, 10);
	if (errno != 0)
		return -errno;
	if (end == buf || *number_end(end) != '\0')
		return -EINVAL;
	*ret = v;
	return 0;
}

int root_write_file(int dirfd, const char *path, const char *text)
{
	_cleanup_(cleanup_close) int fd = root_open_file(dirfd, path, O_WRONLY);
	size_t size = strlen(text);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = write(fd, text, size);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EIO;
}

int root_replace_file(int dirfd, const char *path, const void *data, size_t size, mode_t mode)
{
	char tmp[PATH_MAX];
	const char *p = data;
	int r = 0, fd;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.tmp", below(dirfd, path)) >= sizeof(tmp))
		return -ENAMETOOLONG;
	(void)unlinkat(dirfd, tmp, 0);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	while (size > 0 && r == 0) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n == 0)
			r = -EIO;
		else if (n > 0) {
			p += n;
			size -= (size_t)n;
		}
	}
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, tmp, dirfd, below(dirfd, path)) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, tmp, 0);
	return r;
}
