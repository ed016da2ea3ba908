/* SPDX-License-Identifier: Apache-2.0 */
/* inject: where a test may stop or fail us. A test program that defines act_inject()
 * is called before and after each write that matters; it may _exit(), or return
 * -errno from a "before" to have that write fail. Nobody else defines it, and then
 * it is a null weak symbol: what is tested is the object that is shipped. */
#pragma once

int act_inject(const char *where) __attribute__((weak));

#define INJECT(where) (act_inject != NULL ? act_inject(where) : 0)
