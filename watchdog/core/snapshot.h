/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot: what the machine did between two moments. Filled by sense/, read by
 * the core, immutable while the core looks at it. All figures are deltas over
 * `window` unless they say otherwise; -1 is "unknown" in every signed field. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "core/limits.h"

#define GROUP_NONE   UINT64_C(0)
#define GROUP_OTHER  UINT64_MAX         /* cgroups beyond a bound, summed up */
#define GROUP_CANARY (UINT64_MAX - 1)   /* the canary as a victim in a reason */

enum group_source { GROUP_SOURCE_NONE, GROUP_SOURCE_BPF, GROUP_SOURCE_CPUSTAT };
enum pressure_source { PRESSURE_NONE, PRESSURE_PSI, PRESSURE_RUNQUEUE };

/* One CPU's part of a group's figures; CPUs with nothing are left out. */
struct cpu_share {
	uint16_t cpu;
	uint32_t run_us, wait_us;
};

/* One cgroup, at the leaf: its own tasks only, not its children's. */
struct group_sample {
	uint64_t id;                    /* inode in the measuring hierarchy */
	uint32_t run_us, wait_us;       /* over all CPUs; wait without that of SCHED_IDLE tasks; 0 and unknown where source is not BPF */
	uint32_t rt_run_us;             /* part of run_us by SCHED_FIFO, RR or DEADLINE tasks */
	uint32_t kthread_run_us;        /* part of run_us by kernel threads */
	uint32_t forks;
	uint32_t cpu_first, cpu_n;      /* its part of snapshot.cpu[], ascending by CPU */
	int32_t  psi_some_us;           /* growth of cpu.pressure some; protected cgroups only */
	int32_t  throttled_us;          /* time its own limit kept it off the CPU */
	int32_t  pids;                  /* pids.current, a level */
};

struct machine_sample {
	uint16_t ncpu;
	permyriad_t user, system, iowait, steal, irq, idle;     /* of all CPUs; irq = irq + softirq */
	permyriad_t cpu_some, mem_some, mem_full, io_some, io_full; /* pressure: share of the window */
	int32_t runnable, blocked;      /* levels */
	int32_t forks;
	int32_t tasks, tasks_max;       /* levels: tasks there are, min(pid_max, threads-max) */
	bool sched_ext;                 /* a sched_ext scheduler is loaded */
};

/* The canary: a task of an sshd's standing that wants `cpu_us` of CPU now and
 * then. wall_us is what the last (or the still running) turn took; -1 = none in
 * this window. wall/cpu is how many times slower than alone it ran. */
struct canary_sample {
	int32_t cpu_us, wall_us;
};

struct snapshot {
	usec_t window;
	enum group_source source;
	enum pressure_source pressure;
	struct machine_sample machine;
	struct canary_sample canary;
	uint32_t n_groups;              /* 0 in calm: only machine and pressure are read */
	uint32_t n_cpu;
	uint32_t lost;                  /* run+wait µs in the probe's overflow bucket */
	struct group_sample groups[MAX_SAMPLES];        /* ascending by id */
	struct cpu_share cpu[MAX_CPU_SHARES];
};

/* What a cgroup is. Sent when it is first seen and again when any field changed. */
enum group_flags {
	GROUP_CAN_WEIGHT = 1 << 0,      /* it has cpu.weight/cpu.shares of its own */
	GROUP_CAN_QUOTA  = 1 << 1,
	GROUP_CAN_IDLE   = 1 << 2,      /* cpu.idle */
	GROUP_CAN_PIDS   = 1 << 3,
	GROUP_CAN_FREEZE = 1 << 4,
	GROUP_CAN_KILL   = 1 << 5,
	GROUP_IS_ROOT    = 1 << 6,      /* never a target */
	GROUP_IS_SELF    = 1 << 7,      /* reprieve's own: never a target, never a victim */
	GROUP_NO_TARGET  = 1 << 8,      /* path too long, or unreadable: measured only */
	GROUP_THREADED   = 1 << 9,
};

struct group_info {
	uint64_t id, parent;            /* parent: GROUP_NONE for the root */
	uint32_t flags;
	int32_t  weight;                /* v2 scale 1..10000, 100 = default; v1 shares × 100 / 1024 */
	int64_t  quota_us, period_us;   /* its own limit; quota -1 = none */
	usec_t   born;                  /* when it was made, as far as known; 0 = unknown */
	uint32_t uid;                   /* of a user-UID.slice above it; UINT32_MAX = none */
	char path[GROUP_PATH_MAX];      /* from the hierarchy's root: "/system.slice/x.service"; "/" = root */
	char name[GROUP_NAME_MAX];      /* for people: unit, container or last component; raw, hostile */
	char procs[GROUP_PROCS_MAX][COMM_MAX]; /* names of processes found in it, for Processes= */
};
