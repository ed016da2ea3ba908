/* SPDX-License-Identifier: Apache-2.0 */
/* names_procps: libprocps 3.3 (Amazon Linux 2023, EL 9, Ubuntu 22.04, Debian 11).
 * PROC_PID with a list reads /proc/TID directly, so threads work as well. PROC_FILLSTAT
 * alone costs one open per row. openproc exits the process where there is no /proc:
 * that is checked first. */
#include "steward/names.h"

#include <errno.h>
#include <proc/readproc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macro.h"

struct names {
	pid_t list[NAMES_CHUNK + 1];    /* ends in 0 */
};

int names_new(struct names **ret)
{
	struct names *n;

	if (access("/proc/self/stat", R_OK) < 0)
		return -errno;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return -ENOMEM;
	*ret = n;
	return 0;
}

struct names *names_free(struct names *n)
{
	free(n);
	return NULL;
}

int names_read(struct names *names, const int32_t *tids, size_t n, struct names_row *rows, size_t *ret_n)
{
	size_t out = 0;

	for (size_t first = 0; first < n; first += NAMES_CHUNK) {
		size_t k = MIN(n - first, (size_t)NAMES_CHUNK);
		PROCTAB *pt;
		proc_t p;

		for (size_t i = 0; i < k; i++)
			names->list[i] = tids[first + i];
		names->list[k] = 0;
		pt = openproc(PROC_FILLSTAT | PROC_PID, names->list);
		if (pt == NULL)
			return -EIO;
		memset(&p, 0, sizeof(p));
		while (out < n && readproc(pt, &p) != NULL)
			rows[out++] = (struct names_row){
				.tid = p.tid, .start = p.start_time, .ticks = p.utime + p.stime,
				.child_ticks = p.cutime + p.cstime, .policy = (uint8_t)p.sched, .nice = (int8_t)p.nice,
			};
		closeproc(pt);
	}
	*ret_n = out;
	return 0;
}

int names_sweep(struct names *names, size_t max, names_fn fn, void *data)
{
	PROCTAB *pt = openproc(PROC_FILLSTAT);
	size_t n = 0;
	int r = 0;
	proc_t p;

	if (pt == NULL)
		return -EIO;
	memset(&p, 0, sizeof(p));
	while (readproc(pt, &p) != NULL) {
		if (n++ >= max) {
			r = -E2BIG;
			break;
		}
		fn(p.tid, p.cmd, data);
	}
	closeproc(pt);
	return r;
}

const char *names_library(void)
{
	return "libprocps";
}
