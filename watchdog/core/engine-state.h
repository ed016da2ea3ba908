/* SPDX-License-Identifier: Apache-2.0 */
/* engine-state: the engine's inside. Only for core/engine.c and the files it is made
 * of: causes (findings), relief (pools: when), squeeze (targets: what), inside (tasks), answers (results). */
#pragma once

#include "core/blame.h"
#include "core/engine.h"
#include "core/groups.h"
#include "core/ladder.h"
#include "core/law.h"
#include "core/triage.h"

#define ALARM_END          (10 * USEC_PER_SEC)  /* below half of Alarm= for so long */
#define INCIDENT_END       (10 * USEC_PER_SEC)  /* nobody harmed for so long, nothing squeezed */
#define EVIDENCE_LASTS     (1500 * USEC_PER_MSEC) /* a measurement of harm stands so long without a newer one */
#define MEMORY_FAILED      (5 * USEC_PER_MIN)   /* what did not help is not tried again */
#define MEMORY_OPERATOR    EVENT_BARRED         /* what a person released stays so */
#define MEMORY_IDLE        (2 * USEC_PER_SEC)   /* it wanted less than its quota: let alone for so long */
#define MEMORY_YIELDED     (10 * USEC_PER_MIN)
#define COOL_DOWN_PART     4                    /* after AtMost: this part of it */
#define COOL_DOWN_LEAST    USEC_PER_MIN
#define COOL_DOWN_MOST     (5 * USEC_PER_MIN)
#define SETS_MOST          3                    /* sets that may fail in one incident before we give up */
#define DRIFT_GAP          USEC_PER_SEC
#define DRIFT_MOST         5
#define REFUSED_MOST       3                    /* windows before it is said that nobody can be squeezed */
#define ALARM_LINGERS      USEC_PER_MIN         /* below Alarm= but not below half of it */
#define WORSE_FOR          (3 * USEC_PER_SEC)   /* after a squeeze: watch the databases and endpoints */
#define WORSE_BY           3000                 /* permyriad */
#define PATTERN_GOES_ON    USEC_PER_MIN         /* a pattern that takes all it is left is held so much longer before it gets more */
#define GO_ON_FOR          (2 * USEC_PER_MIN)   /* lowered tasks that would go on at once are kept so much longer */
#define RANK_GAP           USEC_PER_SEC
#define RANK_ROUNDS        3
#define TASKS_SAY_GAP      (10 * USEC_PER_SEC)  /* between two lines that tell of lowered tasks of a cgroup; the rest is told with the next, or at the release */
#define TASK_NAMES_MAX     96                   /* bytes; beyond: "N others" */
#define CHECK_GAP          USEC_PER_SEC
#define ENDPOINT_FRESH     (5 * USEC_PER_SEC)
#define RELEASE_TRIES      10
#define RELEASE_GAP        USEC_PER_SEC
#define RELEASE_SLOW       (30 * USEC_PER_SEC)  /* ... after RELEASE_TRIES, for ever */
#define NAMES_WAIT         (2 * USEC_PER_SEC)   /* the first squeeze waits so long for the steward's first look, no longer */
#define BOOST_WEIGHT       300                  /* lifeline for what has none, while the culprit is protected */
#define MAX_POOLS          (MAX_POLICIES + 1)   /* [0] is rescue, [i + 1] policy i */
#define ALARM_EVIDENCE     (600 * USEC_PER_MSEC) /* what made the alarm is evidence of harm for so long: it may be 250 ms old */
#define CROWD_PART         7                    /* eighths of When= that are harm enough in a crowd */
#define UNSEEN_FOR         (2 * USEC_PER_SEC)   /* most of the crowd has not run yet: so long it is waited for ... */
#define UNSEEN_PART        3                    /* ... where those who ran are less than a third of who is runnable */
#define SIBLINGS_FOR       (5 * USEC_PER_SEC)   /* after the first cut: late ones of a pattern join it */
#define EXPLAINS_PART      5                    /* who is to blame for less than a fifth by now is not cut further */
#define MAX_WHO            8                    /* beyond: the less harmed do not count for the effect */
#define RESCUE_BAD         8000                 /* part of the measured windows in which the way in has to be dead, permyriad */
#define RESCUE_FINE        USEC_PER_SEC         /* alive for so long: it is not dead */
#define MEMORY_RANK        (30 * USEC_PER_SEC)  /* nothing was tried, the ranking failed */
#define INSIDE_FOR         USEC_PER_SEC         /* so long the same protected one has to be the culprit: one login is not, a crowd in the way in is (BLAME_CROWD) */
#define INSIDE_LEAST       2000                 /* of the machine: who uses less is no culprit inside what is protected, permyriad */
#define LIFELINE_GAP       (3 * USEC_PER_SEC)   /* the steward is not there yet: again */
#define LIFELINE_TRIES     30
#define MAX_MEMORIES       256                  /* beyond: the one that ends first is forgotten */
#define BLIND_MOST         (5 * USEC_PER_SEC)   /* without a snapshot: no squeeze is kept */

/* Bounds that are said once in an alarm when they are met. */
enum over { OVER_SQUEEZES, OVER_TASKS, OVER_VICTIMS, OVER_INFLIGHT, _OVER_MAX };

/* What belongs to one policy: everything it squeezes is judged and fed together. */
struct pool {
	uint32_t n;                     /* squeezes, without those being released */
	permyriad_t level, strain, limit; /* the latest evidence for this policy, what it was held against, when */
	usec_t level_at;
	usec_t over_since, well_since;
	uint32_t over_windows;
	permyriad_t share, ceiling;     /* of the machine, together; no growth beyond ceiling ... */
	usec_t ceiling_until;           /* ... until then */
	bool growing;
	usec_t cut_at, grow_at;
	usec_t hold;
	permyriad_t growth;
	usec_t released_at;             /* 0: no relapse memory */
	usec_t cooling;                 /* after AtMost=: memory lasts so much longer */
	uint8_t judge;                  /* windows until the effect is judged, 0 = judged */
	uint8_t n_who;
	uint64_t who[MAX_WHO];          /* who was harmed when the first cut was made: the effect is judged on them */
	uint32_t hurt, before, first;   /* their absolute waits, smoothed; at the latest and at the first cut */
	uint16_t measured, bad;         /* rescue: windows since over_since, and those of them in which the way in was dead */
	usec_t fine_since;
	permyriad_t database;           /* harm of databases at the latest addition */
	usec_t added_at, began_at;
	uint8_t worse;
	bool effective;
	bool said_limit, said_would, said_not;
	uint8_t failures;               /* sets undone in this incident */
	uint8_t refused;                /* windows in which nobody could be squeezed */
	enum pattern pattern;
	int16_t parent;                 /* slot above the siblings of a pattern */
	enum cause cause;               /* for which it began; NONE: it has no members */
};

/* What an endpoint said before the first tasks were lowered; neither good nor slow: nothing to compare with. */
struct before {
	bool known;                     /* there was an answer, good or bad; else the first one since counts */
	bool good;
	usec_t slow;                    /* it answered, and took so long; 0: it did not */
	uint8_t worse;                  /* answers in a row since that are worse */
};

struct squeeze {
	uint64_t group;
	uint16_t pool;
	uint8_t depth;
	bool inside;                    /* its tasks, not the cgroup */
	bool realtime;
	bool weight_only;
	bool beside;                    /* inside: tasks were lowered that no [Protect] names */
	bool selfish;                   /* inside: it harms itself, so it is the one to judge by */
	uint8_t rung;                   /* enum rung */
	uint32_t knobs;                 /* 1 << verb: in force or asked for */
	uint32_t todo;                  /* to be asked for */
	uint32_t undo;                  /* knobs to be released alone */
	uint32_t broken;                /* 1 << rung: failed here */
	bool release, gone;
	uint8_t tries;
	usec_t retry_at;
	uint64_t releasing;             /* id of the release under way */
	int32_t weight;
	int32_t own_weight;             /* what it had when the squeeze began */
	struct law_quota quota, own;    /* own.quota_us <= 0: none */
	int64_t pids;
	uint16_t cpus;
	usec_t since, until, written, acted;
	uint64_t low_for, low_run, low_wait;    /* demand, as measured for so long under the quota it has */
	usec_t hold;                    /* as long as it wants less than that, it is held for so long */
	uint8_t drifts;
	usec_t drift_at;
	uint16_t n_tasks;
	usec_t lowered_at;              /* the first of them; 0: none yet */
	struct before before[MAX_ENDPOINTS];    /* in the order of the policies */
	uint8_t rounds;                 /* rankings asked for */
	uint8_t empty;                  /* of them, such that not one task could be lowered */
	uint16_t asked, unsaid;         /* tasks to be lowered by the latest ranking; lowered, and not said yet */
	usec_t said_at;                 /* when it was said last; 0: never */
	char names[TASK_NAMES_MAX];     /* of the tasks asked, printable ASCII */
	usec_t ranked_at;
	uint64_t ranking;               /* id under way */
	uint64_t last_action;
	struct reason reason;
};

struct inflight {
	uint64_t id;
	enum verb verb;
	uint64_t group;
	usec_t deadline;
	uint8_t attempt;
	int64_t value;
};

struct memory {
	uint64_t group;
	enum why why;                   /* FAILED, NO_EFFECT, RECOVERED, TOO_LONG, OPERATOR, YIELD, NOT, VICTIM_WORSE */
	bool realtime;                  /* what is remembered was done to its real-time tasks */
	usec_t until;
};

struct endpoint {
	bool known, good;
	bool answered;                  /* within Timeout= and with no error, if slowly */
	uint8_t bad;                    /* answers in a row that are not good */
	usec_t took, at, asked_at, first_asked;
};

struct engine {
	usec_t now;
	uint32_t seed;
	uint64_t next_id;
	struct actions *out;            /* during a step only */

	struct policy_set set;
	struct groups groups;
	uint64_t leaving;               /* the first of gone_n that are gone and not said yet; kept for its name */
	uint32_t gone_n;
	struct reason gone_reason;

	usec_t last_snapshot, window;   /* 0 in calm */
	permyriad_t pressure;
	bool alarm;
	uint32_t sense;                 /* bits asked for */
	usec_t quiet_since, low_since, harm_from;
	usec_t paused_until;
	usec_t served_until;            /* rescue was interrupted by a restart or a reload: it need not wait until then */
	char pause_reason[REASON_TEXT_MAX];

	uint32_t incident;
	usec_t incident_since, incident_quiet;
	uint32_t said;                  /* 1 << finding: reported in this alarm */
	uint32_t found, found_next;     /* 1 << finding: two windows agree on it; the latest one has it */
	uint32_t over, over_said;       /* 1 << enum over: met, and reported, in this alarm */
	uint8_t cause_windows;
	enum cause cause, cause_next;
	usec_t login, login_at;         /* what a login takes: the latest evidence */
	permyriad_t level;              /* worst of all, and what it was worst for: latest evidence */
	usec_t level_at;
	uint32_t over_windows;
	usec_t over_since;

	struct triage_memory triage_memory;
	struct triage triage;
	bool crowd;                     /* triage_crowd() of the latest window */
	int32_t runnable;               /* tasks in the latest window, where there are many; else -1 */
	uint64_t inside;                /* the protected cgroup that is most to blame, without a break ... */
	usec_t inside_since;            /* ... since then */
	struct harm harm;
	uint16_t ncpu;
	int32_t tasks_before;           /* at the start of the alarm */
	int32_t tasks_now;

	struct pool pools[MAX_POOLS];
	uint32_t n_squeezes;
	struct squeeze squeezes[MAX_SQUEEZES];
	uint32_t n_tasks;               /* lowered, of all squeezes */
	uint32_t n_inflight;
	struct inflight inflight[MAX_INFLIGHT];
	uint32_t n_memories;
	struct memory memories[MAX_MEMORIES];
	struct endpoint endpoints[MAX_POLICIES];
	uint32_t failed_verbs;          /* 1 << verb: said in this incident */
	usec_t barred_until;            /* everything was released, by command or with the journal: nothing is squeezed until then */
	usec_t names_since;             /* processes are looked for by name since then, and nobody answered yet; 0: it is known */
	bool names_said;
	bool lifelines_due;
	usec_t lifeline_retry;          /* 0: none */
	uint32_t lifeline_tries;
	bool lifeline_hidden;           /* one that had a lifeline could not be reached once */
};

/* What a pool goes by; of rescue or of a policy. */
struct params {
	int16_t policy;                 /* -1: rescue */
	permyriad_t wait;
	usec_t wait_for;
	permyriad_t min_share;
	usec_t at_most;
	enum rung most;
	bool useful;
};

/* engine.c */
struct params engine_params(const struct engine *e, uint32_t pool);
struct action *engine_emit(struct engine *e, enum verb verb, uint64_t group, usec_t within); /* NULL: no room */
void engine_reason(struct engine *e, struct reason *r, enum why why, uint32_t pool, uint64_t target);
struct action *engine_report(struct engine *e, enum why why, const struct reason *r, uint64_t group, const char *text);
bool engine_may_act(const struct engine *e);
uint32_t engine_first_pool(const struct engine *e);
uint32_t engine_end_pool(const struct engine *e);
bool engine_paused(const struct engine *e);
bool engine_shows(const struct engine *e, const struct suspect *x);     /* to be named among those to blame */
void engine_open_incident(struct engine *e, uint32_t pool);

/* causes.c */
void causes_say(struct engine *e);                      /* of the latest triage */
void causes_measured(enum finding f, const struct found *x, struct reason *r, char text[static REASON_TEXT_MAX]);      /* as a reason has it */
uint32_t causes_view(const struct engine *e, struct engine_finding ret[static ENGINE_FINDINGS]);

/* relief.c */
void relief_tick(struct engine *e);
void relief_release_pool(struct engine *e, uint32_t pool, enum why why, const char *text);

/* watch.c */
bool watch_level(const struct engine *e, uint32_t pool, permyriad_t *ret_level, permyriad_t *ret_strain);     /* false: nobody was measured */
permyriad_t watch_login_share(const struct engine *e, unsigned part);
permyriad_t watch_well(const struct engine *e, uint32_t pool);
void watch_recovered(const struct engine *e, uint32_t pool, struct reason *r);
usec_t watch_until(const struct engine *e, uint32_t pool);
void watch_effect(struct engine *e, uint32_t pool);     /* who is harmed → p->who, p->hurt; without members */
void watch_hurt(struct engine *e, uint32_t pool);       /* p->hurt, with members */
bool watch_explains(const struct engine *e, uint32_t pool);     /* what is squeezed is still to blame for a part */
bool watch_wants_more(const struct engine *e, uint32_t pool);   /* what is squeezed would still do the same */
bool watch_would_go_on(const struct engine *e, uint32_t pool);  /* ... of lowered tasks: they burn half of the machine */
bool watch_pending(const struct engine *e, uint32_t pool);      /* tasks are being looked for or lowered */
bool watch_worse(struct engine *e, uint32_t pool);      /* undone */
void watch_demand(struct engine *e, uint32_t pool);

/* squeeze.c */
struct target {
	int16_t slot;                   /* of the unit, or of the leaf whose tasks are meant */
	uint8_t rung;
	uint8_t depth;
	bool weight_only, inside, realtime, selfish;
	uint16_t cpus;
};

struct plan {
	uint32_t n;
	struct target targets[MAX_SQUEEZES];
	permyriad_t usage, entitled;    /* of all of them */
	uint64_t refused;               /* the worst that cannot be squeezed, and why not; GROUP_NONE */
	const char *why_not;
};

void squeeze_plan(struct engine *e, uint32_t pool, bool more, struct plan *ret);
void squeeze_plan_siblings(struct engine *e, uint32_t pool, int parent, struct plan *ret);
struct ladder_case squeeze_case(const struct engine *e, uint32_t pool, int slot, uint32_t broken);
struct squeeze *squeeze_find(struct engine *e, uint64_t group);
struct squeeze *squeeze_new(struct engine *e, uint32_t pool, const struct target *t, const struct reason *r);
void squeeze_drop(struct engine *e, struct squeeze *s);
void squeeze_release(struct engine *e, struct squeeze *s, const struct reason *r);
void squeeze_climb(struct engine *e, struct squeeze *s, enum rung rung);
void squeeze_share(struct engine *e, uint32_t pool);    /* the pool's share onto its quotas */
void squeeze_flush(struct engine *e);                   /* what is to be done → actions */
bool squeeze_stuck(const struct squeeze *s);            /* could not be released, and is tried again slowly */
bool squeeze_holds(const struct engine *e);             /* is there any other? */

/* memory.c: who is let alone for a while */
void memory_add(struct engine *e, uint64_t group, enum why why, usec_t until);
void memory_forget(struct engine *e);         /* at the alarm's end: all but what a person or another writer wants */
bool memory_bars(const struct engine *e, uint64_t group, bool realtime);

/* orders.c: events that are no measurements */
int  orders_group(struct engine *e, const struct group_info *info);
void orders_gone(struct engine *e, uint64_t id);
void orders_shelter(struct engine *e);           /* releases what is protected by now */
void orders_say_gone(struct engine *e);
void orders_say_over(struct engine *e);
void orders_policies(struct engine *e, const struct policy_set *set);
void orders_operator(struct engine *e, const struct operator_order *o);
void orders_journal_lost(struct engine *e);
void orders_names(struct engine *e, const struct names_news *x);
bool orders_names_awaited(const struct engine *e);      /* nobody is squeezed before it is known who is protected */
void orders_lifelines(struct engine *e);
void engine_reset_pools(struct engine *e);

/* endpoints.c */
void endpoints_ask(struct engine *e);
void endpoints_heard(struct engine *e, const struct endpoint_answer *x);
void endpoints_answers(const struct engine *e, uint8_t answers[static MAX_POLICIES]);
bool endpoints_well(const struct engine *e, int policy);                 /* it answers as it should; -1: there is none */
void endpoints_before(const struct engine *e, struct squeeze *s);        /* now is before: the first tasks are about to be lowered */
int endpoints_worse(const struct engine *e, const struct squeeze *s);   /* the policy of one that got worse since; -1: none */

/* inside.c */
bool inside_plan(const struct engine *e, uint32_t pool, struct plan *ret);      /* REALTIME and SELF */
void inside_boost(struct engine *e, bool on);           /* lifelines for who has none */
bool inside_again(struct engine *e, struct squeeze *s);  /* another ranking; false: no use */
void inside_ranked(struct engine *e, struct squeeze *s, const struct result *r);
void inside_say(struct engine *e, struct squeeze *s, bool now);  /* what was lowered; now: whenever it was said last */
void inside_watch(struct engine *e);                    /* endpoints as control input */

/* recall.c */
int recall_step(struct engine *e, const struct recall *r);      /* -EINVAL: nothing changed */

/* results.c */
int results_step(struct engine *e, const struct result *r);
void results_deadlines(struct engine *e);
void results_drift(struct engine *e, const struct drift *d);
