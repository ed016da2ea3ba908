/* SPDX-License-Identifier: Apache-2.0 */
/* sim: a machine, a guard around the engine, and laws that must hold, all from one seed.
 *
 *   machine (model.c)  a cgroup tree whose CPU time is shared out by weights, quotas and
 *                      scheduling classes; what the sensors would say of it
 *   load (load.c)      what runs there: services, runaways, builds, backups, bad luck
 *   guard (guard.c)    ticks, carries actions out with delay and failures, brings results
 *   check (check.c)    the invariants, after every step
 *
 * Time is virtual; the next moment is the earliest of the engine's deadline, the next
 * tick, a result that is due and what the load has planned. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/macro.h"
#include "core/engine.h"
#include "core/trace.h"

#define SIM_NODES     800
#define SIM_SETS      900
#define SIM_CPUS      16
#define SIM_SET_TASKS 128       /* of a bigger set, the rest follows task 127 */
#define SIM_PENDING   1200
#define SIM_PLANS     72

/* ---- dice ---- */
struct dice { uint64_t s; };
static inline uint64_t dice_roll(struct dice *d)
{
	uint64_t z = d->s += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}
static inline uint64_t dice_below(struct dice *d, uint64_t n) { return n ? dice_roll(d) % n : 0; }
static inline int64_t dice_range(struct dice *d, int64_t lo, int64_t hi) { return lo + (int64_t) dice_below(d, (uint64_t) (hi - lo + 1)); }
static inline bool dice_chance(struct dice *d, unsigned permyriad) { return dice_below(d, 10000) < permyriad; }
static inline double dice_unit(struct dice *d) { return (double) (dice_roll(d) >> 11) / 9007199254740992.0; }

/* ---- machine ---- */
enum set_kind {
	SET_HOG,                /* always runnable */
	SET_SERVICE,            /* wants `rate` µs per second, in pieces */
	SET_API,                /* closed loop: `tasks` requests at a time of `piece` µs each, useful work */
	SET_REALTIME,           /* SCHED_FIFO hog */
};

enum task_state { TASK_NORMAL, TASK_LOWERED, TASK_JAILED };

struct set {                            /* tasks of one kind in one cgroup */
	bool alive, keep;               /* keep: named by a [Protect] Processes= */
	enum set_kind kind;
	int node, tasks;
	int64_t rate, piece;
	uint32_t forks;                 /* per second while it runs */
	int64_t backlog;                /* µs of work waiting */
	usec_t from, until;             /* runs then */
	int32_t pid;                    /* of its first task */
	uint64_t start;
	uint8_t state[SIM_SET_TASKS];
	uint8_t n_lowered, n_jailed, n_other;   /* n_other: real-time tasks made ordinary */
	char comm[COMM_MAX];
	/* of the latest window */
	double d, w, run, wait, pot;    /* pot: CPU µs it would have got had it wanted more */
	int active;
};

struct node {                           /* a cgroup */
	bool alive, told;               /* told: the engine was */
	bool ctl, children_ctl;         /* its cpu controller is on; its children's is */
	bool useful, is_protected;      /* is_protected: by the truth of the layout; policies may differ */
	int parent, first_child, next_sibling;
	int pids;
	struct group_info info;
	int32_t lifeline;               /* 0: none */
	/* the knobs: as they are, and what they were before anyone squeezed */
	int32_t weight, weight0;
	bool idle, frozen;
	int64_t quota, period, quota0, period0, pids_max;
	bool jail;
	int64_t jail_quota, jail_period;
	usec_t quota_written;           /* latest write, whoever wrote */
	/* of the latest window */
	double d, w, grant, pot;
	int active;
	double run, wait, stall, rt, kthread, throttled;        /* stall: wait as PSI has it */
	uint32_t forks;
	double cpu_run[SIM_CPUS], cpu_wait[SIM_CPUS];
};

struct machine {
	struct dice dice;
	int ncpu, n_nodes, n_sets;
	double weight_works;            /* 1: weights do as on v2; 0: as if they were not there */
	double wait_noise, jitter;      /* jitter: µs that a small service may wait in a window, for nobody's fault */
	double quota_lag;               /* µs from the write of a quota until the group stands */
	bool v1;
	enum group_source source;
	enum pressure_source pressure;
	permyriad_t steal, irq, iowait, mem, io;        /* an episode's */
	int kthread_node;               /* -1, or where kernel threads burn */
	double kthread;
	int blocked;
	bool sched_ext;
	int32_t tasks_max;
	uint64_t next_id;
	int32_t next_pid;
	int user, few_siblings;         /* few_siblings: how many EPISODE_SIBLINGS makes; 0: 24 to 64 */
	int ssh, ssh_set;               /* the way in */
	int api, api_set;               /* what answers the health check */
	int db;
	bool busy;                      /* something beyond the background runs: share out in full */
	uint64_t ids[SIM_NODES];        /* of the nodes alive, 0: none; for machine_find() */
	struct node nodes[SIM_NODES];   /* a parent comes before its children */
	struct set sets[SIM_SETS];
	int sample_node[MAX_SAMPLES];   /* the node of each group of the latest snapshot */
	/* of the latest window */
	usec_t last;
	double window;
	double some;                    /* cpu pressure, 0..1 */
	double login;                   /* what a login would take, µs */
	double endpoint;                /* what the health check would take, µs */
	double useful_run, total_run, capacity;
	double canary_pot;
	int runnable;
	int64_t canary_left;            /* CPU µs of the turn under way; 0: none */
	usec_t canary_since, canary_next;
};

void machine_init(struct machine *m, uint64_t seed);
int  machine_add_node(struct machine *m, int parent, const char *path_last, usec_t now);        /* -1: full */
int  machine_add_set(struct machine *m, int node, enum set_kind kind, int tasks, const char *comm);     /* -1: full */
void machine_remove_node(struct machine *m, int node);          /* and all below and in it */
int  machine_find(const struct machine *m, uint64_t id);        /* -1 */
/* Lets the window from m->last to now pass. */
void machine_run(struct machine *m, usec_t now, bool canary);
/* What the sensors say of the latest window; groups only when asked. */
void machine_sense(struct machine *m, usec_t now, usec_t window, bool groups, bool canary, struct snapshot *ret);
void machine_calm(const struct machine *m, usec_t window, permyriad_t some, struct snapshot *ret);
void machine_wide(const struct machine *m, usec_t now, struct machine_sample *x);        /* into it: all that is neither CPU time nor its pressure */
/* A quick window while nothing is going on. */
void machine_idle(struct machine *m, usec_t now, struct snapshot *ret);

/* ---- load ---- */
enum episode_kind {
	EPISODE_SIBLINGS,       /* many cgroups with hogs beside the victim */
	EPISODE_INSIDE,         /* hogs in the victim's own cgroup */
	EPISODE_CHURN,          /* short-lived processes by the thousand */
	EPISODE_BOMB,           /* as above, and none of them ends */
	EPISODE_API_WILD,       /* what answers the health check runs wild */
	EPISODE_REALTIME,
	EPISODE_PEAK,           /* the API and its database under clients: useful work */
	EPISODE_BUILD, EPISODE_BACKUP, EPISODE_APT, EPISODE_LOGROTATE,
	EPISODE_BIG_HOG,        /* one cgroup with many hogs: harms nobody */
	EPISODE_OVERLOAD,       /* every service wants more */
	EPISODE_STEAL, EPISODE_IRQ, EPISODE_BLOCKED, EPISODE_KTHREAD, EPISODE_OWN_LIMIT,
	EPISODE_STALL,          /* one of these and no load: in calm, beside whatever else is planned */
	_EPISODE_MAX
};

struct episode {
	enum episode_kind kind;
	usec_t from, until;
	bool on;
	int n_sets, sets[200];
	int32_t set_pid[200];
	int n_nodes, nodes[200];
	uint64_t node_id[200];
};

struct load {
	struct dice dice;
	int n;                          /* all planned, ascending by from; overlapping */
	struct episode plan[SIM_PLANS];
	usec_t harmless_since;          /* no culprit since; USEC_INFINITY: there is one */
};

const char *episode_name(enum episode_kind kind);
bool episode_is_culprit(enum episode_kind kind);        /* may be squeezed for */
void load_layout(struct machine *m, struct dice *d, int ncpu, usec_t now);
void load_plan(struct load *l, uint64_t seed, usec_t from, usec_t until, bool dense);
void load_add(struct load *l, enum episode_kind kind, usec_t from, usec_t until);
/* Begins and ends what is due; true where groups came or went. */
void load_run(struct load *l, struct machine *m, usec_t now);
usec_t load_next(const struct load *l, usec_t now);     /* the next begin or end */
void load_policies(struct policy_set *set, struct dice *d);     /* d NULL: the plain set */

/* ---- guard ---- */
struct pending {
	usec_t due;
	struct action action;
	struct task_ref *tasks;         /* malloc()ed, or NULL */
	bool lost;                      /* nobody will answer: timed out at the deadline */
};

struct faults {
	unsigned write_fails, rank_fails, rank_lost, vanish, drift, gap, operator_, reload, turns_database;   /* permyriad per chance */
};

struct sim;
struct check {
	usec_t served_until;            /* a reload in mid-squeeze: rescue has waited already */
	usec_t dead_since, alive_since, told_at;        /* the way in, by what was told of it; 0: it is not */
	uint32_t told_n, dead_n;        /* windows since dead_since, and those of them in which it was dead */
	bool dead;
	uint32_t said;                  /* 1 << why: reported in this step */
	bool said_failed;               /* in this incident */
	usec_t harm_told;               /* the latest at which a protected one was told to suffer */
	usec_t pause_until;
	usec_t quota_failed_at, last_now, slept_until;
	usec_t operator_at;             /* the latest order or new policies */
	uint64_t last_id;
	uint32_t timeouts_in_row;
	uint64_t calm_at;               /* tick of the latest look whether it is calm */

	usec_t squeezed_since;          /* anything at all; 0: nothing */
	struct check_node {
		uint64_t id;
		usec_t until;           /* of the squeeze in force; 0: none */
		usec_t wrong_since;     /* squeezed as a whole although it is protected by now */
		usec_t quota_at;        /* latest quota write by the engine, ... */
		usec_t again_at;        /* ... and latest where somebody had rewritten it */
		usec_t flips[16];       /* squeezes begun, a ring */
		uint32_t n_flips;
		int16_t policy;
		bool ending;            /* its end was said */
	} node[SIM_NODES];
	struct check_as { uint64_t id; usec_t asked, until; enum importance as; } as[SIM_NODES];
	char failed[400];               /* the first law broken; empty: none */
};

struct sim {
	uint64_t seed;
	usec_t now, last_snapshot, last_wide, last_told, next_tick, start, end;
	usec_t sense_since;             /* SENSE_PROBE wanted since */
	uint32_t sense;
	struct machine m;
	struct load load;
	struct policy_set set;
	struct policy_set other;        /* what a reload brings */
	struct dice dice;
	struct faults faults;
	struct engine *e;
	struct actions acts;
	struct snapshot snap;
	struct check check;
	struct pending pending[SIM_PENDING];
	int n_pending, order[SIM_PENDING];      /* slots, the first due first */
	uint64_t told_id[SIM_NODES];            /* what the engine was told of each slot; 0: nothing */
	bool cut_since_check;                   /* a quota was written */
	usec_t next_fault, next_load;
	bool faults_on;
	uint64_t hash;                  /* of every action */
	uint64_t steps, n_actions, n_squeezes, ticks, alarm_ticks;
	struct trace_out *record;       /* NULL: none */
	bool recording;
	struct recorder *recorder;      /* the guard's own, NULL: none */
	FILE *log;                      /* explain lines; NULL: none */
	void (*on_action)(struct sim *s, const struct action *a);
	void *userdata;
};

struct sim *sim_new(uint64_t seed, int ncpu);   /* layout and plain policies, nothing planned, no faults; ncpu 0: random */
struct sim *sim_free(struct sim *s);
void sim_begin(struct sim *s);          /* engine_init, groups told */
/* Until s->end or a law is broken. */
void sim_run(struct sim *s, usec_t until);
void sim_step(struct sim *s, struct event *ev);
void sim_random(struct sim *s, double hours, bool dense);       /* policies, faults, load from the seed; begins */
void sim_sync(struct sim *s);                   /* tells the engine of cgroups that came, went or changed */
void sim_fault(struct sim *s);                  /* rolls for what goes wrong now */
void sim_record_policies(struct sim *s);
bool sim_squeezed(const struct sim *s, int node);
bool sim_limited(const struct node *n);         /* the cgroup itself, not just some of its tasks */
int  sim_n_squeezed(const struct sim *s);

/* ---- check ---- */
void check_before(struct sim *s, const struct event *ev);
void check_after(struct sim *s, const struct event *ev);
void check_result(struct sim *s, const struct action *a, const struct result *r);
void check_fail(struct sim *s, const char *format, ...) _printf_(2, 3);

/* ---- golden records ---- */
int golden_write(const char *dir);       /* NAME.trace of each; 0, or 1 with a message */
int memory_grow(struct trace_out *out);  /* flush into a struct memory */

struct memory {
	char *buf;
	size_t n, size;
};

/* ---- stories: named outcomes ---- */
int stories_run(const char *only, bool quick, bool verbose);    /* TAP; number of failures. quick: a few seeds of each */
