/* SPDX-License-Identifier: Apache-2.0 */
/* Any text: what is taken is printed as text that gives the same value. And text
 * tools on it stay in their bounds and leave nothing that acts on a terminal. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "base/suggest.h"
#include "base/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[256], buf[UNITS_TEXT_MAX], out[300];
	size_t n = MIN(size, sizeof(text) - 1);
	const char *s;
	permyriad_t p, p2;
	uint64_t v, v2;
	struct suggest near;
	struct json j;

	memcpy(text, data, n);
	text[n] = 0;
	if (units_parse_permyriad(text, &p) == 0) {
		assert(p >= 0 && p <= PERMYRIAD_FULL);
		assert(units_parse_permyriad(units_format_permyriad(p, buf), &p2) == 0 && p2 == p);
	}
	if (units_parse_usec(text, &v) == 0)
		assert(units_parse_usec(units_format_usec(v, buf), &v2) == 0 && v2 == v);
	if (units_parse_bytes(text, &v) == 0)
		assert(units_parse_bytes(units_format_bytes(v, buf), &v2) == 0 && v2 == v);

	for (n = 1; n <= sizeof(out); n += 37) {
		for (s = str_escape_n(out, n, (const char *)data, size); *s; s++)
			assert((unsigned char)*s >= 0x20 && *s != 0x7f);
		assert(strlen(out) < n);
	}
	json_init(&j, out, sizeof(out));
	json_string_n(&j, (const char *)data, size);
	if (json_finish(&j, &s) == 0) {
		uint32_t c;
		size_t len, all = strlen(s);

		for (n = 0; n < all; n += len) {
			len = str_utf8(s + n, all - n, &c);
			assert(len > 0 && c >= 0x20);
		}
	}
	suggest_init(&near, text);
	suggest_offer(&near, "MinShare");
	suggest_offer(&near, text);
	(void)suggest_best(&near);
	return 0;
}
