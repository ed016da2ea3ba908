/* SPDX-License-Identifier: Apache-2.0 */
/* listen: which of some tasks answer on a port: those of processes that hold a TCP socket
 * in state LISTEN on it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/action.h"

#define LISTEN_INODES_MAX 16    /* sockets that listen on the ports; beyond: not looked for */
#define LISTEN_FDS_MAX    8192  /* descriptors looked at in one call, of all processes; beyond: not found */

/* The inodes of sockets that listen on one of the ports, from the text of /proc/PID/net/tcp
 * or tcp6, which may be cut anywhere. How many were put there, at most max. */
unsigned listen_parse(const char *text, const uint16_t *ports, unsigned n_ports, uint64_t *inodes, unsigned max);

/* Sets keep of the tasks whose process listens on one of the ports, in the network
 * namespace of the first task that still lives. How many. */
unsigned listen_mark(struct task_ref *tasks, uint32_t n, const uint16_t *ports, unsigned n_ports);
