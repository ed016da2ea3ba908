/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cloud/http.h"

static struct loop l;
static struct http *h;
static struct http_result g_result[HTTP_CHECKS_MAX];
static int g_done, g_port;
static pid_t g_server;

/* A server that answers by the path: /200 /302 /500 /slow /close /garbage /endless. */
static _Noreturn void serve(int listener)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_DFL);
	for (;;) {
		char buf[2048];
		ssize_t n;
		int fd = accept(listener, NULL, NULL);

		if (fd < 0 || fork() != 0) {
			close(fd);
			continue;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		n = read(fd, buf, sizeof(buf) - 1);
		buf[n > 0 ? n : 0] = '\0';
		if (strncmp(buf, "GET /slow", 9) == 0)
			sleep(10);
		else if (strncmp(buf, "GET /close", 10) == 0)
			;
		else if (strncmp(buf, "GET /garbage", 12) == 0)
			dprintf(fd, "\xff\xfe\1\2 nothing that is HTTP\r\n\r\n");
		else if (strncmp(buf, "GET /302", 8) == 0)
			dprintf(fd, "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/evil\r\nContent-Length: 0\r\n\r\n");
		else if (strncmp(buf, "GET /endless", 12) == 0) {
			dprintf(fd, "HTTP/1.1 200 OK\r\n\r\n");
			memset(buf, 'x', sizeof(buf));
			for (;;)
				if (write(fd, buf, sizeof(buf)) < 0)
					break;
		} else
			dprintf(fd, "HTTP/1.1 %.3s X\r\nContent-Length: 2\r\n\r\nok", buf + 5);
		_exit(0);
	}
}

static void done(uint64_t id, const struct http_result *r, void *data)
{
	g_result[id] = *r;
	g_done++;
}

static struct http_result check(const char *path, usec_t timeout)
{
	char url[128];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/%s", g_port, path);
	g_done = 0;
	assert_int_equal(http_check(h, 0, url, timeout), 0);
	for (int i = 0; g_done == 0 && i < 1000; i++)
		assert_int_equal(loop_turn(&l, 100), 0);
	assert_int_equal(g_done, 1);
	return g_result[0];
}

static void answers(void **state)
{
	struct http_result r;

	setenv("http_proxy", "http://127.0.0.1:1/", 1);         /* is not used */
	r = check("200", USEC_PER_SEC * 5);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.code, 200);
	assert_true(r.took > 0 && r.took < 5 * USEC_PER_SEC);
	assert_int_equal(check("500", USEC_PER_SEC * 5).code, 500);
	r = check("302", USEC_PER_SEC * 5);     /* told, not followed */
	assert_int_equal(r.error, 0);
	assert_int_equal(r.code, 302);
	r = check("close", USEC_PER_SEC * 5);
	assert_int_equal(r.error, -EIO);
	assert_true(r.text[0] != '\0');
	r = check("garbage", USEC_PER_SEC * 5);
	assert_int_equal(r.error, -EIO);
	r = check("endless", USEC_PER_SEC * 5); /* cut, and good */
	assert_int_equal(r.error, 0);
	assert_int_equal(r.code, 200);
	r = check("slow", 200 * USEC_PER_MSEC);
	assert_int_equal(r.error, -ETIMEDOUT);
	assert_int_equal(r.code, 0);
	assert_true(r.took >= 190 * USEC_PER_MSEC && r.took < 3 * USEC_PER_SEC);
}

static void nobody_listens(void **state)
{
	int port = g_port;
	struct http_result r;

	g_port = 1;
	r = check("x", USEC_PER_SEC);
	assert_int_equal(r.error, -ECONNREFUSED);
	g_port = port;
}

static void several_at_once(void **state)
{
	char url[128];

	g_done = 0;
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/slow", g_port);
	for (int i = 0; i < HTTP_CHECKS_MAX - 1; i++)
		assert_int_equal(http_check(h, (uint64_t)i, url, 300 * USEC_PER_MSEC), 0);
	snprintf(url, sizeof(url), "http://localhost:%d/200", g_port);
	assert_int_equal(http_check(h, HTTP_CHECKS_MAX - 1, url, 5 * USEC_PER_SEC), 0);
	assert_int_equal(http_check(h, 0, url, USEC_PER_SEC), -EBUSY);
	for (int i = 0; g_done < HTTP_CHECKS_MAX && i < 1000; i++)
		assert_int_equal(loop_turn(&l, 100), 0);
	assert_int_equal(g_done, HTTP_CHECKS_MAX);
	assert_int_equal(g_result[0].error, -ETIMEDOUT);
	assert_int_equal(g_result[HTTP_CHECKS_MAX - 1].code, 200);
}

static void urls(void **state)
{
	static const struct { const char *url; int r; } cases[] = {
		{ "http://127.0.0.1/health", 0 }, { "http://127.8.9.10:8080/", 0 }, { "http://[::1]:80/x?y=1", 0 }, { "http://localhost/", 0 },
		{ "https://127.0.0.1/", -EINVAL }, { "http://128.0.0.1/", -EINVAL }, { "http://example.com/", -EINVAL },
		{ "http://127.0.0.1.example.com/", -EINVAL }, { "http://u:p@127.0.0.1/", -EINVAL }, { "file:///etc/passwd", -EINVAL },
		{ "ftp://127.0.0.1/", -EINVAL }, { "127.0.0.1/", -EINVAL }, { "", -EINVAL }, { "http://", -EINVAL },
		{ "http://169.254.169.254/latest/", -EINVAL }, { "http://[::ffff:8.8.8.8]/", -EINVAL }, { "gopher://127.0.0.1", -EINVAL },
		{ "http://localhost.evil/", -EINVAL }, { "http://127.0.0.1@8.8.8.8/", -EINVAL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (http_url_ok(cases[i].url) != cases[i].r)
			print_error("%s\n", cases[i].url);
		assert_int_equal(http_url_ok(cases[i].url), cases[i].r);
	}
	assert_int_equal(http_check(h, 0, "http://8.8.8.8/", USEC_PER_SEC), -EINVAL);
}

static int setup(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&sa, n) < 0 || listen(fd, 32) < 0 || getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		return -1;
	g_port = ntohs(sa.sin_port);
	g_server = fork();
	if (g_server == 0)
		serve(fd);
	close(fd);
	return loop_init(&l) < 0 ? -1 : http_new(&l, done, NULL, &h);
}

static int teardown(void **state)
{
	kill(g_server, SIGKILL);
	waitpid(g_server, NULL, 0);
	h = http_free(h);
	loop_deinit(&l);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers), cmocka_unit_test(nobody_listens), cmocka_unit_test(several_at_once), cmocka_unit_test(urls),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
