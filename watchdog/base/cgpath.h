/* SPDX-License-Identifier: Apache-2.0 */
/* cgpath: where a task is, from the text of its /proc/PID/cgroup. */
#pragma once

#include <stddef.h>

/* The path in the hierarchy of `controller`, "" for v2. -ENOENT: it is not there,
 * -ENAMETOOLONG, -EINVAL: that is no path. */
int cgpath_of(const char *text, const char *controller, char *buf, size_t size);
