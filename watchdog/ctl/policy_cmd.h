/* SPDX-License-Identifier: Apache-2.0 */
/* policy_cmd: `reprieve policy check | cat | keys`, offline. */
#pragma once

#include <stdbool.h>

/* root: where /etc, /run and /usr/lib are looked for ("" = this machine).
 * Returns the exit code: 0 good, 1 good with nothing to do, 78 refused. */
int policy_check(const char *root, bool json);
int policy_cat(const char *root, const char *name, bool json);
int policy_keys(bool json);
