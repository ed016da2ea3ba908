/* SPDX-License-Identifier: Apache-2.0 */
/* reprieve-courier: slow work with what listens elsewhere, for the guard; so far the
 * machine's own health endpoints. It has no rights: started as root it becomes the
 * user `reprieve` (or nobody) before it reads a byte, and a filter takes exec and the
 * like away. It parses what strangers send and decides nothing. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/str.h"
#include "cloud/http.h"
#include "sys/log.h"
#include "sys/loop.h"
#include "sys/notify.h"
#include "sys/protocol.h"
#include "sys/sandbox.h"
#include "sys/wire.h"
#include "steward/talk.h"

#define USER_NAME     "reprieve"
#define RECONNECT     (1 * USEC_PER_SEC)
#define REQUESTS_TURN 16

static struct {
	struct loop loop;
	struct loop_source peer;
	struct loop_timer connect, watchdog;
	struct http *http;
	char socket[256];
	bool inherited;
	struct { uint64_t id; int16_t policy; bool used; } asked[HTTP_CHECKS_MAX];
	struct wire in, out;
} g;

static void reply(void)
{
	int r = g.peer.fd < 0 ? -ENOTCONN : wire_send(g.peer.fd, &g.out);

	if (r < 0)
		log_debug("an answer to the guard was dropped: %s", strerror(-r));
}

/* The id of a check is its place in asked[]. */
static void on_checked(uint64_t at, const struct http_result *result, void *data)
{
	bool good = result->error == 0 && result->code >= 200 && result->code < 400;

	if (!g.asked[at].used)
		return;
	g.asked[at].used = false;
	talk_put_answer(&g.out, PROTOCOL_CHECK, g.asked[at].id, 0, 0, result->text);
	wire_put_i64(&g.out, g.asked[at].policy);
	wire_put_u64(&g.out, good);
	wire_put_u64(&g.out, result->code > UINT16_MAX ? 0 : result->code);
	wire_put_u64(&g.out, result->took);
	reply();
}

static int on_check(void)
{
	struct talk_check q;
	int r = talk_get_check(&g.in, &q);

	if (r < 0)
		return r;
	r = -EBUSY;
	for (size_t i = 0; i < HTTP_CHECKS_MAX; i++)
		if (!g.asked[i].used) {
			r = http_check(g.http, i, q.url, q.timeout);
			g.asked[i].used = r == 0;
			g.asked[i].id = g.in.h.id;
			g.asked[i].policy = q.policy;
			break;
		}
	if (r < 0) {
		talk_put_answer(&g.out, PROTOCOL_CHECK, g.in.h.id, 0, r,
				r == -EINVAL ? "only http:// to 127.0.0.1, [::1] or localhost is checked" : strerror(-r));
		reply();
	}
	return 0;
}

static int try_connect(struct loop *l, struct loop_timer *t, void *data);

static void hang_up(void)
{
	int fd = g.peer.fd;

	loop_remove(&g.loop, &g.peer);
	(void)close(fd);
	/* An answer to the last guard's question must not reach the next one. */
	g.http = http_free(g.http);
	memset(g.asked, 0, sizeof(g.asked));
	if (g.inherited || http_new(&g.loop, on_checked, NULL, &g.http) < 0)
		loop_exit(&g.loop, 0);
	else
		loop_set_timer(&g.loop, &g.connect, loop_now(&g.loop) + RECONNECT, try_connect, NULL);
}

static int on_guard(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	for (int i = 0; i < REQUESTS_TURN; i++) {
		int r = wire_recv(s->fd, &g.in);

		if (r == -EAGAIN)
			return 0;
		if (r == 0)
			r = g.in.h.verb == PROTOCOL_CHECK && g.in.h.flags == 0 ? on_check() : -EBADMSG;
		if (r == -EBADMSG) {
			talk_put_answer(&g.out, g.in.h.verb, g.in.h.id, 0, r, "not understood: are guard and courier of one version?");
			reply();
		} else if (r < 0) {
			hang_up();
			return 0;
		}
	}
	return 0;
}

static int take_guard(int fd)
{
	struct ucred cred;
	int r = wire_peer(fd, &cred);

	if (r == 0 && cred.uid != 0 && cred.uid != geteuid())
		r = -EPERM;
	if (r == 0)
		r = loop_add(&g.loop, &g.peer, fd, EPOLLIN, on_guard, NULL);
	if (r < 0)
		return r;
	talk_put_hello(&g.out, ROLE_COURIER, getpid(), "");
	reply();
	return 0;
}

static int try_connect(struct loop *l, struct loop_timer *t, void *data)
{
	int fd = wire_connect(g.socket), r = fd;

	if (fd >= 0) {
		r = take_guard(fd);
		if (r < 0)
			(void)close(fd);
		else
			(void)notify_send("STATUS=connected to the guard");
	}
	if (r < 0) {
		(void)notify_send("STATUS=waiting for the guard at %s: %s", g.socket, strerror(-r));
		loop_set_timer(l, t, loop_now(l) + RECONNECT, try_connect, NULL);
	}
	return 0;
}

static int on_signal(struct loop *l, int signo, void *data)
{
	if (signo != SIGHUP)
		loop_exit(l, 0);
	return 0;
}

static int feed_watchdog(struct loop *l, struct loop_timer *t, void *data)
{
	(void)notify_send("WATCHDOG=1");
	loop_set_timer(l, t, loop_now(l) + notify_watchdog(), feed_watchdog, NULL);
	return 0;
}

static int usage(FILE *f, int code)
{
	fputs("reprieve-courier: health checks for reprieved; started by it or by systemd\n"
	      "  --rundir DIR  where the guard's socket is (" PROTOCOL_RUNDIR ")\n"
	      "  --fd N        the guard's end is open as N\n"
	      "  --version\n", f);
	return code;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rundir", required_argument, NULL, 'd' }, { "fd", required_argument, NULL, 'f' },
		{ "version", no_argument, NULL, 'V' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	struct log_config config = { .ident = "reprieve-courier", .level = LOG_INFO };
	const char *rundir = PROTOCOL_RUNDIR;
	int fd = -1, r, c;
	sigset_t set;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (c) {
		case 'd': rundir = optarg; break;
		case 'f': fd = (int)strtol(optarg, NULL, 10); break;
		case 'V': return puts("reprieve-courier " VERSION), 0;
		case 'h': return usage(stdout, 0);
		default:  return usage(stderr, 64);
		}
	if (optind < argc)
		return usage(stderr, 64);
	log_open(&config);
	if (!str_format(g.socket, sizeof(g.socket), "%s/" PROTOCOL_SOCKET, rundir))
		return usage(stderr, 64);
	r = sandbox_drop(USER_NAME);
	if (r < 0) {
		log_error("cannot give up its rights, so it does not start: %s", strerror(-r));
		return 1;
	}
	r = sandbox_seccomp();
	if (r < 0)
		log_warning("no system call filter: %s", r == -EOPNOTSUPP ? "this kernel or architecture has none" : strerror(-r));

	g.peer = LOOP_SOURCE_INIT;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	r = loop_init(&g.loop);
	if (r == 0)
		r = loop_signals(&g.loop, &set, on_signal, NULL);
	if (r == 0)
		r = http_new(&g.loop, on_checked, NULL, &g.http);
	if (r == 0 && notify_watchdog() != USEC_INFINITY)
		(void)feed_watchdog(&g.loop, &g.watchdog, NULL);
	if (r == 0 && fd >= 0) {
		g.inherited = true;
		r = take_guard(fd);
	} else if (r == 0)
		(void)try_connect(&g.loop, &g.connect, NULL);
	(void)notify_send("READY=1");
	if (r == 0)
		r = loop_run(&g.loop);
	if (r < 0)
		log_error("ends: %s", strerror(-r));
	g.http = http_free(g.http);
	loop_deinit(&g.loop);
	return r < 0 ? 1 : 0;
}
