/* SPDX-License-Identifier: Apache-2.0 */
/* trace: whatever is written reads back the same; whatever is read that was not
 * written by us gives a sentence, never a crash. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/macro.h"
#include "core/trace-fields.h"
#include "core/trace.h"

static char *buf;
static const size_t buf_size = 4 << 20;
static struct trace_reader *reader;
static uint64_t state = 88172645463325252ull;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* A value of every magnitude, the extremes included. */
static uint64_t any(void)
{
	switch (rnd() % 5) {
	case 0: return 0;
	case 1: return UINT64_MAX;
	case 2: return rnd() % 100;
	default: return rnd() >> (rnd() % 64);
	}
}

/* Every field that the table of the line knows, at random; text is hostile. */
static void fill(enum trace_line which, void *base)
{
	for (size_t i = 0; i < trace_tables[which].n; i++) {
		const struct trace_field *f = &trace_tables[which].fields[i];
		char *text = (char *) base + f->offset;
		uint64_t v = any();
		size_t n;

		switch (f->kind) {
		case FIELD_TEXT:
			memset(text, 0, f->size);
			n = rnd() % f->size;
			for (size_t k = 0; k < n; k++)
				text[k] = (char) (1 + rnd() % 255);
			break;
		case FIELD_CANDIDATES: {
			struct reason *r = &((struct action *) base)->reason;

			r->n_candidates = (uint8_t) (rnd() % (MAX_CANDIDATES + 1));
			for (uint32_t k = 0; k < r->n_candidates; k++)
				r->candidates[k] = (struct candidate) { .group = any(), .blame = (int32_t) any() };
			break;
		}
		case FIELD_SHARES:
			break;
		case FIELD_ENUM:
			(void) trace_field_set(f, base, false, v % f->size);
			break;
		default:
			while (trace_field_set(f, base, rnd() % 3 == 0, v) < 0)
				v >>= 1;
		}
	}
}

static bool same(enum trace_line which, const void *a, const void *b)
{
	for (size_t i = 0; i < trace_tables[which].n; i++) {
		const struct trace_field *f = &trace_tables[which].fields[i];

		if (f->kind == FIELD_TEXT) {
			if (strncmp((const char *) a + f->offset, (const char *) b + f->offset, f->size) != 0)
				return false;
		} else if (f->kind != FIELD_CANDIDATES && f->kind != FIELD_SHARES && trace_field_get(f, a) != trace_field_get(f, b))
			return false;
	}
	return true;
}

/* Reads out->buf; the last item that is one goes to *ret, NULL of it: how many there were. */
static unsigned read_all(const struct trace_out *out, struct trace_item *ret)
{
	unsigned n = 0;

	memset(reader, 0, sizeof(*reader));
	reader->versioned = true;
	for (size_t at = 0; at < out->len;) {
		const char *nl = memchr(out->buf + at, '\n', out->len - at);
		struct trace_item item;

		assert_non_null(nl);
		assert_true((size_t) (nl - out->buf) - at < TRACE_LINE_MAX);
		if (trace_read(reader, out->buf + at, (size_t) (nl - out->buf) - at + 1, &item) != 0)
			fail_msg("line %u: %s", reader->line, reader->error);
		if (item.type != TRACE_NOTHING) {
			*ret = item;
			n++;
		}
		at = (size_t) (nl - out->buf) + 1;
	}
	assert_false(trace_read_partial(reader));
	return n;
}

static struct trace_out out_new(void)
{
	return (struct trace_out) { .buf = buf, .size = buf_size };
}

static void test_events(void **unused)
{
	struct trace_item item;
	struct task_ref tasks[MAX_TASKS];

	for (unsigned round = 0; round < 3000; round++) {
		struct trace_out out = out_new();
		struct event e = { .now = any() };
		struct group_info g = { 0 };

		switch (round % 12) {
		case 0:
			e.type = EVENT_GROUP;
			e.group = &g;
			fill(LINE_GROUP, &g);
			break;
		case 1:
			e.type = EVENT_GROUP_GONE;
			e.gone = any();
			break;
		case 2:
			e.type = EVENT_RESULT;
			fill(LINE_RESULT, &e.result);
			if (round & 8) {
				e.result.n_tasks = (uint32_t) (rnd() % (MAX_TASKS + 1));
				e.result.tasks = tasks;
				memset(tasks, 0, sizeof(tasks));
				for (uint32_t i = 0; i < e.result.n_tasks; i++)
					fill(LINE_TASK, &tasks[i]);
			}
			break;
		case 3:
			e.type = EVENT_DRIFT;
			fill(LINE_DRIFT, &e.drift);
			break;
		case 4:
			e.type = EVENT_ENDPOINT;
			fill(LINE_ENDPOINT, &e.endpoint);
			break;
		case 5:
			e.type = EVENT_OPERATOR;
			fill(LINE_ORDER, &e.order);
			break;
		case 6:
			e.type = EVENT_TIMEOUT;
			break;
		case 7:
			e.type = EVENT_NAMES;
			fill(LINE_NAMES, &e.names);
			break;
		case 8:
			e.type = EVENT_LIFTED;
			fill(LINE_LIFTED, &e.lifted);
			break;
		case 9:
			e.type = EVENT_JOURNAL_LOST;
			break;
		case 10:
			e.type = EVENT_RECALL;
			fill(LINE_RECALL, &e.recall);
			break;
		default:
			e.type = EVENT_POLICIES;
		}
		trace_put_event(&out, &e);
		assert_int_equal(out.error, 0);
		assert_int_equal(read_all(&out, &item), 1);
		assert_int_equal(item.type, TRACE_EVENT);
		assert_int_equal(item.event.type, e.type);
		assert_true(item.event.now == e.now);
		if (e.type == EVENT_GROUP)
			assert_true(same(LINE_GROUP, &g, item.event.group));
		if (e.type == EVENT_GROUP_GONE)
			assert_true(item.event.gone == e.gone);
		if (e.type == EVENT_RESULT) {
			assert_true(same(LINE_RESULT, &e.result, &item.event.result));
			assert_true((e.result.tasks && e.result.n_tasks) == (item.event.result.tasks != NULL));
			for (uint32_t i = 0; e.result.tasks && i < e.result.n_tasks; i++)
				assert_true(same(LINE_TASK, &tasks[i], &item.event.result.tasks[i]));
		}
		if (e.type == EVENT_DRIFT)
			assert_true(same(LINE_DRIFT, &e.drift, &item.event.drift));
		if (e.type == EVENT_ENDPOINT)
			assert_true(same(LINE_ENDPOINT, &e.endpoint, &item.event.endpoint));
		if (e.type == EVENT_NAMES)
			assert_true(same(LINE_NAMES, &e.names, &item.event.names));
		if (e.type == EVENT_LIFTED)
			assert_true(same(LINE_LIFTED, &e.lifted, &item.event.lifted));
		if (e.type == EVENT_RECALL)
			assert_true(same(LINE_RECALL, &e.recall, &item.event.recall));
		if (e.type == EVENT_OPERATOR)
			assert_true(same(LINE_ORDER, &e.order, &item.event.order));
	}
}

static void snapshot_fill(struct snapshot *s, uint32_t groups, uint32_t shares)
{
	uint64_t id = 1;

	memset(s, 0, sizeof(*s));
	fill(LINE_SNAPSHOT, s);
	s->source = (enum group_source) (rnd() % 3);
	s->pressure = (enum pressure_source) (rnd() % 3);
	s->n_groups = groups;
	for (uint32_t i = 0; i < groups; i++) {
		struct group_sample *g = &s->groups[i];
		uint64_t run = 0, wait = 0, n = rnd() % (shares + 1);

		fill(LINE_SAMPLE, g);
		g->id = id += 1 + rnd() % 1000;
		g->cpu_first = s->n_cpu;
		g->cpu_n = (uint32_t) MIN(n, (uint64_t) (MAX_CPU_SHARES - s->n_cpu));
		for (uint32_t k = 0; k < g->cpu_n; k++) {
			struct cpu_share *c = &s->cpu[s->n_cpu++];

			*c = (struct cpu_share) { .cpu = (uint16_t) k, .run_us = (uint32_t) (rnd() % 100000), .wait_us = (uint32_t) (rnd() % 100000) };
			run += c->run_us;
			wait += c->wait_us;
		}
		if (rnd() % 2) {
			g->run_us = (uint32_t) run;
			g->wait_us = (uint32_t) wait;
		} else if (rnd() % 4 == 0)
			g->run_us = g->wait_us = 0;
	}
	if (groups)
		s->groups[groups - 1].id = GROUP_OTHER;
}

static void snapshot_round_trip(uint32_t groups, uint32_t shares)
{
	static struct snapshot s;
	struct trace_out out = out_new();
	struct event e = { .now = 12300000, .type = EVENT_SNAPSHOT, .snapshot = &s };
	const struct snapshot *t;
	struct trace_item item;

	snapshot_fill(&s, groups, shares);
	trace_put_event(&out, &e);
	assert_int_equal(out.error, 0);
	assert_int_equal(read_all(&out, &item), 1);
	t = item.event.snapshot;
	assert_true(same(LINE_SNAPSHOT, &s, t));
	assert_int_equal(s.n_cpu, t->n_cpu);
	assert_int_equal(s.n_groups, t->n_groups);
	assert_memory_equal(s.groups, t->groups, s.n_groups * sizeof(s.groups[0]));
	assert_memory_equal(s.cpu, t->cpu, s.n_cpu * sizeof(s.cpu[0]));
}

static void test_snapshots(void **unused)
{
	snapshot_round_trip(0, 0);
	snapshot_round_trip(1, 0);
	for (unsigned i = 0; i < 200; i++)
		snapshot_round_trip((uint32_t) (rnd() % 100), (uint32_t) (rnd() % 5));
	snapshot_round_trip(20, MAX_CPUS);
	snapshot_round_trip(MAX_SAMPLES, 16);
}

static void test_actions(void **unused)
{
	static struct actions a;

	for (unsigned round = 0; round < 1000; round++) {
		struct trace_out out = out_new();
		struct trace_item item;

		memset(&a, 0, sizeof(a));
		a.n = 2;
		fill(LINE_ACTION, &a.a[1]);
		a.a[1].n_tasks = (uint16_t) (round % 10 ? rnd() % 4 : rnd() % (MAX_SQUEEZED_TASKS - 1));
		a.a[1].task_first = 1;
		for (uint32_t i = 0; i < a.a[1].n_tasks; i++)
			fill(LINE_TASK, &a.tasks[1 + i]);
		trace_put_action(&out, &a, 1);
		assert_int_equal(out.error, 0);
		assert_int_equal(read_all(&out, &item), 1);
		assert_int_equal(item.type, TRACE_ACTION);
		assert_true(item.action.id == a.a[1].id);
		assert_true(item.action.parent == a.a[1].parent);
		assert_null(trace_action_differs(&a.a[1], a.tasks + 1, &item.action, item.tasks));

		item.action.value ^= 1;
		assert_string_equal(trace_action_differs(&a.a[1], a.tasks + 1, &item.action, item.tasks), "v");
		item.action.value ^= 1;
		if (a.a[1].n_tasks) {
			a.tasks[a.a[1].n_tasks].pid ^= 1;
			assert_string_equal(trace_action_differs(&a.a[1], a.tasks + 1, &item.action, item.tasks), "pid");
		}
	}
}

/* Does a table forget a byte of its struct? Two structs that differ in one byte
 * must not be written the same, paddings and the exceptions named here apart. */
static void check_complete(enum trace_line which, size_t size, const char *name, const char *holes)
{
	uint8_t *covered = calloc(1, size);

	for (size_t i = 0; i < trace_tables[which].n; i++) {
		static const uint8_t width[] = {
			[FIELD_U8] = 1, [FIELD_U16] = 2, [FIELD_U32] = 4, [FIELD_U64] = 8, [FIELD_I8] = 1, [FIELD_I16] = 2, [FIELD_I32] = 4,
			[FIELD_I64] = 8, [FIELD_BOOL] = 1, [FIELD_USEC] = 8, [FIELD_ENUM] = 4, [FIELD_CANDIDATES] = 1, [FIELD_SHARES] = 8,
		};
		const struct trace_field *f = &trace_tables[which].fields[i];

		memset(covered + f->offset, 1, f->kind == FIELD_TEXT ? f->size : width[f->kind]);
	}
	for (size_t i = 0; i < size; i++)
		if (!covered[i] && !holes[i])
			fail_msg("byte %zu of struct %s is in no field of its line", i, name);
	free(covered);
}

#define HOLE(S, m) memset(holes + offsetof(struct S, m), 1, sizeof(((struct S *) 0)->m))
#define PAD(S, a, b) memset(holes + offsetof(struct S, a) + sizeof(((struct S *) 0)->a), 1, \
			    offsetof(struct S, b) - offsetof(struct S, a) - sizeof(((struct S *) 0)->a))
#define PAD_END(S, a) memset(holes + offsetof(struct S, a) + sizeof(((struct S *) 0)->a), 1, \
			     sizeof(struct S) - offsetof(struct S, a) - sizeof(((struct S *) 0)->a))

static void test_complete(void **unused)
{
	char holes[2048];

	memset(holes, 0, sizeof(holes));
	HOLE(group_sample, id);
	PAD_END(group_sample, pids);
	check_complete(LINE_SAMPLE, sizeof(struct group_sample), "group_sample", holes);

	memset(holes, 0, sizeof(holes));
	PAD(group_info, weight, quota_us);
	PAD(group_info, uid, path);
	PAD_END(group_info, procs);
	check_complete(LINE_GROUP, sizeof(struct group_info), "group_info", holes);

	memset(holes, 0, sizeof(holes));
	HOLE(result, tasks);
	PAD(result, n_tasks, tasks);
	check_complete(LINE_RESULT, sizeof(struct result), "result", holes);

	memset(holes, 0, sizeof(holes));
	PAD(task_ref, keep, comm);
	PAD_END(task_ref, comm);
	check_complete(LINE_TASK, sizeof(struct task_ref), "task_ref", holes);

	memset(holes, 0, sizeof(holes));
	PAD(action, verb, group);
	HOLE(action, task_first);
	PAD(action, n_tasks, reason);
	PAD(action, reason.limit, reason.lasting);
	PAD(action, reason.n_candidates, reason.candidates);
	HOLE(action, reason.candidates);
	PAD_END(action, reason.text);
	check_complete(LINE_ACTION, sizeof(struct action), "action", holes);

	memset(holes, 0, sizeof(holes));
	PAD(drift, knob, original);
	PAD_END(drift, original);
	check_complete(LINE_DRIFT, sizeof(struct drift), "drift", holes);

	memset(holes, 0, sizeof(holes));
	PAD(operator_order, verb, group);
	PAD_END(operator_order, reason);
	check_complete(LINE_ORDER, sizeof(struct operator_order), "operator_order", holes);

	memset(holes, 0, sizeof(holes));
	PAD_END(recall, due);
	check_complete(LINE_RECALL, sizeof(struct recall), "recall", holes);

	memset(holes, 0, sizeof(holes));
	PAD(snapshot, pressure, machine);
	PAD(snapshot, machine.ncpu, machine.user);
	PAD(snapshot, machine.sched_ext, canary);
	PAD(snapshot, window, source);
	HOLE(snapshot, n_cpu);
	PAD(snapshot, lost, groups);
	check_complete(LINE_SNAPSHOT, offsetof(struct snapshot, groups), "snapshot", holes);
}

static void test_text(void **unused)
{
	static char text[10000];
	char got[sizeof(text)];
	size_t n_got = 0;
	struct trace_out out = out_new();
	struct trace_item item;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char) (i % 300 == 299 ? '\n' : rnd());
	trace_put_text(&out, text, sizeof(text));
	memset(reader, 0, sizeof(*reader));
	reader->versioned = true;
	for (size_t at = 0; at < out.len;) {
		const char *nl = memchr(buf + at, '\n', out.len - at);

		assert_int_equal(trace_read(reader, buf + at, (size_t) (nl - buf) - at, &item), 0);
		assert_int_equal(item.type, TRACE_TEXT);
		memcpy(got + n_got, item.text, item.n_text);
		n_got += item.n_text;
		at = (size_t) (nl - buf) + 1;
	}
	assert_int_equal(n_got, sizeof(text));
	assert_memory_equal(text, got, sizeof(text));
}

static unsigned flushes;

static int count_flush(struct trace_out *out)
{
	flushes++;
	assert_true(out->len > 0 && out->buf[out->len - 1] == '\n');
	out->len = 0;
	return 0;
}

static int fail_flush(struct trace_out *out)
{
	return -28;
}

/* A buffer is only ever given away with whole lines in it, and a full one is an error once. */
static void test_bounds(void **unused)
{
	static struct snapshot s;
	struct event e = { .now = 1, .type = EVENT_SNAPSHOT, .snapshot = &s };
	struct trace_out out;

	snapshot_fill(&s, 500, 2);
	for (size_t size = 0; size < 5000; size += 7) {
		out = (struct trace_out) { .buf = buf, .size = size };
		trace_put_event(&out, &e);
		assert_int_equal(out.error, -ENOBUFS);
		assert_true(out.len <= size && (out.len == 0 || buf[out.len - 1] == '\n'));
	}
	out = (struct trace_out) { .buf = buf, .size = 2 * TRACE_LINE_MAX, .flush = count_flush };
	for (unsigned i = 0; i < 20; i++)
		trace_put_event(&out, &e);
	assert_int_equal(out.error, 0);
	assert_true(flushes > 10);
	out.flush = fail_flush;
	for (unsigned i = 0; i < 3; i++)
		trace_put_event(&out, &e);
	assert_int_equal(out.error, -28);
}

static void test_head(void **unused)
{
	struct trace_out out = out_new();
	struct trace_item item;

	trace_put_init(&out, 123456789, 4294967295u);
	assert_int_equal(read_all(&out, &item), 1);
	assert_int_equal(item.type, TRACE_INIT);
	assert_true(item.now == 123456789 && item.seed == 4294967295u);
	out = out_new();
	trace_put_begin(&out);
	assert_int_equal(read_all(&out, &item), 1);
	assert_int_equal(item.type, TRACE_BEGIN);
}

static void test_refused(void **unused)
{
	static const struct { const char *line, *says; } cases[] = {
		{ "Q 1", "a line begins with" },
		{ "S", "a time was expected" },
		{ "S x", "a number was expected" },
		{ "S 1.0000001", "six decimals" },
		{ "S 99999999999999 n=0", "too big" },
		{ "S 1 n=1025", "out of range" },
		{ "S 1 n=0 n=0", "twice" },
		{ "S 1 cpus=70000", "cpus= is out of range" },
		{ "S 1 blah=3", "not known" },
		{ "S 1 n", "has no value" },
		{ "S 1 n=3x", "something follows" },
		{ "S 1 w=184467440737095516151", "too big" },
		{ "G 1 name=x", "in quotes" },
		{ "G 1 name=\"x", "closing quote" },
		{ "G 1 name=\"\\q\"", "backslash" },
		{ "G 1 proc0=\"0123456789abcdef\"", "too long; 15" },
		{ "R 1 st=fine", "not known" },
		{ "R 1 n=2 t=3", "t= is n=" },
		{ "R 1 n=129 t=129", "at most 128" },
		{ "A verb=tickle", "not known" },
		{ "A verb=rank n=513", "at most 512" },
		{ "A blame=1:2,3:4,5:6,7:8", "at most 3" },
		{ "A blame=1", "GROUP:PART" },
		{ "A v=9223372036854775808", "out of range" },
		{ "t pid=1", "a line begins with" },
		{ "g 7", "a line begins with" },
		{ "X 1", "id was expected" },
		{ "T 1 2", "something follows" },
		{ "init 1 4294967296", "seed below" },
		{ "begin now", "something follows" },
		{ "P text", "in quotes" },
	};
	struct trace_item item;

	memset(reader, 0, sizeof(*reader));
	assert_int_equal(trace_read(reader, "reprieve-trace 2\n", 17, &item), -EINVAL);
	assert_non_null(strstr(reader->error, "version 1"));
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		memset(reader, 0, sizeof(*reader));
		reader->versioned = true;
		if (trace_read(reader, cases[i].line, strlen(cases[i].line), &item) != -EINVAL)
			fail_msg("accepted: %s", cases[i].line);
		if (!strstr(reader->error, cases[i].says))
			fail_msg("%s: '%s' does not say '%s'", cases[i].line, reader->error, cases[i].says);
		assert_int_equal(reader->line, 1);
	}

	/* In mid-item. */
	memset(reader, 0, sizeof(*reader));
	reader->versioned = true;
	assert_int_equal(trace_read(reader, "S 1 n=2", 7, &item), 0);
	assert_int_equal(item.type, TRACE_NOTHING);
	assert_int_equal(trace_read(reader, "g 9 r=1", 7, &item), 0);
	assert_true(trace_read_partial(reader));
	assert_int_equal(trace_read(reader, "g 9 r=1", 7, &item), -EINVAL);
	assert_non_null(strstr(reader->error, "ascending"));
	assert_false(trace_read_partial(reader));

	memset(buf, 'x', TRACE_LINE_MAX + 1);
	assert_int_equal(trace_read(reader, buf, TRACE_LINE_MAX + 1, &item), -EINVAL);
	assert_non_null(strstr(reader->error, "longer"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events), cmocka_unit_test(test_snapshots), cmocka_unit_test(test_actions),
		cmocka_unit_test(test_complete), cmocka_unit_test(test_text), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_head), cmocka_unit_test(test_refused),
	};

	buf = malloc(buf_size);
	reader = calloc(1, sizeof(*reader));
	return buf && reader ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
