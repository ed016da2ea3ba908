/* SPDX-License-Identifier: Apache-2.0 */
/* log: a log line must never cost a tick.
 *
 * Everything is put together in one buffer on the stack and handed over with one
 * call that does not wait: send(MSG_DONTWAIT) where the sink is a socket (systemd's
 * stderr is one), else poll(0) and a write of at most PIPE_BUF, which a pipe takes
 * whole or not at all once it polls writable. stderr's O_NONBLOCK is not touched: it
 * belongs to the open file description and so to others too. What cannot be handed
 * over is counted and forgotten.
 *
 * Syslog is one datagram in the old format ("<PRI>Mmm dd hh:mm:ss ident[pid]: text")
 * that every daemon behind /dev/log reads: an RFC 5424 line is taken apart wrongly
 * by a stock rsyslog. The daemon may be restarted at any time; a connect is tried
 * again at most once a second, and the socket's receiver being full is EAGAIN.
 *
 * The rate is a token bucket. localtime_r reads the time zone once, at log_open. */
#include "sys/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"

static struct {
	struct log_config config;
	int fd;                         /* syslog's socket, -1: not connected */
	usec_t retry, refilled;
	unsigned tokens;
	bool numbered, torn;            /* "<N>" in front; the last line went out cut */
	struct log_counts counts;
	uint64_t said;                  /* losses already reported */
} g_log = {
	.config = { .ident = "reprieve", .sink = LOG_SINK_STDERR, .level = LOG_INFO, .fd = 2 },
	.fd = -1, .tokens = LOG_RATE_BURST,
};

static usec_t clock_coarse(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

void log_open(const struct log_config *config)
{
	log_close();
	g_log.config = *config;
	if (g_log.config.fd == 0)
		g_log.config.fd = 2;
	if (g_log.config.socket == NULL)
		g_log.config.socket = "/dev/log";
	g_log.numbered = config->sink == LOG_SINK_STDERR && getenv("JOURNAL_STREAM") != NULL;
	(void)signal(SIGPIPE, SIG_IGN);
	tzset();
}

void log_close(void)
{
	if (g_log.fd >= 0)
		(void)close(g_log.fd);
	g_log.fd = -1;
	g_log.retry = 0;
	g_log.tokens = LOG_RATE_BURST;
	g_log.refilled = 0;
	g_log.torn = false;
	g_log.said = 0;
	g_log.counts = (struct log_counts){ 0 };
}

struct log_counts log_counts(void)
{
	return g_log.counts;
}

static bool take_token(usec_t now)
{
	usec_t per = USEC_PER_SEC / LOG_RATE_PER_SEC, gained;

	if (g_log.refilled == 0)
		g_log.refilled = now;
	gained = (now - g_log.refilled) / per;
	if (gained > 0) {
		g_log.refilled += gained * per;
		g_log.tokens = (unsigned)MIN(gained + g_log.tokens, (usec_t)LOG_RATE_BURST);
	}
	if (g_log.tokens == 0)
		return false;
	g_log.tokens--;
	return true;
}

static bool connect_syslog(usec_t now)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (g_log.fd >= 0)
		return true;
	if (now < g_log.retry || strlen(g_log.config.socket) >= sizeof(sa.sun_path))
		return false;
	g_log.retry = now + USEC_PER_SEC;
	strcpy(sa.sun_path, g_log.config.socket);
	g_log.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (g_log.fd >= 0 && connect(g_log.fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return true;
	if (g_log.fd >= 0)
		(void)close(g_log.fd);
	g_log.fd = -1;
	return false;
}

static bool write_syslog(usec_t now, const char *line, size_t n)
{
	/* Twice: a daemon that was restarted refuses the old socket. */
	for (int i = 0; i < 2; i++) {
		if (!connect_syslog(now)) {
			g_log.counts.dropped_absent++;
			return false;
		}
		if (send(g_log.fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EAGAIN || errno == ENOBUFS) {
			g_log.counts.dropped_full++;
			return false;
		}
		(void)close(g_log.fd);
		g_log.fd = -1;
		if (i == 0)
			g_log.retry = 0;
	}
	g_log.counts.dropped_absent++;
	return false;
}

static bool write_stderr(const char *line, size_t n)
{
	struct pollfd p = { .fd = g_log.config.fd, .events = POLLOUT };
	ssize_t sent = send(p.fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && errno == ENOTSOCK) {
		if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT))
			sent = write(p.fd, line, n);
		else
			errno = EAGAIN;
	}
	if (sent == (ssize_t)n) {
		g_log.torn = false;
		return true;
	}
	if (sent > 0)
		g_log.torn = true;
	if (sent > 0 || errno == EAGAIN)
		g_log.counts.dropped_full++;
	else
		g_log.counts.dropped_absent++;
	return false;
}

static void emit(usec_t now, int level, const char *text)
{
	char line[LOG_LINE_MAX + 128];
	int head = 0, n;

	_Static_assert(sizeof(line) <= PIPE_BUF, "a line must be one atomic write to a pipe");
	if (g_log.config.sink == LOG_SINK_SYSLOG) {
		static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
						    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
		time_t t = time(NULL);
		struct tm tm = { 0 };

		(void)localtime_r(&t, &tm);
		n = snprintf(line, sizeof(line), "<%d>%s %2d %02d:%02d:%02d %s[%d]: %s", LOG_DAEMON | level,
			     months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			     g_log.config.ident, (int)getpid(), text);
		n = MIN(n, (int)sizeof(line) - 1);
		if (write_syslog(now, line, (size_t)n))
			g_log.counts.written++;
		return;
	}
	if (g_log.torn)
		line[head++] = '\n';
	n = g_log.numbered ? snprintf(line + head, sizeof(line) - (size_t)head, "<%d>%s\n", level, text)
			   : snprintf(line + head, sizeof(line) - (size_t)head, "%s: %s\n", g_log.config.ident, text);
	n = MIN(n + head, (int)sizeof(line) - 1);
	line[n - 1] = '\n';
	if (write_stderr(line, (size_t)n))
		g_log.counts.written++;
}

void log_write(int level, const char *keys, const char *fmt, ...)
{
	int saved = errno, n;
	char text[LOG_LINE_MAX];
	uint64_t lost;
	usec_t now;
	va_list ap;
	size_t have;

	if (level > g_log.config.level)
		return;
	now = clock_coarse();
	if (!take_token(now)) {
		g_log.counts.dropped_rate++;
		errno = saved;
		return;
	}
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	have = n < 0 ? 0 : MIN((size_t)n, sizeof(text) - 1);
	if (n >= (int)sizeof(text))
		memcpy(text + sizeof(text) - 4, "...", 4);
	else if (keys != NULL && keys[0] != '\0')
		(void)snprintf(text + have, sizeof(text) - have, " %s", keys);

	lost = g_log.counts.dropped_full + g_log.counts.dropped_rate + g_log.counts.dropped_absent - g_log.said;
	if (lost > 0) {
		uint64_t before = g_log.counts.written;
		char note[96];

		(void)snprintf(note, sizeof(note), "%llu log lines were lost: the log was full, absent or too fast",
			       (unsigned long long)lost);
		emit(now, LOG_WARNING, note);
		if (g_log.counts.written > before)
			g_log.said += lost;
		else
			g_log.said++;           /* the note's own loss is none of a line's */
	}
	emit(now, level, text);
	errno = saved;
}
