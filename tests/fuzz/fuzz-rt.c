/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the record of real-time budgets: a line, and the file as it is taken up
 * after a kill -9. What is accepted names a budget's file and nothing else. */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "sys/root.h"
#include "sys/rt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];
static int dir_fd = -1;

static void clean(void)
{
	(void)unlinkat(dir_fd, RT_FILE, 0);
	(void)rmdir(dir);
}

static void make_dir(void)
{
	str_format(dir, sizeof(dir), "%s/fuzz-rt.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(dir) == NULL || (dir_fd = root_open_dir(AT_FDCWD, dir)) < 0)
		abort();
	atexit(clean);
}

static void one_line(const char *line)
{
	char text[8300];
	const char *path, *again;
	int64_t v, w;

	if (rt_parse_line(line, &v, &path) < 0)
		return;
	assert(v >= -1 && path[0] == '/' && str_ends(path, "/cpu.rt_runtime_us") && strstr(path, "/../") == NULL);
	if (!str_format(text, sizeof(text), "%lld %s", (long long)v, path))
		return;
	assert(rt_parse_line(text, &w, &again) == 0 && w == v && str_equal(path, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	int r;

	if (dir_fd < 0)
		make_dir();
	memcpy(text, data, size);
	text[size] = '\0';
	/* Budgets of this machine are not ours to change. */
	if (memmem(data, size, "sys", 3) == NULL && memmem(data, size, "proc", 4) == NULL) {
		int fd = openat(dir_fd, RT_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		if (fd < 0 || write(fd, data, size) != (ssize_t)size)
			abort();
		(void)close(fd);
		r = rt_restore(dir_fd);
		assert(r != 0 || faccessat(dir_fd, RT_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0);
	}
	text[strcspn(text, "\n")] = '\0';
	one_line(text);
	free(text);
	return 0;
}
