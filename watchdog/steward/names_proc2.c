/* SPDX-License-Identifier: Apache-2.0 */
/* names_proc2: libproc2 4.0. Its enum of items is renumbered between releases (4.0.4
 * to 4.0.7 inserted five in the middle) and PIDS_VAL lost an argument: this file is
 * compiled for the library it runs with, and values are read by position only.
 *
 * All items asked for come from /proc/TID/stat, which costs one open per row; a
 * name from PIDS_CMD is what the library makes of it for a terminal. */
#include "steward/names.h"

#include <errno.h>
#include <libproc2/pids.h>
#include <stdlib.h>

#include "base/macro.h"

enum { AT_PID, AT_START, AT_OWN, AT_ALL, AT_POLICY, AT_NICE, AT_MAX };
static enum pids_item g_items[AT_MAX] = {
	PIDS_ID_PID, PIDS_TICS_BEGAN, PIDS_TICS_ALL, PIDS_TICS_ALL_C, PIDS_SCHED_CLASS, PIDS_NICE,
};
static enum pids_item g_sweep_items[] = { PIDS_ID_PID, PIDS_CMD };

#define V(stack, i, type) ((stack)->head[i].result.type)

struct names {
	struct pids_info *rows;
};

int names_new(struct names **ret)
{
	struct names *n = calloc(1, sizeof(*n));
	int r;

	if (n == NULL)
		return -ENOMEM;
	r = procps_pids_new(&n->rows, g_items, AT_MAX);
	if (r < 0) {
		(void)names_free(n);
		return r;
	}
	*ret = n;
	return 0;
}

struct names *names_free(struct names *n)
{
	if (n != NULL) {
		if (n->rows != NULL)
			(void)procps_pids_unref(&n->rows);
		free(n);
	}
	return NULL;
}

int names_read(struct names *names, const int32_t *tids, size_t n, struct names_row *rows, size_t *ret_n)
{
	size_t out = 0;

	for (size_t first = 0; first < n; first += NAMES_CHUNK) {
		unsigned these[NAMES_CHUNK];
		int k = (int)MIN(n - first, (size_t)NAMES_CHUNK);
		struct pids_fetch *f;

		for (int i = 0; i < k; i++)
			these[i] = (unsigned)tids[first + (size_t)i];
		errno = 0;
		f = procps_pids_select(names->rows, these, k, PIDS_SELECT_PID);
		if (f == NULL)
			return errno != 0 ? -errno : -EIO;
		for (int i = 0; i < f->counts->total && out < n; i++) {
			const struct pids_stack *s = f->stacks[i];

			rows[out++] = (struct names_row){
				.tid = V(s, AT_PID, s_int), .start = V(s, AT_START, ull_int), .ticks = V(s, AT_OWN, ull_int),
				.child_ticks = V(s, AT_ALL, ull_int) - V(s, AT_OWN, ull_int),
				.policy = (uint8_t)V(s, AT_POLICY, s_int), .nice = (int8_t)V(s, AT_NICE, s_int),
			};
		}
	}
	*ret_n = out;
	return 0;
}

int names_sweep(struct names *names, size_t max, names_fn fn, void *data)
{
	struct pids_info *info = NULL;
	struct pids_stack *s;
	size_t n = 0;
	int r = procps_pids_new(&info, g_sweep_items, ELEMENTSOF(g_sweep_items));

	if (r < 0)
		return r;
	/* _get goes row by row; _reap would hold all of them in memory at once. It does not
	 * begin anew after its end, hence a new info each time. */
	while ((s = procps_pids_get(info, PIDS_FETCH_TASKS_ONLY)) != NULL) {
		if (n++ >= max) {
			r = -E2BIG;
			break;
		}
		if (V(s, 1, str) != NULL)
			fn(V(s, 0, s_int), V(s, 1, str), data);
	}
	(void)procps_pids_unref(&info);
	return r;
}

const char *names_library(void)
{
	return "libproc2";
}
