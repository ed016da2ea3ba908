/* SPDX-License-Identifier: Apache-2.0 */
/* test-recorder: what is recorded replays to the same actions; it is bounded in bytes and in
 * files, follows no links, and no trouble with it is the engine's. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/recorder.h"
#include "ctl/replay.h"
#include "unit/stories.h"

static char dir[64];
static int dir_fd;
static struct recorder *r;
static struct world *w;

static int setup(void **state)
{
	str_copy(dir, sizeof(dir), "/tmp/reprieve-test-XXXXXX");
	w = siblings(MODE_ENFORCE, 30);
	return mkdtemp(dir) != NULL && (dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0 ? 0 : -1;
}

static unsigned files(bool remove)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	for (struct dirent *x; d != NULL && (x = readdir(d)) != NULL;)
		if (x->d_name[0] != '.') {
			n += strstr(x->d_name, ".trace") != NULL;
			if (remove)
				(void)unlinkat(dir_fd, x->d_name, 0);
		}
	if (d != NULL)
		(void)closedir(d);
	return n;
}

static int teardown(void **state)
{
	r = recorder_free(r);
	(void)files(true);
	(void)close(dir_fd);
	(void)rmdir(dir);
	world_free(w);
	return 0;
}

static void step(struct event *ev)
{
	ev->now = w->now;
	assert_int_equal(engine_step(w->e, ev, &w->out), 0);
	recorder_event(r, w->e, ev, &w->out);
}

/* The hogs' windows; every action is answered at once. */
static void window(usec_t span, permyriad_t pressure, bool harm)
{
	struct event ev = { .type = EVENT_SNAPSHOT, .snapshot = &w->s };
	static struct action todo[MAX_ACTIONS];
	uint32_t n;

	w->now += span;
	world_begin(w, span, pressure);
	if (harm) {
		w->s.machine.runnable = 24;
		world_sample(w, 3, 2500, 47500, 2500, 47500);
		for (unsigned i = 0; i < 30; i++)
			world_sample(w, HOG + i, 5000, 50000, 5000, 50000);
	} else if (!engine_is_calm(w->e))
		world_sample(w, 3, 2500, 10, 2500, 10);
	step(&ev);
	n = w->out.n;
	memcpy(todo, w->out.a, n * sizeof(todo[0]));
	for (uint32_t i = 0; i < n; i++) {
		struct event done = { .type = EVENT_RESULT, .result = { .action = todo[i].id, .status = RESULT_DONE } };

		w->count[todo[i].verb]++;
		if (todo[i].verb != VERB_REPORT && todo[i].verb != VERB_SENSE)
			step(&done);
	}
}

/* No order of a person ends it: that is remembered beyond the alarm. */
static void incident(void)
{
	window(250 * MS, 9000, false);
	for (unsigned i = 0; i < 10; i++)
		window(100 * MS, 9500, true);
	for (unsigned i = 0; i < 5000 && !engine_is_calm(w->e); i++)
		window(100 * MS, 10, false);
	assert_true(engine_is_calm(w->e));
}

/* The newest file that is there; its bytes. */
static FILE *newest(off_t *ret_size)
{
	DIR *d = opendir(dir);
	char name[300] = "";
	struct stat st, best = { 0 };
	int fd;

	for (struct dirent *x; (x = readdir(d)) != NULL;)
		if (strstr(x->d_name, ".trace") != NULL && fstatat(dir_fd, x->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		    (st.st_mtim.tv_sec > best.st_mtim.tv_sec || (st.st_mtim.tv_sec == best.st_mtim.tv_sec && st.st_mtim.tv_nsec >= best.st_mtim.tv_nsec))) {
			best = st;
			str_copy(name, sizeof(name), x->d_name);
		}
	(void)closedir(d);
	assert_true(name[0] != '\0');
	if (ret_size != NULL)
		*ret_size = best.st_size;
	assert_int_equal(best.st_mode & 07, 0);          /* names of processes are not for everybody */
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	return fdopen(fd, "r");
}

static void replays(unsigned least)
{
	struct replay *p = replay_new(NULL, NULL, NULL);
	struct replay_result result;
	FILE *f = newest(NULL);

	if (replay_file(p, f, &result) != 0)
		fail_msg("line %u: %s", result.line, result.what);
	assert_true(result.begun && result.same);
	assert_true(result.actions >= least);
	(void)fclose(f);
	(void)replay_free(p);
}

/* What is said of it now; NULL: nothing new, or nothing wrong. */
static const char *trouble(struct recorder *r)
{
	const char *what = NULL, *remedy;

	return recorder_trouble(r, &what, &remedy) ? what : NULL;
}

static void calm_is_not_recorded(void **state)
{
	assert_int_equal(recorder_new(&r, dir_fd, 1 << 20), 0);
	for (unsigned i = 0; i < 100; i++)
		window(250 * MS, 100, false);
	assert_int_equal(files(false), 0);
	assert_null(trouble(r));
}

static void an_incident_replays(void **state)
{
	assert_int_equal(recorder_new(&r, dir_fd, 16 << 20), 0);
	for (unsigned k = 0; k < 2; k++) {
		incident();
		assert_int_equal(files(false), k + 1);
		replays(k == 0 ? 40 : 5);
	}
	assert_null(trouble(r));
	assert_true(w->count[VERB_QUOTA] >= 15);
}

/* In mid-incident too: the guard may be killed at any time. */
static void every_step_is_on_disk(void **state)
{
	assert_int_equal(recorder_new(&r, dir_fd, 16 << 20), 0);
	window(250 * MS, 9000, false);
	for (unsigned i = 0; i < 5; i++) {
		window(100 * MS, 9500, true);
		replays(1);
	}
}

/* A pause, and processes that are still looked for, are known to the replay. */
static void a_pause_goes_along(void **state)
{
	struct event pause = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_PAUSE, .until = w->now + 3600 * SEC, .reason = "\033[2J\"x\\" } };
	FILE *f;
	char line[TRACE_LINE_MAX];

	assert_int_equal(recorder_new(&r, dir_fd, 16 << 20), 0);
	step(&pause);
	assert_int_equal(files(false), 0);
	window(250 * MS, 9000, false);
	for (unsigned i = 0; i < 10; i++)
		window(100 * MS, 9500, true);
	assert_int_equal(w->count[VERB_QUOTA], 0);
	replays(1);
	f = newest(NULL);
	while (fgets(line, sizeof(line), f) != NULL)
		for (const char *p = line; *p; p++)
			assert_true(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
	(void)fclose(f);
}

/* What a person released is let alone beyond the alarm, in the next record too: everything is a
 * thing to know, a single one keeps the record open. */
static void what_was_released_goes_along(void **state)
{
	static const struct operator_order orders[] = { { .verb = OPERATOR_RELEASE_ALL }, { .verb = OPERATOR_RELEASE, .group = HOG } };

	assert_int_equal(recorder_new(&r, dir_fd, 16 << 20), 0);
	for (unsigned k = 0; k < ELEMENTSOF(orders); k++) {
		struct event order = { .type = EVENT_OPERATOR, .order = orders[k] };
		usec_t until;

		window(250 * MS, 9000, false);
		for (unsigned i = 0; i < 10; i++)
			window(100 * MS, 9500, true);
		assert_true(w->count[VERB_QUOTA] >= 15);
		step(&order);
		until = w->now + EVENT_BARRED;
		for (unsigned i = 0; i < 3000; i++)
			window(100 * MS, 10, false);
		assert_int_equal(engine_is_calm(w->e), orders[k].verb == OPERATOR_RELEASE_ALL);
		assert_int_equal(files(false), k + 1);
		w->count[VERB_QUOTA] = 0;
		window(250 * MS, 9000, false);
		for (unsigned i = 0; i < 30; i++)
			window(100 * MS, 9500, true);
		assert_int_equal(w->count[VERB_QUOTA] > 0, orders[k].verb == OPERATOR_RELEASE);
		assert_int_equal(files(false), RECORDER_KEPT);
		replays(2);
		while (w->now < until || !engine_is_calm(w->e))
			window(250 * MS, 10, false);
		replays(2);
	}
}

static void only_the_newest_are_kept(void **state)
{
	assert_int_equal(recorder_new(&r, dir_fd, 16 << 20), 0);
	for (unsigned i = 0; i < RECORDER_KEPT + 3; i++) {
		incident();
		assert_in_range(files(false), 1, RECORDER_KEPT);
	}
	assert_int_equal(files(false), RECORDER_KEPT);
	replays(5);
}

static void full(void **state)
{
	const uint64_t most = 20000;
	off_t size = 0;
	FILE *f;
	char line[TRACE_LINE_MAX], last[TRACE_LINE_MAX] = "";

	assert_int_equal(recorder_new(&r, dir_fd, most), 0);
	window(250 * MS, 9000, false);
	for (unsigned i = 0; i < 100; i++)
		window(100 * MS, 9500, true);
	assert_non_null(trouble(r));
	f = newest(&size);
	assert_in_range(size, most / 4, most + 200);
	while (fgets(line, sizeof(line), f) != NULL)
		strcpy(last, line);
	(void)fclose(f);
	assert_int_equal(last[0], '#');                  /* it says so, and is whole up to there */
	assert_int_equal(last[strlen(last) - 1], '\n');
	replays(1);
	incident();
	incident();                                     /* the next one is recorded again, up to the same bound */
	f = newest(&size);
	assert_in_range(size, most / 4, most + 200);
	(void)fclose(f);
}

static void nowhere_to_write(void **state)
{
	assert_int_equal(recorder_new(&r, dir_fd, 1 << 20), 0);
	assert_int_equal(rmdir(dir), 0);
	incident();
	assert_non_null(trouble(r));
	assert_true(w->count[VERB_QUOTA] >= 15);        /* the engine is not impressed */
}

/* A link where a record is to be is not written through, whatever its number. */
static void links_are_not_followed(void **state)
{
	char name[64], target[128];
	struct stat st;

	str_format(target, sizeof(target), "%s/victim", dir);
	for (unsigned i = 0; i < 10; i++) {
		str_format(name, sizeof(name), "flight-%u.trace", i);
		assert_int_equal(symlinkat("victim", dir_fd, name), 0);
	}
	assert_int_equal(recorder_new(&r, dir_fd, 1 << 20), 0);
	incident();
	assert_int_equal(stat(target, &st), -1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(calm_is_not_recorded), TEST(an_incident_replays), TEST(every_step_is_on_disk), TEST(a_pause_goes_along), TEST(what_was_released_goes_along),
		TEST(only_the_newest_are_kept), TEST(full), TEST(nowhere_to_write), TEST(links_are_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
