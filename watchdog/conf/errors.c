/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errors: a list, since one run of `policy check` should show all that is wrong
 *
 * It has the form of a compiler's messages, so that editors jump to the place. The
 * quoted line comes from a file that may be hostile: it is escaped, and the caret
 * is put by the width of the escaped text, not by bytes.
 *
 * A load looks at a directory more than once; what is wrong with a file as a whole is told once.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "conf/errors.h"

void conf_errors_clear(struct conf_errors *errors)
{
	errors->n = errors->more = 0;
}

static bool is_told(const struct conf_errors *errors, const struct conf_error *e)
{
	unsigned i;

	for (i = 0; i < errors->n && e->line == 0; i++)
		if (errors->e[i].line == 0 && str_equal(errors->e[i].file, e->file) && str_equal(errors->e[i].key, e->key) &&
		    str_equal(errors->e[i].why, e->why))
			return true;
	return false;
}

void conf_errors_add(struct conf_errors *errors, const char *file, unsigned line, unsigned col, const char *key,
		     const char *line_text, size_t n, const char *format, ...)
{
	char plain[CONF_SOURCE_MAX], why[CONF_WHY_MAX];
	struct conf_error *e;
	va_list ap;
	size_t i;

	if (errors->n >= CONF_ERRORS_MAX) {
		errors->more++;
		return;
	}
	e = &errors->e[errors->n];
	*e = (struct conf_error){ .line = line, .col = col };
	(void)str_copy(e->file, sizeof(e->file), file);
	(void)str_escape(e->key, sizeof(e->key), key ? key : "");
	va_start(ap, format);
	(void)vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	(void)str_escape(e->why, sizeof(e->why), why);
	if (is_told(errors, e))
		return;
	errors->n++;
	if (line_text == NULL)
		return;
	n = MIN(n, sizeof(plain) - 1);
	for (i = 0; i < n; i++)
		plain[i] = line_text[i] == '\t' ? ' ' : line_text[i];
	plain[n] = 0;
	(void)str_escape_n(e->source, sizeof(e->source), plain, MIN((size_t)(col > 0 ? col - 1 : 0), n));
	e->caret = (unsigned)str_width(e->source);
	(void)str_escape_n(e->source, sizeof(e->source), plain, n);
}

const char *conf_error_format(const struct conf_error *e, char *buf, size_t size)
{
	char file[CONF_PATH_MAX];

	buf[0] = 0;
	(void)str_appendf(buf, size, "%s", str_escape(file, sizeof(file), e->file));
	if (e->line > 0)
		(void)str_appendf(buf, size, ":%u:%u", e->line, e->col);
	(void)str_append(buf, size, ": ");
	if (e->key[0])
		(void)str_appendf(buf, size, "%s: ", e->key);
	(void)str_append(buf, size, e->why);
	if (e->source[0])
		(void)str_appendf(buf, size, "\n    %s\n    %*s^", e->source, (int)e->caret, "");
	return buf;
}
