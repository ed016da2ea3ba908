/* SPDX-License-Identifier: Apache-2.0 */
/* errors: what is wrong in configuration files, for people. */
#pragma once

#include <stddef.h>

#include "base/macro.h"

#define CONF_PATH_MAX   384
#define CONF_ERRORS_MAX 32      /* beyond: counted, not kept */
#define CONF_WHY_MAX    400
#define CONF_SOURCE_MAX 240     /* bytes of a quoted line; a longer one is cut */

struct conf_error {
	char file[CONF_PATH_MAX];       /* as found, raw */
	unsigned line, col;             /* from 1; 0: the file as a whole */
	char key[64];                   /* "" where no key is concerned */
	char why[CONF_WHY_MAX];         /* what was wrong; what is right. Printable */
	char source[CONF_SOURCE_MAX];   /* the line, printable, or "" */
	unsigned caret;                 /* columns on a terminal before the ^ */
};

struct conf_errors {
	unsigned n, more;               /* more: how many did not fit */
	struct conf_error e[CONF_ERRORS_MAX];
};

void conf_errors_clear(struct conf_errors *errors);

/* line_text: the raw line (n bytes), NULL where there is none. What the message comes
 * to is escaped as a whole. */
void conf_errors_add(struct conf_errors *errors, const char *file, unsigned line, unsigned col, const char *key,
		     const char *line_text, size_t n, const char *format, ...) _printf_(8, 9);

/* "file:line:col: Key: why" and, on two further lines, the source and a caret; no
 * newline at the end. Cut where it does not fit. Returns buf. */
const char *conf_error_format(const struct conf_error *e, char *buf, size_t size);
