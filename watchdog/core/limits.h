/* SPDX-License-Identifier: Apache-2.0 */
/* limits: every bound of the core in one place, and what happens beyond it. */
#pragma once

#define MAX_GROUPS       1024   /* cgroups the engine knows; beyond: the least recently active, unprotected, unsqueezed one is forgotten until it runs again */
#define MAX_SAMPLES      1024   /* cgroups in one snapshot; beyond: the sampler keeps the largest run+wait and folds the rest into id GROUP_OTHER */
#define MAX_CPU_SHARES   8192   /* per-CPU figures in one snapshot; beyond: the sampler gives the group without them (cpu_n = 0) */
#define MAX_CPUS         256    /* CPUs told apart; beyond: cpu % MAX_CPUS */
#define MAX_POLICIES     64     /* sections in a policy set; beyond: refused at load */
#define MAX_GLOBS        512    /* patterns in a policy set; beyond: refused at load */
#define MAX_ENDPOINTS    4      /* [Endpoint] sections; beyond: refused at load */
#define GLOB_TEXT_MAX    192    /* bytes of one pattern; beyond: refused at load */
#define NAME_TEXT_MAX    64     /* bytes of a policy name; beyond: refused at load */
#define GROUP_PATH_MAX   512    /* bytes of a cgroup path with NUL; beyond: measured, never a target, said once */
#define GROUP_NAME_MAX   64     /* bytes of a display name (unit or container), cut */
#define GROUP_PROCS_MAX  4      /* process names a cgroup is remembered by */
#define COMM_MAX         16     /* TASK_COMM_LEN */
#define MAX_TASKS        128    /* tasks in one ranking answer; the steward sends the worst */
#define MAX_SQUEEZES     256    /* cgroups squeezed at once; beyond: the least to blame stay free, said */
#define MAX_SQUEEZED_TASKS 512  /* tasks lowered at once; same */
#define MAX_ACTIONS      512    /* actions of one step; beyond: the rest follow in the next step */
#define MAX_INFLIGHT     1024   /* actions without a result; beyond: no new ones, said */
#define MAX_CANDIDATES   3      /* the culprit and the next two, in every reason */
#define REASON_TEXT_MAX  160
