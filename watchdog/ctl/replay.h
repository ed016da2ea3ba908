/* SPDX-License-Identifier: Apache-2.0 */
/* replay: runs the engine over a flight record again.
 *
 * With the record's own policies it must reach the same actions; the first one that
 * differs is told. With other policies it tells what they would have decided; what
 * the machine would have done then is not known, so from the first other squeeze on
 * the record is only what was seen without it. Nothing of this machine is touched. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/engine.h"
#include "core/trace.h"

struct replay;

struct replay_result {
	uint64_t events, actions;       /* since begin */
	usec_t lasted;
	bool begun, same;
	bool cut;                       /* it ends in mid-incident: in mid-line, before all of an item, or before the incident was over */
	uint32_t line;                  /* where it differs, or is malformed; 0 = nowhere */
	char what[1024];                /* one line of it */
};

/* policies NULL: those of the record; else its settings stay the record's. line: called with each decision, for people;
 * at: since begin. NULL: not wanted. NULL without memory. */
struct replay *replay_new(const struct policy_set *policies,
			  void (*line)(void *userdata, usec_t at, const struct action *a, const char *text), void *userdata);
struct replay *replay_free(struct replay *r);

/* One line of the record. 0: go on; 1: the actions differ, -EINVAL: malformed or its
 * policies are refused, see replay_end(). */
int replay_line(struct replay *r, const char *line, size_t n);
void replay_end(struct replay *r, struct replay_result *ret);

/* A whole file: 0, 1, -EINVAL as above. */
int replay_file(struct replay *r, FILE *f, struct replay_result *ret);

/* `reprieve replay FILE [--policy DIR] [--verbose] [--json]`; policy: a directory or file, or
 * NULL; verbose: tells the decisions also where they are the record's own. The exit code. */
int replay_command(const char *file, const char *policy, bool verbose, bool json);
