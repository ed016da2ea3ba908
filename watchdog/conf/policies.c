/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policies: the load
 *
 * What it promises: the caller's set changes as a whole or not at all; every line that
 * is wrong is told with its place; and nothing that looks like a wish is passed over. An
 * unknown key or section is an error, since in a tool that is to protect a database a
 * mistyped [Protect] must not pass for a policy that is in force.
 *
 * Sections of one type and name are one section within a file and its drop-ins. The same
 * name in two files is an error: which of them counts would be a guess. Lists append,
 * an empty assignment clears what is there; an empty scalar is back at its default.
 *
 * Defaults are filled in at the very end (policy_defaults), then the set is asked to be
 * sound as a whole (policy_validate), the same question the engine's tests ask.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "base/suggest.h"
#include "conf/loader.h"

/* Where the reader is. */
struct place {
	uint16_t file;                  /* of c->files */
	const char *path;
	unsigned line, col, key_col;
	const char *text;               /* the whole file, to quote a line of it */
	size_t size;
};

struct conf *conf_new(void)
{
	return calloc(1, sizeof(struct conf));
}

struct conf *conf_free(struct conf *c)
{
	free(c);
	return NULL;
}

const struct conf_errors *conf_errors(const struct conf *c)
{
	return &c->errors;
}

const struct conf_errors *conf_ignored(const struct conf *c)
{
	return &c->ignored;
}

unsigned conf_n_files(const struct conf *c)
{
	return c->files.n;
}

const char *conf_errors_text(const struct conf *c, char *buf, size_t size)
{
	char one[CONF_PATH_MAX + CONF_WHY_MAX + 3 * CONF_SOURCE_MAX];
	unsigned i;

	buf[0] = 0;
	for (i = 0; i < c->errors.n; i++)
		(void)str_appendf(buf, size, "%s\n", conf_error_format(&c->errors.e[i], one, sizeof(one)));
	if (c->errors.more > 0)
		(void)str_appendf(buf, size, "and %u more\n", c->errors.more);
	return buf;
}

enum section loader_section(enum policy_kind kind)
{
	switch (kind) {
	case POLICY_PROTECT:
		return SECTION_PROTECT;
	case POLICY_THROTTLE:
		return SECTION_THROTTLE;
	case POLICY_ENDPOINT:
		return SECTION_ENDPOINT;
	}
	return SECTION_RELIEF;
}

static const enum policy_kind KIND_OF[_SECTION_MAX] = {
	[SECTION_PROTECT] = POLICY_PROTECT, [SECTION_THROTTLE] = POLICY_THROTTLE, [SECTION_ENDPOINT] = POLICY_ENDPOINT,
};

void *loader_field(struct policy_set *set, struct guard_settings *guard, int policy, const struct key *key)
{
	char *base = policy >= 0 ? (char *)&set->policies[policy] : key->guard ? (char *)guard : (char *)&set->settings;

	return base + key->offset;
}

/* ---- errors of a place ---- */

static const char *line_at(const struct place *at, unsigned line, size_t *ret_n)
{
	const char *s = at->text, *end = at->text + at->size, *newline;

	for (; line > 1; line--) {
		newline = memchr(s, '\n', (size_t)(end - s));
		if (newline == NULL)
			return NULL;
		s = newline + 1;
	}
	newline = memchr(s, '\n', (size_t)(end - s));
	*ret_n = (size_t)((newline ? newline : end) - s);
	if (*ret_n > 0 && s[*ret_n - 1] == '\r')
		(*ret_n)--;
	return s;
}

static void complain(struct conf *c, const struct place *at, unsigned col, const char *key, const char *why)
{
	size_t n = 0;
	const char *line = line_at(at, at->line, &n);

	conf_errors_add(&c->errors, at->path, at->line, col, key, line, n, "%s", why);
}

/* ---- heads ---- */

static int find_policy(const struct conf *c, enum policy_kind kind, const char *name)
{
	int i;

	for (i = 0; i < c->set.n_policies; i++)
		if (c->set.policies[i].kind == kind && str_equal(c->set.policies[i].name, name))
			return i;
	return -1;
}

static void unknown_section(struct conf *c, const struct place *at, const char *type)
{
	char why[CONF_WHY_MAX];
	struct suggest near;
	int i;

	suggest_init(&near, type);
	for (i = 0; i < _SECTION_MAX; i++)
		suggest_offer(&near, section_to_string((enum section)i));
	if (suggest_best(&near) != NULL)
		(void)str_format(why, sizeof(why), "there is no section [%.80s]; did you mean [%s]?", type, suggest_best(&near));
	else
		(void)str_format(why, sizeof(why), "there is no section [%.80s]; there are [Protect NAME], [Throttle NAME], "
				 "[Endpoint NAME] and, in reprieve.conf, [Relief]", type);
	complain(c, at, at->col, NULL, why);
}

/* [Type name] → section and policy (-1: settings). False: complained; skip to the next head. */
static bool take_head(struct conf *c, const struct place *at, const char *head, bool relief, bool others,
		      uint16_t main_file, enum section *ret_section, int *ret_policy)
{
	char type[64], why[CONF_WHY_MAX];
	size_t n = strcspn(head, " \t");
	const char *name = head + n + strspn(head + n, " \t");
	struct policy *p;
	int section, i;

	(void)str_copy(type, MIN(n + 1, sizeof(type)), head);
	section = section_from_string(type);
	if (section < 0) {
		unknown_section(c, at, type);
		return false;
	}
	if (section == SECTION_RELIEF) {
		if (*name)
			complain(c, at, at->col, NULL, "[Relief] has no name; write [Relief] alone");
		else if (!relief)
			complain(c, at, at->col, NULL, "[Relief] belongs in reprieve.conf, not in a policy");
		*ret_section = SECTION_RELIEF;
		*ret_policy = -1;
		return *name == 0 && relief;
	}
	if (!others) {
		(void)str_format(why, sizeof(why), "[%s] belongs in a policy, such as /etc/reprieve/policies/50-name.policy", type);
		complain(c, at, at->col, NULL, why);
		return false;
	}
	if (*name == 0 || strcspn(name, " \t") != strlen(name) || strlen(name) >= NAME_TEXT_MAX) {
		(void)str_format(why, sizeof(why), "the section needs a name of one word of at most %d bytes; write [%s name]",
				 NAME_TEXT_MAX - 1, type);
		complain(c, at, at->col, NULL, why);
		return false;
	}
	i = find_policy(c, KIND_OF[section], name);
	if (i >= 0 && c->main_file[i] != main_file) {
		(void)str_format(why, sizeof(why), "[%s %s] is in %s already; take another name, or put this into %.100s.d/",
				 type, name, c->set.policies[i].source, c->files.f[c->main_file[i]].name);
		complain(c, at, at->col, NULL, why);
		return false;
	}
	if (i < 0) {
		if (c->set.n_policies >= MAX_POLICIES) {
			complain(c, at, at->col, NULL, "there are more than 64 sections in all; combine some");
			return false;
		}
		i = c->set.n_policies++;
		p = &c->set.policies[i];
		*p = POLICY_INIT;
		p->kind = KIND_OF[section];
		(void)str_copy(p->name, sizeof(p->name), name);
		(void)str_format(p->source, sizeof(p->source), "%.80s:%u", c->files.f[at->file].name, at->line);
		c->main_file[i] = main_file;
		c->head[i] = (struct origin){ at->file, (uint16_t)MIN(at->line, 65535u), 1 };
		memset(c->origins[i], 0xff, sizeof(c->origins[i]));
	}
	*ret_section = (enum section)section;
	*ret_policy = i;
	return true;
}

/* ---- assignments ---- */

static void unknown_key(struct conf *c, const struct place *at, enum section section, const char *name)
{
	char why[CONF_WHY_MAX];
	struct suggest near;
	size_t i;
	int s;

	for (s = 0; s < _SECTION_MAX; s++)
		if (key_find((enum section)s, name) != NULL) {
			(void)str_format(why, sizeof(why), "is a key of [%s], not of [%s]", section_to_string((enum section)s),
					 section_to_string(section));
			complain(c, at, at->key_col, name, why);
			return;
		}
	suggest_init(&near, name);
	for (i = 0; i < KEYS_N; i++)
		if (KEYS[i].section == section)
			suggest_offer(&near, KEYS[i].name);
	if (suggest_best(&near) != NULL)
		(void)str_format(why, sizeof(why), "there is no such key in [%s]; did you mean %s?",
				 section_to_string(section), suggest_best(&near));
	else {
		(void)str_format(why, sizeof(why), "there is no such key in [%s]; there are", section_to_string(section));
		for (i = 0; i < KEYS_N; i++)
			if (KEYS[i].section == section)
				(void)str_appendf(why, sizeof(why), " %s", KEYS[i].name);
	}
	complain(c, at, at->key_col, name, why);
}

static void clear_list(struct conf *c, int policy, enum match_kind match)
{
	unsigned i, kept = 0;

	for (i = 0; i < c->n_globs; i++)
		if (c->globs[i].policy != policy || c->globs[i].glob.kind != match)
			c->globs[kept++] = c->globs[i];
	c->n_globs = kept;
}

static bool take_list(struct conf *c, const struct place *at, int policy, const struct key *key, const char *value)
{
	const char *s = value;
	bool good = true;

	if (*s == 0)
		clear_list(c, policy, key->match);
	while (*s) {
		size_t n = strcspn(s, " \t");
		char word[GLOB_TEXT_MAX + 1];
		struct key_error e = { 0 };
		struct glob glob;
		unsigned col = at->col + (unsigned)(s - value);
		bool there = false;
		unsigned i;

		(void)str_copy(word, MIN(n + 1, sizeof(word)), s);
		s += n;
		s += strspn(s, " \t");
		if (key_word(key, c->root, word, &glob, &e) < 0) {
			complain(c, at, col + (unsigned)e.at, key->name, e.why);
			good = false;
			continue;
		}
		for (i = 0; i < c->n_globs && !there; i++)
			there = c->globs[i].policy == policy && c->globs[i].glob.kind == glob.kind &&
				str_equal(c->globs[i].glob.text, glob.text);
		if (there)
			continue;
		if (c->n_globs >= MAX_GLOBS) {
			complain(c, at, col, key->name, "there are more than 512 patterns in all; use * to combine some");
			return false;
		}
		c->globs[c->n_globs++] = (struct loaded_glob){
			.policy = (uint16_t)policy,
			.origin = { at->file, (uint16_t)MIN(at->line, 65535u), (uint16_t)MIN(col, 65535u) },
			.glob = glob,
		};
	}
	return good;
}

static void take_value(struct conf *c, const struct place *at, enum section section, int policy, const char *name,
		       const char *value)
{
	const struct key *key = key_find(section, name);
	struct key_error e = { 0 };
	struct origin *origin;
	void *field;

	if (key == NULL) {
		unknown_key(c, at, section, name);
		return;
	}
	if (key->type->is_list) {
		(void)take_list(c, at, policy, key, value);
		return;
	}
	origin = policy >= 0 ? &c->origins[policy][key - KEYS] : &c->relief[key - KEYS];
	field = loader_field(&c->set, &c->guard, policy, key);
	if (*value == 0) {
		const char *defaults = policy >= 0 ? (const char *)&POLICY_INIT :
				       key->guard ? (const char *)&GUARD_SETTINGS_DEFAULT : (const char *)&SETTINGS_DEFAULT;

		memcpy(field, defaults + key->offset, key->size);
		*origin = (struct origin){ .file = ORIGIN_NONE };
		return;
	}
	if (key->type->parse(key, value, field, &e) < 0) {
		complain(c, at, at->col + (unsigned)e.at, name, e.why);
		return;
	}
	*origin = (struct origin){ at->file, (uint16_t)MIN(at->line, 65535u), (uint16_t)at->col };
}

/* ---- files ---- */

struct scope {
	bool relief, others;            /* which sections may stand here */
};

static void take_text(struct conf *c, uint16_t file, uint16_t main_file, const char *text, size_t size, struct scope scope)
{
	struct place at = { .file = file, .path = c->files.f[file].path, .text = text, .size = size };
	const char *head, *key, *value;
	enum section section = SECTION_RELIEF;
	bool skip = false, any = false;
	int policy = -1, r;

	ini_init(&c->ini, text, size);
	while ((r = ini_next(&c->ini, &head, &key, &value, &at.line, &at.col, &at.key_col)) != INI_E_END) {
		if (r == INI_E_SYNTAX) {
			complain(c, &at, at.col, NULL, c->ini.why);
			continue;
		}
		if (key == NULL) {
			skip = !take_head(c, &at, head, scope.relief, scope.others, main_file, &section, &policy);
			any = true;
			continue;
		}
		if (!any) {
			complain(c, &at, at.key_col, key, scope.others ?
				 "stands before any section; write [Protect name] or [Throttle name] above it" :
				 "stands before any section; write [Relief] above it");
			any = skip = true;
			continue;
		}
		if (!skip)
			take_value(c, &at, section, policy, key, value);
	}
}

static void begin(struct conf *c, const char *root, bool trust)
{
	conf_errors_clear(&c->errors);
	conf_errors_clear(&c->ignored);
	c->root = root;
	c->trust = trust;
	c->given = NULL;
	c->files.ignored = &c->ignored;
	c->files.n = 0;
	c->n_globs = 0;
	memset(&c->set, 0, sizeof(c->set));
	c->set.settings = SETTINGS_DEFAULT;
	c->guard = GUARD_SETTINGS_DEFAULT;
	memset(c->relief, 0xff, sizeof(c->relief));
}

static void take_files(struct conf *c, uint16_t first, struct scope scope)
{
	uint16_t main_file = first;
	unsigned i;

	for (i = first; i < c->files.n; i++) {
		size_t size;

		if (!c->files.f[i].dropin)
			main_file = (uint16_t)i;
		if (conf_files_read(c->root, c->files.f[i].path, c->trust, c->text, &size, &c->errors) == 0)
			take_text(c, (uint16_t)i, main_file, c->text, size, scope);
	}
}

static bool glob_before(const struct loaded_glob *a, const struct loaded_glob *b)
{
	return a->policy != b->policy ? a->policy < b->policy : a->glob.kind < b->glob.kind;
}

/* By policy and kind, else as they were read: c->globs[i] is where set.globs[i] came from. */
static void sort_globs(struct conf *c)
{
	unsigned i, k;

	for (i = 1; i < c->n_globs; i++) {
		struct loaded_glob g = c->globs[i];

		for (k = i; k > 0 && glob_before(&g, &c->globs[k - 1]); k--)
			c->globs[k] = c->globs[k - 1];
		c->globs[k] = g;
	}
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const char *find_word(const char *text, const char *word)
{
	const char *s = text;
	size_t n = strlen(word);

	for (; (s = strstr(s, word)) != NULL; s++)
		if ((s == text || !is_letter(s[-1])) && !is_letter(s[n]))
			return s;
	return NULL;
}

/* Of the keys that the sentence names, the first that a file sets; else the first; else NULL. */
static const struct key *key_to_blame(enum section section, const struct origin *origins, const char *why)
{
	const struct key *best = NULL;
	const char *best_at = NULL;
	bool best_set = false;
	size_t i;

	for (i = 0; i < KEYS_N; i++) {
		const char *at = KEYS[i].section != section || KEYS[i].type->is_list ? NULL : find_word(why, KEYS[i].name);
		bool set = origins[i].file != ORIGIN_NONE;

		if (at == NULL || (best != NULL && (set < best_set || (set == best_set && at > best_at))))
			continue;
		best = &KEYS[i];
		best_at = at;
		best_set = set;
	}
	return best;
}

/* What is wrong with values beside each other was found after all files were read: its line is looked up again. */
static void blame(struct conf *c, int policy, const char *why)
{
	const struct policy *p = policy >= 0 ? &c->set.policies[policy] : NULL;
	enum section section = p != NULL ? loader_section(p->kind) : SECTION_RELIEF;
	const struct origin *origins = p != NULL ? c->origins[policy] : c->relief;
	const struct key *key = key_to_blame(section, origins, why);
	const struct origin *o = key != NULL ? &origins[key - KEYS] : NULL;
	size_t n = key != NULL ? strlen(key->name) : 0;
	char head[128];

	if (key != NULL && str_starts(why, key->name) && why[n] == ' ')
		why += n + 1;
	if (o != NULL && o->file != ORIGIN_NONE) {
		struct place at = { .file = o->file, .path = c->files.f[o->file].path, .line = o->line, .text = c->given, .size = c->given_size };

		if (c->given == NULL) {
			at.text = c->text;
			if (conf_files_read(c->root, at.path, c->trust, c->text, &at.size, &c->errors) < 0)
				at.size = 0;
		}
		complain(c, &at, o->col, key->name, why);
		return;
	}
	if (p != NULL)
		(void)str_format(head, sizeof(head), "[%s %s]", section_to_string(section), p->name);
	conf_errors_add(&c->errors, p != NULL ? c->files.f[c->head[policy].file].path : "[Relief]", p != NULL ? c->head[policy].line : 0,
			p != NULL, key != NULL ? key->name : NULL, p != NULL ? head : NULL, p != NULL ? strlen(head) : 0, "%s", why);
}

/* Patterns to their policies, defaults, and the last question. */
static int finish(struct conf *c, struct policy_set *ret_set, struct guard_settings *ret_guard)
{
	char why[CONF_WHY_MAX];
	int i, index;

	if (c->errors.n > 0)
		return -EINVAL;
	sort_globs(c);
	for (i = 0; i < c->set.n_policies; i++) {
		struct policy *p = &c->set.policies[i];

		policy_defaults(p);
		p->glob_first = c->set.n_globs;
		while (c->set.n_globs < c->n_globs && c->globs[c->set.n_globs].policy == i) {
			c->set.globs[c->set.n_globs] = c->globs[c->set.n_globs].glob;
			c->set.n_globs++;
		}
		p->glob_n = (uint16_t)(c->set.n_globs - p->glob_first);
	}
	if (policy_validate(&c->set, &index, why, sizeof(why)) < 0) {
		blame(c, index, why);
		return -EINVAL;
	}
	*ret_set = c->set;
	if (ret_guard != NULL)
		*ret_guard = c->guard;
	return 0;
}

int conf_load(struct conf *c, const char *root, struct policy_set *ret_set, struct guard_settings *ret_guard)
{
	static const char *const settings[] = { "/etc/reprieve", "/run/reprieve", "/usr/lib/reprieve", NULL };
	static const char *const policies[] = { "/etc/reprieve/policies", "/run/reprieve/policies",
						"/usr/lib/reprieve/policies", NULL };
	uint16_t first;

	begin(c, root, true);
	/* Whoever may write these may put other policies in place of ours. */
	(void)conf_files_trust(root, settings, &c->errors);
	(void)conf_files_find_one(&c->files, root, settings, "reprieve.conf", true, &c->errors);
	take_files(c, 0, (struct scope){ .relief = true });
	first = (uint16_t)c->files.n;
	(void)conf_files_find(&c->files, root, policies, ".policy", true, &c->errors);
	conf_files_misplaced(&c->files, root, settings, "policies", ".policy");
	take_files(c, first, (struct scope){ .others = true });
	return finish(c, ret_set, ret_guard);
}

int conf_load_path(struct conf *c, const char *path, const struct settings *settings, struct policy_set *ret_set)
{
	const char *dirs[] = { path, NULL };
	struct stat st;

	begin(c, "", false);
	if (settings != NULL)
		c->set.settings = *settings;
	if (stat(path, &st) < 0)
		conf_errors_add(&c->errors, path, 0, 0, NULL, NULL, 0, "cannot read it: %s", strerror(errno));
	else if (S_ISDIR(st.st_mode))
		(void)conf_files_find(&c->files, "", dirs, ".policy", false, &c->errors);
	else {
		const char *name = strrchr(path, '/');

		if (str_copy(c->files.f[0].path, CONF_PATH_MAX, path) &&
		    str_copy(c->files.f[0].name, CONF_NAME_MAX, name ? name + 1 : path))
			c->files.n = 1;
		else
			conf_errors_add(&c->errors, path, 0, 0, NULL, NULL, 0, "the path is too long");
		c->files.f[0].dropin = c->files.f[0].masked = false;
	}
	take_files(c, 0, (struct scope){ .others = true });
	return finish(c, ret_set, NULL);
}

int conf_text_load(struct conf *c, const char *text, size_t size, const char *name,
		   struct policy_set *ret_set, struct guard_settings *ret_guard)
{
	begin(c, "", false);
	c->given = text;
	c->given_size = size;
	c->files.n = 1;
	c->files.f[0] = (struct conf_file){ 0 };
	(void)str_copy(c->files.f[0].path, CONF_PATH_MAX, name);
	(void)str_copy(c->files.f[0].name, CONF_NAME_MAX, name);
	take_text(c, 0, 0, text, size, (struct scope){ .relief = true, .others = true });
	return finish(c, ret_set, ret_guard);
}
