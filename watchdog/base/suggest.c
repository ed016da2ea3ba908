/* SPDX-License-Identifier: Apache-2.0 */
/*
 * suggest: the known word that was most likely meant
 *
 * Edit distance with insertion, deletion, substitution and the swap of two
 * neighbours, since that is how people mistype; letters are compared without case.
 * A word is near when less than about a third of it differs: naming something
 * far-fetched is worse than naming nothing. Of equally near ones the first offered
 * wins, so the order of the key table decides and the answer is always the same.
 */

#include <string.h>

#include "base/macro.h"
#include "base/suggest.h"

void suggest_init(struct suggest *s, const char *word)
{
	*s = (struct suggest){ .word = word, .distance = (unsigned)(MIN(strlen(word), (size_t)SUGGEST_WORD_MAX) / 3 + 2) };
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned row[3][SUGGEST_WORD_MAX + 1];
	size_t i, j;

	for (j = 0; j <= m; j++)
		row[0][j] = (unsigned)j;
	for (i = 1; i <= n; i++) {
		unsigned *now = row[i % 3], *before = row[(i + 2) % 3], *earlier = row[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (j = 1; j <= m; j++) {
			unsigned same = lower(a[i - 1]) == lower(b[j - 1]);

			now[j] = MIN(MIN(before[j] + 1, now[j - 1] + 1), before[j - 1] + !same);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
				now[j] = MIN(now[j], earlier[j - 2] + 1);
		}
	}
	return row[n % 3][m];
}

void suggest_offer(struct suggest *s, const char *candidate)
{
	size_t n = strlen(s->word), m = strlen(candidate);
	unsigned d;

	if (n == 0 || n > SUGGEST_WORD_MAX || m > SUGGEST_WORD_MAX)
		return;
	d = distance(s->word, n, candidate, m);
	if (d < s->distance && d < MAX(n, m)) {
		s->distance = d;
		s->best = candidate;
	}
}

const char *suggest_best(const struct suggest *s)
{
	return s->best;
}
