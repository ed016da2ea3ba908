/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen: who answers the health check
 *
 * A service may hold its runaway and, as another process, the server that answers the
 * health check. The server does real work, so it can use more CPU than any single one of
 * 64 hogs, and would be lowered with the worst of them, to starve behind the others
 * (measured in a guest: a check went from 1 s to none in 30 s). It is found by its socket.
 *
 * /proc/PID/net is that of PID's network namespace, so a container's sockets are found
 * too. The kernel lists listening sockets first: the first part of a long file is enough.
 */
#include "steward/listen.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macro.h"
#include "base/str.h"
#include "sys/root.h"

#define TABLE_MAX 65536
#define TCP_LISTEN_ 0x0a

/* "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 12345 1 ..." */
static bool parse_line(const char *line, size_t size, unsigned *ret_port, uint64_t *ret_inode)
{
	char text[256], *field[10], *save = NULL, *p = text, *colon, *end;
	unsigned n = 0;

	if (size >= sizeof(text))
		size = sizeof(text) - 1;
	memcpy(text, line, size);
	text[size] = '\0';
	for (; n < ELEMENTSOF(field) && (field[n] = strtok_r(p, " ", &save)) != NULL; p = NULL)
		n++;
	if (n < ELEMENTSOF(field) || strtoul(field[3], &end, 16) != TCP_LISTEN_ || *end != '\0')
		return false;
	colon = strrchr(field[1], ':');
	if (colon == NULL)
		return false;
	*ret_port = (unsigned)strtoul(colon + 1, &end, 16);
	if (*end != '\0' || end == colon + 1 || *ret_port > UINT16_MAX)
		return false;
	*ret_inode = strtoull(field[9], &end, 10);
	return *end == '\0' && *ret_inode > 0;
}

unsigned listen_parse(const char *text, const uint16_t *ports, unsigned n_ports, uint64_t *inodes, unsigned max)
{
	unsigned n = 0;

	for (const char *line = text, *end; n < max && (end = strchr(line, '\n')) != NULL; line = end + 1) {
		uint64_t inode;
		unsigned port;

		if (!parse_line(line, (size_t)(end - line), &port, &inode))
			continue;
		for (unsigned i = 0; i < n_ports; i++)
			if (ports[i] == port) {
				inodes[n++] = inode;
				break;
			}
	}
	return n;
}

static unsigned sockets_of(int32_t pid, const uint16_t *ports, unsigned n_ports, uint64_t *inodes)
{
	static const char *const files[] = { "tcp", "tcp6" };
	static char text[TABLE_MAX];
	char path[48];
	unsigned n = 0;

	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		_cleanup_(cleanup_close) int fd = -1;
		size_t used = 0;
		ssize_t got;

		(void)str_format(path, sizeof(path), "/proc/%d/net/%s", pid, files[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		while (fd >= 0 && used < sizeof(text) - 1 && (got = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
			used += (size_t)got;
		text[used] = '\0';
		n += listen_parse(text, ports, n_ports, inodes + n, LISTEN_INODES_MAX - n);
	}
	return n;
}

static bool holds(int32_t pid, const uint64_t *inodes, unsigned n, unsigned *budget)
{
	_cleanup_(cleanup_closedir) DIR *d = NULL;
	char path[48], link[64], *end;
	struct dirent *e;

	(void)str_format(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d != NULL && *budget > 0 && (e = readdir(d)) != NULL) {
		ssize_t size = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		uint64_t inode;

		(*budget)--;
		if (size <= 0)
			continue;
		link[size] = '\0';
		if (!str_starts(link, "socket:["))
			continue;
		inode = strtoull(link + strlen("socket:["), &end, 10);
		for (unsigned i = 0; i < n; i++)
			if (inodes[i] == inode)
				return true;
	}
	return false;
}

unsigned listen_mark(struct task_ref *tasks, uint32_t n, const uint16_t *ports, unsigned n_ports)
{
	uint64_t inodes[LISTEN_INODES_MAX];
	unsigned budget = LISTEN_FDS_MAX, found = 0, marked = 0;

	if (n_ports == 0)
		return 0;
	for (uint32_t i = 0; i < n && i < 3 && found == 0; i++)         /* the first ones may have ended */
		found = sockets_of(tasks[i].pid, ports, n_ports, inodes);
	for (uint32_t i = 0; found > 0 && i < n; i++) {
		bool seen = false;

		for (uint32_t k = 0; k < i && !seen; k++)
			seen = tasks[k].pid == tasks[i].pid;
		if (seen || !holds(tasks[i].pid, inodes, found, &budget))
			continue;
		for (uint32_t k = i; k < n; k++)
			if (tasks[k].pid == tasks[i].pid) {
				tasks[k].keep = true;
				marked++;
			}
	}
	return marked;
}
