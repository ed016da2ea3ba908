/* SPDX-License-Identifier: Apache-2.0 */
/* trace-read: the reader
 *
 * A record comes from a disk that was full, from a machine that was dying, or
 * from a stranger's bug report, so nothing in it is believed: every number is
 * checked against the field it goes into, every count against the array behind
 * it, and text is decoded into the field's own bound. Whatever the bytes, the
 * answer is an item or one sentence. A record that ends in mid-item is cut off,
 * not wrong: everything before it counts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macro.h"
#include "core/trace-fields.h"

struct scan {
	struct trace_reader *r;
	const char *p, *end;
};

static _printf_(2, 3) int fail(struct trace_reader *r, const char *format, ...)
{
	__builtin_va_list ap;

	__builtin_va_start(ap, format);
	(void) vsnprintf(r->error, sizeof(r->error), format, ap);
	__builtin_va_end(ap);
	return -EINVAL;
}

static bool scan_more(struct scan *s)
{
	while (s->p < s->end && *s->p == ' ')
		s->p++;
	return s->p < s->end;
}

static bool scan_char(struct scan *s, char c)
{
	if (s->p >= s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static bool at_break(const struct scan *s)
{
	return s->p >= s->end || *s->p == ' ' || *s->p == ',' || *s->p == ':';
}

static int scan_u64(struct scan *s, uint64_t *ret)
{
	const char *from = s->p;
	uint64_t v = 0;

	for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t) (*s->p - '0'), &v))
			return fail(s->r, "a number is too big; it must fit in 64 bits");
	if (s->p == from || s->p - from > 20)
		return fail(s->r, "a number was expected");
	*ret = v;
	return 0;
}

/* "12", "12.3", "12.000001" */
static int scan_usec(struct scan *s, usec_t *ret)
{
	uint64_t sec, usec = 0;
	int r = scan_u64(s, &sec);

	if (r < 0)
		return r;
	if (scan_char(s, '.')) {
		uint32_t unit = 100000;

		for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++, unit /= 10) {
			if (unit == 0)
				return fail(s->r, "a time has at most six decimals");
			usec += (uint64_t) (*s->p - '0') * unit;
		}
	}
	if (__builtin_mul_overflow(sec, USEC_PER_SEC, &sec) || __builtin_add_overflow(sec, usec, &sec))
		return fail(s->r, "a time is too big");
	*ret = sec;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Quoted text into buf[0..size), not terminated; *ret is its length. */
static int scan_text(struct scan *s, char *buf, size_t size, size_t *ret)
{
	size_t n = 0;

	if (!scan_char(s, '"'))
		return fail(s->r, "text in quotes was expected");
	while (!scan_char(s, '"')) {
		char c;

		if (s->p >= s->end)
			return fail(s->r, "text has no closing quote");
		c = *s->p++;
		if (c == '\\') {
			if (s->end - s->p < 3 || s->p[0] != 'x' || hex_digit(s->p[1]) < 0 || hex_digit(s->p[2]) < 0)
				return fail(s->r, "a backslash is followed by x and two of 0-9a-f");
			c = (char) (hex_digit(s->p[1]) * 16 + hex_digit(s->p[2]));
			s->p += 3;
		}
		if (n >= size)
			return fail(s->r, "text is too long; %zu bytes are allowed", size);
		buf[n++] = c;
	}
	*ret = n;
	return 0;
}

static int scan_enum(struct scan *s, const struct trace_field *f, void *base)
{
	const char *from = s->p;

	while (!at_break(s))
		s->p++;
	for (int i = 0; i < f->size; i++) {
		const char *name = f->name(i);

		if (name && strlen(name) == (size_t) (s->p - from) && memcmp(name, from, (size_t) (s->p - from)) == 0)
			return trace_field_set(f, base, false, (uint64_t) i);
	}
	return fail(s->r, "%s=%.*s is not known", f->key, (int) MIN(s->p - from, 32), from);
}

static int scan_candidates(struct scan *s, struct reason *r)
{
	r->n_candidates = 0;
	do {
		uint64_t group, blame;
		bool negative;

		if (r->n_candidates == MAX_CANDIDATES)
			return fail(s->r, "blame= has at most %d candidates", MAX_CANDIDATES);
		if (scan_u64(s, &group) < 0)
			return -EINVAL;
		if (!scan_char(s, ':'))
			return fail(s->r, "blame= is GROUP:PART,...");
		negative = scan_char(s, '-');
		if (scan_u64(s, &blame) < 0)
			return -EINVAL;
		if (blame > INT32_MAX)
			return fail(s->r, "blame= of a group is at most %d", INT32_MAX);
		r->candidates[r->n_candidates++] = (struct candidate) {
			.group = group, .blame = negative ? -(int32_t) blame : (int32_t) blame,
		};
	} while (scan_char(s, ','));
	return 0;
}

static int scan_shares(struct scan *s, struct group_sample *g)
{
	struct snapshot *snap = &s->r->snapshot;

	do {
		uint64_t cpu, run, wait;

		if (snap->n_cpu == MAX_CPU_SHARES)
			return fail(s->r, "a snapshot has at most %d CPU shares", MAX_CPU_SHARES);
		if (scan_u64(s, &cpu) < 0)
			return -EINVAL;
		if (!scan_char(s, ':'))
			return fail(s->r, "c= is CPU:RUN:WAIT,...");
		if (scan_u64(s, &run) < 0)
			return -EINVAL;
		if (!scan_char(s, ':'))
			return fail(s->r, "c= is CPU:RUN:WAIT,...");
		if (scan_u64(s, &wait) < 0)
			return -EINVAL;
		if (cpu >= MAX_CPUS || run > UINT32_MAX || wait > UINT32_MAX)
			return fail(s->r, "a CPU share is out of range");
		snap->cpu[snap->n_cpu++] = (struct cpu_share) { .cpu = (uint16_t) cpu, .run_us = (uint32_t) run, .wait_us = (uint32_t) wait };
		g->cpu_n++;
	} while (scan_char(s, ','));
	return 0;
}

static int scan_value(struct scan *s, const struct trace_field *f, void *base)
{
	char *text = (char *) base + f->offset;
	bool negative = false;
	uint64_t v;
	size_t n;

	switch (f->kind) {
	case FIELD_ENUM:
		return scan_enum(s, f, base);
	case FIELD_CANDIDATES:
		return scan_candidates(s, &((struct action *) base)->reason);
	case FIELD_SHARES:
		return scan_shares(s, base);
	case FIELD_TEXT:
		if (scan_text(s, text, f->size - 1u, &n) < 0)
			return -EINVAL;
		memset(text + n, 0, f->size - n);
		return 0;
	case FIELD_USEC:
		if (scan_usec(s, &v) < 0)
			return -EINVAL;
		break;
	default:
		negative = scan_char(s, '-');
		if (scan_u64(s, &v) < 0)
			return -EINVAL;
	}
	if (trace_field_set(f, base, negative, v) < 0)
		return fail(s->r, "%s= is out of range", f->key);
	return 0;
}

/* key=value … to the end of the line. *ret_seen has a bit per field that was there. */
static int scan_table(struct scan *s, enum trace_line which, void *base, uint32_t *ret_seen, uint64_t *ret_t)
{
	const struct trace_table *t = &trace_tables[which];
	uint32_t seen = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct trace_field *f = &t->fields[i];

		if (f->kind != FIELD_TEXT && f->kind != FIELD_CANDIDATES && f->kind != FIELD_SHARES)
			(void) trace_field_set(f, base, f->dflt < 0, f->dflt < 0 ? 0 - (uint64_t) f->dflt : (uint64_t) f->dflt);
	}

	while (scan_more(s)) {
		const char *key = s->p;
		size_t n, i;

		while (s->p < s->end && *s->p != '=' && *s->p != ' ')
			s->p++;
		n = (size_t) (s->p - key);
		if (!scan_char(s, '='))
			return fail(s->r, "%.*s has no value; lines are KEY=VALUE ...", (int) MIN(n, (size_t) 16), key);
		for (i = 0; i < t->n; i++)
			if (strlen(t->fields[i].key) == n && memcmp(t->fields[i].key, key, n) == 0)
				break;
		if (i < t->n) {
			if (seen & (UINT32_C(1) << i))
				return fail(s->r, "%s= is there twice", t->fields[i].key);
			seen |= UINT32_C(1) << i;
			if (scan_value(s, &t->fields[i], base) < 0)
				return -EINVAL;
		} else if (ret_t && n == 1 && *key == 't') {
			if (scan_u64(s, ret_t) < 0)
				return -EINVAL;
		} else
			return fail(s->r, "%.*s= is not known on this line", (int) MIN(n, (size_t) 16), key);
		if (s->p < s->end && *s->p != ' ')
			return fail(s->r, "something follows the value of %.*s=", (int) MIN(n, (size_t) 16), key);
	}
	*ret_seen = seen;
	return 0;
}

static bool table_has(enum trace_line which, uint32_t seen, size_t offset)
{
	for (size_t i = 0; i < trace_tables[which].n; i++)
		if (trace_tables[which].fields[i].offset == offset)
			return seen & (UINT32_C(1) << i);
	return false;
}

static int read_sample(struct trace_reader *r, struct scan *s)
{
	struct snapshot *snap = &r->snapshot;
	uint32_t at = snap->n_groups - r->due, seen;
	struct group_sample *g = &snap->groups[at];
	uint64_t run = 0, wait = 0, id;

	*g = (struct group_sample) { .cpu_first = snap->n_cpu };
	if (!scan_more(s) || scan_u64(s, &id) < 0 || scan_table(s, LINE_SAMPLE, g, &seen, NULL) < 0)
		return r->error[0] ? -EINVAL : fail(r, "a group's id was expected");
	g->id = id;
	if (at > 0 && snap->groups[at - 1].id >= id)
		return fail(r, "groups of a snapshot come in ascending order");
	for (uint32_t i = 0; i < g->cpu_n; i++) {
		run += snap->cpu[g->cpu_first + i].run_us;
		wait += snap->cpu[g->cpu_first + i].wait_us;
	}
	if (g->cpu_n && !table_has(LINE_SAMPLE, seen, offsetof(struct group_sample, run_us)))
		g->run_us = (uint32_t) MIN(run, (uint64_t) UINT32_MAX);
	if (g->cpu_n && !table_has(LINE_SAMPLE, seen, offsetof(struct group_sample, wait_us)))
		g->wait_us = (uint32_t) MIN(wait, (uint64_t) UINT32_MAX);
	return 0;
}

static int read_task(struct trace_reader *r, struct scan *s)
{
	uint32_t seen;

	memset(&r->tasks[r->n_tasks], 0, sizeof(r->tasks[0]));
	if (scan_table(s, LINE_TASK, &r->tasks[r->n_tasks], &seen, NULL) < 0)
		return -EINVAL;
	r->n_tasks++;
	return 0;
}

/* Begins an item; r->due says how many lines still belong to it. */
static int read_event(struct trace_reader *r, struct scan *s, enum event_type type)
{
	struct event *e = &r->pending.event;
	uint64_t t = 0;
	uint32_t seen;
	int k = 0;

	r->pending = (struct trace_item) { .type = TRACE_EVENT, .event = { .type = type } };
	if (!scan_more(s) || scan_usec(s, &e->now) < 0)
		return r->error[0] ? -EINVAL : fail(r, "a time was expected");
	if (s->p < s->end && *s->p != ' ')
		return fail(r, "something follows the time");

	switch (type) {
	case EVENT_SNAPSHOT:
		r->snapshot.n_cpu = 0;
		k = scan_table(s, LINE_SNAPSHOT, &r->snapshot, &seen, NULL);
		if (k == 0 && (r->snapshot.n_groups > MAX_SAMPLES || r->snapshot.source > GROUP_SOURCE_CPUSTAT ||
			       r->snapshot.pressure > PRESSURE_RUNQUEUE))
			return fail(r, "n=, src= or prs= is out of range; n= is at most %d", MAX_SAMPLES);
		r->due = k == 0 ? r->snapshot.n_groups : 0;
		e->snapshot = &r->snapshot;
		break;
	case EVENT_GROUP:
		memset(&r->group, 0, sizeof(r->group));
		k = scan_table(s, LINE_GROUP, &r->group, &seen, NULL);
		e->group = &r->group;
		break;
	case EVENT_GROUP_GONE:
		if (!scan_more(s) || scan_u64(s, &e->gone) < 0)
			return r->error[0] ? -EINVAL : fail(r, "a group's id was expected");
		break;
	case EVENT_RESULT:
		k = scan_table(s, LINE_RESULT, &e->result, &seen, &t);
		if (k == 0 && t && (t > MAX_TASKS || t != e->result.n_tasks))
			return fail(r, "t= is n= or left out, and at most %d", MAX_TASKS);
		r->due = (uint32_t) t;
		e->result.tasks = t ? r->tasks : NULL;
		break;
	case EVENT_DRIFT:
		k = scan_table(s, LINE_DRIFT, &e->drift, &seen, NULL);
		break;
	case EVENT_ENDPOINT:
		k = scan_table(s, LINE_ENDPOINT, &e->endpoint, &seen, NULL);
		break;
	case EVENT_OPERATOR:
		k = scan_table(s, LINE_ORDER, &e->order, &seen, NULL);
		break;
	case EVENT_NAMES:
		k = scan_table(s, LINE_NAMES, &e->names, &seen, NULL);
		break;
	case EVENT_LIFTED:
		k = scan_table(s, LINE_LIFTED, &e->lifted, &seen, NULL);
		break;
	case EVENT_RECALL:
		k = scan_table(s, LINE_RECALL, &e->recall, &seen, NULL);
		break;
	case EVENT_POLICIES:
	case EVENT_JOURNAL_LOST:
	case EVENT_TIMEOUT:
	case _EVENT_MAX:
		break;
	}
	if (k == 0 && scan_more(s))
		return fail(r, "something follows the end of the line's keys");
	return k;
}

static int read_action(struct trace_reader *r, struct scan *s)
{
	struct action *a = &r->pending.action;
	uint32_t seen;

	r->pending = (struct trace_item) { .type = TRACE_ACTION, .tasks = r->tasks };
	if (scan_table(s, LINE_ACTION, a, &seen, NULL) < 0)
		return -EINVAL;
	if (a->n_tasks > MAX_SQUEEZED_TASKS)
		return fail(r, "n= is at most %d", MAX_SQUEEZED_TASKS);
	r->due = a->n_tasks;
	return 0;
}

static int read_head(struct trace_reader *r, struct scan *s, const char *word, size_t n)
{
	static const struct { const char *head; enum event_type type; } events[] = {
		{ "S", EVENT_SNAPSHOT }, { "G", EVENT_GROUP }, { "X", EVENT_GROUP_GONE }, { "R", EVENT_RESULT },
		{ "D", EVENT_DRIFT }, { "E", EVENT_ENDPOINT }, { "p", EVENT_POLICIES }, { "O", EVENT_OPERATOR },
		{ "N", EVENT_NAMES }, { "L", EVENT_LIFTED }, { "J", EVENT_JOURNAL_LOST }, { "M", EVENT_RECALL }, { "T", EVENT_TIMEOUT },
	};

	r->n_tasks = 0;
	for (size_t i = 0; i < ELEMENTSOF(events); i++)
		if (n == 1 && *word == events[i].head[0])
			return read_event(r, s, events[i].type);

	r->pending = (struct trace_item) { .type = TRACE_NOTHING };
	if (n == 1 && *word == 'A')
		return read_action(r, s);
	if (n == 1 && *word == 'P') {
		r->pending.type = TRACE_TEXT;
		r->pending.text = r->text;
		(void) scan_more(s);
		if (scan_text(s, r->text, sizeof(r->text), &r->pending.n_text) < 0)
			return -EINVAL;
	} else if (n == 4 && memcmp(word, "init", 4) == 0) {
		uint64_t seed = 0;

		r->pending.type = TRACE_INIT;
		if (!scan_more(s) || scan_usec(s, &r->pending.now) < 0 || !scan_more(s) || scan_u64(s, &seed) < 0 || seed > UINT32_MAX)
			return fail(r, "init is followed by a time and a seed below 2^32");
		r->pending.seed = (uint32_t) seed;
	} else if (n == 5 && memcmp(word, "begin", 5) == 0)
		r->pending.type = TRACE_BEGIN;
	else
		return fail(r, "a line begins with one of S g G X R t D E p O N L J M T A P init begin, not with '%.*s'",
			    (int) MIN(n, (size_t) 8), word);
	return scan_more(s) ? fail(r, "something follows the end of the line") : 0;
}

int trace_read(struct trace_reader *r, const char *line, size_t n, struct trace_item *ret)
{
	struct scan s = { .r = r };
	const char *word;
	int k;

	*ret = (struct trace_item) { .type = TRACE_NOTHING };
	r->line++;
	r->error[0] = 0;
	while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
		n--;
	if (n >= TRACE_LINE_MAX)
		return fail(r, "the line is longer than %d bytes", TRACE_LINE_MAX);
	if (n == 0 || line[0] == '#')
		return 0;
	s.p = line;
	s.end = line + n;

	if (!r->versioned) {
		static const char want[] = "reprieve-trace 1";

		if (n != sizeof(want) - 1 || memcmp(line, want, n) != 0)
			return fail(r, "this is no flight record of version %d; its first line is '%s'", TRACE_VERSION, want);
		r->versioned = true;
		return 0;
	}

	for (word = s.p; s.p < s.end && *s.p != ' '; s.p++)
		;
	n = (size_t) (s.p - word);
	if (r->due > 0) {
		bool samples = r->pending.event.type == EVENT_SNAPSHOT && r->pending.type == TRACE_EVENT;

		if (n != 1 || *word != (samples ? 'g' : 't'))
			return fail(r, "%u more %s lines were expected here", r->due, samples ? "g" : "t");
		k = samples ? read_sample(r, &s) : read_task(r, &s);
		if (k == 0)
			r->due--;
	} else
		k = read_head(r, &s, word, n);
	if (k < 0) {
		r->due = 0;
		return r->error[0] ? -EINVAL : fail(r, "the line is malformed");
	}
	if (r->due == 0)
		*ret = r->pending;
	return 0;
}

bool trace_read_partial(const struct trace_reader *r)
{
	return r->due > 0;
}
