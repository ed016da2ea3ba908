/* SPDX-License-Identifier: Apache-2.0 */
/* journal-peek: how much a journal holds, for who only asks. It takes no lock, in whose way a
 * restore would be, and mends nothing, which would hide damage from that restore. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "act/journal.h"
#include "base/cleanup.h"
#include "base/str.h"

unsigned journal_peek(const char *rundir)
{
	_cleanup_(cleanup_close) int fd = -1;
	struct journal_record record;
	char file[512], path[GROUP_PATH_MAX];
	_Alignas(struct journal_record) unsigned char slot[JOURNAL_RECORD_SIZE];
	uint64_t boot[2];
	unsigned n = 0;

	if (!str_format(file, sizeof(file), "%s/" JOURNAL_FILE, rundir) || journal_boot(boot) < 0)
		return 0;
	fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	for (unsigned i = 0; fd >= 0 && i < JOURNAL_SLOTS; i++) {
		off_t at = JOURNAL_HEADER_SIZE + (off_t)i * JOURNAL_RECORD_SIZE;

		if (pread(fd, slot, sizeof(slot), at) != (ssize_t)sizeof(slot))
			break;
		n += journal_check(slot, boot, &record, path);
	}
	return n;
}
