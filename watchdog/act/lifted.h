/* SPDX-License-Identifier: Apache-2.0 */
/* lifted: a guard that starts is told that squeezes were put back just before.
 *
 * Whoever restores the journal (the guard that stops, systemd after one that died, the one that
 * starts) leaves the time in RUNDIR/lifted. It is a hint: what cannot be written or read, or
 * is of another boot, counts as nothing. */
#pragma once

#include <stdbool.h>

#include "base/units.h"

/* Is rescue in force from now on? Only what rescue had squeezed is noted: a guard in enforce
 * had not seen the way in dead for long. */
void lifted_mode(const char *rundir, bool rescue);

/* Now, CLOCK_BOOTTIME; nothing where rescue was not in force. */
void lifted_note(const char *rundir);
void lifted_forget(const char *rundir);         /* a person put everything back, and meant it */

/* Was that at most `age` before now? */
bool lifted_within(const char *rundir, usec_t age);
