/* SPDX-License-Identifier: Apache-2.0 */
/* conf_files: which configuration files count, and their text.
 *
 * Directories are given highest first: /etc, /run, /usr/lib. Of files with one name
 * the highest wins; one that is empty or a symlink to /dev/null masks the others.
 * Under `trust` it has to be root's for that, too.
 * Drop-ins NAME.d/<x>.conf are collected from all directories by the same rules.
 * The result is in the order in which it is read: by name, each followed by its
 * drop-ins, by name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/errors.h"

#define CONF_NAME_MAX   128             /* bytes of a file's name; a longer one is refused */
#define CONF_FILES_MAX  128             /* files in a list; beyond: refused */
#define CONF_FILE_MAX   (64 * 1024)     /* bytes of a file; beyond: refused */

struct conf_file {
	char path[CONF_PATH_MAX];       /* without the root */
	char name[CONF_NAME_MAX];
	bool dropin;                    /* it belongs to the nearest one before that is none */
	bool masked;
};

struct conf_files {
	struct conf_errors *ignored;    /* files found that count for nothing because of their names; NULL: not told */
	unsigned n;
	struct conf_file f[CONF_FILES_MAX];
};

/* Adds to the list every file of dirs[] (ended by NULL) that ends in `suffix`, with its
 * drop-ins. `root` is put before every path ("" = none). `trust`: as root, refuses
 * files and directories that others may write. 0; -EINVAL: see errors. */
int conf_files_find(struct conf_files *list, const char *root, const char *const *dirs, const char *suffix,
		    bool trust, struct conf_errors *errors);

/* One file of that name instead, which may be missing, and its drop-ins, which then count too. */
int conf_files_find_one(struct conf_files *list, const char *root, const char *const *dirs, const char *name,
			bool trust, struct conf_errors *errors);

/* Tells list->ignored of files that lie in dirs[] and end in `suffix`, but would count in
 * dirs[]/sub only. */
void conf_files_misplaced(struct conf_files *list, const char *root, const char *const *dirs, const char *sub, const char *suffix);

/* As root: directories that others may write, or that are others', are refused. One that
 * is missing is no error. 0; -EINVAL: see errors. */
int conf_files_trust(const char *root, const char *const *dirs, struct conf_errors *errors);

/* The text, ended by NUL, into buf[CONF_FILE_MAX + 1]. Regular files only. 0; -EINVAL: see errors. */
int conf_files_read(const char *root, const char *path, bool trust, char *buf, size_t *ret_size,
		    struct conf_errors *errors);
