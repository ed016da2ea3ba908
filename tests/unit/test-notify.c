/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/notify.h"

static int listener(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	strcpy(sa.sun_path, name);
	if (name[0] == '@')
		sa.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void sends(void **state)
{
	char dir[] = "/tmp/reprieve-notify-XXXXXX", path[64], abstract[64], buf[1024];
	ssize_t n;

	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_send("READY=1"), 1);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(abstract, sizeof(abstract), "@reprieve-test-%d", getpid());
	for (int i = 0; i < 2; i++) {
		int fd = listener(i ? abstract : path);

		assert_int_equal(notify_send("READY=1\nSTATUS=%s", "watching"), 0);
		n = recv(fd, buf, sizeof(buf) - 1, 0);
		buf[n] = '\0';
		assert_string_equal(buf, "READY=1\nSTATUS=watching");
		assert_int_equal(notify_send("RELOADING=1"), 0);
		n = recv(fd, buf, sizeof(buf) - 1, 0);
		buf[n] = '\0';
		assert_memory_equal(buf, "RELOADING=1\nMONOTONIC_USEC=", 27);
		close(fd);
	}
	unlink(path);
	rmdir(dir);
	assert_true(notify_send("WATCHDOG=1") < 0);
	unsetenv("NOTIFY_SOCKET");
}

static void watchdog(void **state)
{
	char pid[16];

	unsetenv("WATCHDOG_USEC");
	assert_true(notify_watchdog() == USEC_INFINITY);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_true(notify_watchdog() == 15 * USEC_PER_SEC);
	setenv("WATCHDOG_PID", "1", 1);
	assert_true(notify_watchdog() == USEC_INFINITY);        /* meant for another */
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_true(notify_watchdog() == 15 * USEC_PER_SEC);
	setenv("WATCHDOG_USEC", "nonsense", 1);
	assert_true(notify_watchdog() == USEC_INFINITY);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sends), cmocka_unit_test(watchdog) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
