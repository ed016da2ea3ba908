/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as mountinfo and as /proc/PID/cgroup. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "sense/mounts.h"
#include "sys/owngroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);          /* exact, so that one byte too far is seen */
	char point[OWNGROUP_PATH_MAX], *line, *next = NULL;
	struct mounts m;

	memcpy(text, data, size);
	text[size] = 0;
	if (mounts_parse(text, &m) == 0) {
		assert(m.layout == MOUNTS_V2 ? m.v2[0] && !m.cpu[0] : m.cpu[0]);
		assert(strnlen(m.v2, sizeof(m.v2)) < sizeof(m.v2) && strnlen(m.cpu, sizeof(m.cpu)) < sizeof(m.cpu));
	}
	for (line = strtok_r(text, "\n", &next); line != NULL; line = strtok_r(NULL, "\n", &next))
		if (owngroup_parse(line, point) != OWNGROUP_NEITHER)
			assert(strnlen(point, sizeof(point)) < sizeof(point) && point[0] != 0 && strstr(line, point) != NULL);
	free(text);
	return 0;
}
