/* SPDX-License-Identifier: Apache-2.0 */
/* upkeep: what is seldom to be done while the guard runs: be real-time again after a
 * fall back, start the canary again, put back what an earlier guard had left and could
 * not be put back at start. What each has come to is a fact, and in the log. */
#pragma once

#include <stdbool.h>

#include "act/act.h"
#include "ctl/answers.h"
#include "ctl/helpers.h"
#include "sense/canary.h"
#include "sys/loop.h"

#define UPKEEP_EVERY     USEC_PER_SEC
#define UPKEEP_CANARY    (10 * USEC_PER_SEC)    /* between two looks at the canary */
#define UPKEEP_LEFT_OVER (30 * USEC_PER_SEC)    /* between two tries to put back what could not be at start */
#define UPKEEP_ORDINARY  (10 * USEC_PER_SEC)    /* after a fall back from real-time */

struct upkeep {
	struct loop *loop;
	struct facts *facts;
	struct act *act;                /* NULL: none */
	struct canary *canary;          /* NULL: none */
	struct canary_config canary_place;      /* where it stands beside sshd; dir NULL: nowhere */
	int canary_error;               /* of putting it there */
	struct helpers *helpers;
	int rundir_fd;
	bool raised;                    /* with what other people's files allow: not in observe mode */
	struct loop_timer timer;
	enum canary_state canary_state;
	usec_t canary_at, left_over_at, rt_at;  /* when next; USEC_INFINITY: never */
	bool fell_back;                 /* from real-time, and not back yet */
};

/* Makes us real-time, and locks what memory there is by then. What this needs to change
 * outside of our processes (a real-time budget, cgroups of our own for the canary, the
 * helpers and us) it gets where `beyond`, else that is put back: in observe mode. At start,
 * and when the mode changes. */
void upkeep_raise(struct upkeep *u, bool beyond);

/* Removes the empty cgroups of our own that a killed guard has left; so many tries, 20 ms
 * apart, for one that somebody has not quite left yet. No guard need run. */
void upkeep_sweep(unsigned tries);

/* Says what is left over, and begins. After upkeep_raise(). */
void upkeep_start(struct upkeep *u);
