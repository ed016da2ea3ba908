/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-journal: a slot of the undo journal, /proc/TID/stat and /proc/PID/cgroup.
 * First byte: which. What a slot gives must be sound in itself, also when only its
 * checksum was made right by the fuzzer; so it is tried with the checksum, too. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "act/journal.h"
#include "act/tasks.h"
#include "base/cgpath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_slot(const uint8_t *data, size_t size)
{
	static const uint64_t boot[2];
	unsigned char slot[JOURNAL_RECORD_SIZE] = {};
	struct journal_record record;
	char path[GROUP_PATH_MAX];

	memcpy(slot, data, size < sizeof(slot) ? size : sizeof(slot));
	if (!journal_check(slot, boot, &record, path)) {
		journal_seal(slot, boot);
		if (!journal_check(slot, boot, &record, path))
			return;
	}
	assert(record.kind > JOURNAL_FREE && record.kind < _JOURNAL_KIND_MAX && record.tree < _JOURNAL_TREE_MAX && record.verb < 32);
	assert(memchr(path, 0, sizeof(path)) != NULL);
	assert(record.kind == JOURNAL_TASK ? record.task.tid > 1 : path[0] == '/' && strstr(path, "/../") == NULL && strcmp(path, "/") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct task_stat s;
	char path[GROUP_PATH_MAX];
	char *text;

	if (size == 0)
		return 0;
	text = malloc(size);
	if (text == NULL)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 3) {
	case 0:
		one_slot(data + 1, size - 1);
		break;
	case 1:
		if (task_stat_parse(text, &s) >= 0)
			assert(s.tid > 0);
		break;
	default:
		if (cgpath_of(text, data[0] & 4 ? "cpu" : "", path, sizeof(path)) >= 0)
			assert(strlen(path) < sizeof(path));
	}
	free(text);
	return 0;
}
