/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macro.h"
#include "base/str.h"
#include "conf/conf_files.h"
#include "unit/conf-tree.h"
#include "unit/needs.h"

static const char *const DIRS[] = { "/etc/p", "/run/p", "/usr/lib/p", NULL };
static struct conf_files list;
static struct conf_errors errors;
static char buf[CONF_FILE_MAX + 1];

/* What is found, as "path path(d) …"; a leading "!" where something was refused. */
static const char *found(bool trust)
{
	static char out[16384];
	unsigned i;
	int r;

	list.n = 0;
	conf_errors_clear(&errors);
	r = conf_files_find(&list, tree, DIRS, ".policy", trust, &errors);
	assert_int_equal(r, errors.n ? -EINVAL : 0);
	(void)str_copy(out, sizeof(out), r < 0 ? "! " : "");
	for (i = 0; i < list.n; i++)
		(void)str_appendf(out, sizeof(out), "%s%s ", list.f[i].path, list.f[i].dropin ? "(d)" : "");
	return out;
}

static void nothing_is_no_error(void **state)
{
	assert_string_equal(found(true), "");
	(void)tree_path("/etc/p/");
	assert_string_equal(found(true), "");
}

static void higher_directories_win(void **state)
{
	tree_write("/usr/lib/p/20-b.policy", "x");
	tree_write("/usr/lib/p/10-a.policy", "x");
	tree_write("/usr/lib/p/30-c.policy", "x");
	tree_write("/run/p/20-b.policy", "x");
	tree_write("/etc/p/30-c.policy", "x");
	tree_write("/etc/p/15-n.policy", "x");
	assert_string_equal(found(true), "/usr/lib/p/10-a.policy /etc/p/15-n.policy /run/p/20-b.policy /etc/p/30-c.policy ");
}

static void masks(void **state)
{
	tree_write("/usr/lib/p/10-a.policy", "x");
	tree_write("/usr/lib/p/20-b.policy", "x");
	tree_write("/usr/lib/p/20-b.policy.d/x.conf", "x");
	tree_write("/usr/lib/p/30-c.policy", "x");
	tree_write("/usr/lib/p/30-c.policy.d/1.conf", "x");
	tree_write("/usr/lib/p/30-c.policy.d/2.conf", "x");
	tree_link("/dev/null", "/etc/p/10-a.policy");
	tree_write("/run/p/20-b.policy", "");
	tree_link("/dev/null", "/etc/p/30-c.policy.d/1.conf");
	assert_string_equal(found(true), "/usr/lib/p/30-c.policy /usr/lib/p/30-c.policy.d/2.conf(d) ");
}

static void dropins_come_from_everywhere(void **state)
{
	tree_write("/usr/lib/p/10-a.policy", "x");
	tree_write("/usr/lib/p/10-a.policy.d/50.conf", "x");
	tree_write("/usr/lib/p/10-a.policy.d/20.conf", "x");
	tree_write("/run/p/10-a.policy.d/30.conf", "x");
	tree_write("/etc/p/10-a.policy.d/20.conf", "x");
	tree_write("/etc/p/10-a.policy.d/ignored.txt", "x");
	tree_write("/etc/p/10-a.policy.d/.hidden.conf", "x");
	tree_write("/usr/lib/p/20-b.policy", "x");
	assert_string_equal(found(true), "/usr/lib/p/10-a.policy /etc/p/10-a.policy.d/20.conf(d) /run/p/10-a.policy.d/30.conf(d) "
			    "/usr/lib/p/10-a.policy.d/50.conf(d) /usr/lib/p/20-b.policy ");
}

static void other_names_are_not_meant(void **state)
{
	tree_write("/etc/p/10-a.policy", "x");
	tree_write("/etc/p/10-a.policy.dpkg-old", "x");
	tree_write("/etc/p/10-a.policy~", "x");
	tree_write("/etc/p/README", "x");
	tree_write("/etc/p/.10-b.policy.swp", "x");
	tree_write("/etc/p/.policy", "x");
	assert_string_equal(found(true), "/etc/p/10-a.policy ");
}

/* As "file: why; …" */
static const char *ignored(void)
{
	static struct conf_errors e;
	static char out[16384];

	conf_errors_clear(&e);
	list.ignored = &e;
	(void)found(false);
	list.ignored = NULL;
	out[0] = 0;
	for (unsigned i = 0; i < e.n; i++)
		(void)str_appendf(out, sizeof(out), "%s %s; ", e.e[i].file, e.e[i].why);
	if (e.more > 0)
		(void)str_appendf(out, sizeof(out), "+%u", e.more);
	return out;
}

static void what_is_passed_over_is_told(void **state)
{
	char path[64];

	tree_write("/etc/p/10-a.policy", "x");
	tree_write("/etc/p/.10-b.policy.swp", "x");
	tree_write("/etc/p/10-a.policy~", "x");
	tree_write("/etc/p/10-a.policy.dpkg-old", "x");
	tree_write("/etc/p/README", "x");
	assert_string_equal(ignored(), "");
	tree_write("/usr/lib/p/50-mine.conf", "x");
	tree_write("/run/p/10-a.policy.d/a.policy", "x");
	tree_write("/run/p/10-a.policy.d/b.conf", "x");
	tree_write("/etc/p/10-a.d/c.conf", "x");
	tree_write("/etc/p/50-x.policy.disabled", "x");
	assert_string_equal(ignored(), "/etc/p/10-a.d ignored: a directory of drop-ins is named *.policy.d; "
			    "/etc/p/50-x.policy.disabled ignored: name it *.policy; "
			    "/run/p/10-a.policy.d/a.policy ignored: name it *.conf; "
			    "/usr/lib/p/50-mine.conf ignored: name it *.policy; ");
	for (int i = 0; i < 40; i++) {
		(void)str_format(path, sizeof(path), "/etc/p/%d", i);
		tree_write(path, "x");
	}
	assert_non_null(strstr(ignored(), "; +12"));
}

static void dropins_of_nothing_are_refused(void **state)
{
	tree_write("/etc/p/10-a.policy", "x");
	tree_write("/etc/p/10-b.policy.d/1.conf", "x");
	assert_string_equal(found(true), "! /etc/p/10-a.policy ");
	assert_non_null(strstr(errors.e[0].why, "there is no 10-b.policy"));
	assert_string_equal(errors.e[0].file, "/etc/p/10-b.policy.d");
}

static void hostile_names(void **state)
{
	char name[200] = "/etc/p/", path[300];

	tree_write("/etc/p/\x1b[31m\n.policy", "x");
	assert_string_equal(found(true), "/etc/p/\x1b[31m\n.policy ");
	memset(name + 7, 'a', CONF_NAME_MAX);
	(void)str_format(path, sizeof(path), "%s.policy", name);
	tree_write(path, "x");
	assert_string_equal(found(true), "! /etc/p/\x1b[31m\n.policy ");
	assert_non_null(strstr(errors.e[0].why, "too long"));
}

static void counts_are_bounded(void **state)
{
	char path[64];
	int i;

	for (i = 0; i <= CONF_FILES_MAX; i++) {
		(void)str_format(path, sizeof(path), "/etc/p/%03d.policy", i);
		tree_write(path, "x");
	}
	(void)found(true);
	assert_int_equal(list.n, CONF_FILES_MAX);
	assert_non_null(strstr(errors.e[0].why, "more than 128"));
}

/* 0 or the message. */
static const char *reading(const char *path)
{
	size_t n = 77;
	int r;

	conf_errors_clear(&errors);
	r = conf_files_read(tree, path, true, buf, &n, &errors);
	assert_int_equal(r, errors.n ? -EINVAL : 0);
	assert_true(r < 0 ? n == 77 : buf[n] == 0);
	return r < 0 ? errors.e[0].why : buf;
}

static void only_regular_files_of_some_size_are_read(void **state)
{
	static char big[CONF_FILE_MAX + 1];

	tree_write("/a", "hello");
	assert_string_equal(reading("/a"), "hello");
	tree_link("a", "/link");
	assert_string_equal(reading("/link"), "hello");
	tree_link("loop", "/loop");
	assert_non_null(strstr(reading("/loop"), "cannot read"));
	assert_non_null(strstr(reading("/missing"), "cannot read"));
	assert_int_equal(mkfifo(tree_path("/fifo"), 0644), 0);
	assert_non_null(strstr(reading("/fifo"), "no regular file"));   /* and does not hang */
	tree_link("/dev/zero", "/zero");
	assert_non_null(strstr(reading("/zero"), "no regular file"));
	(void)tree_path("/dir/");
	assert_non_null(strstr(reading("/dir"), "no regular file"));
	memset(big, 'x', sizeof(big));
	tree_write_n("/fits", big, CONF_FILE_MAX);
	assert_int_equal(strlen(reading("/fits")), CONF_FILE_MAX);
	tree_write_n("/big", big, CONF_FILE_MAX + 1);
	assert_non_null(strstr(reading("/big"), "larger than 64K"));
}

static void what_others_may_write_is_refused(void **state)
{
	tree_write("/etc/p/a.policy", "hello");
	if (geteuid() != 0) {
		/* Whoever is not root acts on nothing by these files: everything is read. */
		assert_int_equal(chmod(tree_path("/etc/p/a.policy"), 0666), 0);
		assert_string_equal(reading("/etc/p/a.policy"), "hello");
		return;
	}
	assert_string_equal(reading("/etc/p/a.policy"), "hello");
	assert_int_equal(chmod(tree_path("/etc/p/a.policy"), 0664), 0);
	assert_non_null(strstr(reading("/etc/p/a.policy"), "others than root may write it (mode 0664)"));
	assert_int_equal(chmod(tree_path("/etc/p/a.policy"), 0602), 0);
	assert_non_null(strstr(reading("/etc/p/a.policy"), "others than root may write it"));
	assert_int_equal(chmod(tree_path("/etc/p/a.policy"), 0644), 0);
	assert_int_equal(chown(tree_path("/etc/p/a.policy"), 1234, 0), 0);
	assert_non_null(strstr(reading("/etc/p/a.policy"), "belongs to user 1234"));
	tree_link("p/a.policy", "/etc/l");
	assert_non_null(strstr(reading("/etc/l"), "belongs to user 1234"));
	assert_int_equal(chown(tree_path("/etc/p/a.policy"), 0, 0), 0);

	assert_string_equal(found(true), "/etc/p/a.policy ");
	assert_int_equal(chmod(tree_path("/etc/p"), 0777), 0);
	assert_string_equal(found(true), "! ");
	assert_string_equal(found(false), "/etc/p/a.policy ");
}

static void only_root_can_mask(void **state)
{
	if (geteuid() != 0)
		needs("root");
	tree_write("/usr/lib/p/10-a.policy", "x");
	tree_write("/etc/p/10-a.policy", "");
	assert_string_equal(found(true), "");
	assert_int_equal(chown(tree_path("/etc/p/10-a.policy"), 1234, 0), 0);
	assert_string_equal(found(true), "/etc/p/10-a.policy ");
	assert_non_null(strstr(reading("/etc/p/10-a.policy"), "belongs to user 1234"));
	assert_string_equal(found(false), "");
	assert_int_equal(chown(tree_path("/etc/p/10-a.policy"), 0, 0), 0);
	assert_int_equal(chmod(tree_path("/etc/p/10-a.policy"), 0666), 0);
	assert_string_equal(found(true), "/etc/p/10-a.policy ");
	assert_non_null(strstr(reading("/etc/p/10-a.policy"), "others than root may write it"));

	assert_int_equal(unlink(tree_path("/etc/p/10-a.policy")), 0);
	tree_link("/dev/null", "/etc/p/10-a.policy");
	assert_string_equal(found(true), "");
	assert_int_equal(lchown(tree_path("/etc/p/10-a.policy"), 1234, 0), 0);
	assert_string_equal(found(true), "/etc/p/10-a.policy ");
	assert_non_null(strstr(reading("/etc/p/10-a.policy"), "the link belongs to user 1234"));

	/* A link of root's to what is not: as if it were there itself. */
	assert_int_equal(unlink(tree_path("/etc/p/10-a.policy")), 0);
	tree_write("/home/empty", "");
	tree_link("../../home/empty", "/etc/p/10-a.policy");
	assert_string_equal(found(true), "");
	assert_int_equal(chown(tree_path("/home/empty"), 1234, 0), 0);
	assert_string_equal(found(true), "/etc/p/10-a.policy ");
}

static void the_kernels_files_mask_nothing(void **state)
{
	tree_write("/usr/lib/p/10-a.policy", "x");
	tree_link("/proc/self/status", "/etc/p/10-a.policy");
	tree_link("/proc/version", "/etc/r.conf");
	assert_string_equal(found(false), "/etc/p/10-a.policy ");
	assert_non_null(strstr(reading("/etc/p/10-a.policy"), "link it to /dev/null"));
	assert_non_null(strstr(reading("/etc/r.conf"), "file of the kernel's"));
}

static void directories_of_others_are_refused(void **state)
{
	conf_errors_clear(&errors);
	assert_int_equal(conf_files_trust(tree, DIRS, &errors), 0);
	(void)tree_path("/etc/p/");
	assert_int_equal(conf_files_trust(tree, DIRS, &errors), 0);
	if (geteuid() != 0)
		needs("root");
	assert_int_equal(chmod(tree_path("/etc/p"), 0775), 0);
	assert_int_equal(conf_files_trust(tree, DIRS, &errors), -EINVAL);
	assert_string_equal(errors.e[0].file, "/etc/p");
	assert_non_null(strstr(errors.e[0].why, "others than root may write it (mode 0775)"));
	assert_int_equal(chmod(tree_path("/etc/p"), 0755), 0);
	assert_int_equal(chown(tree_path("/etc/p"), 1234, 0), 0);
	conf_errors_clear(&errors);
	assert_int_equal(conf_files_trust(tree, DIRS, &errors), -EINVAL);
	assert_non_null(strstr(errors.e[0].why, "belongs to user 1234"));
}

static void one_file(void **state)
{
	conf_errors_clear(&errors);
	list.n = 0;
	assert_int_equal(conf_files_find_one(&list, tree, DIRS, "r.conf", true, &errors), 0);
	assert_int_equal(list.n, 0);
	tree_write("/usr/lib/p/r.conf", "x");
	tree_write("/run/p/r.conf.d/1.conf", "x");
	assert_int_equal(conf_files_find_one(&list, tree, DIRS, "r.conf", true, &errors), 0);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.f[0].path, "/usr/lib/p/r.conf");
	assert_string_equal(list.f[1].path, "/run/p/r.conf.d/1.conf");
	tree_link("/dev/null", "/etc/p/r.conf");
	list.n = 0;
	assert_int_equal(conf_files_find_one(&list, tree, DIRS, "r.conf", true, &errors), 0);
	assert_int_equal(list.n, 1);
	assert_true(list.f[0].dropin);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, tree_new, tree_free)
	const struct CMUnitTest tests[] = {
		T(nothing_is_no_error),
		T(higher_directories_win),
		T(masks),
		T(dropins_come_from_everywhere),
		T(other_names_are_not_meant),
		T(what_is_passed_over_is_told),
		T(dropins_of_nothing_are_refused),
		T(hostile_names),
		T(counts_are_bounded),
		T(only_regular_files_of_some_size_are_read),
		T(what_others_may_write_is_refused),
		T(only_root_can_mask),
		T(the_kernels_files_mask_nothing),
		T(directories_of_others_are_refused),
		T(one_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
