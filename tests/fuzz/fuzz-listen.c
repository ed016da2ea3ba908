/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as the kernel's table of TCP sockets. First byte: how many are taken. What is
 * found stands in the text; more text takes nothing away; and whatever was there before, a
 * good line after it is found, at its own port alone. */
#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "steward/listen.h"

#define GOOD "\n   7: 00000000:1FF5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 987654321 1\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t ports[] = { 8181, 80, 65535, 1 };
	uint64_t inodes[8], again[LISTEN_INODES_MAX];
	unsigned max, n, m;
	char *text, *more, number[24];

	if (size == 0)
		return 0;
	max = data[0] % (ELEMENTSOF(inodes) + 1);
	text = malloc(size);            /* exact, so that one byte too far is seen */
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	n = listen_parse(text, ports, ELEMENTSOF(ports), inodes, max);
	assert(n <= max);
	for (unsigned i = 0; i < n; i++) {
		snprintf(number, sizeof(number), "%" PRIu64, inodes[i]);
		assert(inodes[i] > 0 && strstr(text, number) != NULL);
	}
	assert(listen_parse(text, ports, 0, inodes, max) == 0);
	more = malloc(strlen(text) + sizeof(GOOD));
	strcpy(more, text);
	strcat(more, GOOD);
	m = listen_parse(more, ports, ELEMENTSOF(ports), again, ELEMENTSOF(again));
	assert(m >= n && memcmp(inodes, again, n * sizeof(*inodes)) == 0);
	assert(m > 0 && (m == ELEMENTSOF(again) || again[m - 1] == 987654321));
	n = listen_parse(more, ports + 1, ELEMENTSOF(ports) - 1, again, ELEMENTSOF(again));
	assert(n < m || m == ELEMENTSOF(again));
	free(more);
	free(text);
	return 0;
}
