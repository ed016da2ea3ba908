/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* kernel: the few kernel types that are read, only the fields that are read; CO-RE
 * moves the offsets to those of the kernel that runs. */
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

/* What linux/types.h would give bpf_helpers.h. */
typedef u8 __u8;
typedef unsigned short __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef signed int __s32;
typedef s64 __s64;
typedef __u16 __be16;
typedef __u32 __be32, __wsum;

enum bpf_map_type { BPF_MAP_TYPE_ARRAY = 2 };
enum { BPF_F_MMAPABLE = 1 << 10 };

#define PF_KTHREAD 0x00200000
#define MAX_RT_PRIO 100
#define SCHED_IDLE 5

#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)

/* Its values depend on the kernel's configuration: by bpf_core_enum_value only. */
enum cgroup_subsys_id { cpu_cgrp_id, memory_cgrp_id, pids_cgrp_id };

struct kernfs_node {
	u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	int id;
	u64 serial_nr;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
};

struct rq {
	u64 clock;
};

struct cfs_rq {
	struct rq *rq;
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
};

struct sched_info {
	unsigned long long last_arrival;
	unsigned long long last_queued;
};

struct task_struct {
	unsigned int flags;
	int prio;
	unsigned int policy;
	int pid;
	struct sched_entity se;
	struct sched_info sched_info;
	struct css_set *cgroups;
};

#pragma clang attribute pop
