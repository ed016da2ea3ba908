/* SPDX-License-Identifier: Apache-2.0 */
/* psi: pressure stall information by polling `total`, which is fresh at each read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/units.h"
#include "sense/missing.h"

struct psi_totals {
	uint64_t some_us, full_us;      /* grow for ever */
	bool has_full;
};

/* The text of a pressure file. 0 or -EINVAL. */
int psi_parse(const char *text, struct psi_totals *ret);

/* One file, kept open. fd -1: closed, reads give -EBADF. */
struct psi {
	int fd;
	bool primed;
	struct psi_totals last;
};
#define PSI_INIT { .fd = -1 }

/* root is "" or a directory that stands for /. 0 or -errno; -EOPNOTSUPP: the
 * kernel has it switched off (also where the file is empty). */
int  psi_open(struct psi *p, const char *root, const char *path);
int  psi_open_at(struct psi *p, int dir, const char *path);
void psi_close(struct psi *p);

/* Growth since the last read; 0 the first time. -ENODEV: the cgroup is gone and
 * the file was closed. */
int psi_read(struct psi *p, uint64_t *ret_some_us, uint64_t *ret_full_us);

/* What to say where psi_open() of the machine's files gave `error` (-errno). */
void psi_missing(int error, struct missing *ret);
