/* SPDX-License-Identifier: Apache-2.0 */
/* found: the cgroups in which the steward found processes that Processes= names. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/snapshot.h"

#define FOUND_MAX 256           /* cgroups; beyond: not protected by their processes' names, said */

struct found {
	uint32_t n;
	bool beyond;            /* there are more */
	struct found_group { uint64_t id; uint8_t n; char procs[GROUP_PROCS_MAX][COMM_MAX]; } group[FOUND_MAX];
};

void found_clear(struct found *f);

/* id: of the cgroup; GROUP_NONE is left out. comm is raw and cut at COMM_MAX - 1 bytes.
 * Beyond FOUND_MAX cgroups only `beyond` is set; beyond GROUP_PROCS_MAX names of one
 * cgroup the rest is left out: one is enough to protect it. */
void found_add(struct found *f, uint64_t id, const char *comm);
bool found_has(const struct found *f, uint64_t id);
