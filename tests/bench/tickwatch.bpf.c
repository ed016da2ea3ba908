// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * tickwatch: every turn of one thread, from its wakeup to its next sleep: how late it
 * came on the CPU and how long it ran. From outside, so that the watched program need
 * not be trusted about itself. A turn ends at a switch with a state other than
 * running; a preemption within it is counted in `wall`, not in `run`.
 */
#include "bpf/kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "tests/bench/tickwatch.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct task_struct___state {
	unsigned int __state;
} __attribute__((preserve_access_index));

const volatile int watched = 0;

struct tickwatch watch;

SEC("tp_btf/sched_waking")
int watch_waking(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];

	if (task->pid == watched && !watch.woken)
		watch.woken = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sched_switch")
int watch_switch(u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1], *next = (void *)ctx[2];
	struct task_struct___state *state = (void *)prev;
	u64 now;

	if (next->pid == watched) {
		now = bpf_ktime_get_ns();
		watch.on = now;
		if (watch.woken && !watch.first)
			watch.first = now;
	}
	if (prev->pid == watched && watch.on) {
		u64 n = watch.n;

		now = bpf_ktime_get_ns();
		watch.run += now - watch.on;
		watch.on = 0;
		if (state->__state == 0 || !watch.first)
			return 0;
		if (n < TICKWATCH_TURNS) {
			watch.turn[n].late_ns = (u32)(watch.first - watch.woken);
			watch.turn[n].run_ns = (u32)watch.run;
			watch.turn[n].wall_ns = (u32)(now - watch.first);
		}
		watch.n = n + 1;
		watch.run = watch.woken = watch.first = 0;
	}
	return 0;
}
