/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as docker's config.v2.json and as podman's containers.json, of which anybody
 * who may start a container writes a part. A name is never empty, and fits. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/event.h"
#include "steward/containers.h"

#define ID "00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *name = malloc(GROUP_NAME_MAX);   /* exact, so that one byte too far is seen */

	memcpy(text, data, size);
	text[size] = '\0';              /* as root_read_file() ends it */
	memset(name, 'x', GROUP_NAME_MAX);
	if (containers_parse_docker(text, size, name, GROUP_NAME_MAX) == 0)
		assert(strnlen(name, GROUP_NAME_MAX) < GROUP_NAME_MAX && name[0] != '\0');
	memset(name, 'x', GROUP_NAME_MAX);
	if (containers_parse_podman(text, size, ID, name, GROUP_NAME_MAX) == 0)
		assert(strnlen(name, GROUP_NAME_MAX) < GROUP_NAME_MAX && name[0] != '\0');
	free(name);
	free(text);
	return 0;
}
