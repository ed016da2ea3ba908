/* SPDX-License-Identifier: Apache-2.0 */
/* test-answers: the guard's state as JSON, and as people see it. */
/* The name is a type there and a function here. */
#define json_bool json_c_bool
#include <json-c/json.h>
#undef json_bool

#include <errno.h>

#include "ctl/answers.h"
#include "ctl/render.h"
#include "unit/world.h"

static struct why_log why;
static struct facts facts;
static char answer[256 * 1024], shown[64 * 1024];

static const char *end(struct json *j)
{
	const char *text;

	assert_int_equal(json_finish(j, &text), 0);
	return text;
}

static const char *show(const char *text, void (*render)(FILE *out, struct json_object *o, bool colour))
{
	struct json_object *o = json_tokener_parse(text);
	FILE *f = fmemopen(shown, sizeof(shown), "w");

	assert_non_null(o);
	assert_non_null(f);
	render(f, o, false);
	fclose(f);
	json_object_put(o);
	return shown;
}

static unsigned lines_of(const char *text)
{
	unsigned n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static const char *ask_why(uint32_t most, uint32_t incident)
{
	struct json j;

	json_init(&j, answer, sizeof(answer));
	answer_why(&j, &why, &facts, most, incident);
	return show(end(&j), render_why);
}

static void why_of_an_older_incident(void **state)
{
	static const struct action a = { .verb = VERB_REPORT, .reason = { .why = WHY_HARM } };
	char text[64];
	unsigned i;

	memset(&why, 0, sizeof(why));
	assert_non_null(strstr(ask_why(40, 0), "nothing was decided since"));
	for (i = 0; i < 200; i++) {
		str_format(text, sizeof(text), "line %03u", i);
		why_log_add(&why, SEC + i, 1 + i / 50, &a, text);
	}
	assert_int_equal(lines_of(ask_why(40, 2)), 40);
	assert_non_null(strstr(shown, "line 099"));
	assert_non_null(strstr(shown, "line 060"));
	assert_null(strstr(shown, "line 059"));
	assert_null(strstr(shown, "line 100"));
	assert_int_equal(lines_of(ask_why(256, 2)), 50);
	assert_int_equal(lines_of(ask_why(40, 0)), 40);
	assert_non_null(strstr(shown, "line 199"));
	assert_string_equal(ask_why(40, 9), "no line of incident 9 is kept (the newest 256 are)\n");
	for (i = 0; i < 300; i++)
		why_log_add(&why, SEC + i, 5, &a, "later");
	assert_string_equal(ask_why(40, 4), "no line of incident 4 is kept (the newest 256 are)\n");
	assert_int_equal(lines_of(ask_why(256, 5)), 256);
}

static const char *ask_status(const struct world *w)
{
	struct json j;

	json_init(&j, answer, sizeof(answer));
	answer_status(&j, w->e, &facts);
	return show(end(&j), render_status);
}

/* Two hogs in sshd's cgroup, as the steward ranks them. */
static struct world *hogs(uint8_t policy)
{
	struct world *w = world_new(MODE_ENFORCE);
	unsigned i;

	world_start(w);
	world_tree(w);
	world_group(w, 10, 2, CAN_ALL, "/system.slice/audio.service");
	w->n_ranked = 2;
	for (i = 0; i < 2; i++)
		w->ranked[i] = (struct task_ref) { .pid = (int)(20 + i), .tid = (int)(20 + i), .start = 5, .cpu_pm = 9000, .policy = policy, .comm = "hog" };
	world_calm(w, 9000);
	return w;
}

static void the_class_of_lowered_tasks(void **state)
{
	struct world *w = hogs(0);
	unsigned i;

	for (i = 0; i < 30 && w->count[VERB_TASKS_IDLE] == 0; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, 3, 97000, 900000, 97000, 900000);
		world_send(w);
	}
	assert_non_null(strstr(ask_status(w), "2 tasks SCHED_IDLE"));
	assert_non_null(strstr(answer, "\"tasks_class\":\"idle\""));
	world_free(w);

	w = hogs(1);
	for (i = 0; i < 30 && w->count[VERB_TASKS_OTHER] == 0; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, 3, 1000, 90000, 1000, 90000);
		world_sample(w, 10, 98000, 0, 98000, 0)->rt_run_us = 196000;
		world_send(w);
	}
	assert_non_null(strstr(ask_status(w), "2 tasks SCHED_OTHER"));
	assert_null(strstr(shown, "SCHED_IDLE"));
	assert_non_null(strstr(answer, "\"tasks_class\":\"other\""));
	world_free(w);
}

static void a_probe_that_cannot_be_attached(void **state)
{
	struct world *w = hogs(0);

	memset(&facts, 0, sizeof(facts));
	assert_false(facts_probe(&facts, 0, "cpu.stat"));
	assert_int_equal(facts.n_facts, 0);
	assert_true(facts_probe(&facts, -EPERM, "cpuacct"));
	assert_false(facts_probe(&facts, -EPERM, "cpuacct"));
	assert_non_null(strstr(ask_status(w), "cpuacct is read instead"));
	assert_non_null(strstr(shown, "-> see the kernel's log"));
	assert_true(facts_probe(&facts, 0, "cpuacct"));
	assert_null(strstr(ask_status(w), "cpuacct"));
	world_free(w);
}

static void what_the_probe_had_no_room_for(void **state)
{
	struct world *w = hogs(0);

	memset(&facts, 0, sizeof(facts));
	assert_null(strstr(ask_status(w), "no known cgroup"));
	assert_non_null(strstr(answer, "\"lost_us\":0"));
	facts.lost_us = 1234567;
	assert_non_null(strstr(ask_status(w), "1.235 s that tasks ran or waited"));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(why_of_an_older_incident), cmocka_unit_test(the_class_of_lowered_tasks), cmocka_unit_test(a_probe_that_cannot_be_attached),
		cmocka_unit_test(what_the_probe_had_no_room_for),
	};

	return cmocka_run_group_tests_name("answers", tests, NULL, NULL);
}
