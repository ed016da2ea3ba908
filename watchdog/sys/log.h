/* SPDX-License-Identifier: Apache-2.0 */
/* log: one line at a time to stderr or to syslog's datagram socket. Never blocks,
 * never allocates after log_open. A line is lost when the sink is full or absent
 * or the rate limit is reached; the losses are counted and the count is said with
 * the next line that passes. Text from outside is escaped by the caller (base/str). */
#pragma once

#include <stdint.h>
#include <syslog.h>

#include "base/macro.h"

#define LOG_LINE_MAX    2048    /* bytes of a line; beyond: cut, marked with "..." */
#define LOG_RATE_BURST  100     /* lines at once; beyond: dropped and counted */
#define LOG_RATE_PER_SEC 20     /* lines per second in the long run */

enum log_sink {
	LOG_SINK_STDERR,        /* with "<N>" in front where systemd reads it */
	LOG_SINK_SYSLOG,        /* socket; connects again by itself at most once a second */
};

struct log_config {
	const char *ident;      /* "reprieved"; kept by reference */
	enum log_sink sink;
	int level;              /* LOG_DEBUG .. LOG_ERR: the least urgent that is written */
	int fd;                 /* of LOG_SINK_STDERR; 0: 2 */
	const char *socket;     /* of LOG_SINK_SYSLOG; NULL: /dev/log; kept by reference */
};

struct log_counts {
	uint64_t written, dropped_full, dropped_rate, dropped_absent;
};

/* Before it is called, lines of LOG_INFO and more urgent go to stderr. Ignores
 * SIGPIPE from then on. An absent syslog is no error. */
void log_open(const struct log_config *config);
void log_close(void);
struct log_counts log_counts(void);

/* keys: "unit=x weight=10" put at the end of the line, or NULL. errno is kept. */
void log_write(int level, const char *keys, const char *fmt, ...) _printf_(3, 4);

#define log_error(...)   log_write(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, NULL, __VA_ARGS__)
