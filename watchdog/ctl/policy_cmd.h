/* SPDX-License-Identifier: Apache-2.0 */
/* policy_cmd: `reprieve policy check | cat | keys`, offline. */
#pragma once

#include <stdbool.h>

#include "conf/policies.h"

/* root: where /etc, /run and /usr/lib are looked for ("" = this machine).
 * Returns the exit code: 0 good, 1 good with nothing to do, 78 refused. */
int policy_check(const char *root, bool json);
int policy_cat(const char *root, const char *name, bool json);
int policy_keys(bool json);
int policy_unknown(const char *word, bool json);        /* none of these: 64 */

/* Prints what a load that failed found wrong, and what follows from that. 78. */
int policy_refuse(struct conf *c, const char *consequence, bool json);
