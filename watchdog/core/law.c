/* SPDX-License-Identifier: Apache-2.0 */
/*
 * law: cut at once, hold, give back slowly
 *
 * The floor is on the sum: 64 groups of 5 % of a CPU each are three CPUs, which on
 * a machine of two relieves nobody (measured: 4.9-5.9 s per login; at 1 % each
 * 0.34 s). So a quota is always a share of what all squeezed ones have together.
 *
 * The period is short where the quota allows it, since a task that is throttled in
 * the kernel holds its locks for about a period (before 6.18): 25 ms with 2 ms for
 * each CPU the group runs on. Where many groups share little, the quota goes down to
 * the kernel's least, 1 ms, before the period gets longer; so 64 groups with a
 * quarter of two CPUs get 1 ms in 128. All periods begin with the write, together:
 * short bursts harm less than long ones.
 *
 * No integral term: nothing winds up while the victims are asleep.
 */
#include "core/law.h"

#include "base/macro.h"

permyriad_t law_first_share(permyriad_t usage, permyriad_t entitled, permyriad_t floor)
{
	permyriad_t share = MIN(usage / 2, entitled);

	return CLAMP(share, floor, PERMYRIAD_FULL);
}

permyriad_t law_cut(permyriad_t share, permyriad_t floor)
{
	return MAX(share / 2, floor);
}

permyriad_t law_grow(permyriad_t share, permyriad_t growth, usec_t dt, permyriad_t ceiling)
{
	uint64_t more = (uint64_t)growth * MIN(dt, 10 * USEC_PER_SEC) / USEC_PER_SEC;
	uint64_t grown = (uint64_t)share + more;

	return (permyriad_t)MIN(grown, (uint64_t)MAX(ceiling, share));
}

struct law_quota law_quota(permyriad_t share, uint32_t n, uint32_t ncpu, uint32_t cpus, int64_t period_us)
{
	/* In nanoseconds of CPU time per second. */
	int64_t rate = (int64_t)MAX(share, 1) * MAX(ncpu, 1) * (int64_t)(1000000000 / PERMYRIAD_FULL) / MAX(n, 1);
	int64_t period = LAW_PERIOD_FIRST, least = MIN(2 * LAW_QUOTA_LEAST * (int64_t)MAX(cpus, 1), 4 * LAW_QUOTA_LEAST);
	struct law_quota q;

	rate = MAX(rate, 1);
	if (period_us >= 1000 && period_us <= LAW_PERIOD_MOST && rate * period_us / 1000000000 >= LAW_QUOTA_LEAST)
		period = period_us;
	else {
		/* Up to 100 ms for the comfortable quota, beyond that only for the least one. */
		while (period < 4 * LAW_PERIOD_FIRST && rate * period / 1000000000 < least)
			period *= 2;
		if (rate * period / 1000000000 < LAW_QUOTA_LEAST)
			period = (LAW_QUOTA_LEAST * INT64_C(1000000000) + rate - 1) / rate;
		period = MIN(period, LAW_PERIOD_MOST);
	}
	q.period_us = period;
	q.quota_us = MAX(rate * period / 1000000000, LAW_QUOTA_LEAST);
	return q;
}

bool law_worth_writing(struct law_quota old, struct law_quota new_)
{
	int64_t a, b;

	if (old.quota_us <= 0 || old.period_us <= 0)
		return true;
	a = old.quota_us * 1000000 / old.period_us;
	b = new_.quota_us * 1000000 / new_.period_us;
	return (a > b ? a - b : b - a) * PERMYRIAD_FULL >= a * LAW_DEAD_BAND;
}

int32_t law_weight(int32_t weight)
{
	return weight <= 1 ? 0 : MAX(weight / LAW_WEIGHT_PART, 1);
}

usec_t law_hold_after_relapse(usec_t hold)
{
	return CLAMP(2 * hold, LAW_HOLD_RELAPSE, LAW_HOLD_MOST);
}

permyriad_t law_growth_after_relapse(permyriad_t growth)
{
	return MAX(growth / 2, LAW_GROWTH_LEAST);
}
