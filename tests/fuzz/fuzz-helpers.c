/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-helpers: what a steward or courier that was taken over may answer, as far as the
 * engine, in mid-incident. The bytes of a message are fuzz-wire's; here messages are well
 * formed and their values are not. A line each:
 *
 *   answer VERB STATUS FLAGS ID TEXT      begins one
 *   u N | i N | s TEXT                    its fields */
#include <assert.h>
#include <stdint.h>

#include "tests/fuzz/stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wire in, out;

static void deliver(struct driver *d)
{
	static struct engine_view view;
	struct talk_answer a;
	static uint8_t packet[WIRE_MAX];
	struct wire_header h = out.h;

	h.size = (uint32_t)(sizeof(h) + out.end);
	if (out.error != 0 || h.size > sizeof(packet))
		return;
	memcpy(packet, &h, sizeof(h));
	memcpy(packet + sizeof(h), out.data, out.end);
	if (wire_parse(&in, packet, h.size) < 0 || talk_get_answer(&in, &a) < 0)
		return;
	DRIVER_HELPERS_OPS.answer(&a, &in, d);
	engine_view(d->engine, &view);
	assert(d->found.n <= FOUND_MAX && d->before.n <= FOUND_MAX && d->n_results == 0);
	assert(d->facts.n_lifeline <= LIFELINE_MAX);
}

static bool begin(const char *line)
{
	unsigned verb, flags;
	unsigned long long id;
	int status, at = 0;

	if (sscanf(line, "answer %u %d %u %llu %n", &verb, &status, &flags, &id, &at) != 4 || at == 0)
		return false;
	talk_put_answer(&out, (enum protocol_verb)(PROTOCOL_HELLO + verb % 8), id, flags & WIRE_MORE, status > 0 ? -status : status, line + at);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct driver *d = stage_set();
	char *text = malloc(size + 1), *line, *next = NULL;
	bool some = false;

	memcpy(text, data, size);
	text[size] = '\0';
	for (line = strtok_r(text, "\n", &next); line != NULL; line = strtok_r(NULL, "\n", &next)) {
		if (strncmp(line, "answer ", 7) == 0) {
			if (some)
				deliver(d);
			some = begin(line);
			stage.loop.now += 10000;
		} else if (some && line[0] == 'u')
			wire_put_u64(&out, strtoull(line + 1, NULL, 10));
		else if (some && line[0] == 'i')
			wire_put_i64(&out, strtoll(line + 1, NULL, 10));
		else if (some && line[0] == 's')
			wire_put_str(&out, line[1] == ' ' ? line + 2 : line + 1);
	}
	if (some)
		deliver(d);
	free(text);
	return 0;
}
