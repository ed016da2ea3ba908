/* SPDX-License-Identifier: Apache-2.0 */
/* test-listen: the kernel's table of sockets, as text and as it is. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"
#include "steward/listen.h"

#define HEAD "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define TAIL " 00000000:00000000 00:00000000 00000000     0        0 "

static void lines(void **state)
{
	static const struct { const char *text; unsigned n; uint64_t first; } cases[] = {
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "4711 1 0000000000000000 100 0 0 10 0\n", 1, 4711 },
		{ HEAD "   0: 00000000000000000000000001000000:1FF5 00000000000000000000000000000000:0000 0A" TAIL "99 1 0 100\n", 1, 99 },
		{ HEAD "   0: 0100007F:1FF5 0100007F:9C40 01" TAIL "4711 1 0\n", 0, 0 },         /* a connection */
		{ HEAD "   0: 0100007F:1FF6 00000000:0000 0A" TAIL "4711 1 0\n", 0, 0 },         /* another port */
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "4711", 0, 0 },                /* cut */
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "0 1\n", 0, 0 },              /* no inode */
		{ HEAD "   0: 0100007F 00000000:0000 0A" TAIL "4711 1\n", 0, 0 },
		{ HEAD "   0: 0100007F:FFFFF1FF5 00000000:0000 0A" TAIL "4711 1\n", 0, 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "99999999999999999999999 1\n", 1, UINT64_MAX },
		{ "\n\n:::::::::: \n 1 2 3 4 5 6 7 8 9 10 11\n", 0, 0 }, { "", 0, 0 },
	};
	uint16_t ports[] = { 80, 8181 };
	uint64_t inodes[2];

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		assert_int_equal(listen_parse(cases[i].text, ports, 2, inodes, 2), cases[i].n);
		if (cases[i].n)
			assert_true(inodes[0] == cases[i].first);
	}
}

static void bounded(void **state)
{
	static char text[4096] = HEAD;
	uint16_t port = 8181;
	uint64_t inodes[3];

	for (int i = 0; i < 20; i++)
		strcat(text, "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "4711 1 0\n");
	assert_int_equal(listen_parse(text, &port, 1, inodes, 3), 3);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void the_one_that_listens(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(sa);
	struct task_ref tasks[4] = { 0 };
	uint16_t port, other = 1;
	pid_t deaf = sleeper(), server;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
	port = ntohs(sa.sin_port);
	server = sleeper();
	close(fd);
	tasks[0].pid = deaf;
	tasks[1].pid = tasks[3].pid = server;
	tasks[2].pid = 1 << 30;
	assert_int_equal(listen_mark(tasks, 4, &port, 1), 2);
	assert_true(!tasks[0].keep && tasks[1].keep && !tasks[2].keep && tasks[3].keep);
	tasks[1].keep = tasks[3].keep = false;
	assert_int_equal(listen_mark(tasks, 4, &other, 1), 0);
	assert_int_equal(listen_mark(tasks, 4, &port, 0), 0);
	kill(deaf, SIGKILL);
	kill(server, SIGKILL);
	waitpid(deaf, NULL, 0);
	waitpid(server, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(lines), cmocka_unit_test(bounded), cmocka_unit_test(the_one_that_listens) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
