/* SPDX-License-Identifier: Apache-2.0 */
/* complain: what went wrong and what to do: a line on stderr for people, or an object
 * on stdout, of the shape that the guard's errors have. */
#pragma once

#include <stdbool.h>

/* remedy may be NULL. Returns the code, to be returned in turn. */
int complain(bool json, int code, const char *error, const char *remedy);
