/* SPDX-License-Identifier: Apache-2.0 */
/* golden: the flight records of tests/replay
 *
 * Short incidents on a small machine, one for each thing that the engine has to
 * know how to do. Written once, read in review (NAME.story is what people see of
 * NAME.trace), replayed forever: a change of the engine that changes a decision
 * shows up as a difference there, and is made anew with tests/replay/run --update
 * when it is meant. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define SEC USEC_PER_SEC

static void operator_order(struct sim *s, enum operator_verb verb, usec_t until, const char *reason)
{
	struct event e = { .type = EVENT_OPERATOR, .order = { .verb = verb, .until = until } };

	(void) snprintf(e.order.reason, sizeof(e.order.reason), "%s", reason);
	sim_step(s, &e);
}

static int first_squeezed(const struct sim *s)
{
	for (int i = 0; i < s->m.n_nodes; i++)
		if (sim_squeezed(s, i))
			return i;
	return -1;
}

static void then_pause(struct sim *s, usec_t t)
{
	if (t == 4)
		operator_order(s, OPERATOR_PAUSE, s->now + 4 * SEC, "deploy \x1b[2J of the shop");
}

static void then_release(struct sim *s, usec_t t)
{
	if (t == 4)
		operator_order(s, OPERATOR_RELEASE_ALL, 0, "");
}

static void then_journal(struct sim *s, usec_t t)
{
	if (t == 4)
		sim_step(s, &(struct event) { .type = EVENT_JOURNAL_LOST });
}

/* Somebody takes the quota away again and again: insisted on five times, then yielded. */
static void then_drift(struct sim *s, usec_t t)
{
	int i = first_squeezed(s);
	struct event e = { .type = EVENT_DRIFT };

	if (t < 4 || i < 0 || s->m.nodes[i].quota == s->m.nodes[i].quota0)
		return;
	s->m.nodes[i].quota = s->m.nodes[i].quota0;
	s->m.nodes[i].period = s->m.nodes[i].period0;
	e.drift = (struct drift) { .group = s->m.nodes[i].info.id, .knob = VERB_QUOTA, .original = true };
	sim_step(s, &e);
}

static void then_vanish(struct sim *s, usec_t t)
{
	if (t == 4 && first_squeezed(s) > 0) {
		int i = first_squeezed(s);
		uint64_t id = s->m.nodes[i].info.id;

		machine_remove_node(&s->m, i);
		s->told_id[i] = 0;
		sim_step(s, &(struct event) { .type = EVENT_GROUP_GONE, .gone = id });
	}
}

static void then_sleep(struct sim *s, usec_t t)
{
	if (t == 4) {
		s->now += 3600 * SEC;
		s->m.last = s->now - SEC / 10;
		s->next_tick = s->now;
	}
}

static const struct {
	const char *name, *says;
	enum episode_kind kind;
	enum mode mode;
	unsigned lasts, seconds;        /* the load's, the record's */
	void (*then)(struct sim *, usec_t second);      /* NULL: nothing; called each second from the onset on */
	bool fails;                     /* each write fails */
} goldens[] = {
	{ "siblings-enforce", "thirty sibling cgroups of hogs; relieved, held, given back when they end", EPISODE_SIBLINGS, MODE_ENFORCE, 8, 24, NULL, false },
	{ "siblings-rescue", "the same in rescue mode: it waits until the way in was dead for a while", EPISODE_SIBLINGS, MODE_RESCUE, 9, 24, NULL, false },
	{ "siblings-observe", "the same in observe mode: it says what it would do", EPISODE_SIBLINGS, MODE_OBSERVE, 5, 14, NULL, false },
	{ "inside-ssh", "hogs inside sshd's own cgroup: the worst tasks go to SCHED_IDLE", EPISODE_INSIDE, MODE_ENFORCE, 8, 22, NULL, false },
	{ "api-wild", "what answers the health check runs wild", EPISODE_API_WILD, MODE_ENFORCE, 8, 22, NULL, false },
	{ "realtime", "a SCHED_FIFO hog is made ordinary, and put back", EPISODE_REALTIME, MODE_ENFORCE, 6, 20, NULL, false },
	{ "peak", "an API and its database at their peak: left alone", EPISODE_PEAK, MODE_ENFORCE, 6, 16, NULL, false },
	{ "steal", "the host takes the CPU away: said, nothing squeezed", EPISODE_STEAL, MODE_ENFORCE, 5, 14, NULL, false },
	{ "own-limit", "the API is throttled by its own limit: said, nothing squeezed", EPISODE_OWN_LIMIT, MODE_ENFORCE, 5, 14, NULL, false },
	{ "pause", "a person pauses in mid-squeeze: everything is put back; it goes on afterwards", EPISODE_SIBLINGS, MODE_ENFORCE, 14, 20, then_pause, false },
	{ "release-all", "a person releases everything: it stays so", EPISODE_SIBLINGS, MODE_ENFORCE, 10, 22, then_release, false },
	{ "drift", "another writer takes a quota away each second: insisted on, then yielded", EPISODE_SIBLINGS, MODE_ENFORCE, 14, 20, then_drift, false },
	{ "vanish", "a squeezed cgroup vanishes", EPISODE_SIBLINGS, MODE_ENFORCE, 8, 20, then_vanish, false },
	{ "suspend", "the machine sleeps for an hour in mid-squeeze", EPISODE_SIBLINGS, MODE_ENFORCE, 3700, 12, then_sleep, false },
	{ "writes-fail", "no write succeeds: said, tried otherwise, given up", EPISODE_SIBLINGS, MODE_ENFORCE, 8, 22, NULL, true },
	{ "journal-lost", "the undo journal is lost in mid-squeeze: everything is put back, and stays so", EPISODE_SIBLINGS, MODE_ENFORCE, 10, 22, then_journal, false },
	{ "blocked", "the disk hangs and no CPU is busy: a wide look in calm sees it; said, nothing squeezed", EPISODE_BLOCKED, MODE_ENFORCE, 9, 26, NULL, false },
};

static struct sim *small_machine(size_t i, struct trace_out *out)
{
	struct sim *s = sim_new(40 + i, 2);
	usec_t onset = s->start + SEC;

	s->m.few_siblings = goldens[i].mode == MODE_RESCUE ? 36 : 30;
	s->m.source = GROUP_SOURCE_BPF;
	for (int n = s->m.n_nodes - 1; n > 0; n--) {
		struct node *x = &s->m.nodes[n];

		x->ctl = x->children_ctl = true;
		x->info.flags |= GROUP_CAN_WEIGHT | GROUP_CAN_QUOTA | GROUP_CAN_IDLE;
		if (x->alive && strstr(x->info.path, "/docker-"))
			machine_remove_node(&s->m, n);
	}
	s->m.sets[s->m.api_set].piece = 60000;
	for (int p = 0; p < s->set.n_policies; p++)
		s->set.policies[p].weight = -1;
	s->set.settings.mode = goldens[i].mode;
	s->set.settings.rescue_for = 3 * SEC;
	s->set.settings.alarm_tick = 200 * USEC_PER_MSEC;
	s->faults_on = goldens[i].fails;
	s->faults.write_fails = 10000;
	load_add(&s->load, goldens[i].kind, onset, onset + goldens[i].lasts * SEC);
	s->record = out;
	return s;
}

static int write_one(const char *dir, size_t i)
{
	static char buf[1 << 16];
	struct memory m = { 0 };
	struct trace_out out = { .buf = buf, .size = sizeof(buf), .flush = memory_grow, .userdata = &m };
	struct sim *s = small_machine(i, &out);
	char path[512];
	FILE *f;
	int bad;

	sim_begin(s);
	s->next_fault = USEC_INFINITY;
	out.len += (size_t) snprintf(out.buf + out.len, out.size - out.len, "# %.200s\n", goldens[i].says);
	for (unsigned t = 1; t <= goldens[i].seconds; t++) {
		sim_run(s, s->start + t * SEC);
		if (goldens[i].then && t > 1)
			goldens[i].then(s, t - 1);
	}
	(void) memory_grow(&out);
	if (s->check.failed[0]) {
		fprintf(stderr, "golden %s: %s\n", goldens[i].name, s->check.failed);
		(void) sim_free(s);
		free(m.buf);
		return 1;
	}
	(void) snprintf(path, sizeof(path), "%.400s/%s.trace", dir, goldens[i].name);
	f = fopen(path, "we");
	bad = !f || fwrite(m.buf, 1, m.n, f) != m.n;
	if ((f && fclose(f) != 0) || bad) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		bad = 1;
	}
	(void) sim_free(s);
	free(m.buf);
	return bad;
}

int golden_write(const char *dir)
{
	int bad = 0;

	for (size_t i = 0; i < ELEMENTSOF(goldens); i++)
		bad |= write_one(dir, i);
	return bad;
}
