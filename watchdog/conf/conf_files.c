/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_files: search path, masks, drop-ins
 *
 * The rules are systemd's, since that is what administrators know: a package ships
 * in /usr/lib, an administrator overrides in /etc by the same name, changes a part by
 * a drop-in, and disables by a symlink to /dev/null or an empty file.
 *
 * These files decide what a root daemon does to other people's processes. So, as
 * root, a file or directory that anybody but root may write is refused with an error
 * (which keeps the old set in force), and never skipped: skipping a [Protect] would
 * be worse. A mask is as good as a policy here: only one that root made counts, and
 * no file of /proc or /sys is one, whose size says 0 whatever is in it. What is opened has been seen to be a regular file first, because opening
 * a device or fifo can have an effect of its own (a watchdog starts to count) or
 * block for ever.
 *
 * Sizes and counts are bounded, so that a mistake such as a log file in the wrong
 * place is an error and not an out-of-memory.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "conf/conf_files.h"

#define PATH_ALL_MAX (2 * CONF_PATH_MAX)        /* root and path */
#define ENTRIES_MAX  4096                       /* of one directory; beyond: refused */
#define PROC_MAGIC   0x9fa0                     /* linux/magic.h */
#define SYSFS_MAGIC  0x62656572

static int problem(struct conf_errors *errors, const char *path, const char *what)
{
	conf_errors_add(errors, path, 0, 0, NULL, NULL, 0, "%s", what);
	return -EINVAL;
}

static int problem_errno(struct conf_errors *errors, const char *path, const char *what, int error)
{
	conf_errors_add(errors, path, 0, 0, NULL, NULL, 0, "%s: %s", what, strerror(error));
	return -EINVAL;
}

static bool trusted(const struct stat *st)
{
	return geteuid() != 0 || (st->st_uid == 0 && (S_ISLNK(st->st_mode) || (st->st_mode & 022) == 0));
}

/* all: with the root, for commands to be copied; a name that a shell would read otherwise
 * is left out of them. */
static int check_trust(const struct stat *st, const char *path, const char *all, struct conf_errors *errors)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._@+-";
	const char *copy = strspn(all, plain) == strlen(all) && strlen(all) < CONF_WHY_MAX / 2 ? all : "";
	const char *space = *copy ? " " : "";

	if (trusted(st))
		return 0;
	if (S_ISLNK(st->st_mode))
		conf_errors_add(errors, path, 0, 0, NULL, NULL, 0, "refused: the link belongs to user %u; make it root's: chown -h root:root%s%s",
				(unsigned)st->st_uid, space, copy);
	else if (st->st_uid != 0)
		conf_errors_add(errors, path, 0, 0, NULL, NULL, 0, "refused: it belongs to user %u; make it root's: chown root:root%s%s",
				(unsigned)st->st_uid, space, copy);
	else
		conf_errors_add(errors, path, 0, 0, NULL, NULL, 0, "refused: others than root may write it (mode %04o); chmod go-w%s%s",
				(unsigned)(st->st_mode & 07777), space, copy);
	return -EINVAL;
}

static bool of_the_kernel(const struct statfs *fs)
{
	return fs->f_type == PROC_MAGIC || fs->f_type == SYSFS_MAGIC;
}

/* What is not trusted is none: it is read then, and refused with its reason. */
static bool is_mask(const char *all, bool trust)
{
	char target[16];
	struct statfs fs;
	struct stat st;
	ssize_t n;

	if (lstat(all, &st) < 0 || (trust && !trusted(&st)))
		return false;
	n = readlink(all, target, sizeof(target));
	if (n == 9 && memcmp(target, "/dev/null", 9) == 0)
		return true;
	return stat(all, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 && (!trust || trusted(&st)) &&
	       statfs(all, &fs) == 0 && !of_the_kernel(&fs);
}

static bool known(const struct conf_files *list, unsigned first, const char *name)
{
	unsigned i;

	for (i = first; i < list->n; i++)
		if (str_equal(list->f[i].name, name))
			return true;
	return false;
}

static int compare_error(const void *a, const void *b)
{
	return strcmp(((const struct conf_error *)a)->file, ((const struct conf_error *)b)->file);
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct conf_file *)a)->name, ((const struct conf_file *)b)->name);
}

/* A file that is passed over because of its name was meant to do something, unless it is what
 * editors and packages leave. */
static void ignore(struct conf_files *list, const char *path, const char *all, const char *name, const char *suffix)
{
	static const char *const left[] = { ".dpkg-", ".rpm", ".ucf-" };
	char file[CONF_PATH_MAX], full[PATH_ALL_MAX], dot_d[CONF_NAME_MAX];
	struct stat st;
	size_t i;

	if (list->ignored == NULL || name[0] == '.' || str_ends(name, "~") || str_starts(name, "README"))
		return;
	for (i = 0; i < ELEMENTSOF(left); i++)
		if (strstr(name, left[i]) != NULL)
			return;
	(void)str_format(file, sizeof(file), "%s/%s", path, name);
	(void)str_format(dot_d, sizeof(dot_d), "%s.d", suffix);
	if (!str_format(full, sizeof(full), "%s/%s", all, name) || stat(full, &st) < 0 || !S_ISDIR(st.st_mode))
		conf_errors_add(list->ignored, file, 0, 0, NULL, NULL, 0, "ignored: name it *%s", suffix);
	else if (!str_ends(name, dot_d))
		conf_errors_add(list->ignored, file, 0, 0, NULL, NULL, 0, "ignored: a directory of drop-ins is named *%s", dot_d);
}

/* The entries of root/dir/sub that end in suffix, and are not in list from `first` on. */
static int scan_dir(struct conf_files *list, unsigned first, const char *root, const char *dir, const char *sub,
		    const char *suffix, bool dropin, bool trust, struct conf_errors *errors)
{
	_cleanup_(cleanup_closedir) DIR *d = NULL;
	char path[CONF_PATH_MAX], all[PATH_ALL_MAX], at[PATH_ALL_MAX];
	unsigned entries = 0;
	struct dirent *entry;
	struct stat st;
	int r = 0;

	if (!str_format(path, sizeof(path), "%s%s%s", dir, sub[0] ? "/" : "", sub) ||
	    !str_format(at, sizeof(at), "%s%s", root, path))
		return problem(errors, dir, "the path is too long");
	d = opendir(at);
	if (d == NULL)
		return errno == ENOENT ? 0 : problem_errno(errors, path, "cannot read the directory", errno);
	if (fstat(dirfd(d), &st) < 0)
		return problem_errno(errors, path, "cannot look at the directory", errno);
	if (trust && check_trust(&st, path, at, errors) < 0)
		return -EINVAL;
	while ((entry = readdir(d)) != NULL) {
		struct conf_file *f;

		if (++entries > ENTRIES_MAX)
			return problem(errors, path, "the directory has more than 4096 entries; is it the right one?");
		if (entry->d_name[0] == '.' || !str_ends(entry->d_name, suffix)) {
			ignore(list, path, at, entry->d_name, suffix);
			continue;
		}
		if (known(list, first, entry->d_name))
			continue;
		if (list->n >= CONF_FILES_MAX)
			return problem(errors, path, "there are more than 128 configuration files");
		f = &list->f[list->n];
		*f = (struct conf_file){ .dropin = dropin };
		if (!str_copy(f->name, sizeof(f->name), entry->d_name) ||
		    !str_format(f->path, sizeof(f->path), "%s/%s", path, entry->d_name) ||
		    !str_format(all, sizeof(all), "%s%s", root, f->path)) {
			r = problem(errors, path, "a file's name in it is too long; at most 127 bytes are taken");
			continue;
		}
		f->masked = is_mask(all, trust);
		list->n++;
	}
	return r;
}

static int scan_dirs(struct conf_files *list, const char *root, const char *const *dirs, const char *sub,
		     const char *suffix, bool dropin, bool trust, struct conf_errors *errors)
{
	unsigned first = list->n;
	int r = 0;

	for (; *dirs != NULL; dirs++)
		if (scan_dir(list, first, root, *dirs, sub, suffix, dropin, trust, errors) < 0)
			r = -EINVAL;
	qsort(&list->f[first], list->n - first, sizeof(list->f[0]), compare);
	return r;
}

static int add_dropins(struct conf_files *list, const char *root, const char *const *dirs, const char *name,
		       bool trust, struct conf_errors *errors)
{
	char sub[CONF_NAME_MAX + 2];
	unsigned first = list->n, i, kept;
	int r;

	(void)str_format(sub, sizeof(sub), "%s.d", name);
	r = scan_dirs(list, root, dirs, sub, ".conf", true, trust, errors);
	for (i = kept = first; i < list->n; i++)
		if (!list->f[i].masked)
			list->f[kept++] = list->f[i];
	list->n = kept;
	return r;
}

int conf_files_find(struct conf_files *list, const char *root, const char *const *dirs, const char *suffix,
		    bool trust, struct conf_errors *errors)
{
	_cleanup_(cleanup_free) struct conf_files *mains = calloc(1, sizeof(*mains));
	_cleanup_(cleanup_free) struct conf_files *orphans = calloc(1, sizeof(*orphans));
	char dot_d[CONF_NAME_MAX];
	unsigned i;
	int r;

	if (mains == NULL || orphans == NULL)
		return problem_errno(errors, dirs[0], "cannot list it", ENOMEM);
	mains->ignored = list->ignored;
	r = scan_dirs(mains, root, dirs, "", suffix, false, trust, errors);
	for (i = 0; i < mains->n; i++) {
		if (mains->f[i].masked)
			continue;
		if (list->n >= CONF_FILES_MAX)
			return problem(errors, mains->f[i].path, "there are more than 128 configuration files");
		list->f[list->n++] = mains->f[i];
		if (add_dropins(list, root, dirs, mains->f[i].name, trust, errors) < 0)
			r = -EINVAL;
	}

	if (list->ignored != NULL)
		qsort(list->ignored->e, list->ignored->n, sizeof(list->ignored->e[0]), compare_error);

	/* A drop-in for a file that is nowhere is most likely a typing error. */
	(void)str_format(dot_d, sizeof(dot_d), "%s.d", suffix);
	if (scan_dirs(orphans, root, dirs, "", dot_d, true, trust, errors) < 0)
		r = -EINVAL;
	for (i = 0; i < orphans->n; i++) {
		char main[CONF_NAME_MAX];

		(void)str_copy(main, sizeof(main), orphans->f[i].name);
		main[strlen(main) - 2] = 0;
		if (known(mains, 0, main))
			continue;
		conf_errors_add(errors, orphans->f[i].path, 0, 0, NULL, NULL, 0,
				"there is no %s that these drop-ins could change; rename or remove the directory", main);
		r = -EINVAL;
	}
	return r;
}

void conf_files_misplaced(struct conf_files *list, const char *root, const char *const *dirs, const char *sub, const char *suffix)
{
	for (; list->ignored != NULL && *dirs != NULL; dirs++) {
		_cleanup_(cleanup_closedir) DIR *d = NULL;
		char at[PATH_ALL_MAX], file[CONF_PATH_MAX];
		unsigned entries = 0;
		struct dirent *entry;

		if (str_format(at, sizeof(at), "%s%s", root, *dirs))
			d = opendir(at);
		while (d != NULL && entries++ < ENTRIES_MAX && (entry = readdir(d)) != NULL)
			if (entry->d_name[0] != '.' && str_ends(entry->d_name, suffix) && str_format(file, sizeof(file), "%s/%s", *dirs, entry->d_name))
				conf_errors_add(list->ignored, file, 0, 0, NULL, NULL, 0, "ignored: it belongs in %s/%s", *dirs, sub);
	}
}

int conf_files_trust(const char *root, const char *const *dirs, struct conf_errors *errors)
{
	char all[PATH_ALL_MAX];
	struct stat st;
	int r = 0;

	for (; *dirs != NULL; dirs++)
		if (str_format(all, sizeof(all), "%s%s", root, *dirs) && stat(all, &st) == 0 && check_trust(&st, *dirs, all, errors) < 0)
			r = -EINVAL;
	return r;
}

int conf_files_find_one(struct conf_files *list, const char *root, const char *const *dirs, const char *name,
			bool trust, struct conf_errors *errors)
{
	const char *const *dir;
	char all[PATH_ALL_MAX];
	struct stat st;
	int r = 0;

	for (dir = dirs; *dir != NULL; dir++) {
		struct conf_file *f = &list->f[list->n];

		if (list->n >= CONF_FILES_MAX)
			return problem(errors, *dir, "there are more than 128 configuration files");
		*f = (struct conf_file){ 0 };
		if (!str_copy(f->name, sizeof(f->name), name) ||
		    !str_format(f->path, sizeof(f->path), "%s/%s", *dir, name) ||
		    !str_format(all, sizeof(all), "%s%s", root, f->path))
			return problem(errors, *dir, "the path is too long");
		if (lstat(all, &st) < 0) {
			if (errno != ENOENT)
				r = problem_errno(errors, f->path, "cannot look at it", errno);
			continue;
		}
		if (!is_mask(all, trust))
			list->n++;
		break;
	}
	return add_dropins(list, root, dirs, name, trust, errors) < 0 ? -EINVAL : r;
}

int conf_files_read(const char *root, const char *path, bool trust, char *buf, size_t *ret_size,
		    struct conf_errors *errors)
{
	_cleanup_(cleanup_close) int fd = -1;
	char all[PATH_ALL_MAX];
	struct statfs fs;
	struct stat st;
	size_t n = 0;

	if (!str_format(all, sizeof(all), "%s%s", root, path))
		return problem(errors, path, "the path is too long");
	if (trust && lstat(all, &st) == 0 && S_ISLNK(st.st_mode) && check_trust(&st, path, all, errors) < 0)
		return -EINVAL;
	if (stat(all, &st) < 0)
		return problem_errno(errors, path, "cannot read it", errno);
	if (!S_ISREG(st.st_mode))
		return problem(errors, path, "it is no regular file; to mask a file, link it to /dev/null");
	fd = open(all, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return problem_errno(errors, path, "cannot read it", errno);
	if (!S_ISREG(st.st_mode))
		return problem(errors, path, "it is no regular file");
	if (fstatfs(fd, &fs) < 0 || of_the_kernel(&fs))
		return problem(errors, path, "refused: it is a file of the kernel's, in /proc or /sys; to mask a file, link it to /dev/null");
	if (trust && check_trust(&st, path, all, errors) < 0)
		return -EINVAL;
	for (;;) {
		ssize_t got = read(fd, buf + n, CONF_FILE_MAX + 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return problem_errno(errors, path, "cannot read it", errno);
		if (got == 0)
			break;
		n += (size_t)got;
		if (n > CONF_FILE_MAX)
			return problem(errors, path, "it is larger than 64K; a policy is a few lines");
	}
	buf[n] = 0;
	*ret_size = n;
	return 0;
}
