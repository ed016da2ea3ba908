/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* probe: what the BPF programs and the guard share. Plain C types only, so that
 * both sides may include it. All times are nanoseconds of the run queues' clock. */
#pragma once

#define PROBE_CPUS          256         /* rows; a CPU beyond the rows loaded shares row cpu % rows */
#define PROBE_SLOTS_MAX     4096        /* slots of a row on small machines */
#define PROBE_SLOTS_MIN     1024        /* ... and on big ones */
#define PROBE_SLOTS_TOTAL   32768       /* slots of all rows, as long as PROBE_SLOTS_MIN allows: 2 MiB */
#define PROBE_SLOT_OVERFLOW 0           /* css ids begin at 1; what finds no place goes here */

/* Which css tells cgroups apart. The guard knows what is mounted where. */
enum probe_key {
	PROBE_KEY_PIDS,                 /* v2: the pids controller is on at the leaf */
	PROBE_KEY_MEMORY,               /* v2 without it */
	PROBE_KEY_CPU,                  /* v1 and hybrid */
	PROBE_KEY_INODE,                /* v2 with neither */
};

/* Set before loading (.rodata): the verifier drops what is not chosen. */
struct probe_settings {
	unsigned int key;               /* enum probe_key */
	unsigned int rows, slots;       /* CPUs told apart, slots of each */
};

/* One cgroup on one CPU. Grows until another cgroup takes the slot over (css ids
 * are reused; serial never is), which starts it again at zero. Of two whose ids fold to
 * the same place the first keeps it as long as the probe is attached. */
struct probe_slot {
	unsigned long long run, wait;
	unsigned long long rt_run, kthread_run; /* parts of run */
	unsigned long long forks;               /* tasks made, threads too */
	unsigned long long serial;              /* css.serial_nr */
	unsigned long long cgroup;              /* inode; 0: overflow, or never used */
	unsigned int id, generation;            /* of the cgroup; of the attachment in which it came */
};

#define PROBE_IDLE    0xffffffffu       /* as probe_row.running: nobody */
#define PROBE_RT      1                 /* probe_row.flags */
#define PROBE_KTHREAD 2

/* One CPU. The guard raises probe_control.generation before it attaches; the
 * first switch on a CPU after that sets base, and nothing before base counts.
 * Who runs now is not in its slot's run yet: running and since tell it. */
struct probe_row {
	unsigned long long base;
	unsigned int generation;
	unsigned int high;              /* the highest slot used on this CPU */
	unsigned long long since;       /* the last switch */
	unsigned int running;           /* slot of who runs since then, or PROBE_IDLE */
	unsigned int flags;
	unsigned long long spare[4];
};

struct probe_control {
	unsigned int generation;
	unsigned int spare[15];
	struct probe_row rows[PROBE_CPUS];
};
