/* SPDX-License-Identifier: Apache-2.0 */
/* lifted: one number in one file. A boot empties /run, and a clock of another boot that is
 * ahead of ours is refused. */
#include "act/lifted.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "act/act.h"
#include "act/knob.h"
#include "base/cleanup.h"
#include "sys/loop.h"
#include "sys/root.h"

#define LIFTED_FILE "lifted"
#define RESCUE_FILE "rescue"            /* is there while rescue is in force, and after a crash of it */

unsigned act_squeezed(const struct act *a)
{
	unsigned n = 0;

	for (const struct journal_record *r = journal_next(a->journal, NULL); r != NULL; r = journal_next(a->journal, r))
		n += r->kind != JOURNAL_LIFELINE && r->kind != JOURNAL_SINCE;
	return n;
}

static int open_dir(const char *rundir)
{
	return open(rundir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

void lifted_mode(const char *rundir, bool rescue)
{
	_cleanup_(cleanup_close) int dir = open_dir(rundir);
	int fd;

	if (dir >= 0 && !rescue)
		(void)unlinkat(dir, RESCUE_FILE, 0);
	if (dir < 0 || !rescue)
		return;
	fd = openat(dir, RESCUE_FILE, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	cleanup_close(&fd);
}

void lifted_note(const char *rundir)
{
	_cleanup_(cleanup_close) int dir = open_dir(rundir), fd = -1;

	if (dir >= 0 && faccessat(dir, RESCUE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		fd = openat(dir, LIFTED_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)dprintf(fd, "%llu\n", (unsigned long long)loop_clock());
}

void lifted_forget(const char *rundir)
{
	_cleanup_(cleanup_close) int dir = open_dir(rundir);

	if (dir >= 0)
		(void)unlinkat(dir, LIFTED_FILE, 0);
}

bool lifted_within(const char *rundir, usec_t age)
{
	_cleanup_(cleanup_close) int dir = open_dir(rundir);
	usec_t at, now = loop_clock();
	char buf[32], *end;

	if (dir < 0 || root_read_file(dir, LIFTED_FILE, buf, sizeof(buf)) <= 0)
		return false;
	at = strtoull(buf, &end, 10);
	return end != buf && *end == '\n' && at <= now && now - at <= age;
}
