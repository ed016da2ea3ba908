/* SPDX-License-Identifier: Apache-2.0 */
/* test-users: a user is a line of ROOT/etc/passwd, whatever the name services say. */
#include <errno.h>
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

#include "base/str.h"
#include "conf/keys.h"

static void a_name_and_its_number(void **state)
{
	char root[] = "/tmp/reprieve-users-XXXXXX", path[64], uid[16] = "";
	FILE *f;

	assert_non_null(mkdtemp(root));
	assert_int_equal(key_user(root, "reprieve", uid, sizeof(uid)), -ENOENT);
	str_format(path, sizeof(path), "%s/etc", root);
	assert_int_equal(mkdir(path, 0700), 0);
	str_format(path, sizeof(path), "%s/etc/passwd", root);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("reprieve2:x:1:1::/:\n#reprieve:x:2:2::/:\nreprieve:x:998:997::/:/usr/sbin/nologin\nempty:x::0::/:\nlong:x:12345678901234567890:0::/:\nhalf\n", f);
	fclose(f);
	assert_int_equal(key_user(root, "reprieve", uid, sizeof(uid)), 0);
	assert_string_equal(uid, "998");
	assert_int_equal(key_user(root, "repr", uid, sizeof(uid)), -ENOENT);
	assert_int_equal(key_user(root, "reprieve:x", uid, sizeof(uid)), -ENOENT);
	assert_int_equal(key_user(root, "empty", uid, sizeof(uid)), -ENOENT);
	assert_int_equal(key_user(root, "long", uid, sizeof(uid)), -ENOENT);
	assert_int_equal(key_user(root, "half", uid, sizeof(uid)), -ENOENT);
	(void)unlink(path);
	*strrchr(path, '/') = '\0';
	(void)rmdir(path);
	(void)rmdir(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_name_and_its_number) };

	return cmocka_run_group_tests_name("users", tests, NULL, NULL);
}
