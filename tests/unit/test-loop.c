/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/loop.h"

static struct loop l;
static struct loop_source s1, s2;
static struct loop_timer t1, t2;
static int calls, order[8];

static int setup(void **state)
{
	calls = 0;
	s1 = s2 = LOOP_SOURCE_INIT;
	t1 = t2 = LOOP_TIMER_INIT;
	return loop_init(&l);
}

static int teardown(void **state)
{
	loop_deinit(&l);
	return 0;
}

static int remove_other(struct loop *lp, struct loop_source *s, uint32_t events, void *data)
{
	calls++;
	loop_remove(lp, data);
	return 0;
}

/* Both are ready in one wake-up; whichever comes first takes the other out. */
static void removed_in_the_batch(void **state)
{
	int a[2], b[2];

	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	assert_int_equal(loop_add(&l, &s1, a[0], EPOLLIN, remove_other, &s2), 0);
	assert_int_equal(loop_add(&l, &s2, b[0], EPOLLIN, remove_other, &s1), 0);
	assert_int_equal(loop_add(&l, &s2, b[0], EPOLLIN, remove_other, &s1), -EBUSY);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_int_equal(loop_turn(&l, 1000), 0);
	assert_int_equal(calls, 1);
	assert_true((s1.fd < 0) != (s2.fd < 0));
	loop_remove(&l, &s1);
	loop_remove(&l, &s2);
	loop_remove(&l, &s2);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

static int note(struct loop *lp, struct loop_timer *t, void *data)
{
	order[calls++] = (int)(intptr_t)data;
	return 0;
}

static void timers_in_order(void **state)
{
	usec_t now = loop_now(&l), before;

	loop_set_timer(&l, &t1, now + 12000, note, (void *)1);
	loop_set_timer(&l, &t2, now + 4000, note, (void *)2);
	while (calls < 2)
		assert_int_equal(loop_turn(&l, 1000), 0);
	assert_int_equal(order[0], 2);
	assert_int_equal(order[1], 1);
	assert_true(loop_now(&l) >= now + 12000);

	/* The past fires at once; a cancelled one never. */
	before = loop_clock();
	loop_set_timer(&l, &t1, 1, note, (void *)3);
	loop_set_timer(&l, &t2, 1, note, (void *)4);
	loop_cancel_timer(&l, &t2);
	assert_int_equal(loop_turn(&l, 1000), 0);
	assert_int_equal(calls, 3);
	assert_int_equal(order[2], 3);
	assert_true(loop_clock() - before < 500000);
	assert_int_equal(loop_turn(&l, 10), 0);
	assert_int_equal(calls, 3);
}

static int again(struct loop *lp, struct loop_timer *t, void *data)
{
	calls++;
	loop_set_timer(lp, t, 1, again, data);  /* always late */
	return 0;
}

static int count(struct loop *lp, struct loop_source *s, uint32_t events, void *data)
{
	++*(int *)data;
	return 0;
}

/* A timer that is always due does not starve the fds. */
static void late_timer_is_fair(void **state)
{
	int p[2], got = 0;

	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(loop_add(&l, &s1, p[0], EPOLLIN, count, &got), 0);
	loop_set_timer(&l, &t1, 1, again, NULL);
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_turn(&l, 1000), 0);
	assert_in_range(calls, 2, 5);
	assert_int_equal(got, 5);
	loop_cancel_timer(&l, &t1);
	loop_remove(&l, &s1);
	close(p[0]);
	close(p[1]);
}

static int on_signal(struct loop *lp, int signo, void *data)
{
	calls++;
	loop_exit(lp, signo);
	return 0;
}

static void signals_and_exit(void **state)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	assert_int_equal(loop_signals(&l, &set, on_signal, NULL), 0);
	raise(SIGUSR1);
	assert_int_equal(loop_run(&l), SIGUSR1);
	assert_int_equal(calls, 1);
}

static int broken(struct loop *lp, struct loop_timer *t, void *data)
{
	return -EIO;
}

static void an_error_ends_it(void **state)
{
	loop_set_timer(&l, &t1, 1, broken, NULL);
	assert_int_equal(loop_run(&l), -EIO);
}

/* The kernel assumption: an absolute CLOCK_BOOTTIME timerfd is on time within reason. */
static void clock_agrees(void **state)
{
	usec_t at = loop_clock() + 20000;

	loop_set_timer(&l, &t1, at, note, NULL);
	while (calls == 0)
		assert_int_equal(loop_turn(&l, 1000), 0);
	assert_true(loop_now(&l) >= at);
}

/* One that can wait comes with the next wake-up, and by itself only at its slack's end. */
static void lazy_waits_for_company(void **state)
{
	usec_t now = loop_clock();

	loop_set_timer_lazy(&l, &t1, now + 2000, 10 * USEC_PER_SEC, note, (void *)1);
	loop_set_timer(&l, &t2, now + 20000, note, (void *)2);
	while (calls < 2)
		assert_int_equal(loop_turn(&l, 1000), 0);
	assert_int_equal(order[0], 1);          /* in the order of their times all the same */
	assert_int_equal(order[1], 2);
	assert_true(loop_now(&l) >= now + 20000);
	assert_true(loop_now(&l) < now + 5 * USEC_PER_SEC);

	now = loop_clock();
	loop_set_timer_lazy(&l, &t1, now + 2000, 20000, note, (void *)3);
	while (calls < 3)
		assert_int_equal(loop_turn(&l, 1000), 0);
	assert_true(loop_now(&l) >= now + 22000);

	/* Armed plainly again it has no slack left over; far away, no slack overflows. */
	now = loop_clock();
	loop_set_timer(&l, &t1, now + 2000, note, (void *)4);
	loop_set_timer_lazy(&l, &t2, USEC_INFINITY - 1, 2, note, (void *)5);
	while (calls < 4)
		assert_int_equal(loop_turn(&l, 5000), 0);
	assert_true(loop_now(&l) < now + 4 * USEC_PER_SEC);
	assert_int_equal(loop_turn(&l, 5), 0);
	assert_int_equal(calls, 4);
	loop_cancel_timer(&l, &t2);
}

/* Beyond a second the timerfd waits; nearer than that, epoll. Both are on time, and one
 * that is left armed for a timer that was cancelled fires nothing. */
static void near_and_far(void **state)
{
	usec_t now = loop_clock();

	loop_set_timer(&l, &t1, now + 1100000, note, (void *)1);
	assert_int_equal(loop_turn(&l, 0), 0);
	assert_true(l.armed == now + 1100000);
	loop_set_timer(&l, &t2, now + 50000, note, (void *)2);
	while (calls < 1)
		assert_int_equal(loop_turn(&l, -1), 0);
	assert_int_equal(order[0], 2);
	assert_true(loop_now(&l) >= now + 50000 && loop_now(&l) < now + 1000000);
	while (calls < 2)
		assert_int_equal(loop_turn(&l, -1), 0);
	assert_true(loop_now(&l) >= now + 1100000);

	now = loop_clock();
	loop_set_timer(&l, &t1, now + 1010000, note, (void *)3);
	assert_int_equal(loop_turn(&l, 0), 0);
	loop_cancel_timer(&l, &t1);
	while (loop_clock() < now + 1020000)
		assert_int_equal(loop_turn(&l, 50), 0);
	assert_int_equal(calls, 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(removed_in_the_batch), T(timers_in_order), T(late_timer_is_fair), T(signals_and_exit), T(an_error_ends_it), T(clock_agrees),
		T(lazy_waits_for_company), T(near_and_far),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
