/* SPDX-License-Identifier: Apache-2.0 */
/* test-requests: what a person may say, and what is answered. */
#include <fcntl.h>
#include <unistd.h>

#include "ctl/requests.h"
#include "sys/log.h"
#include "sys/root.h"
#include "unit/world.h"

#define HOG 10

static struct driver *d;
static struct requests requests;
static struct loop loop;
static struct world *w;
static char answer[256 * 1024];

/* One squeezed session, whose name is hostile. */
static int setup(void **state)
{
	unsigned i;

	log_open(&(struct log_config){ .ident = "test", .level = LOG_ERR });
	d = calloc(1, sizeof(*d));
	loop = LOOP_INIT;
	if (d == NULL || loop_init(&loop) < 0)
		return -1;
	w = world_new(MODE_ENFORCE);
	w->now = loop_now(&loop) - 10 * SEC;
	world_start(w);
	world_tree(w);
	world_group(w, 4, 1, CAN_ALL, "/user.slice");
	world_group(w, HOG, 4, CAN_ALL, "/user.slice/session-\033[31m\n3.scope");
	world_calm(w, 9000);
	for (i = 0; i < 20 && w->verbs_of[HOG] == 0; i++) {
		w->now += 100 * MS;
		world_begin(w, 100 * MS, 9500);
		world_sample(w, 3, 3000, 48000, 3000, 48000);
		world_sample(w, HOG, 97000, 400000, 97000, 400000);
		world_send(w);
	}
	assert_int_not_equal(w->verbs_of[HOG], 0);
	*d = (struct driver){ .loop = &loop, .engine = w->e, .set = &w->set, .no_act = 5,
			      .tick = LOOP_TIMER_INIT, .deadline = LOOP_TIMER_INIT, .pending = LOOP_TIMER_INIT };
	requests = (struct requests){ .driver = d, .rundir_fd = -1 };
	return 0;
}

static int teardown(void **state)
{
	loop_cancel_timer(&loop, &d->deadline);
	loop_deinit(&loop);
	world_free(w);
	free(d);
	return 0;
}

static const char *say(const char *verb, const char *argument)
{
	const char *text;
	struct json j;

	json_init(&j, answer, sizeof(answer));
	requests_handle(&j, verb, argument, true, &requests);
	assert_int_equal(json_finish(&j, &text), 0);
	return text;
}

#define assert_has(text, part) do { if (!strstr(text, part)) fail_msg("\"%s\" is not in %s", part, text); } while (0)

static void everything_but_the_lifeline(void **state)
{
	assert_has(say("release-all", ""), "released 1, ");
	assert_null(strstr(answer, "lifeline"));
	d->facts.n_lifeline = 1;
	d->facts.lifeline[0] = (struct lifeline_row){ .before = 100, .after = -1 };
	say("release-all", "");
	assert_null(strstr(answer, "lifeline"));
	d->facts.lifeline[0].after = 800;
	assert_has(say("release-all", ""), "lifeline weights stay (Lifeline=no and a reload take them away)");
}

static void a_name_as_it_is_shown(void **state)
{
	assert_has(say("release", "session-3.scope"), "nothing of that name is squeezed");
	assert_has(say("release", "/user.slice/session-\\x1b[31m\\x0a3.scop"), "nothing of that name");
	assert_has(say("release", "/user.slice/session-\\x1b[31m\\x0a3.scope"), "released");
	assert_has(say("release", "session-\\x1b[31m\\x0a3.scope"), "released");
	assert_has(say("release", "session-\033[31m\n3.scope"), "released");
}

/* A restart of the guard does not end the ten minutes after everything was released; a resume
 * does. What is of another boot, or nonsense, counts as nothing. */
static void everything_stays_released(void **state)
{
	static const char *const nonsense[] = { "", "\n", "x\n", "-1\n", "12", "1\n", "18446744073709551615\n" };
	char dir[] = "/tmp/reprieve-test-XXXXXX", buf[32];
	usec_t until;

	assert_non_null(mkdtemp(dir));
	requests.rundir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(requests.rundir_fd >= 0);
	assert_true(requests_barred(&requests) == 0);
	say("release-all", "");
	until = requests_barred(&requests);
	assert_in_range(until, loop_now(&loop) + EVENT_BARRED - 60 * SEC, loop_now(&loop) + EVENT_BARRED);
	say("resume", "");
	assert_true(requests_barred(&requests) == 0);
	for (size_t i = 0; i < ELEMENTSOF(nonsense); i++) {
		assert_int_equal(root_replace_file(requests.rundir_fd, BARRED_FILE, nonsense[i], strlen(nonsense[i]), 0600), 0);
		assert_true(requests_barred(&requests) == 0);
	}
	str_format(buf, sizeof(buf), "%llu\n", (unsigned long long)(loop_now(&loop) + EVENT_BARRED + SEC));
	assert_int_equal(root_replace_file(requests.rundir_fd, BARRED_FILE, buf, strlen(buf), 0600), 0);
	assert_true(requests_barred(&requests) == 0);
	(void)unlinkat(requests.rundir_fd, BARRED_FILE, 0);
	(void)close(requests.rundir_fd);
	assert_int_equal(rmdir(dir), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(everything_but_the_lifeline), T(everything_stays_released), T(a_name_as_it_is_shown) };

	return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
