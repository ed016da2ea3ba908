/* SPDX-License-Identifier: Apache-2.0 */
/* probe: run and wait time per cgroup and CPU, from sched_switch. The only user of
 * libbpf. Everything is loaded, verified and mapped by probe_open(); attaching,
 * detaching and reading allocate nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "bpf/probe.h"
#include "sense/missing.h"

struct probe;

struct probe_config {
	enum probe_key key;
	unsigned ncpu;                  /* rows: the highest CPU number online + 1 */
	unsigned slots;                 /* per row, 0 = by ncpu */
};

/* Named conditions of probe_open(); ret_missing says each in words. */
enum {
	PROBE_E_BTF = 1,                /* the kernel carries no BTF */
	PROBE_E_PERMISSION,             /* no CAP_BPF + CAP_PERFMON, or memlock, seccomp, lockdown */
	PROBE_E_REFUSED,                /* the verifier or a relocation: a kernel that differs */
};

/* What one cgroup did on one CPU since the last read. cgroup 0: the overflow bucket. */
struct probe_delta {
	uint64_t cgroup;
	unsigned cpu;
	uint64_t run_ns, wait_ns, rt_run_ns, kthread_run_ns;
	uint32_t forks;
};
typedef void (*probe_visit_t)(const struct probe_delta *delta, void *userdata);

/* 0, -ENOMEM or a PROBE_E_; *ret_missing is set in the latter case. */
int probe_open(const struct probe_config *config, struct probe **ret, struct missing *ret_missing);
struct probe *probe_close(struct probe *p);     /* NULL is fine; returns NULL */

int  probe_attach(struct probe *p);             /* 0 or -errno; again is fine */
void probe_detach(struct probe *p);
bool probe_attached(const struct probe *p);

/* Calls visit for every slot that changed, ascending by CPU, and remembers it as
 * read. Counts begin anew with each attach. */
void probe_read(struct probe *p, probe_visit_t visit, void *userdata);

/* Runs and nanoseconds of the switch program so far (kernel.bpf_stats_enabled). */
int  probe_stats(const struct probe *p, uint64_t *ret_runs, uint64_t *ret_ns);
