/* SPDX-License-Identifier: Apache-2.0 */
/* remind: the engine knows fewer cgroups than the sensors, and forgets who was idle
 * longest. Who runs again has to be told again, or could never be squeezed. */
#pragma once

#include "core/engine.h"
#include "sense/cgroups.h"

#define REMIND_MOST  6          /* told in one tick, the busiest first: 20 µs each, and the policies */
#define REMIND_LEAST 200        /* who ran less than this part of the window harms nobody: a thousand idle ones would only push each other out */

/* Calls tell for sampled cgroups that the engine does not know, and for what it does not
 * know above them, parents first. Returns how many of them (cgroups) were not taken:
 * there is no room. Beyond REMIND_MOST the less busy wait for a later tick, for as long
 * as they run; of a chain, what is above 64 levels is left out. */
unsigned remind(const struct engine *e, const struct cgroups *c, const struct snapshot *s, cgroups_changed_t tell, void *userdata);
