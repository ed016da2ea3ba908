/* SPDX-License-Identifier: Apache-2.0 */
/* str: bounded text. Nothing here allocates, fails or depends on the locale. */
#pragma once

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macro.h"

/* Both end dst with NUL (size > 0) and say whether all of it fitted; what did not is cut. */
bool str_copy(char *dst, size_t size, const char *src);
bool str_format(char *dst, size_t size, const char *format, ...) _printf_(3, 4);

/* Adds to what dst holds already. */
bool str_append(char *dst, size_t size, const char *src);
bool str_appendf(char *dst, size_t size, const char *format, ...) _printf_(3, 4);

/* A name from the machine → something that is safe on a terminal, in a log line and
 * in a table: printable UTF-8 stays, every byte of anything else (control, ESC,
 * newline, invalid UTF-8, C1, bidi, zero-width and invisible characters) becomes \xNN.
 * A backslash stays as it is, since systemd's names are full of them. What does not
 * fit is cut at a character and ends in "…". Returns dst. */
const char *str_escape(char *dst, size_t size, const char *src);
const char *str_escape_n(char *dst, size_t size, const char *src, size_t n);

bool str_equal(const char *a, const char *b);
bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);
bool str_has_word(const char *text, size_t n, const char *word, const char *separators); /* among the first n bytes */
bool str_is_space(char c);                      /* ' ' and '\t' */

/* One character of UTF-8 at s (n > 0 bytes there): its length 1..4 with *ret_char set,
 * or 0 where the bytes are no valid character (overlong, surrogate, cut). */
size_t str_utf8(const char *s, size_t n, uint32_t *ret_char);
size_t str_width(const char *s);                /* characters of valid UTF-8, bytes of the rest */
