/* SPDX-License-Identifier: Apache-2.0 */
/* test-answers: the guard's state as JSON: always whole, whatever the names are and however
 * little room there is, and bounded. */
#include <errno.h>
#define json_bool json_c_bool     /* the name of a type there, of a function here */
#include <json-c/json.h>
#undef json_bool

#include "ctl/answers.h"
#include "ctl/render.h"
#include "ctl/socket.h"
#include "unit/stories.h"

static char buf[CONTROL_ANSWER_MAX];
static struct facts facts;
static struct why_log why;

static int setup(void **state)
{
	facts = (struct facts) { .started = 5 * SEC, .pressure_source = "psi", .group_source = "bpf", .n_policies = 3 };
	memset(&why, 0, sizeof(why));
	return 0;
}

static struct json_object *parsed(struct json *j)
{
	struct json_object *o, *schema;
	const char *text = NULL;

	assert_int_equal(json_finish(j, &text), 0);
	o = json_tokener_parse(text);
	assert_true(o != NULL && json_object_is_type(o, json_type_object));
	assert_true(json_object_object_get_ex(o, "schema", &schema) && json_object_get_int(schema) == ANSWER_SCHEMA);
	return o;
}

static struct json_object *status(const struct engine *e)
{
	struct json j;

	json_init(&j, buf, sizeof(buf));
	answer_status(&j, e, &facts);
	return parsed(&j);
}

static struct json_object *get(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v))
		fail_msg("there is no \"%s\"", key);
	return v;
}

static const char *word(struct json_object *o, const char *key)
{
	return json_object_get_string(get(o, key));
}

static void states(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_PAUSE, .reason = "\"\\\n\033[2J\xff\xfe" } };
	struct json_object *o = status(w->e);

	assert_string_equal(word(o, "state"), "calm");
	assert_string_equal(word(o, "mode"), "enforce");
	assert_null(get(o, "cause"));
	assert_null(get(o, "incident_since"));
	assert_null(get(o, "config_error"));
	assert_int_equal(json_object_array_length(get(o, "squeezes")), 0);
	json_object_put(o);
	world_calm(w, 9000);
	o = status(w->e);
	assert_string_equal(word(o, "state"), "alarm");
	json_object_put(o);
	run(w, 30, 3);
	o = status(w->e);
	assert_string_equal(word(o, "state"), "incident");
	assert_string_equal(word(o, "cause"), "runaway");
	assert_true(json_object_array_length(get(o, "squeezes")) >= 15);
	for (size_t i = 0; i < json_object_array_length(get(o, "squeezes")); i++) {
		struct json_object *s = json_object_array_get_idx(get(o, "squeezes"), i);

		assert_int_equal(strncmp(word(s, "cgroup"), "/system.slice/hog-", 18), 0);
		assert_string_equal(word(s, "rung"), "quota");
		assert_true(json_object_get_int64(get(s, "quota_us")) >= 1000);
		assert_null(get(s, "weight"));
		assert_null(get(s, "tasks"));
		assert_non_null(get(s, "until"));
		assert_string_equal(word(s, "why"), "harm");
	}
	json_object_put(o);
	ev.now = w->now;
	ev.order.until = w->now + 60 * SEC;
	world_step(w, &ev);
	o = status(w->e);
	assert_string_equal(word(o, "state"), "paused");
	assert_non_null(get(o, "paused_until"));
	assert_int_equal(strncmp(word(o, "pause_reason"), "\"\\\n", 3), 0);
	json_object_put(o);
	world_free(w);
}

/* Cgroups and units are named by strangers; all of it is in the answer, and it is JSON. */
static void hostile_names(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	char path[128];

	for (unsigned i = 0; i < 20; i++) {
		(void)str_format(path, sizeof(path), "/system.slice/%u\"}],\\\n\033[2J\x01\x7f\xc3(\xff<%%s%%n>", i);
		world_group(w, HOG + i, 2, CAN_ALL, path);
	}
	facts.n_lifeline = 1;
	str_copy(facts.lifeline[0].unit, sizeof(facts.lifeline[0].unit), "\"\xff\n\\");
	str_copy(facts.config_error, sizeof(facts.config_error), "\"\\\x1b");
	facts_set(&facts, "probe", false, "\"\n\xf0\x9f", "\\");
	world_calm(w, 9000);
	run(w, 30, 3);
	json_object_put(status(w->e));
	for (const char *p = buf; *p; p++)
		assert_true((unsigned char)*p >= 0x20);          /* one line, nothing raw */
	world_free(w);
}

/* 256 squeezes with the longest of paths: some are left out, how many is said. */
static void more_than_fit(void **state)
{
	struct world *w = world_new(MODE_ENFORCE);
	char path[GROUP_PATH_MAX];
	struct json_object *o;
	size_t n;
	struct engine_view *v = calloc(1, sizeof(*v));

	world_start(w);
	world_tree(w);
	for (unsigned i = 0; i < MAX_SQUEEZES; i++) {
		memset(path, 1, sizeof(path));
		(void)str_format(path, sizeof(path), "/system.slice/%u", i);
		path[strlen(path)] = 1;
		path[sizeof(path) - 1] = 0;
		world_group(w, HOG + i, 2, CAN_ALL, path);
	}
	world_calm(w, 9000);
	run(w, MAX_SQUEEZES, 12);
	facts.n_lifeline = LIFELINE_MAX;
	for (unsigned i = 0; i < LIFELINE_MAX; i++)
		memset(facts.lifeline[i].unit, 1, sizeof(facts.lifeline[i].unit) - 1);
	for (unsigned i = 0; i < FACTS_MAX; i++) {
		char what[32];

		(void)str_format(what, sizeof(what), "%u", i);
		facts_set(&facts, what, false, "", "");
		memset(facts.fact[i].why, 1, sizeof(facts.fact[i].why) - 1);
		memset(facts.fact[i].remedy, 1, sizeof(facts.fact[i].remedy) - 1);
	}
	engine_view(w->e, v);
	assert_true(v->n_squeezes > 200);
	o = status(w->e);
	n = json_object_array_length(get(o, "squeezes"));
	assert_in_range(n, 1, v->n_squeezes - 1);
	assert_int_equal(n + (size_t)json_object_get_int64(get(o, "squeezes_more")), v->n_squeezes);
	n = json_object_array_length(get(o, "lifeline"));
	assert_int_equal(n + (size_t)json_object_get_int64(get(o, "lifeline_more")), LIFELINE_MAX);
	assert_int_equal(json_object_array_length(get(o, "capabilities")), FACTS_MAX);
	json_object_put(o);
	free(v);
	world_free(w);
}

/* Any room at all: a whole answer, or none, and nothing behind its end. */
static void little_room(void **state)
{
	struct world *w = siblings(MODE_ENFORCE, 30);
	struct action a = { .verb = VERB_QUOTA };
	unsigned whole = 0;

	world_calm(w, 9000);
	run(w, 30, 3);
	for (unsigned i = 0; i < 40; i++)
		why_log_add(&why, i, 1, &a, "text");
	for (size_t size = 1; size < 12000; size += size < 200 ? 1 : 97)
		for (unsigned k = 0; k < 4; k++) {
			const char *text;
			struct json j;

			memset(buf + size, 0x5a, 64);
			json_init(&j, buf, size);
			if (k == 0)
				answer_status(&j, w->e, &facts);
			else if (k == 1)
				answer_why(&j, &why, &facts, 40, 0);
			else if (k == 2)
				answer_error(&j, "error", NULL);
			else
				answer_done(&j, "done");
			if (json_finish(&j, &text) == 0) {
				whole++;
				json_object_put(parsed(&j));
			} else
				assert_int_equal(j.error, -ENOBUFS);
			for (unsigned i = 0; i < 64; i++)
				assert_int_equal(buf[size + i], 0x5a);
		}
	assert_true(whole > 100);
	world_free(w);
}

static void facts_are_few(void **state)
{
	char what[64], text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	facts_set(&facts, "a", false, "first", "do");
	facts_set(&facts, "b", true, NULL, NULL);
	facts_set(&facts, "a", true, "second", NULL);
	assert_int_equal(facts.n_facts, 2);
	assert_true(facts.fact[0].have && facts.fact[0].remedy[0] == '\0');
	assert_string_equal(facts.fact[0].why, "second");
	for (unsigned i = 0; i < FACTS_MAX + 10; i++) {
		(void)str_format(what, sizeof(what), "fact %u", i);
		facts_set(&facts, what, true, text, text);
	}
	assert_int_equal(facts.n_facts, FACTS_MAX);
	assert_string_equal(facts.fact[0].what, "a");
	assert_int_equal(strlen(facts.fact[FACTS_MAX - 1].why), sizeof(facts.fact[0].why) - 1);
	assert_int_equal(facts.n_lifeline, 0);          /* what stands behind it is as it was */
}

static void whys(void **state)
{
	struct action a = { .verb = VERB_REPORT, .group = 7, .reason = { .why = WHY_HARM } };
	static const struct { uint32_t most, incident; size_t n; } cases[] = {
		{ WHY_LINES_MAX, 0, WHY_LINES_MAX }, { 10, 0, 10 }, { 1, 0, 1 }, { WHY_LINES_MAX, 3, 100 }, { WHY_LINES_MAX, 9, 0 }, { UINT32_MAX, 0, WHY_LINES_MAX },
	};
	char text[WHY_TEXT_MAX + 100];
	struct json_object *o, *lines;
	struct json j;

	json_init(&j, buf, sizeof(buf));
	answer_why(&j, &why, &facts, 40, 0);
	o = parsed(&j);
	assert_int_equal(json_object_array_length(get(o, "lines")), 0);
	json_object_put(o);
	for (unsigned i = 0; i < WHY_LINES_MAX + 50; i++) {
		(void)str_format(text, sizeof(text), "%u", i);
		why_log_add(&why, (1 + i) * SEC, i < 100 ? 1 : i < 200 ? 3 : 4, &a, text);
	}
	for (unsigned k = 0; k < ELEMENTSOF(cases); k++) {
		int last = -1;

		json_init(&j, buf, sizeof(buf));
		answer_why(&j, &why, &facts, cases[k].most, cases[k].incident);
		o = parsed(&j);
		lines = get(o, "lines");
		assert_int_equal(json_object_array_length(lines), cases[k].n);
		for (size_t i = 0; i < cases[k].n; i++) {        /* oldest first, up to the newest */
			int is = atoi(word(json_object_array_get_idx(lines, i), "text"));

			assert_true(last < 0 || is == last + 1);
			last = is;
			assert_string_equal(word(json_object_array_get_idx(lines, i), "why"), "harm");
		}
		if (cases[k].n && !cases[k].incident)
			assert_int_equal(last, WHY_LINES_MAX + 49);
		json_object_put(o);
	}
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	why_log_add(&why, 1, 1, &a, text);
	assert_int_equal(strlen(why.line[(why.next + WHY_LINES_MAX - 1) % WHY_LINES_MAX].text), WHY_TEXT_MAX - 1);
}

static void times(void **state)
{
	char at[40];

	assert_string_equal(answer_time(0, 0, at), "1970-01-01T00:00:00.000Z");
	assert_string_equal(answer_time(1500 * MS, UINT64_C(1767225599) * SEC, at), "2026-01-01T00:00:00.500Z");
	/* The wall clock may be behind the boot clock. */
	assert_string_equal(answer_time(10 * SEC, (usec_t)0 - 9 * SEC, at), "1970-01-01T00:00:01.000Z");
	assert_true(strlen(answer_time(USEC_INFINITY - 1, 0, at)) < sizeof(at));
}

/* What was found beside the cause, with its evidence, in JSON and for people. */
static void findings(void **state)
{
	static char shown[16384];
	struct world *w = siblings(MODE_OBSERVE, 40);
	struct json_object *o, *x;
	FILE *f;
	unsigned i;

	world_calm(w, 9000);
	for (i = 0; i < 9; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500)->machine.io_full = 9000;
		w->s.machine.tasks = 29491;
		world_sample(w, 3, 2500, 47500, 2500, 47500);
		world_sample(w, HOG, 90000, 250000, 90000, 250000);
		world_send(w);
	}
	o = status(w->e);
	assert_string_equal(word(o, "cause"), "runaway");
	assert_int_equal(json_object_array_length(get(o, "findings")), 2);
	x = json_object_array_get_idx(get(o, "findings"), 0);
	assert_string_equal(word(x, "cause"), "pids");
	assert_string_equal(word(x, "measure"), "task table in use");
	assert_string_equal(word(x, "measured"), "89.99");
	assert_string_equal(word(x, "unit"), "%");
	assert_null(get(x, "name"));
	x = json_object_array_get_idx(get(o, "findings"), 1);
	assert_string_equal(word(x, "cause"), "blocked");
	assert_false(json_object_get_boolean(get(x, "decides")));
	assert_string_equal(word(x, "measure"), "io pressure (full)");
	assert_true(json_object_get_double(get(x, "measured")) > 40);
	assert_true(json_object_get_double(get(x, "limit")) == 40);
	assert_non_null(strstr(word(x, "remedy"), "io.pressure"));
	f = fmemopen(shown, sizeof(shown), "w");
	assert_non_null(f);
	render_status(f, o, false);
	fclose(f);
	assert_non_null(strstr(shown, "  found     task table in use 89.99 % (limit 80.00); "));
	assert_non_null(strstr(shown, "\n            io pressure (full) "));
	json_object_put(o);
	world_free(w);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(states), TEST(findings), TEST(hostile_names), TEST(more_than_fit), TEST(little_room), TEST(facts_are_few), TEST(whys), TEST(times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
