/* SPDX-License-Identifier: Apache-2.0 */
/* test-orders: what is no measurement: a person, new policies, names, lifelines, cgroups that come and go.
 * What a person says outlasts the alarm in which he said it. */
#include <errno.h>

#include "unit/stories.h"

static struct world *one_hog(void)
{
	struct world *w = world_new(MODE_ENFORCE);

	world_start(w);
	world_tree(w);
	world_group(w, 4, 1, CAN_ALL, "/user.slice");
	world_group(w, HOG, 4, CAN_ALL, "/user.slice/session-3.scope");
	world_clear(w);
	return w;
}

static void runaway(struct world *w, unsigned windows)
{
	unsigned i;

	world_calm(w, 9000);
	for (i = 0; i < windows; i++) {
		bool well = w->verbs_of[HOG] != 0;

		w->now += 100 * MS;
		world_begin(w, 100 * MS, well ? 500 : 9500);
		world_sample(w, 3, 3000, well ? 100 : 48000, 3000, well ? 100 : 48000);
		world_sample(w, HOG, 97000, 400000, 97000, 400000);
		world_send(w);
	}
}

static void calm(struct world *w, usec_t span)
{
	usec_t end = w->now + span;

	while (w->now < end)
		world_calm(w, 0);
}

static void say(struct world *w, enum operator_verb verb, uint64_t group)
{
	struct event ev = { .now = w->now, .type = EVENT_OPERATOR, .order = { .verb = verb, .group = group } };

	world_step(w, &ev);
}

static void released_is_left_alone(void **state)
{
	static const struct { enum operator_verb verb; uint64_t group; } cases[] = { { OPERATOR_RELEASE, HOG }, { OPERATOR_RELEASE_ALL, GROUP_NONE } };
	unsigned k;

	for (k = 0; k < ELEMENTSOF(cases); k++) {
		struct world *w = one_hog();

		runaway(w, 30);
		assert_int_equal(w->verbs_of[HOG] != 0, 1);
		say(w, cases[k].verb, cases[k].group);
		assert_int_equal(w->verbs_of[HOG], 0);
		/* Longer than the relapse memory, which keeps an alarm. */
		calm(w, 3 * USEC_PER_MIN);
		assert_int_equal(w->whys[WHY_CALM], 1);
		runaway(w, 30);
		assert_int_equal(w->verbs_of[HOG], 0);
		calm(w, 8 * USEC_PER_MIN);
		runaway(w, 30);
		assert_int_equal(w->verbs_of[HOG] != 0, 1);
		world_free(w);
	}
}

/* A guard that starts is told; at most ten minutes count. A person may end them. */
static void released_before_a_restart(void **state)
{
	static const struct { usec_t told; unsigned minutes; bool resumed; } cases[] = {
		{ 0, 0, false }, { 4 * USEC_PER_MIN, 3, false }, { USEC_INFINITY, 9, false }, { USEC_INFINITY, 0, true },
	};

	for (unsigned k = 0; k < ELEMENTSOF(cases); k++) {
		struct world *w = one_hog();
		struct event lifted = { .now = w->now, .type = EVENT_LIFTED };
		usec_t began = w->now;
		struct engine_view *v = calloc(1, sizeof(*v));

		assert_non_null(v);
		lifted.lifted.barred = cases[k].told == 0 ? 0 : cases[k].told == USEC_INFINITY ? USEC_INFINITY : w->now + cases[k].told;
		world_step(w, &lifted);
		engine_view(w->e, v);
		assert_int_equal(v->barred_until, cases[k].told == 0 ? 0 : began + MIN(cases[k].told, EVENT_BARRED));
		assert_true(engine_is_calm(w->e));
		free(v);
		if (cases[k].resumed)
			say(w, OPERATOR_RESUME, GROUP_NONE);
		while (w->now < began + cases[k].minutes * USEC_PER_MIN) {
			runaway(w, 20);
			assert_int_equal(w->verbs_of[HOG], 0);
			calm(w, 50 * SEC);
		}
		calm(w, cases[k].minutes ? 2 * USEC_PER_MIN : SEC);
		runaway(w, 20);
		assert_int_not_equal(w->verbs_of[HOG], 0);
		world_free(w);
	}
}

static void released_in_calm_bars_nobody(void **state)
{
	struct world *w = one_hog();

	calm(w, SEC);
	say(w, OPERATOR_RELEASE_ALL, GROUP_NONE);
	assert_unsaid(w, "left alone");
	runaway(w, 30);
	assert_int_equal(w->verbs_of[HOG] != 0, 1);
	world_free(w);
}

/* Nobody ordered it, and the line says so. */
static void no_journal_no_squeeze(void **state)
{
	struct world *w = one_hog();
	struct event ev = { .type = EVENT_JOURNAL_LOST };

	runaway(w, 20);
	assert_int_equal(w->verbs_of[HOG] != 0, 1);
	world_clear(w);
	ev.now = w->now;
	world_step(w, &ev);
	assert_int_equal(w->verbs_of[HOG], 0);
	assert_int_equal(w->count[VERB_RELEASE], 2);             /* this one, and whatever else the journal holds */
	assert_int_equal(w->last[VERB_RELEASE].reason.why, WHY_JOURNAL);
	assert_said(w, "undo journal lost: everything released, nothing squeezed without it");
	assert_unsaid(w, "by command");
	assert_int_equal(w->whys[WHY_OPERATOR], 0);
	runaway(w, 20);
	assert_int_equal(w->verbs_of[HOG], 0);
	world_free(w);
}

static void operator_releases(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RELEASE, .group = HOG } };
	unsigned i;

	world_calm(w, 9000);
	run(w, 30, 3);
	ev.now = w->now;
	world_step(w, &ev);
	assert_int_equal(w->verbs_of[HOG], 0);
	assert_true(w->verbs_of[HOG + 1] != 0);
	run(w, 30, 100);
	assert_int_equal(w->verbs_of[HOG], 0);
	ev.order.verb = OPERATOR_RELEASE_ALL;
	ev.now = w->now;
	world_step(w, &ev);
	for (i = 0; i < 30; i++)
		assert_int_equal(w->verbs_of[HOG + i], 0);
	assert_said(w, "release\n");                             /* of everything there is */
	world_free(w);
}

/* The original cannot be written: tried ten times, said once, then slowly for ever, in calm too. */
static void a_release_is_never_given_up(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RELEASE, .group = HOG } };
	struct event due = { .type = EVENT_TIMEOUT };
	struct engine_view *v = calloc(1, sizeof(*v));
	uint32_t n, tries;

	assert_non_null(v);
	world_calm(w, 9000);
	run(w, 30, 8);
	assert_true(w->count[VERB_QUOTA] >= 15);
	w->fail[VERB_RELEASE] = EROFS;
	run(w, 0, 1500);
	assert_int_equal(w->whys[WHY_FAILED], 1);
	assert_said(w, "release failed: the cgroup tree is read-only; tried again every 30s");
	assert_said(w, "nobody is harmed, what could not be released is tried again every 30s");
	assert_int_equal(w->whys[WHY_CALM], 1);
	assert_false(engine_is_calm(w->e));     /* a record that begins here would not know of them */

	/* By the deadlines alone, in calm. */
	engine_view(w->e, v);
	n = v->n_squeezes;
	assert_true(n >= 15);
	tries = w->count[VERB_RELEASE];
	for (usec_t until = w->now + 600 * SEC; engine_deadline(w->e) < until;) {
		w->now = due.now = engine_deadline(w->e);
		world_step(w, &due);
	}
	assert_in_range(w->count[VERB_RELEASE] - tries, 19 * n, 21 * n);
	assert_int_equal(w->whys[WHY_FAILED], 1);
	/* A person need not wait. */
	tries = w->count[VERB_RELEASE];
	ev.now = w->now;
	world_step(w, &ev);
	assert_int_equal(w->count[VERB_RELEASE], tries + 1);
	w->fail[VERB_RELEASE] = 0;
	w->lines[0] = '\0';             /* full of attempts */
	for (usec_t until = w->now + 31 * SEC; engine_deadline(w->e) < until;) {
		w->now = due.now = engine_deadline(w->e);
		world_step(w, &due);
	}
	assert_said(w, "could be released at last");
	engine_view(w->e, v);
	assert_int_equal(v->n_squeezes, 0);
	free(v);
	assert_false(engine_is_calm(w->e));     /* one was released by hand: that is remembered for ten minutes */
	assert_true(engine_deadline(w->e) == USEC_INFINITY);
	calm(w, 10 * USEC_PER_MIN);
	assert_true(engine_is_calm(w->e));
	world_free(w);
}

static void tell_names(struct world *w, enum names_state state)
{
	struct event ev = { .now = w->now, .type = EVENT_NAMES, .names = { .state = state, .since = w->now } };

	world_step(w, &ev);
}

/* As siblings(), and a database that only the name of its processes tells of. */
static struct world *unnamed(enum mode mode)
{
	struct world *w = world_new(mode);
	unsigned i;
	char path[64];

	world_policy(w, POLICY_PROTECT, "by-name", MATCH_PROCESSES, "mydb")->as = IMPORTANCE_DATABASE;
	world_start(w);
	world_tree(w);
	for (i = 0; i < 30; i++) {
		(void)snprintf(path, sizeof(path), "/system.slice/hog-%u.service", i);
		world_group(w, HOG + i, 2, CAN_ALL, path);
	}
	tell_names(w, NAMES_AWAITED);
	world_clear(w);
	world_calm(w, 9000);
	return w;
}

/* A start in mid-overload: the steward has not looked yet, and hog-0 is the database. */
static void waits_for_names(void **state)
{
	struct world *w = unnamed(MODE_ENFORCE);
	struct group_info g;
	struct event ev = { .type = EVENT_GROUP, .group = &g };

	run(w, 30, 12);
	assert_int_equal(w->count[VERB_QUOTA] + w->count[VERB_WEIGHT], 0);
	assert_said(w, "still being looked for");
	assert_int_equal(w->whys[WHY_NOT], 1);
	g = *engine_group(w->e, HOG);
	strcpy(g.procs[0], "mydb");
	ev.now = w->now;
	world_step(w, &ev);
	tell_names(w, NAMES_KNOWN);
	run(w, 30, 1);
	assert_true(w->count[VERB_QUOTA] >= 15);
	run(w, 30, 10);
	assert_int_equal(w->verbs_of[HOG], 0);
	assert_int_equal(w->whys[WHY_NOT], 1);
	world_free(w);
}

static void waits_for_names_in_observe_too(void **state)
{
	struct world *w = unnamed(MODE_OBSERVE);

	run(w, 30, 12);
	assert_int_equal(w->whys[WHY_WOULD], 0);
	tell_names(w, NAMES_KNOWN);
	run(w, 30, 1);
	assert_int_equal(w->whys[WHY_WOULD], 1);
	world_free(w);
}

static void waits_no_longer(void **state)
{
	struct world *w = unnamed(MODE_ENFORCE);
	usec_t from = w->now;

	/* Nobody answers: two seconds after the start. */
	while (w->count[VERB_QUOTA] == 0 && w->now < from + 5 * SEC)
		run(w, 30, 1);
	assert_in_range(w->now - from, 1700 * MS, 2 * SEC);
	world_free(w);
	/* It is known that nobody will. */
	w = unnamed(MODE_ENFORCE);
	run(w, 30, 5);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	tell_names(w, NAMES_FAILED);
	run(w, 30, 1);
	assert_true(w->count[VERB_QUOTA] > 0);
	world_free(w);
	/* No policy needs names: no wait at all. */
	w = siblings(MODE_ENFORCE, 30);
	tell_names(w, NAMES_AWAITED);
	world_calm(w, 9000);
	run(w, 30, 3);
	assert_true(w->count[VERB_QUOTA] > 0);
	assert_int_equal(w->whys[WHY_NOT], 0);
	world_free(w);
}

/* A person who takes back what he said is told that it was heard. */
static void resumed_after_a_release(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RELEASE_ALL } };

	world_calm(w, 9000);
	run(w, 30, 3);
	ev.now = w->now;
	world_step(w, &ev);
	world_clear(w);
	run(w, 30, 50);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	ev.order.verb = OPERATOR_RESUME;
	for (unsigned k = 0; k < 2; k++) {
		ev.now = w->now;
		world_step(w, &ev);
	}
	assert_int_equal(w->whys[WHY_OPERATOR], 1);
	assert_said(w, "by command: resumed: what was released is no longer left alone");
	run(w, 30, 3);
	assert_true(w->count[VERB_QUOTA] > 0);
	world_free(w);
}

static void paused(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_PAUSE, .reason = "maintenance" } };
	struct engine_view *v = calloc(1, sizeof(*v));

	world_calm(w, 9000);
	run(w, 30, 3);
	ev.now = w->now;
	ev.order.until = w->now + 60 * SEC;
	world_step(w, &ev);
	assert_int_equal(w->verbs_of[HOG], 0);
	world_clear(w);
	run(w, 30, 300);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	assert_int_equal(w->whys[WHY_WOULD], 1);
	engine_view(w->e, v);
	assert_string_equal(v->pause_reason, "maintenance");
	assert_true(v->paused_until > w->now);
	run(w, 30, 310);
	assert_said(w, "the pause has ended");
	assert_true(w->count[VERB_QUOTA] > 0);
	free(v);
	world_free(w);
}

static void policies_change(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct event ev = { .type = EVENT_POLICIES, .policies = &w->set };
	unsigned i;

	world_calm(w, 9000);
	run(w, 30, 3);
	assert_true(w->verbs_of[HOG] != 0);
	w->set.settings.mode = MODE_OBSERVE;
	ev.now = w->now;
	world_step(w, &ev);
	for (i = 0; i < 30; i++)
		assert_int_equal(w->verbs_of[HOG + i], 0);
	world_clear(w);
	run(w, 30, 100);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	world_free(w);
}

static void lifeline(void **state)
{
	struct world *w = world_new(MODE_RESCUE);
	struct event ev = { .type = EVENT_POLICIES, .policies = &w->set };

	w->set.policies[0].weight = 800;
	world_start(w);
	world_tree(w);
	assert_int_equal(w->count[VERB_LIFELINE], 1);
	assert_int_equal(w->last[VERB_LIFELINE].group, 3);
	assert_int_equal(w->last[VERB_LIFELINE].value, 800);
	world_clear(w);
	world_calm(w, 100);
	world_group(w, 3, 2, CAN_ALL, "/system.slice/ssh.service");
	assert_int_equal(w->count[VERB_LIFELINE], 0);
	w->set.settings.mode = MODE_OBSERVE;
	ev.now = w->now;
	world_step(w, &ev);
	assert_int_equal(w->last[VERB_LIFELINE].value, -1);
	world_free(w);
}

/* What is set stays, what is not waits for the end, what goes away goes at once. */
static void a_pause_sets_no_lifeline(void **state)
{
	static const enum operator_verb ends[] = { OPERATOR_PAUSE, OPERATOR_RESUME };   /* by itself, and by hand */

	for (unsigned k = 0; k < ELEMENTSOF(ends); k++) {
		struct world *w = world_new(MODE_RESCUE);
		struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_PAUSE, .reason = "maintenance" } };
		struct event policies = { .type = EVENT_POLICIES, .policies = &w->set };

		w->set.policies[0].weight = w->set.policies[1].weight = 800;
		world_start(w);
		world_tree(w);
		world_clear(w);
		ev.now = w->now;
		ev.order.until = w->now + 60 * SEC;
		world_step(w, &ev);
		world_group(w, 4, 2, CAN_ALL, "/system.slice/postgresql.service");
		calm(w, 5 * SEC);
		w->set.policies[0].weight = 900;
		policies.now = w->now;
		world_step(w, &policies);
		calm(w, 5 * SEC);
		assert_int_equal(w->count[VERB_LIFELINE], 0);
		w->set.policies[0].weight = -1;
		policies.now = w->now;
		world_step(w, &policies);
		assert_int_equal(w->count[VERB_LIFELINE], 1);
		assert_int_equal(w->last[VERB_LIFELINE].group, 3);
		assert_int_equal(w->last[VERB_LIFELINE].value, -1);
		world_clear(w);
		if (ends[k] == OPERATOR_RESUME)
			say(w, OPERATOR_RESUME, GROUP_NONE);
		else
			calm(w, 55 * SEC);
		assert_int_equal(w->count[VERB_LIFELINE], 1);
		assert_int_equal(w->last[VERB_LIFELINE].group, 4);
		assert_int_equal(w->last[VERB_LIFELINE].value, 800);
		world_free(w);
	}
}

/* The steward comes later than the first wish. */
static void asked_again_after(int error)
{
	struct world *w = world_new(MODE_RESCUE);
	struct event ev = { .type = EVENT_TIMEOUT };

	w->set.policies[0].weight = 800;
	w->fail[VERB_LIFELINE] = error;
	world_start(w);
	world_tree(w);
	assert_int_equal(w->count[VERB_LIFELINE], 1);
	assert_int_equal(w->whys[WHY_FAILED], 0);
	assert_true(engine_deadline(w->e) <= w->now + 5 * SEC);
	w->fail[VERB_LIFELINE] = 0;
	w->now = ev.now = engine_deadline(w->e);
	world_step(w, &ev);
	assert_int_equal(w->count[VERB_LIFELINE], 2);
	assert_true(engine_deadline(w->e) == USEC_INFINITY);
	world_free(w);
}

/* No steward yet, or one with its hands full. */
static void lifeline_is_asked_again(void **state)
{
	asked_again_after(ENOTCONN);
	asked_again_after(EBUSY);
}

/* Something protected comes to live in a squeezed cgroup: it is let go at once. */
static void protected_meanwhile(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);

	world_calm(w, 9000);
	run(w, 30, 3);
	assert_true(w->verbs_of[HOG] != 0 && w->verbs_of[HOG + 1] != 0);
	world_group(w, 60, HOG, CAN_ALL, "/system.slice/hog-0.service/postgres");
	assert_int_equal(w->verbs_of[HOG], 0);
	assert_true(w->verbs_of[HOG + 1] != 0);
	assert_said(w, "policies: hog-0.service is protected now, or shelters what is; released");
	run(w, 30, 50);
	assert_int_equal(w->verbs_of[HOG], 0);
	world_free(w);
}

static void gone_in_between(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct event ev = { .type = EVENT_GROUP_GONE, .gone = HOG };
	struct engine_view *v = calloc(1, sizeof(*v));
	uint32_t n;

	world_calm(w, 9000);
	run(w, 30, 2);
	engine_view(w->e, v);
	n = v->n_squeezes;
	ev.now = w->now;
	world_step(w, &ev);
	ev.gone = HOG + 1;
	world_step(w, &ev);
	engine_view(w->e, v);
	assert_int_equal(v->n_squeezes, n - 2);
	run(w, 30, 1);
	assert_int_equal(w->whys[WHY_GONE], 1);                 /* one line for all */
	assert_said(w, "gone by itself on 2 cgroups under /system.slice");
	assert_null(engine_group(w->e, HOG + 1));
	ev.now = w->now;
	w->fail[VERB_RELEASE] = ESTALE;
	ev.type = EVENT_OPERATOR;
	ev.order = (struct operator_order) { .verb = OPERATOR_RELEASE_ALL };
	world_step(w, &ev);
	engine_view(w->e, v);
	assert_int_equal(v->n_squeezes, 0);
	free(v);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(released_is_left_alone), cmocka_unit_test(resumed_after_a_release), cmocka_unit_test(released_before_a_restart), cmocka_unit_test(released_in_calm_bars_nobody),
		cmocka_unit_test(no_journal_no_squeeze),
		cmocka_unit_test(operator_releases),
		cmocka_unit_test(a_release_is_never_given_up),
		cmocka_unit_test(waits_for_names),
		cmocka_unit_test(waits_for_names_in_observe_too),
		cmocka_unit_test(waits_no_longer),
		cmocka_unit_test(paused),
		cmocka_unit_test(policies_change),
		cmocka_unit_test(lifeline),
		cmocka_unit_test(a_pause_sets_no_lifeline),
		cmocka_unit_test(lifeline_is_asked_again),
		cmocka_unit_test(protected_meanwhile),
		cmocka_unit_test(gone_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
