/* SPDX-License-Identifier: Apache-2.0 */
/* trace-fields: the one table per record line that writes, reads and compares it.
 * Only for core/trace*.c. */
#pragma once

#include <stddef.h>

#include "core/trace.h"

enum field_kind {
	FIELD_U8, FIELD_U16, FIELD_U32, FIELD_U64, FIELD_I8, FIELD_I16, FIELD_I32, FIELD_I64,
	FIELD_BOOL, FIELD_USEC, FIELD_TEXT, FIELD_ENUM, FIELD_CANDIDATES, FIELD_SHARES,
};

struct trace_field {
	const char *key;
	uint16_t offset;
	uint8_t kind;
	uint16_t size;                  /* FIELD_TEXT: with NUL; FIELD_ENUM: number of names */
	int64_t dflt;
	const char *(*name)(int);       /* FIELD_ENUM */
};

struct trace_table {
	const struct trace_field *fields;
	size_t n;
};

enum trace_line {
	LINE_SNAPSHOT, LINE_SAMPLE, LINE_GROUP, LINE_RESULT, LINE_TASK, LINE_DRIFT, LINE_ENDPOINT, LINE_ORDER, LINE_NAMES, LINE_LIFTED, LINE_RECALL, LINE_ACTION,
	_LINE_MAX
};

extern const struct trace_table trace_tables[_LINE_MAX];

/* Fields of unsigned kinds as they are, of signed ones sign-extended. */
int64_t trace_field_get(const struct trace_field *f, const void *base);
/* -ERANGE where the value does not fit. */
int trace_field_set(const struct trace_field *f, void *base, bool negative, uint64_t magnitude);
