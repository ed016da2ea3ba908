/* SPDX-License-Identifier: Apache-2.0 */
/* throttle: the kernel's rules for these files, in one place.
 *
 * Weight. v2 cpu.weight 1..10000 with 100 as default, v1 cpu.shares 2..262144 with
 * 1024. An idle cgroup (cpu.idle = 1) reads weight 0 (v1: 3) and takes none (EINVAL);
 * cpu.idle = 0 gives it the default weight, whatever it had before. So idle and
 * weight are saved together, and idle goes first.
 *
 * Quota, period and burst are one value. A burst larger than the quota is EINVAL, so
 * it is zeroed first and put back last. v2 takes quota and period in one write. v1
 * takes them one by one and checks the ratio with parent and children after each, so
 * a change of the period goes through quota -1, which is always allowed. Each write
 * refills the quota and unthrottles, so what is there is not written again.
 *
 * Freezing is asynchronous; v1 may stay FREEZING for seconds under fork churn. So it
 * is asked for here, and looked at later: nobody waits for it in a tick. A cgroup half
 * frozen helps nobody and may hold locks: act.c thaws it again.
 *
 * Killing: cgroup.kill (5.14) is safe against forks. Without it the cgroup is frozen
 * (0.3 to 1.6 ms; a moment is waited for that), each process gets its SIGKILL, and it is thawed, upon which they die:
 * nobody waits for that, since what was frozen has forked nothing meanwhile. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "act/inject.h"
#include "act/throttle.h"
#include "base/cleanup.h"
#include "base/macro.h"
#include "base/str.h"

#define SHARES_MIN      2
#define SHARES_MAX      262144
#define SHARES_DEFAULT  1024
#define WEIGHT_DEFAULT  100
#define WEIGHT_MAX      10000

static const char *weight_file(const struct place *p)
{
	return p->v2 ? "cpu.weight" : "cpu.shares";
}

int64_t throttle_weight_to_file(bool v2, int64_t weight)
{
	weight = CLAMP(weight, 1, WEIGHT_MAX);
	return v2 ? weight : CLAMP(weight * SHARES_DEFAULT / WEIGHT_DEFAULT, SHARES_MIN, SHARES_MAX);
}

int64_t throttle_weight_from_file(bool v2, int64_t value)
{
	return v2 ? value : CLAMP((value * WEIGHT_DEFAULT + SHARES_DEFAULT / 2) / SHARES_DEFAULT, 1, WEIGHT_MAX);
}

int throttle_parse_quota(const char *text, struct journal_values *ret)
{
	const char *blank = strchr(text, ' ');
	char first[24];
	int64_t quota, period;

	if (blank == NULL || !str_format(first, sizeof(first), "%.*s", (int)MIN(blank - text, (ptrdiff_t)sizeof(first)), text))
		return -EBADMSG;
	if (tree_parse_number(first, &quota) < 0 || tree_parse_number(blank + 1, &period) < 0 || period < 0)
		return -EBADMSG;
	ret->v[0] = quota;
	ret->v[1] = period;
	return 0;
}

static int quota_read(const struct place *p, struct journal_values *ret)
{
	const char *burst = p->v2 ? "cpu.max.burst" : "cpu.cfs_burst_us";
	char text[TREE_FILE_MAX], name[192];
	int r;

	if (p->v2) {
		r = place_read(p, "cpu.max", text);
		if (r < 0)
			return r;
		r = throttle_parse_quota(text, ret);
		if (r < 0)
			return place_fail(p, r, "cpu.max of cgroup %s is not understood: %s", str_escape(name, sizeof(name), p->path), text);
	} else {
		r = place_read_number(p, "cpu.cfs_quota_us", &ret->v[0]);
		if (r >= 0)
			r = place_read_number(p, "cpu.cfs_period_us", &ret->v[1]);
		if (r < 0)
			return r;
	}
	if (!place_has(p, burst)) {
		ret->v[2] = -1;
		return 0;
	}
	return place_read_number(p, burst, &ret->v[2]);
}

int throttle_read(const struct place *p, enum journal_kind kind, struct journal_values *ret)
{
	struct journal_values v = {};
	int r;

	switch (kind) {
	case JOURNAL_WEIGHT:
	case JOURNAL_LIFELINE:
		r = place_read_number(p, weight_file(p), &v.v[0]);
		break;
	case JOURNAL_IDLE:
		r = place_read_number(p, "cpu.idle", &v.v[0]);
		if (r >= 0)
			r = place_read_number(p, weight_file(p), &v.v[1]);
		break;
	case JOURNAL_QUOTA:
		r = quota_read(p, &v);
		break;
	case JOURNAL_PIDS:
		r = place_read_number(p, "pids.max", &v.v[0]);
		break;
	case JOURNAL_FREEZE:
		r = place_read_number(p, p->v2 ? "cgroup.freeze" : "freezer.self_freezing", &v.v[0]);
		break;
	default:
		r = -ENOTSUP;
	}
	if (r >= 0)
		*ret = v;
	return r;
}

bool throttle_equal(enum journal_kind kind, const struct journal_values *a, const struct journal_values *b)
{
	switch (kind) {
	case JOURNAL_IDLE:
		return a->v[0] == b->v[0] && (a->v[0] == 1 || a->v[1] == b->v[1]);
	case JOURNAL_QUOTA:
		return a->v[0] == b->v[0] && a->v[1] == b->v[1] && a->v[2] == b->v[2];
	default:
		return a->v[0] == b->v[0];
	}
}

static bool among(int64_t value, const struct journal_record *r, unsigned i)
{
	return value == r->original.v[i] || value == r->ours.v[i] || value == r->previous.v[i];
}

bool throttle_is_ours(const struct journal_record *r, const struct journal_values *found)
{
	if (throttle_equal(r->kind, found, &r->ours))
		return true;
	if (!r->busy)
		return false;
	switch (r->kind) {
	case JOURNAL_IDLE:
		return found->v[0] == 1 || among(found->v[1], r, 1) || found->v[1] == WEIGHT_DEFAULT || found->v[1] == SHARES_DEFAULT;
	case JOURNAL_QUOTA:
		return (found->v[0] == -1 || among(found->v[0], r, 0)) && among(found->v[1], r, 1) &&
		       (found->v[2] == 0 || among(found->v[2], r, 2));
	default:
		return among(found->v[0], r, 0);
	}
}

struct journal_values throttle_theirs(const struct journal_record *r, const struct journal_values *found)
{
	struct journal_values v = *found;

	for (unsigned i = 0; r->kind == JOURNAL_QUOTA && i < ELEMENTSOF(v.v); i++)
		if (v.v[i] == r->ours.v[i])
			v.v[i] = r->original.v[i];
	return v;
}

static int quota_write(const struct place *p, const struct journal_values *from, const struct journal_values *to)
{
	const char *burst = p->v2 ? "cpu.max.burst" : "cpu.cfs_burst_us";
	char text[64];
	int r = 0;

	if (from->v[2] > 0)
		r = place_write_number(p, burst, 0);
	if (r >= 0 && p->v2 && (from->v[0] != to->v[0] || from->v[1] != to->v[1])) {
		if (to->v[0] < 0)
			str_format(text, sizeof(text), "max %lld", (long long)to->v[1]);
		else
			str_format(text, sizeof(text), "%lld %lld", (long long)to->v[0], (long long)to->v[1]);
		r = place_write(p, "cpu.max", text);
	}
	if (!p->v2) {
		int64_t quota = from->v[0];

		if (r >= 0 && from->v[1] != to->v[1]) {
			if (quota != -1)
				r = place_write_number(p, "cpu.cfs_quota_us", -1);
			quota = -1;
			if (r >= 0)
				r = place_write_number(p, "cpu.cfs_period_us", to->v[1]);
		}
		if (r >= 0 && quota != to->v[0])
			r = place_write_number(p, "cpu.cfs_quota_us", to->v[0]);
	}
	if (r >= 0 && to->v[2] > 0)
		r = place_write_number(p, burst, to->v[2]);
	return r;
}

static int idle_write(const struct place *p, const struct journal_values *from, const struct journal_values *to)
{
	int64_t weight;
	int r = 0;

	if (from->v[0] != to->v[0])
		r = place_write_number(p, "cpu.idle", to->v[0]);
	if (r < 0 || to->v[0] == 1)
		return r;
	r = place_read_number(p, weight_file(p), &weight);
	return r >= 0 && weight != to->v[1] ? place_write_number(p, weight_file(p), to->v[1]) : r;
}

static void sleep_msec(void)
{
	struct timespec ts = { .tv_nsec = 1000000 };

	(void)nanosleep(&ts, NULL);
}

int throttle_frozen(const struct place *p)
{
	char text[TREE_FILE_MAX];
	int r = place_read(p, p->v2 ? "cgroup.events" : "freezer.state", text);

	if (r < 0)
		return p->fake ? 1 : r;
	return p->v2 ? strstr(text, "frozen 1") != NULL : strcmp(text, "FROZEN") == 0;
}

static int thaw(const struct place *p)
{
	return p->v2 ? place_write(p, "cgroup.freeze", "0") : place_write(p, "freezer.state", "THAWED");
}

static int freeze_write(const struct place *p, const struct journal_values *to)
{
	if (to->v[0] == 0)
		return thaw(p);
	return p->v2 ? place_write(p, "cgroup.freeze", "1") : place_write(p, "freezer.state", "FROZEN");
}

int throttle_write(const struct place *p, enum journal_kind kind, const struct journal_values *from, const struct journal_values *to)
{
	if (throttle_equal(kind, from, to))
		return 0;
	switch (kind) {
	case JOURNAL_WEIGHT:
	case JOURNAL_LIFELINE:
		return place_write_number(p, weight_file(p), to->v[0]);
	case JOURNAL_IDLE:
		return idle_write(p, from, to);
	case JOURNAL_QUOTA:
		return quota_write(p, from, to);
	case JOURNAL_PIDS:
		return to->v[0] < 0 ? place_write(p, "pids.max", "max") : place_write_number(p, "pids.max", to->v[0]);
	case JOURNAL_FREEZE:
		return freeze_write(p, to);
	default:
		return -ENOTSUP;
	}
}

/* One round over the list: how many were signalled, or -errno. */
static int kill_all(const struct place *p)
{
	_cleanup_(idlist_close) struct idlist ids = { .fd = -1 };
	int pid, n = 0, r;

	r = idlist_open(&ids, p, "cgroup.procs");
	if (r < 0)
		return r;
	while ((pid = idlist_next(&ids)) > 0)
		if (pid != 1 && pid != getpid() && kill(pid, SIGKILL) >= 0)
			n++;
	return n;
}

int throttle_kill(const struct place *p, const struct place *inner, const struct place *frozen, unsigned *ret_n)
{
	usec_t until = tree_clock() + THROTTLE_KILL_WAIT;
	unsigned n = 0;
	usec_t freeze = tree_clock() + THROTTLE_KILL_FREEZE;
	bool all = false;
	int64_t count;
	int r;

	if (p->v2 && place_has(p, "cgroup.kill")) {
		r = place_read_number(p, "pids.current", &count);
		if (r >= 0)
			n = (unsigned)CLAMP(count, 0, INT32_MAX);
		r = place_write(p, "cgroup.kill", "1");
		if (r >= 0)
			*ret_n = n;
		return r;
	}
	while (frozen != NULL && !(all = throttle_frozen(frozen) > 0) && tree_clock() < freeze)
		sleep_msec();
	/* Where it could not be frozen, it is a race against its forks, and rounds win it mostly. */
	do {
		int m = inner->fd >= 0 && !p->v2 ? kill_all(inner) : 0;

		r = kill_all(p);
		r = r < 0 || m < 0 ? MIN(r, m) : r + m;
		n += r > 0 ? (unsigned)r : 0;
		if (frozen != NULL) {
			(void)thaw(frozen);
			frozen = NULL;
		}
		if (r > 0 && all)
			r = 0;
		else if (r > 0)
			sleep_msec();
	} while (r > 0 && tree_clock() < until);
	if (r < 0)
		return r;
	*ret_n = n;
	return r == 0 ? 0 : place_fail(p, -ETIMEDOUT, "cgroup still has processes after %u were killed", n);
}
