/* SPDX-License-Identifier: Apache-2.0 */
/* requests: a table of verbs. Reading is for everybody, orders are for root; an order
 * is an event like any other, so it is recorded and explained like any other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/str.h"
#include "base/units.h"
#include "ctl/requests.h"
#include "sys/log.h"
#include "sys/root.h"

#define PAUSE_MAX (7 * 24 * USEC_PER_HOUR)

static void do_status(struct requests *r, struct json *j, const char *argument)
{
	answer_status(j, r->driver->engine, &r->driver->facts);
}

static void do_why(struct requests *r, struct json *j, const char *argument)
{
	char *end;
	unsigned long most = strtoul(argument, &end, 10), incident = strtoul(end, NULL, 10);

	if (most == 0)
		most = 40;
	answer_why(j, &r->driver->why, &r->driver->facts, (uint32_t)MIN(most, (unsigned long)WHY_LINES_MAX), (uint32_t)incident);
}

static void do_ping(struct requests *r, struct json *j, const char *argument)
{
	answer_done(j, "the guard is here");
}

/* As it is, or as status shows it: what a person copies from there has \x1b for ESC. */
static bool is_called(const struct group_info *g, const char *name)
{
	static char shown[1024];        /* as much as is shown of it (ctl/render.c) */

	return strcmp(g->path, name) == 0 || strcmp(g->name, name) == 0 ||
	       strcmp(str_escape(shown, sizeof(shown), g->path), name) == 0 || strcmp(str_escape(shown, sizeof(shown), g->name), name) == 0;
}

static void do_release(struct requests *r, struct json *j, const char *argument)
{
	struct event e = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RELEASE } };
	static struct engine_view view;
	unsigned n = 0;

	engine_view(r->driver->engine, &view);
	for (uint32_t i = 0; i < view.n_squeezes; i++) {
		const struct group_info *g = engine_group(r->driver->engine, view.squeezes[i].group);

		if (g == NULL || !is_called(g, argument))
			continue;
		e.order.group = g->id;
		driver_event(r->driver, &e);
		n++;
	}
	if (n == 0)
		answer_error(j, "nothing of that name is squeezed", "`reprieve status` shows what is");
	else
		answer_done(j, "released");
}

static void do_release_all(struct requests *r, struct json *j, const char *argument)
{
	struct event e = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RELEASE_ALL } };
	static struct engine_view view;
	char text[192];
	unsigned n, lifelines = 0;

	engine_view(r->driver->engine, &view);
	n = view.n_squeezes;
	driver_event(r->driver, &e);
	engine_view(r->driver->engine, &view);
	str_format(text, sizeof(text), "%llu\n", (unsigned long long)view.barred_until);
	if (view.barred_until > 0 && root_replace_file(r->rundir_fd, BARRED_FILE, text, strlen(text), 0600) < 0)
		log_warning("that everything is left alone for 10min could not be written down; a restart of the guard ends it");
	str_format(text, sizeof(text), n ? "released %u, %u left" : "nothing was squeezed", n, view.n_squeezes);
	for (uint32_t i = 0; i < r->driver->facts.n_lifeline; i++)
		lifelines += r->driver->facts.lifeline[i].after >= 0 && !r->driver->facts.lifeline[i].failed;
	if (lifelines > 0)
		str_append(text, sizeof(text), "; lifeline weights stay (Lifeline=no and a reload take them away)");
	answer_done(j, text);
}

static void do_pause(struct requests *r, struct json *j, const char *argument)
{
	struct event e = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_PAUSE } };
	char line[REASON_TEXT_MAX + 64], at[40], text[128];
	const char *reason;
	char *end;
	usec_t span;

	span = strtoull(argument, &end, 10);
	reason = *end == ' ' ? end + 1 : "";
	if (end == argument || span == 0 || span > PAUSE_MAX || reason[0] == '\0') {
		answer_error(j, "a pause needs a time up to 7 days and a reason", "reprieve pause 2h --reason 'load test'");
		return;
	}
	e.order.until = loop_now(r->driver->loop) + span;
	if (!str_copy(e.order.reason, sizeof(e.order.reason), reason)) {
		str_format(text, sizeof(text), "the reason is too long: at most %d bytes are kept", REASON_TEXT_MAX - 1);
		answer_error(j, text, "say it shorter");
		return;
	}
	driver_event(r->driver, &e);
	str_format(line, sizeof(line), "%llu %s\n", (unsigned long long)e.order.until, e.order.reason);
	if (root_replace_file(r->rundir_fd, PAUSE_FILE, line, strlen(line), 0600) < 0)
		log_warning("the pause could not be written down; a restart of the guard ends it");
	str_format(text, sizeof(text), "paused until %s", answer_time(e.order.until, r->driver->facts.real_offset, at));
	answer_done(j, text);
}

static void do_resume(struct requests *r, struct json *j, const char *argument)
{
	struct event e = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_RESUME } };

	(void)unlinkat(r->rundir_fd, PAUSE_FILE, 0);
	(void)unlinkat(r->rundir_fd, BARRED_FILE, 0);
	driver_event(r->driver, &e);
	answer_done(j, "the pause is over");
}

static const struct {
	const char *verb;
	bool order;
	void (*run)(struct requests *r, struct json *j, const char *argument);
} table[] = {
	{ "status", false, do_status },
	{ "why", false, do_why },
	{ "ping", false, do_ping },
	{ "release", true, do_release },
	{ "release-all", true, do_release_all },
	{ "pause", true, do_pause },
	{ "resume", true, do_resume },
};

void requests_handle(struct json *answer, const char *verb, const char *argument, bool root, void *data)
{
	struct requests *r = data;

	r->driver->facts.real_offset = facts_real_offset();
	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		if (strcmp(table[i].verb, verb) != 0)
			continue;
		if (table[i].order && !root) {
			answer_error(answer, "only root may do this", "use sudo");
			return;
		}
		table[i].run(r, answer, argument);
		return;
	}
	answer_error(answer, "the guard does not know this request", "are guard and CLI of the same version?");
}

void requests_restore_pause(struct requests *r)
{
	struct event e = { .type = EVENT_OPERATOR, .order = { .verb = OPERATOR_PAUSE } };
	char buf[REASON_TEXT_MAX + 64], *end;

	/* Times are of CLOCK_BOOTTIME and /run is emptied at boot: one of this boot. */
	if (root_read_file(r->rundir_fd, PAUSE_FILE, buf, sizeof(buf)) <= 0)
		return;
	e.order.until = strtoull(buf, &end, 10);
	buf[strcspn(buf, "\n")] = '\0';
	if (*end != ' ' || e.order.until <= loop_now(r->driver->loop) || e.order.until > loop_now(r->driver->loop) + PAUSE_MAX)
		return;
	str_copy(e.order.reason, sizeof(e.order.reason), end + 1);
	driver_event(r->driver, &e);
}

usec_t requests_barred(const struct requests *r)
{
	usec_t until, now = loop_now(r->driver->loop);
	char buf[32], *end, text[UNITS_TEXT_MAX];

	if (root_read_file(r->rundir_fd, BARRED_FILE, buf, sizeof(buf)) <= 0)
		return 0;
	until = strtoull(buf, &end, 10);
	if (end == buf || *end != '\n' || until <= now || until > now + EVENT_BARRED)
		return 0;
	log_notice("everything was released by command: nothing is squeezed for another %s (reprieve resume ends that)", units_format_usec((until - now + USEC_PER_SEC - 1) / USEC_PER_SEC * USEC_PER_SEC, text));
	return until;
}
