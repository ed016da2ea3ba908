/* SPDX-License-Identifier: Apache-2.0 */
/* client: asks the guard over its control socket. See ctl/socket.h for what is said. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "ctl/socket.h"

#define CLIENT_SCHEMA 1

/* 0 with the parsed answer (caller: json_object_put), which client_understands();
 * -ENOENT, -ECONNREFUSED: no guard there; -EACCES; -ETIMEDOUT; -EPROTO: nothing we know. */
int client_ask(const char *rundir, const char *request, struct json_object **ret);

/* Has the answer to this request all that is shown of it, of the right types? Or a
 * sound error. May be any JSON, also NULL. */
bool client_understands(const char *request, struct json_object *answer);

/* What a negative code of client_ask means and what to do, one sentence. */
const char *client_explain(int r);
