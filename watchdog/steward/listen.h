/* SPDX-License-Identifier: Apache-2.0 */
/* listen: which of some tasks answer on a port: those of processes that hold a TCP socket
 * in state LISTEN on it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/units.h"
#include "core/action.h"

#define LISTEN_WITHIN     (200 * USEC_PER_MSEC)        /* in all; beyond: not found */
#define LISTEN_ASKED_MAX  3     /* network namespaces whose sockets are looked at; beyond: not asked */
#define LISTEN_INODES_MAX 64    /* sockets that listen on the ports; beyond: not looked for */
#define LISTEN_FDS_EACH   1024  /* descriptors of one process looked at, the lowest first ... */
#define LISTEN_FDS_MAX    8192  /* ... and of all processes; beyond: not found */

/* The inodes of sockets that listen on one of the ports, from the text of /proc/PID/net/tcp
 * or tcp6, which may be cut anywhere. A line that is not exactly the kernel's is none. How
 * many were put there, at most max. */
unsigned listen_parse(const char *text, const uint16_t *ports, unsigned n_ports, uint64_t *inodes, unsigned max);

/* Sets keep of the tasks whose process listens on one of the ports, each in its own network
 * namespace. How many. */
unsigned listen_mark(struct task_ref *tasks, uint32_t n, const uint16_t *ports, unsigned n_ports, usec_t within);
