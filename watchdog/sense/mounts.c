/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts: finds the cgroup hierarchies.
 *
 * A controller is in one hierarchy only. Where a v1 hierarchy has cpu, weights and
 * quotas are there and the tree to measure is that one; where cgroup2 is mounted
 * beside (hybrid), it has per-cgroup PSI for systemd's part of the same paths.
 * Everywhere else it is cgroup2.
 *
 * mountinfo: "36 35 98:0 ROOT POINT OPTIONS [OPTIONAL…] - TYPE SOURCE SUPEROPTIONS";
 * space, tab, newline and backslash in a path are \ooo. A mount point may be there
 * twice (a bind mount of a subtree): the one that shows the root of the hierarchy
 * is wanted.
 */
#include "sense/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macro.h"
#include "base/str.h"

#define MOUNTINFO_MAX (1 << 20) /* bytes read; a machine with more mounts has its cgroups among the first */

struct span {
	const char *s;
	size_t n;
};

static struct span word(const char **p, const char *end)
{
	struct span w;

	while (*p < end && **p == ' ')
		(*p)++;
	w.s = *p;
	while (*p < end && **p != ' ')
		(*p)++;
	w.n = (size_t)(*p - w.s);
	return w;
}

static bool span_is(struct span w, const char *text)
{
	return w.n == strlen(text) && memcmp(w.s, text, w.n) == 0;
}

static bool unescape(struct span w, char *ret, size_t size)
{
	size_t i, n = 0;

	for (i = 0; i < w.n; i++, n++) {
		if (n + 1 >= size)
			return false;
		if (w.s[i] == '\\' && i + 3 < w.n && w.s[i + 1] >= '0' && w.s[i + 1] <= '3' &&
		    w.s[i + 2] >= '0' && w.s[i + 2] <= '7' && w.s[i + 3] >= '0' && w.s[i + 3] <= '7') {
			ret[n] = (char)((w.s[i + 1] - '0') << 6 | (w.s[i + 2] - '0') << 3 | (w.s[i + 3] - '0'));
			i += 3;
		} else {
			ret[n] = w.s[i];
		}
	}
	ret[n] = 0;
	return n > 0;
}

/* whole: per destination, whether a mount of the hierarchy's root was found. */
static void take(char *dst, bool *whole, struct span root, struct span point)
{
	char path[MOUNTS_PATH_MAX];
	bool is_whole = span_is(root, "/");

	if ((dst[0] && (*whole || !is_whole)) || !unescape(point, path, sizeof(path)))
		return;
	str_copy(dst, MOUNTS_PATH_MAX, path);
	*whole = is_whole;
}

int mounts_parse(const char *mountinfo, struct mounts *ret)
{
	struct mounts m = {};
	const struct { const char *controller; char *dst; } v1[] = {
		{ "cpu", m.cpu }, { "cpuacct", m.cpuacct }, { "pids", m.pids }, { "freezer", m.freezer },
	};
	bool whole[ELEMENTSOF(v1) + 1] = {};
	struct span root, point, type, options;
	const char *line, *end, *p;
	unsigned lines = 0;
	size_t i;

	for (line = mountinfo; *line; line = *end ? end + 1 : end) {
		end = strchr(line, '\n');
		if (!end)
			end = line + strlen(line);
		p = line;
		(void)word(&p, end);
		(void)word(&p, end);
		(void)word(&p, end);
		root = word(&p, end);
		point = word(&p, end);
		do {
			type = word(&p, end);
		} while (type.n && !span_is(type, "-"));
		if (!type.n)
			continue;
		lines++;
		type = word(&p, end);
		(void)word(&p, end);
		options = word(&p, end);
		if (span_is(type, "cgroup2"))
			take(m.v2, &whole[ELEMENTSOF(v1)], root, point);
		else if (span_is(type, "cgroup"))
			for (i = 0; i < ELEMENTSOF(v1); i++)
				if (str_has_word(options.s, options.n, v1[i].controller, ","))
					take(v1[i].dst, &whole[i], root, point);
	}
	if (!lines)
		return -EINVAL;
	if (m.cpu[0])
		m.layout = m.v2[0] ? MOUNTS_HYBRID : MOUNTS_V1;
	else if (m.v2[0])
		m.layout = MOUNTS_V2;
	else
		return -ENOENT;
	*ret = m;
	return 0;
}

int mounts_read(const char *root, struct mounts *ret)
{
	_cleanup_(cleanup_free) char *text = NULL;
	char path[512];
	size_t n = 0;
	ssize_t r;
	int fd, q;

	if (!str_format(path, sizeof(path), "%s/proc/self/mountinfo", root))
		return -ENAMETOOLONG;
	text = malloc(MOUNTINFO_MAX);
	if (!text)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (n < MOUNTINFO_MAX - 1) {
		r = read(fd, text + n, MOUNTINFO_MAX - 1 - n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			q = -errno;
			close(fd);
			return q;
		}
		if (r == 0)
			break;
		n += (size_t)r;
	}
	close(fd);
	text[n] = 0;
	return mounts_parse(text, ret);
}
