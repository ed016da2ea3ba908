/* SPDX-License-Identifier: Apache-2.0 */
/* test-recorder: what is recorded replays to the same actions; it is bounded in bytes and in
 * files, follows no links, and no trouble with it is the engine's. */
#include <dirent.h>
#include <errno.h>
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
	for (uint32_t i = 0; i < w->out.n; i++) {
		w->count[w->out.a[i].verb]++;
		w->last[w->out.a[i].verb] = w->out.a[i];
		if (w->out.a[i].verb == VERB_REPORT)
			w->whys[w->out.a[i].reason.why]++;
	}
}

static int lifelines;           /* how they are answered: 0 done, else an errno, -1 not at all */

static void answer(uint64_t action, int error)
{
	struct event ev = { .type = EVENT_RESULT, .result = { .action = action, .status = error ? RESULT_FAILED : RESULT_DONE, .error = error } };

	step(&ev);
}

static void answer_all(void)
{
	static struct action todo[MAX_ACTIONS];
	uint32_t n = w->out.n;

	memcpy(todo, w->out.a, n * sizeof(todo[0]));
	for (uint32_t i = 0; i < n; i++)
		if (todo[i].verb != VERB_REPORT && todo[i].verb != VERB_SENSE && (todo[i].verb != VERB_LIFELINE || lifelines >= 0))
			answer(todo[i].id, todo[i].verb == VERB_LIFELINE ? lifelines : 0);
}

/* The hogs' windows; every action is answered at once. */
static void window(usec_t span, permyriad_t pressure, bool harm)
{
	struct event ev = { .type = EVENT_SNAPSHOT, .snapshot = &w->s };

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
	answer_all();
}

static void windows(unsigned n, bool harm)
{
	while (n-- > 0)
		window(100 * MS, harm ? 9500 : 10, harm);
}

static void group(uint64_t id, uint64_t parent, uint32_t flags, const char *path)
{
	struct group_info g = { .id = id, .parent = parent, .flags = flags, .weight = 100, .quota_us = -1, .period_us = 100000, .uid = UINT32_MAX };
	struct event ev = { .type = EVENT_GROUP, .group = &g };

	str_copy(g.path, sizeof(g.path), path);
	str_copy(g.name, sizeof(g.name), strrchr(path, '/') + 1);
	step(&ev);
	answer_all();
}

static void order(enum operator_verb verb, uint64_t group, usec_t until)
{
	struct event ev = { .type = EVENT_OPERATOR, .order = { .verb = verb, .group = group, .until = until, .reason = "load test" } };

	step(&ev);
	answer_all();
}

/* Nobody is known yet, and both who are protected are to have a lifeline. */
static void fresh(void)
{
	r = recorder_free(r);
	world_free(w);
	w = world_new(MODE_ENFORCE);
	w->set.policies[0].weight = 300;
	w->set.policies[1].weight = 200;
	world_start(w);
	lifelines = 0;
	assert_int_equal(recorder_new(&r, dir_fd, 16 << 20), 0);
}

static void hogs(void)
{
	char path[64];

	for (unsigned i = 0; i < 30; i++) {
		str_format(path, sizeof(path), "/system.slice/hog-%u.service", i);
		group(HOG + i, 2, CAN_ALL, path);
	}
}

static void tree(void)
{
	group(1, GROUP_NONE, GROUP_IS_ROOT, "/");
	group(2, 1, CAN_ALL, "/system.slice");
	group(3, 2, CAN_ALL, "/system.slice/ssh.service");
	hogs();
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

/* Who is known before it, who appears in it, in calm and later, has a lifeline when it ends, by
 * itself or by command; who had one before is not asked for again. */
static void a_pause_ends_in_the_record(void **state)
{
	for (unsigned k = 0; k < 6; k++) {
		bool late = k & 1, resumed = k & 2, had = k & 4;
		usec_t until;

		fresh();
		until = w->now + 5 * SEC;
		if (had)
			tree();
		assert_int_equal(w->count[VERB_LIFELINE], had);
		order(OPERATOR_PAUSE, 0, until);
		if (!had)
			tree();
		if (!late)
			group(60, 2, CAN_ALL, "/system.slice/postgres-14.service");
		window(250 * MS, 10, false);
		window(250 * MS, 9000, false);
		windows(5, true);
		if (late)
			group(60, 2, CAN_ALL, "/system.slice/postgres-14.service");
		windows(5, true);
		assert_int_equal(w->count[VERB_LIFELINE], had);
		if (resumed)
			order(OPERATOR_RESUME, 0, 0);
		while (w->now <= until)
			windows(1, true);
		assert_int_equal(w->count[VERB_LIFELINE], 2);
		windows(5, true);
		replays(5);
		for (unsigned i = 0; i < 5000 && !engine_is_calm(w->e); i++)
			windows(1, false);
		assert_true(engine_is_calm(w->e));
		replays(5);
		window(250 * MS, 9000, false);          /* and the next one, without it */
		windows(5, true);
		replays(2);
	}
}

/* What begins the record may do more: end the pause, or leave it in force. */
static void the_first_event_is_no_news(void **state)
{
	for (unsigned k = 0; k < 5; k++) {
		fresh();
		order(OPERATOR_PAUSE, 0, w->now + SEC);
		tree();
		window(750 * MS, 10, false);
		switch (k) {
		case 0:                                 /* ends with the alarm's snapshot */
			window(250 * MS, 9000, false);
			break;
		case 1:                                 /* ... before it */
			window(300 * MS, 10, false);
			window(250 * MS, 9000, false);
			break;
		case 2:                                 /* ... with the order */
			w->now += 300 * MS;
			order(OPERATOR_RELEASE, HOG, 0);
			break;
		case 3:                                 /* ... with an answer to nothing */
			order(OPERATOR_RELEASE, HOG, 0);
			w->now += 300 * MS;
			answer(1, 0);
			answer_all();
			break;
		default:
			order(OPERATOR_RELEASE, HOG, 0);
			break;
		}
		windows(10, true);
		assert_int_equal(w->count[VERB_LIFELINE], 1);
		replays(3);
	}
}

/* A lifeline is asked for, or again, or has failed, when the record begins. */
static void what_is_asked_goes_along(void **state)
{
	static const struct { int calm, late; unsigned asked, failed; } cases[] = {
		{ -1, 0, 1, 0 }, { -1, EINVAL, 1, 1 }, { -1, ENOTCONN, 2, 0 }, { -1, -1, 2, 0 },
		{ ENOTCONN, 0, 2, 0 }, { ENOTCONN, EINVAL, 2, 1 }, { EINVAL, EINVAL, 1, 1 },
	};

	for (unsigned k = 0; k < ELEMENTSOF(cases); k++) {
		uint64_t asked;

		fresh();
		lifelines = cases[k].calm;
		tree();
		assert_int_equal(w->count[VERB_LIFELINE], 1);
		asked = w->last[VERB_LIFELINE].id;
		lifelines = cases[k].late;
		window(250 * MS, 9000, false);
		windows(5, true);
		if (cases[k].calm == -1 && cases[k].late != -1) {
			answer(asked, cases[k].late);
			answer_all();
		}
		if (cases[k].late == ENOTCONN || cases[k].late == -1)
			lifelines = 0;
		windows(340, true);
		assert_int_equal(w->count[VERB_LIFELINE], cases[k].asked);
		assert_int_equal(w->whys[WHY_FAILED], cases[k].failed);
		lifelines = EINVAL;                     /* said once only */
		group(60, 2, CAN_ALL, "/system.slice/postgres-14.service");
		assert_int_equal(w->whys[WHY_FAILED], 1);
		windows(1, true);
		replays(3);
	}
}

/* In calm nothing is said of lifelines that are as they should be, so that records stay short. */
static void nothing_to_recall(void **state)
{
	struct event ev;
	uint32_t at = 0;

	fresh();
	tree();
	assert_int_equal(w->count[VERB_LIFELINE], 1);
	assert_false(engine_recall(w->e, &at, &ev));
	order(OPERATOR_PAUSE, 0, w->now + SEC);
	at = 0;
	assert_true(engine_recall(w->e, &at, &ev));
	assert_int_equal(ev.type, EVENT_OPERATOR);
	assert_false(engine_recall(w->e, &at, &ev));
	group(60, 2, CAN_ALL, "/system.slice/postgres-14.service");
	at = 0;
	assert_true(engine_recall(w->e, &at, &ev));
	assert_true(engine_recall(w->e, &at, &ev));
	assert_int_equal(ev.type, EVENT_RECALL);
	assert_int_equal(ev.recall.what, RECALL_HAS);
	assert_int_equal(ev.recall.group, 60);
	assert_int_equal(ev.recall.value, -1);
	assert_false(engine_recall(w->e, &at, &ev));
	group(3, 2, CAN_ALL | GROUP_NO_TARGET, "/system.slice/ssh.service");    /* for now it cannot be opened */
	order(OPERATOR_RESUME, 0, 0);
	window(250 * MS, 9000, false);
	windows(5, true);
	group(3, 2, CAN_ALL, "/system.slice/ssh.service");
	windows(1, true);                       /* an action too many shows with the next event */
	assert_int_equal(w->count[VERB_LIFELINE], 2);
	replays(2);
}

/* A record from elsewhere may hold anything. */
static void recalls_that_are_refused(void **state)
{
	static const struct recall bad[] = {
		{ .what = _RECALL_MAX }, { .what = RECALL_HAS, .verb = _VERB_MAX }, { .what = RECALL_HAS, .group = 3, .value = 10001 },
		{ .what = RECALL_HAS, .group = 3, .value = -3 }, { .what = RECALL_ASKED, .verb = VERB_LIFELINE },
		{ .what = RECALL_ASKED, .verb = VERB_QUOTA, .action = 7 }, { .what = RECALL_ASKED, .verb = VERB_RELEASE, .action = UINT64_MAX },
		{ .what = RECALL_AGAIN, .value = -1 },
	};
	struct recall one = { .what = RECALL_ASKED, .verb = VERB_LIFELINE, .group = 3, .action = 5, .at = w->now + 30 * SEC };
	struct event ev = { .now = w->now, .type = EVENT_RECALL };
	uint32_t at = 0;

	for (unsigned i = 0; i < ELEMENTSOF(bad); i++) {
		ev.recall = bad[i];
		assert_int_equal(engine_step(w->e, &ev, &w->out), -EINVAL);
	}
	assert_false(engine_recall(w->e, &at, &ev));
	ev = (struct event){ .now = w->now, .type = EVENT_RECALL, .recall = one };
	for (; one.action < 5 + MAX_INFLIGHT; ev.recall.action = ++one.action)
		assert_int_equal(engine_step(w->e, &ev, &w->out), 0);
	assert_int_equal(engine_step(w->e, &ev, &w->out), -EINVAL);
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
		TEST(calm_is_not_recorded), TEST(an_incident_replays), TEST(every_step_is_on_disk), TEST(a_pause_goes_along), TEST(a_pause_ends_in_the_record),
		TEST(the_first_event_is_no_news), TEST(what_is_asked_goes_along), TEST(nothing_to_recall), TEST(recalls_that_are_refused),
		TEST(what_was_released_goes_along),
		TEST(only_the_newest_are_kept), TEST(full), TEST(nowhere_to_write), TEST(links_are_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
