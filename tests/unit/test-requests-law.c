/* SPDX-License-Identifier: Apache-2.0 */
/* test-requests: what a line from the control socket does to a guard in mid-incident that can
 * carry nothing out: who may, what is refused, and a pause that outlives the guard. */
#define json_bool json_c_bool     /* the name of a type there, of a function here */
#include <json-c/json.h>
#undef json_bool
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/requests.h"
#include "fuzz/stage.h"
#include "unit/world.h"

static char dir[64];
static struct requests r;

static int setup(void **state)
{
	str_copy(dir, sizeof(dir), "/tmp/reprieve-test-XXXXXX");
	r.driver = stage_set();
	return mkdtemp(dir) != NULL && (r.rundir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)unlinkat(r.rundir_fd, PAUSE_FILE, 0);
	(void)unlinkat(r.rundir_fd, BARRED_FILE, 0);
	(void)close(r.rundir_fd);
	return rmdir(dir);
}

/* Answered with `key` ("error", "done", ...)? */
static bool asked(const char *verb, const char *argument, bool root, const char *key)
{
	static char answer[CONTROL_ANSWER_MAX];
	struct json_object *o, *v;
	struct json j;
	const char *text;
	bool has;

	json_init(&j, answer, sizeof(answer));
	requests_handle(&j, verb, argument, root, &r);
	assert_int_equal(json_finish(&j, &text), 0);
	o = json_tokener_parse(text);
	assert_true(o != NULL && json_object_is_type(o, json_type_object));
	assert_true(json_object_object_get_ex(o, "schema", &v) && json_object_get_int(v) == ANSWER_SCHEMA);
	has = json_object_object_get_ex(o, key, &v);
	if (has && strcmp(key, "error") == 0)            /* what to do is said with it */
		assert_true(json_object_object_get_ex(o, "remedy", &v) && json_object_get_string_len(v) > 3);
	json_object_put(o);
	return has;
}

static const struct engine_view *view(void)
{
	static struct engine_view v;

	engine_view(r.driver->engine, &v);
	return &v;
}

static void reading_is_for_all(void **state)
{
	static const char *const arguments[] = { "", "0", "1", "40 1", "-1", "99999999999999999999999 99999999999999999999", "x", "\033[2J", "1 x", " " };

	for (unsigned root = 0; root < 2; root++) {
		assert_true(asked("status", "", root, "state"));
		assert_true(asked("status", "whatever", root, "squeezes"));
		assert_true(asked("ping", "", root, "done"));
		for (unsigned i = 0; i < ELEMENTSOF(arguments); i++)
			assert_true(asked("why", arguments[i], root, "lines"));
	}
}

static void orders_are_for_root(void **state)
{
	static const struct { const char *verb, *argument; } orders[] = {
		{ "release", "/system.slice" }, { "release-all", "" }, { "pause", "1000000 because" }, { "resume", "" },
	};
	void *before = malloc(engine_size());
	struct stat st;

	memcpy(before, r.driver->engine, engine_size());
	for (unsigned i = 0; i < ELEMENTSOF(orders); i++)
		assert_true(asked(orders[i].verb, orders[i].argument, false, "error"));
	assert_memory_equal(before, r.driver->engine, engine_size());
	assert_int_equal(fstatat(r.rundir_fd, PAUSE_FILE, &st, 0), -1);
	free(before);
}

static void unknown(void **state)
{
	static const char *const verbs[] = { "", "STATUS", "statu", "status2", "pause;resume", "\033[2J", "%s%n", "release-al" };

	for (unsigned i = 0; i < ELEMENTSOF(verbs); i++)
		assert_true(asked(verbs[i], "", true, "error"));
}

static void releases(void **state)
{
	uint32_t n = view()->n_squeezes;
	const struct group_info *g = engine_group(r.driver->engine, view()->squeezes[0].group);
	char path[GROUP_PATH_MAX];

	assert_true(n > 1 && g != NULL);
	assert_true(asked("release", "", true, "error"));
	assert_true(asked("release", "/nobody", true, "error"));
	assert_true(asked("release", "*", true, "error"));
	assert_int_equal(view()->n_squeezes, n);
	str_copy(path, sizeof(path), g->path);
	path[strlen(path) - 1] ^= 1;                    /* nearly */
	assert_true(asked("release", path, true, "error"));
	str_copy(path, sizeof(path), g->path);
	assert_true(asked("release", path, true, "done"));
	assert_true(asked("release-all", "", true, "done"));
}

static void pauses(void **state)
{
	static const char *const refused[] = {
		"", "x", "0 why", "1000000", "1000000 ", "604800000001 too long", "99999999999999999999999 why", "-5 why", "10s why", " 5",
	};
	char argument[CONTROL_REQUEST_MAX];
	struct stat st;

	for (unsigned i = 0; i < ELEMENTSOF(refused); i++) {
		if (!asked("pause", refused[i], true, "error"))
			fail_msg("accepted: pause %s", refused[i]);
		assert_true(view()->paused_until == 0);
	}
	memset(argument, 'x', sizeof(argument) - 1);
	argument[sizeof(argument) - 1] = 0;
	memcpy(argument, "1000000 ", 8);
	assert_true(asked("pause", argument, true, "error"));
	assert_true(view()->paused_until == 0);
	assert_int_equal(fstatat(r.rundir_fd, PAUSE_FILE, &st, 0), -1);

	assert_true(asked("pause", "3600000000 load test", true, "done"));
	assert_true(view()->paused_until == stage.loop.now + 3600 * SEC);
	assert_string_equal(view()->pause_reason, "load test");
	assert_int_equal(fstatat(r.rundir_fd, PAUSE_FILE, &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(asked("resume", "", true, "done"));
	assert_true(view()->paused_until == 0);
	assert_int_equal(fstatat(r.rundir_fd, PAUSE_FILE, &st, 0), -1);
	assert_true(asked("resume", "", true, "done"));         /* again is no error */
}

/* A new guard of the same boot. */
static void a_pause_outlives_the_guard(void **state)
{
	usec_t until;

	assert_true(asked("pause", "3600000000 \"load\" \\ test \xff", true, "done"));
	until = view()->paused_until;
	r.driver = stage_set();
	assert_true(view()->paused_until == 0);
	stage.loop.now += 600 * SEC;
	requests_restore_pause(&r);
	assert_true(view()->paused_until == until);
	assert_string_equal(view()->pause_reason, "\"load\" \\ test \xff");
	/* It has ended meanwhile. */
	r.driver = stage_set();
	stage.loop.now = until;
	requests_restore_pause(&r);
	assert_true(view()->paused_until == 0);
}

static void a_wrong_file_is_no_pause(void **state)
{
	char far[64];
	const char *const files[] = { "", "\n", "x", "0 why\n", "-1 why\n", "99999999999999999999999999 why\n", "1 of an earlier time\n", far };

	r.driver = stage_set();
	str_format(far, sizeof(far), "%llu why\n", (unsigned long long)(stage.loop.now + 8 * 24 * USEC_PER_HOUR));
	for (unsigned i = 0; i < ELEMENTSOF(files); i++) {
		int fd = openat(r.rundir_fd, PAUSE_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		assert_true(fd >= 0 && write(fd, files[i], strlen(files[i])) == (ssize_t)strlen(files[i]));
		(void)close(fd);
		requests_restore_pause(&r);
		assert_true(view()->paused_until == 0);
	}
	(void)unlinkat(r.rundir_fd, PAUSE_FILE, 0);
	requests_restore_pause(&r);
	assert_true(view()->paused_until == 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(reading_is_for_all), TEST(orders_are_for_root), TEST(unknown), TEST(releases), TEST(pauses),
		TEST(a_pause_outlives_the_guard), TEST(a_wrong_file_is_no_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
