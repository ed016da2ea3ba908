/* SPDX-License-Identifier: Apache-2.0 */
/* closely: what is read of a few cgroups beyond the probe's figures: pressure and
 * throttling of the protected ones, pids of those that fork. Files stay open. */
#pragma once

#include <stdint.h>

#include "core/snapshot.h"
#include "sense/cgroups.h"

#define CLOSELY_MAX     64      /* protected cgroups; beyond: not read */
#define CLOSELY_FORKERS 4       /* cgroups whose pids are read in one tick, by forks; and one more in turn */
#define CLOSELY_FORKS   3       /* forks in a window that make one */

struct closely;

struct closely *closely_new(struct cgroups *c);         /* NULL: no memory */
struct closely *closely_free(struct closely *w);

void closely_protect(struct closely *w, const uint64_t *ids, unsigned n);
unsigned closely_count(const struct closely *w);
uint64_t closely_id(const struct closely *w, unsigned i);

void closely_prime(struct closely *w);                  /* growth counts from now */
/* Sets psi_some_us, throttled_us and pids in the samples of s (n_groups, ascending). */
void closely_read(struct closely *w, struct snapshot *s);
