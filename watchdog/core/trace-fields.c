/* SPDX-License-Identifier: Apache-2.0 */
/* trace-fields
 *
 * A flight record is worth something only while what is written reads back as
 * the same value, so no line is written or parsed by hand: each has a table of
 * its struct's fields, and writer, reader and comparison walk that table. A
 * field that is added to an action or a snapshot and forgotten here is found by
 * the round trip in tests/unit/test-trace.c, which fills every byte. */
#include "core/trace-fields.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"

static const char *verb_name(int v) { return verb_to_string((enum verb) v); }
static const char *cause_name(int v) { return cause_to_string((enum cause) v); }
static const char *why_name(int v) { return why_to_string((enum why) v); }

static const char *status_name(int v)
{
	static const char *const names[] = { "done", "failed", "timed-out" };
	return names[v];
}

static const char *names_name(int v)
{
	static const char *const names[] = { "awaited", "known", "failed" };
	return names[v];
}

static const char *order_name(int v)
{
	static const char *const names[] = { "release", "release-all", "pause", "resume" };
	return names[v];
}

static const char *recall_name(int v)
{
	static const char *const names[] = { "has", "asked", "failed", "again" };
	return names[v];
}

#define F(k, S, m, K, d)    { .key = k, .offset = offsetof(struct S, m), .kind = FIELD_##K, .dflt = d }
#define TXT(k, S, m)        { .key = k, .offset = offsetof(struct S, m), .kind = FIELD_TEXT, .size = sizeof(((struct S *) 0)->m) }
#define ENU(k, S, m, fn, n) { .key = k, .offset = offsetof(struct S, m), .kind = FIELD_ENUM, .size = n, .name = fn }

static const struct trace_field snapshot_fields[] = {
	F("w", snapshot, window, USEC, 0),
	F("src", snapshot, source, U32, 0),
	F("prs", snapshot, pressure, U32, 0),
	F("cpus", snapshot, machine.ncpu, U16, 0),
	F("us", snapshot, machine.user, I32, 0),
	F("sy", snapshot, machine.system, I32, 0),
	F("wa", snapshot, machine.iowait, I32, 0),
	F("st", snapshot, machine.steal, I32, 0),
	F("irq", snapshot, machine.irq, I32, 0),
	F("id", snapshot, machine.idle, I32, 0),
	F("cpu", snapshot, machine.cpu_some, I32, 0),
	F("mem", snapshot, machine.mem_some, I32, 0),
	F("memf", snapshot, machine.mem_full, I32, 0),
	F("io", snapshot, machine.io_some, I32, 0),
	F("iof", snapshot, machine.io_full, I32, 0),
	F("rq", snapshot, machine.runnable, I32, 0),
	F("blk", snapshot, machine.blocked, I32, 0),
	F("fk", snapshot, machine.forks, I32, 0),
	F("tasks", snapshot, machine.tasks, I32, 0),
	F("tmax", snapshot, machine.tasks_max, I32, 0),
	F("scx", snapshot, machine.sched_ext, BOOL, 0),
	F("cc", snapshot, canary.cpu_us, I32, -1),
	F("cw", snapshot, canary.wall_us, I32, -1),
	F("lost", snapshot, lost, U32, 0),
	F("n", snapshot, n_groups, U32, 0),
};

static const struct trace_field sample_fields[] = {
	F("r", group_sample, run_us, U32, 0),
	F("w", group_sample, wait_us, U32, 0),
	F("rt", group_sample, rt_run_us, U32, 0),
	F("k", group_sample, kthread_run_us, U32, 0),
	F("f", group_sample, forks, U32, 0),
	F("psi", group_sample, psi_some_us, I32, -1),
	F("th", group_sample, throttled_us, I32, -1),
	F("p", group_sample, pids, I32, -1),
	F("c", group_sample, cpu_first, SHARES, 0),
};

static const struct trace_field group_fields[] = {
	F("id", group_info, id, U64, 0),
	F("up", group_info, parent, U64, 0),
	F("fl", group_info, flags, U32, 0),
	F("wt", group_info, weight, I32, 100),
	F("q", group_info, quota_us, I64, -1),
	F("per", group_info, period_us, I64, 100000),
	F("born", group_info, born, USEC, 0),
	F("uid", group_info, uid, U32, UINT32_MAX),
	TXT("path", group_info, path),
	TXT("name", group_info, name),
	TXT("proc0", group_info, procs[0]),
	TXT("proc1", group_info, procs[1]),
	TXT("proc2", group_info, procs[2]),
	TXT("proc3", group_info, procs[3]),
};

static const struct trace_field result_fields[] = {
	F("id", result, action, U64, 0),
	ENU("st", result, status, status_name, 3),
	F("err", result, error, I32, 0),
	F("v", result, value, I64, 0),
	F("v2", result, value2, I64, 0),
	F("n", result, n_tasks, U32, 0),
};

static const struct trace_field task_fields[] = {
	F("pid", task_ref, pid, I32, 0),
	F("tid", task_ref, tid, I32, 0),
	F("start", task_ref, start, U64, 0),
	F("cpu", task_ref, cpu_pm, U32, 0),
	F("pol", task_ref, policy, U8, 0),
	F("nice", task_ref, nice, I8, 0),
	F("keep", task_ref, keep, BOOL, 0),
	TXT("comm", task_ref, comm),
};

static const struct trace_field drift_fields[] = {
	F("id", drift, group, U64, 0),
	ENU("knob", drift, knob, verb_name, _VERB_MAX),
	F("orig", drift, original, BOOL, 0),
	F("v", drift, value, I64, 0),
	F("v2", drift, value2, I64, 0),
};

static const struct trace_field endpoint_fields[] = {
	F("pol", endpoint_answer, policy, I16, 0),
	F("good", endpoint_answer, good, BOOL, 0),
	F("took", endpoint_answer, took, USEC, 0),
};

static const struct trace_field order_fields[] = {
	ENU("verb", operator_order, verb, order_name, 4),
	F("id", operator_order, group, U64, 0),
	F("until", operator_order, until, USEC, 0),
	TXT("why", operator_order, reason),
};

static const struct trace_field names_fields[] = {
	ENU("is", names_news, state, names_name, _NAMES_MAX),
	F("since", names_news, since, USEC, 0),
};

static const struct trace_field lifted_fields[] = {
	F("until", lifted_news, until, USEC, 0),
	F("barred", lifted_news, barred, USEC, 0),
};

static const struct trace_field recall_fields[] = {
	ENU("is", recall, what, recall_name, _RECALL_MAX),
	ENU("verb", recall, verb, verb_name, _VERB_MAX),
	F("g", recall, group, U64, 0),
	F("id", recall, action, U64, 0),
	F("v", recall, value, I64, 0),
	F("at", recall, at, USEC, 0),
	F("due", recall, due, BOOL, 0),
};

static const struct trace_field action_fields[] = {
	F("id", action, id, U64, 0),
	ENU("verb", action, verb, verb_name, _VERB_MAX),
	F("g", action, group, U64, 0),
	F("v", action, value, I64, 0),
	F("v2", action, value2, I64, 0),
	F("after", action, parent, U64, 0),
	F("by", action, deadline, USEC, 0),
	F("until", action, until, USEC, 0),
	F("n", action, n_tasks, U16, 0),
	ENU("why", action, reason.why, why_name, _WHY_MAX),
	ENU("cause", action, reason.cause, cause_name, _CAUSE_MAX),
	F("victim", action, reason.victim, U64, 0),
	F("is", action, reason.measured, I32, -1),
	F("limit", action, reason.limit, I32, -1),
	F("for", action, reason.lasting, USEC, 0),
	F("pol", action, reason.policy, I16, -1),
	F("blame", action, reason.n_candidates, CANDIDATES, 0),
	TXT("text", action, reason.text),
};

#define TABLE(t) { t, ELEMENTSOF(t) }
const struct trace_table trace_tables[_LINE_MAX] = {
	[LINE_SNAPSHOT] = TABLE(snapshot_fields),
	[LINE_SAMPLE]   = TABLE(sample_fields),
	[LINE_GROUP]    = TABLE(group_fields),
	[LINE_RESULT]   = TABLE(result_fields),
	[LINE_TASK]     = TABLE(task_fields),
	[LINE_DRIFT]    = TABLE(drift_fields),
	[LINE_ENDPOINT] = TABLE(endpoint_fields),
	[LINE_ORDER]    = TABLE(order_fields),
	[LINE_NAMES]    = TABLE(names_fields),
	[LINE_LIFTED]   = TABLE(lifted_fields),
	[LINE_RECALL]   = TABLE(recall_fields),
	[LINE_ACTION]   = TABLE(action_fields),
};

int64_t trace_field_get(const struct trace_field *f, const void *base)
{
	const char *p = (const char *) base + f->offset;

	switch (f->kind) {
	case FIELD_U8:   return *(const uint8_t *) p;
	case FIELD_U16:  return *(const uint16_t *) p;
	case FIELD_U32:
	case FIELD_ENUM: return *(const uint32_t *) p;
	case FIELD_USEC:
	case FIELD_U64:  return (int64_t) *(const uint64_t *) p;
	case FIELD_I8:   return *(const int8_t *) p;
	case FIELD_I16:  return *(const int16_t *) p;
	case FIELD_I32:  return *(const int32_t *) p;
	case FIELD_I64:  return *(const int64_t *) p;
	case FIELD_BOOL: return *(const bool *) p;
	default:         return 0;
	}
}

int trace_field_set(const struct trace_field *f, void *base, bool negative, uint64_t m)
{
	static const uint64_t max[] = {
		[FIELD_U8] = UINT8_MAX, [FIELD_U16] = UINT16_MAX, [FIELD_U32] = UINT32_MAX, [FIELD_U64] = UINT64_MAX,
		[FIELD_I8] = INT8_MAX, [FIELD_I16] = INT16_MAX, [FIELD_I32] = INT32_MAX, [FIELD_I64] = INT64_MAX,
		[FIELD_BOOL] = 1, [FIELD_USEC] = UINT64_MAX, [FIELD_ENUM] = UINT32_MAX,
	};
	bool is_signed = f->kind >= FIELD_I8 && f->kind <= FIELD_I64;
	char *p = (char *) base + f->offset;
	int64_t v;

	if (f->kind >= ELEMENTSOF(max) || (negative && !is_signed) || m > max[f->kind] + (negative ? 1 : 0))
		return -ERANGE;
	v = (int64_t) (negative ? 0 - m : m);

	switch (f->kind) {
	case FIELD_U8:   *(uint8_t *) p = (uint8_t) m; break;
	case FIELD_U16:  *(uint16_t *) p = (uint16_t) m; break;
	case FIELD_U32:
	case FIELD_ENUM: *(uint32_t *) p = (uint32_t) m; break;
	case FIELD_USEC:
	case FIELD_U64:  *(uint64_t *) p = m; break;
	case FIELD_I8:   *(int8_t *) p = (int8_t) v; break;
	case FIELD_I16:  *(int16_t *) p = (int16_t) v; break;
	case FIELD_I32:  *(int32_t *) p = (int32_t) v; break;
	case FIELD_I64:  *(int64_t *) p = v; break;
	case FIELD_BOOL: *(bool *) p = m; break;
	}
	return 0;
}
