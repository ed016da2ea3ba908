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

#include "steward/containers.h"
#include "sys/root.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define POD "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static char g_dir[] = "/tmp/reprieve-containers-XXXXXX";
static int d;

static void put(const char *path, const char *text)
{
	char dir[256];

	for (const char *p = path; (p = strchr(p, '/')) != NULL; p++) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(p - path), path);
		(void)mkdirat(d, dir, 0755);
	}
	assert_int_equal(root_replace_file(d, path, text, strlen(text), 0644), 0);
}

#define DOCKER "var/lib/docker/containers/" ID "/config.v2.json"
#define PODMAN "var/lib/containers/storage/overlay-containers/containers.json"

static void docker(void **state)
{
	static const struct { const char *json; int r; const char *name; } cases[] = {
		{ "{\"ID\":\"x\",\"Name\":\"/shop-db\",\"State\":{\"Running\":true}}", 0, "shop-db" },
		{ "{\"Name\":\"/a\\u001b[2J\\nb\"}", 0, "a\x1b[2J\nb" },
		{ "{\"Name\":7}", -EBADMSG, NULL }, { "{}", -EBADMSG, NULL }, { "[1]", -EBADMSG, NULL }, { "", -EBADMSG, NULL },
		{ "{\"Name\":\"/sho", -EBADMSG, NULL }, { "\xff\xfe", -EBADMSG, NULL }, { "{\"Name\":\"/\"}", -ENOENT, NULL },
	};
	char buf[64], big[256];

	assert_int_equal(containers_name(d, ID, buf, sizeof(buf)), -ENOENT);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		put(DOCKER, cases[i].json);
		assert_int_equal(containers_name(d, ID, buf, sizeof(buf)), cases[i].r);
		if (cases[i].r == 0)
			assert_string_equal(buf, cases[i].name);
	}
	/* Deep nesting and a name that does not fit. */
	memset(big, '[', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	put(DOCKER, big);
	assert_int_equal(containers_name(d, ID, buf, sizeof(buf)), -EBADMSG);
	put(DOCKER, "{\"Name\":\"/0123456789\"}");
	assert_int_equal(containers_name(d, ID, buf, 5), 0);
	assert_string_equal(buf, "0123");
	assert_int_equal(containers_name(d, "../../etc/passwd", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(containers_name(d, ID "0", buf, sizeof(buf)), -ENOENT);
}

static void podman(void **state)
{
	char buf[64];

	put(PODMAN, "[{\"id\":\"" ID "x\"},7,{\"id\":\"" POD "\",\"names\":[\"web\",\"other\"]}]");
	assert_int_equal(containers_name(d, POD, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "web");
	put(PODMAN, "[{\"id\":\"" POD "\",\"names\":[]}]");
	assert_int_equal(containers_name(d, POD, buf, sizeof(buf)), -ENOENT);
	put(PODMAN, "{\"id\":1}");
	assert_int_equal(containers_name(d, POD, buf, sizeof(buf)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(docker), cmocka_unit_test(podman) };
	char cmd[96];
	int r;

	if (mkdtemp(g_dir) == NULL)
		return 1;
	d = root_open(g_dir);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", g_dir);
	return system(cmd) != 0 || r;
}
