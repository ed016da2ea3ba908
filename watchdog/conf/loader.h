/* SPDX-License-Identifier: Apache-2.0 */
/* loader: what a load keeps in memory. Inner header of policies.c and format.c; others
 * have no business here. */
#pragma once

#include "base/ini.h"
#include "conf/conf_files.h"
#include "conf/keys.h"
#include "conf/policies.h"

#define ORIGIN_NONE UINT16_MAX

/* Where a value came from: a file of the list, a line and the value's column. */
struct origin {
	uint16_t file;                  /* ORIGIN_NONE: a default */
	uint16_t line, col;
};

/* While files are read, patterns of several policies come mixed (a drop-in adds to one
 * that is long past); sorting them to their policies is the last step. */
struct loaded_glob {
	uint16_t policy;
	struct origin origin;
	struct glob glob;
};

struct conf {
	struct conf_errors errors, ignored;
	struct conf_files files;
	char text[CONF_FILE_MAX + 1];
	struct ini_reader ini;
	const char *root;
	bool trust;                     /* files have to be root's */
	const char *given;              /* the text that stands for the files, or NULL */
	size_t given_size;

	/* the set being built; after a load that went well, what was handed over */
	struct policy_set set;
	struct guard_settings guard;
	unsigned n_globs;
	struct loaded_glob globs[MAX_GLOBS];

	uint16_t main_file[MAX_POLICIES];               /* a policy's file, which is no drop-in */
	struct origin head[MAX_POLICIES];
	struct origin origins[MAX_POLICIES][KEYS_MAX];
	struct origin relief[KEYS_MAX];
};

/* The field a key of this policy (index; -1: the settings) goes to. */
void *loader_field(struct policy_set *set, struct guard_settings *guard, int policy, const struct key *key);
enum section loader_section(enum policy_kind kind);
