/* SPDX-License-Identifier: Apache-2.0 */
/* answers: what the guard tells about itself, as JSON ("schema": 1). The CLI prints
 * it or renders it for people; nothing else formats state. Keys that end in _us are
 * microseconds, times are RFC 3339 in UTC, shares are percent, *_estimate is seconds; null is
 * unknown or does not apply. Lists that do not fit into three quarters of the buffer
 * are cut, and their *_more tells by how much. */
#pragma once

#include "base/json.h"
#include "core/engine.h"

#define ANSWER_SCHEMA    1
#define FACTS_MAX        24     /* beyond: a new one is left out */
#define LIFELINE_MAX     64     /* beyond: the weight is set, and not shown */
#define WHY_LINES_MAX    256    /* beyond: the oldest goes */
#define WHY_TEXT_MAX     512    /* bytes with NUL; a longer line is cut */

/* One thing the machine lets us do, or does not. */
struct fact {
	char what[32];                  /* "bpf probe" */
	bool have;
	char why[192];                  /* what it is like: "attached only under pressure", "EPERM: ..." */
	char remedy[192];               /* what to do; empty where nothing is to be done */
};

/* A lifeline weight that was set: what it changed. */
struct lifeline_row {
	uint64_t group;
	char unit[GROUP_PATH_MAX];
	int32_t before, after;          /* weight on the v2 scale; before -1: unknown yet; after -1: to be put back, not done yet */
	bool by_systemd;
	bool failed;
	uint64_t asked;                 /* id of the newest request to the steward */
};

/* Everything about the guard that the engine does not know. */
struct facts {
	usec_t started, real_offset;    /* of CLOCK_BOOTTIME; CLOCK_REALTIME - CLOCK_BOOTTIME */
	const char *pressure_source, *group_source;
	bool probe_attached;
	uint64_t lost_us;               /* run and wait time since start that the probe had no room to tell apart by cgroup */
	char config_error[256];         /* the newest set that was refused; empty = none */
	uint32_t n_policies;
	uint32_t n_facts, n_lifeline;
	struct fact fact[FACTS_MAX];
	struct lifeline_row lifeline[LIFELINE_MAX];
};

/* CLOCK_REALTIME - CLOCK_BOOTTIME now: the wall clock may be stepped. */
usec_t facts_real_offset(void);

/* Adds or replaces the fact called `what`. */
void facts_set(struct facts *f, const char *what, bool have, const char *why, const char *remedy);
void facts_drop(struct facts *f, const char *what);

/* What came of attaching the probe, 0 or -errno. Is it other news than the last time? */
bool facts_probe(struct facts *f, int error, const char *without);

/* The last lines of "what, why": a ring, oldest first. */
struct why_line {
	usec_t when;                    /* CLOCK_BOOTTIME */
	uint32_t incident;              /* 0: before the first */
	enum why why;
	enum verb verb;
	uint64_t group;
	char text[WHY_TEXT_MAX];        /* escaped */
};

struct why_log {
	uint32_t next, n;
	struct why_line line[WHY_LINES_MAX];
};

void why_log_add(struct why_log *log, usec_t when, uint32_t incident, const struct action *a, const char *text);

void answer_status(struct json *j, const struct engine *e, const struct facts *f);
/* The newest `most` lines; of one incident where it is not 0. */
void answer_why(struct json *j, const struct why_log *log, const struct facts *f, uint32_t most, uint32_t incident);
void answer_error(struct json *j, const char *error, const char *remedy);
void answer_done(struct json *j, const char *text);

/* RFC 3339 in UTC of a CLOCK_BOOTTIME moment. */
const char *answer_time(usec_t boottime, usec_t real_offset, char buf[static 40]);
