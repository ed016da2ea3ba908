/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as what a control file held before it was changed: what is accepted is a value
 * that the journal may keep and that, written back, reads as the same. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "act/throttle.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), back[64], first[32];
	struct journal_values v = { .v = { -7, -7, -7 } }, again;
	int64_t n = -7, m;

	memcpy(text, data, size);
	text[size] = '\0';
	if (tree_parse_number(text, &n) == 0) {
		assert(n >= -1);
		str_format(back, sizeof(back), "%lld", (long long)n);
		assert(tree_parse_number(back, &m) == 0 && m == n);
	} else
		assert(n == -7);
	if (throttle_parse_quota(text, &v) == 0) {
		assert(v.v[0] >= -1 && v.v[1] >= 0 && v.v[2] == -7);
		str_format(first, sizeof(first), v.v[0] < 0 ? "max" : "%lld", (long long)v.v[0]);
		str_format(back, sizeof(back), "%s %lld", first, (long long)v.v[1]);
		assert(throttle_parse_quota(back, &again) == 0 && again.v[0] == v.v[0] && again.v[1] == v.v[1]);
	} else
		assert(v.v[0] == -7 && v.v[1] == -7);
	free(text);
	return 0;
}
