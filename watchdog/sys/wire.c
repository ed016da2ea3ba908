/* SPDX-License-Identifier: Apache-2.0 */
/* wire: see the header for the contract. A field is one tag byte and its value:
 *
 *   u64, i64     tag, 8 bytes
 *   str, bytes   tag, u32 length, the bytes; a str has a NUL after them that the
 *                length does not count, so that a view can be used in place
 *
 * SOCK_SEQPACKET keeps packets apart and tells of a peer's end (0 bytes), so there
 * is no reassembly and a broken message never spoils the next one. The kernel's
 * default socket buffer (208 KiB) holds three messages of the largest size; a peer
 * that does not read makes send fail with EAGAIN, which is the sender's to handle:
 * nothing here waits, except the two functions whose names say so.
 *
 * Unused bytes of the message are never sent, so nothing of our memory leaks out. */
#include "sys/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

enum tag { TAG_U64 = 1, TAG_I64, TAG_STR, TAG_BYTES };

#define HEAD (sizeof(struct wire_header))

_Static_assert(sizeof(struct wire_header) == 24, "the header has no padding");
_Static_assert(offsetof(struct wire, data) >= HEAD, "data comes after the header");

static void fail(struct wire *w, int error)
{
	if (w->error == 0)
		w->error = error;
}

void wire_begin(struct wire *w, uint16_t verb, uint32_t flags, uint64_t id)
{
	w->h = (struct wire_header){ .magic = WIRE_MAGIC, .version = WIRE_VERSION, .verb = verb, .flags = flags, .id = id };
	w->pos = w->end = 0;
	w->error = 0;
}

static void *put(struct wire *w, enum tag tag, size_t n)
{
	uint8_t *p;

	if (w->error == 0 && n > sizeof(w->data) - w->end - MIN(sizeof(w->data) - w->end, 1))
		fail(w, -EMSGSIZE);
	if (w->error != 0)
		return NULL;
	p = w->data + w->end;
	*p = (uint8_t)tag;
	w->end += 1 + n;
	w->pos = w->end;
	return p + 1;
}

void wire_put_u64(struct wire *w, uint64_t v)
{
	void *p = put(w, TAG_U64, sizeof(v));

	if (p != NULL)
		memcpy(p, &v, sizeof(v));
}

void wire_put_i64(struct wire *w, int64_t v)
{
	void *p = put(w, TAG_I64, sizeof(v));

	if (p != NULL)
		memcpy(p, &v, sizeof(v));
}

void wire_put_bytes(struct wire *w, const void *data, size_t n)
{
	uint32_t len = (uint32_t)n;
	uint8_t *p = n > WIRE_MAX ? NULL : put(w, TAG_BYTES, sizeof(len) + n);

	if (p == NULL) {
		fail(w, -EMSGSIZE);
		return;
	}
	memcpy(p, &len, sizeof(len));
	if (n > 0)
		memcpy(p + sizeof(len), data, n);
}

void wire_put_str(struct wire *w, const char *s)
{
	size_t n = s != NULL ? strnlen(s, WIRE_MAX) : 0;
	uint32_t len = (uint32_t)n;
	uint8_t *p = put(w, TAG_STR, sizeof(len) + n + 1);

	if (p == NULL)
		return;
	memcpy(p, &len, sizeof(len));
	if (n > 0)
		memcpy(p + sizeof(len), s, n);
	p[sizeof(len) + n] = '\0';
}

size_t wire_room(const struct wire *w)
{
	return w->error != 0 ? 0 : sizeof(w->data) - w->end;
}

/* The value of the next field, n bytes of it checked to be there. */
static const uint8_t *get(struct wire *w, enum tag tag, size_t n)
{
	const uint8_t *p = w->data + w->pos;

	if (w->error == 0 && (w->end - w->pos < 1 || *p != (uint8_t)tag || w->end - w->pos - 1 < n))
		fail(w, -EBADMSG);
	if (w->error != 0)
		return NULL;
	w->pos += 1 + n;
	return p + 1;
}

static const uint8_t *get_sized(struct wire *w, enum tag tag, size_t extra, size_t *ret_n)
{
	const uint8_t *p = get(w, tag, sizeof(uint32_t));
	uint32_t len;

	if (p == NULL)
		return NULL;
	memcpy(&len, p, sizeof(len));
	if (len > w->end - w->pos || w->end - w->pos - len < extra) {
		fail(w, -EBADMSG);
		return NULL;
	}
	w->pos += len + extra;
	*ret_n = len;
	return p + sizeof(len);
}

uint64_t wire_get_u64(struct wire *w)
{
	const uint8_t *p = get(w, TAG_U64, sizeof(uint64_t));
	uint64_t v = 0;

	if (p != NULL)
		memcpy(&v, p, sizeof(v));
	return v;
}

int64_t wire_get_i64(struct wire *w)
{
	const uint8_t *p = get(w, TAG_I64, sizeof(int64_t));
	int64_t v = 0;

	if (p != NULL)
		memcpy(&v, p, sizeof(v));
	return v;
}

const char *wire_view_str(struct wire *w)
{
	size_t n = 0;
	const uint8_t *p = get_sized(w, TAG_STR, 1, &n);

	if (p != NULL && (p[n] != '\0' || memchr(p, '\0', n) != NULL)) {
		fail(w, -EBADMSG);
		p = NULL;
	}
	return p != NULL ? (const char *)p : "";
}

void wire_get_str(struct wire *w, char *buf, size_t size)
{
	const char *s = wire_view_str(w);
	size_t n = strlen(s);

	buf[0] = '\0';
	if (n >= size)
		fail(w, -EMSGSIZE);
	else
		memcpy(buf, s, n + 1);
}

const void *wire_view_bytes(struct wire *w, size_t *ret_n)
{
	*ret_n = 0;
	return get_sized(w, TAG_BYTES, 0, ret_n);
}

bool wire_at_end(const struct wire *w)
{
	return w->error == 0 && w->pos == w->end;
}

static int check(struct wire *w, size_t size)
{
	w->pos = w->end = 0;
	w->error = -EBADMSG;            /* a message that is refused gives nothing */
	if (size < HEAD || w->h.magic != WIRE_MAGIC || w->h.size != size)
		return -EBADMSG;
	if (w->h.version != WIRE_VERSION)
		return w->error = -EPROTONOSUPPORT;
	if ((w->h.flags & ~(uint32_t)_WIRE_FLAGS) != 0)
		return -EBADMSG;
	w->end = size - HEAD;
	w->error = 0;
	return 0;
}

int wire_parse(struct wire *w, const void *packet, size_t size)
{
	if (size > WIRE_MAX)
		return w->error = -EBADMSG;
	memset(&w->h, 0, sizeof(w->h));
	memcpy(&w->h, packet, MIN(size, HEAD));
	if (size > HEAD)
		memcpy(w->data, (const uint8_t *)packet + HEAD, size - HEAD);
	return check(w, size);
}

int wire_send(int fd, struct wire *w)
{
	struct iovec iov[2] = { { &w->h, HEAD }, { w->data, w->end } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	if (w->error != 0)
		return w->error;
	w->h.size = (uint32_t)(HEAD + w->end);
	do
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ENOBUFS ? -EAGAIN : -errno;
	return (size_t)n == w->h.size ? 0 : -EIO;
}

int wire_recv(int fd, struct wire *w)
{
	struct iovec iov[2] = { { &w->h, HEAD }, { w->data, sizeof(w->data) } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return w->error = errno == EPIPE ? -ECONNRESET : -errno;
	if (n == 0)
		return w->error = -ECONNRESET;
	if (msg.msg_flags & MSG_TRUNC)
		return w->error = -EBADMSG;
	if ((size_t)n < HEAD)
		memset((uint8_t *)&w->h + n, 0, HEAD - (size_t)n);
	return check(w, (size_t)n);
}

static int wait_for(int fd, short events, usec_t until)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		struct timespec ts;
		usec_t now;
		int r;

		(void)clock_gettime(CLOCK_BOOTTIME, &ts);
		now = (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
		if (now >= until)
			return -ETIMEDOUT;
		r = poll(&p, 1, (int)MIN((until - now) / USEC_PER_MSEC + 1, (usec_t)60000));
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

static usec_t deadline(usec_t timeout)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return timeout == USEC_INFINITY ? USEC_INFINITY
	                                : (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000 + timeout;
}

static int recv_until(int fd, struct wire *w, usec_t until)
{
	for (;;) {
		int r = wire_recv(fd, w);

		if (r != -EAGAIN)
			return r;
		r = wait_for(fd, POLLIN, until);
		if (r < 0)
			return r;
	}
}

int wire_recv_wait(int fd, struct wire *w, usec_t timeout)
{
	return recv_until(fd, w, deadline(timeout));
}

int wire_call(int fd, struct wire *w, usec_t timeout)
{
	usec_t until = deadline(timeout);

	for (;;) {
		int r = wire_send(fd, w);

		if (r == 0)
			return recv_until(fd, w, until);
		if (r != -EAGAIN)
			return r;
		r = wait_for(fd, POLLOUT, until);
		if (r < 0)
			return r;
	}
}

static int address(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	strcpy(ret->sun_path, path);
	return 0;
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int wire_connect(const char *path)
{
	_cleanup_(cleanup_close) int fd = -1;
	struct sockaddr_un sa;
	int r = address(path, &sa);

	if (r < 0)
		return r;
	fd = new_socket();
	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int wire_listen(const char *path, mode_t mode)
{
	_cleanup_(cleanup_close) int fd = -1;
	struct sockaddr_un sa;
	int r = address(path, &sa);

	if (r < 0)
		return r;
	r = wire_connect(path);
	if (r >= 0 || r == -EAGAIN) {           /* EAGAIN: alive, its queue is full */
		if (r >= 0)
			(void)close(r);
		return -EADDRINUSE;
	}
	if (r == -ECONNREFUSED && unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = new_socket();
	if (fd < 0)
		return fd;
	/* Nobody may connect before the mode is set: there is no listen() yet. */
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || chmod(path, mode) < 0 || listen(fd, 16) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int wire_peer(int fd, struct ucred *ret_cred)
{
	socklen_t n = sizeof(*ret_cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_cred, &n) < 0 ? -errno : 0;
}

int wire_accept(int fd, struct ucred *ret_cred)
{
	_cleanup_(cleanup_close) int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (c < 0)
		return errno == EINTR || errno == ECONNABORTED ? -EAGAIN : -errno;
	if (ret_cred != NULL) {
		r = wire_peer(c, ret_cred);
		if (r < 0)
			return r;
	}
	return TAKE_FD(c);
}

int wire_pair(int ret_fds[static 2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) < 0 ? -errno : 0;
}
