/* SPDX-License-Identifier: Apache-2.0 */
/* test-lookup: what a tick looks at again, and for how long. File handles are a kernel's
 * matter, so the look-up is played here, and the walk stands still; the rest is the real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sense/cgroups.h"

static int learn(struct cgroups *c, uint64_t id);
static void stand(struct cgroups *c, usec_t budget);

#define cgroups_learn learn
#define cgroups_step  stand
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

static void stand(struct cgroups *c, usec_t budget)
{
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
	look_up(s, boottime());
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

static char root[64];

static void sh(const char *format)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), format, root);
	assert_int_equal(system(cmd), 0);
}

static const struct group_info *at_path(const struct sampler *s, const char *path)
{
	for (unsigned i = 0; i < CGROUPS_MAX; i++)
		if (cgroups_at(s->cgroups, i) && strcmp(cgroups_at(s->cgroups, i)->path, path) == 0)
			return cgroups_at(s->cgroups, i);
	fail_msg("no %s", path);
	return NULL;
}

static int clean(void **state)
{
	sh("rm -rf %s");
	return 0;
}

/* A lifeline made systemd turn cpu on for all of a slice; one of them runs wild. */
static void cpu_is_seen_where_it_runs(void **state)
{
	struct sampler_config config = { .root = root, .probe = SAMPLER_PROBE_NEVER };
	const struct group_info *hog, *idle, *gone;
	struct sampler *s;
	uint64_t gone_id;
	unsigned i;

	strcpy(root, "/tmp/test-lookup.XXXXXX");
	assert_non_null(mkdtemp(root));
	sh("cp -r tests/roots/v2/. %s");
	sh("cd %s/sys/fs/cgroup/system.slice && mkdir hog.service idle.service gone.service");
	assert_int_equal(sampler_new(&config, boottime(), &s), 0);
	hog = at_path(s, "/system.slice/hog.service");
	idle = at_path(s, "/system.slice/idle.service");
	gone = at_path(s, "/system.slice/gone.service");
	gone_id = gone->id;
	assert_false(hog->flags & GROUP_CAN_WEIGHT);
	sh("cd %s/sys/fs/cgroup/system.slice && rmdir gone.service && echo 100 >hog.service/cpu.weight && echo 100 >idle.service/cpu.weight");

	gather_begin(s->gather, USEC_PER_SEC);
	gather_add(s->gather, &(struct gather_delta){ .id = hog->id, .run_ns = 90000000 });
	gather_add(s->gather, &(struct gather_delta){ .id = gone_id, .run_ns = 1000000000 });
	gather_keep(s->gather, idle->id);
	look_up(s, boottime());
	for (i = 0; i < 20 && !(hog->flags & GROUP_CAN_WEIGHT); i++)
		look_up(s, boottime());         /* the first one may have used up the budget */
	assert_true(hog->flags & GROUP_CAN_WEIGHT);
	assert_false(idle->flags & GROUP_CAN_WEIGHT);           /* it does not run: nothing is wanted of it */
	for (i = 0; i < gather_count(s->gather); i++)
		assert_int_equal(gather_at(s->gather, i)->fold, gather_at(s->gather, i)->id == gone_id);
	sampler_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_found_takes_time_too), cmocka_unit_test(what_is_gone_takes_time),
		cmocka_unit_test_teardown(cpu_is_seen_where_it_runs, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
