/* SPDX-License-Identifier: Apache-2.0 */
/* render: the guard's JSON answers as text for people. Everything that came from the
 * machine is escaped here. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

enum colour { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };

/* Colour on a terminal unless NO_COLOR is set and not empty. */
bool render_use_colour(enum colour wanted, FILE *out);

void render_status(FILE *out, struct json_object *status, bool colour);
void render_why(FILE *out, struct json_object *why, bool colour);
