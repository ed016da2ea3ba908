/* SPDX-License-Identifier: Apache-2.0 */
/* test-listen: the kernel's table of sockets, as text and as it is. */
#include <arpa/inet.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"
#include "steward/listen.h"
#include "unit/needs.h"

#define HEAD "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define TAIL " 00000000:00000000 00:00000000 00000000     0        0 "

static void lines(void **state)
{
	static const struct { const char *text; uint64_t inode; } cases[] = {
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "4711 1 0000000000000000 100 0 0 10 0                      \n", 4711 },
		{ HEAD "   0: 00000000000000000000000001000000:1FF5 00000000000000000000000000000000:0000 0A" TAIL "99 1 0 100\n", 99 },
		{ HEAD "1234: 0100007F:1FF5 00000000:0000 0A 00000000:00000005 02:00000FE2 00000000  1000        0 4711\n", 4711 },
		{ HEAD "12345: 0100007F:1FF5 00000000:0000 0A 00000000:00000000 00:00000000 00000000 4294967295        0 18446744073709551615 1\n", UINT64_MAX },
		{ "\n\n\n   0: 0100007F:0050 00000000:0000 0A" TAIL "4711 1\n", 4711 },
		{ HEAD "   0: 0100007F:1FF5 0100007F:9C40 01" TAIL "4711 1 0\n", 0 },             /* a connection */
		{ HEAD "   0: 0100007F:1FF6 00000000:0000 0A" TAIL "4711 1 0\n", 0 },             /* another port */
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "4711", 0 },                    /* cut */
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "\n4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "0 1\n", 0 },                  /* no inode */
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "18446744073709551616 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "99999999999999999999 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "-1 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "+4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "0x4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "4711x 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A" TAIL "4711\t1\n", 0 },
		{ HEAD "   0: 0100007F 00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 100007F:1FF5 00000000:0000 0A" TAIL "4711 1\n", 0 },                /* 7 digits */
		{ HEAD "   0: 00100007F:1FF5 00000000:0000 0A" TAIL "4711 1\n", 0 },              /* 9 */
		{ HEAD "   0: 0000000001000000:1FF5 0000000000000000:0000 0A" TAIL "4711 1\n", 0 }, /* 16 */
		{ HEAD "   0: 00000000000000000000000001000000:1FF5 00000000:0000 0A" TAIL "4711 1\n", 0 },  /* 32 and 8 */
		{ HEAD "   0: 0100007F:1FF5 00000000000000000000000000000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 0100007f:1FF5 00000000:0000 0A" TAIL "4711 1\n", 0 },               /* the kernel's are capital */
		{ HEAD "   0: 0100007F:1ff5 00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 0100007F:50 00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 0100007F:01FF5 00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 0100007F:FFFFF1FF5 00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 0100007F:0x50 00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 00A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A 0000000:00000000 00:00000000 00000000     0        0 4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A 00000000:00000000 000:00000000 00000000     0        0 4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A 00000000:00000000 00:00000000 0000000     0        0 4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     x        0 4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5 00000000:0000 0A 00000000:00000000 00:00000000 000000000     0        0 4711 1\n", 0 },
		{ HEAD "   0: 0100007F.1FF5 00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5:00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "   0: 0100007F:1FF5  00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "   0 0100007F:1FF5 00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "    : 0100007F:1FF5 00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD "0100007F:1FF5 00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ HEAD " \r  0: 0100007F:1FF5 00000000:0000 0A" TAIL "4711 1\n", 0 },
		{ "\n\n:::::::::: \n 1 2 3 4 5 6 7 8 9 10 11\n", 0 }, { "", 0 }, { HEAD, 0 },
	};
	uint16_t ports[] = { 80, 8181 };
	uint64_t inodes[2];

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		if (listen_parse(cases[i].text, ports, 2, inodes, 2) != (cases[i].inode != 0))
			fail_msg("%zu: %s", i, cases[i].text);
		if (cases[i].inode)
			assert_true(inodes[0] == cases[i].inode);
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
	assert_int_equal(listen_parse(text, &port, 1, inodes, 0), 0);
	assert_int_equal(listen_parse(text, NULL, 0, inodes, 3), 0);
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

static int listener(uint16_t *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void the_one_that_listens(void **state)
{
	struct task_ref tasks[4] = { 0 };
	uint16_t port, other = 1;
	pid_t deaf = sleeper(), server;
	int fd = listener(&port);

	server = sleeper();
	close(fd);
	tasks[0].pid = deaf;
	tasks[1].pid = tasks[3].pid = server;
	tasks[2].pid = 1 << 30;
	assert_int_equal(listen_mark(tasks, 4, &port, 1, USEC_PER_SEC), 2);
	assert_true(!tasks[0].keep && tasks[1].keep && !tasks[2].keep && tasks[3].keep);
	tasks[1].keep = tasks[3].keep = false;
	assert_int_equal(listen_mark(tasks, 4, &other, 1, USEC_PER_SEC), 0);
	assert_int_equal(listen_mark(tasks, 4, &port, 0, USEC_PER_SEC), 0);
	assert_int_equal(listen_mark(tasks, 4, &port, 1, 0), 0);        /* no time for it */
	assert_true(!tasks[1].keep && !tasks[3].keep);
	/* Those that ended are not asked, so they do not count. */
	for (int i = 0; i < 3; i++)
		tasks[i].pid = (1 << 30) + i;
	assert_int_equal(listen_mark(tasks, 4, &port, 1, USEC_PER_SEC), 1);
	end(deaf);
	end(server);
}

/* A process with more descriptors than are looked at: found by the low ones alone. */
static void many_descriptors(void **state)
{
	struct rlimit limit;
	uint16_t port;
	int fd = listener(&port), last = -1;
	struct task_ref task = { 0 };
	pid_t low, high;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < LISTEN_FDS_EACH * 2)
		needs("open-files");
	limit.rlim_cur = LISTEN_FDS_EACH * 2;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (last < LISTEN_FDS_EACH + 8)
		assert_true((last = dup(STDERR_FILENO)) >= 0);
	task.pid = low = sleeper();
	assert_int_equal(listen_mark(&task, 1, &port, 1, USEC_PER_SEC), 1);
	assert_int_equal(dup2(fd, last), last);
	close(fd);
	task.pid = high = sleeper();
	assert_int_equal(listen_mark(&task, 1, &port, 1, USEC_PER_SEC), 0);
	end(low);
	end(high);
	for (int i = 3; i <= last; i++)
		close(i);
}

/* A process in a network namespace of its own, listening there or not; -1: not permitted. */
static pid_t elsewhere(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	int ready[2], fd;
	char good = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
			_exit(1);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (port != 0 && (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 5) < 0))
			_exit(1);
		(void)!write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	(void)!read(ready[0], &good, 1);
	close(ready[0]);
	if (good)
		return pid;
	waitpid(pid, NULL, 0);
	return -1;
}

/* Each in its own; not more than three of them are asked. */
static void namespaces(void **state)
{
	struct task_ref tasks[LISTEN_ASKED_MAX + 2] = { 0 };
	uint16_t port = 8181;
	pid_t server = elsewhere(port), deaf[LISTEN_ASKED_MAX];

	if (server < 0)
		needs("netns");
	for (int i = 0; i < LISTEN_ASKED_MAX; i++)
		assert_true((deaf[i] = elsewhere(0)) > 0);
	tasks[0].pid = tasks[1].pid = deaf[0];          /* one, asked once */
	for (int i = 2; i < LISTEN_ASKED_MAX; i++)
		tasks[i].pid = deaf[i - 1];
	tasks[LISTEN_ASKED_MAX].pid = server;
	assert_int_equal(listen_mark(tasks, LISTEN_ASKED_MAX + 1, &port, 1, USEC_PER_SEC), 1);
	assert_true(tasks[LISTEN_ASKED_MAX].keep && !tasks[0].keep);
	tasks[LISTEN_ASKED_MAX].keep = false;
	tasks[1].pid = deaf[LISTEN_ASKED_MAX - 1];
	assert_int_equal(listen_mark(tasks, LISTEN_ASKED_MAX + 1, &port, 1, USEC_PER_SEC), 0);
	end(server);
	for (int i = 0; i < LISTEN_ASKED_MAX; i++)
		end(deaf[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines), cmocka_unit_test(bounded), cmocka_unit_test(the_one_that_listens), cmocka_unit_test(many_descriptors), cmocka_unit_test(namespaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
