/* SPDX-License-Identifier: Apache-2.0 */
/* format: configuration as text again. */
#pragma once

#include <stddef.h>

#include "conf/policies.h"

/* The canonical text of a set: every value written out, in the key table's order. Reading
 * it with conf_text_load() gives the same set (but for policy.source, which names the text)
 * and settings. guard NULL: its keys are left out. 0; -ENOBUFS (CONF_TEXT_MAX is enough). */
int conf_format(const struct policy_set *set, const struct guard_settings *guard, char *buf, size_t size);

/* What the latest good load of `c` merged, each value with a comment that says from which
 * file and line it came, or "default". `name`: one section ("batch") or one file
 * ("50-shop.policy" or "50-shop", "reprieve.conf"); NULL = all. It can be read again as a policy.
 * 0; -ENOENT: no such name; -ENOBUFS. */
int conf_cat(const struct conf *c, const char *name, char *buf, size_t size);
