/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampler: makes the snapshots.
 *
 * Two ways to look. Calm: one pread of /proc/pressure/cpu, once a second one small
 * piece of the walk over the cgroup tree, and every few seconds a wide look: the
 * machine's totals, memory and io pressure. Alarm: all of those, the probe's
 * counters, a few cgroups closely, the canary.
 *
 * A delta is only as good as its baseline. Whenever more is wanted than before,
 * everything is read once to be forgotten (prime), so the first snapshot after that
 * covers just the time since.
 *
 * The probe names cgroups by id. One that the table does not know yet is looked up
 * by its handle at once, the largest consumer first, for a bounded time in a tick;
 * the callback tells the caller before the snapshot is returned. What stays unknown
 * (it is gone, or the budget is) goes into GROUP_OTHER, so no CPU time is lost.
 */
#include "sense/sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/cgpath.h"
#include "base/str.h"
#include "core/action.h"
#include "sense/cgfile.h"
#include "sense/closely.h"
#include "sense/cpustat.h"
#include "sense/gather.h"
#include "sense/machine.h"
#include "sense/probe.h"

struct sampler {
	enum sampler_probe use;
	unsigned wants;
	bool handles;
	struct machine *machine;
	struct cgroups *cgroups;
	struct probe *probe;
	struct cpustat *cpustat;                /* where there is no probe, or it is not attached */
	struct closely *closely;
	struct gather *gather;
	struct canary *canary;
	usec_t last, last_step, last_wide, last_turn, primed;
	uint64_t lost_ns;
	unsigned n_missing;
	struct missing missing[MISSING_MAX];
};

static usec_t boottime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (usec_t)t.tv_sec * USEC_PER_SEC + (usec_t)t.tv_nsec / 1000;
}

static void miss(struct sampler *s, const struct missing *m)
{
	unsigned i;

	for (i = 0; i < s->n_missing; i++)
		if (strcmp(s->missing[i].name, m->name) == 0)
			break;
	if (i == MISSING_MAX)
		return;
	s->missing[i] = *m;
	s->n_missing = MAX(s->n_missing, i + 1);
}

static void miss_text(struct sampler *s, const char *name, const char *what, const char *remedy)
{
	struct missing m = { .name = name };

	str_copy(m.what, sizeof(m.what), what);
	str_copy(m.remedy, sizeof(m.remedy), remedy);
	miss(s, &m);
}

static int read_text(const char *root, const char *path, const char *file, char *buf, size_t size)
{
	char full[MOUNTS_PATH_MAX * 2];

	if (!str_format(full, sizeof(full), "%s%s%s", root, path, file))
		return -ENAMETOOLONG;
	return cgfile_read_at(AT_FDCWD, full, buf, size);
}

static enum probe_key choose_key(const char *root, const struct mounts *m)
{
	char buf[512];

	if (m->layout != MOUNTS_V2)
		return PROBE_KEY_CPU;
	if (read_text(root, m->v2, "/cgroup.controllers", buf, sizeof(buf)) < 0)
		return PROBE_KEY_INODE;
	return str_has_word(buf, strlen(buf), "pids", " \n") ? PROBE_KEY_PIDS : str_has_word(buf, strlen(buf), "memory", " \n") ? PROBE_KEY_MEMORY : PROBE_KEY_INODE;
}

const char *sampler_without(const struct sampler *s)
{
	return cgroups_mounts(s->cgroups)->layout == MOUNTS_V2 ? "cpu.stat" : "cpuacct";
}

static int open_probe(struct sampler *s, const char *root)
{
	struct probe_config config = {
		.key = choose_key(root, cgroups_mounts(s->cgroups)), .ncpu = machine_rows(s->machine),
	};
	char text[MISSING_TEXT_MAX];
	struct missing m;
	int r;

	if (s->use == SAMPLER_PROBE_NEVER) {
		str_format(text, sizeof(text), "the BPF probe is switched off (Probe=off); using %s instead, which shows who runs but not who waits", sampler_without(s));
		miss_text(s, "probe-off", text, "set Probe=auto");
	} else {
		r = probe_open(&config, &s->probe, &m);
		if (r < 0)
			return r;
		if (r > 0)
			miss(s, &m);
	}
	s->cpustat = cpustat_new(s->cgroups);
	return s->cpustat ? 0 : -ENOMEM;
}

static void find_missing(struct sampler *s)
{
	struct missing m;

	if (machine_missing(s->machine, &m))
		miss(s, &m);
	if (cgroups_mounts(s->cgroups)->layout == MOUNTS_V1)
		miss_text(s, "pressure-groups", "there is no cgroup2 hierarchy, so the pressure of single services is unknown; "
			  "the probe's waiting times stand in for it", "mount cgroup2 (systemd.unified_cgroup_hierarchy=1)");
	if (s->probe && !s->handles)
		miss_text(s, "group-handles", "new cgroups cannot be looked up by their id; they are found by walking the tree, "
			  "some seconds later where there are thousands", "give the service CAP_DAC_READ_SEARCH and open_by_handle_at in its SystemCallFilter=");
	if (cgroups_refused(s->cgroups))
		miss_text(s, "groups-bound", "there are more cgroups than reprieve keeps in mind (8192); the rest is seen "
			  "only as a sum", "");
}

/* Where we run counts as ours only by its name: in the foreground it is somebody's session. */
static void find_self(struct sampler *s, const struct sampler_config *config)
{
	char buf[16384], path[GROUP_PATH_MAX];
	size_t i;

	for (i = 0; i < ELEMENTSOF(config->self); i++)
		if (config->self[i])
			cgroups_add_self(s->cgroups, config->self[i]);
	if (read_text(config->root, "/proc/self/cgroup", "", buf, sizeof(buf)) > 0 &&
	    cgpath_of(buf, cgroups_mounts(s->cgroups)->layout == MOUNTS_V2 ? "" : "cpu", path, sizeof(path)) == 0 && strstr(path, "/reprieve") != NULL)
		cgroups_add_self(s->cgroups, path);
}

struct sampler *sampler_free(struct sampler *s)
{
	if (!s)
		return NULL;
	gather_free(s->gather);
	closely_free(s->closely);
	cpustat_free(s->cpustat);
	probe_close(s->probe);
	cgroups_free(s->cgroups);
	machine_close(s->machine);
	free(s);
	return NULL;
}

static void visit(const struct probe_delta *d, void *userdata)
{
	struct sampler *s = userdata;

	if (!d->cgroup) {
		s->lost_ns += d->run_ns + d->wait_ns;
		return;
	}
	gather_add(s->gather, &(struct gather_delta){
		.id = d->cgroup, .cpu = d->cpu, .run_ns = d->run_ns, .wait_ns = d->wait_ns,
		.rt_run_ns = d->rt_run_ns, .kthread_run_ns = d->kthread_run_ns, .forks = d->forks,
	});
}

static void prime(struct sampler *s)
{
	machine_prime(s->machine);
	closely_prime(s->closely);
	if (s->probe && probe_attached(s->probe))
		probe_read(s->probe, NULL, NULL);
	else if (s->wants & SENSE_PROBE)
		cpustat_read(s->cpustat, NULL);
	s->last = s->primed = boottime();
}

int sampler_new(const struct sampler_config *config, usec_t now, struct sampler **ret)
{
	const struct cgroups_config cg = {
		.root = config->root, .changed = config->changed, .gone = config->gone, .userdata = config->userdata,
	};
	struct sampler *s;
	int r;

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->use = config->probe;
	s->canary = config->canary;
	r = machine_open(config->root, &s->machine);
	if (r == 0)
		r = cgroups_new(&cg, &s->cgroups);
	if (r == 0) {
		find_self(s, config);
		r = cgroups_scan(s->cgroups);
	}
	if (r == 0) {
		s->gather = gather_new();
		s->closely = closely_new(s->cgroups);
		r = s->gather && s->closely ? open_probe(s, config->root) : -ENOMEM;
	}
	if (r < 0) {
		sampler_free(s);
		return r;
	}
	s->handles = cgroups_handles(s->cgroups);
	find_missing(s);
	/* The emergency's path once now: paged in, and refused now if at all. */
	(void)sampler_want(s, SENSE_ALARM | SENSE_PROBE);
	(void)sampler_want(s, 0);
	s->last = s->last_step = s->last_wide = now;
	*ret = s;
	return 0;
}

int sampler_want(struct sampler *s, unsigned wants)
{
	bool more = wants & ~s->wants & (SENSE_ALARM | SENSE_PROBE);
	int r = 0;

	s->wants = wants;
	if (s->probe) {
		if ((wants & SENSE_PROBE) || s->use == SAMPLER_PROBE_ALWAYS)
			r = probe_attach(s->probe);
		else
			probe_detach(s->probe);
	}
	if (r < 0)
		miss_text(s, "probe-attach", "the BPF probe is loaded but could not be attached; it is seen who runs but not who waits",
			  "see the kernel's log; reprieve tries again with the next alarm");
	if (more)
		prime(s);
	return r;
}

void sampler_protect(struct sampler *s, const uint64_t *ids, unsigned n)
{
	closely_protect(s->closely, ids, n);
}

/* Who is squeezed next may have got a cpu controller just now: by the lifeline, on a stock
 * Debian. The busiest first. True: time was spent. */
static bool check_cpu(struct sampler *s, usec_t now)
{
	unsigned i, n = gather_count(s->gather);
	usec_t end = 0;

	for (i = 0; i < n && !cgroups_in_doubt(s->cgroups, gather_at(s->gather, i)->id, now); i++)
		;
	if (i == n)
		return false;
	gather_rank(s->gather);
	for (i = 0; i < n; i++) {
		struct gather_group *o = gather_at(s->gather, i);

		if (!o->run_ns || !cgroups_in_doubt(s->cgroups, o->id, now))
			continue;
		if (!end)
			end = boottime() + SAMPLER_CHECK_BUDGET;
		else if (boottime() >= end)
			break;
		o->fold = o->fold || !cgroups_check_cpu(s->cgroups, o->id, now);
	}
	return end;
}

static void look_up(struct sampler *s, usec_t now)
{
	unsigned n = gather_count(s->gather);
	usec_t end = boottime() + SAMPLER_LEARN_BUDGET;
	bool time_left = true, unknown = false, checked;
	struct gather_group *o;
	unsigned i;
	int r;

	for (i = 0; i < n && cgroups_find(s->cgroups, gather_at(s->gather, i)->id); i++)
		;
	if (i < n)
		gather_rank(s->gather);
	for (i = i < n ? 0 : n; i < n; i++) {
		o = gather_at(s->gather, i);
		if (cgroups_find(s->cgroups, o->id))
			continue;
		if (s->handles && time_left) {
			r = cgroups_learn(s->cgroups, o->id);
			time_left = boottime() < end;
			if (r == 0)
				continue;
		}
		o->fold = true;
		unknown = true;
	}
	checked = check_cpu(s, now);
	/* Without handles the walk must find them: all of the budget is for it. */
	cgroups_step(s->cgroups, unknown && !s->handles ? SAMPLER_LEARN_BUDGET : checked ? 0 : SAMPLER_STEP_BUDGET);
}

static void canary(struct sampler *s, usec_t now, struct canary_sample *ret)
{
	*ret = (struct canary_sample){ .cpu_us = 0, .wall_us = -1 };
	if (!s->canary)
		return;
	canary_read(s->canary, ret);
	if ((s->wants & SENSE_CANARY) &&
	    now - s->last_turn >= (now - s->primed < SAMPLER_CANARY_FIRST ? SAMPLER_CANARY_SOON : SAMPLER_CANARY_EVERY)) {
		canary_start(s->canary);
		s->last_turn = now;
	}
}

static usec_t begin(struct sampler *s, usec_t now, struct snapshot *ret)
{
	usec_t window = now > s->last ? now - s->last : 1;

	s->last = now;
	ret->window = window;
	ret->source = GROUP_SOURCE_NONE;
	ret->pressure = machine_pressure(s->machine);
	ret->n_groups = ret->n_cpu = ret->lost = 0;
	ret->canary = (struct canary_sample){ .cpu_us = 0, .wall_us = -1 };
	return window;
}

int sampler_calm(struct sampler *s, usec_t now, struct snapshot *ret)
{
	usec_t window = begin(s, now, ret);
	int r;

	if (now - s->last_step >= SAMPLER_CALM_EVERY) {
		s->last_step = now;
		cgroups_step(s->cgroups, 0);
	}
	r = machine_read_calm(s->machine, window, &ret->machine);
	if (r < 0 || now - s->last_wide < SAMPLER_WIDE_EVERY)
		return r;
	machine_read_wide(s->machine, now - s->last_wide, &ret->machine);
	ret->machine.forks = -1;        /* since the last wide look, not in this window */
	s->last_wide = now;
	return 1;
}

int sampler_snapshot(struct sampler *s, usec_t now, struct snapshot *ret)
{
	usec_t window = begin(s, now, ret);
	unsigned i;
	int r;

	r = machine_read(s->machine, window, &ret->machine);
	s->last_wide = now;
	canary(s, now, &ret->canary);
	if (r < 0 || !(s->wants & SENSE_PROBE))
		return r;

	gather_begin(s->gather, window);
	s->lost_ns = 0;
	if (s->probe && probe_attached(s->probe)) {
		ret->source = GROUP_SOURCE_BPF;
		probe_read(s->probe, visit, s);
	} else {
		ret->source = GROUP_SOURCE_CPUSTAT;
		cpustat_read(s->cpustat, s->gather);
	}
	for (i = 0; i < closely_count(s->closely); i++)
		gather_keep(s->gather, closely_id(s->closely, i));
	look_up(s, now);
	gather_finish(s->gather, ret);
	ret->lost = (uint32_t)MIN(s->lost_ns / 1000, (uint64_t)UINT32_MAX);
	closely_read(s->closely, ret);
	return 0;
}

struct cgroups *sampler_cgroups(struct sampler *s)
{
	return s->cgroups;
}

bool sampler_probed(const struct sampler *s)
{
	return s->probe;
}

enum pressure_source sampler_pressure(const struct sampler *s)
{
	return machine_pressure(s->machine);
}

unsigned sampler_missing(const struct sampler *s, const struct missing **ret)
{
	*ret = s->missing;
	return s->n_missing;
}
