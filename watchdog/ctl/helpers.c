/* SPDX-License-Identifier: Apache-2.0 */
/* helpers: two sockets and, in the foreground, two children.
 *
 * A helper proves its role by its HELLO and by its peer credentials: the steward is
 * root, the courier root or the user `reprieve`; all others are hung up on at once, and
 * the socket's mode does not even let them knock. Only one of each at a time, the newest wins,
 * since an older one is a leftover of a restart. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/own.h"
#include "base/str.h"
#include "conf/keys.h"
#include "ctl/helpers.h"
#include "sys/log.h"
#include "sys/root.h"

static struct helpers *owner_of(struct helper_link *k)
{
	return (struct helpers *)((char *)(k - (k->role == ROLE_COURIER)) - offsetof(struct helpers, link));
}

static struct helper_link *link_of(struct helpers *h, enum protocol_role role)
{
	return &h->link[role == ROLE_COURIER];
}

static void cut(struct helpers *h, struct helper_link *k)
{
	int fd = k->source.fd;
	bool told = k->hello;

	loop_remove(h->loop, &k->source);
	if (fd >= 0)
		(void)close(fd);
	k->hello = false;
	k->asked = 0;
	if (told && h->ops->gone && !h->stopping)
		h->ops->gone(k->role, h->data);
}

static int on_message(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	struct helper_link *k = data;
	struct helpers *h = owner_of(k);

	for (unsigned turn = 0; turn < 16; turn++) {
		int r = wire_recv(s->fd, &h->in);

		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return cut(h, k), 0;
		if (h->in.h.verb == PROTOCOL_HELLO) {
			enum protocol_role role;
			char missing[TALK_TEXT_MAX];
			int32_t pid;

			if (talk_get_hello(&h->in, &role, &pid, missing, sizeof(missing)) < 0 || role != k->role)
				return cut(h, k), 0;
			k->hello = true;
			h->ops->hello(role, missing, h->data);
		} else {
			struct talk_answer a;

			if (!k->hello || talk_get_answer(&h->in, &a) < 0)
				return cut(h, k), 0;
			k->asked = 0;
			h->ops->answer(&a, &h->in, h->data);
		}
	}
	return 0;
}

/* A connection whose role is not known yet: its first message is its HELLO. One such
 * at a time; a newer one takes the place of one that stays silent. */
static void drop_pending(struct helpers *h)
{
	int fd = h->pending.fd;

	loop_remove(h->loop, &h->pending);
	if (fd >= 0)
		(void)close(fd);
}

static int on_pending(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	struct helpers *h = data;
	enum protocol_role role;
	char missing[TALK_TEXT_MAX];
	struct helper_link *k;
	struct ucred cred;
	int32_t pid;
	int fd = s->fd;

	if (wire_recv(fd, &h->in) < 0 || h->in.h.verb != PROTOCOL_HELLO || wire_peer(fd, &cred) < 0 ||
	    talk_get_hello(&h->in, &role, &pid, missing, sizeof(missing)) < 0 || (role == ROLE_STEWARD && cred.uid != 0))
		return drop_pending(h), 0;
	k = link_of(h, role);
	cut(h, k);
	loop_remove(l, s);
	if (loop_add(l, &k->source, fd, EPOLLIN, on_message, k) < 0) {
		(void)close(fd);
		return 0;
	}
	k->hello = true;
	h->ops->hello(role, missing, h->data);
	return 0;
}

/* No name service: it may block for seconds (LDAP), and this is the loop. Our user is the
 * package's, a line of /etc/passwd. */
int helpers_lookup(struct helpers *h)
{
	char path[128], uid[16];
	unsigned long number = key_user("", "reprieve", uid, sizeof(uid)) == 0 ? strtoul(uid, NULL, 10) : 0;

	h->courier = number < UINT32_MAX ? (uid_t)number : 0;
	if (h->courier == 0 || h->gate.source.fd < 0 || !str_format(path, sizeof(path), "%s/%s", h->rundir, PROTOCOL_SOCKET))
		return 0;
	/* Its own, not its group's: that may be nogroup, and others' too. */
	return lchown(path, h->courier, (gid_t)-1) < 0 ? -errno : 0;
}

static int on_connection(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	struct helpers *h = data;
	struct ucred cred;
	int fd = wire_accept(s->fd, &cred);

	if (fd < 0)
		return 0;
	if (cred.uid != 0 && cred.uid != h->courier) {
		(void)close(fd);
		return 0;
	}
	drop_pending(h);
	if (loop_add(l, &h->pending, fd, EPOLLIN, on_pending, h) < 0)
		(void)close(fd);
	return 0;
}

/* Before each start of a child: a fresh socket pair, its end as fd 3. */
static int prepare_child(void *data)
{
	struct helper_link *k = data;
	struct helpers *h = owner_of(k);
	int fds[2], r;

	r = wire_pair(fds);
	if (r < 0)
		return r;
	cut(h, k);
	if (k->child_end >= 0)
		(void)close(k->child_end);
	k->child_end = fds[1];
	r = loop_add(h->loop, &k->source, fds[0], EPOLLIN, on_message, k);
	if (r < 0) {
		(void)close(fds[0]);
		return r;
	}
	child_set_fd(&k->child, 0, fds[1]);
	return 0;
}

static int enter_child(void *data)
{
	struct helper_link *k = data;
	struct helpers *h = owner_of(k);

	if (h->group.procs_fd >= 0)
		(void)owngroup_enter(&h->group);
	return 0;
}

static void child_started(struct child *c, void *data)
{
	struct helper_link *k = data;

	if (k->child_end >= 0)
		(void)close(k->child_end);
	k->child_end = -1;
}

static void child_ended(struct child *c, int code, int status, void *data)
{
	struct helper_link *k = data;
	struct helpers *h = owner_of(k);
	char how[96];

	if (code == 1 && status == CHILD_EXEC_FAILED)
		str_format(how, sizeof(how), "could not be started from %s", k->path);
	else
		str_format(how, sizeof(how), "ended with %s %d", code == 1 ? "status" : "signal", status);
	if (!h->stopping)
		h->ops->ended(k->role, how, h->data);
}

static int spawn(struct helpers *h, struct helper_link *k, const char *dir, const char *name)
{
	struct child_spec spec = {
		.argv = k->argv, .n_fds = 1, .fds = { -1 }, .prepare = prepare_child, .enter = enter_child,
		.started = child_started, .ended = child_ended, .data = k, .restart = true,
	};

	if (!str_format(k->path, sizeof(k->path), "%s/%s", dir, name))
		return -ENAMETOOLONG;
	str_copy(k->fd_text, sizeof(k->fd_text), "3");
	k->argv[0] = k->path;
	k->argv[1] = (char *)"--fd";
	k->argv[2] = k->fd_text;
	k->argv[3] = (char *)"--rundir";
	k->argv[4] = (char *)h->rundir;
	k->argv[5] = NULL;
	return child_start(&k->child, h->loop, &spec);
}

int helpers_init(struct helpers *h, struct loop *l, const char *rundir, bool spawn_them, const char *dir, const struct helpers_ops *ops, void *data)
{
	char path[128];
	int fd, r;

	h->loop = l;
	h->ops = ops;
	h->data = data;
	h->rundir = rundir;
	h->gate = GATE_INIT;
	h->pending = LOOP_SOURCE_INIT;
	h->group = OWNGROUP_INIT;
	for (unsigned i = 0; i < ELEMENTSOF(h->link); i++)
		h->link[i] = (struct helper_link){ .role = i ? ROLE_COURIER : ROLE_STEWARD, .source = LOOP_SOURCE_INIT, .child = CHILD_INIT, .child_end = -1 };
	if (!str_format(path, sizeof(path), "%s/%s", rundir, PROTOCOL_SOCKET))
		return -ENAMETOOLONG;
	fd = wire_listen(path, 0600);
	if (fd < 0)
		return fd;
	r = gate_open(&h->gate, l, fd, HELPERS_ACCEPTS, HELPERS_ACCEPTS, on_connection, h);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	if (!spawn_them)
		return 0;
	h->spawned = true;
	r = spawn(h, &h->link[0], dir, "reprieve-steward");
	return r < 0 ? r : spawn(h, &h->link[1], dir, "reprieve-courier");
}

void helpers_deinit(struct helpers *h)
{
	if (h->loop == NULL)
		return;
	h->stopping = true;
	for (unsigned i = ELEMENTSOF(h->link); i-- > 0;) {
		cut(h, &h->link[i]);
		if (h->puts_back && h->link[i].role == ROLE_STEWARD && !child_ask_stop(&h->link[i].child, HELPERS_PATIENCE)) {
			log_notice("waiting for the steward, which puts lifeline weights back");
			child_stop(&h->link[i].child, HELPERS_STOP - HELPERS_PATIENCE);
		} else
			child_stop(&h->link[i].child, USEC_PER_SEC);
		if (h->link[i].child_end >= 0)
			(void)close(h->link[i].child_end);
	}
	drop_pending(h);
	gate_close(&h->gate, h->loop);
	owngroup_remove(&h->group);
}

/* The helpers work while the machine drowns: weight, since they must not be real-time. */
void helpers_raise(struct helpers *h, bool raised)
{
	char pid[16];
	int r;

	if (!raised)
		owngroup_remove(&h->group);
	if (!raised || !h->spawned || h->group.procs_fd >= 0)
		return;
	r = owngroup_make(&h->group, OWN_HELPERS, HELPERS_WEIGHT);
	if (r < 0 && r != -EOPNOTSUPP && r != -ENOENT)
		log_warning("the helpers get no cgroup of their own: %s; they may be late in an emergency", strerror(-r));
	for (unsigned i = 0; r == 0 && i < ELEMENTSOF(h->link); i++)    /* those to come enter it themselves */
		if (h->link[i].child.pid > 0 && str_format(pid, sizeof(pid), "%d", (int)h->link[i].child.pid))
			(void)root_write_file(h->group.dirfd, "cgroup.procs", pid);
}

bool helpers_have(const struct helpers *h, enum protocol_role role)
{
	const struct helper_link *k = &h->link[role == ROLE_COURIER];

	return k->hello && k->source.fd >= 0;
}

int helpers_ask(struct helpers *h, enum protocol_role role)
{
	struct helper_link *k = link_of(h, role);
	int r;

	if (!helpers_have(h, role))
		return -ENOTCONN;
	if (k->asked != 0 && loop_now(h->loop) > k->asked + HELPERS_SILENCE) {
		cut(h, k);
		if (k->child.pid > 0)
			(void)child_signal(&k->child, SIGKILL);
		return -ENOTCONN;
	}
	r = wire_send(k->source.fd, &h->out);
	if (r == 0 && k->asked == 0)
		k->asked = loop_now(h->loop);
	if (r < 0 && r != -EAGAIN && r != -EMSGSIZE)
		cut(h, k);
	return r;
}
