// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * probe: run and wait time of every cgroup on every CPU, from sched_switch alone.
 *
 * The tracepoint fires in __schedule() before sched_info_switch(), so that
 * next->sched_info.last_queued still says when next was queued and
 * prev->sched_info.last_arrival when prev came on the CPU. Both are times of the
 * run queue's clock, which __schedule() has just updated. So there is no wakeup
 * probe and no state per task: nothing that a fork bomb can fill.
 *
 * The run queue is reached through se.cfs_rq, which set_task_rq() keeps for tasks
 * of every class, the idle task included (it needs FAIR_GROUP_SCHED; the runqueues
 * symbol would need KALLSYMS_ALL).
 *
 * What lies before the attachment does not count: the first switch on each CPU
 * sets that CPU's base, and times are cut there.
 *
 * Tasks of SCHED_IDLE run but do not count as waiting: they asked for what is left
 * over, and a runaway that was lowered inside its victim's cgroup would otherwise look
 * like a victim that still suffers.
 *
 * A task that keeps its CPU makes no switch, so who runs since when is left in the
 * row: two stores, and the reader adds what is not in the slots yet.
 *
 * sched_switch runs with interrupts off on the CPU whose row it writes, so plain
 * adds lose nothing (rows are shared only beyond the CPUs known at load). The fork
 * counter has one writer, the fork program, in the same row.
 */
#include "bpf/kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "bpf/probe.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile struct probe_settings settings = {
	.key = PROBE_KEY_CPU, .rows = 1, .slots = PROBE_SLOTS_MIN,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct probe_slot);
} slots SEC(".maps");

struct probe_control control;

static __always_inline struct cgroup_subsys_state *subsys(struct css_set *set, u64 index)
{
	void *first = __builtin_preserve_access_index(&set->subsys[0]);

	return *(struct cgroup_subsys_state **)(first + index * sizeof(void *));
}

/* The slot at this place, if it is the cgroup's or can become so: never used since the probe was
 * attached, or of an id that has been given anew. */
static __always_inline struct probe_slot *slot_at(struct cgroup_subsys_state *css, u32 cpu, struct probe_row *row, u32 id, u32 place)
{
	u32 index = cpu * settings.slots + place;
	struct probe_slot *slot = bpf_map_lookup_elem(&slots, &index);
	u64 serial = css->serial_nr;

	if (!slot)
		return NULL;
	if (slot->serial == serial) {
		slot->generation = row->generation;
		return slot;
	}
	if (slot->generation == row->generation && slot->id != id)
		return NULL;
	slot->cgroup = 0;
	slot->run = slot->wait = slot->rt_run = slot->kthread_run = slot->forks = 0;
	slot->id = id;
	slot->generation = row->generation;
	slot->serial = serial;
	slot->cgroup = css->cgroup->kn->id;
	if (place > row->high)
		row->high = place;
	return slot;
}

/* The slot of the task's cgroup in this CPU's row: its id's own while ids are few; else the id
 * folded, or the place half a row further; else the overflow. */
static __always_inline struct probe_slot *slot_of(struct task_struct *task, u32 cpu, struct probe_row *row, u32 *ret_id)
{
	struct css_set *set = task->cgroups;
	struct cgroup_subsys_state *css;
	struct probe_slot *slot;
	u32 id, place, index, key = settings.key, n = settings.slots;

	if (key == PROBE_KEY_PIDS)
		css = subsys(set, bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id));
	else if (key == PROBE_KEY_MEMORY)
		css = subsys(set, bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
	else if (key == PROBE_KEY_CPU)
		css = subsys(set, bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id));
	else
		css = &set->dfl_cgrp->self;

	id = key == PROBE_KEY_INODE ? (u32)css->cgroup->kn->id : css->id;
	place = id > 0 && id < n ? id : 1 + id % (n - 1);
	*ret_id = place;
	slot = slot_at(css, cpu, row, id, place);
	if (slot)
		return slot;
	place = 1 + (place - 1 + n / 2) % (n - 1);
	*ret_id = place;
	slot = slot_at(css, cpu, row, id, place);
	if (slot)
		return slot;
	index = cpu * n + PROBE_SLOT_OVERFLOW;
	*ret_id = PROBE_SLOT_OVERFLOW;
	return bpf_map_lookup_elem(&slots, &index);
}

static __always_inline struct probe_row *row_of(u32 *cpu)
{
	*cpu = bpf_get_smp_processor_id();
	if (*cpu >= settings.rows)
		*cpu %= settings.rows;
	if (*cpu >= PROBE_CPUS)
		return NULL;
	return &control.rows[*cpu];
}

/* since, but not before the base; 0 where there is nothing to count. */
static __always_inline u64 span(u64 since, u64 now, u64 base)
{
	if (!since)
		return 0;
	if (since < base)
		since = base;
	return now > since ? now - since : 0;
}

SEC("tp_btf/sched_switch")
int probe_switch(u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1], *next = (void *)ctx[2];
	struct probe_slot *slot;
	struct probe_row *row;
	u64 now, base, ns;
	u32 cpu, id;

	row = row_of(&cpu);
	if (!row)
		return 0;
	now = next->se.cfs_rq->rq->clock;
	if (row->generation != control.generation) {
		row->generation = control.generation;
		row->base = row->since = now;
		row->running = PROBE_IDLE;
		return 0;
	}
	base = row->base;

	if (prev->pid) {
		ns = span(prev->sched_info.last_arrival, now, base);
		if (ns) {
			slot = slot_of(prev, cpu, row, &id);
			if (slot) {
				slot->run += ns;
				if (prev->prio < MAX_RT_PRIO)
					slot->rt_run += ns;
				if (prev->flags & PF_KTHREAD)
					slot->kthread_run += ns;
			}
		}
	}
	id = PROBE_IDLE;
	if (next->pid) {
		slot = slot_of(next, cpu, row, &id);
		if (slot && next->policy != SCHED_IDLE)
			slot->wait += span(next->sched_info.last_queued, now, base);
		row->flags = (next->prio < MAX_RT_PRIO ? PROBE_RT : 0) | (next->flags & PF_KTHREAD ? PROBE_KTHREAD : 0);
	}
	row->running = id;
	row->since = now;
	return 0;
}

SEC("tp_btf/sched_process_fork")
int probe_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0];
	struct probe_slot *slot;
	struct probe_row *row;
	u32 cpu, id;

	row = row_of(&cpu);
	if (!row)
		return 0;
	slot = slot_of(parent, cpu, row, &id);
	if (slot)
		slot->forks += 1;
	return 0;
}

/* Costs what a program costs that does nothing; for the benchmark only. */
SEC("?tp_btf/sched_switch")
int probe_empty(u64 *ctx)
{
	return 0;
}
