/* SPDX-License-Identifier: Apache-2.0 */
/* json: a writer into a buffer of the caller's. No allocation, no floats.
 *
 *   struct json j;
 *   json_init(&j, buf, sizeof(buf));
 *   json_begin_object(&j);
 *   json_key(&j, "schema"); json_int(&j, 1);
 *   json_kstring(&j, "state", "calm");
 *   json_end_object(&j);
 *   r = json_finish(&j, &text);
 *
 * A failure is sticky: after it nothing more is written and json_finish() tells. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/units.h"

#define JSON_DEPTH_MAX 32

struct json {
	char *buf;
	size_t size, used;
	int error;
	unsigned depth;
	uint32_t is_object, has_items;  /* one bit for each level */
	bool has_key;                   /* a key waits for its value */
};

void json_init(struct json *j, char *buf, size_t size);

void json_begin_object(struct json *j);
void json_end_object(struct json *j);
void json_begin_array(struct json *j);
void json_end_array(struct json *j);
void json_key(struct json *j, const char *key);

/* Quotes, backslash and control characters are escaped, invalid UTF-8 becomes \ufffd; NULL gives null. */
void json_string(struct json *j, const char *s);
void json_string_n(struct json *j, const char *s, size_t n);
void json_int(struct json *j, int64_t v);
void json_uint(struct json *j, uint64_t v);
void json_bool(struct json *j, bool v);
void json_null(struct json *j);
void json_percent(struct json *j, permyriad_t v);       /* 1234 → 12.34; unknown → null */
void json_seconds(struct json *j, usec_t v);            /* 1500000 → 1.500000; infinity → null */

/* Key and value at once. */
void json_kstring(struct json *j, const char *key, const char *s);
void json_kint(struct json *j, const char *key, int64_t v);
void json_kuint(struct json *j, const char *key, uint64_t v);
void json_kbool(struct json *j, const char *key, bool v);
void json_kpercent(struct json *j, const char *key, permyriad_t v);
void json_kseconds(struct json *j, const char *key, usec_t v);

/* 0 with the text (in buf, NUL at its end); -ENOBUFS: the buffer is too small;
 * -EINVAL: misuse (a key in an array, a value without key, unbalanced, too deep). */
int json_finish(struct json *j, const char **ret_text);
