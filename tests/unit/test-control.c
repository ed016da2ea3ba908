/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "ctl/control.h"

static char dir[64];
static struct loop l;
static struct control c;
static unsigned handled;

static void handle(struct json *j, const char *verb, const char *argument, bool root, void *data)
{
	handled++;
	json_begin_object(j);
	json_kint(j, "schema", 1);
	json_kbool(j, "root", root);
	json_end_object(j);
}

static int setup(void **state)
{
	str_copy(dir, sizeof(dir), "/tmp/reprieve-test-XXXXXX");
	handled = 0;
	return mkdtemp(dir) != NULL && loop_init(&l) == 0 && control_init(&c, &l, dir, handle, NULL) == 0 ? 0 : -1;
}

static const char *path(const char *name)
{
	static char buf[128];

	str_format(buf, sizeof(buf), "%s/%s", dir, name);
	return buf;
}

static int teardown(void **state)
{
	control_deinit(&c);
	loop_deinit(&l);
	(void)unlink(path(CONTROL_SOCKET));
	(void)unlink(path(CONTROL_SOCKET_ROOT));
	return rmdir(dir);
}

static int caller(const char *name, const char *request)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	str_copy(sa.sun_path, sizeof(sa.sun_path), path(name));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	return fd;
}

static void turns(int n)
{
	while (n-- > 0)
		assert_int_equal(loop_turn(&l, 0), 0);
}

static void a_socket_for_everybody_and_one_for_root(void **state)
{
	char answer[64] = "";
	struct stat st;
	int fd;

	assert_int_equal(stat(path(CONTROL_SOCKET), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	assert_int_equal(stat(path(CONTROL_SOCKET_ROOT), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fd = caller(CONTROL_SOCKET_ROOT, "status\n");
	turns(4);
	assert_true(read(fd, answer, sizeof(answer) - 1) > 0);
	assert_string_equal(answer, geteuid() == 0 ? "{\"schema\":1,\"root\":true}" : "{\"schema\":1,\"root\":false}");
	(void)close(fd);
}

static void a_crowd_does_not_keep_root_out(void **state)
{
	int crowd[CONTROL_BURST + 10], fd;

	for (size_t i = 0; i < CONTROL_BURST + 10; i++)
		crowd[i] = caller(CONTROL_SOCKET, "");
	turns(CONTROL_BURST + 10);
	assert_true(c.gate.tokens < CONTROL_BURST / 2);
	assert_int_equal(handled, 0);
	fd = caller(CONTROL_SOCKET_ROOT, "release-all\n");
	turns(2);
	assert_int_equal(handled, 1);
	(void)close(fd);
	for (size_t i = 0; i < CONTROL_BURST + 10; i++)
		(void)close(crowd[i]);
}

static void who_hung_up_gets_nothing_done(void **state)
{
	int fd = caller(CONTROL_SOCKET_ROOT, "release-all\n");

	(void)close(fd);
	turns(4);
	assert_int_equal(handled, 0);
	fd = caller(CONTROL_SOCKET_ROOT, "release-all\n");
	(void)shutdown(fd, SHUT_WR);            /* it has said all and waits: as the CLI does */
	turns(4);
	assert_int_equal(handled, 1);
	(void)close(fd);
	fd = caller(CONTROL_SOCKET_ROOT, "release-all");        /* taken in, and not done asking */
	turns(2);
	(void)close(fd);
	turns(2);
	assert_int_equal(handled, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_socket_for_everybody_and_one_for_root, setup, teardown),
		cmocka_unit_test_setup_teardown(who_hung_up_gets_nothing_done, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crowd_does_not_keep_root_out, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
