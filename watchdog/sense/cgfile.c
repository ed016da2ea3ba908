/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgfile: reads and parses cgroup control files.
 *
 * kernfs gives a short file whole in one read, and a read at offset 0 through an
 * fd kept open gives fresh figures. A cgroup that was removed under an open fd
 * answers ENODEV. The texts are the kernel's, but a bind mount or a FUSE file can
 * put anything in their place: nothing is trusted to be short, ended or a number.
 */
#include "sense/cgfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/macro.h"

/* Digits at *p; moves *p behind them. */
static int take_u64(const char **p, uint64_t *ret)
{
	const char *s = *p;
	uint64_t v = 0;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -ERANGE;
	*p = s;
	*ret = v;
	return 0;
}

static bool at_end(const char *s)
{
	return *s == 0 || (*s == '\n' && s[1] == 0);
}

int cgfile_parse_u64(const char *text, uint64_t *ret)
{
	uint64_t v;
	int r = take_u64(&text, &v);

	if (r < 0)
		return r;
	if (!at_end(text))
		return -EINVAL;
	*ret = v;
	return 0;
}

int cgfile_parse_i64(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	uint64_t v;
	int r;

	r = cgfile_parse_u64(text + negative, &v);
	if (r < 0)
		return r;
	if (v > INT64_MAX)
		return -ERANGE;
	*ret = negative ? -(int64_t)v : (int64_t)v;
	return 0;
}

int cgfile_parse_max(const char *text, int64_t *ret_quota, int64_t *ret_period)
{
	uint64_t quota, period;
	bool none = strncmp(text, "max ", 4) == 0;
	int r;

	if (none) {
		text += 4;
		quota = 0;
	} else {
		r = take_u64(&text, &quota);
		if (r < 0)
			return r;
		if (*text++ != ' ')
			return -EINVAL;
	}
	r = take_u64(&text, &period);
	if (r < 0)
		return r;
	if (!at_end(text))
		return -EINVAL;
	if (quota > INT64_MAX || period > INT64_MAX)
		return -ERANGE;
	*ret_quota = none ? -1 : (int64_t)quota;
	*ret_period = (int64_t)period;
	return 0;
}

int cgfile_parse_key(const char *text, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);
	const char *line, *p;
	uint64_t v;
	int r;

	for (line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		if (strncmp(line, key, n) != 0 || line[n] != ' ')
			continue;
		p = line + n + 1;
		r = take_u64(&p, &v);
		if (r < 0)
			return r;
		if (*p && *p != '\n')
			return -EINVAL;
		*ret = v;
		return 0;
	}
	return -ENOENT;
}

int32_t cgfile_weight_of_shares(uint64_t shares)
{
	if (shares > 262144)
		shares = 262144;
	return (int32_t)CLAMP(shares * 100 / 1024, UINT64_C(1), UINT64_C(10000));
}

int cgfile_pread(int fd, char *buf, size_t size)
{
	size_t n = 0;
	ssize_t r;

	while (n < size) {
		r = pread(fd, buf + n, size - n, (off_t)n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
		/* kernfs: a short read is the end of it. */
		if (n < size)
			break;
	}
	if (n == size)
		return -EFBIG;
	buf[n] = 0;
	return (int)n;
}

int cgfile_read_at(int dir, const char *path, char *buf, size_t size)
{
	int fd, r;

	fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = cgfile_pread(fd, buf, size);
	close(fd);
	return r;
}
