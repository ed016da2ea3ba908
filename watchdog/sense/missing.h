/* SPDX-License-Identifier: Apache-2.0 */
/* missing: a capability this machine does not give, told once, with the remedy. */
#pragma once

#define MISSING_MAX      8      /* kinds there are; a new one of the same name replaces the old */
#define MISSING_TEXT_MAX 224

struct missing {
	const char *name;               /* "probe-btf", "pressure-off", …; static */
	char what[MISSING_TEXT_MAX];    /* what is missing and what is used instead; one sentence, printable */
	char remedy[MISSING_TEXT_MAX];  /* what to do about it; "" where there is nothing */
};
