// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * runqlat: the shape of bcc's runqlat, to compare with. The moment of a wakeup is put
 * into a hash by pid; a switch looks it up, counts the wait in a log2 histogram and
 * deletes it. Two programs for each wait, and two hash operations.
 */
#include "bpf/kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define TASKS 10240
#define BUCKETS 26

enum { MAP_HASH = 1, ANY = 0 };

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct task_struct___state {
	unsigned int __state;
} __attribute__((preserve_access_index));

struct histogram {
	u32 bucket[BUCKETS];
};

struct {
	__uint(type, MAP_HASH);
	__uint(max_entries, TASKS);
	__type(key, u32);
	__type(value, u64);
} started SEC(".maps");

struct {
	__uint(type, MAP_HASH);
	__uint(max_entries, TASKS);
	__type(key, u32);
	__type(value, struct histogram);
} histograms SEC(".maps");

static struct histogram zero;

static __always_inline int queued(struct task_struct *task)
{
	u32 pid = task->pid;
	u64 now;

	if (!pid)
		return 0;
	now = bpf_ktime_get_ns();
	bpf_map_update_elem(&started, &pid, &now, ANY);
	return 0;
}

static __always_inline u32 log2_of(u64 v)
{
	u32 n = 0;

	for (int shift = 32; shift; shift >>= 1)
		if (v >> shift) {
			v >>= shift;
			n += shift;
		}
	return n;
}

SEC("tp_btf/sched_wakeup")
int bench_wakeup(u64 *ctx)
{
	return queued((void *)ctx[0]);
}

SEC("tp_btf/sched_wakeup_new")
int bench_wakeup_new(u64 *ctx)
{
	return queued((void *)ctx[0]);
}

SEC("tp_btf/sched_switch")
int bench_switch(u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1], *next = (void *)ctx[2];
	struct task_struct___state *state = (void *)prev;
	struct histogram *h;
	u32 pid, key = 0, slot;
	u64 *since;

	if (state->__state == 0)
		queued(prev);
	pid = next->pid;
	since = bpf_map_lookup_elem(&started, &pid);
	if (!since)
		return 0;
	h = bpf_map_lookup_elem(&histograms, &key);
	if (!h) {
		bpf_map_update_elem(&histograms, &key, &zero, ANY);
		h = bpf_map_lookup_elem(&histograms, &key);
	}
	if (h) {
		slot = log2_of((bpf_ktime_get_ns() - *since) / 1000);
		if (slot >= BUCKETS)
			slot = BUCKETS - 1;
		__sync_fetch_and_add(&h->bucket[slot], 1);
	}
	bpf_map_delete_elem(&started, &pid);
	return 0;
}
