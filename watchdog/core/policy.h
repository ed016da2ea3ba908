/* SPDX-License-Identifier: Apache-2.0 */
/* policy: what the administrator wants, in the core's units. Filled by conf/
 * (whose key table decides names and accepted forms), checked by
 * policy_validate(), read by everything else. -1 / 0 / USEC_INFINITY as unset
 * are resolved by policy_defaults() before the engine sees a set. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/units.h"
#include "core/limits.h"
#include "core/snapshot.h"

enum mode { MODE_OBSERVE, MODE_RESCUE, MODE_ENFORCE, _MODE_MAX };

/* Rungs in the order in which the ladder climbs them. */
enum rung {
	RUNG_NONE,
	RUNG_WEIGHT,            /* weight or cpu.idle */
	RUNG_QUOTA,
	RUNG_TASKS,             /* SCHED_IDLE on the worst tasks of a shared cgroup; SCHED_OTHER for a real-time hog */
	RUNG_JAIL,              /* threaded child (v2) or move (v1) with a quota */
	RUNG_PIDS,
	RUNG_FREEZE,
	RUNG_KILL,
	_RUNG_MAX
};

/* What a protected cgroup is to people; a lower number is more important. */
enum importance {
	IMPORTANCE_LOGIN,       /* the way in: sshd, logind, young sessions, SSM agent */
	IMPORTANCE_DATABASE,
	IMPORTANCE_HEALTH,      /* answers the health check */
	IMPORTANCE_SYSTEM,      /* dbus, journald, container runtime, kubelet */
	IMPORTANCE_NONE,
	_IMPORTANCE_MAX
};

/* EXCEPT takes away from what the others name. */
enum match_kind { MATCH_UNITS, MATCH_CONTAINERS, MATCH_CGROUPS, MATCH_PROCESSES, MATCH_USERS, MATCH_EXCEPT, _MATCH_MAX };

struct glob {
	uint8_t kind;           /* enum match_kind */
	char text[GLOB_TEXT_MAX];
};

enum policy_kind { POLICY_PROTECT, POLICY_THROTTLE, POLICY_ENDPOINT };

struct policy {
	enum policy_kind kind;
	char name[NAME_TEXT_MAX];
	char source[96];                /* "50-shop.policy:12", for people */
	uint16_t glob_first, glob_n;    /* its part of policy_set.globs */

	/* [Protect NAME] */
	enum importance as;             /* As=login | database | health | system */
	int32_t weight;                 /* Weight=: lifeline weight, v2 scale; -1 = leave */
	usec_t  for_first;              /* Young=: protects only cgroups younger than this; USEC_INFINITY = always */

	/* [Throttle NAME] */
	permyriad_t wait;               /* When=wait > N%: of the CPU time protected tasks wanted, the part they waited for others */
	usec_t  wait_for;               /* ... for T */
	permyriad_t min_share;          /* MinShare=: of the machine, all that this policy squeezes together keep */
	usec_t  at_most;                /* AtMost= */
	enum rung most;                 /* Ladder=: the highest rung allowed */
	bool    useful;                 /* UsefulWork=: treat as a service doing useful work: weight only, unless harm to something more important */

	/* [Endpoint NAME]: a health check of the machine's own; also protects its cgroup as health */
	char    url[192];               /* http://127.0.0.1:8080/health */
	usec_t  timeout;                /* Timeout= */
	usec_t  good;                   /* Good=: an answer within this is a good one */
};

/* The [Relief] section of reprieve.conf, as far as the core needs it. */
struct settings {
	enum mode mode;
	usec_t  rescue_login;           /* RescueLogin=5s: a login that would take longer is a dead way in */
	usec_t  rescue_for;             /* RescueFor=20s: for this long */
	usec_t  login_cost;             /* LoginCost=350ms: CPU time of one login on an idle machine */
	permyriad_t rescue_share;       /* RescueShare=25%: the squeezed together keep */
	usec_t  rescue_at_most;         /* RescueAtMost=15min */
	permyriad_t alarm;              /* Alarm=10%: cpu pressure (some) that starts the alarm tick */
	usec_t  calm_tick, alarm_tick;  /* CalmTick=250ms AlarmTick=100ms */
};

struct policy_set {
	struct settings settings;
	uint16_t n_policies, n_globs;
	struct policy policies[MAX_POLICIES];   /* evaluation order = file order */
	struct glob globs[MAX_GLOBS];
};

extern const struct settings SETTINGS_DEFAULT;
extern const struct policy POLICY_INIT;         /* every key unset */

/* Fills what is unset with the documented defaults. */
void policy_defaults(struct policy *p);

/* Is the set one that can be acted on? 0, or -EINVAL with the index of the first
 * bad policy (-1: the settings) and one sentence of what is wrong and what is
 * right, without a final stop. */
int policy_validate(const struct policy_set *set, int *ret_index, char *ret_why, size_t size);

/* Shell-style match: * ? [a-z], no escapes, '/' is an ordinary character. Bounded
 * time for every pattern. */
bool glob_match(const char *pattern, const char *text);
/* The same for a process's name: the kernel cuts it at 15 bytes, so a longer plain
 * pattern means its beginning. */
bool glob_match_comm(const char *pattern, const char *comm);

/* Does the policy name this cgroup? Units= and Containers= match info->name or the
 * last component of the path, Cgroups= the path, Processes= any of procs, Users= the
 * uid or "root"; what Except= matches (a path, or a name) is not named. `now` counts
 * for Young=; a cgroup of unknown age is not young. */
bool policy_matches(const struct policy_set *set, const struct policy *p, const struct group_info *info, usec_t now);

/* Weights that no section names, as the mode has them: of our own units (-1: none), since a
 * guard that starves saves nobody, and of the canary, which has what sshd has, or it
 * would feel what no login feels. */
enum own_unit { OWN_GUARD, OWN_STEWARD, OWN_COURIER, _OWN_MAX };
int32_t policy_own_weight(const struct policy_set *set, enum own_unit unit);
int32_t policy_canary_weight(const struct policy_set *set);

/* Of an [Endpoint]: the port in its URL=, else the scheme's; 0: it is none. */
uint16_t policy_port(const struct policy *p);

const char *mode_to_string(enum mode);
const char *rung_to_string(enum rung);
const char *importance_to_string(enum importance);
