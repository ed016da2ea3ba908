/* SPDX-License-Identifier: Apache-2.0 */
/* act-driver: drives the act layer from a command line, for the system tests.
 *
 *   act-driver --rundir DIR --cpu ROOT[:v2] [--pids ROOT[:v2]] [--freezer ROOT[:v2]] [--fake] COMMAND...
 *   act-driver --rundir DIR --restore
 *
 * COMMAND, with PATH from the hierarchy's root and tasks as TID+TID:
 *   weight:PATH:W idle:PATH quota:PATH:Q:P pids:PATH:N freeze:PATH kill:PATH jail:PATH:Q:P:TIDS
 *   tasks-idle:PATH:TIDS tasks-other:PATH:TIDS release:PATH[:VERB+VERB] lifeline:PATH:W drift restore live arm settle
 *   write:FILE:TEXT (somebody else's) run:SHELL bench:PATH-PREFIX:N wait (for a line on stdin)
 * One line each: NAME done|failed ERROR VALUE N MESSAGE.
 *
 * REPRIEVE_CRASH_AT=n: SIGKILL to itself at the n-th place where a write begins or has ended.
 * REPRIEVE_FAIL=WHERE=ERRNO[,n]: each (the n-th) write there fails. REPRIEVE_COUNT=1: their number, at the end. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "act/act.h"
#include "act/inject.h"
#include "act/tasks.h"

static unsigned injected, failed;
static long crash_at;
static char fail_where[64];
static int fail_error;
static unsigned fail_at;

int act_inject(const char *where)
{
	if (++injected == (unsigned long)crash_at)
		raise(SIGKILL);
	if (fail_error != 0 && strcmp(where, fail_where) == 0 && (++failed == fail_at || fail_at == 0))
		return -fail_error;
	return 0;
}

static const struct {
	const char *name;
	enum verb verb;
} verbs[] = {
	{ "weight", VERB_WEIGHT }, { "idle", VERB_IDLE }, { "quota", VERB_QUOTA }, { "pids", VERB_PIDS },
	{ "freeze", VERB_FREEZE }, { "kill", VERB_KILL }, { "jail", VERB_JAIL }, { "tasks-idle", VERB_TASKS_IDLE },
	{ "tasks-other", VERB_TASKS_OTHER }, { "release", VERB_RELEASE }, { "lifeline", VERB_LIFELINE },
};

static struct act_layout layout;
static bool fake;

static int verb_of(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return verbs[i].verb;
	return -1;
}

static void say(void *userdata, const char *line)
{
	printf("say %s\n", line);
	fflush(stdout);
}

static void set_root(char *root, bool *v2, const char *arg)
{
	const char *colon = strrchr(arg, ':');

	*v2 = colon != NULL && strcmp(colon, ":v2") == 0;
	snprintf(root, ACT_ROOT_MAX, "%.*s", (int)(*v2 ? colon - arg : (long)strlen(arg)), arg);
}

static struct group_info group_of(const char *path)
{
	struct group_info g = { .weight = 100, .quota_us = -1 };
	char full[ACT_ROOT_MAX + GROUP_PATH_MAX];
	struct stat st;

	snprintf(full, sizeof(full), "%s%s", layout.cpu_root, path);
	snprintf(g.path, sizeof(g.path), "%s", path);
	g.id = stat(full, &st) < 0 ? 0 : st.st_ino;
	if (strcmp(path, "/") == 0)
		g.flags |= GROUP_IS_ROOT;
	return g;
}

static usec_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

static uint64_t squeezed_id;    /* of a group that may be gone when it is released */

static void bench(struct act *a, const char *prefix, unsigned n)
{
	static struct group_info groups[MAX_SQUEEZES];
	static const struct { const char *name; enum verb verb; int64_t value, value2; } steps[] = {
		{ "quota-first", VERB_QUOTA, 5000, 25000 }, { "quota-again", VERB_QUOTA, 5000, 25000 },
		{ "quota-change", VERB_QUOTA, 10000, 25000 }, { "release-quota", VERB_RELEASE },
		{ "weight", VERB_WEIGHT, 10 }, { "release-weight", VERB_RELEASE }, { "idle", VERB_IDLE, 1 }, { "drift", _VERB_MAX },
		{ "restore-all", _VERB_MAX },
	};
	struct drift drifts[8];
	struct result r;

	n = MIN(n, (unsigned)MAX_SQUEEZES);
	for (unsigned i = 0; i < n; i++) {
		char path[GROUP_PATH_MAX];

		snprintf(path, sizeof(path), "%s%u", prefix, i);
		groups[i] = group_of(path);
	}
	for (size_t s = 0; s < ELEMENTSOF(steps); s++) {
		usec_t begin = now();

		if (strcmp(steps[s].name, "drift") == 0)
			(void)act_check_drift(a, drifts, ELEMENTSOF(drifts));
		else if (strcmp(steps[s].name, "restore-all") == 0)
			(void)act_restore_all(a, NULL);
		else
			for (unsigned i = 0; i < n; i++) {
				struct action action = { .id = 1, .verb = steps[s].verb, .group = groups[i].id,
							 .value = steps[s].value, .value2 = steps[s].value2 };

				(void)act_carry_out(a, &action, NULL, &groups[i], &r);
				if (r.status != RESULT_DONE)
					printf("bench failed %d %s\n", r.error, act_message(a));
			}
		printf("bench %s %.1f us for %u groups, %.2f us each\n", steps[s].name, (double)(now() - begin), n,
		       (double)(now() - begin) / n);
	}
}

static void carry_out(struct act *a, enum verb verb, const char *name, char **arg)
{
	static struct task_ref tasks[MAX_SQUEEZED_TASKS];
	struct group_info g = arg[1] != NULL ? group_of(arg[1]) : (struct group_info){};
	struct action action = { .id = 7, .verb = verb, .group = g.id };
	struct result r = { .status = 99 };
	char *list = NULL, *save = NULL;

	if (verb == VERB_RELEASE) {
		if (g.id == 0)
			action.group = squeezed_id;
		for (char *t = arg[2] != NULL ? strtok_r(arg[2], "+", &save) : NULL; t != NULL; t = strtok_r(NULL, "+", &save))
			action.value |= 1 << verb_of(t);
	} else {
		squeezed_id = g.id;
		action.value = arg[2] != NULL ? atoll(arg[2]) : 1;
		action.value2 = arg[2] != NULL && arg[3] != NULL ? atoll(arg[3]) : 100000;
	}
	if (verb == VERB_TASKS_IDLE || verb == VERB_TASKS_OTHER)
		list = arg[2];
	else if (verb == VERB_JAIL && arg[2] != NULL && arg[3] != NULL)
		list = arg[4];
	for (char *t = list != NULL ? strtok_r(list, "+", &save) : NULL; t != NULL; t = strtok_r(NULL, "+", &save)) {
		struct task_stat s = {};

		tasks[action.n_tasks].tid = tasks[action.n_tasks].pid = atoi(t);
		if (task_stat_read(atoi(t), &s) >= 0)
			tasks[action.n_tasks].start = s.start;
		if (strchr(t, '!') != NULL)     /* TID!: as if the number had been reused */
			tasks[action.n_tasks].start--;
		action.n_tasks++;
	}
	if (!act_carry_out(a, &action, tasks, &g, &r))
		while (act_pending(a) > 0 && !act_poll(a, &r))
			usleep(1000);
	printf("%s %s %s %lld %u %s\n", name, r.status == RESULT_DONE ? "done" : r.status == RESULT_FAILED ? "failed" : "none",
	       r.error != 0 ? strerrorname_np(r.error) : "0", (long long)r.value, r.n_tasks, act_message(a));
}

static int command(struct act *a, char *text)
{
	char *arg[8] = {}, *name = text;
	struct drift drifts[16];
	unsigned n = 0;
	int r;

	if (strncmp(text, "run:", 4) == 0)
		return system(text + 4);
	for (char *save = NULL, *t = strtok_r(text, ":", &save); t != NULL && n < 7; t = strtok_r(NULL, ":", &save))
		arg[n++] = t;
	n = 0;
	if (strcmp(name, "drift") == 0) {
		r = act_check_drift(a, drifts, ELEMENTSOF(drifts));
		printf("drift %d", r);
		for (int i = 0; i < r; i++)
			printf(" %s:%s", verbs[drifts[i].knob - VERB_WEIGHT].name, drifts[i].original ? "original" : "new");
		printf("\n");
	} else if (strcmp(name, "restore") == 0) {
		r = act_restore_all(a, &n);
		printf("restore %d %u\n", r, n);
	} else if (strcmp(name, "live") == 0)
		printf("live %u\n", act_live(a));
	else if (strcmp(name, "settle") == 0) {         /* what the guard does after a release */
		usleep(1100000);
		(void)act_check_drift(a, drifts, ELEMENTSOF(drifts));
	} else if (strcmp(name, "arm") == 0)
		printf("arm %d\n", act_arm(a));
	else if (strcmp(name, "wait") == 0) {
		fflush(stdout);
		(void)getchar();
	} else if (strcmp(name, "write") == 0) {
		int fd = open(arg[1], O_WRONLY|(fake ? O_TRUNC : 0));

		r = fd < 0 ? -1 : (int)write(fd, arg[2], strlen(arg[2]));
		printf("write %d\n", r < 0 ? -errno : 0);
		close(fd);
	} else if (strcmp(name, "bench") == 0)
		bench(a, arg[1], (unsigned)atoi(arg[2]));
	else {
		r = verb_of(name);
		if (r < 0) {
			fprintf(stderr, "act-driver: unknown command %s\n", name);
			return 2;
		}
		carry_out(a, (enum verb)r, name, arg);
	}
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct act_config config = { .say = say, .layout = &layout };
	struct act *a = NULL;
	const char *env;
	unsigned n;
	int i, r;

	if ((env = getenv("REPRIEVE_CRASH_AT")) != NULL)
		crash_at = atol(env);
	if ((env = getenv("REPRIEVE_FAIL")) != NULL) {
		const char *second = strrchr(env, '=');
		const char *count = second != NULL ? strchr(second, ',') : NULL;

		snprintf(fail_where, sizeof(fail_where), "%.*s", second != NULL ? (int)(second - env) : 63, env);
		fail_error = second != NULL ? atoi(second + 1) : EIO;
		fail_at = count != NULL ? (unsigned)atoi(count + 1) : 0;
	}
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--restore") == 0) {
			r = act_restore_journal(config.rundir, say, NULL, &n);
			printf("restored %d %u\n", r, n);
			if (getenv("REPRIEVE_COUNT") != NULL)
				printf("count %u\n", injected);
			return r != 0;
		}
		if (strcmp(argv[i], "--fake") == 0) {
			fake = config.fake = true;
			continue;
		}
		if (strcmp(argv[i], "--rundir") == 0)
			config.rundir = value;
		else if (strcmp(argv[i], "--cpu") == 0)
			set_root(layout.cpu_root, &layout.cpu_v2, value);
		else if (strcmp(argv[i], "--pids") == 0)
			set_root(layout.pids_root, &layout.pids_v2, value);
		else if (strcmp(argv[i], "--freezer") == 0)
			set_root(layout.freezer_root, &layout.freezer_v2, value);
		else {
			fprintf(stderr, "act-driver: unknown option %s\n", argv[i]);
			return 2;
		}
		i++;
	}
	r = act_new(&a, &config);
	if (r != 0) {
		printf("new %s\n", r == ACT_E_RUNNING ? "running" : r == ACT_E_NOTHING ? "nothing" : strerrorname_np(-r));
		return 1;
	}
	for (r = 0; i < argc && r == 0; i++)
		r = command(a, argv[i]);
	if (getenv("REPRIEVE_COUNT") != NULL)
		printf("count %u\n", injected);
	fflush(stdout);
	act_free(a);
	return r;
}
