/* SPDX-License-Identifier: Apache-2.0 */
/* lifeline: CPUWeight= of systemd units, at runtime, through D-Bus; the only file
 * that speaks it. systemd then keeps the cpu controller on for the whole slice and
 * does not wipe the value. The original of each unit is in LIFELINE_FILE of the run
 * directory before it is changed, so that any later process can put it back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/units.h"

#define LIFELINE_FILE      "lifeline"
#define LIFELINE_UNITS_MAX 64                   /* changed at once; beyond: -ENOSPC */
#define LIFELINE_TIMEOUT   (2 * USEC_PER_SEC)   /* of one call; beyond: -ETIMEDOUT */
#define LIFELINE_UNSET     (-1)                 /* no CPUWeight= is set */

struct lifeline;

/* rundir: a directory fd, kept by reference. address: a D-Bus address; control: where
 * runtime properties leave files, by reference; NULL: systemd's own. Nothing is connected yet. Reads LIFELINE_FILE. 0; -EBADMSG: that file is not ours. */
int lifeline_new(int rundir, const char *address, const char *control, struct lifeline **ret);
struct lifeline *lifeline_free(struct lifeline *l);     /* puts nothing back */

/* weight 1..10000. before: what was in force when first changed. -EOPNOTSUPP: systemd is not
 * PID 1; -ENOENT: no such unit, or one without CPU weight; -EINVAL: no unit's name. */
int lifeline_set(struct lifeline *l, const char *unit, int32_t weight, int32_t *ret_before, int32_t *ret_after);

/* -ENOENT: nothing was changed there. A unit that is gone counts as put back; a weight
 * that is neither ours nor the original is left, and is in *ret_now. A file of systemd's
 * that cannot be removed is a failure, and stays in the record as unclaimed. */
int lifeline_undo(struct lifeline *l, const char *unit, int32_t *ret_now);
int lifeline_undo_all(struct lifeline *l);              /* goes on after a failure; the first one */
int lifeline_undo_unclaimed(struct lifeline *l);        /* the same for those of the record that were not set again */
unsigned lifeline_count(const struct lifeline *l);

/* One line of LIFELINE_FILE after the unit's name, see lifeline.c. */
struct lifeline_record {
	int32_t before, dropin, ours, previous;
};

/* Pure, for the tests. 0 or -EBADMSG; is `weight` all that this drop-in sets? */
int lifeline_parse_line(const char *line, char *unit, size_t size, struct lifeline_record *ret);
bool lifeline_wrote(const char *text, int32_t weight);
