/* SPDX-License-Identifier: Apache-2.0 */
/* client: asks the guard over its control socket.
 See ctl/socket.h for what is said. */
#pragma once

#include <json-c/json.h>

#include "ctl/socket.h"


/* 0 with the parsed answer (caller: json_object_put) and its text inside;
 * -ENOENT, -ECONNREFUSED: no guard there; -EACCES; -ETIMEDOUT; -EPROTO: not JSON. */
int client_ask(const char *rundir, const char *request, struct json_object **ret);

/* What a negative code of client_ask means and what to do, one sentence. */
const char *client_explain(int r);
