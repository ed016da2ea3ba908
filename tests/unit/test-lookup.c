/* SPDX-License-Identifier: Apache-2.0 */
/* test-lookup: new cgroups of a tick are looked up for a bounded time. File handles are a
 * kernel's matter, so the look-up is played here; the rest of the sampler is the real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sense/cgroups.h"

static int learn(struct cgroups *c, uint64_t id);

#define cgroups_learn learn
#include "sense/sampler.c"

#define TAKES 400               /* µs of one look-up */

static unsigned n_learned;
static int learn_result;
static uint64_t first;

static int learn(struct cgroups *c, uint64_t id)
{
	usec_t end = boottime() + TAKES;

	if (n_learned++ == 0)
		first = id;
	while (boottime() < end)
		;
	return learn_result;
}

static void bounded(int result)
{
	const struct sampler_config config = { .root = "tests/roots/v2", .probe = SAMPLER_PROBE_NEVER };
	struct sampler *s;
	unsigned i;

	assert_int_equal(sampler_new(&config, boottime(), &s), 0);
	s->handles = true;
	n_learned = 0;
	learn_result = result;
	gather_begin(s->gather, USEC_PER_SEC);
	for (i = 0; i < 50; i++)
		gather_add(s->gather, &(struct gather_delta){ .id = (UINT64_C(1) << 60) + i, .run_ns = (i + 1) * 1000000 });
	look_up(s);
	assert_in_range(n_learned, 1, SAMPLER_LEARN_BUDGET / TAKES + 1);
	assert_int_equal(first, (UINT64_C(1) << 60) + 49);      /* the largest first */
	sampler_free(s);
}

static void what_is_found_takes_time_too(void **state)
{
	bounded(0);
}

static void what_is_gone_takes_time(void **state)
{
	bounded(-ESTALE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_found_takes_time_too), cmocka_unit_test(what_is_gone_takes_time) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
