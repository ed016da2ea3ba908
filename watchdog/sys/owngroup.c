/* SPDX-License-Identifier: Apache-2.0 */
/* owngroup: one directory in the cpu hierarchy, made and removed.
 *
 * A cgroup directly below the root competes with the other top-level ones only, so
 * a raised weight there is worth most (wake lateness p99 0.2 ms against 80 in an
 * ordinary group, under 32 hogs). The name is fixed: what a killed run left over is
 * taken again, so nothing piles up. On v1 writing "0" to cgroup.procs moves the
 * writer; on v2 as well. v1's cpu.shares of 1024 stand for the weight of 100. */
#include "sys/owngroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/root.h"

/* Is `word` one of the comma-separated words of list? */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)) != NULL; p += n)
		if ((p == list || p[-1] == ',') && (p[n] == ',' || p[n] == '\0' || p[n] == '\n'))
			return true;
	return false;
}

enum owngroup_kind owngroup_parse(const char *line, char point[static OWNGROUP_PATH_MAX])
{
	char type[32], options[512];
	const char *tail = strstr(line, " - ");

	if (tail == NULL || sscanf(line, "%*s %*s %*s %*s %255s", point) != 1 ||
	    sscanf(tail + 3, "%31s %*s %511s", type, options) != 2 || strchr(point, '\\') != NULL)
		return OWNGROUP_NEITHER;
	return str_equal(type, "cgroup") && has_word(options, "cpu") ? OWNGROUP_CPU : str_equal(type, "cgroup2") ? OWNGROUP_V2 : OWNGROUP_NEITHER;
}

int owngroup_mount(char *buf, size_t size, bool *ret_v2)
{
	_cleanup_(cleanup_fclose) FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_(cleanup_free) char *line = NULL;
	char v2[OWNGROUP_PATH_MAX] = "";
	size_t room = 0;

	if (f == NULL)
		return -errno;
	while (getline(&line, &room, f) > 0) {
		char point[OWNGROUP_PATH_MAX];

		switch (owngroup_parse(line, point)) {
		case OWNGROUP_CPU:
			*ret_v2 = false;
			return str_copy(buf, size, point) ? 0 : -ENAMETOOLONG;
		case OWNGROUP_V2:
			if (v2[0] == '\0')
				(void)str_copy(v2, sizeof(v2), point);
			break;
		case OWNGROUP_NEITHER:
			break;
		}
	}
	if (v2[0] == '\0')
		return -ENOENT;
	*ret_v2 = true;
	return str_copy(buf, size, v2) ? 0 : -ENAMETOOLONG;
}

int owngroup_make(struct owngroup *g, const char *name, unsigned weight)
{
	_cleanup_(cleanup_close) int dirfd = -1, procs = -1;
	char mount[OWNGROUP_PATH_MAX], text[512], path[OWNGROUP_PATH_MAX];
	unsigned long shares = CLAMP(weight * 1024UL / 100, 2UL, 262144UL);
	bool v2, made;
	int r;

	*g = OWNGROUP_INIT;
	r = owngroup_mount(mount, sizeof(mount), &v2);
	if (r < 0)
		return r;
	if (v2) {
		_cleanup_(cleanup_close) int top = root_open(mount);

		if (top < 0)
			return top;
		if (root_read_file(top, "cgroup.subtree_control", text, sizeof(text)) < 0 ||
		    (!str_starts(text, "cpu ") && !str_starts(text, "cpu\n") && strstr(text, " cpu ") == NULL && strstr(text, " cpu\n") == NULL))
			return -EOPNOTSUPP;
	}
	if (!str_format(path, sizeof(path), "%s/%s", mount, name))
		return -ENAMETOOLONG;
	made = mkdir(path, 0755) == 0;
	if (!made && errno != EEXIST)
		return -errno;
	dirfd = root_open(path);
	if (dirfd < 0)
		return dirfd;
	(void)str_format(text, sizeof(text), "%lu", v2 ? (unsigned long)CLAMP(weight, 1u, 10000u) : shares);
	r = root_write_file(dirfd, v2 ? "cpu.weight" : "cpu.shares", text);
	if (r == 0)
		r = procs = root_open_file(dirfd, "cgroup.procs", O_WRONLY);
	if (r < 0) {
		if (made)
			(void)rmdir(path);
		return r;
	}
	(void)str_copy(g->path, sizeof(g->path), path);
	g->dirfd = TAKE_FD(dirfd);
	g->procs_fd = TAKE_FD(procs);
	return 0;
}

int owngroup_enter(const struct owngroup *g)
{
	if (g->procs_fd < 0)
		return -ENOENT;
	return write(g->procs_fd, "0", 1) == 1 ? 0 : -errno;
}

void owngroup_remove(struct owngroup *g)
{
	char procs[4096], parent[OWNGROUP_PATH_MAX + 16], *slash;

	if (g->dirfd < 0)
		return;
	(void)str_format(parent, sizeof(parent), "%s", g->path);
	slash = strrchr(parent, '/');
	if (slash != NULL)
		strcpy(slash, "/cgroup.procs");
	/* A task that has ended stays listed until it is reaped: a few tries. */
	for (int i = 0; i < 20; i++) {
		char *save = NULL;

		if (root_read_file(g->dirfd, "cgroup.procs", procs, sizeof(procs)) > 0)
			for (char *pid = strtok_r(procs, "\n", &save); pid != NULL; pid = strtok_r(NULL, "\n", &save))
				(void)root_write_file(AT_FDCWD, parent, pid);
		if (rmdir(g->path) == 0 || errno == ENOENT)
			break;
		(void)usleep(5000);
	}
	(void)close(g->procs_fd);
	(void)close(g->dirfd);
	*g = OWNGROUP_INIT;
}
