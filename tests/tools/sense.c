/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sense: drives the sensors by hand, for the system tests and benches.
 *
 *   sense watch SECONDS [TICK_MS]    one JSON line per snapshot
 *   sense tick  SECONDS [TICK_MS]    what a tick costs: JSON with p50, p99, max in µs
 *   sense canary DIR v1|v2 SECONDS [CPU_US]
 *   sense missing                    what this machine does not give
 *
 * before the verb: --no-probe, --root DIR, --protect PATH (again and again)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"
#include "core/action.h"
#include "sense/sampler.h"

#define TICKS_MAX 100000

static struct snapshot snapshot;
static const char *protect[16];
static unsigned n_protect, n_changed, n_gone;

static usec_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (usec_t)t.tv_sec * USEC_PER_SEC + (usec_t)t.tv_nsec / 1000;
}

static void changed(const struct group_info *info, void *userdata)
{
	n_changed++;
}

static void gone(uint64_t id, void *userdata)
{
	n_gone++;
}

static void say_string(const char *s)
{
	putchar('"');
	for (; *s; s++)
		if (*s == '"' || *s == '\\' || (unsigned char)*s < 0x20)
			printf("\\u%04x", (unsigned char)*s);
		else
			putchar(*s);
	putchar('"');
}

static void protect_all(struct sampler *s)
{
	struct cgroups *c = sampler_cgroups(s);
	const struct group_info *g;
	uint64_t ids[16];
	unsigned i, k, n = 0;

	for (k = 0; k < n_protect; k++)
		for (i = 0; i < CGROUPS_MAX; i++) {
			g = cgroups_at(c, i);
			if (g && strcmp(g->path, protect[k]) == 0)
				ids[n++] = g->id;
		}
	sampler_protect(s, ids, n);
}

static void say_snapshot(struct sampler *s)
{
	const struct machine_sample *m = &snapshot.machine;
	unsigned i, k;

	printf("{\"window\":%llu,\"source\":%d,\"pressure\":%d,\"lost\":%u,\"cpu_some\":%d,\"user\":%d,\"system\":%d,\"idle\":%d,\"steal\":%d,"
	       "\"runnable\":%d,\"blocked\":%d,\"forks\":%d,\"tasks\":%d,\"tasks_max\":%d,\"known\":%u,\"changed\":%u,\"gone\":%u,\"groups\":[",
	       (unsigned long long)snapshot.window, snapshot.source, snapshot.pressure, snapshot.lost, m->cpu_some, m->user, m->system,
	       m->idle, m->steal, m->runnable, m->blocked, m->forks, m->tasks, m->tasks_max, cgroups_count(sampler_cgroups(s)), n_changed, n_gone);
	for (i = 0; i < snapshot.n_groups; i++) {
		const struct group_sample *g = &snapshot.groups[i];
		const struct group_info *info = cgroups_find(sampler_cgroups(s), g->id);

		printf("%s{\"id\":%llu,\"path\":", i ? "," : "", (unsigned long long)g->id);
		say_string(info ? info->path : g->id == GROUP_OTHER ? "(other)" : "?");
		printf(",\"name\":");
		say_string(info ? info->name : "");
		printf(",\"run\":%u,\"wait\":%u,\"rt\":%u,\"kthread\":%u,\"forks\":%u,\"psi\":%d,\"throttled\":%d,\"pids\":%d,\"cpus\":[",
		       g->run_us, g->wait_us, g->rt_run_us, g->kthread_run_us, g->forks, g->psi_some_us, g->throttled_us, g->pids);
		for (k = 0; k < g->cpu_n; k++)
			printf("%s[%u,%u,%u]", k ? "," : "", snapshot.cpu[g->cpu_first + k].cpu, snapshot.cpu[g->cpu_first + k].run_us,
			       snapshot.cpu[g->cpu_first + k].wait_us);
		printf("]}");
	}
	printf("]}\n");
	fflush(stdout);
}

static int by_value(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int run_sampler(const struct sampler_config *config, const char *verb, double seconds, usec_t tick)
{
	static uint32_t took[TICKS_MAX];
	usec_t end, before, cpu, next, cpu_all;
	struct sampler *s;
	struct rusage ru;
	unsigned n = 0;
	int r;

	r = sampler_new(config, clock_us(CLOCK_BOOTTIME), &s);
	if (r < 0) {
		fprintf(stderr, "sense: no sampler: %s\n", strerror(-r));
		return 1;
	}
	protect_all(s);
	r = sampler_want(s, SENSE_ALARM | SENSE_PROBE);
	if (r < 0)
		fprintf(stderr, "sense: cannot attach: %s\n", strerror(-r));
	if (!sampler_probed(s))
		tick = MAX(tick, 250 * USEC_PER_MSEC);  /* reading every cpu.stat costs more */
	next = clock_us(CLOCK_BOOTTIME);
	end = next + (usec_t)(seconds * (double)USEC_PER_SEC);
	cpu_all = clock_us(CLOCK_PROCESS_CPUTIME_ID);
	do {
		struct timespec at;

		next += tick;
		at = (struct timespec){ .tv_sec = (time_t)(next / USEC_PER_SEC), .tv_nsec = (long)(next % USEC_PER_SEC * 1000) };
		clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &at, NULL);
		before = clock_us(CLOCK_MONOTONIC);
		cpu = clock_us(CLOCK_THREAD_CPUTIME_ID);
		r = sampler_snapshot(s, clock_us(CLOCK_BOOTTIME), &snapshot);
		cpu = clock_us(CLOCK_THREAD_CPUTIME_ID) - cpu;
		before = clock_us(CLOCK_MONOTONIC) - before;
		if (n < TICKS_MAX)
			took[n++] = (uint32_t)cpu;
		if (strcmp(verb, "watch") == 0)
			say_snapshot(s);
	} while (next < end);
	cpu_all = clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_all;
	if (strcmp(verb, "tick") == 0) {
		getrusage(RUSAGE_SELF, &ru);
		qsort(took, n, sizeof(*took), by_value);
		printf("{\"n\":%u,\"p50\":%u,\"p90\":%u,\"p99\":%u,\"max\":%u,\"cpu_us\":%llu,\"known\":%u,\"sampled\":%u,\"source\":%d,\"maxrss_kib\":%ld}\n",
		       n, took[n / 2], took[n * 9 / 10], took[n * 99 / 100], took[n - 1], (unsigned long long)cpu_all,
		       cgroups_count(sampler_cgroups(s)), snapshot.n_groups, snapshot.source, ru.ru_maxrss);
	}
	sampler_free(s);
	return 0;
}

static int run_missing(const struct sampler_config *config)
{
	const struct missing *m;
	struct sampler *s;
	unsigned i, n;
	int r;

	r = sampler_new(config, clock_us(CLOCK_BOOTTIME), &s);
	if (r < 0) {
		fprintf(stderr, "sense: no sampler: %s\n", strerror(-r));
		return 1;
	}
	n = sampler_missing(s, &m);
	for (i = 0; i < n; i++)
		printf("%s: %s\n  %s\n", m[i].name, m[i].what, m[i].remedy);
	sampler_free(s);
	return 0;
}

static int run_canary(char **argv, int argc)
{
	struct canary_config config = {
		.dir = argv[0], .v1 = strcmp(argv[1], "v1") == 0, .weight = 100,
		.cpu = argc > 3 ? (usec_t)atoi(argv[3]) : CANARY_CPU_DEFAULT,
	};
	int ticks = (int)(atof(argv[2]) * 10), i, r;
	struct canary_sample sample;
	struct canary *c;

	r = canary_new(&config, &c);
	if (r < 0) {
		fprintf(stderr, "sense: no canary: %s\n", strerror(-r));
		return 1;
	}
	for (i = 0; i < ticks; i++) {
		if (i % 5 == 0)
			canary_start(c);
		usleep(100000);
		canary_read(c, &sample);
		if (sample.wall_us >= 0)
			printf("{\"cpu\":%d,\"wall\":%d}\n", sample.cpu_us, sample.wall_us);
	}
	canary_free(c);
	return 0;
}

int main(int argc, char **argv)
{
	struct sampler_config config = { .root = "", .changed = changed, .gone = gone };

	for (argv++, argc--; argc > 0 && strncmp(argv[0], "--", 2) == 0; argv++, argc--) {
		if (strcmp(argv[0], "--no-probe") == 0) {
			config.probe = SAMPLER_PROBE_NEVER;
		} else if (strcmp(argv[0], "--root") == 0 && argc > 1) {
			config.root = *++argv;
			config.probe = SAMPLER_PROBE_NEVER;
			argc--;
		} else if (strcmp(argv[0], "--protect") == 0 && argc > 1 && n_protect < ELEMENTSOF(protect)) {
			protect[n_protect++] = *++argv;
			argc--;
		} else {
			break;
		}
	}
	if (argc == 1 && strcmp(argv[0], "missing") == 0)
		return run_missing(&config);
	if (argc >= 2 && (strcmp(argv[0], "watch") == 0 || strcmp(argv[0], "tick") == 0))
		return run_sampler(&config, argv[0], atof(argv[1]), (argc > 2 ? (usec_t)atoi(argv[2]) : 100) * USEC_PER_MSEC);
	if (argc >= 4 && strcmp(argv[0], "canary") == 0)
		return run_canary(argv + 1, argc - 1);
	fprintf(stderr, "usage: sense [--no-probe] [--root DIR] [--protect PATH]… watch|tick SECONDS [TICK_MS] | missing | canary DIR v1|v2 SECONDS [CPU_US]\n");
	return 64;
}
