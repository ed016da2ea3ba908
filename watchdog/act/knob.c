/* SPDX-License-Identifier: Apache-2.0 */
/* knob: the order in which file and journal are written.
 *
 *   read what is there → record {original, ours, busy} → write → read back → record {busy = 0}
 *
 * and back: record {busy} → write the original → read back → free the record. Stopped
 * anywhere, the record says what may be found: the original (nothing happened, or all
 * is back), ours, ours of before, or, while busy, what lies between, since quota,
 * period and burst are three files. What is none of these was written by somebody
 * else later, and is theirs: it is left, and said. Each write of ours reads first, too:
 * what somebody wrote over our value since is what it will be put back to.
 *
 * Three values share the weight file. cpu.idle hides and destroys it, so idle's record
 * holds it too, and a weight is neither set nor looked at under our cpu.idle. A lifeline
 * is a weight below a squeeze's: the squeeze's original is the lifeline's value, and
 * squeezes are put back first. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "act/jail.h"
#include "act/knob.h"
#include "act/throttle.h"
#include "base/str.h"

#define TEXT_MAX 80

void knob_say(struct act *a, const char *format, ...)
{
	char line[ACT_MESSAGE_MAX];
	va_list args;

	if (a->say == NULL)
		return;
	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	a->say(a->userdata, line);
}

static const char *kind_name(enum journal_kind kind)
{
	static const char *const names[_JOURNAL_KIND_MAX] = {
		[JOURNAL_WEIGHT] = "weight", [JOURNAL_IDLE] = "cpu.idle", [JOURNAL_QUOTA] = "quota", [JOURNAL_PIDS] = "pids.max",
		[JOURNAL_FREEZE] = "freezer", [JOURNAL_LIFELINE] = "lifeline weight",
	};

	return names[kind] != NULL ? names[kind] : "value";
}

static const char *values_text(enum journal_kind kind, const struct journal_values *v, char buf[static TEXT_MAX])
{
	if (kind == JOURNAL_QUOTA)
		str_format(buf, TEXT_MAX, "%lld/%lld/%lld", (long long)v->v[0], (long long)v->v[1], (long long)v->v[2]);
	else if (kind == JOURNAL_IDLE)
		str_format(buf, TEXT_MAX, "%lld (weight %lld)", (long long)v->v[0], (long long)v->v[1]);
	else
		str_format(buf, TEXT_MAX, "%lld", (long long)v->v[0]);
	return buf;
}

static enum journal_tree kind_tree(enum journal_kind kind)
{
	return kind == JOURNAL_PIDS ? JOURNAL_PIDS_TREE : kind == JOURNAL_FREEZE ? JOURNAL_FREEZER : JOURNAL_CPU;
}

int knob_place_of(struct act *a, const struct journal_record *record, struct place *ret, char path[static GROUP_PATH_MAX])
{
	int r = journal_path(a->journal, record, path);

	if (r < 0)
		return r;
	return place_open(ret, &a->trees[record->tree], path, record->inode, a->message, sizeof(a->message));
}

int knob_place(struct act *a, enum journal_kind kind, const struct group_info *group, struct place *ret,
		  char path[static GROUP_PATH_MAX])
{
	_cleanup_(place_close) struct place there = { .fd = -1 }, jail = { .fd = -1 };
	const struct tree *cpu = &a->trees[JOURNAL_CPU], *t = &a->trees[kind_tree(kind)];
	const struct journal_record *record = journal_find(a->journal, kind, group->id);
	uint64_t inode;
	int r;

	str_copy(path, GROUP_PATH_MAX, group->path);
	if (t == cpu || strcmp(t->root, cpu->root) == 0)
		return place_open(ret, t, path, group->id, a->message, sizeof(a->message));
	if (record != NULL && knob_place_of(a, record, ret, path) >= 0)
		return 0;
	r = place_open(&there, cpu, group->path, group->id, a->message, sizeof(a->message));
	if (r >= 0)
		r = tree_find(t, cpu, &there, path, &inode);
	if (r == -ESTALE && there.fd >= 0 && place_child(&jail, &there, JAIL_NAME) >= 0)
		r = tree_find(t, cpu, &jail, path, &inode);     /* they are all in there */
	return r < 0 ? r : place_open(ret, t, path, inode, a->message, sizeof(a->message));
}

static int no_record(const struct place *p, int error)
{
	return place_fail(p, -ENOSPC, "the undo journal does not take a record (%s), so nothing is changed",
			  error == -ENOSPC ? "it is full" : strerror(-error));
}

/* After a failed write: the record says again what is there. */
static void knob_undo(struct act *a, struct journal_record *record, bool is_new, const struct place *p)
{
	char kept[ACT_MESSAGE_MAX];
	struct journal_record with = *record;
	struct journal_values now;

	memcpy(kept, a->message, sizeof(kept));
	if (is_new)
		(void)knob_release(a, record);
	else if (throttle_read(p, record->kind, &now) >= 0 && throttle_equal(record->kind, &now, &record->previous)) {
		with.ours = with.previous;
		with.busy = 0;
		(void)journal_update(a->journal, record, &with);
	}
	memcpy(a->message, kept, sizeof(kept));
}

/* Somebody else's value is about to be overwritten: it is the original from now on. */
static void take_theirs(struct act *a, struct journal_record *with, const struct place *p, const struct journal_values *now)
{
	char found[TEXT_MAX], ours[TEXT_MAX], name[192];

	if (throttle_is_ours(with, now) || throttle_equal(with->kind, now, &with->original))
		return;
	knob_say(a, "%s of %s is %s, not ours (%s) any more: somebody else's decision, and what it will be put back to",
		    kind_name(with->kind), str_escape(name, sizeof(name), p->path), values_text(with->kind, now, found),
		    values_text(with->kind, &with->ours, ours));
	with->original = throttle_theirs(with, now);
}

int knob_set(struct act *a, enum journal_kind kind, enum verb verb, uint64_t group, const struct place *p,
		const struct journal_values *to, struct journal_values *ret)
{
	struct journal_record *record = journal_find(a->journal, kind, group), with;
	bool is_new = record == NULL;
	struct journal_values now;
	int r;

	if (kind == JOURNAL_WEIGHT && journal_find(a->journal, JOURNAL_IDLE, group) != NULL)
		return place_fail(p, -EBUSY, "an idle cgroup (cpu.idle) has no weight: release cpu.idle first");
	r = throttle_read(p, kind, &now);
	if (r < 0)
		return r;
	if (throttle_equal(kind, &now, to) && (is_new || throttle_equal(kind, &now, &record->ours))) {
		if (!is_new)
			journal_claim(a->journal, record);
		*ret = now;
		return 0;
	}
	if (is_new) {
		with = (struct journal_record){
			.kind = (uint8_t)kind, .tree = (uint8_t)kind_tree(kind), .verb = (uint8_t)verb, .busy = 1,
			.group = group, .inode = place_inode(p), .original = now, .ours = *to, .previous = now,
		};
		r = journal_add(a->journal, &with, p->path, &record);
	} else {
		with = *record;
		take_theirs(a, &with, p, &now);
		with.previous = record->ours;
		with.ours = *to;
		with.busy = 1;
		r = journal_update(a->journal, record, &with);
	}
	if (r < 0)
		return no_record(p, r);
	journal_claim(a->journal, record);

	r = throttle_write(p, kind, &now, to);
	if (r >= 0)
		r = throttle_read(p, kind, &now);
	if (r >= 0 && !throttle_equal(kind, &now, to)) {
		char text[TEXT_MAX], want[TEXT_MAX];

		r = place_fail(p, -EIO, "%s was written as %s but reads %s", kind_name(kind), values_text(kind, to, want),
			       values_text(kind, &now, text));
	}
	if (r < 0) {
		knob_undo(a, record, is_new, p);
		return r;
	}
	with = *record;
	with.busy = 0;
	/* Fails only with a broken /run, and then busy is merely more tolerant. */
	(void)journal_update(a->journal, record, &with);
	*ret = now;
	return 0;
}

int knob_refuse(struct act *a, enum journal_kind kind, uint64_t group, const struct place *p, const struct journal_values *now,
		struct journal_values *to, int64_t ret[static 2])
{
	const struct journal_record *record = journal_find(a->journal, kind, group);
	struct journal_values own = record == NULL ? *now : throttle_is_ours(record, now) ? record->original : throttle_theirs(record, now);
	int64_t product;

	ret[0] = kind == JOURNAL_WEIGHT ? throttle_weight_from_file(p->v2, own.v[0]) : own.v[0];
	ret[1] = own.v[1];
	if (own.v[0] <= 0)
		return 0;
	if (kind == JOURNAL_WEIGHT ? ret[0] < throttle_weight_from_file(p->v2, to->v[0]) :
	    !__builtin_mul_overflow(own.v[0], to->v[1], &product) && product < to->v[0] * own.v[1])
		return place_fail(p, -EEXIST, "its own limit is tighter than what it was to get, and is not loosened");
	if (kind == JOURNAL_WEIGHT)
		to->v[0] = MIN(to->v[0], own.v[0]);
	return 0;
}

static int release_found(struct act *a, struct journal_record *record, const struct place *p)
{
	char found[TEXT_MAX], ours[TEXT_MAX], original[TEXT_MAX], name[192];
	struct journal_record with = *record;
	struct journal_values now, theirs = {};
	bool partly = false;
	int r;

	r = throttle_read(p, record->kind, &now);
	if (r == -ESTALE || r == -ENOENT)
		return KNOB_NOTHING;         /* the value went away with its cgroup or controller */
	if (r < 0)
		return r;
	if (throttle_equal(record->kind, &now, &record->original))
		return KNOB_NOTHING;
	if (!throttle_is_ours(record, &now)) {
		theirs = now;
		with.original = throttle_theirs(record, &now);
		partly = !throttle_equal(record->kind, &now, &with.original);
		knob_say(a, "%s of %s is %s, neither ours (%s) nor the original (%s): somebody else's decision, left as it is%s",
			    kind_name(record->kind), str_escape(name, sizeof(name), p->path),
			    values_text(record->kind, &now, found), values_text(record->kind, &record->ours, ours),
			    values_text(record->kind, &record->original, original), partly ? ", but for what is still ours of it" : "");
		if (!partly)
			return KNOB_LEFT;
	}
	with.busy = 1;
	(void)journal_update(a->journal, record, &with);
	r = throttle_write(p, record->kind, &now, &with.original);
	if (r == -EINVAL && partly && throttle_read(p, record->kind, &now) >= 0)
		return throttle_write(p, record->kind, &now, &theirs) < 0 ? r : KNOB_LEFT;
	/* v1: above it somebody has set less than it had. Without a limit of its own it has at least
	 * that, rather than our small one, until the original is taken. */
	if (r == -EINVAL && record->kind == JOURNAL_QUOTA && throttle_read(p, record->kind, &now) >= 0) {
		struct journal_values open = with.original;

		open.v[0] = -1;
		return throttle_write(p, record->kind, &now, &open) < 0 || with.original.v[0] != -1 ? r : KNOB_RESTORED;
	}
	if (r >= 0)
		r = throttle_read(p, record->kind, &now);
	if (r == -ESTALE)
		return KNOB_NOTHING;
	if (r < 0)
		return r;
	if (!throttle_equal(record->kind, &now, &with.original))
		return place_fail(p, -EIO, "%s of %s was put back as %s but reads %s", kind_name(record->kind),
				  str_escape(name, sizeof(name), p->path), values_text(record->kind, &with.original, original),
				  values_text(record->kind, &now, found));
	return KNOB_RESTORED;
}

int knob_release(struct act *a, struct journal_record *record)
{
	_cleanup_(place_close) struct place p = { .fd = -1 };
	struct journal_record *idle = journal_find(a->journal, JOURNAL_IDLE, record->group), with;
	char path[GROUP_PATH_MAX];
	int r, done;

	if (record->kind == JOURNAL_WEIGHT && idle != NULL) {
		with = *idle;
		with.original.v[1] = record->original.v[0];
		r = journal_update(a->journal, idle, &with);
		if (r < 0)
			return r;
		done = KNOB_RESTORED;
	} else {
		r = knob_place_of(a, record, &p, path);
		done = r == -ESTALE ? KNOB_NOTHING : r < 0 ? r : release_found(a, record, &p);
		if (done < 0)
			return done;
	}
	r = journal_done(a->journal, record);
	return r < 0 ? r : done;
}

int knob_drifted(struct act *a, struct journal_record *record, bool *ret_original)
{
	_cleanup_(place_close) struct place p = { .fd = -1 };
	struct journal_record with = *record;
	struct journal_values now;
	char path[GROUP_PATH_MAX];
	int r;

	if (record->kind == JOURNAL_WEIGHT && journal_find(a->journal, JOURNAL_IDLE, record->group) != NULL)
		return 0;
	r = knob_place_of(a, record, &p, path);
	if (r >= 0)
		r = throttle_read(&p, record->kind, &now);
	if (r == -ESTALE)
		return journal_done(a->journal, record);
	if (r == -ENOENT) {
		*ret_original = true;           /* the controller was taken away, and the value with it */
		return 1;
	}
	if (r < 0 || throttle_is_ours(record, &now))
		return r;
	now = throttle_theirs(record, &now);
	*ret_original = throttle_equal(record->kind, &now, &record->original);
	if (*ret_original)
		return 1;
	with.original = now;
	r = journal_update(a->journal, record, &with);
	return r < 0 ? r : 1;
}

int knob_lifeline(struct act *a, uint64_t group, const struct place *p, int64_t weight, struct journal_values *ret)
{
	struct journal_record *lifeline = journal_find(a->journal, JOURNAL_LIFELINE, group);
	struct journal_record *squeeze = journal_find(a->journal, JOURNAL_WEIGHT, group), with;
	struct journal_values to = { .v = { throttle_weight_to_file(p->v2, weight) } };
	int r;

	if (weight < 0 && lifeline == NULL)
		return throttle_read(p, JOURNAL_LIFELINE, ret);
	if (journal_find(a->journal, JOURNAL_IDLE, group) != NULL)
		return place_fail(p, -EBUSY, "an idle cgroup (cpu.idle) has no weight: release cpu.idle first");
	if (squeeze == NULL) {
		if (weight >= 0)
			return knob_set(a, JOURNAL_LIFELINE, VERB_LIFELINE, group, p, &to, ret);
		r = knob_release(a, lifeline);
		return r < 0 ? r : throttle_read(p, JOURNAL_LIFELINE, ret);
	}

	/* Below a squeeze nothing is written: only what it will be put back to changes. Where
	 * that is not the lifeline any more, somebody else has set it since. */
	if (weight < 0)
		to = throttle_equal(JOURNAL_WEIGHT, &squeeze->original, &lifeline->ours) ? lifeline->original : squeeze->original;
	else if (lifeline == NULL) {
		with = (struct journal_record){
			.kind = JOURNAL_LIFELINE, .tree = JOURNAL_CPU, .verb = VERB_LIFELINE, .group = group,
			.inode = squeeze->inode, .original = squeeze->original, .ours = to, .previous = to,
		};
		r = journal_add(a->journal, &with, p->path, &lifeline);
		if (r < 0)
			return no_record(p, r);
	} else {
		with = *lifeline;
		if (!throttle_equal(JOURNAL_WEIGHT, &squeeze->original, &lifeline->ours))
			with.original = squeeze->original;
		with.previous = with.ours;
		with.ours = to;
		r = journal_update(a->journal, lifeline, &with);
		if (r < 0)
			return no_record(p, r);
	}
	with = *squeeze;
	with.original = to;
	r = journal_update(a->journal, squeeze, &with);
	if (r < 0)
		return no_record(p, r);
	*ret = to;
	return weight < 0 ? journal_done(a->journal, lifeline) : 0;
}
