/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a name from the machine, where they leave it again: JSON that a strict
 * reader takes, whatever the bytes and however small the buffer; text for a terminal
 * with nothing in it that is not to be seen. First byte: the size of a small buffer. */
#include <assert.h>
#define json_bool json_c_bool     /* the name of a type there, of a function here */
#include <json-c/json.h>
#undef json_bool
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_json(const char *text, size_t n, size_t room)
{
	char *buf = malloc(room);
	struct json_tokener *t;
	struct json_object *o;
	const char *out;
	struct json j;

	json_init(&j, buf, room);
	json_begin_object(&j);
	json_kstring(&j, text, text);
	json_key(&j, "n");
	json_string_n(&j, text, n);
	json_end_object(&j);
	if (json_finish(&j, &out) == 0) {
		t = json_tokener_new();
		json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
		o = json_tokener_parse_ex(t, out, (int)strlen(out) + 1);
		assert(o != NULL && json_object_object_get_ex(o, "n", NULL));
		json_object_put(o);
		json_tokener_free(t);
	}
	free(buf);
}

static void as_text(const char *text, size_t n, size_t room)
{
	char *buf = malloc(room);
	const char *out = str_escape_n(buf, room, text, n);
	size_t len = strnlen(out, room);
	uint32_t c;

	assert(out == buf && len < room);
	for (size_t i = 0, k; i < len; i += k) {
		k = str_utf8(out + i, len - i, &c);
		assert(k > 0 && c >= 0x20 && !(c >= 0x7f && c < 0xa0) && !(c >= 0x200b && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e));
	}
	(void)str_width(out);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;
	size_t room;

	if (size == 0)
		return 0;
	room = data[0] + 1u;
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	as_json(text, size - 1, room);
	as_json(text, size - 1, size * 16 + 64);
	as_text(text, size - 1, room);
	as_text(text, size - 1, size * 4 + 8);
	free(text);
	return 0;
}
