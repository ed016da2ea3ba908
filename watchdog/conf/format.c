/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format: one printer for two readers
 *
 * The canonical text goes into the header of a flight record and must give the very same
 * set when it is read again, years later and by another version: so it writes every value
 * out and leaves no default to be filled in. For people the same text comes with the origin
 * of each value behind it, since with drop-ins in three directories "where does this come
 * from" is the first question.
 *
 * Everything is printed through the key table; there is no second list of keys here.
 */

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "conf/format.h"
#include "conf/loader.h"

#define COMMENT_COLUMN  40
#define LINE_MAX_WANTED 120     /* a list goes on in a new line; far below INI_LINE_MAX */

struct out {
	char *buf;
	size_t size, used;
	bool overflow;
};

static void put(struct out *o, const char *s)
{
	size_t n = strlen(s);

	if (o->overflow || n >= o->size - o->used) {
		o->overflow = true;
		return;
	}
	memcpy(o->buf + o->used, s, n + 1);
	o->used += n;
}

/* c NULL: no comments. */
static void end_line(struct out *o, const struct conf *c, size_t began, const struct origin *origin)
{
	char comment[CONF_NAME_MAX + 32], name[CONF_NAME_MAX];
	size_t i;

	if (c == NULL) {
		put(o, "\n");
		return;
	}
	for (i = o->used - began; i < COMMENT_COLUMN; i++)
		put(o, " ");
	if (origin->file == ORIGIN_NONE)
		put(o, " # default\n");
	else {
		(void)str_format(comment, sizeof(comment), " # %s:%u\n",
				 str_escape(name, sizeof(name), c->files.f[origin->file].name), origin->line);
		put(o, comment);
	}
}

static bool same_origin(const struct origin *a, const struct origin *b)
{
	return a->file == b->file && a->line == b->line;
}

/* One line for all patterns of a kind; with origins, one for each line they came from. */
static void put_list(struct out *o, const struct conf *c, const struct policy_set *set, int policy, const struct key *key)
{
	const struct policy *p = &set->policies[policy];
	const struct origin *now = NULL;
	size_t began = o->used;
	bool open = false;
	unsigned i;

	for (i = p->glob_first; i < (unsigned)p->glob_first + p->glob_n; i++) {
		const struct origin *origin = c != NULL ? &c->globs[i].origin : NULL;

		if (set->globs[i].kind != key->match)
			continue;
		if (open && ((c != NULL && !same_origin(now, origin)) ||
			     o->used - began + strlen(set->globs[i].text) > LINE_MAX_WANTED)) {
			end_line(o, c, began, now);
			open = false;
		}
		if (!open) {
			began = o->used;
			put(o, key->name);
			put(o, "=");
		} else
			put(o, " ");
		put(o, set->globs[i].text);
		now = origin;
		open = true;
	}
	if (open)
		end_line(o, c, began, now);
}

static void put_section(struct out *o, const struct conf *c, const struct policy_set *set,
			const struct guard_settings *guard, int policy)
{
	enum section section = policy >= 0 ? loader_section(set->policies[policy].kind) : SECTION_RELIEF;
	size_t i;

	put(o, o->used > 0 ? "\n[" : "[");
	put(o, section_to_string(section));
	if (policy >= 0) {
		put(o, " ");
		put(o, set->policies[policy].name);
	}
	put(o, "]\n");
	for (i = 0; i < KEYS_N; i++) {
		const struct key *key = &KEYS[i];
		char value[KEY_TEXT_MAX];
		size_t began = o->used;

		if (key->section != section || (key->guard && guard == NULL))
			continue;
		if (key->type->is_list) {
			put_list(o, c, set, policy, key);
			continue;
		}
		/* The loader's field is only read here. */
		if (!key->type->print(key, loader_field((struct policy_set *)set, (struct guard_settings *)guard, policy, key),
				      value, sizeof(value)))
			continue;
		put(o, key->name);
		put(o, "=");
		put(o, value);
		end_line(o, c, began, c == NULL ? NULL : policy >= 0 ? &c->origins[policy][i] : &c->relief[i]);
	}
}

int conf_format(const struct policy_set *set, const struct guard_settings *guard, char *buf, size_t size)
{
	struct out o = { .buf = buf, .size = size };
	int i;

	for (i = -1; i < set->n_policies; i++)
		put_section(&o, NULL, set, guard, i);
	return o.overflow ? -ENOBUFS : 0;
}

static bool is_file(const char *file, const char *name)
{
	size_t n = strlen(name);

	return str_starts(file, name) && (file[n] == 0 || str_equal(file + n, ".policy"));
}

static bool wanted(const struct conf *c, int policy, const char *name)
{
	if (name == NULL)
		return true;
	if (policy < 0)
		return str_equal(name, "Relief") || str_equal(name, "reprieve.conf");
	return str_equal(name, c->set.policies[policy].name) || is_file(c->files.f[c->main_file[policy]].name, name);
}

int conf_cat(const struct conf *c, const char *name, char *buf, size_t size)
{
	struct out o = { .buf = buf, .size = size };
	bool any = false;
	int i;

	for (i = -1; i < c->set.n_policies; i++)
		if (wanted(c, i, name)) {
			put_section(&o, c, &c->set, &c->guard, i);
			any = true;
		}
	if (!any)
		return -ENOENT;
	return o.overflow ? -ENOBUFS : 0;
}
