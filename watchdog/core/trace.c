/* SPDX-License-Identifier: Apache-2.0 */
/* trace: the writer, and the comparison
 *
 * The guard writes a record while the machine is at its worst, so this costs no
 * allocation and no printf: numbers are formatted by hand, and a field that has
 * its default is left out. A snapshot of 60 groups on 2 CPUs is about 2 KiB, so
 * the 16 MiB that a record may have hold some twelve minutes of alarm ticks.
 *
 * The sum of a group's shares is nearly always its total; then the total is left
 * out as well and the reader adds it up. */
#include "core/trace.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "core/trace-fields.h"

/* A line under construction. Lines are put together at the end of the buffer and
 * only counted in when they are whole. */
struct line {
	struct trace_out *out;
	size_t at;
	bool full;
};

static void line_open(struct line *l, struct trace_out *out)
{
	if (!out->error && out->flush && out->size - out->len < TRACE_LINE_MAX) {
		out->error = out->flush(out);
		if (!out->error && out->size - out->len < TRACE_LINE_MAX)
			out->error = -ENOBUFS;
	}
	*l = (struct line) { .out = out, .at = out->len, .full = out->error != 0 };
}

static void line_bytes(struct line *l, const char *s, size_t n)
{
	if (l->full || l->out->size - l->at < n) {
		l->full = true;
		return;
	}
	memcpy(l->out->buf + l->at, s, n);
	l->at += n;
}

static void line_str(struct line *l, const char *s)
{
	line_bytes(l, s, strlen(s));
}

static void line_close(struct line *l)
{
	line_bytes(l, "\n", 1);
	if (!l->full)
		l->out->len = l->at;
	else if (!l->out->error)
		l->out->error = -ENOBUFS;
}

static void line_u64(struct line *l, uint64_t v)
{
	char tmp[20];
	size_t n = sizeof(tmp);

	do
		tmp[--n] = (char) ('0' + v % 10);
	while ((v /= 10));
	line_bytes(l, tmp + n, sizeof(tmp) - n);
}

static void line_i64(struct line *l, int64_t v)
{
	if (v < 0)
		line_bytes(l, "-", 1);
	line_u64(l, v < 0 ? 0 - (uint64_t) v : (uint64_t) v);
}

static void line_usec(struct line *l, usec_t t)
{
	char tmp[7] = ".";
	uint32_t rest = (uint32_t) (t % USEC_PER_SEC);
	size_t n = 0;

	line_u64(l, t / USEC_PER_SEC);
	for (uint32_t unit = 100000; rest; unit /= 10) {
		tmp[++n] = (char) ('0' + rest / unit);
		rest %= unit;
	}
	if (n)
		line_bytes(l, tmp, n + 1);
}

static void line_text(struct line *l, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	line_bytes(l, "\"", 1);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char) s[i];

		if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
			line_bytes(l, (char[]) { '\\', 'x', hex[c >> 4], hex[c & 15] }, 4);
		else
			line_bytes(l, s + i, 1);
	}
	line_bytes(l, "\"", 1);
}

static void line_key(struct line *l, const char *key)
{
	line_bytes(l, " ", 1);
	line_str(l, key);
	line_bytes(l, "=", 1);
}

static void line_candidates(struct line *l, const char *key, const struct reason *r)
{
	if (r->n_candidates == 0)
		return;
	line_key(l, key);
	for (uint32_t i = 0; i < MIN(r->n_candidates, MAX_CANDIDATES); i++) {
		if (i)
			line_bytes(l, ",", 1);
		line_u64(l, r->candidates[i].group);
		line_bytes(l, ":", 1);
		line_i64(l, r->candidates[i].blame);
	}
}

static void line_field(struct line *l, const struct trace_field *f, const void *base)
{
	const char *text = (const char *) base + f->offset;
	int64_t v;

	switch (f->kind) {
	case FIELD_SHARES:
		return;
	case FIELD_CANDIDATES:
		line_candidates(l, f->key, &((const struct action *) base)->reason);
		return;
	case FIELD_TEXT: {
		size_t n = strnlen(text, f->size);

		if (n) {
			line_key(l, f->key);
			line_text(l, text, n);
		}
		return;
	}
	default:
		break;
	}

	v = trace_field_get(f, base);
	if (v == f->dflt && f->kind != FIELD_ENUM)
		return;
	line_key(l, f->key);
	switch (f->kind) {
	case FIELD_ENUM:
		if (v < f->size)
			line_str(l, f->name((int) v));
		break;
	case FIELD_USEC:
		line_usec(l, (usec_t) v);
		break;
	case FIELD_U64:
		line_u64(l, (uint64_t) v);
		break;
	default:
		line_i64(l, v);
	}
}

static void line_table(struct line *l, enum trace_line which, const void *base)
{
	for (size_t i = 0; i < trace_tables[which].n; i++)
		line_field(l, &trace_tables[which].fields[i], base);
}

static void put_simple(struct trace_out *out, const char *head, usec_t now, enum trace_line which, const void *base)
{
	struct line l;

	line_open(&l, out);
	line_str(&l, head);
	line_usec(&l, now);
	if (base)
		line_table(&l, which, base);
	line_close(&l);
}

static void put_tasks(struct trace_out *out, const struct task_ref *tasks, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct line l;

		line_open(&l, out);
		line_str(&l, "t");
		line_table(&l, LINE_TASK, &tasks[i]);
		line_close(&l);
	}
}

static void put_sample(struct trace_out *out, const struct snapshot *s, const struct group_sample *g)
{
	uint32_t n = g->cpu_first <= s->n_cpu ? MIN(g->cpu_n, s->n_cpu - g->cpu_first) : 0;
	const struct cpu_share *c = s->cpu + g->cpu_first;
	uint64_t run = 0, wait = 0;
	struct line l;

	for (uint32_t i = 0; i < n; i++) {
		run += c[i].run_us;
		wait += c[i].wait_us;
	}

	line_open(&l, out);
	line_str(&l, "g ");
	line_u64(&l, g->id);
	for (size_t i = 0; i < trace_tables[LINE_SAMPLE].n; i++) {
		const struct trace_field *f = &trace_tables[LINE_SAMPLE].fields[i];

		bool is_run = f->offset == offsetof(struct group_sample, run_us);
		bool is_wait = f->offset == offsetof(struct group_sample, wait_us);

		if (n && (is_run || is_wait)) {
			uint32_t v = is_run ? g->run_us : g->wait_us;

			if (v != (is_run ? run : wait)) {
				line_key(&l, f->key);
				line_u64(&l, v);
			}
			continue;
		}
		line_field(&l, f, g);
	}
	for (uint32_t i = 0; i < n; i++) {
		line_str(&l, i ? "," : " c=");
		line_u64(&l, c[i].cpu);
		line_bytes(&l, ":", 1);
		line_u64(&l, c[i].run_us);
		line_bytes(&l, ":", 1);
		line_u64(&l, c[i].wait_us);
	}
	line_close(&l);
}

static void put_snapshot(struct trace_out *out, usec_t now, const struct snapshot *s)
{
	put_simple(out, "S ", now, LINE_SNAPSHOT, s);
	for (uint32_t i = 0; i < s->n_groups; i++)
		put_sample(out, s, &s->groups[i]);
}

/* n_tasks alone may be a count of tasks changed; t= says how many t lines follow. */
static void put_result(struct trace_out *out, usec_t now, const struct result *r)
{
	uint32_t n = r->tasks ? r->n_tasks : 0;
	struct line l;

	line_open(&l, out);
	line_str(&l, "R ");
	line_usec(&l, now);
	line_table(&l, LINE_RESULT, r);
	if (n) {
		line_key(&l, "t");
		line_u64(&l, n);
	}
	line_close(&l);
	put_tasks(out, r->tasks, n);
}

void trace_put_version(struct trace_out *out)
{
	struct line l;

	line_open(&l, out);
	line_str(&l, "reprieve-trace ");
	line_u64(&l, TRACE_VERSION);
	line_close(&l);
}

void trace_put_text(struct trace_out *out, const char *policies, size_t n)
{
	while (n > 0) {
		size_t piece = MIN(n, (size_t) TRACE_PIECE);
		const char *nl = memchr(policies, '\n', piece);
		struct line l;

		if (nl)
			piece = (size_t) (nl - policies) + 1;
		line_open(&l, out);
		line_str(&l, "P ");
		line_text(&l, policies, piece);
		line_close(&l);
		policies += piece;
		n -= piece;
	}
}

void trace_put_init(struct trace_out *out, usec_t now, uint32_t seed)
{
	struct line l;

	line_open(&l, out);
	line_str(&l, "init ");
	line_usec(&l, now);
	line_bytes(&l, " ", 1);
	line_u64(&l, seed);
	line_close(&l);
}

void trace_put_begin(struct trace_out *out)
{
	struct line l;

	line_open(&l, out);
	line_str(&l, "begin");
	line_close(&l);
}

void trace_put_event(struct trace_out *out, const struct event *e)
{
	switch (e->type) {
	case EVENT_SNAPSHOT:
		put_snapshot(out, e->now, e->snapshot);
		break;
	case EVENT_GROUP:
		put_simple(out, "G ", e->now, LINE_GROUP, e->group);
		break;
	case EVENT_GROUP_GONE: {
		struct line l;

		line_open(&l, out);
		line_str(&l, "X ");
		line_usec(&l, e->now);
		line_bytes(&l, " ", 1);
		line_u64(&l, e->gone);
		line_close(&l);
		break;
	}
	case EVENT_RESULT:
		put_result(out, e->now, &e->result);
		break;
	case EVENT_DRIFT:
		put_simple(out, "D ", e->now, LINE_DRIFT, &e->drift);
		break;
	case EVENT_ENDPOINT:
		put_simple(out, "E ", e->now, LINE_ENDPOINT, &e->endpoint);
		break;
	case EVENT_POLICIES:
		put_simple(out, "p ", e->now, 0, NULL);
		break;
	case EVENT_OPERATOR:
		put_simple(out, "O ", e->now, LINE_ORDER, &e->order);
		break;
	case EVENT_NAMES:
		put_simple(out, "N ", e->now, LINE_NAMES, &e->names);
		break;
	case EVENT_LIFTED:
		put_simple(out, "L ", e->now, LINE_LIFTED, &e->lifted);
		break;
	case EVENT_JOURNAL_LOST:
		put_simple(out, "J ", e->now, 0, NULL);
		break;
	case EVENT_RECALL:
		put_simple(out, "M ", e->now, LINE_RECALL, &e->recall);
		break;
	case EVENT_TIMEOUT:
		put_simple(out, "T ", e->now, 0, NULL);
		break;
	case _EVENT_MAX:
		break;
	}
}

void trace_put_action(struct trace_out *out, const struct actions *actions, uint32_t i)
{
	const struct action *a = &actions->a[i];
	struct line l;

	line_open(&l, out);
	line_str(&l, "A");
	line_table(&l, LINE_ACTION, a);
	line_close(&l);
	put_tasks(out, actions->tasks + a->task_first, a->n_tasks);
}

static const char *table_differs(enum trace_line which, const void *a, const void *b)
{
	for (size_t i = 0; i < trace_tables[which].n; i++) {
		const struct trace_field *f = &trace_tables[which].fields[i];
		const char *pa = (const char *) a + f->offset, *pb = (const char *) b + f->offset;

		switch (f->kind) {
		case FIELD_SHARES:
			break;
		case FIELD_TEXT:
			if (strncmp(pa, pb, f->size) != 0)
				return f->key;
			break;
		case FIELD_CANDIDATES: {
			const struct reason *ra = &((const struct action *) a)->reason, *rb = &((const struct action *) b)->reason;

			if (ra->n_candidates != rb->n_candidates)
				return f->key;
			for (uint32_t k = 0; k < MIN(ra->n_candidates, MAX_CANDIDATES); k++)
				if (ra->candidates[k].group != rb->candidates[k].group || ra->candidates[k].blame != rb->candidates[k].blame)
					return f->key;
			break;
		}
		default:
			if (trace_field_get(f, a) != trace_field_get(f, b))
				return f->key;
		}
	}
	return NULL;
}

const char *trace_action_differs(const struct action *a, const struct task_ref *a_tasks,
				 const struct action *b, const struct task_ref *b_tasks)
{
	struct action x = *a;
	const char *key;

	x.id = b->id;
	x.parent = b->parent;
	key = table_differs(LINE_ACTION, &x, b);
	for (uint32_t i = 0; !key && i < a->n_tasks; i++)
		key = table_differs(LINE_TASK, &a_tasks[i], &b_tasks[i]);
	return key;
}
