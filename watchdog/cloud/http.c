/* SPDX-License-Identifier: Apache-2.0 */
/* http: curl's multi interface in our loop: curl says which sockets and which timeout
 * it wants (two callbacks), and is told when they come true.
 *
 * The rule "loopback only" holds twice: the URL is checked, and each socket's address
 * once more when curl is about to open it, whatever a name resolved to. Names other
 * than localhost are refused, so nothing ever asks DNS; libcurl before 7.78 looks
 * localhost up in /etc/hosts, hence the second check.
 *
 * A new connection per check, as a load balancer's prober makes one: an accept queue
 * that is full is part of what is measured. */
#include "cloud/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/str.h"

#define SOCKETS_MAX (HTTP_CHECKS_MAX * 4)       /* happy eyeballs opens two a check */

struct check {
	bool used;
	uint64_t id;
	usec_t began;
	size_t taken;
	CURL *easy;
	char error[CURL_ERROR_SIZE];
	struct http *http;
};

struct http {
	struct loop *loop;
	CURLM *multi;
	http_done_fn done;
	void *data;
	struct loop_timer timer;
	struct loop_source sockets[SOCKETS_MAX];
	struct check checks[HTTP_CHECKS_MAX];
};

static bool is_loopback(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return (ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24) == 127;
	return sa->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

int http_url_ok(const char *url)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *host = NULL, *user = NULL;
	struct in6_addr six;
	struct in_addr four;
	int r = -EINVAL;

	if (u == NULL)
		return -ENOMEM;
	if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
	    str_equal(scheme, "http")) {
		size_t n = strlen(host);

		if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
			host[n - 1] = '\0';
			r = inet_pton(AF_INET6, host + 1, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six) ? 0 : -EINVAL;
		} else if (str_equal(host, "localhost") || (inet_pton(AF_INET, host, &four) == 1 && (ntohl(four.s_addr) >> 24) == 127))
			r = 0;
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(user);
	curl_url_cleanup(u);
	return r;
}

static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *a)
{
	if (!is_loopback(&a->addr))
		return CURL_SOCKET_BAD;
	return socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
}

static size_t take_body(char *p, size_t size, size_t n, void *data)
{
	struct check *c = data;

	c->taken += size * n;
	return c->taken > HTTP_BODY_MAX ? 0 : size * n;
}

static void finish(struct http *h, struct check *c, CURLcode code)
{
	struct http_result result = { 0 };
	long status = 0, os = 0;
	CURL *easy = c->easy;

	(void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os);
	result.took = loop_clock() - c->began;
	/* More body than is wanted: the answer is there all the same. */
	if (code == CURLE_WRITE_ERROR && c->taken > HTTP_BODY_MAX)
		code = CURLE_OK;
	if (code == CURLE_OK)
		result.code = (unsigned)status;
	else {
		result.error = code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : code == CURLE_COULDNT_CONNECT ? (os > 0 ? (int)-os : -ECONNREFUSED) : -EIO;
		(void)str_copy(result.text, sizeof(result.text), c->error[0] != '\0' ? c->error : curl_easy_strerror(code));
	}
	(void)curl_multi_remove_handle(h->multi, easy);
	curl_easy_cleanup(easy);
	c->used = false;
	c->easy = NULL;
	h->done(c->id, &result, h->data);
}

static void collect(struct http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL)
		if (m->msg == CURLMSG_DONE) {
			struct check *c = NULL;

			(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
			finish(h, c, m->data.result);
		}
}

static int on_socket(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	struct http *h = data;
	int running, bits = (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
	                    (events & EPOLLERR ? CURL_CSELECT_ERR : 0);

	(void)curl_multi_socket_action(h->multi, s->fd, bits, &running);
	collect(h);
	return 0;
}

static int on_timeout(struct loop *l, struct loop_timer *t, void *data)
{
	struct http *h = data;
	int running;

	(void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(h);
	return 0;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
	struct http *h = data;
	struct loop_source *s = socket_data;
	uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);

	if (what == CURL_POLL_REMOVE) {
		if (s != NULL)
			loop_remove(h->loop, s);
		(void)curl_multi_assign(h->multi, fd, NULL);
		return 0;
	}
	if (s != NULL)
		return loop_modify(h->loop, s, events) < 0 ? -1 : 0;
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		if (h->sockets[i].fd < 0) {
			if (loop_add(h->loop, &h->sockets[i], fd, events, on_socket, h) < 0)
				return -1;
			(void)curl_multi_assign(h->multi, fd, &h->sockets[i]);
			return 0;
		}
	return -1;
}

static int want_timeout(CURLM *multi, long msec, void *data)
{
	struct http *h = data;

	if (msec < 0)
		loop_cancel_timer(h->loop, &h->timer);
	else
		loop_set_timer(h->loop, &h->timer, loop_clock() + (usec_t)msec * USEC_PER_MSEC, on_timeout, h);
	return 0;
}

int http_new(struct loop *l, http_done_fn done, void *data, struct http **ret)
{
	struct http *h;

	if (curl_global_init(CURL_GLOBAL_NOTHING) != 0)
		return -ENOMEM;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return -ENOMEM;
	h->loop = l;
	h->done = done;
	h->data = data;
	h->timer = LOOP_TIMER_INIT;
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		h->sockets[i] = LOOP_SOURCE_INIT;
	h->multi = curl_multi_init();
	if (h->multi == NULL) {
		free(h);
		return -ENOMEM;
	}
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_timeout);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	*ret = h;
	return 0;
}

struct http *http_free(struct http *h)
{
	if (h == NULL)
		return NULL;
	for (size_t i = 0; i < HTTP_CHECKS_MAX; i++)
		if (h->checks[i].used) {
			(void)curl_multi_remove_handle(h->multi, h->checks[i].easy);
			curl_easy_cleanup(h->checks[i].easy);
		}
	(void)curl_multi_cleanup(h->multi);
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		loop_remove(h->loop, &h->sockets[i]);
	loop_cancel_timer(h->loop, &h->timer);
	free(h);
	curl_global_cleanup();
	return NULL;
}

static void set_options(struct check *c, const char *url, usec_t timeout)
{
	CURL *e = c->easy;

	(void)curl_easy_setopt(e, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
	(void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http");
#else
	(void)curl_easy_setopt(e, CURLOPT_PROTOCOLS, (long)CURLPROTO_HTTP);
#endif
	(void)curl_easy_setopt(e, CURLOPT_PROXY, "");           /* nor from the environment */
	(void)curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	(void)curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)MAX(timeout / USEC_PER_MSEC, (usec_t)1));
	(void)curl_easy_setopt(e, CURLOPT_USERAGENT, "reprieve");
	(void)curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	(void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
	(void)curl_easy_setopt(e, CURLOPT_PRIVATE, c);
}

int http_check(struct http *h, uint64_t id, const char *url, usec_t timeout)
{
	struct check *c = NULL;

	if (timeout == 0 || http_url_ok(url) < 0)
		return -EINVAL;
	for (size_t i = 0; i < HTTP_CHECKS_MAX && c == NULL; i++)
		if (!h->checks[i].used)
			c = &h->checks[i];
	if (c == NULL)
		return -EBUSY;
	*c = (struct check){ .id = id, .began = loop_clock(), .easy = curl_easy_init(), .http = h };
	if (c->easy == NULL)
		return -ENOMEM;
	set_options(c, url, timeout);
	c->used = true;
	if (curl_multi_add_handle(h->multi, c->easy) != CURLM_OK) {
		curl_easy_cleanup(c->easy);
		c->used = false;
		return -ENOMEM;
	}
	return 0;
}
