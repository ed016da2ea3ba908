/* SPDX-License-Identifier: Apache-2.0 */
/* "pattern\nname": the matcher ends in bounded time, and agrees with laws that hold for
 * every pattern. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "core/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy_set set;
	char pattern[GLOB_TEXT_MAX + 2], name[GROUP_PATH_MAX + 2];
	const uint8_t *newline = memchr(data, '\n', size);
	size_t n = newline ? (size_t)(newline - data) : size, m = newline ? size - n - 1 : 0;
	struct group_info info = { .uid = UINT32_MAX };
	int kind;

	n = n < GLOB_TEXT_MAX - 1 ? n : GLOB_TEXT_MAX - 1;
	m = m < GROUP_PATH_MAX - 1 ? m : GROUP_PATH_MAX - 1;
	memcpy(pattern, data, n);
	pattern[n] = 0;
	if (m > 0)
		memcpy(name, newline + 1, m);
	name[m] = 0;

	(void)glob_match(pattern, name);
	assert(glob_match("*", name));
	if (strcspn(pattern, "*?[") == strlen(pattern))
		assert(glob_match(pattern, name) == (strcmp(pattern, name) == 0));
	if (glob_match(pattern, name)) {
		char more[GLOB_TEXT_MAX + 2];

		/* Putting a * behind a match cannot lose it, unless it falls into an open [. */
		memcpy(more, pattern, strlen(pattern) + 1);
		if (strchr(more, '[') == NULL)
			assert(glob_match(strcat(more, "*"), name));
	}
	memcpy(info.path, name, strlen(name) + 1);
	memcpy(info.name, name, strnlen(name, GROUP_NAME_MAX - 1));
	memcpy(info.procs[0], name, strnlen(name, COMM_MAX - 1));
	set.n_policies = set.n_globs = 1;
	set.policies[0].glob_n = 1;
	memcpy(set.globs[0].text, pattern, strlen(pattern) + 1);
	for (kind = 0; kind < _MATCH_MAX; kind++) {
		set.globs[0].kind = (uint8_t)kind;
		set.policies[0].kind = POLICY_THROTTLE;
		(void)policy_matches(&set, &set.policies[0], &info, 0);
	}
	return 0;
}
