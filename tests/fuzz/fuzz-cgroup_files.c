/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a cgroup control file, and as a cgroup's path. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "sense/cgfile.h"
#include "sense/cgroups.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);          /* exact, so that one byte too far is seen */
	int64_t quota, period;
	char name[GROUP_NAME_MAX];
	uint64_t u;
	int64_t i;

	memcpy(text, data, size);
	text[size] = 0;
	if (cgfile_parse_u64(text, &u) == 0)
		assert(cgfile_weight_of_shares(u) >= 1 && cgfile_weight_of_shares(u) <= 10000);
	(void)cgfile_parse_i64(text, &i);
	if (cgfile_parse_max(text, &quota, &period) == 0)
		assert(quota >= -1 && period >= 0);
	(void)cgfile_parse_key(text, "usage_usec", &u);
	(void)cgfile_parse_key(text, "throttled_usec", &u);
	cgroups_display_name(text, name);
	assert(strnlen(name, sizeof(name)) < sizeof(name));
	assert(!size || !text[0] || name[0]);
	(void)cgroups_uid(text);
	free(text);
	return 0;
}
