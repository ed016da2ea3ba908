/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the record of lifelines: a line, and the file as the steward takes it up at
 * its start. What is accepted is a unit's name that is safe in a path and on the bus, and
 * values in their range; written again it reads as the same. */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "steward/lifeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];
static int dir_fd = -1;

static void clean(void)
{
	(void)unlinkat(dir_fd, LIFELINE_FILE, 0);
	(void)rmdir(dir);
}

static void one_line(const char *line)
{
	char unit[256], again[256], text[320];
	struct lifeline_record r, r_again;

	if (lifeline_parse_line(line, unit, sizeof(unit), &r) < 0)
		return;
	assert(unit[0] != '\0' && strpbrk(unit, "/ \n\033'\"") == NULL);
	assert(str_ends(unit, ".service") || str_ends(unit, ".scope") || str_ends(unit, ".slice"));
	assert(r.before >= LIFELINE_UNSET && r.before <= 10000 && (r.dropin == 0 || r.dropin == 1));
	assert(r.ours >= 1 && r.ours <= 10000 && r.previous >= 1 && r.previous <= 10000);
	str_format(text, sizeof(text), "%s %d %d %d %d", unit, r.before, r.dropin, r.ours, r.previous);
	assert(lifeline_parse_line(text, again, sizeof(again), &r_again) == 0);
	assert(strcmp(unit, again) == 0 && memcmp(&r, &r_again, sizeof(r)) == 0);
}

static void whole(const char *text, size_t n)
{
	struct lifeline *l;
	int fd = openat(dir_fd, LIFELINE_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, n) != (ssize_t)n)
		abort();
	(void)close(fd);
	if (lifeline_new(dir_fd, "unix:path=/nowhere", NULL, &l) < 0)
		return;
	assert(lifeline_count(l) <= LIFELINE_UNITS_MAX);
	lifeline_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (dir_fd < 0) {
		str_format(dir, sizeof(dir), "%s/fuzz-lifeline.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		if (mkdtemp(dir) == NULL || (dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
			abort();
		atexit(clean);
	}
	memcpy(text, data, size);
	text[size] = '\0';
	whole(text, size);
	text[strcspn(text, "\n")] = '\0';
	one_line(text);
	free(text);
	return 0;
}
