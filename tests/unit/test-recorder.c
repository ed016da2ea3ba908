/* SPDX-License-Identifier: Apache-2.0 */
/* test-recorder: numbers that go on after a crash, and a record that cannot go on. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/recorder.h"
#include "unit/world.h"

static char dir[64];
static int fd;

static void put(const char *name)
{
	int f = openat(fd, name, O_WRONLY | O_CREAT, 0600);

	assert_true(f >= 0);
	assert_int_equal(write(f, name, strlen(name)), (ssize_t)strlen(name));
	close(f);
}

static bool is_there(const char *name)
{
	return faccessat(fd, name, F_OK, 0) == 0;
}

static off_t size_of(const char *name)
{
	struct stat st;

	return fstatat(fd, name, &st, 0) < 0 ? -1 : st.st_size;
}

static int setup(void **state)
{
	str_copy(dir, sizeof(dir), "/tmp/reprieve-recorder-XXXXXX");
	fd = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			(void)unlinkat(fd, e->d_name, unlinkat(fd, e->d_name, 0) < 0 ? AT_REMOVEDIR : 0);
	if (d != NULL)
		closedir(d);
	close(fd);
	return rmdir(dir);
}

static void feed(struct recorder *r, struct world *w, permyriad_t pressure)
{
	static struct snapshot s;
	struct event e = { .type = EVENT_SNAPSHOT, .snapshot = &s };

	w->now += 250 * MS;
	e.now = w->now;
	memset(&s, 0, sizeof(s));
	s.window = 250 * MS;
	s.pressure = PRESSURE_PSI;
	s.machine.ncpu = 2;
	s.machine.cpu_some = pressure;
	assert_int_equal(engine_step(w->e, &e, &w->out), 0);
	recorder_event(r, w->e, &e, &w->out);
}

/* An alarm, and calm again. */
static void alarm_and_calm(struct recorder *r, struct world *w)
{
	unsigned i;

	feed(r, w, 9000);
	assert_false(engine_is_calm(w->e));
	for (i = 0; i < 1000 && !engine_is_calm(w->e); i++)
		feed(r, w, 0);
	assert_true(engine_is_calm(w->e));
}

static struct world *begun(void)
{
	struct world *w = world_new(MODE_ENFORCE);

	world_start(w);
	world_tree(w);
	return w;
}

static void numbers_go_on(void **state)
{
	struct recorder *r;
	struct world *w = begun();

	put("flight-1.trace");
	put("flight-3.trace");
	put("flight-9.trace");
	put("flight-07.trace");                 /* not one of ours */
	put("flight-.trace");
	put("journal");
	assert_int_equal(recorder_new(&r, fd, 1 << 20), 0);
	assert_false(is_there("flight-1.trace"));
	assert_true(is_there("flight-3.trace") && is_there("flight-9.trace"));
	alarm_and_calm(r, w);
	assert_int_equal(size_of("flight-9.trace"), 14);        /* the record of the crash */
	assert_true(size_of("flight-10.trace") > 100);
	assert_false(is_there("flight-3.trace"));
	alarm_and_calm(r, w);
	assert_true(is_there("flight-10.trace") && is_there("flight-11.trace"));
	assert_false(is_there("flight-9.trace"));
	assert_true(is_there("flight-07.trace") && is_there("flight-.trace") && is_there("journal"));
	recorder_free(r);
	world_free(w);
}

static void a_full_one_is_said_once(void **state)
{
	const char *what = NULL, *remedy = NULL;
	struct recorder *r;
	struct world *w = begun();
	int i;

	assert_int_equal(recorder_new(&r, fd, 5000), 0);
	feed(r, w, 9000);
	for (i = 0; i < 200 && !recorder_trouble(r, &what, &remedy); i++)
		feed(r, w, 9000);
	assert_non_null(what);
	assert_non_null(strstr(what, "full"));
	assert_non_null(strstr(remedy, "FlightRecorder="));
	for (i = 0; i < 20; i++)
		feed(r, w, 9000);
	assert_false(recorder_trouble(r, &what, &remedy));
	for (i = 0; i < 1000 && !engine_is_calm(w->e); i++)
		feed(r, w, 0);
	assert_false(recorder_trouble(r, &what, &remedy));
	feed(r, w, 9000);                       /* the next one begins well */
	assert_true(recorder_trouble(r, &what, &remedy));
	assert_null(what);
	recorder_free(r);
	world_free(w);
}

static void one_that_cannot_be_begun(void **state)
{
	const char *what = NULL, *remedy = NULL;
	struct recorder *r;
	struct world *w = begun();
	int i;

	put("flight-4.trace");
	assert_int_equal(recorder_new(&r, fd, 1 << 20), 0);
	assert_int_equal(mkdirat(fd, "flight-5.trace", 0700), 0);
	feed(r, w, 9000);
	assert_true(recorder_trouble(r, &what, &remedy));
	assert_non_null(strstr(what, "cannot be begun"));
	for (i = 0; i < 10; i++)
		feed(r, w, 9000);
	assert_false(recorder_trouble(r, &what, &remedy));
	assert_true(is_there("flight-4.trace"));        /* it costs no older one */
	recorder_free(r);
	world_free(w);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(numbers_go_on), T(a_full_one_is_said_once), T(one_that_cannot_be_begun) };

	return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}
