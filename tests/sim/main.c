/* SPDX-License-Identifier: Apache-2.0 */
/* sim: the driver
 *
 *   sim --seeds N [--seed S] [--hours H] [--dense | --life] [--verbose]   random machines
 *   sim --stories [NAME]                                        named outcomes and found seeds, as TAP
 *   sim --smoke                                                 both, for a few seconds, as TAP
 *   sim --trace FILE --seed S ...                               writes the flight record of a seed
 *   sim --golden DIR                                            writes the records of tests/replay
 *
 * --seeds from the first seed on tells the stories first. --life mixes calm and alarm as in life, --dense has an episode every few minutes (see
 * load.c); without either, every other seed is dense. Every 8th of both is run twice
 * and must do the same, and its record must replay to the same actions, and so must
 * those that the guard's own recorder makes of it. */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conf/format.h"
#include "ctl/recorder.h"
#include "ctl/replay.h"
#include "sim.h"

struct totals {
	double hours, seconds, untimed;
	uint64_t ticks, alarm, actions, squeezes;
	unsigned runs, failed, replayed;
};

/* Collects a whole record in memory; conf's text of the policies comes first. */
int memory_grow(struct trace_out *out)
{
	struct memory *m = out->userdata;

	if (m->size - m->n < out->len) {
		m->size = (m->size + out->len) * 2;
		m->buf = realloc(m->buf, m->size);
		if (!m->buf)
			abort();
	}
	memcpy(m->buf + m->n, out->buf, out->len);
	m->n += out->len;
	out->len = 0;
	return 0;
}

static int replay_memory(const struct memory *m, struct replay_result *ret)
{
	struct replay *r = replay_new(NULL, NULL, NULL);
	int k = 0;

	for (size_t at = 0; k == 0 && at < m->n;) {
		const char *nl = memchr(m->buf + at, '\n', m->n - at);
		size_t n = nl ? (size_t) (nl - m->buf) + 1 - at : m->n - at;

		k = replay_line(r, m->buf + at, n);
		at += n;
	}
	replay_end(r, ret);
	(void) replay_free(r);
	return k;
}

/* The guard's own recorder over the same run: each record it kept begins in mid-life, at a
 * calm moment, and must replay as well. */
static void check_recorder(uint64_t seed, double hours, bool dense, char failed[static 400])
{
	char dir[] = "/tmp/reprieve-sim-XXXXXX", path[64];
	struct sim *s = sim_new(seed, 0);
	int fd;

	if (!mkdtemp(dir) || (fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 || recorder_new(&s->recorder, fd, 1 << 28) < 0)
		abort();
	sim_random(s, hours, dense);
	sim_run(s, s->end);
	s->recorder = recorder_free(s->recorder);
	for (unsigned i = 1; i < 1000; i++) {
		struct replay_result result;
		struct replay *r;
		FILE *f;

		(void) snprintf(path, sizeof(path), "%s/flight-%u.trace", dir, i);
		if (!(f = fopen(path, "re")))
			continue;
		r = replay_new(NULL, NULL, NULL);
		if (!failed[0] && replay_file(r, f, &result) != 0)
			(void) snprintf(failed, 400, "flight-%u.trace does not replay: line %u: %.300s", i, result.line, result.what);
		(void) replay_free(r);
		(void) fclose(f);
		if (failed[0])
			return;                 /* kept, to be looked at */
		(void) unlink(path);
	}
	(void) close(fd);
	(void) rmdir(dir);
	(void) sim_free(s);
}

static uint64_t run_seed(uint64_t seed, double hours, bool dense, FILE *log, struct memory *record, struct totals *t, char failed[static 400])
{
	static char buf[1 << 16];
	struct trace_out out = { .buf = buf, .size = sizeof(buf), .flush = memory_grow, .userdata = record };
	struct sim *s = sim_new(seed, 0);
	uint64_t hash;

	s->log = log;
	if (record) {
		record->n = 0;
		s->record = &out;
	}
	sim_random(s, hours, dense);
	sim_run(s, s->end);
	if (record && out.len)
		(void) memory_grow(&out);
	memcpy(failed, s->check.failed, 400);
	if (failed[0]) {
		size_t n = strlen(failed);

		(void) snprintf(failed + n, 400 - n, " (at %.3f s, mode %s)", (double) (s->now - s->start) / 1e6, mode_to_string(s->set.settings.mode));
	}
	hash = s->hash;
	t->hours += (double) (s->now - s->start) / 3600e6;
	t->ticks += s->ticks;
	t->alarm += s->alarm_ticks;
	t->actions += s->n_actions;
	t->squeezes += s->n_squeezes;
	t->runs++;
	(void) sim_free(s);
	return hash;
}

static void last_lines(const char *log, size_t n, unsigned lines)
{
	const char *p = log + n;

	while (p > log && lines > 0)
		if (*--p == '\n')
			lines--;
	(void) fputs(p > log ? p + 1 : p, stdout);
}

static bool one(uint64_t seed, double hours, bool dense, bool twice, bool quiet, struct totals *t)
{
	static struct memory record;
	char failed[400], again[400];
	uint64_t hash = run_seed(seed, hours, dense, NULL, twice ? &record : NULL, t, failed);

	if (!failed[0] && twice) {
		struct replay_result result;
		struct totals none = { 0 };

		if (run_seed(seed, hours, dense, NULL, NULL, &none, again) != hash)
			(void) snprintf(failed, sizeof(failed), "a second run of the same seed did something else");
		else if (replay_memory(&record, &result) != 0)
			(void) snprintf(failed, sizeof(failed), "its record does not replay: line %u: %.300s", result.line, result.what);
		if (!failed[0])
			check_recorder(seed, hours, dense, failed);
		t->replayed++;
	}
	if (!failed[0])
		return true;
	t->failed++;
	printf("%sseed %lu: %s\n", quiet ? "# " : "", (unsigned long) seed, failed);
	if (!quiet) {
		char *text = NULL;
		size_t n = 0;
		FILE *f = open_memstream(&text, &n);
		struct totals none = { 0 };

		(void) run_seed(seed, hours, dense, f, NULL, &none, again);
		(void) fclose(f);
		last_lines(text, n, 24);
		free(text);
		printf("  again: build/tests/sim --seed %lu --seeds 1 --hours %g%s --verbose\n", (unsigned long) seed, hours, dense ? " --dense" : "");
	}
	return false;
}

static double now_cpu(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static int smoke(void)
{
	struct totals t = { 0 };
	double from = now_cpu();
	int bad = stories_run(NULL, true, false);

	for (uint64_t seed = 1; seed <= 10; seed++)
		if (!one(seed, 0.5, true, seed % 8 == 0, true, &t))
			bad++;
	printf("%sok - %u random half hours with faults, %u run twice and replayed\n", t.failed ? "not " : "", t.runs, t.replayed);
	printf("# %.1f s of CPU time\n", now_cpu() - from);
	return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seeds", required_argument, NULL, 'n' }, { "seed", required_argument, NULL, 's' }, { "hours", required_argument, NULL, 'h' },
		{ "dense", no_argument, NULL, 'd' }, { "life", no_argument, NULL, 'l' }, { "verbose", no_argument, NULL, 'v' }, { "stories", optional_argument, NULL, 'S' },
		{ "smoke", no_argument, NULL, 'k' }, { "trace", required_argument, NULL, 't' }, { "golden", required_argument, NULL, 'g' }, { 0 }
	};
	uint64_t seeds = 100, seed = 1;
	double hours = 0;
	bool dense = false, life = false, verbose = false;
	const char *trace = NULL;
	struct totals t = { 0 }, l = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (c) {
		case 'n': seeds = strtoull(optarg, NULL, 0); break;
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 'h': hours = strtod(optarg, NULL); break;
		case 'd': dense = true; break;
		case 'l': life = true; break;
		case 'v': verbose = true; break;
		case 't': trace = optarg; break;
		case 'S': return stories_run(optarg ? optarg : argv[optind], false, true) ? 1 : 0;
		case 'k': return smoke();
		case 'g': return golden_write(optarg);
		default: fprintf(stderr, "sim --seeds N [--seed S] [--hours H] [--dense] [--verbose] [--trace FILE] | --stories [NAME] | --smoke\n"); return 64;
		}
	if (trace || verbose) {
		struct memory record = { 0 };
		char failed[400];
		FILE *f;

		(void) run_seed(seed, hours > 0 ? hours : dense ? 2 : 24, dense, verbose ? stdout : NULL, trace ? &record : NULL, &t, failed);
		if (failed[0])
			printf("seed %lu: %s\n", (unsigned long) seed, failed);
		if (trace) {
			f = fopen(trace, "we");
			if (!f || fwrite(record.buf, 1, record.n, f) != record.n || fclose(f) != 0) {
				perror(trace);
				return 1;
			}
			free(record.buf);
		}
		return failed[0] ? 1 : 0;
	}
	if (!dense && !life && seed == 1)
		t.failed += (unsigned) stories_run(NULL, false, false);
	for (uint64_t i = 0; i < seeds; i++) {
		bool d = dense || (!life && i % 2);
		bool twice = i % 16 < 2 && !life;
		double at = now_cpu();

		(void) one(seed + i, hours > 0 ? hours : d ? 2 : 24, d, twice, false, d ? &t : &l);
		if (twice)                      /* the second run and the replays are not what is timed */
			l.untimed += d ? 0 : hours > 0 ? hours : 24;
		else
			*(d ? &t.seconds : &l.seconds) += now_cpu() - at;
	}
	if (l.runs)
		printf("as in life: %u runs, %.0f machine-hours, %.3f%% of the ticks in alarm: %.0f simulated machine-hours per minute of one core\n",
		       l.runs, l.hours, 100.0 * (double) l.alarm / (double) l.ticks, (l.hours - l.untimed) / l.seconds * 60);
	t.runs += l.runs, t.failed += l.failed, t.hours += l.hours, t.ticks += l.ticks, t.alarm += l.alarm;
	t.actions += l.actions, t.squeezes += l.squeezes, t.replayed += l.replayed;
	printf("%u runs, %.0f machine-hours, %lu ticks (%lu in alarm), %lu actions (%lu squeezes), %u run twice and replayed\n", t.runs, t.hours,
	       (unsigned long) t.ticks, (unsigned long) t.alarm, (unsigned long) t.actions, (unsigned long) t.squeezes, t.replayed);
	printf("%u passed, %u failed\n", t.runs - t.failed, t.failed);
	return t.failed ? 1 : 0;
}
