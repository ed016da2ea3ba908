/* SPDX-License-Identifier: Apache-2.0 */
/* driver: runs the engine. Turns what sensors, helpers and operators say into events,
 * carries the engine's actions to whoever can do them, and brings each one's result
 * back. It decides nothing. All memory is here, taken once at start. */
#pragma once

#include <stdbool.h>

#include "act/act.h"
#include "core/engine.h"
#include "ctl/answers.h"
#include "ctl/found.h"
#include "ctl/helpers.h"
#include "ctl/recorder.h"
#include "sense/sampler.h"
#include "sys/loop.h"

#define DRIVER_SWEEP  (60 * USEC_PER_SEC)       /* between two looks for processes by name, in calm */
#define DRIVER_SWEEP_ALARM (10 * USEC_PER_SEC) /* ... in alarm: a database may be started there too; a new container: after a second */
#define DRIVER_DRIFT  (500 * USEC_PER_MSEC)     /* between two looks at what is squeezed, */
#define DRIVER_DRIFT_CALM (2 * USEC_PER_SEC)    /* ... or, in calm, at the lifelines */
#define DRIVER_TOLD   USEC_PER_SEC              /* so often the engine hears that all is quiet */
#define DRIVER_GLANCE 5                 /* pressure of a fifth of Alarm= makes the next calm tick come early */
#define DRIVER_SLOW   (400 * USEC_PER_MSEC)     /* alarm tick without BPF: reading every cpu.stat costs more */

struct driver {
	struct loop *loop;
	struct engine *engine;
	struct sampler *sampler;
	struct act *act;                        /* NULL: nothing can be squeezed, */
	int no_act;                             /* for this reason, an errno */
	struct helpers *helpers;
	struct recorder *recorder;              /* NULL: none */
	struct facts facts;
	struct why_log why;
	const struct policy_set *set;
	bool systemd;                           /* PID 1 is: lifelines go through it */
	bool service;                           /* and it runs us as reprieve.service */
	unsigned wants;                         /* enum sense_want in force */
	bool glance;                            /* the next calm tick comes early */
	usec_t last_tick, last_told, last_sweep, last_drift;
	uint64_t ticks;
	struct loop_timer tick, deadline, pending;

	uint64_t own_id;                        /* of asks that are not the engine's */
	uint64_t sweep_id;                      /* of the latest look for processes by name */
	uint32_t n_names;
	uint64_t names[64];                     /* cgroups whose container name is wanted */
	struct found found, before;             /* the look under way, and the one before */

	struct actions actions;
	uint32_t n_results, result_at;
	struct result results[MAX_INFLIGHT];
	struct talk_ranked ranked;
	struct snapshot snapshot;
	bool stepping, groups_changed, new_container;
	bool said_full, said_found, said_globs, said_results;   /* bounds that were met */
	bool journal_lost;              /* removed, and cannot be written anew */
};

struct driver_config {
	struct loop *loop;
	struct act *act;
	int no_act;
	struct helpers *helpers;
	struct recorder *recorder;
	const struct policy_set *set;
	uint32_t seed;
	bool systemd, service;
};

/* Before the sampler is made, since its callbacks speak to the engine. */
int  driver_init(struct driver *d, const struct driver_config *config);
void driver_start(struct driver *d, struct sampler *s);        /* arms the tick */
void driver_deinit(struct driver *d);

void driver_event(struct driver *d, struct event *event);      /* stamps `now` and runs all that follows */
void driver_policies(struct driver *d, const struct policy_set *set);
/* An earlier guard's squeezes were put back just before, or by command: then none until `barred`; 0. */
void driver_lifted(struct driver *d, bool just_before, usec_t barred);

/* For the sampler's config and the helpers' ops. */
void driver_on_group(const struct group_info *info, void *data);
void driver_on_gone(uint64_t id, void *data);
extern const struct helpers_ops DRIVER_HELPERS_OPS;
