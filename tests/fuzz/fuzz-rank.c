/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as /proc/PID/cgroup for the steward, and as a cgroup's path: which unit, which
 * container. First byte: the controller. What is found is a piece of what was read. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgpath.h"
#include "base/macro.h"
#include "steward/rank.h"
#include "steward/talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const controllers[] = { "", "cpu", "cpuacct", "name=systemd" };
	char path[TALK_DIR_MAX], unit[TALK_UNIT_MAX], id[TALK_ID_MAX], small[8], *text;

	if (size == 0)
		return 0;
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (cgpath_of(text, controllers[data[0] % ELEMENTSOF(controllers)], path, sizeof(path)) == 0)
		assert(path[0] == '/' && strlen(path) < sizeof(path) && strchr(path, '\n') == NULL && strstr(text, path) != NULL);
	if (cgpath_of(text, "cpu", small, sizeof(small)) == 0)
		assert(strlen(small) < sizeof(small));
	if (talk_unit_of_path(text, unit, sizeof(unit)) == 0)
		assert(unit[0] != '\0' && strchr(unit, '/') == NULL && strstr(text, unit) != NULL);
	if (talk_unit_of_path(text, small, sizeof(small)) == 0)
		assert(strlen(small) < sizeof(small));
	if (talk_container_of_path(text, id) == 0)
		assert(strlen(id) == TALK_ID_MAX - 1 && strspn(id, "0123456789abcdef") == TALK_ID_MAX - 1 && strstr(text, id) != NULL);
	free(text);
	return 0;
}
