/* SPDX-License-Identifier: Apache-2.0 */
/* recorder: writes what the engine saw and did.
 *
 * /run is a tmpfs: a write costs microseconds and no disk, and the pages are not ours.
 * The record starts with everything a fresh engine needs to be in the same state, so one file
 * is one regression test. The event that ends the calm may end a pause as well, or a lifeline's
 * time: what was known is that of before it, kept as text after every calm event. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "conf/format.h"
#include "core/trace.h"
#include "ctl/recorder.h"

#define BUFFER     (256 * 1024)
#define HEAD       (2 * TRACE_LINE_MAX)    /* of it; in calm, behind that lies what is known */
#define NUMBER_MAX 1000000000u          /* then from one again */

struct recorder {
	int dir, fd;
	uint64_t most, written;
	bool under_way;                 /* also where it could not be begun: it is not tried again in this alarm */
	uint32_t n_kept, kept[RECORDER_KEPT];   /* numbers, the newest first */
	uint32_t next;
	const char *trouble, *remedy;   /* of the newest record */
	bool news, was_said;
	usec_t known_at;                /* 0: nothing happened yet */
	struct trace_out out, known;
	char policies[CONF_TEXT_MAX];
	char buf[BUFFER];
};

static void give_up(struct recorder *r, const char *trouble, const char *remedy)
{
	r->trouble = trouble;
	r->remedy = remedy;
	r->news = true;
}

static int flush(struct trace_out *out)
{
	struct recorder *r = out->userdata;
	ssize_t n;

	if (r->written + out->len > r->most) {
		static const char cut[] = "# the record is full; the rest of the incident is not in it\n";

		give_up(r, "the flight record of this incident is full; its beginning is kept", "set a larger FlightRecorder= and restart the guard");
		(void)!write(r->fd, cut, sizeof(cut) - 1);
		return -EFBIG;
	}
	n = write(r->fd, out->buf, out->len);
	if (n != (ssize_t)out->len) {
		int error = n < 0 ? -errno : -ENOSPC;

		give_up(r, "the flight record of this incident cannot be gone on with: no room in the run directory; its beginning is kept",
			"make room there (df /run); the next incident is recorded again");
		/* No half a line: what is there can be replayed. */
		(void)!ftruncate(r->fd, (off_t)r->written);
		return error;
	}
	r->written += out->len;
	out->len = 0;
	return 0;
}

static void name_of(char name[static 32], uint32_t number)
{
	str_format(name, 32, "flight-%u.trace", number);
}

/* 0: it is no record's name. */
static uint32_t number_of(const char *name)
{
	char same[32];
	uint32_t number;

	if (!str_starts(name, "flight-") || strspn(name + 7, "0123456789") > 9)
		return 0;
	number = (uint32_t)strtoul(name + 7, NULL, 10);
	name_of(same, number);
	return strcmp(same, name) == 0 ? number : 0;
}

/* Keeps it in mind, in order; what falls out at the end is removed. */
static void keep(struct recorder *r, uint32_t number)
{
	uint32_t i = 0, last = number;
	char name[32];

	while (i < r->n_kept && r->kept[i] > number)
		i++;
	if (i < r->n_kept && r->kept[i] == number)
		return;
	for (; i < RECORDER_KEPT; i++) {
		uint32_t old = i < r->n_kept ? r->kept[i] : 0;

		r->kept[i] = last;
		last = old;
		if (i >= r->n_kept) {
			r->n_kept++;
			return;
		}
	}
	name_of(name, last);
	(void)unlinkat(r->dir, name, 0);
}

static int find_earlier(struct recorder *r)
{
	int fd = openat(r->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (d == NULL) {
		int error = -errno;

		cleanup_close(&fd);
		return error;
	}
	for (unsigned i = 0; i < RECORDER_LOOKS && (entry = readdir(d)) != NULL; i++) {
		uint32_t number = number_of(entry->d_name);

		if (number > 0)
			keep(r, number);
	}
	(void)closedir(d);
	r->next = r->n_kept > 0 ? r->kept[0] + 1 : 1;
	return 0;
}

int recorder_new(struct recorder **ret, int rundir_fd, uint64_t most_bytes)
{
	struct recorder *r = calloc(1, sizeof(*r));
	int error;

	if (r == NULL)
		return -ENOMEM;
	r->fd = -1;
	r->most = most_bytes;
	r->dir = fcntl(rundir_fd, F_DUPFD_CLOEXEC, 3);
	error = r->dir < 0 ? -errno : find_earlier(r);
	if (error < 0) {
		(void)recorder_free(r);
		return error;
	}
	*ret = r;
	return 0;
}

struct recorder *recorder_free(struct recorder *r)
{
	if (r == NULL)
		return NULL;
	cleanup_close(&r->fd);
	cleanup_close(&r->dir);
	free(r);
	return NULL;
}

static void know(struct recorder *r, const struct engine *e)
{
	struct event known;

	r->known_at = engine_now(e);
	r->known = (struct trace_out){ .buf = r->buf + HEAD, .size = sizeof(r->buf) - HEAD, .userdata = r };
	for (uint32_t at = 0; engine_recall(e, &at, &known);)
		trace_put_event(&r->known, &known);
}

static void begin(struct recorder *r, const struct engine *e, const struct event *event)
{
	char name[32];
	struct event known = { .now = r->known_at ? r->known_at : event->now, .type = EVENT_GROUP };
	uint32_t number = r->next >= NUMBER_MAX ? 1 : r->next;

	r->trouble = NULL;
	r->written = 0;
	r->under_way = true;
	name_of(name, number);
	r->fd = openat(r->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (r->fd >= 0) {
		if (number < r->next)           /* once round: the old ones are no older */
			r->n_kept = 0;
		keep(r, number);
		r->next = number + 1;
	}
	if (r->fd < 0 || conf_format(engine_policies(e), NULL, r->policies, sizeof(r->policies)) < 0) {
		give_up(r, "the flight record of this incident cannot be begun; it cannot be replayed", "make room in the run directory (df -i /run), and look at its owner and mode");
		return;
	}
	if (r->was_said)
		r->news = true;
	r->out = (struct trace_out){ .buf = r->buf, .size = HEAD, .flush = flush, .userdata = r };
	trace_put_version(&r->out);
	trace_put_text(&r->out, r->policies, strlen(r->policies));
	trace_put_init(&r->out, known.now, engine_seed(e));
	for (uint32_t i = 0; (known.group = engine_group_at(e, i)) != NULL; i++)
		trace_put_event(&r->out, &known);
	if (r->out.error == 0 && r->known.len > 0)
		r->out.error = flush(&r->out);
	if (r->out.error == 0 && r->known.len > 0)
		r->out.error = r->known.error ? r->known.error : flush(&r->known);
	r->out.size = sizeof(r->buf);
	trace_put_begin(&r->out);
}

void recorder_event(struct recorder *r, const struct engine *e, const struct event *event, const struct actions *actions)
{
	bool calm = engine_is_calm(e);

	if (!r->under_way) {
		if (calm)
			know(r, e);
		if (calm || event->type == EVENT_GROUP || event->type == EVENT_GROUP_GONE)
			return;
		begin(r, e, event);
	}
	if (r->trouble == NULL) {
		if (event->type == EVENT_POLICIES && conf_format(event->policies, NULL, r->policies, sizeof(r->policies)) == 0)
			trace_put_text(&r->out, r->policies, strlen(r->policies));
		trace_put_event(&r->out, event);
		for (uint32_t i = 0; i < actions->n; i++)
			trace_put_action(&r->out, actions, i);
		if (r->out.len > 0 && r->out.error == 0)
			r->out.error = flush(&r->out);
		if (r->out.error != 0 && r->trouble == NULL)
			give_up(r, "an event does not fit into the flight record of this incident; its beginning is kept", "");
	}
	if (calm) {
		cleanup_close(&r->fd);
		r->under_way = false;
		know(r, e);
	}
}

bool recorder_trouble(struct recorder *r, const char **what, const char **remedy)
{
	if (!r->news)
		return false;
	r->news = false;
	r->was_said = r->trouble != NULL;
	*what = r->trouble;
	*remedy = r->remedy;
	return true;
}
