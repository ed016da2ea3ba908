/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgpath.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

/* "4:cpu,cpuacct:/a:b/c", "0::/v2": a path may hold colons, the two fields before do not. */
int cgpath_of(const char *text, const char *controller, char *buf, size_t size)
{
	for (const char *line = text, *end; *line != '\0'; line = *end != '\0' ? end + 1 : end) {
		const char *names, *path;
		size_t n;

		end = line + strcspn(line, "\n");
		names = memchr(line, ':', (size_t)(end - line));
		path = names != NULL ? memchr(names + 1, ':', (size_t)(end - names - 1)) : NULL;
		if (path == NULL)
			continue;
		n = (size_t)(path - names - 1);
		if (controller[0] != '\0' ? !str_has_word(names + 1, n, controller, ",") : n > 0)
			continue;
		path++;
		n = (size_t)(end - path);
		if (*path != '/')
			return -EINVAL;
		if (n >= size)
			return -ENAMETOOLONG;
		memcpy(buf, path, n);
		buf[n] = '\0';
		return 0;
	}
	return -ENOENT;
}
