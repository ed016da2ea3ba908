/* SPDX-License-Identifier: Apache-2.0 */
/* keys: the one table of everything that may stand in a configuration file. The
 * loader parses by it, `policy cat` and the canonical text print by it, the manual
 * is made from it, and the tests walk it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/macro.h"
#include "conf/settings.h"
#include "core/policy.h"

enum section { SECTION_RELIEF, SECTION_PROTECT, SECTION_THROTTLE, SECTION_ENDPOINT, _SECTION_MAX };

#define KEYS_MAX      64        /* rows of the table */
#define KEY_WHY_MAX   320
#define KEY_TEXT_MAX  256       /* bytes of a printed value, lists excepted */

struct key;

/* What a wrong value is told: at: where in the value, why: what was wrong; what is right. */
struct key_error {
	size_t at;
	char why[KEY_WHY_MAX];
};

struct key_type {
	const char *name;               /* "share", "time", … */
	/* 0 with *field set, or -EINVAL with *e. */
	int (*parse)(const struct key *key, const char *value, void *field, struct key_error *e);
	/* false: unset, nothing to print. */
	bool (*print)(const struct key *key, const void *field, char *buf, size_t size);
	bool is_list;                   /* words are patterns: see key_word() */
};

struct key {
	enum section section;
	const char *name;
	const struct key_type *type;
	size_t offset;                  /* in struct policy; for [Relief] in struct settings or guard_settings */
	size_t size;                    /* bytes there that are the key's, to put a default back */
	bool guard;                     /* the latter */
	enum match_kind match;          /* lists */
	uint64_t min, max;              /* accepted range of a number */
	const char *doc;                /* one or two sentences */
};

extern const struct key KEYS[];
extern const size_t KEYS_N;

const char *section_to_string(enum section section);
int section_from_string(const char *name);              /* -1: none */
const struct key *key_find(enum section section, const char *name);    /* NULL: none */

/* "value" and the formatted rest into *e; -EINVAL. */
int key_wrong(struct key_error *e, size_t at, const char *value, const char *format, ...) _printf_(4, 5);

/* Checks one word of a list key and puts it into *ret (kind and text). Users= names are
 * looked up in ROOT/etc/passwd. 0, or -EINVAL with *e. */
int key_word(const struct key *key, const char *root, const char *word, struct glob *ret, struct key_error *e);

/* The table as text for the manual: one paragraph for each key of the section. Returns
 * buf; what does not fit is cut. */
const char *keys_document(enum section section, char *buf, size_t size);

/* A name's uid, as digits, out of ROOT/etc/passwd alone: no name service is asked, which
 * could mean the network, and seconds. 0, -ENOENT. */
int key_user(const char *root, const char *name, char *ret_uid, size_t size);
