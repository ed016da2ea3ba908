/* SPDX-License-Identifier: Apache-2.0 */
/* cpustat: run time of cgroups without BPF, from cpu.stat (v2) or cpuacct.usage
 * (v1). There is no wait in it. About 2 µs per cgroup and read. */
#pragma once

#include "sense/cgroups.h"
#include "sense/gather.h"

#define CPUSTAT_FDS  2048       /* files kept open; cgroups beyond are not measured */
#define CPUSTAT_OPEN 64         /* files opened in one read, the rest next time */

struct cpustat;

/* Raises RLIMIT_NOFILE as far as it may. NULL: no memory. */
struct cpustat *cpustat_new(const struct cgroups *c);
struct cpustat *cpustat_free(struct cpustat *s);

/* Adds each cgroup's own growth (its children's taken off) to g. g may be NULL: only
 * remember. */
void cpustat_read(struct cpustat *s, struct gather *g);
