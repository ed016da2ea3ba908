/* SPDX-License-Identifier: Apache-2.0 */
/* stories: the runaways that several tests tell of. Each is fed window by window; cgroups
 * react to what is set on them as far as the story needs it. */
#pragma once

#include "unit/world.h"

#define HOG 10                          /* first id of the hogs */

/* n hog groups under system.slice, two hogs each, and sshd that wants 5 ms per window.
 * Hogs under a quota or a tenth of the weight leave sshd alone. */
static inline void hog_window(struct world *w, usec_t window, unsigned n)
{
	unsigned i, wild = 0;
	uint32_t part;
	permyriad_t wait;

	for (i = 0; i < n; i++)
		wild += !(w->verbs_of[HOG + i] & (1u << VERB_QUOTA | 1u << VERB_WEIGHT | 1u << VERB_FREEZE));
	w->now += window;
	world_begin(w, window, n ? 9500 : 100);
	w->s.machine.runnable = (int32_t)(n + 4);
	part = n ? (uint32_t)(window / n) : 0;
	wait = (permyriad_t)(wild * 10 >= n && n > 0 ? 9500 : 0);
	world_sample(w, 3, 2500, wait ? (uint32_t)(window * 475 / 1000) : 20, 2500, wait ? (uint32_t)(window * 475 / 1000) : 20);
	for (i = 0; i < n; i++)
		world_sample(w, HOG + i, part, part * 10, part, part * 10);
	world_send(w);
}

static inline struct world *siblings(enum mode mode, unsigned n)
{
	struct world *w = world_new(mode);
	unsigned i;
	char path[64];

	world_start(w);
	world_tree(w);
	for (i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "/system.slice/hog-%u.service", i);
		world_group(w, HOG + i, 2, CAN_ALL, path);
	}
	world_clear(w);
	return w;
}

static inline void run(struct world *w, unsigned n, unsigned windows)
{
	while (windows-- > 0)
		hog_window(w, 100 * MS, n);
}

static inline unsigned times_said(const struct world *w, const char *text)
{
	unsigned n = 0;

	for (const char *p = w->lines; (p = strstr(p, text)) != NULL; p += strlen(text))
		n++;
	return n;
}

/* sshd is harmed by `culprit` until one of `cures` is in force there. */
static inline void culprit_window(struct world *w, uint64_t culprit, uint32_t cures, uint32_t forks)
{
	bool well = w->verbs_of[culprit] & cures;
	uint32_t wait = well ? 100 : 48000;
	struct group_sample *g;

	w->now += 100 * MS;
	world_begin(w, 100 * MS, well ? 500 : 9500)->machine.forks = (int32_t)forks;
	world_sample(w, 3, 3000, wait, 3000, wait);
	g = world_sample(w, culprit, 97000, 400000, 97000, 400000);
	g->forks = forks;
	world_send(w);
}

static inline struct world *one_culprit(enum mode mode, const char *path, uint64_t parent)
{
	struct world *w = world_new(mode);

	world_start(w);
	world_tree(w);
	world_group(w, 4, 1, CAN_ALL, "/user.slice");
	world_group(w, HOG, parent, CAN_ALL, path);
	world_clear(w);
	return w;
}

static inline void inside_window(struct world *w, uint64_t group, bool well)
{
	w->now += 100 * MS;
	world_begin(w, 100 * MS, 9500);
	if (group == 3)
		world_sample(w, 3, 98000, well ? 200 : 3000000, 98000, well ? 200 : 3000000);
	else {
		world_sample(w, 3, 1500, well ? 20 : 48000, 1500, well ? 20 : 48000);
		world_sample(w, group, 97000, 400000, 97000, 400000);
	}
	world_send(w);
}

static inline void rank_hogs(struct world *w, unsigned n)
{
	unsigned i;

	w->n_ranked = n + 2;
	for (i = 0; i < n; i++)
		w->ranked[i] = (struct task_ref) { .pid = 100 + (int)i, .tid = 100 + (int)i, .start = 50000, .cpu_pm = i % 8 ? 300 : 900 /* slices, by chance */, .comm = "hog" };
	w->ranked[n] = (struct task_ref) { .pid = 7, .tid = 7, .start = 100, .cpu_pm = 300, .keep = true, .comm = "sshd" };
	w->ranked[n + 1] = (struct task_ref) { .pid = 8, .tid = 8, .start = 100, .cpu_pm = 5, .comm = "idle" };
}

/* The hogs pause; sshd has its machine. */
static inline void quiet_window(struct world *w, uint64_t id)
{
	w->now += 100 * MS;
	world_begin(w, 100 * MS, 1200);
	world_sample(w, id, 2500, 20, 2500, 20);
	world_send(w);
}
