/* SPDX-License-Identifier: Apache-2.0 */
/* gather: adds up figures of cgroups and CPUs into the samples of one snapshot:
 * ascending by id, per-CPU figures beside, what is beyond a bound folded into
 * GROUP_OTHER. Pure; memory is taken by gather_new(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/snapshot.h"

#define GATHER_GROUPS 8192      /* ids in one snapshot; beyond: GROUP_OTHER */
#define GATHER_CELLS  32768     /* figures of one cgroup on one CPU; beyond: in the sums only */

struct gather;

struct gather_group {
	uint64_t id;
	uint64_t run_ns, wait_ns, rt_run_ns, kthread_run_ns;
	uint32_t forks;
	uint32_t cells;
	bool keep;                      /* never folded, sampled even if it did nothing */
	bool fold;                      /* goes into GROUP_OTHER */
};

struct gather_delta {
	uint64_t id;
	unsigned cpu;
	uint64_t run_ns, wait_ns, rt_run_ns, kthread_run_ns;
	uint32_t forks;
};

struct gather *gather_new(void);        /* NULL: no memory */
struct gather *gather_free(struct gather *g);

/* A task that kept a CPU over several windows shows all of it when it leaves: run
 * of one cgroup on one CPU is cut to the window. */
void gather_begin(struct gather *g, usec_t window);
void gather_add(struct gather *g, const struct gather_delta *d);        /* a cgroup's CPUs ascending */
void gather_add_run(struct gather *g, uint64_t id, uint64_t run_us);    /* without CPUs */
void gather_keep(struct gather *g, uint64_t id);

/* [0..gather_count) may be looked at and marked; gather_rank() puts the largest
 * run + wait first. */
unsigned gather_count(const struct gather *g);
struct gather_group *gather_at(struct gather *g, unsigned i);
void gather_rank(struct gather *g);

/* Sets n_groups, n_cpu, groups, cpu; psi_some_us, throttled_us
 * and pids are -1. */
void gather_finish(struct gather *g, struct snapshot *ret);
