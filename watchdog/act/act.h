/* SPDX-License-Identifier: Apache-2.0 */
/* act: carries out the engine's squeezes, and puts them back.
 *
 * Contract: whatever is changed is in the undo journal (act/journal.h) before it
 * is changed; an action whose record cannot be written is refused and changes
 * nothing. Every value is read back. Nothing here allocates after act_new(),
 * logs, forks, or takes much longer than ACT_BUDGET; of that it sleeps 20 ms a jail at most,
 * where a jail or a cgroup without cgroup.kill forks faster than it is emptied.
 *
 * Errors in result.error, as positive errno:
 *   ESTALE   the cgroup or task is gone, or another one has its name now
 *   ENOENT   the file for it is missing: controller not enabled, kernel too old
 *   EPERM    never a target: the root cgroup, ourselves, unreadable, kernel thread
 *   EBUSY    something in the way: see act_message()
 *   ENOSPC   the journal is full or could not be written; nothing was changed
 *   ETIMEDOUT  not frozen within ACT_FREEZE (thawed again), or a long release that goes on next time
 *   others as the kernel gave them; act_message() says what they mean here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "act/layout.h"
#include "base/units.h"
#include "core/action.h"
#include "core/event.h"
#include "core/snapshot.h"

#define ACT_MESSAGE_MAX  384    /* bytes of one line for people, cut */
#define ACT_BUDGET       (100 * USEC_PER_MSEC)
#define ACT_FREEZE       (100 * USEC_PER_MSEC)  /* until a cgroup is frozen */
#define ACT_POLL         (20 * USEC_PER_MSEC)   /* how often to ask whether it is */

struct act;                     /* opaque: file descriptors, the journal, one message buffer */

struct act_config {
	const char *rundir;             /* NULL: "/run/reprieve"; made if missing */
	const struct act_layout *layout;/* NULL: the one in the journal (restore only) */
	bool fake;                      /* tests: the roots are plain directories */
	act_say_t say;                  /* may be NULL */
	void *userdata;
};

enum {
	ACT_E_RUNNING = 1,              /* another guard holds this journal */
	ACT_E_NOTHING = 2,              /* no layout given and no journal there: nothing to restore */
};

/* Opens and locks the journal, loads what it holds, changes nothing. 0, ACT_E_*,
 * -ENOSPC (no room for the journal: only observe), -EPERM (rundir is not ours
 * alone), -errno. What was wrong with a journal that had to be set aside is said. */
int  act_new(struct act **ret, const struct act_config *config);
struct act *act_free(struct act *a);            /* NULL; restores nothing; takes NULL */

/* Puts back everything the journal holds, lifelines too. Call it at start, before
 * the first action, and at stop. A value that is neither ours nor the original is
 * somebody's newer decision: left and said. 0, or -errno of the first that could
 * not be put back: its record stays, call again. *ret_n: how many were put back. */
int act_restore_all(struct act *a, unsigned *ret_n);

/* How many records are left of an earlier guard that no squeeze of ours has taken over,
 * and another try to put back exactly those, within ACT_BUDGET. Returns as act_restore_all(). */
unsigned act_left_over(const struct act *a);
int act_restore_left_over(struct act *a, unsigned *ret_n);

/* act_restore_all() without a guard: `reprieved --restore`, `reprieve release --all`; see act/lifted.h.
 * 0 also where there was nothing; ACT_E_RUNNING; -EBADMSG: what could be read is put back, but
 * the journal was damaged; -errno. */
int act_restore_journal(const char *rundir, act_say_t say, void *userdata, unsigned *ret_n);

/* The first quota of a kernel patches its code: have that done now, on a cgroup of
 * our own that is gone afterwards. 0 or -errno (harmless). Not in observe mode. */
int act_arm(struct act *a);

/* Carries out VERB_WEIGHT .. VERB_LIFELINE, others give ENOTSUP. tasks are the
 * action's own tasks[0..n_tasks), group its cgroup; NULL is fine for VERB_RELEASE.
 * True: *ret is filled. False: the result comes by act_poll(), as for a freeze. ret.value: weight, quota, pids.max read back; ret.n_tasks: how
 * many tasks were changed, moved or killed.
 *   A squeeze that is there already with this value is not written again.
 *   VERB_RELEASE leaves lifelines alone unless 1 << VERB_LIFELINE is in value.
 *   After a release of VERB_TASKS_IDLE its records linger for a second, so that what
 * was being forked just then is found too; act_check_drift() ends that.
 *   Releasing what is gone or was never squeezed is done.
 * On v1 a parent's quota cannot be below its child's: squeeze the deepest first,
 * or it fails with EINVAL. */
bool act_carry_out(struct act *a, const struct action *action, const struct task_ref *tasks,
		   const struct group_info *group, struct result *ret);

/* What was begun and has ended since: true, and *ret is the result of one of them. To
 * be called every ACT_POLL while act_pending(). */
bool act_poll(struct act *a, struct result *ret);
unsigned act_pending(const struct act *a);

/* Re-reads every squeezed value, about 6 µs each; the guard calls it
 * twice a second while something is squeezed. Returns how many were found not to
 * be ours (≤ max; the rest are found next time). One that is neither ours nor the
 * original is the journal's new original before this returns. To insist, carry the
 * action out again; to yield, release the knob. Also VERB_JAIL: quota or controller
 * of the jail taken away (original = true). */
int act_check_drift(struct act *a, struct drift *ret, size_t max);

/* Is the undo journal in place? As journal_keep(); where it is below 0 nothing new is squeezed. */
int act_keep(struct act *a);

unsigned act_live(const struct act *a);         /* records in the journal now: 0 = the machine is as it was */
unsigned act_squeezed(const struct act *a);     /* those of them that are no lifeline */
const char *act_message(const struct act *a);   /* why the last action failed, one sentence; "" = it did not */
