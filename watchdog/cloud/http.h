/* SPDX-License-Identifier: Apache-2.0 */
/* http: GET of a health endpoint on this machine, with libcurl; the only file with
 * it. Only http:// to a loopback address; no proxy, no redirect followed, at most
 * HTTP_BODY_MAX read. Runs in the caller's loop; several at once. */
#pragma once

#include <stdint.h>

#include "base/units.h"
#include "sys/loop.h"

#define HTTP_BODY_MAX   65536   /* bytes of an answer; beyond: the rest is not read */
#define HTTP_CHECKS_MAX 8       /* at once; beyond: -EBUSY */

struct http;

struct http_result {
	int error;                      /* 0, or -errno where there was no answer: -ETIMEDOUT, -ECONNREFUSED, ... */
	unsigned code;                  /* HTTP status, 0 = none */
	usec_t took;                    /* from the request to the last byte taken, or to the failure */
	char text[128];                 /* why not, for people; "" */
};
typedef void (*http_done_fn)(uint64_t id, const struct http_result *result, void *data);

int http_new(struct loop *l, http_done_fn done, void *data, struct http **ret);
struct http *http_free(struct http *h);         /* checks under way are given up without a word */

/* 0: done will be called, later. -EINVAL: not an URL that is checked; -EBUSY. */
int http_check(struct http *h, uint64_t id, const char *url, usec_t timeout);

/* Is it one? http://, a host that can only be loopback (127.x.x.x, ::1, localhost), no user. */
int http_url_ok(const char *url);
