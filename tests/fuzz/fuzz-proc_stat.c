/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as /proc/stat, loadavg, a CPU list, a number. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "sense/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);          /* exact, so that one byte too far is seen */
	struct machine_stat s = { .ncpu = 4711 };
	uint32_t running, tasks;
	unsigned highest;
	uint64_t v;

	memcpy(text, data, size);
	text[size] = 0;
	if (machine_parse_stat(text, &s) != 0)
		assert(s.ncpu == 4711);
	if (machine_parse_loadavg(text, &running, &tasks) == 0)
		assert(running <= INT32_MAX && tasks <= INT32_MAX);
	if (machine_parse_cpulist(text, &highest) == 0)
		assert(highest <= UINT16_MAX);
	(void)machine_parse_number(text, &v);
	(void)machine_parse_sched_ext(text);
	free(text);
	return 0;
}
