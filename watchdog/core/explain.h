/* SPDX-License-Identifier: Apache-2.0 */
/* explain: an action → one line for people, as in the log, in `why` and in golden
 * traces. Names from the machine are escaped; the line has no newline.
 *
 *   cpu wait of ssh.service 97.31% > 75.00% for 100ms (30-throttle/everything-else)
 *     -> quota, together 25.00% of the machine on 64 cgroups under /system.slice; next: b 3%, c 1%; for at most 30min */
#pragma once

#include <stddef.h>

#include "core/engine.h"

#define EXPLAIN_MAX 1024

/* Writes at most size bytes with NUL and returns buf. Any action; those of VERB_REPORT
 * are the ones worth a log line. */
const char *explain_action(const struct engine *e, const struct action *a, char *buf, size_t size);

/* A group as people know it: its name, or its path, escaped; "the canary", "cgroup 123". */
const char *explain_group(const struct engine *e, uint64_t group, char *buf, size_t size);

/* What to do about a cause that no squeeze helps against; "" where there is nothing to say. */
const char *explain_remedy(enum cause cause);
