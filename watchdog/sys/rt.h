/* SPDX-License-Identifier: Apache-2.0 */
/* rt: keeps this process running and in memory while the machine drowns. Each part
 * is tried, and what could not be had is said with its remedy; nothing is fatal.
 * The rt budget of a v1 cgroup is the one thing changed outside of the process: its
 * original is written to RT_FILE in the run directory first, and rt_restore puts it
 * back, also at the next start after a kill -9. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"

#define RT_FILE       "rt-budget"
#define RT_RUNTIME_US 50000             /* per cpu.rt_period_us (1 s): 5 % of a CPU */
#define RT_BUDGET     (200 * USEC_PER_MSEC)     /* CPU time in one go; beyond: falls back to SCHED_OTHER by itself */
#define RT_START_BUDGET USEC_PER_SEC    /* the same while starting */
#define RT_TEXT_MAX   200

enum rt_class {
	RT_NONE,                        /* an ordinary task */
	RT_FIFO,                        /* SCHED_FIFO 1, children are ordinary */
	RT_FIFO_BUDGET,                 /* same, after giving our v1 cgroup a budget */
	RT_NICE,                        /* nice -20 */
};

struct rt_report {
	enum rt_class scheduling;
	bool locked, oom;               /* memory locked; the OOM killer takes us last */
	char scheduling_text[RT_TEXT_MAX], locked_text[RT_TEXT_MAX], oom_text[RT_TEXT_MAX];
	                                /* why not, and the remedy; "" where had */
	char budget_text[RT_TEXT_MAX];  /* what was changed outside of the process; "" where nothing was */
};

/* First of all, before there is a run directory: real-time where that needs no budget,
 * else nice -20. Children are ordinary. Changes nothing outside of the process. */
void rt_begin(void);

/* Last, since it locks what there is by then. rundir: a directory fd for RT_FILE, or -1 to leave budgets alone. */
void rt_raise(int rundir, struct rt_report *ret);
int  rt_restore(int rundir);            /* 0 also where there is nothing to do */

/* Pure: a line of RT_FILE, without its end. *ret_path is in it. -EBADMSG: not one that we write. */
int  rt_parse_line(const char *line, int64_t *ret_runtime, const char **ret_path);

/* The scheduling of the calling thread alone, for a thread other than the main one. */
bool rt_fell_back(void);                /* RT_BUDGET was used up since the last call */
int  rt_again(void);                    /* SCHED_FIFO again after that */
const char *rt_class_to_string(enum rt_class c);
