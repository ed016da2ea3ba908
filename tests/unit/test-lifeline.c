/* SPDX-License-Identifier: Apache-2.0 */
/* Against a stand-in for systemd, over a socket of its own, which can be told to be slow
 * or to refuse. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "steward/lifeline.h"
#include "sys/loop.h"
#include "sys/root.h"
#include "tests/unit/standin.h"

static char g_dir[] = "/tmp/reprieve-lifeline-XXXXXX", g_address[128];
static int g_rundir;
static pid_t g_server;

static int setup(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memset(g, 0, sizeof(*g));
	g_units[0] = "ssh.service";
	g_units[1] = "dbus.service";
	g->weight[0] = UINT64_MAX;
	g->weight[1] = 250;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/bus", g_dir);
	unlink(sa.sun_path);
	snprintf(g_address, sizeof(g_address), "unix:path=%s", sa.sun_path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 5) < 0)
		return -1;
	g_server = fork();
	if (g_server == 0)
		serve(fd);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	kill(g_server, SIGKILL);
	waitpid(g_server, NULL, 0);
	(void)unlinkat(g_rundir, LIFELINE_FILE, 0);
	return 0;
}

static void set_and_undo(void **state)
{
	struct lifeline *l = NULL;
	int32_t before = 0, after = 0;
	char text[256];

	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), 0);
	assert_int_equal(lifeline_set(l, "ssh.service", 800, &before, &after), 0);
	assert_int_equal(before, LIFELINE_UNSET);
	assert_int_equal(after, 800);
	assert_int_equal(g->weight[0], 800);
	assert_int_equal(g->runtime, 1);
	assert_string_equal(g->last, "ssh.service CPUWeight");
	assert_int_equal(lifeline_set(l, "dbus.service", 800, &before, &after), 0);
	assert_int_equal(before, 250);
	/* Again: the original stays the first one. */
	assert_int_equal(lifeline_set(l, "dbus.service", 500, &before, &after), 0);
	assert_int_equal(before, 250);
	assert_int_equal(after, 500);
	assert_true(root_read_file(g_rundir, LIFELINE_FILE, text, sizeof(text)) > 0);
	assert_string_equal(text, "ssh.service -1 0 800 800\ndbus.service 250 0 500 800\n");

	assert_int_equal(lifeline_undo(l, "ssh.service", &after), 0);
	assert_true(g->weight[0] == UINT64_MAX);
	assert_int_equal(lifeline_undo(l, "ssh.service", &after), -ENOENT);
	assert_int_equal(lifeline_undo_all(l), 0);
	assert_int_equal(g->weight[1], 250);
	assert_int_equal(lifeline_count(l), 0);
	assert_false(faccessat(g_rundir, LIFELINE_FILE, F_OK, 0) == 0);
	l = lifeline_free(l);
}

/* Killed, and the guard asks its successor for one of two again: that one is not touched at all. */
static void adopted(void **state)
{
	struct lifeline *l = NULL;
	int32_t before, after;
	int sets;

	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), 0);
	assert_int_equal(lifeline_set(l, "ssh.service", 800, &before, &after), 0);
	assert_int_equal(lifeline_set(l, "dbus.service", 700, &before, &after), 0);
	l = lifeline_free(l);
	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), 0);
	sets = g->sets;
	assert_int_equal(lifeline_set(l, "ssh.service", 800, &before, &after), 0);
	assert_int_equal(before, LIFELINE_UNSET);
	assert_int_equal(after, 800);
	assert_int_equal(g->sets, sets);
	assert_int_equal(lifeline_undo_unclaimed(l), 0);
	assert_int_equal(g->weight[0], 800);
	assert_int_equal(g->weight[1], 250);
	assert_int_equal(lifeline_count(l), 1);
	l = lifeline_free(l);
}

/* systemctl set-property on a unit that has a lifeline. */
static void somebody_elses(void **state)
{
	struct lifeline *l = NULL;
	int32_t before, after;

	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), 0);
	assert_int_equal(lifeline_set(l, "ssh.service", 200, &before, &after), 0);
	assert_int_equal(lifeline_set(l, "dbus.service", 200, &before, &after), 0);
	g->weight[0] = 700;
	g->weight[1] = UINT64_MAX;      /* also taking a setting away is one */
	assert_int_equal(lifeline_undo(l, "ssh.service", &after), 0);
	assert_int_equal(after, 700);
	assert_int_equal(g->weight[0], 700);
	assert_int_equal(lifeline_undo_all(l), 0);
	assert_true(g->weight[1] == UINT64_MAX);
	assert_int_equal(lifeline_count(l), 0);

	/* The guard asks for another weight meanwhile: theirs is what it goes back to, also after a kill. */
	g->weight[1] = 250;
	assert_int_equal(lifeline_set(l, "dbus.service", 200, &before, &after), 0);
	g->weight[1] = 700;
	assert_int_equal(lifeline_set(l, "dbus.service", 300, &before, &after), 0);
	assert_int_equal(before, 700);
	assert_int_equal(g->weight[1], 300);
	l = lifeline_free(l);
	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), 0);
	assert_int_equal(lifeline_undo_all(l), 0);
	assert_int_equal(g->weight[1], 700);

	/* Killed before our second weight was written: the first one is still ours. */
	g->weight[1] = 250;
	assert_int_equal(lifeline_set(l, "dbus.service", 200, &before, &after), 0);
	assert_int_equal(lifeline_set(l, "dbus.service", 300, &before, &after), 0);
	g->weight[1] = 200;
	assert_int_equal(lifeline_undo_all(l), 0);
	assert_int_equal(g->weight[1], 250);
	l = lifeline_free(l);
}

static void dropins(void **state)
{
	static const char head[] = "# This is a drop-in unit file extension, created via \"systemctl set-property\"\n[Service]\n";
	char text[256];

	snprintf(text, sizeof(text), "%sCPUWeight=200\n", head);
	assert_true(lifeline_wrote(text, 200));
	assert_false(lifeline_wrote(text, 20));
	assert_false(lifeline_wrote(text, 2000));
	snprintf(text, sizeof(text), "%sCPUWeight=200\nCPUWeight=700\n", head);
	assert_false(lifeline_wrote(text, 200));
	assert_false(lifeline_wrote("", 200));
}

/* Killed in between: another process finds the record and puts back. */
static void after_a_kill(void **state)
{
	struct lifeline *l = NULL;
	int32_t before, after;

	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), 0);
	assert_int_equal(lifeline_set(l, "ssh.service", 800, &before, &after), 0);
	assert_int_equal(lifeline_set(l, "dbus.service", 700, &before, &after), 0);
	l = lifeline_free(l);                   /* puts nothing back */
	assert_int_equal(g->weight[0], 800);
	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), 0);
	assert_int_equal(lifeline_count(l), 2);
	assert_int_equal(lifeline_undo_all(l), 0);
	assert_true(g->weight[0] == UINT64_MAX && g->weight[1] == 250);
	l = lifeline_free(l);
}

/* The file that a runtime property leaves behind: goes with the weight; where it cannot go, it is kept in mind. */
static void leftovers(void **state)
{
	struct lifeline *l = NULL;
	int32_t before, after;
	char dir[128], file[160];

	snprintf(dir, sizeof(dir), "%s/ssh.service.d", g_dir);
	snprintf(file, sizeof(file), "%s/50-CPUWeight.conf", dir);
	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), 0);
	assert_int_equal(lifeline_set(l, "ssh.service", 800, &before, &after), 0);
	/* A directory stands for what unlink() refuses, for root too. */
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(mkdir(file, 0755), 0);
	assert_int_not_equal(lifeline_undo(l, "ssh.service", &after), 0);
	assert_true(g->weight[0] == UINT64_MAX);
	assert_int_equal(lifeline_count(l), 1);
	assert_true(faccessat(g_rundir, LIFELINE_FILE, F_OK, 0) == 0);
	assert_true(lifeline_undo_unclaimed(l) < 0);
	l = lifeline_free(l);

	/* Another process, and the file is one. */
	assert_int_equal(rmdir(file), 0);
	assert_int_equal(root_replace_file(AT_FDCWD, file, "CPUWeight=\n", 11, 0644), 0);
	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), 0);
	assert_int_equal(lifeline_undo_unclaimed(l), 0);
	assert_false(faccessat(AT_FDCWD, dir, F_OK, 0) == 0);
	assert_int_equal(lifeline_count(l), 0);
	l = lifeline_free(l);
}

static void refusals(void **state)
{
	static const char *const bad[] = { "", "ssh", "../x.service", "a b.service", "a\n.service", ".service", "x.mount" };
	struct lifeline *l = NULL;
	int32_t before, after;

	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(lifeline_set(l, bad[i], 800, &before, &after), -EINVAL);
	assert_int_equal(lifeline_set(l, "ssh.service", 0, &before, &after), -EINVAL);
	assert_int_equal(lifeline_set(l, "none.service", 800, &before, &after), -ENOENT);
	assert_int_equal(g->sets, 0);
	assert_false(faccessat(g_rundir, LIFELINE_FILE, F_OK, 0) == 0);
	l = lifeline_free(l);
}

/* A systemd that does not answer costs LIFELINE_TIMEOUT, not more; then it works again. */
static void slow_systemd(void **state)
{
	struct lifeline *l = NULL;
	int32_t before, after;
	usec_t t0 = loop_clock();

	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), 0);
	g->slow = 1;
	assert_int_equal(lifeline_set(l, "ssh.service", 800, &before, &after), -ETIMEDOUT);
	assert_true(loop_clock() - t0 < LIFELINE_TIMEOUT + USEC_PER_SEC);
	g->slow = 0;
	assert_int_equal(lifeline_set(l, "ssh.service", 800, &before, &after), 0);
	assert_int_equal(after, 800);
	l = lifeline_free(l);
}

static void records(void **state)
{
	static const struct { const char *line; int r; } cases[] = {
		{ "ssh.service -1 0 200 200", 0 }, { "user.slice 100 1 200 300", 0 }, { "ssh.service -1 0", -EBADMSG },
		{ "ssh.service 1 2 200 200", -EBADMSG }, { "ssh 1 0 200 200", -EBADMSG }, { "ssh.service 10001 0 200 200", -EBADMSG },
		{ "ssh.service -2 0 200 200", -EBADMSG }, { "ssh.service 1 0 0 200", -EBADMSG }, { "ssh.service 1 0 200 10001", -EBADMSG },
		{ "", -EBADMSG }, { " 1 0 200 200", -EBADMSG }, { "ssh.service x 0 200 200", -EBADMSG }, { "ssh.service 1 0 200 ", -EBADMSG },
		{ "ssh.service 1 0 200 200 ", -EBADMSG }, { "../a.service 1 0 200 200", -EBADMSG },
	};
	struct lifeline *l = NULL;
	struct lifeline_record record;
	char unit[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(lifeline_parse_line(cases[i].line, unit, sizeof(unit), &record), cases[i].r);
	assert_int_equal(root_replace_file(g_rundir, LIFELINE_FILE, "garbage\n", 8, 0600), 0);
	assert_int_equal(lifeline_new(g_rundir, g_address, g_dir, &l), -EBADMSG);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(set_and_undo), T(after_a_kill), T(adopted), T(somebody_elses), cmocka_unit_test(dropins), T(leftovers), T(refusals), T(slow_systemd), T(records) };
	char path[64];
	int r;

	if (mkdtemp(g_dir) == NULL)
		return 1;
	g_rundir = root_open(g_dir);
	g = mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(path, sizeof(path), "%s/bus", g_dir);
	unlink(path);
	rmdir(g_dir);
	return r;
}
