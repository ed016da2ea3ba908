/* SPDX-License-Identifier: Apache-2.0 */
/* Emptying a jail of many tasks ends when its time is over, and goes on the next time. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "act/jail.h"

static char dir[64], message[256];

static void put(const char *file, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void too_many_for_one_turn(void **state)
{
	struct place group = { .v2 = true, .fake = true, .path = "/x", .message = message, .message_size = sizeof(message) };
	struct act_layout layout = { .cpu_root = "/" };
	struct journal *j = NULL;
	char many[2048] = "", command[128];
	unsigned n = 0;

	strcpy(dir, "/tmp/test-jail-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(journal_new(&j, dir, &layout, NULL, NULL), 0);
	group.fd = open(dir, O_PATH|O_DIRECTORY|O_CLOEXEC);
	put("cgroup.controllers", "cpu");
	put("cgroup.subtree_control", "");
	put("cgroup.threads", "");
	assert_int_equal(jail_enter(j, 7, 7, &group, 5000, 25000, NULL, 0, &n), 0);
	for (unsigned i = 0; i < 200; i++)
		strcat(many, "1000000\n");
	put(JAIL_NAME "/cgroup.threads", many);

	assert_int_equal(jail_leave(j, journal_find(j, JOURNAL_JAIL, 7), &group, 1, JAIL_WAITS, &n), -ETIMEDOUT);
	assert_non_null(strstr(message, "too many tasks"));
	assert_int_equal(journal_live(j), 1);
	assert_int_equal(jail_leave(j, journal_find(j, JOURNAL_JAIL, 7), &group, tree_clock() + USEC_PER_SEC, JAIL_WAITS, &n), 0);
	assert_int_equal(n, 200);
	assert_int_equal(journal_live(j), 0);

	close(group.fd);
	journal_free(j);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(too_many_for_one_turn) };

	return cmocka_run_group_tests_name("jail", tests, NULL, NULL);
}
