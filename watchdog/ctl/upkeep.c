/* SPDX-License-Identifier: Apache-2.0 */
/* upkeep: one lazy timer for all of it. It waits for a tick to wake us: every wake-up of
 * its own would be a seventh of what calm costs. */
#include "ctl/upkeep.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/own.h"
#include "base/str.h"
#include "sense/mounts.h"
#include "sys/log.h"
#include "sys/rt.h"

/* A tick that took too much real-time budget fell back; ask for it again, gently. */
static void keep_real_time(struct upkeep *u, usec_t now)
{
	u->rt_at = now + UPKEEP_EVERY;
	if (rt_fell_back()) {
		log_warning("the guard used up its real-time budget in one go and is an ordinary task for 10 s");
		u->fell_back = true;
		u->rt_at = now + UPKEEP_ORDINARY;
	} else if (u->fell_back)
		u->fell_back = rt_again() < 0;
}

static void say_canary(struct upkeep *u, const char *text, const char *remedy)
{
	facts_set(u->facts, "canary", u->canary_state == CANARY_RUNS, text, remedy);
	log_write(u->canary_state == CANARY_RUNS ? LOG_NOTICE : LOG_WARNING, NULL, "canary: %s", text);
}

/* Is our own cgroup of sshd's standing, as that of a service is? */
static bool beside_sshd(const struct upkeep *u)
{
	const char *dir = u->canary_place.dir, *slash;
	char own[1024];
	size_t mount;
	bool v2;

	if (dir == NULL || owngroup_self(own, sizeof(own), &mount, &v2) < 0)
		return false;
	slash = strrchr(own, '/');
	return slash - own >= (ptrdiff_t)mount && strrchr(dir, '/') - dir == slash - own && strncmp(dir, own, (size_t)(slash - own)) == 0;
}

/* What it measures where it stands now. Among strangers it would tell of them: it rests. */
static void stand(struct upkeep *u)
{
	bool apart = u->raised && u->canary_error == 0, beside = apart || beside_sshd(u);
	char why[192];

	u->canary_state = CANARY_RUNS;          /* else it is said again */
	canary_rest(u->canary, !beside);
	if (apart) {
		facts_set(u->facts, "canary", true, "beside sshd", "");
		return;
	}
	if (u->raised)
		str_format(why, sizeof(why), "no cgroup of its own can be made beside sshd: %s", strerror(-u->canary_error));
	else
		str_copy(why, sizeof(why), "in observe mode no cgroup is made for it beside sshd");
	str_append(why, sizeof(why), beside ? "; our own is beside sshd, and it runs in there" : "; a login that has not run yet is judged by pressure alone");
	facts_set(u->facts, "canary", beside, why, beside ? "" : u->raised ? "start reprieved as root on a writable cgroup filesystem" :
		  "run it as a service, whose cgroup is beside sshd's, or in rescue or enforce mode");
}

static void place_canary(struct upkeep *u, bool apart)
{
	if (u->canary == NULL)
		return;
	u->canary_error = apart && u->canary_place.dir == NULL ? -ENODEV : canary_place(u->canary, apart ? u->canary_place.dir : NULL, u->canary_place.v1);
	stand(u);
}

/* Somebody may kill or stop it: seldom, so seldom looked at. */
static void keep_canary(struct upkeep *u, usec_t now)
{
	enum canary_state state = canary_state(u->canary);

	u->canary_at = now + UPKEEP_CANARY;
	if (state == CANARY_GONE && canary_revive(u->canary) == 0)
		state = CANARY_RUNS;
	if (state == u->canary_state)
		return;
	u->canary_state = state;
	switch (state) {
	case CANARY_RUNS:
		stand(u);
		log_write(LOG_NOTICE, NULL, "canary: it runs again");
		break;
	case CANARY_STOPPED:
		say_canary(u, "it is stopped, and says nothing: a login that has not run yet is judged by pressure alone",
			   "somebody stopped the process reprieve-canary: kill -CONT it");
		break;
	case CANARY_GONE:
		say_canary(u, "it was killed and cannot be started again: a login that has not run yet is judged by pressure alone", "");
		break;
	}
}

static void put_back_left_over(struct upkeep *u, usec_t now)
{
	unsigned n;

	(void)act_restore_left_over(u->act, &n);
	u->left_over_at = now + UPKEEP_LEFT_OVER;
	if (act_left_over(u->act) > 0)
		return;
	u->left_over_at = USEC_INFINITY;
	log_notice("what an earlier guard had left is put back at last");
	facts_set(u->facts, "left over", true, "all that an earlier guard had changed is put back", "");
}

static int on_timer(struct loop *l, struct loop_timer *t, void *data)
{
	struct upkeep *u = data;
	usec_t now = loop_now(l);

	if (now >= u->rt_at)
		keep_real_time(u, now);
	if (now >= u->canary_at)
		keep_canary(u, now);
	if (now >= u->left_over_at)
		put_back_left_over(u, now);
	loop_set_timer_lazy(l, t, now + UPKEEP_EVERY, UPKEEP_EVERY, on_timer, u);
	return 0;
}

/* Where real-time is refused: the helpers' cgroup, whose weight counts among the top-level
 * ones. At the root nice -20 alone counts more there. */
static void raise_weight(struct upkeep *u, const struct rt_report *r)
{
	static const char why[] = "real-time is refused: in a top-level cgroup of its own with ten times the usual weight, back where it came from at stop";
	char own[1024];
	size_t mount;
	bool v2;
	int e = owngroup_self(own, sizeof(own), &mount, &v2);

	if (e < 0 || (own[mount] == '\0' && r->scheduling == RT_NICE))
		return;
	e = owngroup_visit(&u->helpers->group);
	if (e == -ENOENT)               /* systemd's unit has a weight */
		return;
	if (e == 0)
		log_notice("%s", why);
	facts_set(u->facts, "own weight", e == 0, e == 0 ? why : "the guard cannot enter a cgroup of its own; it competes where it was started",
		  e == 0 ? "" : strerror(-e));
}

static void take_back(struct upkeep *u)
{
	int r = rt_restore(u->rundir_fd);

	if (r < 0)
		log_warning("the real-time budget of our cgroup could not be put back: %s; tried again at stop", strerror(-r));
	else
		facts_drop(u->facts, "real-time budget");
	facts_drop(u->facts, "own weight");
	owngroup_go_home(&u->helpers->group);
}

void upkeep_raise(struct upkeep *u, bool beyond)
{
	struct rt_report r;
	bool real_time;

	if (u->raised && !beyond)
		take_back(u);
	u->raised = beyond;
	place_canary(u, beyond);
	helpers_raise(u->helpers, beyond);
	rt_raise(beyond ? u->rundir_fd : -1, &r);
	real_time = r.scheduling == RT_FIFO || r.scheduling == RT_FIFO_BUDGET;
	facts_set(u->facts, "real-time", real_time, r.scheduling_text[0] ? r.scheduling_text : rt_class_to_string(r.scheduling), "");
	facts_set(u->facts, "locked memory", r.locked, r.locked_text, "");
	facts_set(u->facts, "oom score", r.oom, r.oom_text, "");
	u->fell_back = false;
	u->rt_at = real_time ? loop_now(u->loop) + UPKEEP_EVERY : USEC_INFINITY;
	if (r.budget_text[0] != '\0') {
		log_notice("to be real-time: %s", r.budget_text);
		facts_set(u->facts, "real-time budget", true, r.budget_text, "");
	}
	if (!real_time && beyond)
		raise_weight(u, &r);
}

void upkeep_sweep(unsigned tries)
{
	static const char *const own[] = { OWN_MADE };
	char path[MOUNTS_PATH_MAX + 64];
	struct mounts m;

	if (mounts_read("", &m) < 0)
		return;
	for (size_t i = 0; i < ELEMENTSOF(own); i++) {
		str_format(path, sizeof(path), "%s%s", m.layout == MOUNTS_V2 ? m.v2 : m.cpu, own[i]);
		for (unsigned n = 0; rmdir(path) < 0 && errno == EBUSY && n < tries; n++)
			(void)usleep(20000);
	}
}

void upkeep_start(struct upkeep *u)
{
	usec_t now = loop_now(u->loop);
	unsigned n = u->act != NULL ? act_left_over(u->act) : 0;
	char why[192];

	u->canary_at = u->canary != NULL ? now + UPKEEP_CANARY : USEC_INFINITY;
	u->left_over_at = n > 0 ? now + UPKEEP_LEFT_OVER : USEC_INFINITY;
	if (n > 0) {
		str_format(why, sizeof(why), "%u values that an earlier guard had changed could not be put back yet; tried again every 30s", n);
		log_error("%s", why);
		facts_set(u->facts, "left over", false, why, "the log says what is in the way");
	}
	u->timer = LOOP_TIMER_INIT;
	loop_set_timer_lazy(u->loop, &u->timer, now + UPKEEP_EVERY, UPKEEP_EVERY, on_timer, u);
}
