/* SPDX-License-Identifier: Apache-2.0 */
/* suggest: "did you mean …?"
 *
 *   struct suggest s;
 *   suggest_init(&s, "MinShae");
 *   for each known word: suggest_offer(&s, word);
 *   best = suggest_best(&s);         NULL: nothing is near enough
 */
#pragma once

#include <stddef.h>

#define SUGGEST_WORD_MAX 48     /* bytes compared; longer words are never near */

struct suggest {
	const char *word, *best;        /* not copied */
	unsigned distance;
};

void suggest_init(struct suggest *s, const char *word);
void suggest_offer(struct suggest *s, const char *candidate);
const char *suggest_best(const struct suggest *s);
