/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sort: a heap sort
 *
 * glibc's qsort() may allocate and its order of equals is not fixed; a decision
 * must depend on neither. Worst case n log n, no recursion.
 */
#include "core/sort.h"

#include <stdbool.h>

/* Does a come after b? The root of the heap is what comes last. */
static bool sort_after(const struct sort_key *a, const struct sort_key *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	if (a->id != b->id)
		return a->id > b->id;
	return a->index > b->index;
}

static void sift(struct sort_key *keys, uint32_t root, uint32_t n)
{
	struct sort_key v = keys[root];
	uint32_t child;

	for (; (child = 2 * root + 1) < n; root = child) {
		if (child + 1 < n && sort_after(&keys[child + 1], &keys[child]))
			child++;
		if (!sort_after(&keys[child], &v))
			break;
		keys[root] = keys[child];
	}
	keys[root] = v;
}

void sort_keys(struct sort_key *keys, uint32_t n)
{
	uint32_t i;

	for (i = n / 2; i > 0; i--)
		sift(keys, i - 1, n);
	for (i = n; i > 1; i--) {
		struct sort_key last = keys[i - 1];

		keys[i - 1] = keys[0];
		keys[0] = last;
		sift(keys, 0, i - 1);
	}
}
