/* SPDX-License-Identifier: Apache-2.0 */
/* root: files relative to a directory fd that is kept from start ("the root"), so
 * that tests hand in their own. A leading '/' of a path is ignored: "/a" is "a"
 * below dirfd; "" and "/" are dirfd itself. With AT_FDCWD paths are as usual. All fds are O_CLOEXEC. -errno on failure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int root_open(const char *path);                        /* a directory, O_PATH|O_DIRECTORY; its fd */
int root_open_dir(int dirfd, const char *path);         /* a directory for reading; its fd */
int root_open_file(int dirfd, const char *path, int flags);     /* flags: O_RDONLY, O_WRONLY, ...; its fd */

/* Whole file into buf, NUL-terminated. Bytes read without the NUL, or -errno;
 * -EFBIG where it does not fit (buf then holds the beginning). */
ssize_t root_read_file(int dirfd, const char *path, char *buf, size_t size);
ssize_t root_read_fd(int fd, char *buf, size_t size);   /* same, from offset 0 of an open fd */

/* One number, optionally followed by white space. "max" gives -1. */
int root_read_i64(int dirfd, const char *path, int64_t *ret);

/* Control files: O_WRONLY, exactly one write(). 0 or -errno; -EIO on a short write. */
int root_write_file(int dirfd, const char *path, const char *text);

/* Ordinary files: to NAME.tmp, then renamed; the old one stays on any failure. No fsync: the run
 * directory outlives us and not the boot, and nobody is to wait for a disk. */
int root_replace_file(int dirfd, const char *path, const void *data, size_t size, mode_t mode);
