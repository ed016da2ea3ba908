/* SPDX-License-Identifier: Apache-2.0 */
/* reprieve: the command line. A table of commands, each a few lines: ask the guard,
 * or read files; print JSON as it is or rendered. Only what changes something needs
 * root. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "act/act.h"
#include "act/journal.h"
#include "act/lifted.h"
#include "base/macro.h"
#include "base/str.h"
#include "base/suggest.h"
#include "base/units.h"
#include "core/limits.h"
#include "ctl/client.h"
#include "ctl/complain.h"
#include "ctl/policy_cmd.h"
#include "ctl/render.h"
#include "ctl/replay.h"

#define OF_ALL   "jcdR"                 /* options of every command */
#define SEE_HELP "`reprieve help` lists all"

struct cli {
	const char *rundir, *root, *reason, *policy;
	bool json, all, quiet, verbose;
	enum colour colour;
	unsigned long lines, incident;
};

struct command {
	const char *name, *arguments, *help;
	const char *options;            /* of it alone, as getopt's letters */
	int most;                       /* arguments; fewer are its own affair */
	int (*run)(struct cli *cli, int argc, char **argv);
};

/* A guard that was killed may have left its changes; its journal knows, and is root's. */
static const char *left_over(const char *rundir, char *text, size_t size)
{
	unsigned n = geteuid() == 0 ? journal_peek(rundir) : 0;

	if (n == 0)
		return NULL;
	str_format(text, size, "what it had changed may still be so, its journal holds %u value%s: `reprieved --restore` puts them back, as does the next start",
		   n, n == 1 ? "" : "s");
	return text;
}

/* Asks and prints; *ret_answer (may be NULL) is the caller's. */
static int ask(struct cli *cli, const char *request, struct json_object **ret_answer)
{
	struct json_object *answer, *error = NULL, *remedy = NULL;
	int r = client_ask(cli->rundir, request, &answer);
	char left[192];

	if (r < 0)
		return complain(cli->json, r == -EACCES || r == -EPERM ? EX_NOPERM : EX_UNAVAILABLE, client_explain(r),
				r == -ENOENT || r == -ECONNREFUSED ? left_over(cli->rundir, left, sizeof(left)) : NULL);
	if (cli->json && (!cli->quiet || json_object_object_get_ex(answer, "error", NULL)))
		puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	if (json_object_object_get_ex(answer, "error", &error)) {
		char e[512], m[512] = "";

		str_escape(e, sizeof(e), json_object_get_string(error));
		if (json_object_object_get_ex(answer, "remedy", &remedy))
			str_escape(m, sizeof(m), json_object_get_string(remedy));
		if (!cli->json)
			fprintf(stderr, "reprieve: %s%s%s\n", e, m[0] ? "; " : "", m);
		json_object_put(answer);
		return EXIT_FAILURE;
	}
	*ret_answer = answer;
	return 0;
}

static int ask_done(struct cli *cli, const char *request)
{
	struct json_object *answer, *done = NULL;
	int r = ask(cli, request, &answer);
	char text[512];

	/* Orders are root's; whoever else asks is refused for that and nothing else. */
	if (r == EXIT_FAILURE && geteuid() != 0)
		return EX_NOPERM;
	if (r != 0)
		return r;
	if (!cli->json && json_object_object_get_ex(answer, "done", &done))
		puts(str_escape(text, sizeof(text), json_object_get_string(done)));
	json_object_put(answer);
	return 0;
}

static int run_status(struct cli *cli, int argc, char **argv)
{
	struct json_object *answer, *state = NULL, *since = NULL, *error = NULL, *policies = NULL;
	int r = ask(cli, "status", &answer);

	if (r != 0)
		return r;
	if (cli->quiet) {
		/* The state of a pause is "paused", whatever is open. */
		json_object_object_get_ex(answer, "state", &state);
		json_object_object_get_ex(answer, "incident_since", &since);
		json_object_object_get_ex(answer, "config_error", &error);
		json_object_object_get_ex(answer, "policies", &policies);
		r = since != NULL || (error != NULL && json_object_get_int64(policies) == 0) || strcmp(json_object_get_string(state), "incident") == 0;
	} else if (!cli->json)
		render_status(stdout, answer, render_use_colour(cli->colour, stdout));
	json_object_put(answer);
	return r;
}

static int run_why(struct cli *cli, int argc, char **argv)
{
	struct json_object *answer;
	char request[64];
	int r;

	str_format(request, sizeof(request), "why %lu %lu", cli->lines ? cli->lines : 40, cli->incident);
	r = ask(cli, request, &answer);
	if (r != 0)
		return r;
	if (!cli->json)
		render_why(stdout, answer, render_use_colour(cli->colour, stdout));
	json_object_put(answer);
	return 0;
}

static int say_done(struct cli *cli, const char *what)
{
	printf(cli->json ? "{\"schema\":1,\"done\":\"%s\"}\n" : "%s\n", what);
	return 0;
}

static void say(void *data, const char *line)
{
	fprintf(stderr, "reprieve: %s\n", line);
}

static int run_release(struct cli *cli, int argc, char **argv)
{
	char request[CONTROL_REQUEST_MAX];
	struct json_object *probe;
	unsigned n = 0;
	int r;

	if (cli->all && argc > 0)
		return complain(cli->json, EX_USAGE, "release one cgroup, or all?", "release --all takes no name: leave out one of them");
	if (!cli->all && argc != 1)
		return complain(cli->json, EX_USAGE, "release what?", "name a cgroup as `reprieve status` shows it, or --all");
	if (cli->all) {
		/* No guard: the journal still knows what is squeezed. */
		r = client_ask(cli->rundir, "ping", &probe);
		if (r == -ENOENT || r == -ECONNREFUSED) {
			if (geteuid() != 0)
				return complain(cli->json, EX_NOPERM, "the guard is not running and only root can restore from its journal", "use sudo");
			r = act_restore_journal(cli->rundir, say, NULL, &n);
			lifted_forget(cli->rundir);
			if (r == ACT_E_RUNNING)
				return complain(cli->json, EX_UNAVAILABLE, "a guard is running but does not answer; nothing was released",
						"try again, or stop it: systemctl stop reprieve puts everything back");
			if (r < 0)
				return complain(cli->json, EXIT_FAILURE, r == -EBADMSG ? "the journal was damaged, so not everything is known to be put back" : strerror(-r),
						"the journal could not be restored as a whole; see above");
			return say_done(cli, "the guard is not running; all that its journal held is put back");
		}
		if (r == 0)
			json_object_put(probe);
		return ask_done(cli, "release-all");
	}
	if (strchr(argv[0], '\n') != NULL)     /* of the request, only the first line would be heard */
		return complain(cli->json, EX_USAGE, "a line break in a name is given as \\x0a", "name the cgroup as `reprieve status` shows it");
	if (!str_format(request, sizeof(request), "release %s", argv[0]))
		return complain(cli->json, EX_USAGE, "that name is too long", NULL);
	return ask_done(cli, request);
}

static int run_pause(struct cli *cli, int argc, char **argv)
{
	char request[CONTROL_REQUEST_MAX], text[96];
	usec_t span;
	size_t n;

	if (argc != 1 || units_parse_usec(argv[0], &span) < 0 || span == 0 || span > 7 * 24 * USEC_PER_HOUR)
		return complain(cli->json, EX_USAGE, "pause for how long?", "give a time up to 7d, such as 30min or 2h");
	if (cli->reason == NULL || cli->reason[0] == '\0')
		return complain(cli->json, EX_USAGE, "a pause needs a reason that others can read", "add --reason 'planned load test'");
	n = strlen(cli->reason);
	if (n >= REASON_TEXT_MAX || !str_format(request, sizeof(request), "pause %llu %s", (unsigned long long)span, cli->reason)) {
		str_format(text, sizeof(text), "the reason is too long: %zu bytes, at most %d are kept", n, REASON_TEXT_MAX - 1);
		return complain(cli->json, EX_USAGE, text, "say it shorter");
	}
	/* A request is one line. */
	for (char *c = request; *c != '\0'; c++)
		if (*c == '\n')
			*c = ' ';
	return ask_done(cli, request);
}

static int run_resume(struct cli *cli, int argc, char **argv)
{
	return ask_done(cli, "resume");
}

static int run_policy(struct cli *cli, int argc, char **argv)
{
	if (argc == 2 && (strcmp(argv[0], "check") == 0 || strcmp(argv[0], "keys") == 0))
		return complain(cli->json, EX_USAGE, "policy check and policy keys are of everything", "leave out the name; policy cat takes one");
	if (argc >= 1 && strcmp(argv[0], "check") == 0)
		return policy_check(cli->root, cli->json);
	if (argc >= 1 && strcmp(argv[0], "cat") == 0)
		return policy_cat(cli->root, argc > 1 ? argv[1] : NULL, cli->json);
	if (argc >= 1 && strcmp(argv[0], "keys") == 0)
		return policy_keys(cli->json);
	if (argc >= 1)
		return policy_unknown(argv[0], cli->json);
	return complain(cli->json, EX_USAGE, "policy check, policy cat [NAME] or policy keys?", NULL);
}

static int run_replay(struct cli *cli, int argc, char **argv)
{
	if (argc != 1)
		return complain(cli->json, EX_USAGE, "replay which record?", "give a FILE, such as /run/reprieve/flight-1.trace");
	return replay_command(argv[0], cli->policy, cli->verbose, cli->json);
}

static const struct command commands[];

static int colour_parse(const char *word, enum colour *ret)
{
	static const char *const words[] = { [COLOUR_AUTO] = "auto", [COLOUR_ALWAYS] = "always", [COLOUR_NEVER] = "never" };

	for (size_t i = 0; i < ELEMENTSOF(words); i++)
		if (strcmp(words[i], word) == 0) {
			*ret = (enum colour)i;
			return 0;
		}
	return -EINVAL;
}

static const struct { int code; const char *what; } exit_codes[] = {
	{ 0, "done" },
	{ 1, "refused or failed (status -q: an incident is open, in a pause too, or no policy is in force; policy check: nothing would ever act; replay: the actions differ)" },
	{ EX_USAGE, "usage" }, { EX_DATAERR, "no flight record" }, { EX_NOINPUT, "no such file" }, { EX_UNAVAILABLE, "no guard to ask" },
	{ EX_IOERR, "the output cannot be written" }, { EX_NOPERM, "not permitted" }, { EX_CONFIG, "bad configuration" },
};

static void put_str(struct json_object *o, const char *key, const char *s)
{
	json_object_object_add(o, key, s != NULL ? json_object_new_string(s) : NULL);
}

static struct json_object *new_answer(void)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "schema", json_object_new_int(1));
	put_str(o, "version", VERSION);
	return o;
}

static int print_json(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return 0;
}

static int help_as_json(void)
{
	struct json_object *answer = new_answer(), *list = json_object_new_array(), *codes = json_object_new_array();

	for (const struct command *c = commands; c->name; c++) {
		struct json_object *o = json_object_new_object();

		put_str(o, "name", c->name);
		put_str(o, "arguments", c->arguments);
		put_str(o, "help", c->help);
		json_object_array_add(list, o);
	}
	for (size_t i = 0; i < ELEMENTSOF(exit_codes); i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "code", json_object_new_int(exit_codes[i].code));
		put_str(o, "meaning", exit_codes[i].what);
		json_object_array_add(codes, o);
	}
	json_object_object_add(answer, "commands", list);
	json_object_object_add(answer, "exit_codes", codes);
	return print_json(answer);
}

static int run_help(struct cli *cli, int argc, char **argv)
{
	if (cli->json)
		return help_as_json();
	printf("reprieve %s: keeps an overloaded machine reachable, and puts everything back\n\n", VERSION);
	for (const struct command *c = commands; c->name; c++)
		if (c->help)
			printf("  %-8s %-28s %s\n", c->name, c->arguments, c->help);
	puts("\nOptions: --json  --color=auto|always|never (NO_COLOR is heeded)  --rundir DIR  --root DIR\n\nExit codes:");
	for (size_t i = 0; i < ELEMENTSOF(exit_codes); i++)
		printf("  %2d  %s\n", exit_codes[i].code, exit_codes[i].what);
	return 0;
}

static int run_version(struct cli *cli, int argc, char **argv)
{
	if (cli->json)
		return print_json(new_answer());
	puts("reprieve " VERSION);
	return 0;
}

static const struct command commands[] = {
	{ "status", "[-q]", "state, mode, who suffers, who is to blame, what is squeezed until when, what is missing", "q", 0, run_status },
	{ "why", "[-n LINES] [--incident N]", "what was decided and why, newest last", "ni", 0, run_why },
	{ "release", "CGROUP | --all", "put one cgroup, or all that is squeezed, back as it was; lifeline weights stay (root)", "a", 1, run_release },
	{ "pause", "TIME --reason TEXT", "let go of all that is squeezed and change nothing more for a while; lifelines set before stay; ends by itself (root)", "r", 1, run_pause },
	{ "resume", "", "end a pause, or the ten minutes after release --all (root)", "", 0, run_resume },
	{ "policy", "check | cat [NAME] | keys", "check the policies; show them merged with the origin of each value; explain the keys", "", 2, run_policy },
	{ "replay", "FILE [--policy DIR] [-v]", "decide a recorded incident again; with other policies", "pv", 1, run_replay },
	{ "help", "", "this", "", 0, run_help },
	{ "version", "", NULL, "", 0, run_version },
	{ 0 }
};

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' }, { "all", no_argument, NULL, 'a' }, { "reason", required_argument, NULL, 'r' },
	{ "color", required_argument, NULL, 'c' }, { "rundir", required_argument, NULL, 'd' }, { "root", required_argument, NULL, 'R' },
	{ "lines", required_argument, NULL, 'n' }, { "incident", required_argument, NULL, 'i' }, { "quiet", no_argument, NULL, 'q' },
	{ "policy", required_argument, NULL, 'p' }, { "verbose", no_argument, NULL, 'v' }, { "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' }, { 0 }
};

/* For a mistake in front of it. */
static void look_for_json(struct cli *cli, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		cli->json |= strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "-j") == 0;
}

/* What getopt did not understand: c is what it returned. */
static int bad_option(struct cli *cli, int c, int argc, char **argv)
{
	const char *word = argv[optind - 1], *best;
	struct suggest near;
	char text[256];

	look_for_json(cli, argc, argv);
	if (c == ':') {
		str_format(text, sizeof(text), "%s needs a value", word);
		return complain(cli->json, EX_USAGE, text, SEE_HELP);
	}
	if (strncmp(word, "--", 2) != 0) {
		str_format(text, sizeof(text), "there is no option -%c", optopt);
		return complain(cli->json, EX_USAGE, text, SEE_HELP);
	}
	suggest_init(&near, word + 2);
	for (const struct option *o = options; o->name; o++)
		suggest_offer(&near, o->name);
	best = suggest_best(&near);
	str_format(text, sizeof(text), optopt ? "%s takes no value" : best ? "there is no option %s, did you mean --%s?" : "there is no option %s", word, best);
	return complain(cli->json, EX_USAGE, text, SEE_HELP);
}

/* What the command would pass over was meant to do something. */
static int run_command(struct cli *cli, const struct command *k, const char *seen, int argc, char **argv)
{
	char text[256], usage[128];

	str_format(usage, sizeof(usage), "usage: reprieve %s%s%s", k->name, k->arguments[0] ? " " : "", k->arguments);
	if (argc > k->most) {
		str_format(text, sizeof(text), "%s does not take \"%s\"", k->name, argv[k->most]);
		return complain(cli->json, EX_USAGE, text, usage);
	}
	for (const struct option *o = options; o->name; o++)
		if (strchr(seen, o->val) != NULL && strchr(OF_ALL, o->val) == NULL && strchr(k->options, o->val) == NULL) {
			str_format(text, sizeof(text), "%s does not take --%s", k->name, o->name);
			return complain(cli->json, EX_USAGE, text, usage);
		}
	return k->run(cli, argc, argv);
}

static int parse_count(const char *word, unsigned long *ret)
{
	size_t n = strspn(word, "0123456789");

	if (n == 0 || n > 9 || word[n] != '\0')
		return -EINVAL;
	*ret = strtoul(word, NULL, 10);
	return *ret > 0 ? 0 : -EINVAL;
}

static int no_command(struct cli *cli, const char *word)
{
	const char *best;
	struct suggest near;
	char text[256];

	suggest_init(&near, word);
	for (const struct command *k = commands; k->name; k++)
		suggest_offer(&near, k->name);
	best = suggest_best(&near);
	str_format(text, sizeof(text), best ? "there is no command \"%s\", did you mean \"%s\"?" : "there is no command \"%s\"", word, best);
	return complain(cli->json, EX_USAGE, text, SEE_HELP);
}

static int run(int argc, char **argv)
{
	struct cli cli = { .rundir = "/run/reprieve", .root = "" };
	char seen[ELEMENTSOF(options)] = "", text[256];
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":jar:n:i:qp:vhV", options, NULL)) >= 0) {
		if (strchr(seen, c) == NULL)
			str_appendf(seen, sizeof(seen), "%c", c);
		switch (c) {
		case 'j': cli.json = true; break;
		case 'a': cli.all = true; break;
		case 'q': cli.quiet = true; break;
		case 'v': cli.verbose = true; break;
		case 'r': cli.reason = optarg; break;
		case 'p': cli.policy = optarg; break;
		case 'd': cli.rundir = optarg; break;
		case 'R': cli.root = optarg; break;
		case 'n':
		case 'i':
			if (parse_count(optarg, c == 'n' ? &cli.lines : &cli.incident) == 0)
				break;
			look_for_json(&cli, argc, argv);
			str_format(text, sizeof(text), "%s %s is no number from 1 on", c == 'n' ? "-n" : "--incident", optarg);
			return complain(cli.json, EX_USAGE, text, c == 'n' ? "give a number of lines, such as -n 20" : "`reprieve why` tells the numbers");
		case 'c':
			if (colour_parse(optarg, &cli.colour) == 0)
				break;
			look_for_json(&cli, argc, argv);
			return complain(cli.json, EX_USAGE, "--color is auto, always or never", NULL);
		case 'h':
		case 'V':
			look_for_json(&cli, argc, argv);
			return c == 'h' ? run_help(&cli, 0, NULL) : run_version(&cli, 0, NULL);
		default: return bad_option(&cli, c, argc, argv);
		}
	}
	if (optind == argc) {
		if (cli.json)
			return complain(true, EX_USAGE, "there is no command", SEE_HELP);
		return run_help(&cli, 0, NULL), EX_USAGE;
	}
	for (const struct command *k = commands; k->name; k++)
		if (strcmp(argv[optind], k->name) == 0)
			return run_command(&cli, k, seen, argc - optind - 1, argv + optind + 1);
	return no_command(&cli, argv[optind]);
}

/* What was not written was not said: a full disk must not look like calm. */
int main(int argc, char **argv)
{
	int code = run(argc, argv);

	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	fprintf(stderr, "reprieve: the output cannot be written%s%s\n", errno ? ": " : "", errno ? strerror(errno) : "");
	return code ? code : EX_IOERR;
}
