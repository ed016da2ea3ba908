/* SPDX-License-Identifier: Apache-2.0 */
/* sort: in place, without allocation, the same result everywhere. */
#pragma once

#include <stdint.h>

struct sort_key {
	uint64_t key;                   /* larger first */
	uint64_t id;                    /* then the smaller id first: makes the order total */
	uint32_t index;                 /* the caller's */
};

void sort_keys(struct sort_key *keys, uint32_t n);
