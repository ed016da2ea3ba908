/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-requests: what a client may send to the control socket, line by line, root's and
 * others', in mid-incident; and the file of a pause. Every answer is one JSON object
 * of ours, whatever was asked; others than root change nothing. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#define json_bool json_c_bool     /* the name of a type there, of a function here */
#include <json-c/json.h>
#undef json_bool
#include <stdint.h>
#include <unistd.h>

#include "ctl/requests.h"
#include "tests/fuzz/stage.h"
#include "sys/root.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];
static int dir_fd = -1;

static void clean(void)
{
	(void)unlinkat(dir_fd, PAUSE_FILE, 0);
	(void)rmdir(dir);
}

static void make_dir(void)
{
	str_format(dir, sizeof(dir), "%s/fuzz-requests.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	stage_must(mkdtemp(dir) != NULL && (dir_fd = root_open_dir(AT_FDCWD, dir)) >= 0, "no directory to be had");
	atexit(clean);
}

static void check(struct json *j)
{
	struct json_object *o, *schema;
	const char *text;

	if (json_finish(j, &text) < 0) {
		assert(j->error == -ENOBUFS);
		return;
	}
	o = json_tokener_parse(text);
	assert(o != NULL && json_object_is_type(o, json_type_object));
	assert(json_object_object_get_ex(o, "schema", &schema) && json_object_get_int(schema) == 1);
	json_object_put(o);
}

/* As ctl/control takes a line apart. */
static void ask(struct requests *r, char *line, bool root)
{
	static char answer[CONTROL_ANSWER_MAX];
	char *blank = strchr(line, ' '), *argument = line + strlen(line);
	struct json j;

	if (blank != NULL) {
		*blank = '\0';
		argument = blank + 1;
	}
	json_init(&j, answer, sizeof(answer));
	requests_handle(&j, line, argument, root, r);
	check(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct requests r = { .driver = stage_set() };
	static struct engine_view before, after;
	char *text, *line, *next = NULL;
	bool root;

	if (size == 0 || size > CONTROL_REQUEST_MAX * 4)
		return 0;
	if (dir_fd < 0)
		make_dir();
	r.rundir_fd = dir_fd;
	root = data[0] & 1;
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] & 2) {
		int fd = openat(dir_fd, PAUSE_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		(void)!write(fd, text, strlen(text));
		(void)close(fd);
		requests_restore_pause(&r);
	}
	engine_view(r.driver->engine, &before);
	for (line = strtok_r(text, "\n", &next); line != NULL; line = strtok_r(NULL, "\n", &next)) {
		if (strlen(line) >= CONTROL_REQUEST_MAX)
			line[CONTROL_REQUEST_MAX - 1] = '\0';
		ask(&r, line, root);
		stage.loop.now += 1000;
	}
	engine_view(r.driver->engine, &after);
	assert(root || memcmp(&before, &after, sizeof(before)) == 0);
	assert(after.paused_until < stage.loop.now + 8 * 24 * USEC_PER_HOUR);
	free(text);
	return 0;
}
