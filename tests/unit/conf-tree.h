/* SPDX-License-Identifier: Apache-2.0 */
/* conf-tree: a throw-away root directory for tests of configuration files. */
#pragma once

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tree[64];

static inline int tree_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static inline int tree_free(void **state)
{
	(void)state;
	if (tree[0])
		(void)nftw(tree, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	tree[0] = 0;
	return 0;
}

static inline int tree_new(void **state)
{
	(void)umask(022);
	(void)tree_free(state);
	strcpy(tree, "/tmp/reprieve-test-XXXXXX");
	return mkdtemp(tree) && chmod(tree, 0755) == 0 ? 0 : -1;
}

/* Path of a name in the tree, its directories made. */
static inline const char *tree_path(const char *name)
{
	static char path[4096];
	char *slash;

	(void)snprintf(path, sizeof(path), "%s%s", tree, name);
	for (slash = path + strlen(tree) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = 0;
		(void)mkdir(path, 0755);
		*slash = '/';
	}
	return path;
}

static inline void tree_write_n(const char *name, const char *text, size_t n)
{
	FILE *f = fopen(tree_path(name), "w");

	assert(f != NULL);
	assert(fwrite(text, 1, n, f) == n);
	assert(fclose(f) == 0);
}

static inline void tree_write(const char *name, const char *text)
{
	tree_write_n(name, text, strlen(text));
}

static inline void tree_link(const char *target, const char *name)
{
	assert(symlink(target, tree_path(name)) == 0);
}
