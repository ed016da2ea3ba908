/* SPDX-License-Identifier: Apache-2.0 */
/* cgfile: the texts of cgroup control files. 0 or -EINVAL/-ERANGE, except where said. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int cgfile_parse_u64(const char *text, uint64_t *ret);                  /* "123\n" */
int cgfile_parse_i64(const char *text, int64_t *ret);                   /* "-1\n" */
int cgfile_parse_max(const char *text, int64_t *ret_quota, int64_t *ret_period); /* "max 100000\n"; max = -1 */
int cgfile_parse_key(const char *text, const char *key, uint64_t *ret); /* a "key value" line; -ENOENT: no such key */

/* cpu.shares → the v2 scale (shares × 100 / 1024, within 1..10000). */
int32_t cgfile_weight_of_shares(uint64_t shares);

/* Reads a file whole into buf, NUL at the end. Bytes, or -errno (-EFBIG: more than
 * fits). dir may be AT_FDCWD. pread: through an fd kept open. */
int cgfile_read_at(int dir, const char *path, char *buf, size_t size);
int cgfile_pread(int fd, char *buf, size_t size);
