/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* tickwatch: what the BPF programs and tools/tickwatch share. */
#pragma once

#define TICKWATCH_TURNS 65536           /* kept; beyond: only counted in n */

struct tickwatch_turn {
	unsigned int late_ns, run_ns, wall_ns;
};

struct tickwatch {
	unsigned long long woken, first, on, run;       /* of the turn that goes on */
	unsigned long long n;
	struct tickwatch_turn turn[TICKWATCH_TURNS];
};
