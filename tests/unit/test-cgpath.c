/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cgpath.h"
#include "base/macro.h"

static void paths(void **state)
{
	static const char hybrid[] = "9:name=systemd:/s\n8:pids:/p/q:r\n4:memory:/m\n3:cpu,cpuacct:/a:b/c\n2:freezer:/\n0::/u\n";
	static const struct { const char *text, *controller; int r; const char *path; } cases[] = {
		{ hybrid, "cpu", 0, "/a:b/c" }, { hybrid, "cpuacct", 0, "/a:b/c" }, { hybrid, "pids", 0, "/p/q:r" }, { hybrid, "", 0, "/u" },
		{ hybrid, "name=systemd", 0, "/s" }, { hybrid, "freezer", 0, "/" }, { hybrid, "cpuset", -ENOENT }, { hybrid, "cp", -ENOENT },
		{ hybrid, "cpuacctx", -ENOENT }, { hybrid, "systemd", -ENOENT }, { "0::/only", "", 0, "/only" }, { "0::/only", "cpu", -ENOENT },
		{ "", "", -ENOENT }, { "garbage", "", -ENOENT }, { "0:", "", -ENOENT }, { "3:cpu", "cpu", -ENOENT }, { "junk\n:\n", "", -ENOENT },
		{ "3:cpu:", "cpu", -EINVAL }, { "x\n\n::\n", "", -EINVAL }, { "0::x\n", "", -EINVAL },
		{ "0::/123456789012345", "", -ENAMETOOLONG }, { "0::/12345678901234", "", 0, "/12345678901234" },
	};
	char path[16];

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		if (cgpath_of(cases[i].text, cases[i].controller, path, sizeof(path)) != cases[i].r)
			fail_msg("case %zu", i);
		if (cases[i].r == 0)
			assert_string_equal(path, cases[i].path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(paths) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
