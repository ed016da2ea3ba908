/* SPDX-License-Identifier: Apache-2.0 */
/* test-explain: one line per action, and nothing hostile in it. */
#include "unit/world.h"

static struct world *w;

static int setup(void **state)
{
	w = world_new(MODE_ENFORCE);
	(void)str_copy(w->set.policies[2].source, sizeof(w->set.policies[2].source), "30-throttle.policy:4");
	world_start(w);
	world_tree(w);
	world_group(w, 10, 2, CAN_ALL, "/system.slice/a.service");
	world_group(w, 11, 2, CAN_ALL, "/system.slice/b\n\033[31m\"x");
	return 0;
}

static int teardown(void **state)
{
	world_free(w);
	return 0;
}

static const struct reason harm = {
	.why = WHY_HARM, .cause = CAUSE_RUNAWAY, .victim = 3, .measured = 9731, .limit = 7500, .lasting = 100 * MS, .policy = 2,
	.n_candidates = 3, .candidates = { { 10, 9000 }, { 11, 320 }, { 4711, 100 } }, .text = "quota, together 25% of the machine",
};

static void check(struct action a, const char *want)
{
	char buf[EXPLAIN_MAX];

	assert_string_equal(explain_action(w->e, &a, buf, sizeof(buf)), want);
}

static void lines(void **state)
{
	struct reason r = harm;

	check((struct action) { .verb = VERB_REPORT, .group = 10, .value = 64, .reason = harm },
	      "cpu wait of ssh.service 97.31% > 75% for 100ms (30-throttle/everything-else) -> quota, together 25% of the machine on 64 cgroups "
	      "under /system.slice; next: b\\x0a\\x1b[31m\"x 3%, cgroup 4711 1%");
	check((struct action) { .verb = VERB_QUOTA, .group = 10, .value = 50000, .value2 = 100000, .reason = harm },
	      "cpu wait of ssh.service 97.31% > 75% for 100ms (30-throttle/everything-else) -> quota 50ms/100ms on a.service; next: b\\x0a\\x1b[31m\"x 3%, cgroup 4711 1%");
	check((struct action) { .verb = VERB_REPORT, .group = 10, .value = 1, .until = w->now + 30 * USEC_PER_MIN, .reason = harm },
	      "cpu wait of ssh.service 97.31% > 75% for 100ms (30-throttle/everything-else) -> quota, together 25% of the machine on a.service"
	      "; next: b\\x0a\\x1b[31m\"x 3%, cgroup 4711 1%; for at most 30min");
	check((struct action) { .verb = VERB_WEIGHT, .group = 10, .value = 1, .until = w->now + 90 * SEC + 400 * MS, .reason = { .why = WHY_HARM, .measured = -1, .limit = -1, .policy = 2 } },
	      "cpu wait (30-throttle/everything-else) -> weight 1 on a.service; for at most 90s");
	r.why = WHY_WOULD;
	r.n_candidates = 1;
	r.victim = GROUP_CANARY;
	check((struct action) { .verb = VERB_REPORT, .group = 10, .value = 1, .reason = r },
	      "cpu wait of the canary 97.31% > 75% for 100ms (30-throttle/everything-else) -> would set quota, together 25% of the machine on a.service");
	r = (struct reason) { .why = WHY_ALARM, .measured = 3520, .limit = 1000, .policy = -1 };
	check((struct action) { .verb = VERB_REPORT, .reason = r }, "alarm: cpu pressure 35.2% > 10%");
	r = (struct reason) { .why = WHY_INCIDENT_CLOSE, .lasting = 34 * SEC, .policy = -1 };
	check((struct action) { .verb = VERB_REPORT, .reason = r }, "incident over after 34s: nobody is harmed, nothing is squeezed");
	r = (struct reason) { .why = WHY_TOO_LONG, .lasting = 34 * SEC, .policy = 2, .victim = 3, .measured = 300, .limit = 3250, .text = "released: AtMost= is over" };
	check((struct action) { .verb = VERB_REPORT, .group = 11, .value = 1, .reason = r },
	      "released: AtMost= is over on b\\x0a\\x1b[31m\"x after 34s (30-throttle/everything-else): cpu wait of ssh.service 3% < 32.5%");
	r = (struct reason) { .why = WHY_LIFELINE, .policy = 0 };
	check((struct action) { .verb = VERB_LIFELINE, .group = 3, .value = 800, .reason = r }, "lifeline: lifeline weight 800 on ssh.service");
}

/* Whatever the numbers are: one printable line, in bounds. */
static void anything(void **state)
{
	char buf[EXPLAIN_MAX];
	uint32_t seed = 3, i, j;

	for (i = 0; i < 20000; i++) {
		struct action a;
		unsigned char *p = (unsigned char *)&a;
		size_t size;

		for (j = 0; j < sizeof(a); j++) {
			seed = seed * 1664525 + 1013904223;
			p[j] = (unsigned char)(seed >> 24);
		}
		a.verb = (enum verb)(seed % (_VERB_MAX + 1));
		a.reason.why = (enum why)((seed >> 8) % (_WHY_MAX + 1));
		a.reason.n_candidates %= MAX_CANDIDATES + 1;
		a.reason.text[REASON_TEXT_MAX - 1] = 0;
		for (j = 0; j < REASON_TEXT_MAX - 1; j++)
			a.reason.text[j] = (char)(0x20 + (unsigned char)a.reason.text[j] % 0x5f);
		a.group = seed % 3 ? a.group : 11;
		a.reason.victim = seed % 5 ? 11 : GROUP_CANARY;
		size = 1 + (seed >> 4) % sizeof(buf);
		memset(buf, 0x55, sizeof(buf));
		(void)explain_action(w->e, &a, buf, size);
		assert_non_null(memchr(buf, 0, size));
		for (j = 0; buf[j]; j++)
			assert_true((unsigned char)buf[j] >= 0x20 && buf[j] != 0x7f);
	}
}

static void remedies(void **state)
{
	int cause;

	for (cause = 0; cause < _CAUSE_MAX; cause++)
		assert_int_equal(strlen(explain_remedy((enum cause)cause)) > 0, cause != CAUSE_NONE && cause != CAUSE_RUNAWAY && cause != CAUSE_OVERLOAD);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines, setup, teardown),
		cmocka_unit_test_setup_teardown(anything, setup, teardown),
		cmocka_unit_test_setup_teardown(remedies, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
