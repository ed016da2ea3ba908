/* SPDX-License-Identifier: Apache-2.0 */
/* control: one client at a time, one line in, one JSON object out.
 *
 * The guard must not care what a client does: reads and writes never block, a client
 * that dawdles is cut after two seconds, one that sends too much is told so, and while
 * one is served the others wait in the listen queue. */
#include <errno.h>
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

#define QUEUE 16

static int on_listener(struct loop *l, struct loop_source *s, uint32_t events, void *data);

static void drop_client(struct control *c)
{
	int fd = c->client.fd;

	loop_cancel_timer(c->loop, &c->patience);
	loop_remove(c->loop, &c->client);
	if (fd >= 0)
		(void)close(fd);
	c->used = c->sent = c->size = 0;
	c->answering = false;
	if (c->listener.fd >= 0)
		(void)loop_modify(c->loop, &c->listener, EPOLLIN);
}

static int on_patience(struct loop *l, struct loop_timer *t, void *data)
{
	drop_client(data);
	return 0;
}

static void answer(struct control *c)
{
	char *blank, *argument;
	const char *text;
	struct json j;

	c->request[strcspn(c->request, "\n")] = '\0';
	blank = strchr(c->request, ' ');
	argument = c->request + strlen(c->request);
	if (blank != NULL) {
		*blank = '\0';
		argument = blank + 1;
	}
	json_init(&j, c->answer, sizeof(c->answer));
	c->handler(&j, c->request, argument, c->root, c->data);
	if (json_finish(&j, &text) < 0) {
		json_init(&j, c->answer, sizeof(c->answer));
		answer_error(&j, "the answer does not fit into 256 KiB", NULL);
		(void)json_finish(&j, &text);
	}
	c->size = strlen(c->answer);
	c->answering = true;
}

static int on_client(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	struct control *c = data;
	ssize_t n;

	if (!c->answering) {
		n = read(s->fd, c->request + c->used, sizeof(c->request) - 1 - c->used);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0)
			return drop_client(c), 0;
		c->used += (size_t)n;
		c->request[c->used] = '\0';
		if (n > 0 && c->used < sizeof(c->request) - 1 && strchr(c->request, '\n') == NULL)
			return 0;
		answer(c);
		if (loop_modify(l, s, EPOLLOUT) < 0)
			return drop_client(c), 0;
	}
	n = send(s->fd, c->answer + c->sent, c->size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0)
		c->sent += (size_t)n;
	if (n < 0 || c->sent == c->size)
		drop_client(c);
	return 0;
}

static int on_listener(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	struct control *c = data;
	struct ucred cred;
	socklen_t size = sizeof(cred);
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0 || loop_add(l, &c->client, fd, EPOLLIN, on_client, c) < 0) {
		(void)close(fd);
		return 0;
	}
	c->root = cred.uid == 0;
	(void)loop_modify(l, &c->listener, 0);
	loop_set_timer(l, &c->patience, loop_now(l) + CONTROL_PATIENCE, on_patience, c);
	return 0;
}

int control_init(struct control *c, struct loop *l, const char *rundir, control_handler_t handler, void *data)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(cleanup_close) int fd = -1;
	int r;

	*c = (struct control){ .loop = l, .handler = handler, .data = data, .listener = LOOP_SOURCE_INIT, .client = LOOP_SOURCE_INIT,
			       .patience = LOOP_TIMER_INIT };
	if (!str_format(sa.sun_path, sizeof(sa.sun_path), "%s/%s", rundir, CONTROL_SOCKET))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(sa.sun_path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || chmod(sa.sun_path, 0666) < 0 || listen(fd, QUEUE) < 0)
		return -errno;
	r = loop_add(l, &c->listener, fd, EPOLLIN, on_listener, c);
	if (r < 0)
		return r;
	(void)TAKE_FD(fd);
	return 0;
}

void control_deinit(struct control *c)
{
	int fd = c->listener.fd;

	if (c->loop == NULL)
		return;
	loop_remove(c->loop, &c->listener);
	if (fd >= 0)
		(void)close(fd);
	drop_client(c);
}
