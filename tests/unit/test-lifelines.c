/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the steward, and what of a steward that is not there when it is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/lifelines.h"
#include "sys/log.h"

#define UNIT "/system.slice/ssh.service"

static struct driver *d;
static struct helpers helpers;
static struct helper_link *steward = &helpers.link[0];
static struct loop loop;
static struct policy_set set;
static int far = -1;
static struct wire in;
static uint64_t asked;

static void steward_goes(void)
{
	if (far >= 0) {
		close(far);
		close(steward->source.fd);
	}
	far = -1;
	steward->source.fd = -1;
	steward->hello = false;
	steward->asked = 0;
}

static void steward_comes(void)
{
	int fds[2];

	assert_int_equal(wire_pair(fds), 0);
	steward->source.fd = fds[0];
	steward->hello = true;
	far = fds[1];
	lifelines_again(d);
}

/* The weight that the steward is asked for next; 0: nothing more. */
static int32_t ask(void)
{
	struct talk_lifeline l;

	if (wire_recv(far, &in) < 0)
		return 0;
	asked = in.h.id;
	assert_int_equal(talk_get_lifeline(&in, &l), 0);
	assert_string_equal(l.unit, "ssh.service");
	return l.weight;
}

static bool carry(int64_t weight)
{
	static uint64_t id;
	struct action a = { .id = ++id, .verb = VERB_LIFELINE, .group = 7, .value = weight };
	struct group_info g = { .id = 7, .weight = 100, .path = UNIT, .name = "ssh.service" };
	struct result r;

	return lifelines_carry(d, &a, &g, &r);
}

static int setup(void **state)
{
	log_open(&(struct log_config){ .ident = "test", .level = LOG_ERR });
	d = calloc(1, sizeof(*d));
	loop = LOOP_INIT;
	if (d == NULL || loop_init(&loop) < 0)
		return -1;
	helpers.loop = &loop;
	steward->source = LOOP_SOURCE_INIT;
	*d = (struct driver){ .loop = &loop, .helpers = &helpers, .set = &set, .systemd = true };
	return 0;
}

static int teardown(void **state)
{
	steward_goes();
	loop_deinit(&loop);
	free(d);
	return 0;
}

static void a_new_steward_is_asked_again(void **state)
{
	assert_true(carry(800));                /* not there yet: the row waits */
	steward_comes();
	assert_int_equal(ask(), 800);
	lifelines_answered(d, asked, 0);
	assert_false(d->facts.lifeline[0].failed);
	steward_goes();
	steward_comes();
	assert_int_equal(ask(), 800);
	assert_int_equal(ask(), 0);
}

static void what_is_not_wanted_any_more_is_not_asked_for_again(void **state)
{
	steward_comes();
	assert_false(carry(800));
	assert_int_equal(ask(), 800);
	steward_goes();
	assert_true(carry(-1));                 /* observe, while it is away */
	assert_int_equal(d->facts.n_lifeline, 1);
	steward_comes();
	assert_int_equal(ask(), -1);
	lifelines_answered(d, asked, -ETIMEDOUT);
	assert_int_equal(d->facts.n_lifeline, 1);
	lifelines_again(d);
	assert_int_equal(ask(), -1);
	lifelines_answered(d, asked, -ENOENT);  /* put back at its start */
	assert_int_equal(d->facts.n_lifeline, 0);
	assert_int_equal(d->why.n, 2);
	assert_string_equal(d->why.line[1].text, "lifeline: weight put back on " UNIT ", which has 100 again");
	lifelines_again(d);
	assert_int_equal(ask(), 0);
}

static void wanted_anew_while_it_waits_to_be_put_back(void **state)
{
	assert_true(carry(800));
	assert_true(carry(-1));
	assert_true(carry(400));
	steward_comes();
	assert_int_equal(ask(), 400);
	lifelines_answered(d, asked, 0);
	assert_int_equal(d->facts.n_lifeline, 1);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_new_steward_is_asked_again), T(what_is_not_wanted_any_more_is_not_asked_for_again),
		T(wanted_anew_while_it_waits_to_be_put_back),
	};

	return cmocka_run_group_tests_name("lifelines", tests, NULL, NULL);
}
