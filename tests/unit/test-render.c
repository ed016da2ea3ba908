/* SPDX-License-Identifier: Apache-2.0 */
/* test-render: what people see. Nothing hostile gets to the terminal, nothing is too long, no
 * answer breaks it. The sentences are not tested, what they must hold is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macro.h"
#include "ctl/render.h"

/* For the caller to free(). */
static char *shown(void (*render)(FILE *out, struct json_object *o, bool colour), const char *json, bool colour)
{
	struct json_object *o = json_tokener_parse(json);
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	render(out, o, colour);
	(void)fclose(out);
	(void)json_object_put(o);
	assert_int_equal(strlen(text), n);
	return text;
}

static void assert_clean(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (strncmp((const char *)p, "\u2026", 3) == 0)
			p += 2;                         /* where it was cut */
		else if (*p != '\n' && (*p < 0x20 || *p >= 0x7f))
			fail_msg("byte %02x gets to the terminal: %s", *p, text);
}

#define HOSTILE "\\u001b[2J\\r\\n\\u0007\\u202e\\u009b31m"

static void hostile(void **state)
{
	static const char status[] =
		"{\"schema\":1,\"version\":\"" HOSTILE "\",\"state\":\"" HOSTILE "\",\"mode\":\"" HOSTILE "\",\"cause\":\"" HOSTILE "\",\"incident\":1,\"rescue\":{\"login\":\"" HOSTILE "\"},"
		"\"incident_since\":\"" HOSTILE "T" HOSTILE "\",\"paused_until\":\"" HOSTILE "\",\"pause_reason\":\"" HOSTILE "\",\"released_until\":\"" HOSTILE "\",\"config_error\":\"" HOSTILE "\","
		"\"pressure\":{\"source\":\"" HOSTILE "\",\"cpu_some\":\"" HOSTILE "\"},\"groups\":{\"known\":\"" HOSTILE "\",\"source\":\"" HOSTILE "\"},"
		"\"victims\":[{\"name\":\"" HOSTILE "\",\"as\":\"" HOSTILE "\",\"wait\":\"" HOSTILE "\",\"login_estimate\":\"" HOSTILE "\",\"harmed\":true}],"
		"\"suspects\":[{\"name\":\"" HOSTILE "\",\"blame\":\"" HOSTILE "\"}],"
		"\"findings\":[{\"cause\":\"" HOSTILE "\",\"measure\":\"" HOSTILE "\",\"measured\":\"" HOSTILE "\",\"limit\":1,\"unit\":\"" HOSTILE "\",\"name\":\"" HOSTILE "\",\"remedy\":\"" HOSTILE "\"}],"
		"\"squeezes\":[{\"cgroup\":\"/a/" HOSTILE "\",\"rung\":\"" HOSTILE "\",\"weight\":\"" HOSTILE "\",\"quota_us\":\"" HOSTILE "\",\"tasks\":\"" HOSTILE "\","
		"\"since\":\"" HOSTILE "\",\"until\":\"T" HOSTILE "\"}],"
		"\"lifeline\":[{\"unit\":\"" HOSTILE "\",\"before\":\"" HOSTILE "\",\"after\":\"" HOSTILE "\",\"by\":\"" HOSTILE "\"},{\"unit\":\"" HOSTILE "\"}],"
		"\"capabilities\":[{\"what\":\"" HOSTILE "\",\"have\":false,\"why\":\"" HOSTILE "\",\"remedy\":\"" HOSTILE "\"}]}";
	static const char why[] = "{\"schema\":1,\"lines\":[{\"time\":\"" HOSTILE "\",\"text\":\"" HOSTILE "\",\"why\":\"" HOSTILE "\"}]}";
	char *text = shown(render_status, status, false);

	assert_clean(text);
	free(text);
	text = shown(render_why, why, false);
	assert_clean(text);
	/* One decision is one line, whatever is in it. */
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
}

static void whatever_comes(void **state)
{
	static const char *const cases[] = {
		"{}", "[]", "7", "\"x\"", "null", "{\"squeezes\":7,\"lifeline\":{},\"victims\":\"x\",\"suspects\":null,\"capabilities\":[null,7,[]],\"lines\":7}",
		"{\"squeezes\":[null,7,{}],\"lifeline\":[null,{}],\"victims\":[null,{}],\"suspects\":[[],{}],\"findings\":[[],null,{}],\"lines\":[null,7,{}]}",
		"{\"squeezes\":[],\"squeezes_more\":-1,\"lifeline\":[],\"lifeline_more\":9223372036854775807}",
		"{\"pressure\":[],\"groups\":7,\"state\":{},\"version\":[[[]]]}",
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		char *text = shown(render_status, cases[i], false);

		assert_clean(text);
		free(text);
		text = shown(render_why, cases[i], false);
		assert_clean(text);
		free(text);
	}
}

/* Hundreds of squeezes do not scroll away what matters; how many more there are is said. */
static void many(void **state)
{
	static char json[65536];
	char *text, want[32];
	unsigned rows = 0, n = 0;

	n += (unsigned)snprintf(json, sizeof(json), "{\"state\":\"incident\",\"squeezes\":[");
	for (unsigned i = 0; i < 100; i++)
		n += (unsigned)snprintf(json + n, sizeof(json) - n, "%s{\"cgroup\":\"/hog\",\"rung\":\"quota\",\"quota_us\":1000,\"period_us\":100000}", i ? "," : "");
	(void)snprintf(json + n, sizeof(json) - n, "],\"squeezes_more\":900}");
	text = shown(render_status, json, false);
	for (const char *p = text; (p = strstr(p, "/hog")) != NULL; p++)
		rows++;
	assert_in_range(rows, 5, 30);
	(void)snprintf(want, sizeof(want), " %u ", 1000 - rows);
	assert_non_null(strstr(text, want));
	free(text);
}

static void long_text(void **state)
{
	static char json[20000];
	char *text;

	strcpy(json, "{\"lines\":[{\"time\":\"t\",\"text\":\"");
	for (unsigned i = 0; i < 3000; i++)
		strcat(json, "\\u001b");
	strcat(json, "\"}]}");
	text = shown(render_why, json, false);
	assert_clean(text);
	assert_true(strlen(text) < 2048);
	free(text);
}

/* What matters is there at all. */
static void says_it(void **state)
{
	static const char status[] =
		"{\"version\":\"9.8\",\"state\":\"incident\",\"mode\":\"enforce\",\"cause\":\"runaway\",\"incident\":17,\"incident_since\":\"2026-01-02T03:04:05.678Z\","
		"\"victims\":[{\"name\":\"ssh.service\",\"as\":\"login\",\"wait\":87.5,\"self_wait\":1,\"harmed\":true,\"login_estimate\":6.5}],"
		"\"suspects\":[{\"name\":\"hog.service\",\"blame\":93.25}],"
		"\"squeezes\":[{\"cgroup\":\"/hog.service\",\"rung\":\"quota\",\"quota_us\":25000,\"period_us\":100000,\"since\":\"2026-01-02T03:04:06.000Z\",\"until\":\"2026-01-02T03:34:07.000Z\"}],"
		"\"capabilities\":[{\"what\":\"bpf probe\",\"have\":false,\"why\":\"EPERM\",\"remedy\":\"be root\"},{\"what\":\"steward\",\"have\":true,\"why\":\"here\"}]}";
	static const char *const must[] = {
		"9.8", "incident", "enforce", "runaway", "17", "03:04:05", "ssh.service", "87.5", "6.5", "hog.service", "93.25", "/hog.service", "quota", "25000",
		"100000", "03:34:07", "bpf probe", "EPERM", "be root",
	};
	char *text = shown(render_status, status, false);

	for (size_t i = 0; i < ELEMENTSOF(must); i++)
		if (strstr(text, must[i]) == NULL)
			fail_msg("'%s' is not in\n%s", must[i], text);
	assert_null(strstr(text, "steward"));            /* what is there is not missing */
	free(text);
	text = shown(render_why, "{\"lines\":[]}", false);
	assert_true(strlen(text) > 5);
	free(text);
}

static void colour(void **state)
{
	FILE *f = tmpfile();
	char *text;

	assert_non_null(f);
	assert_false(render_use_colour(COLOUR_AUTO, f));         /* no terminal */
	assert_true(render_use_colour(COLOUR_ALWAYS, f));
	assert_false(render_use_colour(COLOUR_NEVER, f));
	(void)fclose(f);
	text = shown(render_status, "{\"state\":\"calm\"}", true);
	assert_non_null(strstr(text, "\033["));
	assert_non_null(strstr(text, "\033[0m"));
	free(text);
	text = shown(render_status, "{\"state\":\"calm\"}", false);
	assert_clean(text);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile), cmocka_unit_test(whatever_comes), cmocka_unit_test(many), cmocka_unit_test(long_text),
		cmocka_unit_test(says_it), cmocka_unit_test(colour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
