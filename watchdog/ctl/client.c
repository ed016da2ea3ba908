/* SPDX-License-Identifier: Apache-2.0 */
/* client: the CLI's end of the control socket. It runs on an overloaded machine,
 * so it waits longer than feels right (10 s), and asks again where the guard hung up
 * without a word: it gives up on a client that connects and then gets no CPU to ask.
 * Root has a socket of its own, where no crowd stands before it.
 * Who answers may be of another version, or no guard at all: an answer is checked
 * here, once, and whoever gets it may rely on its types. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macro.h"
#include "base/str.h"
#include "ctl/client.h"

#define PATIENCE    10                  /* seconds */
#define TRIES       3
#define DEPTH_MAX   16

/* What is shown or decided by: an answer to `verb` has it, of that type. */
static const struct {
	const char *verb, *key;
	enum json_type type;
} WANTED[] = {
	{ "status", "state", json_type_string }, { "status", "mode", json_type_string }, { "status", "version", json_type_string },
	{ "status", "pressure", json_type_object }, { "status", "groups", json_type_object }, { "status", "victims", json_type_array },
	{ "status", "suspects", json_type_array }, { "status", "squeezes", json_type_array }, { "status", "lifeline", json_type_array },
	{ "status", "capabilities", json_type_array }, { "why", "lines", json_type_array },
	{ "ping", "done", json_type_string }, { "release", "done", json_type_string }, { "release-all", "done", json_type_string },
	{ "pause", "done", json_type_string }, { "resume", "done", json_type_string },
};

static bool has(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *v = NULL;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, type))
		return false;
	/* All lists of ours are of objects. */
	for (size_t i = 0; type == json_type_array && i < json_object_array_length(v); i++)
		if (!json_object_is_type(json_object_array_get_idx(v, i), json_type_object))
			return false;
	return true;
}

bool client_understands(const char *request, struct json_object *answer)
{
	size_t n = strcspn(request, " \n");
	struct json_object *v = NULL;

	if (!has(answer, "schema", json_type_int))
		return false;
	(void)json_object_object_get_ex(answer, "schema", &v);
	if (json_object_get_int64(v) != CLIENT_SCHEMA)
		return false;
	if (json_object_object_get_ex(answer, "error", NULL))
		return has(answer, "error", json_type_string) &&
		       (!json_object_object_get_ex(answer, "remedy", &v) || v == NULL || has(answer, "remedy", json_type_string));
	for (size_t i = 0; i < ELEMENTSOF(WANTED); i++)
		if (strlen(WANTED[i].verb) == n && strncmp(WANTED[i].verb, request, n) == 0 && !has(answer, WANTED[i].key, WANTED[i].type))
			return false;
	return true;
}

/* One object and nothing behind it; NULL where it is none. */
static struct json_object *parse(const char *text, size_t n)
{
	struct json_tokener *t = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *o = t != NULL && n > 0 ? json_tokener_parse_ex(t, text, (int)n) : NULL;

	if (o != NULL && json_tokener_get_parse_end(t) != n) {
		json_object_put(o);
		o = NULL;
	}
	if (t != NULL)
		json_tokener_free(t);
	return o;
}

static int ask_once(const char *rundir, const char *name, const char *request, struct json_object **ret)
{
	static const struct timeval patience = { .tv_sec = PATIENCE };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(cleanup_close) int fd = -1;
	_cleanup_(cleanup_free) char *answer = NULL;
	struct json_object *o;
	size_t used = 0;

	if (!str_format(sa.sun_path, sizeof(sa.sun_path), "%s/%s", rundir, name))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Where the guard takes nobody in, connect() waits. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return errno == EPIPE ? -EAGAIN : -errno;
	(void)shutdown(fd, SHUT_WR);
	answer = malloc(CONTROL_ANSWER_MAX);
	if (answer == NULL)
		return -ENOMEM;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, PATIENCE * 1000) == 0)
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
	while (used > 0 && answer[used - 1] == '\n')
		used--;
	o = parse(answer, used);
	if (o == NULL)
		return -EPROTO;
	if (!client_understands(request, o)) {
		json_object_put(o);
		return -EPROTO;
	}
	*ret = o;
	return 0;
}

int client_ask(const char *rundir, const char *request, struct json_object **ret)
{
	bool root = geteuid() == 0;
	int r = -EAGAIN;

	for (unsigned i = 0; r == -EAGAIN && i < TRIES; i++) {
		r = ask_once(rundir, root ? CONTROL_SOCKET_ROOT : CONTROL_SOCKET, request, ret);
		/* An older guard has one socket, and root of a container is not root here. */
		if (root && (r == -ENOENT || r == -ECONNREFUSED || r == -EACCES))
			r = ask_once(rundir, CONTROL_SOCKET, request, ret);
	}
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
		return "the guard did not answer within 10 s, so this was not done; see `systemctl status reprieve`";
	case -EPROTO:
		return "the guard's answer is not understood; are guard and CLI of the same version?";
	default:
		return strerror(-r);
	}
}
