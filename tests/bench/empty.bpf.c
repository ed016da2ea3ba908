// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/* empty: what a sched_switch program costs that does nothing. Its bpf_stats figure is
 * the cost of the measurement, taken off every other one. */
#include "bpf/kernel.h"

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sched_switch")
int bench_switch(u64 *ctx)
{
	return 0;
}
