/* SPDX-License-Identifier: Apache-2.0 */
/* rank: which tasks of a cgroup use the CPU, worst first. Two looks RANK_WINDOW
 * apart; the caller waits in between. A ranking looks at the tasks that the files of the
 * named cgroup list, and at no others, within RANK_TASKS_MAX. Only rank_find() goes
 * through all of /proc, since who is protected by name may live anywhere. */
#pragma once

#include <stdbool.h>

#include "steward/names.h"
#include "steward/talk.h"

#define RANK_WINDOW    (120 * USEC_PER_MSEC)
#define RANK_TASKS_MAX 2048     /* looked at in one ranking; beyond: not ranked, `seen` tells */
#define RANK_DIRS_MAX  128      /* cgroups below, where deep; beyond: left out */
#define RANK_DEPTH_MAX 4

struct rank_task {
	int32_t tid;
	uint64_t start, run_ns, child_ticks;
};

struct rank {
	usec_t began;
	struct talk_rank query;
	uint32_t n;
	struct rank_task tasks[RANK_TASKS_MAX];         /* ascending by tid */
};

/* First look. 0 or -errno (-ENOENT: the cgroup is gone). */
int rank_begin(struct rank *r, struct names *names, const struct talk_rank *query, usec_t now);

/* Second look; ret->tasks are sorted by cpu_pm, then tid. cpu_pm counts what the task
 * itself ran, plus what its children ran that ended meanwhile: in fork churn the
 * parents are to blame and the children are gone before anybody looks. */
int rank_end(struct rank *r, struct names *names, const struct talk_globs *keep, usec_t now, struct talk_ranked *ret);

/* FIND: calls fn once for each different (cgroup path, name) of processes whose name
 * matches a pattern, wherever in /proc. controller: see PROTOCOL_FIND. 0, 1: cut at
 * FIND_ROWS_MAX or FIND_PROCS_MAX, -errno. */
#define FIND_ROWS_MAX  512
#define FIND_PROCS_MAX 32768
typedef void (*rank_found_fn)(const struct talk_found_row *row, void *data);
int rank_find(struct names *names, const char *controller, const struct talk_globs *globs, rank_found_fn fn, void *data);
