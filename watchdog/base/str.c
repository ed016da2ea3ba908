/* SPDX-License-Identifier: Apache-2.0 */
/*
 * str: bounded text
 *
 * Everything reprieve prints about a machine was named by somebody else: a cgroup,
 * a process, a container may be called "\e]0;...\a", a newline and a forged log
 * line, or a right-to-left override. So there is one function through which such
 * a name goes, and it works on bytes: it decodes UTF-8 strictly by itself (no
 * locale, which a daemon does not have) and lets through what a terminal shows as
 * itself, nothing else.
 *
 * It need not be reversible. It must be bounded, never cut a character in half,
 * and never be the longer way to say something plain.
 */

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define ELLIPSIS "\xe2\x80\xa6"

bool str_copy(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src);
	bool fits = n < size;

	if (size == 0)
		return false;
	if (!fits)
		n = size - 1;
	memmove(dst, src, n);
	dst[n] = 0;
	return fits;
}

static bool format_v(char *dst, size_t size, const char *format, va_list ap)
{
	int n;

	if (size == 0)
		return false;
	n = vsnprintf(dst, size, format, ap);
	if (n < 0)
		dst[0] = 0;
	return n >= 0 && (size_t)n < size;
}

bool str_format(char *dst, size_t size, const char *format, ...)
{
	va_list ap;
	bool fits;

	va_start(ap, format);
	fits = format_v(dst, size, format, ap);
	va_end(ap);
	return fits;
}

bool str_append(char *dst, size_t size, const char *src)
{
	size_t n = strnlen(dst, size);

	return str_copy(dst + n, size - n, src);
}

bool str_appendf(char *dst, size_t size, const char *format, ...)
{
	size_t n = strnlen(dst, size);
	va_list ap;
	bool fits;

	va_start(ap, format);
	fits = format_v(dst + n, size - n, format, ap);
	va_end(ap);
	return fits;
}

size_t str_utf8(const char *text, size_t n, uint32_t *ret_char)
{
	const unsigned char *s = (const unsigned char *)text;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len, i;
	uint32_t c;

	if (n == 0)
		return 0;
	if (s[0] < 0x80) {
		*ret_char = s[0];
		return 1;
	}
	if ((s[0] & 0xe0) == 0xc0)
		len = 2, c = s[0] & 0x1f;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3, c = s[0] & 0x0f;
	else if ((s[0] & 0xf8) == 0xf0)
		len = 4, c = s[0] & 0x07;
	else
		return 0;
	if (len > n)
		return 0;
	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret_char = c;
	return len;
}

/* Ranges that are valid and yet not shown as themselves. */
static const struct { uint32_t first, last; } UNSHOWN[] = {
	{ 0x00, 0x1f }, { 0x7f, 0x9f },         /* C0, DEL, C1 */
	{ 0xad, 0xad },                         /* soft hyphen */
	{ 0x61c, 0x61c },                       /* Arabic letter mark */
	{ 0x115f, 0x1160 }, { 0x3164, 0x3164 }, { 0xffa0, 0xffa0 }, /* Hangul fillers: blank */
	{ 0x180b, 0x180f },
	{ 0x200b, 0x200f },                     /* zero width, direction marks */
	{ 0x2028, 0x202e },                     /* line and paragraph separator, bidi overrides */
	{ 0x2060, 0x206f },                     /* joiners, bidi isolates */
	{ 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff }, /* variation selectors, BOM */
	{ 0xfff0, 0xfffb }, { 0xfffe, 0xffff },
	{ 0xe0000, 0x10ffff },                  /* tags, selectors, private planes */
};

static bool is_shown(uint32_t c)
{
	size_t i;

	for (i = 0; i < ELEMENTSOF(UNSHOWN); i++)
		if (c >= UNSHOWN[i].first && c <= UNSHOWN[i].last)
			return false;
	return true;
}

const char *str_escape_n(char *dst, size_t size, const char *src, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t used = 0, cut = 0, i = 0;        /* cut: the last place where an ellipsis still fits */

	if (size == 0)
		return dst;
	while (i < n) {
		char piece[4 * 4];
		size_t len, m = 0, k;
		uint32_t c;

		len = str_utf8(src + i, n - i, &c);
		if (len > 0 && is_shown(c)) {
			memcpy(piece, src + i, len);
			m = len;
		} else {
			len = len ? len : 1;
			for (k = 0; k < len; k++) {
				unsigned char byte = (unsigned char)src[i + k];

				piece[m++] = '\\';
				piece[m++] = 'x';
				piece[m++] = hex[byte >> 4];
				piece[m++] = hex[byte & 15];
			}
		}
		if (used + m >= size) {
			if (cut + sizeof(ELLIPSIS) <= size) {
				memcpy(dst + cut, ELLIPSIS, sizeof(ELLIPSIS) - 1);
				cut += sizeof(ELLIPSIS) - 1;
			}
			dst[cut] = 0;
			return dst;
		}
		memcpy(dst + used, piece, m);
		used += m;
		i += len;
		if (used + sizeof(ELLIPSIS) <= size)
			cut = used;
	}
	dst[used] = 0;
	return dst;
}

const char *str_escape(char *dst, size_t size, const char *src)
{
	return str_escape_n(dst, size, src, strlen(src));
}

bool str_equal(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

bool str_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *text, const char *suffix)
{
	size_t n = strlen(text), m = strlen(suffix);

	return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

bool str_has_word(const char *text, size_t n, const char *word, const char *separators)
{
	const char *end = text + n;

	for (const char *p = text, *at; p < end; p = at + 1) {
		for (at = p; at < end && strchr(separators, *at) == NULL; at++)
			;
		if (at > p && strlen(word) == (size_t)(at - p) && memcmp(p, word, (size_t)(at - p)) == 0)
			return true;
	}
	return false;
}

bool str_is_space(char c)
{
	return c == ' ' || c == '\t';
}

size_t str_width(const char *s)
{
	size_t n = strlen(s), width = 0, i = 0;

	while (i < n) {
		uint32_t c;
		size_t len = str_utf8(s + i, n - i, &c);

		i += len ? len : 1;
		width++;
	}
	return width;
}
