/* SPDX-License-Identifier: Apache-2.0 */
/* protocol: what guard, steward and courier say to each other over sys/wire. The
 * helper connects to RUNDIR/PROTOCOL_SOCKET (or gets its end as --fd N) and says
 * HELLO first. From then on the guard asks, with ids of its own, and each request
 * is answered once (WIRE_ANSWER, same id and verb; WIRE_MORE where in parts). An
 * answer begins with i64 status (0 or -errno) and str text ("" or why, for people).
 * steward/talk.h has the encoders and decoders of both sides. */
#pragma once

#include <stdint.h>

#define PROTOCOL_SOCKET  "guard.sock"
#define PROTOCOL_RUNDIR  "/run/reprieve"

enum protocol_role { ROLE_STEWARD = 1, ROLE_COURIER = 2 };

enum protocol_verb {
	/* helper -> guard, no answer: u64 role, i64 pid, str what is missing ("" = nothing) */
	PROTOCOL_HELLO = 0x100,

	/* u64 group, str directory (absolute, in the hierarchy that holds the tasks), u64 deep
	 * (1: children too), u64 n, n × u64 port (1 to 65535) whose listeners are to be marked as named,
	 * u64 n, n × str glob of processes to be marked so
	 * -> status, text, u64 group, u64 seen (tasks looked at), u64 n, n × task */
	PROTOCOL_RANK,

	/* str controller ("" = the v2 line of /proc/PID/cgroup, "cpu" = the v1 one), u64 n, n × str glob
	 * -> status, text, u64 truncated, u64 n, n × { str path, str comm }  (parts) */
	PROTOCOL_FIND,

	/* u64 group, str id (64 hex digits) -> status, text, u64 group, str name; -ENOENT: not known */
	PROTOCOL_NAME,

	/* str unit, i64 weight (-1: put back; unit "": all) -> status, text, str unit, i64 before, i64 after
	 * (v2 scale, -1 = not set). -EOPNOTSUPP: systemd is not PID 1 */
	PROTOCOL_LIFELINE,

	/* to the courier: u64 policy, str url, u64 timeout_us
	 * -> status, text, u64 policy, u64 good, u64 HTTP code (0: none), u64 took_us */
	PROTOCOL_CHECK,
};
