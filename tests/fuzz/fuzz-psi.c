/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a pressure file. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "sense/psi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);          /* exact, so that one byte too far is seen */
	struct psi_totals t = { .some_us = 4711 };

	memcpy(text, data, size);
	text[size] = 0;
	if (psi_parse(text, &t) != 0)
		assert(t.some_us == 4711 && !t.has_full);
	else
		assert(t.has_full || t.full_us == 0);
	free(text);
	return 0;
}
