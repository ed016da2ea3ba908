/* SPDX-License-Identifier: Apache-2.0 */
/* cleanup: what a local releases when its scope ends:
 *
 *   _cleanup_(cleanup_close) int fd = -1;
 *   _cleanup_(cleanup_fclose) FILE *f = NULL;
 *
 * Each takes an unset one (-1, NULL) and leaves errno alone. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/macro.h"

static inline void cleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

static inline void cleanup_fclose(FILE **f)
{
	int saved = errno;

	if (*f != NULL)
		(void)fclose(*f);
	*f = NULL;
	errno = saved;
}

static inline void cleanup_closedir(DIR **d)
{
	int saved = errno;

	if (*d != NULL)
		(void)closedir(*d);
	*d = NULL;
	errno = saved;
}

/* For a pointer of any type: takes its address. */
static inline void cleanup_free(void *p)
{
	void **pp = p;

	free(*pp);
	*pp = NULL;
}
