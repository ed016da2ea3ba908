/* SPDX-License-Identifier: Apache-2.0 */
/* socket: what both ends of the control sockets agree on: one for everybody, and one for
 * root alone, so that no crowd at the other keeps root from `release --all`. One request is one line
 * ("status", "why 20 0", "release /path", "pause 7200000000 text", ...), one answer is
 * one JSON object; the guard then closes. */
#pragma once

#define CONTROL_SOCKET      "control.sock"
#define CONTROL_SOCKET_ROOT "control-root.sock"
#define CONTROL_REQUEST_MAX 1024
#define CONTROL_ANSWER_MAX  (256 * 1024)
