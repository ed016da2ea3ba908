/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/log.h"

static char g_dir[64], g_path[96], g_buf[65536];

static int listener(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	strcpy(sa.sun_path, g_path);
	unlink(g_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void to_stderr(void **state)
{
	struct log_config c = { .ident = "t", .level = LOG_INFO };
	int p[2];
	ssize_t n;

	assert_int_equal(pipe(p), 0);
	c.fd = p[1];
	log_open(&c);
	errno = 77;
	log_debug("not shown");
	log_write(LOG_NOTICE, "unit=a.service weight=10", "squeezed %d", 3);
	assert_int_equal(errno, 77);
	log_info("plain");
	n = read(p[0], g_buf, sizeof(g_buf));
	g_buf[n] = '\0';
	assert_string_equal(g_buf, "t: squeezed 3 unit=a.service weight=10\nt: plain\n");
	assert_int_equal(log_counts().written, 2);
	log_close();
	close(p[0]);
	close(p[1]);
}

static void a_long_line_is_cut(void **state)
{
	struct log_config c = { .ident = "t", .level = LOG_INFO };
	char *big = malloc(10000);
	int p[2];
	ssize_t n;

	memset(big, 'a', 9999);
	big[9999] = '\0';
	assert_int_equal(pipe(p), 0);
	c.fd = p[1];
	log_open(&c);
	log_write(LOG_INFO, "key=1", "%s", big);
	n = read(p[0], g_buf, sizeof(g_buf));
	assert_in_range(n, LOG_LINE_MAX - 10, LOG_LINE_MAX + 128);
	assert_memory_equal(g_buf + n - 5, "a...\n", 5);
	assert_null(memchr(g_buf, '\0', (size_t)n));
	free(big);
	log_close();
	close(p[0]);
	close(p[1]);
}

/* Full pipe: never waits, counts, says so afterwards. */
static void a_full_pipe_loses_lines(void **state)
{
	struct log_config c = { .ident = "t", .level = LOG_INFO };
	static char fill[4096];
	double t0;
	int p[2];
	ssize_t n;

	assert_int_equal(pipe2(p, 0), 0);
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	while (write(p[1], fill, sizeof(fill)) > 0)
		;
	fcntl(p[1], F_SETFL, 0);                /* blocking, as a stderr is */
	c.fd = p[1];
	log_open(&c);
	t0 = seconds();
	for (int i = 0; i < 10; i++)
		log_info("line %d", i);
	assert_true(seconds() - t0 < 0.5);
	assert_int_equal(log_counts().dropped_full, 10 + 9);    /* lines, and the notes of loss before all but the first */
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	while (read(p[0], g_buf, sizeof(g_buf)) > 0)
		;
	log_info("through");
	n = read(p[0], g_buf, sizeof(g_buf));
	g_buf[n] = '\0';
	assert_non_null(strstr(g_buf, "t: 10 log lines were lost"));
	assert_non_null(strstr(g_buf, "t: through\n"));
	log_info("again");
	n = read(p[0], g_buf, sizeof(g_buf));
	g_buf[n] = '\0';
	assert_string_equal(g_buf, "t: again\n");
	log_close();
	close(p[0]);
	close(p[1]);
}

static void the_rate_is_limited(void **state)
{
	struct log_config c = { .ident = "t", .level = LOG_INFO };
	int fd = open("/dev/null", O_WRONLY);

	c.fd = fd;
	log_open(&c);
	for (int i = 0; i < 5 * LOG_RATE_BURST; i++)
		log_info("flood");
	assert_in_range(log_counts().written, LOG_RATE_BURST, LOG_RATE_BURST + 5);
	assert_true(log_counts().dropped_rate >= 4 * LOG_RATE_BURST - 5);
	log_close();
	close(fd);
}

static void syslog_comes_and_goes(void **state)
{
	struct log_config c = { .ident = "t", .sink = LOG_SINK_SYSLOG, .level = LOG_INFO, .socket = g_path };
	char expect[32];
	int fd, n;

	log_open(&c);
	log_info("nobody there");
	log_info("still nobody");
	assert_int_equal(log_counts().dropped_absent, 2 + 1);   /* and one note */
	fd = listener();
	usleep(1100000);                        /* a connect is tried once a second */
	log_warning("hello");
	n = (int)recv(fd, g_buf, sizeof(g_buf) - 1, 0);
	g_buf[n] = '\0';
	assert_non_null(strstr(g_buf, "2 log lines were lost"));
	n = (int)recv(fd, g_buf, sizeof(g_buf) - 1, 0);
	g_buf[n] = '\0';
	snprintf(expect, sizeof(expect), "<%d>", LOG_DAEMON | LOG_WARNING);
	assert_memory_equal(g_buf, expect, strlen(expect));
	snprintf(expect, sizeof(expect), " t[%d]: hello", getpid());
	assert_non_null(strstr(g_buf, expect));

	/* Restarted: the next line reaches the new one. */
	close(fd);
	fd = listener();
	log_info("new daemon");
	n = (int)recv(fd, g_buf, sizeof(g_buf) - 1, 0);
	assert_true(n > 0);
	g_buf[n] = '\0';
	assert_non_null(strstr(g_buf, "new daemon"));

	/* Full: it does not read, we do not wait. */
	double t0 = seconds();
	for (int i = 0; i < LOG_RATE_BURST; i++)
		log_info("fill");
	assert_true(seconds() - t0 < 1.0);
	assert_true(log_counts().dropped_full > 0);
	log_close();
	close(fd);
	unlink(g_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_stderr), cmocka_unit_test(a_long_line_is_cut), cmocka_unit_test(a_full_pipe_loses_lines),
		cmocka_unit_test(the_rate_is_limited), cmocka_unit_test(syslog_comes_and_goes),
	};
	int r;

	unsetenv("JOURNAL_STREAM");
	strcpy(g_dir, "/tmp/reprieve-log-XXXXXX");
	if (mkdtemp(g_dir) == NULL)
		return 1;
	snprintf(g_path, sizeof(g_path), "%s/log", g_dir);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(g_dir);
	return r;
}
