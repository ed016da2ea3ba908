/* SPDX-License-Identifier: Apache-2.0 */
/* names: rows of /proc through the distribution's process library: names_proc2.c
 * for libproc2 4.x or names_procps.c for libprocps 3.3, chosen by the build. Both
 * allocate and take 10-20 µs a row: for the steward only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NAMES_CHUNK 200         /* tasks of one call into the library (libproc2 takes 255) */

struct names_row {
	int32_t tid;
	uint64_t start;                 /* clock ticks since boot: with tid, the identity */
	uint64_t ticks;                 /* CPU time: of the task, or of its process where tid is a thread (backends differ) */
	uint64_t child_ticks;           /* CPU time of its process's children that ended and were waited for */
	uint8_t  policy;                /* SCHED_* */
	int8_t   nice;
};

struct names;
int names_new(struct names **ret);      /* 0 or -errno */
struct names *names_free(struct names *n);

/* Rows of these tids, in their order; those that are gone are left out. rows has
 * room for n. 0 or -errno. */
int names_read(struct names *names, const int32_t *tids, size_t n, struct names_row *rows, size_t *ret_n);

/* All processes (no threads), at most max; -E2BIG: there were more. The callback
 * gets the pid and its name as the library shows it. */
typedef void (*names_fn)(int32_t pid, const char *comm, void *data);
int names_sweep(struct names *names, size_t max, names_fn fn, void *data);

const char *names_library(void);        /* "libproc2" */
