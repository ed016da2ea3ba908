/* SPDX-License-Identifier: Apache-2.0 */
/* sampler: makes snapshots. Ties probe, pressure, /proc totals, the cgroup table
 * and the canary together; nothing here allocates, forks or walks a tree beyond
 * its budget once sampler_new() has returned. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"
#include "core/snapshot.h"
#include "sense/canary.h"
#include "sense/cgroups.h"
#include "sense/missing.h"

#define SAMPLER_PROTECTED_MAX 64                /* cgroups read closely; beyond: by the probe only */
#define SAMPLER_LEARN_BUDGET  700               /* µs of a tick for cgroups not known yet */
#define SAMPLER_STEP_BUDGET   100               /* µs of an alarm tick for the walk, or in its place: */
#define SAMPLER_CHECK_BUDGET  100               /* ... for who runs and cannot be squeezed, as far as is known */
#define SAMPLER_CALM_EVERY    USEC_PER_SEC      /* between steps of the walk in calm */
#define SAMPLER_WIDE_EVERY    (5 * USEC_PER_SEC) /* between wide looks in calm: trouble that does not last is nobody's */
#define SAMPLER_CANARY_EVERY  (1250 * USEC_PER_MSEC) /* between turns of the canary; less than EVIDENCE_LASTS */
#define SAMPLER_CANARY_SOON   (200 * USEC_PER_MSEC) /* ... for so long after an alarm began: */
#define SAMPLER_CANARY_FIRST  (2 * USEC_PER_SEC)

enum sampler_probe { SAMPLER_PROBE_AUTO, SAMPLER_PROBE_ALWAYS, SAMPLER_PROBE_NEVER };

struct sampler_config {
	const char *root;               /* "" or a directory that stands for / */
	enum sampler_probe probe;
	struct canary *canary;          /* the caller's; NULL: none */
	const char *self[CGROUPS_SELF_MAX - 1]; /* cgroup paths of ours besides the one we run in; NULL: none */
	cgroups_changed_t changed;      /* called from sampler_new() and every read, before it returns */
	cgroups_gone_t gone;
	void *userdata;
};

struct sampler;

/* Finds and opens everything, and walks the cgroup tree once. 0 or -errno. What is
 * missing is in sampler_missing(); only no /proc/stat or no cgroups at all is an error. */
int sampler_new(const struct sampler_config *config, usec_t now, struct sampler **ret);
struct sampler *sampler_free(struct sampler *s);

/* wants: bits of enum sense_want. Attaches or detaches the probe. 0, or -errno of
 * an attach that failed (figures come without BPF then). */
int sampler_want(struct sampler *s, unsigned wants);

/* The protected cgroups: always in the snapshot, with PSI, throttling and pids. */
void sampler_protect(struct sampler *s, const uint64_t *ids, unsigned n);

/* One PSI read: 0, all but the cpu pressure is unknown. Now and then a wide look: 1, with the machine's
 * totals, memory and io. Or -errno. ret->n_groups is 0. */
int sampler_calm(struct sampler *s, usec_t now, struct snapshot *ret);
/* Everything that is wanted. The first one after SENSE_ALARM or SENSE_PROBE was
 * newly wanted has the window since then. Only cgroups that `changed` has told are
 * in it by id; the rest is GROUP_OTHER. 0 or -errno. */
int sampler_snapshot(struct sampler *s, usec_t now, struct snapshot *ret);

struct cgroups *sampler_cgroups(struct sampler *s);
bool sampler_probed(const struct sampler *s);           /* the probe is loaded */
const char *sampler_without(const struct sampler *s);   /* what is read where it is not: "cpu.stat", on v1 "cpuacct"; static */
enum pressure_source sampler_pressure(const struct sampler *s);
unsigned sampler_missing(const struct sampler *s, const struct missing **ret);  /* count; the array is ours */
