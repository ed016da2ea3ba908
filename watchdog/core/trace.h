/* SPDX-License-Identifier: Apache-2.0 */
/* trace: the flight record as text. Pure: the writer fills the caller's buffer,
 * the reader is given one line at a time. What is written reads back the same.
 *
 *   reprieve-trace 1            first line
 *   P "text"                    a piece of the policies in force, canonical text
 *   init NOW SEED               the engine was (re)made: policies from the P lines before
 *   G NOW id=7 …                the groups it knew; what it asks for by that was done
 *   O N L M NOW …               what else it knew, engine_recall(): a pause, a wait for names, what was lifted and
 *                               barred; of lifelines what is not as the policies have it, waits for an answer, is
 *                               due again, or failed
 *   begin                       from here on actions count
 *   S NOW … n=2 / g ID …        snapshot and its groups, per-CPU shares as c=CPU:RUN:WAIT,…
 *   G X R D E p O N L J T       group, gone, result, drift, endpoint, policies, operator, names, lifted, journal
 *                               lost, timeout
 *   A id=9 verb=quota …         what the engine answered to the event before
 *   t pid=…                     a task of the result or action before
 *
 * Times are seconds with up to six decimals. A key that is left out has its
 * default. Text is in quotes; everything but printable ASCII is \xNN. Blank lines
 * and lines with # are skipped by the reader. */
#pragma once

#include <stddef.h>

#include "core/event.h"

#define TRACE_VERSION   1
#define TRACE_LINE_MAX  16384   /* bytes of a line; the writer stays below, the reader refuses longer */
#define TRACE_PIECE     1024    /* bytes of policy text in a P line before escaping */

/* The writer. Functions never fail in mid-line: a line that does not fit after
 * flush() sets error (-ENOBUFS, or flush's) and everything later is dropped. */
struct trace_out {
	char *buf;                      /* at least TRACE_LINE_MAX where flush is set */
	size_t size, len;
	int (*flush)(struct trace_out *); /* takes buf[0..len) away and sets len to 0; 0 / -errno. NULL: none */
	void *userdata;
	int error;
};

void trace_put_version(struct trace_out *out);
void trace_put_text(struct trace_out *out, const char *policies, size_t n);
void trace_put_init(struct trace_out *out, usec_t now, uint32_t seed);
void trace_put_begin(struct trace_out *out);
void trace_put_event(struct trace_out *out, const struct event *event);   /* EVENT_POLICIES: trace_put_text() first */
void trace_put_action(struct trace_out *out, const struct actions *actions, uint32_t i);

enum trace_type {
	TRACE_NOTHING,          /* the line is a part of something, or says nothing */
	TRACE_TEXT,             /* text[0..n_text): append to the policies being collected */
	TRACE_INIT,             /* now, seed; the policies collected are complete */
	TRACE_BEGIN,
	TRACE_EVENT,            /* event; of EVENT_POLICIES event.policies is NULL: the collected text */
	TRACE_ACTION,           /* action, tasks[0..action.n_tasks) with task_first = 0 */
};

struct trace_item {
	enum trace_type type;
	const char *text;
	size_t n_text;
	usec_t now;
	uint32_t seed;
	struct event event;
	struct action action;
	const struct task_ref *tasks;
};

/* The reader; some 250 KiB, so not for the stack. Pointers of an item are into it
 * and good until the next line. Zeroed = ready. */
struct trace_reader {
	uint32_t line;                  /* the number of the last one */
	char error[160];                /* of -EINVAL: one sentence without the line number */
	bool versioned;
	uint32_t due;                   /* g or t lines that still belong to pending */
	struct trace_item pending;
	uint32_t n_tasks;
	struct task_ref tasks[MAX_SQUEEZED_TASKS];
	struct group_info group;
	struct snapshot snapshot;
	char text[TRACE_LINE_MAX];
};

/* 0, or -EINVAL with r->error and r->line. The line may end with a newline. */
int trace_read(struct trace_reader *r, const char *line, size_t n, struct trace_item *ret);

/* Is something incomplete at the end of the record (cut off)? */
bool trace_read_partial(const struct trace_reader *r);

/* NULL where the two are the same but for their ids, else the key of the first
 * difference. */
const char *trace_action_differs(const struct action *a, const struct task_ref *a_tasks,
				 const struct action *b, const struct task_ref *b_tasks);
