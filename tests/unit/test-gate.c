/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/gate.h"

#define RATE    100
#define MOST    5
#define CLIENTS 100

static struct loop l;
static struct gate g;
static int clients[CLIENTS], taken;

static int take(struct loop *lp, struct loop_source *s, uint32_t events, void *data)
{
	int fd = accept(s->fd, NULL, NULL);

	assert_true(fd >= 0);
	(void)close(fd);
	taken++;
	return 0;
}

static void setup_crowd(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(sa.sun_family);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, size), 0);    /* an abstract name of the kernel's choice */
	assert_int_equal(listen(fd, CLIENTS), 0);
	size = sizeof(sa);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		assert_int_equal(connect(clients[i], (struct sockaddr *)&sa, size), 0);
	}
	assert_int_equal(loop_init(&l), 0);
	assert_int_equal(gate_open(&g, &l, fd, RATE, MOST, take, NULL), 0);
	taken = 0;
}

static void teardown_crowd(void)
{
	gate_close(&g, &l);
	gate_close(&g, &l);             /* twice is fine */
	for (int i = 0; i < CLIENTS; i++)
		(void)close(clients[i]);
	loop_deinit(&l);
}

static void a_crowd_is_let_in_at_the_rate(void **state)
{
	usec_t start;
	int turns = 0;

	setup_crowd();
	start = loop_now(&l);
	while (taken < 5 * MOST) {
		assert_int_equal(loop_turn(&l, 1000), 0);
		turns++;
		assert_true((usec_t)taken <= MOST + RATE * (loop_now(&l) - start) / USEC_PER_SEC + 1);
		assert_true(turns <= 2 * taken + 10);   /* who waits does not wake us; and it opens again */
	}
	teardown_crowd();
}

static void after_a_rest_so_many_at_once(void **state)
{
	setup_crowd();
	for (int i = 0; i < MOST + 1; i++)
		(void)loop_turn(&l, 0);
	assert_int_equal(taken, MOST);
	(void)usleep(2 * MOST * 1000000 / RATE + 1000);
	for (int i = 0; i < 20; i++)
		(void)loop_turn(&l, 0);
	assert_in_range(taken, MOST + 1, 2 * MOST + 1);
	teardown_crowd();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crowd_is_let_in_at_the_rate),
		cmocka_unit_test(after_a_rest_so_many_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
