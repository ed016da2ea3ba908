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

#include "base/cgpath.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "sys/root.h"

enum owngroup_kind owngroup_parse(const char *line, char point[static OWNGROUP_PATH_MAX])
{
	char type[32], options[512];
	const char *tail = strstr(line, " - ");

	if (tail == NULL || sscanf(line, "%*s %*s %*s %*s %255s", point) != 1 ||
	    sscanf(tail + 3, "%31s %*s %511s", type, options) != 2 || strchr(point, '\\') != NULL)
		return OWNGROUP_NEITHER;
	return str_equal(type, "cgroup") && str_has_word(options, strlen(options), "cpu", ",") ? OWNGROUP_CPU : str_equal(type, "cgroup2") ? OWNGROUP_V2 : OWNGROUP_NEITHER;
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

int owngroup_self(char *buf, size_t size, size_t *ret_mount, bool *ret_v2)
{
	char mount[OWNGROUP_PATH_MAX], text[8192], path[1024];
	bool v2;
	int r = owngroup_mount(mount, sizeof(mount), &v2);

	if (r < 0)
		return r;
	r = (int)root_read_file(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text));
	if (r >= 0)
		r = cgpath_of(text, v2 ? "" : "cpu", path, sizeof(path));
	if (r < 0)
		return r;
	*ret_mount = strlen(mount);
	*ret_v2 = v2;
	return str_format(buf, size, "%s%s", mount, str_equal(path, "/") ? "" : path) ? 0 : -ENAMETOOLONG;
}

int owngroup_weigh(const struct owngroup *g, unsigned weight)
{
	const char *knob = g->v2 ? "cpu.weight" : "cpu.shares";
	long long want = g->v2 ? (long long)CLAMP(weight, 1u, 10000u) : (long long)CLAMP(weight * 1024UL / 100, 2UL, 262144UL);
	char text[32];
	int64_t now;

	if (g->dirfd < 0)
		return -ENOENT;
	if (root_read_i64(g->dirfd, knob, &now) == 0 && now == want)
		return 0;
	(void)str_format(text, sizeof(text), "%lld", want);
	return root_write_file(g->dirfd, knob, text);
}

int owngroup_make(struct owngroup *g, const char *name, unsigned weight)
{
	_cleanup_(cleanup_close) int top = -1;
	char mount[OWNGROUP_PATH_MAX], text[512], path[OWNGROUP_PATH_MAX];
	struct owngroup made = OWNGROUP_INIT;
	size_t at;
	bool is_new, v2;
	int r;

	*g = OWNGROUP_INIT;
	r = owngroup_mount(mount, sizeof(mount), &made.v2);
	if (r < 0)
		return r;
	if (made.v2) {
		top = root_open(mount);
		if (top < 0)
			return top;
		if (root_read_file(top, "cgroup.subtree_control", text, sizeof(text)) < 0 ||
		    !str_has_word(text, strlen(text), "cpu", " \n"))
			return -EOPNOTSUPP;
	}
	if (!str_format(path, sizeof(path), "%s/%s", mount, name))
		return -ENAMETOOLONG;
	is_new = mkdir(path, 0755) == 0;
	if (!is_new && errno != EEXIST)
		return -errno;
	(void)str_copy(made.path, sizeof(made.path), path);
	if (owngroup_self(made.home, sizeof(made.home), &at, &v2) < 0 || str_equal(made.home, path))
		made.home[0] = '\0';
	r = made.dirfd = root_open(path);
	if (r >= 0)
		r = owngroup_weigh(&made, weight);
	if (r >= 0)
		r = made.procs_fd = root_open_file(made.dirfd, "cgroup.procs", O_WRONLY);
	if (r < 0) {
		cleanup_close(&made.dirfd);
		if (is_new)
			(void)rmdir(path);
		return r;
	}
	*g = made;
	return 0;
}

int owngroup_enter(const struct owngroup *g)
{
	if (g->procs_fd < 0)
		return -ENOENT;
	return write(g->procs_fd, "0", 1) == 1 ? 0 : -errno;
}

int owngroup_visit(struct owngroup *g)
{
	char home[1024], path[1024 + 32];
	size_t mount;
	bool v2;
	int r;

	if (g->procs_fd < 0)
		return -ENOENT;
	if (g->home_fd >= 0)
		return 0;
	r = owngroup_self(home, sizeof(home), &mount, &v2);
	if (r < 0)
		return r;
	(void)str_format(path, sizeof(path), "%s/cgroup.procs", home);
	g->home_fd = open(path, O_WRONLY | O_CLOEXEC);
	if (g->home_fd < 0)
		return -errno;
	r = owngroup_enter(g);
	if (r < 0)
		cleanup_close(&g->home_fd);
	return r;
}

void owngroup_go_home(struct owngroup *g)
{
	if (g->home_fd < 0)
		return;
	(void)!write(g->home_fd, "0", 1);       /* it may be gone: then owngroup_remove moves us */
	cleanup_close(&g->home_fd);
}

void owngroup_remove(struct owngroup *g)
{
	char procs[4096], parent[OWNGROUP_PATH_MAX + 16], home[sizeof(g->home) + 16], *slash;

	if (g->dirfd < 0)
		return;
	owngroup_go_home(g);
	(void)str_format(parent, sizeof(parent), "%s", g->path);
	slash = strrchr(parent, '/');
	if (slash != NULL)
		strcpy(slash, "/cgroup.procs");
	(void)str_format(home, sizeof(home), "%s/cgroup.procs", g->home);
	/* A task that has ended stays listed until it is reaped: a few tries. */
	for (int i = 0; i < 20; i++) {
		char *save = NULL;

		if (root_read_file(g->dirfd, "cgroup.procs", procs, sizeof(procs)) > 0)
			for (char *pid = strtok_r(procs, "\n", &save); pid != NULL; pid = strtok_r(NULL, "\n", &save))
				if (g->home[0] == '\0' || root_write_file(AT_FDCWD, home, pid) < 0)
					(void)root_write_file(AT_FDCWD, parent, pid);
		if (rmdir(g->path) == 0 || errno == ENOENT)
			break;
		(void)usleep(5000);
	}
	(void)close(g->procs_fd);
	(void)close(g->dirfd);
	*g = OWNGROUP_INIT;
}
