/* SPDX-License-Identifier: Apache-2.0 */
/*
 * psi: pressure by polling.
 *
 * `total` (µs) is brought up to date by each read, while avg10 moves every two
 * seconds; and the triggers allowed without CAP_SYS_RESOURCE report in steps of two
 * seconds. So one pread of a file kept open, at our own pace, finds an onset an
 * order of magnitude sooner.
 *
 * A kernel with psi=0 (the default of the Enterprise Linux kernels) may lack the
 * files, answer EOPNOTSUPP, or give an empty file: all three are "off", found out
 * once, at open. A cgroup that went away answers ENODEV.
 */
#include "sense/psi.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/str.h"
#include "sense/cgfile.h"

#define PSI_FILE_MAX 512        /* bytes of a pressure file */

static int line_total(const char *text, const char *name, uint64_t *ret)
{
	size_t n = strlen(name);
	const char *line, *end, *at;
	char number[24];

	for (line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		if (strncmp(line, name, n) != 0 || line[n] != ' ')
			continue;
		end = line + strcspn(line, "\n");
		at = strstr(line, " total=");
		if (!at || at > end)
			return -EINVAL;
		at += 7;
		if ((size_t)(end - at) >= sizeof(number))
			return -EINVAL;
		memcpy(number, at, (size_t)(end - at));
		number[end - at] = 0;
		return cgfile_parse_u64(number, ret) < 0 ? -EINVAL : 0;
	}
	return -ENOENT;
}

int psi_parse(const char *text, struct psi_totals *ret)
{
	struct psi_totals t = {};
	int r;

	if (line_total(text, "some", &t.some_us) < 0)
		return -EINVAL;
	/* Before 5.13 the cpu file has no "full" line; irq.pressure has no "some". */
	r = line_total(text, "full", &t.full_us);
	if (r < 0 && r != -ENOENT)
		return r;
	t.has_full = r == 0;
	*ret = t;
	return 0;
}

static int read_totals(int fd, struct psi_totals *ret)
{
	char buf[PSI_FILE_MAX];
	int r;

	r = cgfile_pread(fd, buf, sizeof(buf));
	if (r < 0)
		return r;
	if (r == 0)
		return -EOPNOTSUPP;
	return psi_parse(buf, ret);
}

int psi_open_at(struct psi *p, int dir, const char *path)
{
	struct psi_totals t;
	int fd, r;

	fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT && dir == AT_FDCWD ? -EOPNOTSUPP : -errno;
	r = read_totals(fd, &t);
	if (r < 0) {
		close(fd);
		return r;
	}
	*p = (struct psi){ .fd = fd };
	return 0;
}

int psi_open(struct psi *p, const char *root, const char *path)
{
	char full[512];

	if (!str_format(full, sizeof(full), "%s%s", root, path))
		return -ENAMETOOLONG;
	return psi_open_at(p, AT_FDCWD, full);
}

void psi_close(struct psi *p)
{
	if (p->fd >= 0)
		close(p->fd);
	*p = (struct psi)PSI_INIT;
}

int psi_read(struct psi *p, uint64_t *ret_some_us, uint64_t *ret_full_us)
{
	struct psi_totals now, last;
	int r;

	if (p->fd < 0)
		return -EBADF;
	r = read_totals(p->fd, &now);
	if (r == -ENODEV)
		psi_close(p);
	if (r < 0)
		return r;
	last = p->primed ? p->last : now;
	p->last = now;
	p->primed = true;
	*ret_some_us = now.some_us > last.some_us ? now.some_us - last.some_us : 0;
	*ret_full_us = now.full_us > last.full_us ? now.full_us - last.full_us : 0;
	return 0;
}

void psi_missing(int error, struct missing *ret)
{
	const char *instead = "using the length of the run queue instead, which is coarser";

	ret->name = "pressure-off";
	if (error == -EACCES || error == -EPERM) {
		str_format(ret->what, sizeof(ret->what), "/proc/pressure may not be read (%s); %s", strerror(-error), instead);
		str_copy(ret->remedy, sizeof(ret->remedy), "run as root, and without ProcSubset=pid in the unit");
		return;
	}
	str_format(ret->what, sizeof(ret->what), "the kernel keeps no pressure figures (PSI is off); %s", instead);
	str_copy(ret->remedy, sizeof(ret->remedy),
		 "boot with psi=1: grubby --update-kernel=ALL --args=psi=1 on Enterprise Linux, else add it to "
		 "GRUB_CMDLINE_LINUX and run update-grub; then reboot");
}
