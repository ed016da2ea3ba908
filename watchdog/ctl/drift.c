/* SPDX-License-Identifier: Apache-2.0 */
/* drift: twice a second while anything is changed: do the values, and the journal that knows
 * their originals, still lie where we put them? */
#include "ctl/drift.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "base/str.h"
#include "sys/log.h"

static void look_for_journal(struct driver *d)
{
	struct event e = { .type = EVENT_JOURNAL_LOST };
	char why[192];
	int r = act_keep(d->act);

	if (r > 0)
		log_warning("the undo journal had been removed from the run directory; it is written anew");
	if (r < 0 && !d->journal_lost) {
		str_format(why, sizeof(why), "the undo journal was removed from the run directory and cannot be written anew (%s): nothing is squeezed without it",
			   r == -EALREADY ? "another guard uses the directory now" : strerror(-r));
		log_error("%s", why);
		facts_set(&d->facts, "squeezing", false, why, "leave the run directory alone, and restart reprieve");
		driver_event(d, &e);
	} else if (r >= 0 && d->journal_lost)
		facts_set(&d->facts, "squeezing", true, "the journal is ready", "");
	d->journal_lost = r < 0;
}

void drift_look(struct driver *d)
{
	struct drift drifts[32];
	int n;

	d->last_drift = loop_now(d->loop);
	if (d->act == NULL || (act_live(d->act) == 0 && !d->journal_lost))
		return;
	look_for_journal(d);
	n = act_check_drift(d->act, drifts, ELEMENTSOF(drifts));
	for (int i = 0; i < n; i++) {
		struct event e = { .type = EVENT_DRIFT, .drift = drifts[i] };

		driver_event(d, &e);
	}
}
