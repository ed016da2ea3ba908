/* SPDX-License-Identifier: Apache-2.0 */
/* triage: what kind of trouble it is, before anybody is squeezed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/action.h"
#include "core/blame.h"

#define TRIAGE_STEAL      1000          /* permyriad of all CPUs, smoothed */
#define TRIAGE_IRQ        2000
#define TRIAGE_MEM_FULL   2000
#define TRIAGE_IO_FULL    4000
#define TRIAGE_MEM_SOME   (2 * TRIAGE_MEM_FULL) /* where every CPU is busy: "full" is then next to nothing, however many wait */
#define TRIAGE_IO_SOME    (2 * TRIAGE_IO_FULL)
#define TRIAGE_BUSY       9000          /* of all CPUs: every CPU is */
#define TRIAGE_BLOCKED    8             /* tasks per CPU that wait for the disk, smoothed */
#define TRIAGE_RT_PART    5000          /* of one CPU, run by real-time tasks of one cgroup */
#define TRIAGE_RT_LASTS   USEC_PER_SEC  /* the kernel's own limit stops them within each second, and starts them again */
#define TRIAGE_PIDS       8000          /* of the task table */
#define TRIAGE_OWN_LIMIT  2000          /* of the window, throttled by its own quota */
#define TRIAGE_SIBLINGS   24            /* dozens: below one parent so many do the same (none far below the average of those that explain most), none above ... */
#define TRIAGE_ONE_PART   1500          /* ... this: a pattern, no service load. A dozen busy containers are a host at work, and get a lower weight at most */
#define TRIAGE_FEW        3             /* up to so many culprits are runaways, more are an overload */
#define TRIAGE_FORKS      500           /* per second, and ten times all the others' */
#define TRIAGE_FORKS_SLOW 100           /* or so many, in a crowd, if each of the processes ... */
#define TRIAGE_FORK_COST  15000         /* ... gets less CPU time than this, µs: on a slow CPU forking itself is slow */
#define TRIAGE_CROWD      8             /* runnable tasks per CPU; with a pattern it is no service load ... */
#define TRIAGE_STORM      2000          /* ... forks per second, where forks are the pattern */
#define TRIAGE_SMOOTH     8             /* windows */

enum pattern { PATTERN_NONE, PATTERN_SIBLINGS, PATTERN_FORKS };

/* What no squeeze helps against, each found or not by itself. One may decide; the others are reported beside it. */
enum finding {
	FOUND_OWN_LIMIT, FOUND_PIDS, FOUND_STEAL, FOUND_IRQ, FOUND_SCHED_EXT, FOUND_MEMORY, FOUND_IO, FOUND_MEMORY_SOME, FOUND_IO_SOME,
	FOUND_TASKS, FOUND_KERNEL, FOUND_REALTIME,
	_FOUND_MAX
};

struct found {
	permyriad_t measured, limit;    /* of FOUND_TASKS: tasks */
	uint64_t group;                 /* whom it is about; GROUP_NONE */
};

/* What the machine's own figures say of each finding; -1: not known, or they say nothing of it. */
struct triage_levels {
	permyriad_t of[_FOUND_MAX];     /* FOUND_TASKS: of the number of CPUs */
	uint16_t ncpu;
	bool psi;                       /* the kernel tells pressure of memory or io */
};

/* What is carried from window to window; zero is where it starts. */
struct triage_memory {
	struct triage_levels level;     /* smoothed, but for FOUND_PIDS, which is a level */
	uint64_t rt_group;              /* who ran at real-time priority, how much, and for how long that counts */
	permyriad_t rt_run;
	usec_t rt_left;
};

struct triage {
	enum cause cause;               /* the one that decides */
	permyriad_t measured, limit;    /* its evidence */
	uint64_t group;                 /* whom it is about; GROUP_NONE */
	enum pattern pattern;
	uint32_t all;                   /* bit set of 1 << finding, whichever decides; their evidence: */
	struct found found[_FOUND_MAX];
	uint32_t forks;                 /* per second, of them */
	uint32_t n_set;                 /* suspects[] that explain BLAME_SET_PART of the touchable blame */
};

bool triage_many(const struct snapshot *s);     /* a crowd of runnable tasks */

void triage_levels(const struct snapshot *s, struct triage_levels *ret);
void triage_watch(struct triage_memory *m, const struct snapshot *s);   /* once for each window */
/* The first that is trouble, though no CPU may be short, from 1 / part of its limit on; _FOUND_MAX: none. */
enum finding triage_alarming(const struct triage_levels *l, permyriad_t part);
struct found triage_found(const struct triage_levels *l, enum finding f);

/* Small amounts of waiting are harm already: a pattern and a crowd of runnable tasks. */
bool triage_crowd(const struct snapshot *s, const struct harm *h, const struct groups *g);

/* Of the window that was watched. over: the level from which on harm counts (the lowest of any policy). */
void triage_decide(struct triage_memory *m, const struct snapshot *s, const struct harm *h, const struct groups *g,
		   permyriad_t over, struct triage *ret);

/* Does this cause allow to squeeze? */
bool triage_squeezes(enum cause cause);

enum cause triage_cause(enum finding f);
const char *triage_measure(enum finding f);     /* what was measured, in words */
