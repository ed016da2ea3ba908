/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "act/inject.h"
#include "act/journal.h"
#include "base/macro.h"

static int fail_with;           /* each write fails so */
static unsigned said;

int act_inject(const char *where)
{
	return strcmp(where, "journal:before") == 0 ? fail_with : 0;
}

static void say(void *userdata, const char *line)
{
	assert_non_null(strstr(line, "undo journal "));
	said++;
}

static const struct act_layout layout = { .cpu_root = "/cpu", .pids_root = "/pids", .cpu_v2 = true };
static const struct act_layout other_layout = { .cpu_root = "/elsewhere" };
static char rundir[64];

static int setup(void **state)
{
	strcpy(rundir, "/tmp/test-journal-XXXXXX");
	fail_with = 0;
	said = 0;
	return mkdtemp(rundir) == NULL;
}

static int teardown(void **state)
{
	static const char *const names[] = { "journal", "journal.bad", "journal.lock", "journal.new" };
	char path[128];

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", rundir, names[i]);
		unlink(path);
	}
	return rmdir(rundir);
}

static struct journal *open_journal(const struct act_layout *l)
{
	struct journal *j = NULL;

	assert_int_equal(journal_new(&j, rundir, l, say, NULL), 0);
	assert_non_null(j);
	return j;
}

static struct journal_record weight(uint64_t group, int64_t was, int64_t ours)
{
	return (struct journal_record){ .kind = JOURNAL_WEIGHT, .tree = JOURNAL_CPU, .verb = 1, .group = group, .inode = group,
					.original = { .v = { was } }, .ours = { .v = { ours } } };
}

static void test_survives(void **state)
{
	struct journal *j = open_journal(&layout);
	struct journal_record r = weight(7, 100, 10), *at, *second;
	char path[GROUP_PATH_MAX];

	assert_int_equal(journal_live(j), 0);
	assert_int_equal(journal_add(j, &r, "/a/b.service", &at), 0);
	r.group = 8;
	assert_int_equal(journal_add(j, &r, "/a/c.service", &second), 0);
	r = *at;
	r.ours.v[0] = 5;
	assert_int_equal(journal_update(j, at, &r), 0);
	assert_int_equal(journal_done(j, second), 0);
	assert_int_equal(journal_live(j), 1);
	journal_free(j);

	j = open_journal(&other_layout);
	assert_int_equal(journal_live(j), 1);
	at = journal_find(j, JOURNAL_WEIGHT, 7);
	assert_non_null(at);
	assert_ptr_equal(at, journal_next(j, NULL));
	assert_null(journal_next(j, at));
	assert_null(journal_find(j, JOURNAL_QUOTA, 7));
	assert_null(journal_find(j, JOURNAL_WEIGHT, 8));
	assert_int_equal(at->original.v[0], 100);
	assert_int_equal(at->ours.v[0], 5);
	assert_int_equal(at->depth, 2);
	assert_int_equal(journal_path(j, at, path), 0);
	assert_string_equal(path, "/a/b.service");
	/* As long as it holds something, it holds the mount points that belong to that. */
	assert_string_equal(journal_layout(j)->cpu_root, "/cpu");
	assert_int_equal(journal_set_layout(j, &other_layout), -EBUSY);
	assert_int_equal(journal_done(j, at), 0);
	assert_int_equal(journal_set_layout(j, &other_layout), 0);
	journal_free(j);
	j = open_journal(NULL);
	assert_string_equal(journal_layout(j)->cpu_root, "/elsewhere");
	journal_free(j);
	assert_int_equal(said, 0);
}

static void test_full(void **state)
{
	struct journal *j = open_journal(&layout);
	struct journal_record r = weight(1, 100, 10), *at;
	struct stat st;
	char path[128];

	for (unsigned i = 0; i < JOURNAL_SLOTS; i++) {
		r.group = i + 1;
		assert_int_equal(journal_add(j, &r, "/x", &at), 0);
	}
	assert_int_equal(journal_add(j, &r, "/x", &at), -ENOSPC);
	assert_int_equal(journal_live(j), JOURNAL_SLOTS);
	at = journal_find(j, JOURNAL_WEIGHT, 500);
	assert_int_equal(journal_done(j, at), 0);
	assert_int_equal(journal_add(j, &r, "/x", &at), 0);
	snprintf(path, sizeof(path), "%s/journal", rundir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, JOURNAL_FILE_SIZE);
	assert_true(st.st_blocks * 512 >= JOURNAL_FILE_SIZE);   /* not sparse: ENOSPC cannot come later */
	for (at = journal_next(j, NULL); at != NULL; at = journal_next(j, at))
		assert_int_equal(journal_done(j, at), 0);
	assert_int_equal(journal_live(j), 0);
	journal_free(j);
}

static void test_failed_writes_change_nothing(void **state)
{
	struct journal *j = open_journal(&layout);
	struct journal_record r = weight(1, 100, 10), *at = NULL, *none = NULL;

	assert_int_equal(journal_add(j, &r, "/x", &at), 0);
	fail_with = -ENOSPC;
	assert_int_equal(journal_add(j, &r, "/y", &none), -ENOSPC);
	assert_null(none);
	r = *at;
	r.ours.v[0] = 1;
	assert_int_equal(journal_update(j, at, &r), -ENOSPC);
	assert_int_equal(at->ours.v[0], 10);
	assert_int_equal(journal_done(j, at), -ENOSPC);
	assert_int_equal(journal_live(j), 1);
	fail_with = 0;
	journal_free(j);
	j = open_journal(NULL);
	assert_int_equal(journal_live(j), 1);
	assert_int_equal(journal_next(j, NULL)->ours.v[0], 10);
	journal_free(j);
}

static void test_lock(void **state)
{
	struct journal *j = open_journal(&layout), *second = NULL;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(journal_new(&second, rundir, &layout, say, NULL) == JOURNAL_E_LOCKED &&
		      journal_new(&second, rundir, NULL, say, NULL) == JOURNAL_E_LOCKED && second == NULL ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	journal_free(j);
	journal_free(open_journal(&layout));
}

/* A guard that is killed between fork and exec of a helper leaves a child with its descriptors. */
static void test_lock_dies_with_the_guard(void **state)
{
	int ends[2], status;
	char c;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		(void)open_journal(&layout);
		(void)close(ends[1]);
		if (fork() == 0)
			_exit(read(ends[0], &c, 1) == 0 ? 0 : 1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	journal_free(open_journal(&layout));
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void test_none(void **state)
{
	struct journal *j = NULL;

	assert_int_equal(journal_new(&j, rundir, NULL, say, NULL), JOURNAL_E_NONE);
	assert_int_equal(journal_new(&j, "/nonexistent/run", NULL, say, NULL), JOURNAL_E_NONE);
	assert_int_equal(journal_new(&j, "/nonexistent/run", &layout, say, NULL), -ENOENT);
	assert_int_equal(chmod(rundir, 0777), 0);
	assert_int_equal(journal_new(&j, rundir, &layout, say, NULL), -EPERM);
	assert_int_equal(chmod(rundir, 0755), 0);
	assert_null(j);
}

static void test_paths(void **state)
{
	static const struct { const char *path; bool sound; } cases[] = {
		{ "/a", true }, { "/a/b.c", true }, { "/...", true }, { "/..a/b..", true }, { "/a\n/\x1b", true },
		{ "", false }, { "/", false }, { "a", false }, { "/..", false }, { "/a/..", false }, { "/../a", false },
		{ "/a/../b", false }, { "/.", false }, { "/a/./b", false }, { "//a", false }, { "/a//b", false }, { "/a/", false },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		if (journal_path_is_sound(cases[i].path) != cases[i].sound)
			fail_msg("%s", cases[i].path);
}

/* One good slot, and then each of its bytes wrong. */
static void test_check(void **state)
{
	static const uint64_t boot[2] = { 1, 2 }, other[2] = { 1, 3 };
	_Alignas(8) unsigned char slot[JOURNAL_RECORD_SIZE] = {}, bad[JOURNAL_RECORD_SIZE];
	struct journal_record r = weight(7, 100, 10), got;
	char path[GROUP_PATH_MAX];
	size_t used = sizeof(r) + GROUP_PATH_MAX;

	memcpy(slot, &r, sizeof(r));
	strcpy((char *)slot + sizeof(r), "/a/b");
	assert_false(journal_check(slot, boot, &got, path));
	journal_seal(slot, boot);
	assert_true(journal_check(slot, boot, &got, path));
	assert_int_equal(got.original.v[0], 100);
	assert_string_equal(path, "/a/b");
	assert_false(journal_check(slot, other, &got, path));
	for (size_t i = 0; i < used; i++) {
		memcpy(bad, slot, sizeof(bad));
		bad[i] ^= 0x10;
		if (journal_check(bad, boot, &got, path))
			fail_msg("byte %zu does not count", i);
	}

	/* Right checksums do not make it sound. */
	static const struct { size_t at; unsigned char byte; } wrong[] = {
		{ offsetof(struct journal_record, kind), 0 }, { offsetof(struct journal_record, kind), _JOURNAL_KIND_MAX },
		{ offsetof(struct journal_record, kind), 255 }, { offsetof(struct journal_record, tree), _JOURNAL_TREE_MAX },
		{ offsetof(struct journal_record, verb), 32 }, { sizeof(r), 'a' },
		{ offsetof(struct journal_record, kind), JOURNAL_TASK },       /* of tid 0 */
	};

	for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
		memcpy(bad, slot, sizeof(bad));
		bad[wrong[i].at] = wrong[i].byte;
		if (wrong[i].byte == JOURNAL_TASK)
			memset(bad + offsetof(struct journal_record, task), 0, sizeof(struct journal_task));
		journal_seal(bad, boot);
		if (journal_check(bad, boot, &got, path))
			fail_msg("case %zu", i);
	}
	memcpy(bad, slot, sizeof(bad));
	strcpy((char *)bad + sizeof(r), "/../../etc");
	journal_seal(bad, boot);
	assert_false(journal_check(bad, boot, &got, path));
	memset(bad + sizeof(r), 'a', GROUP_PATH_MAX);          /* no end */
	bad[sizeof(r)] = '/';
	journal_seal(bad, boot);
	assert_false(journal_check(bad, boot, &got, path));
}

static void test_damage(void **state)
{
	struct journal *j = open_journal(&layout);
	struct journal_record r = weight(7, 100, 10), *at;
	char path[128];
	int fd;

	assert_int_equal(journal_add(j, &r, "/a", &at), 0);
	r.group = 8;
	assert_int_equal(journal_add(j, &r, "/b", &at), 0);
	journal_free(j);
	snprintf(path, sizeof(path), "%s/journal", rundir);
	fd = open(path, O_RDWR|O_CLOEXEC);
	assert_int_equal(pwrite(fd, "garbage", 7, JOURNAL_HEADER_SIZE + 40), 7);
	j = open_journal(&layout);
	assert_int_equal(journal_live(j), 1);
	assert_int_equal(journal_next(j, NULL)->group, 8);
	assert_int_equal(said, 1);
	journal_free(j);

	assert_int_equal(pwrite(fd, "garbage", 7, 3), 7);
	j = open_journal(&layout);
	assert_int_equal(journal_live(j), 0);
	assert_true(said > 1);
	journal_free(j);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_survives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_writes_change_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock_dies_with_the_guard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_check),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
