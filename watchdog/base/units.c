/* SPDX-License-Identifier: Apache-2.0 */
/*
 * units: quantities as text
 *
 * A safety tool must not guess what "20" means, so a bare number is refused where
 * a unit decides (per cent, time) and accepted where there is one obvious reading
 * (bytes). Everything is integer arithmetic, exact to the µs, the byte and the
 * 1/10000; what cannot be represented is an error and never rounded, apart from
 * fractions of a byte.
 *
 * Formatting looks for the text with the fewest digits that parses back to the very
 * same value: policies are printed, compared and read again (`policy cat`, the
 * header of a flight record), and a person should see "15min" and not "900s".
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/macro.h"
#include "base/str.h"
#include "base/units.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* Larger first; of several names of a factor the first is printed. */
static const struct unit TIME_UNITS[] = {
	{ "d", 24 * USEC_PER_HOUR },
	{ "h", USEC_PER_HOUR },
	{ "min", USEC_PER_MIN },
	{ "s", USEC_PER_SEC },
	{ "sec", USEC_PER_SEC },
	{ "ms", USEC_PER_MSEC },
	{ "us", 1 },
};

static const struct unit BYTE_UNITS[] = {
	{ "E", UINT64_C(1) << 60 },
	{ "P", UINT64_C(1) << 50 },
	{ "T", UINT64_C(1) << 40 },
	{ "G", UINT64_C(1) << 30 },
	{ "M", UINT64_C(1) << 20 },
	{ "K", UINT64_C(1) << 10 },
	{ "", 1 },
};

#define FRACTION_DIGITS_MAX 6

/* "12.5" → whole 12, fraction 5, scale 10. Moves *text behind it. */
static int parse_number(const char **text, uint64_t *ret_whole, uint64_t *ret_fraction, uint64_t *ret_scale)
{
	const char *s = *text;
	uint64_t whole = 0, fraction = 0, scale = 1;
	bool overflow = false;
	unsigned digits = 0;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(whole, UINT64_C(10), &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*s - '0'), &whole))
			overflow = true;
	if (*s == '.') {
		s++;
		if (*s < '0' || *s > '9')
			return -EINVAL;
		for (; *s >= '0' && *s <= '9'; s++) {
			if (++digits > FRACTION_DIGITS_MAX)
				return -EINVAL;
			fraction = fraction * 10 + (uint64_t)(*s - '0');
			scale *= 10;
		}
	}
	*text = s;
	if (overflow)
		return -ERANGE;
	*ret_whole = whole;
	*ret_fraction = fraction;
	*ret_scale = scale;
	return 0;
}

/* whole.fraction × factor; exact: a rest is an error. */
static int scale_up(uint64_t whole, uint64_t fraction, uint64_t scale, uint64_t factor, bool exact, uint64_t *ret)
{
	uint64_t v, part;

	/* fraction × factor < 10^6 × 2^60 may not fit: divide first, then the rest. */
	part = fraction * (factor / scale) + fraction * (factor % scale) / scale;
	if (exact && fraction * (factor % scale) % scale != 0)
		return -EINVAL;
	if (__builtin_mul_overflow(whole, factor, &v) || __builtin_add_overflow(v, part, &v))
		return -ERANGE;
	*ret = v;
	return 0;
}

int units_parse_permyriad(const char *text, permyriad_t *ret)
{
	uint64_t whole, fraction, scale, v;
	int r;

	r = parse_number(&text, &whole, &fraction, &scale);
	if (r == -EINVAL)
		return r;
	while (str_is_space(*text))
		text++;
	if (!str_equal(text, "%"))
		return -EINVAL;
	if (r < 0)
		return r;
	r = scale_up(whole, fraction, scale, 100, true, &v);
	if (r < 0)
		return r;
	if (v > PERMYRIAD_FULL)
		return -ERANGE;
	*ret = (permyriad_t)v;
	return 0;
}

static const struct unit *unit_at(const struct unit *units, size_t n, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strlen(units[i].name) == len && memcmp(units[i].name, text, len) == 0)
			return &units[i];
	return NULL;
}

int units_parse_usec(const char *text, usec_t *ret)
{
	uint64_t sum = 0;
	bool range = false, any = false;

	if (str_equal(text, "infinity")) {
		*ret = USEC_INFINITY;
		return 0;
	}
	for (;;) {
		uint64_t whole, fraction, scale, v;
		const struct unit *unit;
		size_t len;
		int r;

		while (str_is_space(*text))
			text++;
		if (*text == 0)
			break;
		r = parse_number(&text, &whole, &fraction, &scale);
		if (r == -EINVAL)
			return r;
		range = range || r < 0;
		while (str_is_space(*text))
			text++;
		for (len = 0; text[len] >= 'a' && text[len] <= 'z'; len++)
			;
		unit = unit_at(TIME_UNITS, ELEMENTSOF(TIME_UNITS), text, len);
		if (unit == NULL)
			return -EINVAL;
		text += len;
		any = true;
		if (range)
			continue;
		r = scale_up(whole, fraction, scale, unit->factor, true, &v);
		if (r == -EINVAL)
			return r;
		range = r < 0 || __builtin_add_overflow(sum, v, &sum);
	}
	if (!any)
		return -EINVAL;
	if (range || sum == USEC_INFINITY)
		return -ERANGE;
	*ret = sum;
	return 0;
}

int units_parse_bytes(const char *text, uint64_t *ret)
{
	uint64_t whole, fraction, scale;
	const struct unit *unit;
	int r;

	r = parse_number(&text, &whole, &fraction, &scale);
	if (r == -EINVAL)
		return r;
	unit = unit_at(BYTE_UNITS, ELEMENTSOF(BYTE_UNITS), text, strlen(text));
	if (unit == NULL)
		return -EINVAL;
	if (r < 0)
		return r;
	if (unit->factor == 1 && scale > 1)
		return -EINVAL;
	return scale_up(whole, fraction, scale, unit->factor, false, ret);
}

const char *units_format_permyriad(permyriad_t v, char buf[static UNITS_TEXT_MAX])
{
	if (v < 0)
		(void)str_copy(buf, UNITS_TEXT_MAX, "unknown");
	else if (v % 100 == 0)
		(void)str_format(buf, UNITS_TEXT_MAX, "%" PRId32 "%%", v / 100);
	else if (v % 10 == 0)
		(void)str_format(buf, UNITS_TEXT_MAX, "%" PRId32 ".%" PRId32 "%%", v / 100, v % 100 / 10);
	else
		(void)str_format(buf, UNITS_TEXT_MAX, "%" PRId32 ".%02" PRId32 "%%", v / 100, v % 100);
	return buf;
}

/* What a person has to read: digits and decimal points. */
static size_t effort(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text >= '0' && *text <= '9') || *text == '.';
	return n;
}

/* The text as one number of one unit, whole or with one decimal. */
static void format_single(const struct unit *units, size_t n, uint64_t v, char buf[static UNITS_TEXT_MAX])
{
	char text[UNITS_TEXT_MAX];
	size_t i;

	buf[0] = 0;
	for (i = 0; i < n; i++) {
		uint64_t f = units[i].factor;

		if (v % f == 0)
			(void)str_format(text, sizeof(text), "%" PRIu64 "%s", v / f, units[i].name);
		else if (v > f && f % 10 == 0 && v % f % (f / 10) == 0)
			(void)str_format(text, sizeof(text), "%" PRIu64 ".%" PRIu64 "%s", v / f, v % f / (f / 10), units[i].name);
		else if (v > f && f % 10 != 0 && f > 1 && v % f % (f / 2) == 0)
			(void)str_format(text, sizeof(text), "%" PRIu64 ".5%s", v / f, units[i].name);
		else
			continue;
		if (buf[0] == 0 || effort(text) < effort(buf))
			(void)str_copy(buf, UNITS_TEXT_MAX, text);
	}
}

const char *units_format_usec(usec_t v, char buf[static UNITS_TEXT_MAX])
{
	char sum[2 * UNITS_TEXT_MAX] = "";
	uint64_t rest = v;
	size_t i;

	if (v == USEC_INFINITY || v == 0) {
		(void)str_copy(buf, UNITS_TEXT_MAX, v == 0 ? "0s" : "infinity");
		return buf;
	}
	format_single(TIME_UNITS, ELEMENTSOF(TIME_UNITS), v, buf);
	for (i = 0; i < ELEMENTSOF(TIME_UNITS); i++) {
		uint64_t n = rest / TIME_UNITS[i].factor;

		rest %= TIME_UNITS[i].factor;
		if (n > 0)
			(void)str_appendf(sum, sizeof(sum), "%s%" PRIu64 "%s", sum[0] ? " " : "", n, TIME_UNITS[i].name);
	}
	if (effort(sum) < effort(buf) && strlen(sum) < UNITS_TEXT_MAX)
		(void)str_copy(buf, UNITS_TEXT_MAX, sum);
	return buf;
}

const char *units_format_bytes(uint64_t v, char buf[static UNITS_TEXT_MAX])
{
	if (v == 0)
		(void)str_copy(buf, UNITS_TEXT_MAX, "0");
	else
		format_single(BYTE_UNITS, ELEMENTSOF(BYTE_UNITS), v, buf);
	return buf;
}
