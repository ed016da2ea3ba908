/* SPDX-License-Identifier: Apache-2.0 */
/* macro: the few language helpers used everywhere. */
#pragma once

#include <stddef.h>

#define ELEMENTSOF(a)   (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)       ((a) < (b) ? (a) : (b))
#define MAX(a, b)       ((a) > (b) ? (a) : (b))
#define CLAMP(v, lo, hi) MIN(MAX((v), (lo)), (hi))

#define _cleanup_(f)    __attribute__((cleanup(f)))
#define _printf_(a, b)  __attribute__((format(printf, a, b)))
#define _unused_        __attribute__((unused))

/* Hands a pointer or fd over: TAKE(p) gives p and leaves NULL, TAKE_FD(fd) leaves -1. */
#define TAKE(p)         ({ __typeof__(p) *_pp = &(p), _v = *_pp; *_pp = NULL; _v; })
#define TAKE_FD(fd)     ({ int *_pf = &(fd), _v = *_pf; *_pf = -1; _v; })
