/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: a writer
 *
 * The guard answers `status` out of its tick's memory, so its JSON is written
 * straight into a buffer that exists since start. What the writer promises is
 * that its text is always valid JSON or an error, whatever names it is given and
 * in whatever order it is called: separators and nesting are its own business,
 * strings are made valid UTF-8, and every number is an integer or a decimal with
 * a fixed number of places made from integers (a locale's comma cannot get in).
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

void json_init(struct json *j, char *buf, size_t size)
{
	*j = (struct json){ .buf = buf, .size = size };
	if (size == 0)
		j->error = -ENOBUFS;
	else
		buf[0] = 0;
}

static void fail(struct json *j, int error)
{
	if (j->error == 0)
		j->error = error;
}

static void put(struct json *j, const char *s, size_t n)
{
	if (j->error < 0)
		return;
	if (n >= j->size - j->used) {
		fail(j, -ENOBUFS);
		return;
	}
	memcpy(j->buf + j->used, s, n);
	j->used += n;
	j->buf[j->used] = 0;
}

static bool in_object(const struct json *j)
{
	return j->depth > 0 && (j->is_object >> (j->depth - 1) & 1);
}

static void separate(struct json *j)
{
	uint32_t bit;

	if (j->depth == 0)
		return;
	bit = UINT32_C(1) << (j->depth - 1);
	if (j->has_items & bit)
		put(j, ",", 1);
	j->has_items |= bit;
}

/* Before every value: is one allowed here? */
static bool value(struct json *j)
{
	if (j->error < 0)
		return false;
	if (in_object(j)) {
		if (!j->has_key) {
			fail(j, -EINVAL);
			return false;
		}
		j->has_key = false;
		return true;
	}
	if (j->depth == 0 && j->used > 0) {
		fail(j, -EINVAL);
		return false;
	}
	separate(j);
	return j->error == 0;
}

static void begin(struct json *j, bool object)
{
	uint32_t bit;

	if (!value(j))
		return;
	if (j->depth >= JSON_DEPTH_MAX) {
		fail(j, -EINVAL);
		return;
	}
	bit = UINT32_C(1) << j->depth++;
	j->has_items &= ~bit;
	j->is_object = object ? j->is_object | bit : j->is_object & ~bit;
	put(j, object ? "{" : "[", 1);
}

static void end(struct json *j, bool object)
{
	if (j->error < 0)
		return;
	if (j->depth == 0 || in_object(j) != object || j->has_key) {
		fail(j, -EINVAL);
		return;
	}
	j->depth--;
	put(j, object ? "}" : "]", 1);
}

void json_begin_object(struct json *j) { begin(j, true); }
void json_end_object(struct json *j)   { end(j, true); }
void json_begin_array(struct json *j)  { begin(j, false); }
void json_end_array(struct json *j)    { end(j, false); }

static void put_quoted(struct json *j, const char *s, size_t n)
{
	size_t i = 0;

	put(j, "\"", 1);
	while (i < n && j->error == 0) {
		char esc[8];
		uint32_t c;
		size_t len = str_utf8(s + i, n - i, &c);

		if (len == 0) {
			put(j, "\\ufffd", 6);
			i++;
			continue;
		}
		if (c == '"' || c == '\\') {
			esc[0] = '\\';
			esc[1] = (char)c;
			put(j, esc, 2);
		} else if (c < 0x20 || c == 0x7f) {
			(void)str_format(esc, sizeof(esc), "\\u%04x", (unsigned)c);
			put(j, esc, 6);
		} else
			put(j, s + i, len);
		i += len;
	}
	put(j, "\"", 1);
}

void json_key(struct json *j, const char *key)
{
	if (j->error < 0)
		return;
	if (!in_object(j) || j->has_key) {
		fail(j, -EINVAL);
		return;
	}
	separate(j);
	put_quoted(j, key, strlen(key));
	put(j, ":", 1);
	j->has_key = true;
}

void json_string_n(struct json *j, const char *s, size_t n)
{
	if (value(j))
		put_quoted(j, s, n);
}

void json_string(struct json *j, const char *s)
{
	if (s == NULL)
		json_null(j);
	else
		json_string_n(j, s, strlen(s));
}

static void put_text(struct json *j, const char *text)
{
	if (value(j))
		put(j, text, strlen(text));
}

void json_int(struct json *j, int64_t v)
{
	char text[24];

	(void)str_format(text, sizeof(text), "%" PRId64, v);
	put_text(j, text);
}

void json_uint(struct json *j, uint64_t v)
{
	char text[24];

	(void)str_format(text, sizeof(text), "%" PRIu64, v);
	put_text(j, text);
}

void json_bool(struct json *j, bool v) { put_text(j, v ? "true" : "false"); }
void json_null(struct json *j)         { put_text(j, "null"); }

void json_percent(struct json *j, permyriad_t v)
{
	char text[24];

	if (v < 0) {
		json_null(j);
		return;
	}
	(void)str_format(text, sizeof(text), "%" PRId32 ".%02" PRId32, v / 100, v % 100);
	put_text(j, text);
}

void json_seconds(struct json *j, usec_t v)
{
	char text[32];

	if (v == USEC_INFINITY) {
		json_null(j);
		return;
	}
	(void)str_format(text, sizeof(text), "%" PRIu64 ".%06" PRIu64, v / USEC_PER_SEC, v % USEC_PER_SEC);
	put_text(j, text);
}

void json_kstring(struct json *j, const char *key, const char *s)     { json_key(j, key); json_string(j, s); }
void json_kint(struct json *j, const char *key, int64_t v)            { json_key(j, key); json_int(j, v); }
void json_kuint(struct json *j, const char *key, uint64_t v)          { json_key(j, key); json_uint(j, v); }
void json_kbool(struct json *j, const char *key, bool v)              { json_key(j, key); json_bool(j, v); }
void json_kpercent(struct json *j, const char *key, permyriad_t v)    { json_key(j, key); json_percent(j, v); }
void json_kseconds(struct json *j, const char *key, usec_t v)         { json_key(j, key); json_seconds(j, v); }

int json_finish(struct json *j, const char **ret_text)
{
	if (j->error == 0 && (j->depth > 0 || j->used == 0))
		fail(j, -EINVAL);
	if (j->error < 0)
		return j->error;
	*ret_text = j->buf;
	return 0;
}
