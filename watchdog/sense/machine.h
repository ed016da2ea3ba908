/* SPDX-License-Identifier: Apache-2.0 */
/* machine: the machine's totals from /proc, through files kept open. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/snapshot.h"
#include "sense/missing.h"
#include "sense/psi.h"

/* Parsers: text in, values out, 0 or -EINVAL. */
struct machine_stat {           /* /proc/stat; clock ticks since boot, all CPUs */
	uint64_t user, nice, system, idle, iowait, irq, softirq, steal;
	uint64_t forks;
	uint32_t running, blocked;
	uint16_t ncpu;                  /* cpuN lines */
};
int machine_parse_stat(const char *text, struct machine_stat *ret);
int machine_parse_loadavg(const char *text, uint32_t *ret_running, uint32_t *ret_tasks);
int machine_parse_number(const char *text, uint64_t *ret);      /* one number and a newline */
int machine_parse_cpulist(const char *text, unsigned *ret_highest); /* "0-3,8" → 8 */
bool machine_parse_sched_ext(const char *text);                 /* "enabled\n" or "enabling\n" */

struct machine;

/* Opens what there is; 0 or -errno (only -ENOMEM, and /proc/stat unreadable).
 * root as in psi.h. */
int machine_open(const char *root, struct machine **ret);
struct machine *machine_close(struct machine *m);

enum pressure_source machine_pressure(const struct machine *m);
bool machine_missing(const struct machine *m, struct missing *ret);     /* false: nothing */
unsigned machine_rows(const struct machine *m);                         /* highest CPU online + 1 */

/* Calm: cpu pressure only, everything else unknown. One file read, nothing else.
 * Window: since the last read of either kind, or machine_prime(). */
int machine_read_calm(struct machine *m, usec_t window, struct machine_sample *ret);
/* What shows the sustained troubles that need no busy CPU, into what a calm read gave: totals, tasks,
 * memory and io pressure. Window: since the last call, machine_read() or machine_prime(). */
void machine_read_wide(struct machine *m, usec_t window, struct machine_sample *s);
/* Everything. Window: since the last machine_read() or machine_prime(); a calm read
 * in between makes them disagree, so prime when calm ends. */
void machine_prime(struct machine *m);
int machine_read(struct machine *m, usec_t window, struct machine_sample *ret);
