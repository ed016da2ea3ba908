/* SPDX-License-Identifier: Apache-2.0 */
/* Any JSON as the guard's answer: `reprieve status` and `why` show it and do not break,
 * and no byte of it gets to the terminal that is not printable. */
#include <assert.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(void (*render)(FILE *out, struct json_object *o, bool colour), struct json_object *o)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	if (out == NULL)
		abort();
	render(out, o, false);
	(void)fclose(out);
	for (size_t i = 0; i < n; i++)
		assert(text[i] == '\n' || ((unsigned char)text[i] >= 0x20 && text[i] != 0x7f));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct json_object *o;

	memcpy(text, data, size);
	text[size] = '\0';
	o = json_tokener_parse(text);
	(void)client_understands("status", o);
	(void)client_understands("pause 1 x", o);
	if (o != NULL) {
		show(render_status, o);
		show(render_why, o);
		json_object_put(o);
	}
	free(text);
	return 0;
}
