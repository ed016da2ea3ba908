/* SPDX-License-Identifier: Apache-2.0 */
/* policy_cmd: `reprieve policy …`, without a guard.
 *
 * `check` answers three questions: is it accepted, what will it do, and to whom of
 * what is on this machine now. The last one is asked of the real cgroup tree, by the
 * same matcher that the guard uses; Processes= need the guard's steward and are said
 * as such. A root with a /proc of its own is asked for its own cgroups. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/own.h"
#include "base/str.h"
#include "base/suggest.h"
#include "conf/format.h"
#include "conf/keys.h"
#include "conf/policies.h"
#include "ctl/complain.h"
#include "ctl/policy_cmd.h"
#include "sense/cgroups.h"
#include "sys/loop.h"

#define NAMES_SHOWN 3
#define NAMES_JSON  64
#define OUTPUT_MAX  (256 * 1024)
#define TOO_LONG    "the answer does not fit into 256 KiB"

static void cleanup_conf(struct conf **c)
{
	*c = conf_free(*c);
}

static void cleanup_cgroups(struct cgroups **c)
{
	*c = *c ? cgroups_free(*c) : NULL;
}

static int no_memory(bool json)
{
	return complain(json, EXIT_FAILURE, strerror(ENOMEM), NULL);
}

int policy_refuse(struct conf *c, const char *consequence, bool json)
{
	_cleanup_(cleanup_free) char *text = malloc(OUTPUT_MAX);
	const struct conf_errors *errors = conf_errors(c);
	const char *out;
	char line[1024];
	struct json j;

	if (text == NULL)
		return no_memory(json);
	if (!json) {
		fprintf(stderr, "%s\nrefused: %u mistake%s; %s\n", conf_errors_text(c, text, OUTPUT_MAX), errors->n + errors->more,
			errors->n + errors->more == 1 ? "" : "s", consequence);
		return EX_CONFIG;
	}
	json_init(&j, text, OUTPUT_MAX);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kbool(&j, "accepted", false);
	json_kstring(&j, "error", "the policies are refused");
	json_key(&j, "errors");
	json_begin_array(&j);
	for (unsigned i = 0; i < errors->n; i++) {
		json_begin_object(&j);
		json_kstring(&j, "file", errors->e[i].file);
		json_kuint(&j, "line", errors->e[i].line);
		json_kuint(&j, "column", errors->e[i].col);
		json_kstring(&j, "key", errors->e[i].key);
		json_kstring(&j, "why", errors->e[i].why);
		json_kstring(&j, "text", conf_error_format(&errors->e[i], line, sizeof(line)));
		json_end_object(&j);
	}
	json_end_array(&j);
	json_end_object(&j);
	if (json_finish(&j, &out) < 0)
		return complain(true, EX_CONFIG, "the policies are refused", NULL);
	puts(out);
	return EX_CONFIG;
}

/* How many cgroups of this machine a policy names now, and the first few of them. */
static unsigned match_now(struct cgroups *tree, const struct policy_set *set, const struct policy *p, const char **names, unsigned most)
{
	unsigned n = 0;

	for (unsigned i = 0; tree != NULL && i < CGROUPS_MAX; i++) {
		const struct group_info *g = cgroups_at(tree, i);

		if (g != NULL && !(g->flags & (GROUP_IS_ROOT | GROUP_IS_SELF)) && policy_matches(set, p, g, loop_clock())) {
			if (n < most)
				names[n] = g->name;
			n++;
		}
	}
	return n;
}

static void describe(const struct policy_set *set, const struct policy *p, struct cgroups *tree)
{
	static const char *const unasked[_MODE_MAX] = {
		[MODE_OBSERVE] = " (only said, not done, in mode observe)", [MODE_RESCUE] = " (not asked in mode rescue)", [MODE_ENFORCE] = "",
	};
	const char *names[NAMES_SHOWN] = { 0 };
	char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX], c[UNITS_TEXT_MAX], d[UNITS_TEXT_MAX], name[NAME_TEXT_MAX * 4];
	unsigned n = match_now(tree, set, p, names, NAMES_SHOWN);

	str_escape(name, sizeof(name), p->name);
	switch (p->kind) {
	case POLICY_PROTECT:
		printf("protect %s as %s%s: never throttled, frozen or killed", name, importance_to_string(p->as), p->for_first != USEC_INFINITY ? " while young" : "");
		break;
	case POLICY_THROTTLE:
		printf("throttle %s: when protected tasks wait more than %s for %s, up to the rung \"%s\", together never below %s, for at most %s", name,
		       units_format_permyriad(p->wait, a), units_format_usec(p->wait_for, b), rung_to_string(p->most), units_format_permyriad(p->min_share, c),
		       units_format_usec(p->at_most, d));
		break;
	case POLICY_ENDPOINT:
		str_escape(name, sizeof(name), p->url);
		printf("endpoint %s: good when it answers within %s", name, units_format_usec(p->good, a));
		break;
	}
	printf("; %u cgroup%s now", n, n == 1 ? " matches" : "s match");
	for (unsigned i = 0; i < n && i < NAMES_SHOWN; i++) {
		char text[GROUP_NAME_MAX * 4];

		printf("%s%s", i ? ", " : ": ", str_escape(text, sizeof(text), names[i]));
	}
	printf("%s%s\n", n > NAMES_SHOWN ? ", ..." : "", p->kind == POLICY_THROTTLE ? unasked[set->settings.mode] : "");
}

static void describe_json(struct json *j, const struct policy_set *set, const struct policy *p, struct cgroups *tree)
{
	static const char *const kinds[] = { [POLICY_PROTECT] = "protect", [POLICY_THROTTLE] = "throttle", [POLICY_ENDPOINT] = "endpoint" };
	const char *names[NAMES_JSON], *colon = strrchr(p->source, ':');
	unsigned n = match_now(tree, set, p, names, NAMES_JSON);

	json_begin_object(j);
	json_kstring(j, "name", p->name);
	json_kstring(j, "kind", kinds[p->kind]);
	json_key(j, "file");
	json_string_n(j, p->source, colon != NULL ? (size_t)(colon - p->source) : strlen(p->source));
	json_kint(j, "line", colon != NULL ? strtol(colon + 1, NULL, 10) : 0);
	json_kuint(j, "matches", n);
	json_key(j, "cgroups");
	json_begin_array(j);
	for (unsigned i = 0; i < n && i < NAMES_JSON; i++)
		json_string(j, names[i]);
	json_end_array(j);
	json_kuint(j, "cgroups_more", n > NAMES_JSON ? n - NAMES_JSON : 0);
	json_end_object(j);
}

static void ignored_files(const struct conf_errors *ignored)
{
	char line[1024];

	for (unsigned i = 0; i < ignored->n; i++)
		printf("warning: %s\n", conf_error_format(&ignored->e[i], line, sizeof(line)));
	if (ignored->more > 0)
		printf("warning: and %u more files are ignored\n", ignored->more);
}

static void ignored_as_json(struct json *j, const struct conf_errors *ignored)
{
	json_key(j, "ignored");
	json_begin_array(j);
	for (unsigned i = 0; i < ignored->n; i++) {
		json_begin_object(j);
		json_kstring(j, "file", ignored->e[i].file);
		json_kstring(j, "why", ignored->e[i].why);
		json_end_object(j);
	}
	json_end_array(j);
	json_kuint(j, "ignored_more", ignored->more);
}

static int check_as_json(const struct conf *conf, const struct policy_set *set, struct cgroups *tree, const char *why, const char *remedy)
{
	_cleanup_(cleanup_free) char *text = malloc(OUTPUT_MAX);
	const char *out;
	struct json j;

	if (text == NULL)
		return no_memory(true);
	json_init(&j, text, OUTPUT_MAX);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kbool(&j, "accepted", true);
	json_kuint(&j, "files", conf_n_files(conf));
	json_kstring(&j, "mode", mode_to_string(set->settings.mode));
	json_kstring(&j, "why", why);
	json_kstring(&j, "remedy", remedy);
	json_key(&j, "policies");
	json_begin_array(&j);
	for (unsigned i = 0; i < set->n_policies; i++)
		describe_json(&j, set, &set->policies[i], tree);
	json_end_array(&j);
	ignored_as_json(&j, conf_ignored(conf));
	json_end_object(&j);
	if (json_finish(&j, &out) < 0)
		return complain(true, EXIT_FAILURE, TOO_LONG, NULL);
	puts(out);
	return why != NULL;
}

/* A [Protect] that leaves no cgroup to squeeze, or NULL. A top-level cgroup that is named
 * shelters all below it. */
static const struct policy *protects_all(const struct policy_set *set)
{
	for (unsigned i = 0; i < set->n_policies; i++) {
		const struct policy *p = &set->policies[i];
		bool all = false, except = false;

		for (unsigned k = p->glob_first; k < (unsigned)p->glob_first + p->glob_n; k++) {
			const struct glob *glob = &set->globs[k];
			const char *stars = glob->text + (glob->kind == MATCH_CGROUPS && glob->text[0] == '/');

			except = except || glob->kind == MATCH_EXCEPT;
			all = all || ((glob->kind == MATCH_CGROUPS || glob->kind == MATCH_UNITS || glob->kind == MATCH_CONTAINERS) &&
				      *stars != '\0' && strspn(stars, "*") == strlen(stars));
		}
		if (p->kind == POLICY_PROTECT && p->for_first == USEC_INFINITY && all && !except)
			return p;
	}
	return NULL;
}

static const char *tree_root(const char *root)
{
	char path[512];

	return str_format(path, sizeof(path), "%s/proc/self/mountinfo", root) && access(path, R_OK) == 0 ? root : "";
}

int policy_check(const char *root, bool json)
{
	static struct policy_set set;
	_cleanup_(cleanup_conf) struct conf *conf = conf_new();
	_cleanup_(cleanup_cgroups) struct cgroups *tree = NULL;
	struct cgroups_config config = { .root = tree_root(root), .self = { OWN_CGROUPS } };
	struct guard_settings guard;
	const struct policy *all;
	const char *why = NULL, *remedy = NULL;
	char text[160];
	unsigned throttles = 0;

	if (conf == NULL)
		return no_memory(json);
	if (conf_load(conf, root, &set, &guard) < 0)
		return policy_refuse(conf, "the guard keeps what it has", json);
	for (unsigned i = 0; i < set.n_policies; i++)
		throttles += set.policies[i].kind == POLICY_THROTTLE;
	if (cgroups_new(&config, &tree) == 0)
		(void)cgroups_scan(tree);
	if (set.n_policies == 0)
		why = "there is no section: nothing is protected or squeezed", remedy = "put *.policy files into /etc/reprieve/policies; the shipped ones are in /usr/lib/reprieve/policies";
	else if (throttles == 0 && set.settings.mode == MODE_ENFORCE)
		why = "no [Throttle] is left, so nothing would ever be squeezed", remedy = "add a [Throttle], or use Mode=rescue";
	else if ((all = protects_all(&set)) != NULL && set.settings.mode != MODE_OBSERVE) {
		str_format(text, sizeof(text), "[Protect %s] names every cgroup, so none would ever be squeezed", all->name);
		why = text, remedy = "name fewer, or take some away with Except=";
	}
	if (json)
		return check_as_json(conf, &set, tree, why, remedy);
	printf("mode %s; %u file%s, %u section%s\n", mode_to_string(set.settings.mode), conf_n_files(conf), conf_n_files(conf) == 1 ? "" : "s",
	       set.n_policies, set.n_policies == 1 ? "" : "s");
	for (unsigned i = 0; i < set.n_policies; i++)
		describe(&set, &set.policies[i], tree);
	ignored_files(conf_ignored(conf));
	if (set.n_policies == 0) {
		printf("accepted, but there is no section in %s/{etc,run,usr/lib}/reprieve/policies/*.policy: nothing is protected or squeezed\n", root);
		return EXIT_FAILURE;
	}
	puts("Processes= are found by the running guard and are not counted here.");
	if (why != NULL) {
		printf("accepted, but %s; %s\n", why, remedy);
		return EXIT_FAILURE;
	}
	puts("accepted");
	return 0;
}

int policy_cat(const char *root, const char *name, bool json)
{
	static struct policy_set set;
	_cleanup_(cleanup_conf) struct conf *conf = conf_new();
	_cleanup_(cleanup_free) char *text = malloc(OUTPUT_MAX), *quoted = malloc(2 * OUTPUT_MAX);
	struct guard_settings guard;
	const char *out;
	struct json j;
	int r;

	if (conf == NULL || text == NULL || quoted == NULL)
		return no_memory(json);
	if (conf_load(conf, root, &set, &guard) < 0)
		return policy_refuse(conf, "the guard keeps what it has", json);
	r = conf_cat(conf, name, text, OUTPUT_MAX);
	if (r < 0)
		return complain(json, EXIT_FAILURE, r == -ENOENT ? "there is no section or file of that name" : strerror(-r),
				"`reprieve policy cat` without a name shows all");
	if (!json) {
		fputs(text, stdout);
		return 0;
	}
	json_init(&j, quoted, 2 * OUTPUT_MAX);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_kstring(&j, "text", text);
	json_end_object(&j);
	if (json_finish(&j, &out) < 0)
		return complain(true, EXIT_FAILURE, TOO_LONG, NULL);
	puts(out);
	return 0;
}

static int keys_as_json(void)
{
	_cleanup_(cleanup_free) char *text = malloc(OUTPUT_MAX);
	const char *out;
	struct json j;

	if (text == NULL)
		return no_memory(true);
	json_init(&j, text, OUTPUT_MAX);
	json_begin_object(&j);
	json_kint(&j, "schema", 1);
	json_key(&j, "keys");
	json_begin_array(&j);
	for (size_t i = 0; i < KEYS_N; i++) {
		json_begin_object(&j);
		json_kstring(&j, "section", section_to_string(KEYS[i].section));
		json_kstring(&j, "key", KEYS[i].name);
		json_kstring(&j, "type", KEYS[i].type->name);
		json_kstring(&j, "doc", KEYS[i].doc);
		json_end_object(&j);
	}
	json_end_array(&j);
	json_end_object(&j);
	if (json_finish(&j, &out) < 0)
		return complain(true, EXIT_FAILURE, TOO_LONG, NULL);
	puts(out);
	return 0;
}

int policy_keys(bool json)
{
	static char text[32 * 1024];

	if (json)
		return keys_as_json();
	for (int s = 0; s < _SECTION_MAX; s++)
		printf("%s\n", keys_document((enum section)s, text, sizeof(text)));
	return 0;
}

int policy_unknown(const char *word, bool json)
{
	static const char *const words[] = { "check", "cat", "keys" };
	struct suggest near;
	char text[256];

	suggest_init(&near, word);
	for (size_t i = 0; i < ELEMENTSOF(words); i++)
		suggest_offer(&near, words[i]);
	str_format(text, sizeof(text), suggest_best(&near) ? "there is no policy %.80s, did you mean \"%s\"?" : "there is no policy %.80s", word,
		   suggest_best(&near));
	return complain(json, EX_USAGE, text, "policy check, policy cat [NAME] or policy keys");
}
