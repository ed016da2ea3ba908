/* SPDX-License-Identifier: Apache-2.0 */
/* jail: a quota for a part of a cgroup.
 *
 * v2: a cgroup with processes may only have threaded children, and only controllers
 * that work on threads in them; cpu is one. Writing "threaded" into the new child
 * makes the parent "domain threaded", and removing it makes it "domain" again. A
 * child that was there before would become invalid by that, so a cgroup that has any
 * is refused. Moving is by tid, within the unit: memory, pids, devices and the unit's
 * end are the parent's and stay. systemd, or a delegate, may take cpu out of the
 * unit's subtree_control; jail_check() notices.
 *
 * v1: a child in the cpu hierarchy; all other controllers know nothing of it. With
 * RT_GROUP_SCHED a real-time task is not let in (EINVAL): lower it first.
 *
 * One record is enough: whatever is in the jail came from its parent or was born
 * there, so it goes to the parent. It is on file before the directory is made. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "act/inject.h"
#include "act/jail.h"
#include "act/tasks.h"
#include "act/throttle.h"
#include "base/str.h"

/* Of a cgroup.controllers or cgroup.subtree_control. */
static bool lists_cpu(const char *text)
{
	return str_has_word(text, strlen(text), "cpu", " ");
}

/* Fake: a plain directory has none of the files that the kernel would put there. */
static void jail_furnish(const struct place *jail)
{
	static const char *const files[] = { "cgroup.type", "cgroup.threads", "cpu.max" };

	for (size_t i = 0; jail->fake && i < ELEMENTSOF(files); i++) {
		int fd = openat(jail->fd, files[i], O_WRONLY|O_CREAT|O_CLOEXEC, 0600);

		if (fd >= 0 && strcmp(files[i], "cpu.max") == 0)
			(void)!write(fd, "max 100000\n", 11);
		if (fd >= 0)
			(void)close(fd);
	}
}

/* cpu for the cgroups inside; the kernel keeps a set in this file, the fake of it what is written. */
static int jail_control(const struct place *group, bool on)
{
	return place_write(group, "cgroup.subtree_control", group->fake ? (on ? "cpu" : "") : on ? "+cpu" : "-cpu");
}

static int jail_build(const struct place *group, struct place *jail, bool cpu_was_on)
{
	int r;

	r = INJECT("jail:mkdir");
	if (r >= 0 && mkdirat(group->fd, JAIL_NAME, 0755) < 0 && errno != EEXIST)
		r = -errno;
	(void)INJECT("jail:mkdir");
	if (r >= 0)
		r = place_child(jail, group, JAIL_NAME);
	if (r < 0)
		return place_fail(group, r, "a cgroup inside cannot be made: %s", strerror(-r));
	jail_furnish(jail);
	if (!jail->v2)
		return 0;
	r = place_write(jail, "cgroup.type", "threaded");
	if (r >= 0 && !cpu_was_on)
		r = jail_control(group, true);
	return r;
}

static int jail_set(const struct place *jail, int64_t quota, int64_t period)
{
	struct journal_values now, to;
	int r = throttle_read(jail, JOURNAL_QUOTA, &now);

	if (r < 0)
		return r;
	to = (struct journal_values){ .v = { quota, period, now.v[2] < 0 ? -1 : 0 } };
	return throttle_write(jail, JOURNAL_QUOTA, &now, &to);
}

/* Refuses before anything is changed. 1: cpu is on for children already, 0: it can be turned on. */
static int jail_possible(const struct place *group)
{
	char text[TREE_FILE_MAX], name[192];
	struct stat st;
	int r;

	str_escape(name, sizeof(name), group->path);
	if (faccessat(group->fd, JAIL_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return place_fail(group, -EBUSY, "cgroup %s cannot have a jail: it has a cgroup %s that is not ours", name, JAIL_NAME);
	if (!group->v2)
		return 1;
	r = place_read(group, "cgroup.controllers", text);
	if (r < 0)
		return r;
	if (!lists_cpu(text))
		return place_fail(group, -ENOENT, "cgroup %s cannot have a jail: controller cpu not enabled in its parent", name);
	if (fstat(group->fd, &st) < 0 || st.st_nlink > 2)
		return place_fail(group, -EBUSY, "cgroup %s cannot have a jail: it has cgroups inside", name);
	r = place_read(group, "cgroup.subtree_control", text);
	return r < 0 ? r : lists_cpu(text);
}

int jail_enter(struct journal *j, uint64_t id, uint64_t inode, const struct place *group, int64_t quota, int64_t period,
	       const struct task_ref *tasks, unsigned n, unsigned *ret_n)
{
	struct journal_record *record = journal_find(j, JOURNAL_JAIL, id), with;
	_cleanup_(place_close) struct place jail = { .fd = -1 };
	bool made = record == NULL;
	unsigned moved = 0;
	int r, first = 0;

	if (made) {
		r = jail_possible(group);
		if (r < 0)
			return r;
		with = (struct journal_record){
			.kind = JOURNAL_JAIL, .tree = JOURNAL_CPU, .verb = VERB_JAIL, .group = id, .inode = inode, .busy = 1,
			.original = { .v = { r } }, .ours = { .v = { quota, period } },
		};
		r = journal_add(j, &with, group->path, &record);
	} else {
		journal_claim(j, record);
		with = *record;
		with.previous = with.ours;
		with.ours = (struct journal_values){ .v = { quota, period } };
		r = journal_update(j, record, &with);
	}
	if (r < 0)
		return place_fail(group, -ENOSPC, "the undo journal does not take a record: %s", strerror(-r));

	/* An old one is furnished again too: systemd may have taken cpu away. */
	r = jail_build(group, &jail, made && record->original.v[0] == 1);
	if (r >= 0)
		r = jail_set(&jail, quota, period);
	for (unsigned i = 0; r >= 0 && i < n; i++) {
		struct task_stat s;
		int e = task_stat_read(tasks[i].tid, &s);

		if (e >= 0 && (s.start != tasks[i].start || s.kthread || tasks[i].tid <= 1))
			e = -ESRCH;
		if (e >= 0)
			e = place_write_number(&jail, place_threads(&jail), tasks[i].tid);
		moved += e >= 0;
		first = first == 0 && e < 0 && e != -ESRCH ? e : first;
	}
	if (r >= 0 && moved == 0 && n > 0)
		r = first < 0 ? first : place_fail(group, -ESTALE, "the tasks are gone");
	if (r < 0) {
		if (made) {
			char kept[384];

			if (group->message != NULL)
				str_copy(kept, sizeof(kept), group->message);
			(void)jail_leave(j, record, group, tree_clock() + 20 * USEC_PER_MSEC, JAIL_WAITS, &moved);
			if (group->message != NULL)
				str_copy(group->message, group->message_size, kept);
		}
		return r;
	}
	with = *record;
	with.busy = 0;
	(void)journal_update(j, record, &with);
	*ret_n = moved;
	return 0;
}

/* How many went back in one round, or -errno; -ETIMEDOUT: not all until then. */
static int jail_empty(const struct place *jail, const struct place *group, usec_t until)
{
	_cleanup_(idlist_close) struct idlist ids = { .fd = -1 };
	int tid, n = 0, r;

	r = idlist_open(&ids, jail, place_threads(jail));
	if (r < 0)
		return r;
	for (unsigned i = 1; (tid = idlist_next(&ids)) > 0; i++) {
		if (i % 64 == 0 && tree_clock() > until)
			return -ETIMEDOUT;
		r = place_write_number(group, place_threads(group), tid);
		if (r >= 0)
			n++;
		else if (r != -ESRCH)
			return r;
	}
	return tid < 0 ? tid : n;
}

static int jail_remove(const struct place *group, const struct place *jail)
{
	static const char *const files[] = { "cgroup.type", "cgroup.threads", "cpu.max" };
	int r;

	for (size_t i = 0; jail->fake && i < ELEMENTSOF(files); i++)
		(void)unlinkat(jail->fd, files[i], 0);
	r = INJECT("jail:rmdir");
	if (r >= 0 && unlinkat(group->fd, JAIL_NAME, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	(void)INJECT("jail:rmdir");
	return r;
}

int jail_leave(struct journal *j, struct journal_record *record, const struct place *group, usec_t until, unsigned wait, unsigned *ret_n)
{
	_cleanup_(place_close) struct place jail = { .fd = -1 };
	char text[TREE_FILE_MAX], name[192];
	struct timespec pause = { .tv_nsec = 1000000 };
	unsigned moved = 0, waits = 0;
	int r, n;

	r = place_child(&jail, group, JAIL_NAME);
	if (r >= 0)
		jail_furnish(&jail);
	while (r >= 0) {
		n = jail_empty(&jail, group, until);
		moved += n > 0 ? (unsigned)n : 0;
		if (n == -ETIMEDOUT)
			return place_fail(group, n, "the jail of cgroup %s has too many tasks for one turn",
					  str_escape(name, sizeof(name), group->path));
		if (n < 0 && n != -ESTALE)
			return n;
		r = jail_remove(group, &jail);
		if (r != -EBUSY)
			break;
		/* Born in the meantime, or dying. */
		if (tree_clock() > until || waits++ >= wait)
			return place_fail(group, -ETIMEDOUT, "the jail of cgroup %s does not get empty: its tasks fork faster than they can be moved",
					  str_escape(name, sizeof(name), group->path));
		(void)nanosleep(&pause, NULL);
		r = 0;
	}
	if (r < 0 && r != -ENOENT)
		return place_fail(group, r, "the jail in cgroup %s cannot be removed: %s", str_escape(name, sizeof(name), group->path),
				  strerror(-r));
	if (group->v2 && record->original.v[0] == 0 && place_read(group, "cgroup.subtree_control", text) >= 0 && lists_cpu(text)) {
		r = jail_control(group, false);
		if (r < 0)
			return r;
	}
	r = journal_done(j, record);
	*ret_n += moved;
	return r;
}

int jail_check(const struct journal_record *record, const struct place *group)
{
	_cleanup_(place_close) struct place jail = { .fd = -1 };
	struct journal_values now;
	int r;

	r = place_child(&jail, group, JAIL_NAME);
	if (r < 0)
		return 0;
	r = throttle_read(&jail, JOURNAL_QUOTA, &now);
	if (r == -ENOENT || r == -ESTALE)
		return 0;
	return r < 0 ? r : now.v[0] == record->ours.v[0] && now.v[1] == record->ours.v[1];
}
