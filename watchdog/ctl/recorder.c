/* SPDX-License-Identifier: Apache-2.0 */
/* recorder: writes what the engine saw and did.
 *
 * /run is a tmpfs: a write costs microseconds and no disk, and the pages are not ours.
 * The record starts with everything a fresh engine needs to be in the same state (a calm
 * engine is a fresh one that knows policies, groups and pause), so one file is one
 * regression test. */
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

#define BUFFER (256 * 1024)

struct recorder {
	int dir, fd;
	uint64_t most, written;
	uint32_t number;
	const char *trouble;
	struct trace_out out;
	char policies[CONF_TEXT_MAX];
	char buf[BUFFER];
};

static int flush(struct trace_out *out)
{
	struct recorder *r = out->userdata;
	ssize_t n;

	if (r->written + out->len > r->most) {
		static const char cut[] = "# the record is full; the rest of the incident is not in it\n";

		r->trouble = "the flight record of this incident is full (FlightRecorder=); its beginning is kept";
		(void)!write(r->fd, cut, sizeof(cut) - 1);
		return -EFBIG;
	}
	n = write(r->fd, out->buf, out->len);
	if (n != (ssize_t)out->len) {
		r->trouble = "the flight record cannot be written: no room in the run directory";
		return n < 0 ? -errno : -ENOSPC;
	}
	r->written += out->len;
	out->len = 0;
	return 0;
}

int recorder_new(struct recorder **ret, int rundir_fd, uint64_t most_bytes)
{
	struct recorder *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->dir = fcntl(rundir_fd, F_DUPFD_CLOEXEC, 3);
	if (r->dir < 0) {
		free(r);
		return -errno;
	}
	r->fd = -1;
	r->most = most_bytes;
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

static void begin(struct recorder *r, const struct engine *e, const struct event *event)
{
	char name[32];
	static struct engine_view view;
	struct event known = { .now = event->now, .type = EVENT_GROUP };

	r->trouble = NULL;
	r->written = 0;
	r->number++;
	if (r->number > RECORDER_KEPT) {
		str_format(name, sizeof(name), "flight-%u.trace", r->number - RECORDER_KEPT);
		(void)unlinkat(r->dir, name, 0);
	}
	str_format(name, sizeof(name), "flight-%u.trace", r->number);
	r->fd = openat(r->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (r->fd < 0 || conf_format(engine_policies(e), NULL, r->policies, sizeof(r->policies)) < 0) {
		r->trouble = "the flight record cannot be begun";
		return;
	}
	r->out = (struct trace_out){ .buf = r->buf, .size = sizeof(r->buf), .flush = flush, .userdata = r };
	trace_put_version(&r->out);
	trace_put_text(&r->out, r->policies, strlen(r->policies));
	trace_put_init(&r->out, event->now, engine_seed(e));
	for (uint32_t i = 0; (known.group = engine_group_at(e, i)) != NULL; i++)
		trace_put_event(&r->out, &known);
	engine_view(e, &view);
	if (view.paused_until != 0 && event->type != EVENT_OPERATOR) {
		struct event pause = { .now = event->now, .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_PAUSE, .until = view.paused_until } };

		str_copy(pause.order.reason, sizeof(pause.order.reason), view.pause_reason);
		trace_put_event(&r->out, &pause);
	}
	if (view.names_since != 0 && event->type != EVENT_NAMES) {
		struct event names = { .now = event->now, .type = EVENT_NAMES, .names = { .state = NAMES_AWAITED, .since = view.names_since } };

		trace_put_event(&r->out, &names);
	}
	if (view.served_until != 0 && event->type != EVENT_LIFTED) {
		struct event lifted = { .now = event->now, .type = EVENT_LIFTED, .lifted = { .until = view.served_until } };

		trace_put_event(&r->out, &lifted);
	}
	trace_put_begin(&r->out);
}

void recorder_event(struct recorder *r, const struct engine *e, const struct event *event, const struct actions *actions)
{
	bool calm = engine_is_calm(e);

	if (r->fd < 0) {
		if (calm || event->type == EVENT_GROUP || event->type == EVENT_GROUP_GONE)
			return;
		begin(r, e, event);
		if (r->fd < 0)
			return;
	}
	if (r->trouble == NULL) {
		if (event->type == EVENT_POLICIES && conf_format(event->policies, NULL, r->policies, sizeof(r->policies)) == 0)
			trace_put_text(&r->out, r->policies, strlen(r->policies));
		trace_put_event(&r->out, event);
		for (uint32_t i = 0; i < actions->n; i++)
			trace_put_action(&r->out, actions, i);
		if (r->out.len > 0 && r->out.error == 0)
			r->out.error = flush(&r->out);
	}
	if (calm)
		cleanup_close(&r->fd);
}

const char *recorder_trouble(struct recorder *r)
{
	return r->trouble;
}
