/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as configuration: either errors and an untouched set, or a set that is sound,
 * whose canonical text gives the very same set. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "conf/format.h"
#include "conf/policies.h"

static void forget_sources(struct policy_set *set)
{
	int i;

	for (i = 0; i < MAX_POLICIES; i++)
		memset(set->policies[i].source, 0, sizeof(set->policies[i].source));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct conf *c;
	static struct policy_set set, again;
	static char text[2 * CONF_TEXT_MAX], errors[64 * 1024];
	struct guard_settings guard, guard_again;
	const char *s;
	char why[256];
	int index;

	if (c == NULL)
		c = conf_new();
	memset(&set, 0x5a, sizeof(set));
	if (conf_text_load(c, (const char *)data, size, "fuzz", &set, &guard) < 0) {
		const unsigned char *byte = (const unsigned char *)&set;
		size_t i;

		assert(conf_errors(c)->n > 0);
		for (i = 0; i < sizeof(set); i += 997)
			assert(byte[i] == 0x5a);
		for (s = conf_errors_text(c, errors, sizeof(errors)); *s; s++)
			assert(*s == '\n' || ((unsigned char)*s >= 0x20 && *s != 0x7f));
		return 0;
	}
	assert(policy_validate(&set, &index, why, sizeof(why)) == 0);
	assert(conf_cat(c, NULL, text, sizeof(text)) == 0);
	assert(conf_format(&set, &guard, text, CONF_TEXT_MAX) == 0);
	assert(conf_text_load(c, text, strlen(text), "again", &again, &guard_again) == 0);
	forget_sources(&set);
	forget_sources(&again);
	assert(memcmp(&set, &again, sizeof(set)) == 0);
	assert(guard.probe == guard_again.probe && guard.recorder_bytes == guard_again.recorder_bytes &&
	       guard.lifeline == guard_again.lifeline);
	return 0;
}
