/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ini: a pull reader
 *
 * Pulling (the caller asks for the next assignment) instead of calling back keeps
 * the caller's state in the caller, and lets every message carry line and column.
 * After a wrong line reading goes on with the next, so that one run of `policy
 * check` shows all that is wrong. A head that is wrong makes the section "", and the
 * reader skips what follows it up to the next good head: those lines are not wrong
 * by themselves, and they must not land in the section before.
 *
 * The text may be anything: NUL bytes, control characters and lines of megabytes are
 * errors of their line and nothing else.
 */

#include <stdbool.h>
#include <string.h>

#include "base/ini.h"
#include "base/str.h"

void ini_init(struct ini_reader *r, const char *text, size_t size)
{
	static const char bom[] = "\xef\xbb\xbf";

	*r = (struct ini_reader){ .next = text, .end = text + size };
	if (size >= 3 && memcmp(text, bom, 3) == 0)
		r->next += 3;
}

static int syntax(struct ini_reader *r, const char *why)
{
	(void)str_copy(r->why, sizeof(r->why), why);
	return INI_E_SYNTAX;
}

/* The next line into r->line without its end; 0, INI_E_*. */
static int take_line(struct ini_reader *r, unsigned *col)
{
	const char *newline;
	size_t n, i;

	if (r->next >= r->end)
		return INI_E_END;
	newline = memchr(r->next, '\n', (size_t)(r->end - r->next));
	n = (size_t)((newline ? newline : r->end) - r->next);
	r->line_no++;
	if (n > 0 && r->next[n - 1] == '\r')
		n--;
	*col = 1;
	r->line[0] = 0;
	for (i = 0; i < MIN(n, sizeof(r->line) - 1); i++) {
		unsigned char c = (unsigned char)r->next[i];

		r->line[i] = (char)c;
		if ((c < 0x20 && c != '\t') || c == 0x7f) {
			r->line[i] = 0;
			r->next = newline ? newline + 1 : r->end;
			*col = (unsigned)i + 1;
			return syntax(r, "a control character is in this line; use plain text");
		}
	}
	r->line[i] = 0;
	r->next = newline ? newline + 1 : r->end;
	if (n >= sizeof(r->line)) {
		*col = (unsigned)sizeof(r->line);
		return syntax(r, "the line is too long; at most 4095 bytes are taken");
	}
	return 0;
}

static char *skip_space(char *s)
{
	while (str_is_space(*s))
		s++;
	return s;
}

static void trim_end(char *s)
{
	size_t n = strlen(s);

	while (n > 0 && str_is_space(s[n - 1]))
		s[--n] = 0;
}

/* Cuts a comment that follows white space; `s` may begin behind some. */
static void cut_comment(char *s, bool after_space)
{
	for (; *s; s++) {
		if (*s == '#' && after_space) {
			*s = 0;
			return;
		}
		after_space = str_is_space(*s);
	}
}

static void lose(struct ini_reader *r)
{
	r->section[0] = 0;
	r->lost = true;
}

static int head(struct ini_reader *r, char *s, unsigned *col)
{
	char *close, *name = skip_space(s + 1);

	*col = (unsigned)(s - r->line) + 1;
	lose(r);
	close = strchr(name, ']');
	if (close == NULL)
		return syntax(r, "the section's head has no ]; write [Type name]");
	if (*skip_space(close + 1) != 0 && *skip_space(close + 1) != '#') {
		*col = (unsigned)(close - r->line) + 2;
		return syntax(r, "something follows the section's head; begin a new line");
	}
	*close = 0;
	trim_end(name);
	if (*name == 0)
		return syntax(r, "the section has no name; write [Type name]");
	r->lost = false;
	(void)str_copy(r->section, sizeof(r->section), name);
	*col = (unsigned)(name - r->line) + 1;
	return 0;
}

int ini_next(struct ini_reader *r, const char **section, const char **key, const char **value,
	     unsigned *line, unsigned *col, unsigned *key_col)
{
	static const char skip[] = "";
	for (;;) {
		char *s, *equals, *v;
		int k;

		k = take_line(r, col);
		*line = r->line_no;
		*key_col = *col;
		s = skip_space(r->line);
		if (k == INI_E_SYNTAX && *s == '[')
			lose(r);
		if (k != 0)
			return k;
		if (*s == 0 || *s == '#' || *s == ';')
			continue;
		if (*s == '[') {
			k = head(r, s, col);
			*key_col = *col;
			if (k != 0)
				return k;
			*section = r->section;
			*key = NULL;
			*value = r->section;
			return 0;
		}
		if (r->lost)
			continue;
		*key_col = *col = (unsigned)(s - r->line) + 1;
		equals = strchr(s, '=');
		if (equals == NULL)
			return syntax(r, "no assignment; write Key=value, [Section name] or # comment");
		*equals = 0;
		trim_end(s);
		if (*s == 0)
			return syntax(r, "there is no key before the =; write Key=value");
		v = skip_space(equals + 1);
		cut_comment(v, v > equals + 1);
		trim_end(v);
		*section = r->section[0] ? r->section : skip;
		*key = s;
		*value = v;
		*col = (unsigned)(v - r->line) + 1;
		return 0;
	}
}
