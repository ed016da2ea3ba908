/* SPDX-License-Identifier: Apache-2.0 */
/* units: the quantities everything else is measured in, and their text forms. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef uint64_t usec_t;        /* microseconds; as a point in time: CLOCK_BOOTTIME */
typedef int32_t permyriad_t;    /* 1/10000; -1 = unknown */

#define USEC_PER_MSEC   UINT64_C(1000)
#define USEC_PER_SEC    UINT64_C(1000000)
#define USEC_PER_MIN    (60 * USEC_PER_SEC)
#define USEC_PER_HOUR   (60 * USEC_PER_MIN)
#define USEC_INFINITY   UINT64_MAX
#define PERMYRIAD_FULL  10000
#define PERMYRIAD_UNKNOWN (-1)

#define UNITS_TEXT_MAX  32

/* Text → value. 0, or -EINVAL where the text is not of the accepted form and
 * -ERANGE where it is but does not fit; *ret is set only on success.
 *   permyriad: "20%", "2.5%", "0.25%" (a bare number is refused: no unit), 0..100 %
 *   usec:      "300ms", "5s", "15min", "2h", "1d", "250us", "1h 30min", "infinity"
 *   bytes:     "64K", "1.5G", "10M", "123" (1024-based) */
int units_parse_permyriad(const char *text, permyriad_t *ret);
int units_parse_usec(const char *text, usec_t *ret);
int units_parse_bytes(const char *text, uint64_t *ret);

/* Value → the text with the fewest digits that parses back to the same value. buf holds
 * UNITS_TEXT_MAX bytes and is returned. */
const char *units_format_permyriad(permyriad_t v, char buf[static UNITS_TEXT_MAX]);
const char *units_format_usec(usec_t v, char buf[static UNITS_TEXT_MAX]);
const char *units_format_bytes(uint64_t v, char buf[static UNITS_TEXT_MAX]);
