/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes: the reader ends, stays in its bounds, and its places are places of the text. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ini_reader r;
	const char *section, *key, *value;
	unsigned line, col, key_col, last = 0;
	size_t calls = 0;
	int k;

	ini_init(&r, (const char *)data, size);
	while ((k = ini_next(&r, &section, &key, &value, &line, &col, &key_col)) != INI_E_END) {
		assert(++calls <= size + 1);
		assert(line > last && col >= 1 && col <= INI_LINE_MAX && key_col >= 1);
		last = line;
		if (k == INI_E_SYNTAX) {
			assert(r.why[0] != 0);
			continue;
		}
		assert(strlen(section) < INI_LINE_MAX && strlen(value) < INI_LINE_MAX);
		if (key != NULL)
			assert(key[0] != 0 && key_col + strlen(key) <= col);
		else
			assert(section[0] != 0);
	}
	return 0;
}
