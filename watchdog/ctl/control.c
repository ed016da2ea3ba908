/* SPDX-License-Identifier: Apache-2.0 */
/* control: one line in, one JSON object out.
 *
 * The guard must not care what a client does, and least of all may one that is not root
 * keep root from `release --all`. Root has a socket of its own, and everybody's is behind a
 * gate: two loops that only connect were worth 93 % of a CPU of the guard's. Nothing here blocks, a client that dawdles holds one
 * of sixteen places for two seconds and gives it up to whoever comes when all are taken,
 * and an answer is handed to the socket in one piece: it fits into its buffer (the usual
 * limit is twice 208 KiB, all that is squeezed at once makes 80 KiB), and where it does
 * not the client is cut, which no reader that reads ever sees.
 *
 * Who has hung up gets nothing done: a guard that was stopped or starved would find the
 * `pause` of ten minutes ago, whose sender was told that nobody answered. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "ctl/answers.h"
#include "ctl/control.h"

#define QUEUE 128

static void drop(struct control_client *k)
{
	int fd = k->source.fd;

	loop_cancel_timer(k->control->loop, &k->patience);
	loop_remove(k->control->loop, &k->source);
	if (fd >= 0)
		(void)close(fd);
	k->used = 0;
}

static int on_patience(struct loop *l, struct loop_timer *t, void *data)
{
	drop(data);
	return 0;
}

/* Closed at its end, and not just done with asking: that is a POLLRDHUP. */
static bool gone(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static bool may_ask(struct control *c, bool root)
{
	usec_t now = loop_now(c->loop);

	if (root)
		return true;
	if (now >= c->second + USEC_PER_SEC) {
		c->second = now;
		c->answered = 0;
	}
	return c->answered++ < CONTROL_RATE;
}

static void answer(struct control_client *k)
{
	struct control *c = k->control;
	char *blank, *argument;
	const char *text;
	struct json j;

	k->request[strcspn(k->request, "\n")] = '\0';
	blank = strchr(k->request, ' ');
	argument = k->request + strlen(k->request);
	if (blank != NULL) {
		*blank = '\0';
		argument = blank + 1;
	}
	json_init(&j, c->answer, sizeof(c->answer));
	c->handler(&j, k->request, argument, k->root, c->data);
	if (json_finish(&j, &text) < 0) {
		json_init(&j, c->answer, sizeof(c->answer));
		answer_error(&j, "the answer does not fit into 256 KiB", NULL);
		(void)json_finish(&j, &text);
	}
	(void)send(k->source.fd, c->answer, strlen(c->answer), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int on_client(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	struct control_client *k = data;
	ssize_t n;

	n = read(s->fd, k->request + k->used, sizeof(k->request) - 1 - k->used);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return drop(k), 0;
	k->used += (size_t)n;
	k->request[k->used] = '\0';
	if (n > 0 && k->used < sizeof(k->request) - 1 && strchr(k->request, '\n') == NULL)
		return 0;
	if (!gone(s->fd) && may_ask(k->control, k->root))
		answer(k);
	drop(k);
	return 0;
}

/* A free place, else that of who came first: of the others, and only then of root's. */
static struct control_client *place(struct control *c, bool root)
{
	struct control_client *first = NULL;

	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		struct control_client *k = &c->client[i];

		if (k->source.fd < 0)
			return k;
		if (k->root && !root)
			continue;
		if (first == NULL || (first->root && !k->root) || (first->root == k->root && k->number < first->number))
			first = k;
	}
	if (first != NULL)
		drop(first);
	return first;
}

static int on_listener(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	struct control *c = data;
	struct control_client *k;
	struct ucred cred;
	socklen_t size = sizeof(cred);
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), room = CONTROL_ANSWER_MAX;

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0 || (k = place(c, cred.uid == 0)) == NULL ||
	    loop_add(l, &k->source, fd, EPOLLIN, on_client, k) < 0) {
		(void)close(fd);
		return 0;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	k->root = cred.uid == 0;
	k->number = c->number++;
	k->used = 0;
	loop_set_timer(l, &k->patience, loop_now(l) + CONTROL_PATIENCE, on_patience, k);
	return 0;
}

static int listen_at(const char *rundir, const char *name, mode_t mode, uint64_t *ret_made)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct stat st;
	_cleanup_(cleanup_close) int fd = -1;

	if (!str_format(sa.sun_path, sizeof(sa.sun_path), "%s/%s", rundir, name))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(sa.sun_path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || chmod(sa.sun_path, mode) < 0 || listen(fd, QUEUE) < 0 || lstat(sa.sun_path, &st) < 0)
		return -errno;
	*ret_made = st.st_ino;
	return TAKE_FD(fd);
}

static void remove_made(int fd, uint64_t made)
{
	struct sockaddr_un sa;
	socklen_t size = sizeof(sa);
	struct stat st;

	if (fd >= 0 && getsockname(fd, (struct sockaddr *)&sa, &size) == 0 && lstat(sa.sun_path, &st) == 0 && st.st_ino == made)
		(void)unlink(sa.sun_path);
}

int control_init(struct control *c, struct loop *l, const char *rundir, control_handler_t handler, void *data)
{
	int fd, r;

	memset(c, 0, sizeof(*c));
	c->loop = l;
	c->handler = handler;
	c->data = data;
	c->gate = GATE_INIT;
	c->root = LOOP_SOURCE_INIT;
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		c->client[i].control = c;
		c->client[i].source = LOOP_SOURCE_INIT;
		c->client[i].patience = LOOP_TIMER_INIT;
	}
	fd = listen_at(rundir, CONTROL_SOCKET_ROOT, 0600, &c->made[0]);
	r = fd < 0 ? fd : loop_add(l, &c->root, fd, EPOLLIN, on_listener, c);
	if (r < 0)
		return cleanup_close(&fd), r;
	fd = listen_at(rundir, CONTROL_SOCKET, 0666, &c->made[1]);
	r = fd < 0 ? fd : gate_open(&c->gate, l, fd, CONTROL_ACCEPTS, CONTROL_BURST, on_listener, c);
	if (r < 0)
		cleanup_close(&fd);
	return r;
}

void control_deinit(struct control *c)
{
	int fd = c->root.fd;

	if (c->loop == NULL)
		return;
	remove_made(fd, c->made[0]);
	remove_made(c->gate.source.fd, c->made[1]);
	gate_close(&c->gate, c->loop);
	loop_remove(c->loop, &c->root);
	if (fd >= 0)
		(void)close(fd);
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		drop(&c->client[i]);
}
