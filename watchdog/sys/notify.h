/* SPDX-License-Identifier: Apache-2.0 */
/* notify: tells systemd (Type=notify) how we are; without NOTIFY_SOCKET it does
 * nothing. Non-blocking, no allocation; a lost message is no error. */
#pragma once

#include "base/macro.h"
#include "base/units.h"

/* "READY=1\nSTATUS=...", "RELOADING=1", "STOPPING=1", "WATCHDOG=1", "WATCHDOG=trigger".
 * 0, 1 where nobody wants to know, -errno. A RELOADING=1 gets its MONOTONIC_USEC= here. */
int notify_send(const char *fmt, ...) _printf_(1, 2);

/* How often WATCHDOG=1 is due (half of WatchdogSec=); USEC_INFINITY: not at all. */
usec_t notify_watchdog(void);
