/* SPDX-License-Identifier: Apache-2.0 */
/* talk: one function to write and one to read each message, next to each other, so
 * that they cannot drift apart unseen; the unit test sends each there and back.
 *
 * The reader trusts nothing: numbers are checked against the range of the field
 * they go to, counts against their bounds, and what is left over at the end is an
 * error. The peer is a process of ours, but one that parses what strangers send. */
#include "steward/talk.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "base/str.h"

static int64_t get_within(struct wire *w, int64_t low, int64_t high)
{
	int64_t v = wire_get_i64(w);

	if (w->error == 0 && (v < low || v > high))
		w->error = -EBADMSG;
	return w->error == 0 ? v : low;
}

static uint64_t get_upto(struct wire *w, uint64_t high)
{
	uint64_t v = wire_get_u64(w);

	if (w->error == 0 && v > high)
		w->error = -EBADMSG;
	return w->error == 0 ? v : 0;
}

static int done(struct wire *w)
{
	if (w->error != 0)
		return w->error == -EMSGSIZE ? -EBADMSG : w->error;
	return wire_at_end(w) ? 0 : -EBADMSG;
}

static void put_globs(struct wire *w, const struct talk_globs *g)
{
	uint32_t n = g != NULL ? MIN(g->n, (uint32_t)TALK_GLOBS_MAX) : 0;

	wire_put_u64(w, n);
	for (uint32_t i = 0; i < n; i++)
		wire_put_str(w, g->text[i]);
}

static void get_globs(struct wire *w, struct talk_globs *ret)
{
	ret->n = (uint32_t)get_upto(w, TALK_GLOBS_MAX);
	for (uint32_t i = 0; i < ret->n; i++)
		wire_get_str(w, ret->text[i], sizeof(ret->text[i]));
}

void talk_put_hello(struct wire *w, enum protocol_role role, int32_t pid, const char *missing)
{
	wire_begin(w, PROTOCOL_HELLO, 0, 0);
	wire_put_u64(w, role);
	wire_put_i64(w, pid);
	wire_put_str(w, missing);
}

int talk_get_hello(struct wire *w, enum protocol_role *ret_role, int32_t *ret_pid, char *ret_missing, size_t size)
{
	if (w->h.verb != PROTOCOL_HELLO || w->h.flags != 0)
		return -EBADMSG;
	*ret_role = (enum protocol_role)get_upto(w, ROLE_COURIER);
	*ret_pid = (int32_t)get_within(w, 0, INT32_MAX);
	wire_get_str(w, ret_missing, size);
	return done(w) < 0 || *ret_role == 0 ? -EBADMSG : 0;
}

void talk_put_answer(struct wire *w, enum protocol_verb verb, uint64_t id, uint32_t flags, int status, const char *text)
{
	char cut[TALK_TEXT_MAX];

	(void)str_copy(cut, sizeof(cut), text != NULL ? text : "");
	wire_begin(w, (uint16_t)verb, WIRE_ANSWER | flags, id);
	wire_put_i64(w, status);
	wire_put_str(w, cut);
}

int talk_get_answer(struct wire *w, struct talk_answer *ret)
{
	if (!(w->h.flags & WIRE_ANSWER))
		return -EBADMSG;
	ret->id = w->h.id;
	ret->verb = (enum protocol_verb)w->h.verb;
	ret->more = w->h.flags & WIRE_MORE;
	ret->status = (int)get_within(w, -4095, 0);
	wire_get_str(w, ret->text, sizeof(ret->text));
	return w->error != 0 ? -EBADMSG : 0;
}

void talk_ask_rank(struct wire *w, uint64_t id, const struct talk_rank *q, const struct talk_globs *keep)
{
	wire_begin(w, PROTOCOL_RANK, 0, id);
	wire_put_u64(w, q->group);
	wire_put_str(w, q->dir);
	wire_put_u64(w, q->deep);
	wire_put_u64(w, q->n_ports);
	for (unsigned i = 0; i < q->n_ports; i++)
		wire_put_u64(w, q->ports[i]);
	put_globs(w, keep);
}

int talk_get_rank(struct wire *w, struct talk_rank *ret, struct talk_globs *ret_keep)
{
	ret->group = wire_get_u64(w);
	wire_get_str(w, ret->dir, sizeof(ret->dir));
	ret->deep = get_upto(w, 1);
	ret->n_ports = (uint8_t)get_upto(w, MAX_ENDPOINTS);
	for (unsigned i = 0; i < ret->n_ports; i++)
		if ((ret->ports[i] = (uint16_t)get_upto(w, UINT16_MAX)) == 0)
			return -EBADMSG;
	get_globs(w, ret_keep);
	return done(w) < 0 || ret->dir[0] != '/' ? -EBADMSG : 0;
}

void talk_put_task(struct wire *w, const struct task_ref *t)
{
	char comm[COMM_MAX + 1] = "";

	memcpy(comm, t->comm, strnlen(t->comm, COMM_MAX - 1));
	wire_put_i64(w, t->pid);
	wire_put_i64(w, t->tid);
	wire_put_u64(w, t->start);
	wire_put_u64(w, t->cpu_pm);
	wire_put_u64(w, t->policy);
	wire_put_i64(w, t->nice);
	wire_put_u64(w, t->keep);
	wire_put_str(w, comm);
}

static void get_task(struct wire *w, struct task_ref *ret)
{
	*ret = (struct task_ref){ 0 };
	ret->pid = (int32_t)get_within(w, 1, INT32_MAX);
	ret->tid = (int32_t)get_within(w, 1, INT32_MAX);
	ret->start = wire_get_u64(w);
	ret->cpu_pm = (uint32_t)get_upto(w, UINT32_MAX);
	ret->policy = (uint8_t)get_upto(w, UINT8_MAX);
	ret->nice = (int8_t)get_within(w, -20, 19);
	ret->keep = get_upto(w, 1);
	wire_get_str(w, ret->comm, sizeof(ret->comm));
}

int talk_get_ranked(struct wire *w, struct talk_ranked *ret)
{
	ret->group = wire_get_u64(w);
	ret->seen = (uint32_t)get_upto(w, UINT32_MAX);
	ret->n = (uint32_t)get_upto(w, MAX_TASKS);
	for (uint32_t i = 0; i < ret->n && w->error == 0; i++)
		get_task(w, &ret->tasks[i]);
	return done(w);
}

void talk_ask_find(struct wire *w, uint64_t id, const char *controller, const struct talk_globs *globs)
{
	wire_begin(w, PROTOCOL_FIND, 0, id);
	wire_put_str(w, controller);
	put_globs(w, globs);
}

int talk_get_find(struct wire *w, char *ret_controller, size_t size, struct talk_globs *ret_globs)
{
	wire_get_str(w, ret_controller, size);
	get_globs(w, ret_globs);
	return done(w);
}

int talk_get_found(struct wire *w, bool *ret_truncated, uint32_t *ret_n)
{
	*ret_truncated = get_upto(w, 1);
	*ret_n = (uint32_t)get_upto(w, WIRE_MAX);
	return w->error != 0 ? -EBADMSG : 0;
}

int talk_get_found_row(struct wire *w, struct talk_found_row *ret)
{
	wire_get_str(w, ret->path, sizeof(ret->path));
	wire_get_str(w, ret->comm, sizeof(ret->comm));
	return w->error != 0 ? -EBADMSG : 0;
}

void talk_ask_name(struct wire *w, uint64_t id, uint64_t group, const char *container)
{
	wire_begin(w, PROTOCOL_NAME, 0, id);
	wire_put_u64(w, group);
	wire_put_str(w, container);
}

int talk_get_name(struct wire *w, struct talk_name *ret)
{
	ret->group = wire_get_u64(w);
	wire_get_str(w, ret->id, sizeof(ret->id));
	return done(w) < 0 || strspn(ret->id, "0123456789abcdef") != TALK_ID_MAX - 1 ? -EBADMSG : 0;
}

int talk_get_named(struct wire *w, struct talk_named *ret)
{
	ret->group = wire_get_u64(w);
	wire_get_str(w, ret->name, sizeof(ret->name));
	return done(w);
}

void talk_ask_lifeline(struct wire *w, uint64_t id, const char *unit, int32_t weight)
{
	wire_begin(w, PROTOCOL_LIFELINE, 0, id);
	wire_put_str(w, unit);
	wire_put_i64(w, weight);
}

int talk_get_lifeline(struct wire *w, struct talk_lifeline *ret)
{
	wire_get_str(w, ret->unit, sizeof(ret->unit));
	ret->weight = (int32_t)get_within(w, -1, 10000);
	return done(w) < 0 || ret->weight == 0 ? -EBADMSG : 0;
}

int talk_get_lifelined(struct wire *w, struct talk_lifelined *ret)
{
	wire_get_str(w, ret->unit, sizeof(ret->unit));
	ret->before = (int32_t)get_within(w, -1, 10000);
	ret->after = (int32_t)get_within(w, -1, 10000);
	return done(w);
}

void talk_ask_check(struct wire *w, uint64_t id, int16_t policy, const char *url, usec_t timeout)
{
	wire_begin(w, PROTOCOL_CHECK, 0, id);
	wire_put_i64(w, policy);
	wire_put_str(w, url);
	wire_put_u64(w, timeout);
}

int talk_get_check(struct wire *w, struct talk_check *ret)
{
	ret->policy = (int16_t)get_within(w, INT16_MIN, INT16_MAX);
	wire_get_str(w, ret->url, sizeof(ret->url));
	ret->timeout = get_upto(w, USEC_PER_HOUR);
	return done(w) < 0 || ret->timeout == 0 ? -EBADMSG : 0;
}

int talk_get_checked(struct wire *w, struct talk_checked *ret)
{
	ret->policy = (int16_t)get_within(w, INT16_MIN, INT16_MAX);
	ret->good = get_upto(w, 1);
	ret->code = (uint16_t)get_upto(w, UINT16_MAX);
	ret->took = wire_get_u64(w);
	return done(w);
}

int talk_unit_of_path(const char *path, char *buf, size_t size)
{
	static const char *const suffixes[] = { ".service", ".scope", ".slice", ".socket", ".mount", ".swap" };
	const char *end = path + strlen(path);

	while (end > path) {
		const char *start = end;
		size_t n;

		while (start > path && start[-1] != '/')
			start--;
		n = (size_t)(end - start);
		for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
			size_t m = strlen(suffixes[i]);

			if (n <= m || memcmp(end - m, suffixes[i], m) != 0)
				continue;
			if (n >= size)
				return -ENAMETOOLONG;
			memcpy(buf, start, n);
			buf[n] = '\0';
			return 0;
		}
		end = start > path ? start - 1 : path;
	}
	return -ENOENT;
}

int talk_container_of_path(const char *path, char ret[static TALK_ID_MAX])
{
	size_t run = 0;
	const char *p = path;

	/* The last run of exactly 64 hex digits: containers nest. */
	int r = -ENOENT;

	for (;; p++) {
		if (*p != '\0' && strchr("0123456789abcdef", *p) != NULL) {
			run++;
			continue;
		}
		if (run == TALK_ID_MAX - 1) {
			memcpy(ret, p - run, run);
			ret[run] = '\0';
			r = 0;
		}
		run = 0;
		if (*p == '\0')
			return r;
	}
}
