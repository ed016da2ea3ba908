/* SPDX-License-Identifier: Apache-2.0 */
/* act: from an action to the files, and everything back.
 *
 * Order of putting back. Thaw first, since a frozen cgroup helps nobody; tasks leave
 * their jail while its quota still holds them down; quotas parents first, because v1
 * refuses a child more than its parent; cpu.idle before the weight it hides; a
 * squeeze's weight before the lifeline below it; tasks last, where the search for what
 * they forked is longest. Each step stands alone: what fails stays in the journal and
 * does not keep the others.
 *
 * The journal holds the mount points it was written with. They hold as long as it has
 * records; only an empty one takes over the guard's. So `--restore` needs no layout,
 * and a changed one cannot send a record to another tree. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "act/act.h"
#include "act/jail.h"
#include "act/knob.h"
#include "act/lifted.h"
#include "act/tasks.h"
#include "act/throttle.h"
#include "base/own.h"
#include "base/str.h"

#define ACT_RUNDIR      "/run/reprieve"
#define ACT_RESTORE_BUDGET (2 * USEC_PER_SEC)   /* for the tasks and jails of one restore: at start and stop nobody waits */
#define MASK(verb)      (1u << (verb))
#define MASK_ALL        (~0u)

/* The order of putting back; tasks come after these. */
static const uint8_t release_order[] = {
	JOURNAL_FREEZE, JOURNAL_JAIL, JOURNAL_QUOTA, JOURNAL_IDLE, JOURNAL_WEIGHT, JOURNAL_LIFELINE, JOURNAL_PIDS,
};

static void act_close_trees(struct act *a)
{
	for (size_t i = 0; i < ELEMENTSOF(a->trees); i++)
		tree_close(&a->trees[i]);
}

static int act_open_trees(struct act *a, const struct act_layout *l)
{
	const struct {
		const char *controller, *root;
		bool v2;
	} trees[ACT_TREES] = {
		[JOURNAL_CPU] = { "cpu", l->cpu_root, l->cpu_v2 },
		[JOURNAL_PIDS_TREE] = { "pids", l->pids_root, l->pids_v2 },
		[JOURNAL_FREEZER] = { "freezer", l->freezer_root, l->freezer_v2 },
	};
	char name[ACT_ROOT_MAX];
	int error = 0;

	act_close_trees(a);
	for (size_t i = 0; i < ELEMENTSOF(trees); i++) {
		int r = tree_open(&a->trees[i], trees[i].controller, trees[i].root, trees[i].v2, a->fake);

		if (r >= 0)
			continue;
		knob_say(a, "cgroup hierarchy %s for controller %s cannot be used: %s",
			    str_escape(name, sizeof(name), trees[i].root), trees[i].controller,
			    r == -EINVAL ? "it is not a cgroup filesystem of this kind" : strerror(-r));
		if (i == JOURNAL_CPU)
			error = r;
	}
	return error;
}

struct act *act_free(struct act *a)
{
	if (a == NULL)
		return NULL;
	act_close_trees(a);
	journal_free(a->journal);
	free(a);
	return NULL;
}

static void act_freep(struct act **a)
{
	*a = act_free(*a);
}

int act_new(struct act **ret, const struct act_config *config)
{
	_cleanup_(act_freep) struct act *a = calloc(1, sizeof(*a));
	const char *rundir = config->rundir != NULL ? config->rundir : ACT_RUNDIR;
	int r;

	if (a == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < ELEMENTSOF(a->trees); i++)
		a->trees[i] = TREE_INIT;
	a->fake = config->fake;
	a->say = config->say;
	a->userdata = config->userdata;
	if (config->layout != NULL) {
		const struct act_layout *l = config->layout;

		str_copy(a->layout.cpu_root, sizeof(a->layout.cpu_root), l->cpu_root);
		str_copy(a->layout.pids_root, sizeof(a->layout.pids_root), l->pids_root);
		str_copy(a->layout.freezer_root, sizeof(a->layout.freezer_root), l->freezer_root);
		a->layout.cpu_v2 = l->cpu_v2;
		a->layout.pids_v2 = l->pids_v2;
		a->layout.freezer_v2 = l->freezer_v2;
	}
	r = journal_new(&a->journal, rundir, config->layout != NULL ? &a->layout : NULL, config->say, config->userdata);
	if (r != 0)
		return r == JOURNAL_E_LOCKED ? ACT_E_RUNNING : r == JOURNAL_E_NONE ? ACT_E_NOTHING : r;
	if (config->layout != NULL && journal_live(a->journal) == 0) {
		r = journal_set_layout(a->journal, &a->layout);
		if (r < 0)
			return r;
	}
	r = act_open_trees(a, journal_layout(a->journal));
	if (r < 0 && config->layout != NULL && journal_live(a->journal) > 0)
		r = act_open_trees(a, &a->layout);
	if (r < 0)
		return r;
	if (config->layout == NULL)
		a->layout = *journal_layout(a->journal);
	*ret = TAKE(a);
	return 0;
}

/* Puts back the tasks of one group. */
static int act_release_tasks(struct act *a, uint64_t group, uint32_t mask, bool final, usec_t until, unsigned *ret_n)
{
	_cleanup_(place_close) struct place p = { .fd = -1 }, jail = { .fd = -1 };
	const struct journal_record *since = journal_find(a->journal, JOURNAL_SINCE, group);
	char path[GROUP_PATH_MAX] = "", name[192];
	unsigned left = 0;
	int r;

	if (since != NULL && knob_place_of(a, since, &p, path) >= 0)
		(void)place_child(&jail, &p, JAIL_NAME);
	r = tasks_restore(a->journal, group, mask, &p, &jail, final, until, ret_n, &left);
	str_escape(name, sizeof(name), path);
	if (left > 0)
		knob_say(a, "%u tasks of %s have a scheduling class that is neither ours nor the original, or are not known to be "
			    "children of one that we lowered: left as they are", left, name[0] != '\0' ? name : "a cgroup");
	if (r < 0)
		str_format(a->message, sizeof(a->message), "the scheduling class of tasks cannot be put back: %s",
			   r == -ETIMEDOUT ? "too many for one turn" :
			   r == -EPERM ? "not permitted (CAP_SYS_NICE, or the cgroup has no real-time budget left)" : strerror(-r));
	return r;
}

static int act_release_jail(struct act *a, struct journal_record *record, usec_t until, unsigned wait)
{
	_cleanup_(place_close) struct place p = { .fd = -1 };
	char path[GROUP_PATH_MAX];
	unsigned moved = 0;
	int r;

	r = knob_place_of(a, record, &p, path);
	if (r == -ESTALE)
		return journal_done(a->journal, record);
	if (r >= 0)
		r = jail_leave(a->journal, record, &p, until, wait, &moved);
	return r < 0 ? r : KNOB_RESTORED;
}

enum { FINAL = 1, LEFT_OVER = 2, PATIENT = 4 };        /* tasks_restore()'s final; only what an earlier guard left; nobody waits for us */

/* Everything of one group (GROUP_NONE: of all) by the verbs in mask. The first error. */
static int act_release(struct act *a, uint64_t group, uint32_t mask, unsigned how, usec_t until, unsigned *ret_n)
{
	struct journal_record *record;
	char kept[ACT_MESSAGE_MAX] = "";
	uint32_t depth, deeper;
	int error = 0, r;

	for (size_t i = 0; i < ELEMENTSOF(release_order); i++)
		for (depth = 0; depth != UINT32_MAX; depth = deeper) {
			deeper = UINT32_MAX;
			for (record = journal_next(a->journal, NULL); record != NULL; record = journal_next(a->journal, record)) {
				if (record->kind != release_order[i] || (how & LEFT_OVER && !journal_is_old(a->journal, record)) ||
				    (group != GROUP_NONE && record->group != group) || !(mask & MASK(record->verb)) || record->depth < depth)
					continue;
				if (record->depth > depth) {
					deeper = MIN(deeper, record->depth);
					continue;
				}
				r = record->kind == JOURNAL_JAIL ? act_release_jail(a, record, until, how & PATIENT ? UINT32_MAX : JAIL_WAITS) : knob_release(a, record);
				if (r == KNOB_RESTORED)
					(*ret_n)++;
				if (r < 0 && error == 0) {
					error = r;
					memcpy(kept, a->message, sizeof(kept));
				}
			}
		}
	for (record = journal_next(a->journal, NULL); record != NULL; record = journal_next(a->journal, record)) {
		const struct journal_record *first = NULL;

		if ((record->kind != JOURNAL_TASK && record->kind != JOURNAL_SINCE) ||
		    (how & LEFT_OVER && !journal_is_old(a->journal, record)) || !(mask & MASK(record->verb)) ||
		    (group != GROUP_NONE && record->group != group))
			continue;
		for (first = journal_next(a->journal, NULL); first != record; first = journal_next(a->journal, first))
			if ((first->kind == JOURNAL_TASK || first->kind == JOURNAL_SINCE) && first->group == record->group &&
			    (mask & MASK(first->verb)))
				break;
		if (first != record)
			continue;               /* its group had its turn, and could not */
		r = act_release_tasks(a, record->group, mask, how & FINAL, until, ret_n);
		if (r < 0 && error == 0) {
			error = r;
			memcpy(kept, a->message, sizeof(kept));
		}
	}
	memcpy(a->message, kept, sizeof(kept));
	return error;
}

int act_restore_all(struct act *a, unsigned *ret_n)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	unsigned n = 0;
	int r, e;

	a->message[0] = '\0';
	r = act_release(a, GROUP_NONE, MASK_ALL, PATIENT, tree_clock() + ACT_RESTORE_BUDGET, &n);
	if (journal_live(a->journal) > 0) {
		(void)nanosleep(&pause, NULL);          /* forks that had begun (tasks.c) */
		e = act_release(a, GROUP_NONE, MASK_ALL, FINAL | PATIENT, tree_clock() + ACT_RESTORE_BUDGET, &n);
		r = e < 0 ? e : journal_live(a->journal) > 0 ? r : 0;
	}
	if (ret_n != NULL)
		*ret_n = n;
	if (r < 0)
		knob_say(a, "%u values could not be put back, and stay in the undo journal: %s", journal_live(a->journal), a->message);
	if (journal_live(a->journal) == 0 && memcmp(&a->layout, journal_layout(a->journal), sizeof(a->layout)) != 0) {
		e = journal_set_layout(a->journal, &a->layout);
		if (e >= 0)
			e = act_open_trees(a, &a->layout);
		return r < 0 ? r : e;
	}
	return r;
}

unsigned act_left_over(const struct act *a)
{
	unsigned n = 0;

	for (const struct journal_record *r = journal_next(a->journal, NULL); r != NULL; r = journal_next(a->journal, r))
		n += journal_is_old(a->journal, r);
	return n;
}

int act_restore_left_over(struct act *a, unsigned *ret_n)
{
	a->message[0] = '\0';
	*ret_n = 0;
	return act_release(a, GROUP_NONE, MASK_ALL, LEFT_OVER, tree_clock() + ACT_BUDGET, ret_n);
}

/* What is wrong with a journal is said while it is opened, and nothing else is. */
struct opening {
	act_say_t say;
	void *userdata;
	bool open, wrong;
};

static void say_opening(void *data, const char *line)
{
	struct opening *o = data;

	o->wrong = o->wrong || !o->open;
	if (o->say != NULL)
		o->say(o->userdata, line);
}

int act_restore_journal(const char *rundir, act_say_t say, void *userdata, unsigned *ret_n)
{
	struct opening o = { .say = say, .userdata = userdata };
	_cleanup_(act_freep) struct act *a = NULL;
	struct act_config config = { .rundir = rundir, .say = say_opening, .userdata = &o };
	int r = act_new(&a, &config);

	o.open = true;
	if (ret_n != NULL)
		*ret_n = 0;
	if (r == 0) {
		if (act_squeezed(a) > 0)
			lifted_note(rundir);
		r = act_restore_all(a, ret_n);
	} else if (r == ACT_E_NOTHING)
		r = 0;
	return r == 0 && o.wrong ? -EBADMSG : r;
}

int act_arm(struct act *a)
{
	_cleanup_(place_close) struct place p = { .fd = -1 };
	const struct tree *t = &a->trees[JOURNAL_CPU];
	struct journal_values now, to;
	struct place root = { .fd = t->fd, .v2 = t->v2, .fake = t->fake, .path = "/", .message = a->message,
			      .message_size = sizeof(a->message) };
	int r;

	if (t->fake)
		return 0;
	if (mkdirat(t->fd, OWN_ARM, 0755) < 0 && errno != EEXIST)
		return -errno;
	r = place_child(&p, &root, OWN_ARM);
	if (r >= 0)
		r = throttle_read(&p, JOURNAL_QUOTA, &now);
	if (r >= 0) {
		to = now;
		to.v[0] = to.v[1];
		r = throttle_write(&p, JOURNAL_QUOTA, &now, &to);
	}
	/* It goes away with its quota on: taking that off would undo the patch. */
	if (unlinkat(t->fd, OWN_ARM, AT_REMOVEDIR) < 0 && r >= 0)
		r = -errno;
	return r;
}

/* Refuses what is never squeezed. */
static int act_target(struct act *a, const struct group_info *group)
{
	char name[192];
	const char *why = NULL;

	if (group == NULL)
		why = "an unknown cgroup";
	else if (group->flags & GROUP_IS_ROOT || !journal_path_is_sound(group->path))
		why = "the root cgroup";
	else if (group->flags & GROUP_IS_SELF || tree_holds_us(&a->trees[JOURNAL_CPU], group->path))
		why = "a cgroup of our own";
	else if (group->flags & GROUP_NO_TARGET)
		why = "a cgroup that cannot be told by its path";
	if (why == NULL)
		return 0;
	str_format(a->message, sizeof(a->message), "%s (%s) is never a target", group != NULL ?
		   str_escape(name, sizeof(name), group->path) : "?", why);
	return -EPERM;
}

/* ret: what reading back gave; where it was refused (EEXIST), the limit that it has. */
static int act_value(struct act *a, enum journal_kind kind, const struct action *action, const struct group_info *group, int64_t ret[static 2])
{
	_cleanup_(place_close) struct place p = { .fd = -1 };
	struct journal_values to = {}, now = {};
	char path[GROUP_PATH_MAX];
	int r;

	r = knob_place(a, kind, group, &p, path);
	if (r < 0)
		return r;
	switch (kind) {
	case JOURNAL_LIFELINE:
		r = knob_lifeline(a, group->id, &p, action->value, &now);
		break;
	case JOURNAL_WEIGHT:
		r = throttle_read(&p, kind, &now);
		to.v[0] = throttle_weight_to_file(p.v2, action->value);
		break;
	case JOURNAL_QUOTA:
		r = throttle_read(&p, kind, &now);
		to = (struct journal_values){ .v = { action->value, action->value2, now.v[2] < 0 ? -1 : 0 } };
		break;
	case JOURNAL_PIDS:
		to.v[0] = action->value;
		if (to.v[0] < 0)
			r = place_read_number(&p, "pids.current", &to.v[0]);
		if (r >= 0)
			r = throttle_read(&p, kind, &now);
		if (r >= 0 && now.v[0] >= 0)
			to.v[0] = MIN(to.v[0], now.v[0]);
		break;
	default:
		to.v[0] = 1;
	}
	if (r >= 0 && (kind == JOURNAL_WEIGHT || kind == JOURNAL_QUOTA))
		r = knob_refuse(a, kind, group->id, &p, &now, &to, ret);
	if (r >= 0 && kind != JOURNAL_LIFELINE)
		r = knob_set(a, kind, action->verb, group->id, &p, &to, &now);
	if (r < 0)
		return r;
	ret[0] = kind == JOURNAL_WEIGHT || kind == JOURNAL_LIFELINE ? throttle_weight_from_file(p.v2, now.v[0]) : now.v[0];
	ret[1] = kind == JOURNAL_QUOTA ? now.v[1] : 0;
	return 0;
}

static int act_kill(struct act *a, const struct group_info *group, unsigned *ret_n)
{
	_cleanup_(place_close) struct place p = { .fd = -1 }, freezer = { .fd = -1 }, jail = { .fd = -1 };
	static const struct journal_values on = { .v = { 1 } };
	struct journal_record *record;
	struct journal_values now;
	char path[GROUP_PATH_MAX], freezer_path[GROUP_PATH_MAX];
	bool frozen = false;
	int r;

	r = knob_place(a, JOURNAL_QUOTA, group, &p, path);
	if (r < 0)
		return r;
	/* A freeze as any other: journalled, so that it ends even if we end in between. */
	if (!(p.v2 && place_has(&p, "cgroup.kill")) && knob_place(a, JOURNAL_FREEZE, group, &freezer, freezer_path) >= 0)
		frozen = knob_set(a, JOURNAL_FREEZE, VERB_FREEZE, group->id, &freezer, &on, &now) >= 0;
	(void)place_child(&jail, &p, JAIL_NAME);
	r = throttle_kill(&p, &jail, frozen ? &freezer : NULL, ret_n);
	record = journal_find(a->journal, JOURNAL_FREEZE, group->id);
	if (record != NULL)
		(void)knob_release(a, record);
	return r;
}

static int act_tasks(struct act *a, const struct action *action, const struct task_ref *tasks, const struct group_info *group,
		     unsigned *ret_n)
{
	_cleanup_(place_close) struct place p = { .fd = -1 };
	char path[GROUP_PATH_MAX];
	int r;

	r = knob_place(a, JOURNAL_WEIGHT, group, &p, path);
	if (r < 0)
		return r;
	if (action->verb == VERB_JAIL)
		return jail_enter(a->journal, group->id, group->id, &p, action->value, action->value2, tasks, action->n_tasks, ret_n);
	return tasks_lower(a->journal, action->verb, group->id, group->id, &p, tasks, action->n_tasks, ret_n);
}

static void act_result(struct act *a, uint64_t action, int r, const int64_t value[static 2], unsigned n, struct result *ret)
{
	*ret = (struct result){
		.action = action, .status = r < 0 ? RESULT_FAILED : RESULT_DONE, .error = r < 0 ? -r : 0,
		.value = value[0], .value2 = value[1], .n_tasks = n,
	};
	if (r >= 0)
		a->message[0] = '\0';
	else if (a->message[0] == '\0')
		str_format(a->message, sizeof(a->message), "%s", strerror(-r));
}

bool act_carry_out(struct act *a, const struct action *action, const struct task_ref *tasks,
		   const struct group_info *group, struct result *ret)
{
	static const uint8_t kinds[_VERB_MAX] = {
		[VERB_WEIGHT] = JOURNAL_WEIGHT, [VERB_IDLE] = JOURNAL_IDLE, [VERB_QUOTA] = JOURNAL_QUOTA,
		[VERB_PIDS] = JOURNAL_PIDS, [VERB_FREEZE] = JOURNAL_FREEZE, [VERB_LIFELINE] = JOURNAL_LIFELINE,
	};
	enum verb verb = action->verb;
	int64_t value[2] = { 0 };
	unsigned n = 0;
	int r;

	a->message[0] = '\0';
	if (verb == VERB_RELEASE) {
		r = act_release(a, action->group, action->value != 0 ? (uint32_t)action->value : MASK_ALL & ~MASK(VERB_LIFELINE), 0,
				tree_clock() + ACT_BUDGET, &n);
		value[0] = n;
	} else if (verb == VERB_LIFELINE && group != NULL && !(group->flags & (GROUP_IS_ROOT|GROUP_NO_TARGET)))
		r = act_value(a, JOURNAL_LIFELINE, action, group, value);
	else {
		r = act_target(a, group);
		if (r >= 0 && verb < _VERB_MAX && kinds[verb] != 0)
			r = act_value(a, kinds[verb], action, group, value);
		else if (r >= 0 && verb == VERB_KILL)
			r = act_kill(a, group, &n);
		else if (r >= 0 && (verb == VERB_JAIL || verb == VERB_TASKS_IDLE || verb == VERB_TASKS_OTHER))
			r = act_tasks(a, action, tasks, group, &n);
		else if (r >= 0)
			r = -ENOTSUP;
	}
	if (r >= 0 && verb == VERB_FREEZE && a->n_freezing < ELEMENTSOF(a->freezing)) {
		a->freezing[a->n_freezing].action = action->id;
		a->freezing[a->n_freezing].group = action->group;
		a->freezing[a->n_freezing++].since = tree_clock();
		return false;
	}
	act_result(a, action->id, r, value, n, ret);
	return true;
}

/* 1: frozen, or released meanwhile; 0: not yet; -errno, and thawed. */
static int act_frozen(struct act *a, uint64_t group, bool late)
{
	_cleanup_(place_close) struct place p = { .fd = -1 };
	struct journal_record *record = journal_find(a->journal, JOURNAL_FREEZE, group);
	char path[GROUP_PATH_MAX], name[192];
	int r;

	if (record == NULL)
		return 1;
	r = knob_place_of(a, record, &p, path);
	if (r >= 0)
		r = throttle_frozen(&p);
	if (r > 0 || (r == 0 && !late))
		return r;
	(void)knob_release(a, record);
	if (r == 0) {
		str_format(a->message, sizeof(a->message), "cgroup %s did not freeze within %u ms and was thawed again",
			   str_escape(name, sizeof(name), path), (unsigned)(ACT_FREEZE / USEC_PER_MSEC));
		r = -ETIMEDOUT;
	}
	return r;
}

bool act_poll(struct act *a, struct result *ret)
{
	usec_t now = tree_clock();

	a->message[0] = '\0';
	for (unsigned i = 0; i < a->n_freezing; i++) {
		uint64_t action = a->freezing[i].action;
		int r = act_frozen(a, a->freezing[i].group, now - a->freezing[i].since >= ACT_FREEZE);

		if (r == 0)
			continue;
		a->freezing[i] = a->freezing[--a->n_freezing];
		act_result(a, action, r, (const int64_t[2]){ 1 }, 0, ret);
		return true;
	}
	return false;
}

unsigned act_pending(const struct act *a)
{
	return a->n_freezing;
}

int act_check_drift(struct act *a, struct drift *ret, size_t max)
{
	struct journal_record *record;
	size_t n = 0;
	char kept[ACT_MESSAGE_MAX];

	memcpy(kept, a->message, sizeof(kept));
	for (record = journal_next(a->journal, NULL); record != NULL && n < max; record = journal_next(a->journal, record)) {
		_cleanup_(place_close) struct place p = { .fd = -1 };
		char path[GROUP_PATH_MAX];
		enum verb knob = record->verb;
		uint64_t group = record->group;
		bool original = true, over;
		unsigned back = 0;
		int r = 0;

		if (tasks_linger(record, &over))
			(void)act_release_tasks(a, group, MASK(VERB_TASKS_IDLE), over, tree_clock() + TASKS_SCAN_MAX, &back);
		else if (record->kind == JOURNAL_JAIL) {
			r = knob_place_of(a, record, &p, path);
			r = r >= 0 ? jail_check(record, &p) == 0 : 0;
		} else if (record->kind != JOURNAL_TASK && record->kind != JOURNAL_SINCE && record->kind != JOURNAL_LIFELINE)
			r = knob_drifted(a, record, &original);
		if (r > 0)
			ret[n++] = (struct drift){ .group = group, .knob = knob, .original = original,
				.value = knob == VERB_WEIGHT ? throttle_weight_from_file(a->trees[JOURNAL_CPU].v2, record->original.v[0]) : record->original.v[0],
				.value2 = knob == VERB_QUOTA ? record->original.v[1] : 0 };
	}
	memcpy(a->message, kept, sizeof(kept));
	return (int)n;
}

int act_keep(struct act *a)
{
	int r = journal_keep(a->journal);

	return r >= 0 && journal_anew(a->journal) ? 1 : r;
}

unsigned act_live(const struct act *a)
{
	return journal_live(a->journal);
}

const char *act_message(const struct act *a)
{
	return a->message;
}
