/* SPDX-License-Identifier: Apache-2.0 */
/* complain: arguments of the command line get into these texts, so they are escaped. */
#include "ctl/complain.h"

#include <stdio.h>

#include "base/str.h"
#include "ctl/answers.h"

int complain(bool json, int code, const char *error, const char *remedy)
{
	char e[1024], m[1024], buf[16 * 1024];
	const char *text;
	struct json j;

	str_escape(e, sizeof(e), error);
	str_escape(m, sizeof(m), remedy ? remedy : "");
	if (!json) {
		fprintf(stderr, "reprieve: %s%s%s\n", e, m[0] ? "; " : "", m);
		return code;
	}
	json_init(&j, buf, sizeof(buf));
	answer_error(&j, e, m[0] ? m : NULL);
	if (json_finish(&j, &text) == 0)
		puts(text);
	return code;
}
