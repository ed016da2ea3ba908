/* SPDX-License-Identifier: Apache-2.0 */
/* wire: framed messages over AF_UNIX SOCK_SEQPACKET, one message a packet. A fixed
 * header and typed fields in order. Both sides are on one machine: native byte
 * order. Every getter is safe on hostile bytes; the first error sticks, later puts
 * and gets do nothing (getters give 0 or ""), so it is checked once at the end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/units.h"

#define WIRE_MAGIC   UINT32_C(0x76727072)       /* "rprv" */
#define WIRE_VERSION 1
#define WIRE_MAX     65536                      /* bytes of a message with its header; beyond: -EMSGSIZE */

enum wire_flags {
	WIRE_ANSWER = 1 << 0,   /* an answer to the request of the same id */
	WIRE_MORE   = 1 << 1,   /* further answers with this id follow */
	_WIRE_FLAGS = WIRE_ANSWER | WIRE_MORE,
};

struct wire_header {
	uint32_t magic;
	uint16_t version, verb;
	uint32_t flags, size;   /* size: of the whole message */
	uint64_t id;
};

struct wire {                   /* 64 KiB: static or heap, not on a small stack */
	struct wire_header h;
	size_t pos, end;        /* getting: next field, end of fields. putting: both at the end */
	int error;              /* 0 or the first -errno */
	uint8_t data[WIRE_MAX - sizeof(struct wire_header)];
};

/* Writing. A string holds no NUL; NULL is "". */
void wire_begin(struct wire *w, uint16_t verb, uint32_t flags, uint64_t id);
void wire_put_u64(struct wire *w, uint64_t v);
void wire_put_i64(struct wire *w, int64_t v);
void wire_put_str(struct wire *w, const char *s);
void wire_put_bytes(struct wire *w, const void *p, size_t n);
size_t wire_room(const struct wire *w);         /* bytes left for fields (each costs up to 5 more than its value) */

/* Reading, in the order of writing. str: copied, cut never: -EMSGSIZE sticks where
 * it does not fit. view: points into the message, NUL-terminated, valid until it changes. */
uint64_t wire_get_u64(struct wire *w);
int64_t  wire_get_i64(struct wire *w);
void     wire_get_str(struct wire *w, char *buf, size_t size);
const char *wire_view_str(struct wire *w);
const void *wire_view_bytes(struct wire *w, size_t *ret_n);     /* NULL on error */
bool     wire_at_end(const struct wire *w);     /* no field left and no error */

/* Bytes of a packet into w: 0, -EBADMSG (not ours, broken), -EPROTONOSUPPORT (another version). */
int wire_parse(struct wire *w, const void *packet, size_t size);

/* One packet, never blocks. send: 0, w's sticky error, -EAGAIN (peer does not
 * read), -EPIPE... recv: 0, -EAGAIN (nothing there), -ECONNRESET (peer is gone), -EBADMSG. */
int wire_send(int fd, struct wire *w);
int wire_recv(int fd, struct wire *w);

/* For callers that may wait (the CLI): sends w and receives the next message into it. -ETIMEDOUT. */
int wire_call(int fd, struct wire *w, usec_t timeout);
int wire_recv_wait(int fd, struct wire *w, usec_t timeout);

/* Sockets are SOCK_SEQPACKET, non-blocking, O_CLOEXEC. The path is replaced only if nobody listens
 * there (-EADDRINUSE: somebody does). ret_cred may be NULL. */
int wire_listen(const char *path, mode_t mode); /* fd */
int wire_accept(int fd, struct ucred *ret_cred);/* fd or -EAGAIN */
int wire_connect(const char *path);             /* fd */
int wire_pair(int ret_fds[static 2]);
int wire_peer(int fd, struct ucred *ret_cred);
