/* SPDX-License-Identifier: Apache-2.0 */
/* ini: a pull reader for reprieve's configuration files.
 *
 *   # comment, and ; comment
 *   [Throttle batch]
 *   When=wait > 20% for 300ms      # a comment after a value needs a space before its #
 *
 * Text in memory goes in, one assignment at a time comes out. No quoting, no
 * continuation lines, no escapes: a value is what stands there, trimmed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define INI_LINE_MAX 4096       /* bytes of one line; a longer one is an error */
#define INI_WHY_MAX  96

struct ini_reader {
	const char *next, *end;
	unsigned line_no;
	bool lost;                      /* behind a wrong head */
	char section[INI_LINE_MAX];
	char line[INI_LINE_MAX];
	char why[INI_WHY_MAX];
};

enum {
	INI_E_END = 1,                  /* nothing is left */
	INI_E_SYNTAX,                   /* reader->why says what is wrong at *line, *col; the next call goes on behind it */
};

void ini_init(struct ini_reader *r, const char *text, size_t size);

/* 0: one assignment, or the head of a section, which comes with *key = NULL and
 * *value = section. *section is "" before the first head. *line and *col (from 1,
 * in bytes) tell where the value begins, for a head where its name does; the key
 * begins at *key_col. Strings are good until the next call. Or INI_E_*. */
int ini_next(struct ini_reader *r, const char **section, const char **key, const char **value,
	     unsigned *line, unsigned *col, unsigned *key_col);
