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
 * too, also where not all of the tasks are in the same one; sockets' inodes are unique
 * across them. The kernel lists listening sockets first: the first part of a long file
 * is enough.
 *
 * A ranking waits for this, on a machine that is short of CPU, and what is looked at
 * belongs to strangers: time and count are bounded, and beyond a bound nobody is kept.
 */
#include "steward/listen.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macro.h"
#include "base/str.h"
#include "sys/loop.h"

#define TABLE_MAX 65536
#define TCP_LISTEN_ 0x0a

/* The parts of a line. None goes past its end: neither '\n' nor NUL is in any. */

static bool blanks(const char **p)
{
	size_t n = strspn(*p, " ");

	*p += n;
	return n > 0;
}

/* Exactly so many, as the kernel prints them, and then `end`. */
static bool hex(const char **p, size_t digits, char end, unsigned *ret)
{
	unsigned v = 0;

	if (strspn(*p, "0123456789ABCDEF") != digits || (*p)[digits] != end)
		return false;
	for (size_t i = 0; i < digits; i++)
		v = v << 4 | (unsigned)((*p)[i] <= '9' ? (*p)[i] - '0' : (*p)[i] - 'A' + 10);
	*p += digits + 1;
	*ret = v;
	return true;
}

static bool decimal(const char **p, uint64_t *ret)
{
	const char *start = *p;
	uint64_t v = 0;

	for (; **p >= '0' && **p <= '9'; (*p)++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(**p - '0'), &v))
			return false;
	*ret = v;
	return *p > start;
}

/* "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 ..." */
static bool parse_line(const char *p, unsigned *ret_port, uint64_t *ret_inode)
{
	size_t width;
	unsigned state, v;
	uint64_t n;

	(void)blanks(&p);
	if (!decimal(&p, &n) || p[0] != ':' || p[1] != ' ')
		return false;
	p += 2;
	width = strspn(p, "0123456789ABCDEF");
	if ((width != 8 && width != 32) || !hex(&p, width, ':', &v) || !hex(&p, 4, ' ', ret_port) ||
	    !hex(&p, width, ':', &v) || !hex(&p, 4, ' ', &v) || !hex(&p, 2, ' ', &state) || state != TCP_LISTEN_ ||
	    !hex(&p, 8, ':', &v) || !hex(&p, 8, ' ', &v) || !hex(&p, 2, ':', &v) || !hex(&p, 8, ' ', &v) || !hex(&p, 8, ' ', &v))
		return false;
	(void)blanks(&p);
	if (!decimal(&p, &n) || !blanks(&p) || !decimal(&p, &n) || !blanks(&p) || !decimal(&p, ret_inode))
		return false;
	return (*p == ' ' || *p == '\n') && *ret_inode > 0;
}

unsigned listen_parse(const char *text, const uint16_t *ports, unsigned n_ports, uint64_t *inodes, unsigned max)
{
	unsigned n = 0;

	for (const char *line = text, *end; n < max && (end = strchr(line, '\n')) != NULL; line = end + 1) {
		uint64_t inode;
		unsigned port;

		if (!parse_line(line, &port, &inode))
			continue;
		for (unsigned i = 0; i < n_ports; i++)
			if (ports[i] == port) {
				inodes[n++] = inode;
				break;
			}
	}
	return n;
}

/* A duration is to be bounded: the time of the wake-up does not go on. */
static bool is_late(usec_t until)
{
	return loop_clock() >= until;
}

/* False: it has ended. */
static bool sockets_of(int32_t pid, const uint16_t *ports, unsigned n_ports, uint64_t *inodes, unsigned *n, usec_t until)
{
	static const char *const files[] = { "tcp", "tcp6" };
	static char text[TABLE_MAX];
	bool there = false;
	char path[48];

	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		_cleanup_(cleanup_close) int fd = -1;
		size_t used = 0;
		ssize_t got;

		(void)str_format(path, sizeof(path), "/proc/%d/net/%s", pid, files[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		there = there || fd >= 0;
		while (fd >= 0 && used < sizeof(text) - 1 && !is_late(until) && (got = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
			used += (size_t)got;
		text[used] = '\0';
		*n += listen_parse(text, ports, n_ports, inodes + *n, LISTEN_INODES_MAX - *n);
	}
	return there;
}

static unsigned find_sockets(const struct task_ref *tasks, uint32_t n, const uint16_t *ports, unsigned n_ports, uint64_t *inodes, usec_t until)
{
	ino_t asked[LISTEN_ASKED_MAX];
	unsigned n_asked = 0, found = 0;

	for (uint32_t i = 0; i < n && n_asked < LISTEN_ASKED_MAX && !is_late(until); i++) {
		char path[48];
		struct stat ns;
		unsigned k;

		(void)str_format(path, sizeof(path), "/proc/%d/ns/net", tasks[i].pid);
		if (stat(path, &ns) < 0)
			continue;
		for (k = 0; k < n_asked && asked[k] != ns.st_ino; k++)
			;
		if (k == n_asked && sockets_of(tasks[i].pid, ports, n_ports, inodes, &found, until))
			asked[n_asked++] = ns.st_ino;
	}
	return found;
}

static bool holds(int32_t pid, const uint64_t *inodes, unsigned n, unsigned *budget, usec_t until)
{
	_cleanup_(cleanup_closedir) DIR *d = NULL;
	unsigned left = MIN(*budget, (unsigned)LISTEN_FDS_EACH);
	char path[48], link[64];
	struct dirent *e;

	(void)str_format(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d != NULL && left > 0 && !is_late(until) && (e = readdir(d)) != NULL) {
		const char *p = link + strlen("socket:[");
		ssize_t size;
		uint64_t inode;

		if (e->d_name[0] == '.')
			continue;
		left--;
		(*budget)--;
		size = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		if (size <= 0)
			continue;
		link[size] = '\0';
		if (!str_starts(link, "socket:[") || !decimal(&p, &inode) || !str_equal(p, "]"))
			continue;
		for (unsigned i = 0; i < n; i++)
			if (inodes[i] == inode)
				return true;
	}
	return false;
}

unsigned listen_mark(struct task_ref *tasks, uint32_t n, const uint16_t *ports, unsigned n_ports, usec_t within)
{
	uint64_t inodes[LISTEN_INODES_MAX];
	usec_t until = loop_clock() + within;
	unsigned budget = LISTEN_FDS_MAX, found, marked = 0;

	found = n_ports > 0 ? find_sockets(tasks, n, ports, n_ports, inodes, until) : 0;
	for (uint32_t i = 0; found > 0 && i < n; i++) {
		bool seen = false;

		for (uint32_t k = 0; k < i && !seen; k++)
			seen = tasks[k].pid == tasks[i].pid;
		if (seen || !holds(tasks[i].pid, inodes, found, &budget, until))
			continue;
		for (uint32_t k = i; k < n; k++)
			if (tasks[k].pid == tasks[i].pid) {
				tasks[k].keep = true;
				marked++;
			}
	}
	return marked;
}
