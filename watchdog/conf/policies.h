/* SPDX-License-Identifier: Apache-2.0 */
/* policies: configuration files → settings and a policy set, as a transaction.
 *
 * A load reads everything, checks everything and only then hands over; on any error
 * the caller's old set stays untouched and conf_errors() holds what is wrong, of the
 * whole configuration and not just the first. The loader's memory is allocated once
 * (about 700 KiB), not during a load.
 *
 *   reprieve.conf, reprieve.conf.d/<x>.conf       [Relief]
 *   policies/NN-name.policy, NN-name.policy.d/<x>.conf   [Protect X] [Throttle X] [Endpoint X]
 *   in /etc/reprieve, /run/reprieve, /usr/lib/reprieve */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/errors.h"
#include "conf/settings.h"
#include "core/policy.h"

#define CONF_TEXT_MAX (192 * 1024)      /* bytes that conf_format() may need */

struct conf;

struct conf *conf_new(void);                    /* NULL: no memory */
struct conf *conf_free(struct conf *c);         /* NULL is fine; gives NULL */

/* What is in force on this machine. root: put before every path, "" = none. Files that
 * others than root may write are refused where the caller is root. A machine without any
 * file has the built-in settings and no policy.
 * 0; -EINVAL: see conf_errors(). */
int conf_load(struct conf *c, const char *root, struct policy_set *ret_set, struct guard_settings *ret_guard);

/* One directory of policies, or one file, whoever may write it (to check it or replay with
 * it). `settings`: those of the set; NULL = built-in. */
int conf_load_path(struct conf *c, const char *path, const struct settings *settings, struct policy_set *ret_set);

/* A whole set from one text, such as conf_format() writes: [Relief] and policies together.
 * `name` stands for the file in errors. ret_guard may be NULL. */
int conf_text_load(struct conf *c, const char *text, size_t size, const char *name,
		   struct policy_set *ret_set, struct guard_settings *ret_guard);

/* Of the latest load. */
const struct conf_errors *conf_errors(const struct conf *c);
const struct conf_errors *conf_ignored(const struct conf *c);   /* files that count for nothing because of their names: no mistake */
unsigned conf_n_files(const struct conf *c);            /* files read */

/* Every error as conf_error_format() has it, one after the other, with a count of those
 * left out. Returns buf. */
const char *conf_errors_text(const struct conf *c, char *buf, size_t size);
