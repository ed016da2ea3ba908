/* SPDX-License-Identifier: Apache-2.0 */
/* lifelines: the driver's part that gives weights beforehand and keeps the rows that
 * `reprieve status` shows of it. */
#pragma once

#include "ctl/driver.h"

/* True: *ret is filled; false: the steward answers. */
bool lifelines_carry(struct driver *d, const struct action *a, const struct group_info *g, struct result *ret);
void lifelines_answered(struct driver *d, uint64_t asked, int error);     /* 0 or -errno */
void lifelines_own(struct driver *d);           /* our own units, as the mode has it */
void lifelines_again(struct driver *d);         /* a new steward: all rows, and our own */
void lifelines_gone(struct driver *d, uint64_t group);
