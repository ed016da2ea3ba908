/* SPDX-License-Identifier: Apache-2.0 */
/* render: what `reprieve status` and `reprieve why` show.
 *
 * The first line answers the question of 04:00: is it all right, and if not, what is
 * being done until when. What is missing comes last, each with its remedy. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/str.h"
#include "ctl/render.h"

#define ROWS_SHOWN 12

bool render_use_colour(enum colour wanted, FILE *out)
{
	const char *no = getenv("NO_COLOR");

	if (wanted != COLOUR_AUTO)
		return wanted == COLOUR_ALWAYS;
	return (no == NULL || no[0] == '\0') && isatty(fileno(out));
}

static struct json_object *get(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return o != NULL && json_object_object_get_ex(o, key, &v) ? v : NULL;
}

/* The value as safe text; "-" where there is none. A few may be in use at once. */
static const char *text(struct json_object *o, const char *key)
{
	static char buf[8][1024];
	static unsigned turn;
	struct json_object *v = get(o, key);
	char *b = buf[turn++ % ELEMENTSOF(buf)];

	return v == NULL ? "-" : str_escape(b, sizeof(buf[0]), json_object_get_string(v));
}

static size_t length(struct json_object *a)
{
	return a != NULL && json_object_is_type(a, json_type_array) ? json_object_array_length(a) : 0;
}

static const char *clock_of(const char *rfc3339)
{
	const char *t = strchr(rfc3339, 'T');
	static char buf[4][16];
	static unsigned turn;
	char *b = buf[turn++ % ELEMENTSOF(buf)];

	if (t == NULL)
		return rfc3339;
	str_copy(b, 9, t + 1);
	str_append(b, 16, "Z");
	return b;
}

static const char *paint(bool colour, const char *state)
{
	if (!colour)
		return "";
	return strcmp(state, "calm") == 0 ? "\033[32m" : strcmp(state, "incident") == 0 ? "\033[31m" : "\033[33m";
}

static void render_head(FILE *out, struct json_object *s, bool colour)
{
	const char *state = text(s, "state");
	struct json_object *pressure = get(s, "pressure"), *groups = get(s, "groups");

	fprintf(out, "reprieve %s: %s%s%s, mode %s", text(s, "version"), paint(colour, state), state, colour ? "\033[0m" : "", text(s, "mode"));
	if (get(s, "incident_since") != NULL)
		fprintf(out, ", incident %s since %s, cause: %s", text(s, "incident"), clock_of(text(s, "incident_since")), text(s, "cause"));
	fputc('\n', out);
	if (get(s, "rescue") != NULL)
		fprintf(out, "  rescue    acts once a login takes more than %.4g s for %.4g s\n",
			json_object_get_double(get(get(s, "rescue"), "login")), json_object_get_double(get(get(s, "rescue"), "for")));
	if (get(s, "paused_until") != NULL)
		fprintf(out, "  paused until %s: %s\n", text(s, "paused_until"), text(s, "pause_reason"));
	if (get(s, "released_until") != NULL)
		fprintf(out, "  released  everything, so nothing is squeezed until %s (reprieve resume ends that)\n", clock_of(text(s, "released_until")));
	if (get(s, "config_error") != NULL)
		fprintf(out, json_object_get_int64(get(s, "policies")) > 0 ? "  the newest configuration was refused, the old one is in force: %s\n" :
			"  the configuration was refused, so no policy is in force: nobody is protected, nothing is squeezed (mend it, then: systemctl reload reprieve): %s\n",
			text(s, "config_error"));
	fprintf(out, "  pressure  %s %% of the time somebody waits for a CPU (source: %s)\n", text(pressure, "cpu_some"), text(pressure, "source"));
	fprintf(out, "  cgroups   %s known (source: %s, probe %s)\n", text(groups, "known"), text(groups, "source"),
		json_object_get_boolean(get(groups, "probe_attached")) ? "attached" : "not attached");
	if (json_object_get_int64(get(groups, "lost_us")) > 0)
		fprintf(out, "            %.3f s that tasks ran or waited since the start are of no known cgroup: more ran at once than the probe has room for\n",
			(double)json_object_get_int64(get(groups, "lost_us")) / 1e6);
}

static void render_rows(FILE *out, struct json_object *s)
{
	struct json_object *a;
	size_t n;

	a = get(s, "victims");
	for (size_t i = 0, m = MIN(length(a), 5); i < m; i++) {
		struct json_object *v = json_object_array_get_idx(a, i);

		fprintf(out, "%s%s (%s) waits %s %%, for its own kind %s %%%s", i ? "            " : "  suffering ", text(v, "name"), text(v, "as"),
			text(v, "wait"), text(v, "self_wait"), json_object_get_boolean(get(v, "harmed")) ? ", harmed" : "");
		if (get(v, "login_estimate") != NULL)
			fprintf(out, ", a login takes about %.1f s", json_object_get_double(get(v, "login_estimate")));
		fputc('\n', out);
	}
	a = get(s, "suspects");
	for (size_t i = 0, m = MIN(length(a), 5); i < m; i++) {
		struct json_object *v = json_object_array_get_idx(a, i);

		fprintf(out, "%s%s: %s %% of the blame\n", i ? "            " : "  to blame  ", text(v, "name"), text(v, "blame"));
	}
	a = get(s, "findings");
	for (size_t i = 0; i < length(a) && i < ROWS_SHOWN; i++) {
		struct json_object *v = json_object_array_get_idx(a, i);

		fprintf(out, "%s", i ? "            " : "  found     ");
		if (get(v, "name") != NULL)
			fprintf(out, "%s: ", text(v, "name"));
		fprintf(out, "%s %s %s (limit %s); %s\n", text(v, "measure"), text(v, "measured"), text(v, "unit"), text(v, "limit"), text(v, "remedy"));
	}
	a = get(s, "squeezes");
	n = length(a) + (size_t)json_object_get_int64(get(s, "squeezes_more"));
	for (size_t i = 0; i < length(a) && i < ROWS_SHOWN; i++) {
		struct json_object *q = json_object_array_get_idx(a, i);

		fprintf(out, "%s%s: %s", i ? "            " : "  squeezed  ", text(q, "cgroup"), text(q, "rung"));
		if (get(q, "weight") != NULL)
			fprintf(out, " weight %s", text(q, "weight"));
		if (json_object_get_boolean(get(q, "idle")))
			fputs(" cpu.idle", out);
		if (get(q, "quota_us") != NULL)
			fprintf(out, " %s of %s us", text(q, "quota_us"), text(q, "period_us"));
		if (get(q, "tasks") != NULL)
			fprintf(out, " %s tasks %s", text(q, "tasks"), strcmp(text(q, "tasks_class"), "other") == 0 ? "SCHED_OTHER" : "SCHED_IDLE");
		fprintf(out, ", since %s until %s at the latest\n", clock_of(text(q, "since")), clock_of(text(q, "until")));
	}
	if (n > ROWS_SHOWN)
		fprintf(out, "            and %zu more (--json shows %s)\n", n - ROWS_SHOWN, n == length(a) ? "all" : "some more");
	if (n == 0)
		fputs("  squeezed  nothing\n", out);
	a = get(s, "lifeline");
	n = length(a) + (size_t)json_object_get_int64(get(s, "lifeline_more"));
	for (size_t i = 0; i < length(a) && i < ROWS_SHOWN; i++) {
		struct json_object *l = json_object_array_get_idx(a, i);

		if (get(l, "after") == NULL)
			fprintf(out, "%s%s: weight %s not put back yet (by %s)\n", i ? "            " : "  lifeline  ", text(l, "unit"),
				text(l, "before"), text(l, "by"));
		else
			fprintf(out, "%s%s: weight %s, was %s (by %s)%s\n", i ? "            " : "  lifeline  ", text(l, "unit"), text(l, "after"),
				text(l, "before"), text(l, "by"), json_object_get_boolean(get(l, "failed")) ? ", failed" : "");
	}
	if (n > ROWS_SHOWN)
		fprintf(out, "            and %zu more (--json shows %s)\n", n - ROWS_SHOWN, n == length(a) ? "all" : "some more");
}

void render_status(FILE *out, struct json_object *s, bool colour)
{
	struct json_object *a;
	bool first = true;

	render_head(out, s, colour);
	render_rows(out, s);
	a = get(s, "capabilities");
	for (size_t i = 0, n = length(a); i < n; i++) {
		struct json_object *c = json_object_array_get_idx(a, i);

		if (json_object_get_boolean(get(c, "have")))
			continue;
		fprintf(out, "%s%s: %s\n", first ? "  missing   " : "            ", text(c, "what"), text(c, "why"));
		if (get(c, "remedy") != NULL)
			fprintf(out, "              -> %s\n", text(c, "remedy"));
		first = false;
	}
}

void render_why(FILE *out, struct json_object *why, bool colour)
{
	struct json_object *a = get(why, "lines");
	size_t n = length(a);

	for (size_t i = 0; i < n; i++) {
		struct json_object *l = json_object_array_get_idx(a, i);

		fprintf(out, "%s%s%s %s\n", colour ? "\033[2m" : "", text(l, "time"), colour ? "\033[0m" : "", text(l, "text"));
	}
	if (n == 0 && get(why, "incident") != NULL)
		fprintf(out, "no line of incident %s is kept (the newest %s are)\n", text(why, "incident"), text(why, "kept"));
	else if (n == 0)
		fputs("nothing was decided since the guard started\n", out);
}
