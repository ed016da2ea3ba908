/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-trace: any bytes as a flight record: no crash; and what is accepted is
 * written and read again as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct trace_reader r, again;
	static struct actions actions;
	static char out_buf[1 << 20];
	const char *p = (const char *) data, *end = p + size;
	struct trace_item item;

	memset(&r, 0, sizeof(r));
	r.versioned = size > 0 && data[0] != 'r';
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t) (end - p));
		size_t n = nl ? (size_t) (nl - p) + 1 : (size_t) (end - p);
		struct trace_out out = { .buf = out_buf, .size = sizeof(out_buf) };
		int k = trace_read(&r, p, n, &item);

		p += n;
		if (k < 0 && r.error[0] == 0)
			abort();
		if (k < 0)
			continue;
		if (item.type == TRACE_EVENT)
			trace_put_event(&out, &item.event);
		else if (item.type == TRACE_ACTION) {
			actions.n = 1;
			actions.a[0] = item.action;
			actions.a[0].task_first = 0;
			memcpy(actions.tasks, item.tasks, item.action.n_tasks * sizeof(item.tasks[0]));
			trace_put_action(&out, &actions, 0);
		}
		if (out.error)
			abort();
		memset(&again, 0, offsetof(struct trace_reader, tasks));
		again.versioned = true;
		for (size_t at = 0; at < out.len;) {
			struct trace_item copy;
			const char *e = memchr(out_buf + at, '\n', out.len - at);
			size_t m = (size_t) (e - out_buf) + 1 - at;

			if (trace_read(&again, out_buf + at, m, &copy) != 0)
				abort();
			at += m;
			if (at == out.len && (copy.type != item.type || (item.type == TRACE_ACTION &&
					      trace_action_differs(&item.action, item.tasks, &copy.action, copy.tasks))))
				abort();
		}
	}
	return 0;
}
