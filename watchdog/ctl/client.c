/* SPDX-License-Identifier: Apache-2.0 */
/* client: the CLI's end of the control socket. It runs on an overloaded machine,
 * so it waits longer than feels right (10 s), and asks again where the guard hung up
 * without a word: it gives up on a client that connects and then gets no CPU to ask. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "ctl/client.h"

#define PATIENCE_MS 10000
#define TRIES       3

static int ask_once(const char *rundir, const char *request, struct json_object **ret)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(cleanup_close) int fd = -1;
	_cleanup_(cleanup_free) char *answer = NULL;
	struct json_object *o;
	size_t used = 0;

	if (!str_format(sa.sun_path, sizeof(sa.sun_path), "%s/%s", rundir, CONTROL_SOCKET))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return errno == EPIPE ? -EAGAIN : -errno;
	(void)shutdown(fd, SHUT_WR);
	answer = malloc(CONTROL_ANSWER_MAX + 1);
	if (answer == NULL)
		return -ENOMEM;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, PATIENCE_MS) == 0)
			return -ETIMEDOUT;
		n = read(fd, answer + used, CONTROL_ANSWER_MAX - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ECONNRESET && used == 0 ? -EAGAIN : -errno;
		if (n == 0)
			break;
		used += (size_t)n;
		if (used == CONTROL_ANSWER_MAX)
			return -EPROTO;
	}
	if (used == 0)
		return -EAGAIN;
	answer[used] = '\0';
	o = json_tokener_parse(answer);
	if (o == NULL)
		return -EPROTO;
	*ret = o;
	return 0;
}

int client_ask(const char *rundir, const char *request, struct json_object **ret)
{
	int r = -EAGAIN;

	for (unsigned i = 0; r == -EAGAIN && i < TRIES; i++)
		r = ask_once(rundir, request, ret);
	return r;
}

const char *client_explain(int r)
{
	switch (r) {
	case -EAGAIN:
		return "the guard hung up before it was asked: this command got too little CPU, or too many ask at once; try again";
	case -ENOENT:
	case -ECONNREFUSED:
		return "the guard is not running here; start it with `systemctl start reprieve` or `reprieved`";
	case -EACCES:
	case -EPERM:
		return "this user may not talk to the guard; use sudo";
	case -ETIMEDOUT:
		return "the guard did not answer within 10 s; see `systemctl status reprieve`";
	case -EPROTO:
		return "the guard's answer makes no sense; are guard and CLI of the same version?";
	default:
		return strerror(-r);
	}
}
