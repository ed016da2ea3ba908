/* SPDX-License-Identifier: Apache-2.0 */
/* test-trace-fields: the tables themselves, and what does not fit into a field. */
#include <errno.h>

#include "core/trace-fields.h"
#include "unit/world.h"

static void tables(void **state)
{
	static const size_t size[_LINE_MAX] = {
		[LINE_SNAPSHOT] = sizeof(struct snapshot), [LINE_SAMPLE] = sizeof(struct group_sample), [LINE_GROUP] = sizeof(struct group_info),
		[LINE_RESULT] = sizeof(struct result), [LINE_TASK] = sizeof(struct task_ref), [LINE_DRIFT] = sizeof(struct drift),
		[LINE_ENDPOINT] = sizeof(struct endpoint_answer), [LINE_ORDER] = sizeof(struct operator_order),
		[LINE_NAMES] = sizeof(struct names_news), [LINE_LIFTED] = sizeof(struct lifted_news), [LINE_RECALL] = sizeof(struct recall),
		[LINE_ACTION] = sizeof(struct action),
	};

	for (unsigned t = 0; t < _LINE_MAX; t++) {
		const struct trace_table *x = &trace_tables[t];

		assert_true(x->n > 0);
		for (size_t i = 0; i < x->n; i++) {
			const struct trace_field *f = &x->fields[i];

			assert_true(f->offset < size[t]);
			assert_int_equal(strspn(f->key, "abcdefghijklmnopqrstuvwxyz0123456789"), strlen(f->key));
			for (size_t k = 0; k < i; k++)
				assert_string_not_equal(f->key, x->fields[k].key);
			if (f->kind == FIELD_TEXT)
				assert_true(f->size > 1 && f->offset + f->size <= size[t]);
			assert_true((f->kind == FIELD_ENUM) == (f->name != NULL));
			for (int v = 0; f->kind == FIELD_ENUM && v < f->size; v++) {
				assert_non_null(f->name(v));
				assert_string_not_equal(f->name(v), "?");
				for (int k = 0; k < v; k++)
					assert_string_not_equal(f->name(v), f->name(k));
			}
		}
	}
}

static void what_fits(void **state)
{
	static const struct { enum field_kind kind; size_t bytes; uint64_t most, least; } cases[] = {
		{ FIELD_U8, 1, UINT8_MAX, 0 }, { FIELD_U16, 2, UINT16_MAX, 0 }, { FIELD_U32, 4, UINT32_MAX, 0 }, { FIELD_U64, 8, UINT64_MAX, 0 },
		{ FIELD_USEC, 8, UINT64_MAX, 0 }, { FIELD_ENUM, 4, UINT32_MAX, 0 }, { FIELD_BOOL, 1, 1, 0 },
		{ FIELD_I8, 1, INT8_MAX, 128 }, { FIELD_I16, 2, INT16_MAX, 32768 }, { FIELD_I32, 4, INT32_MAX, 2147483648u },
		{ FIELD_I64, 8, INT64_MAX, UINT64_C(1) << 63 },
	};

	for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
		const struct trace_field f = { .key = "x", .offset = 8, .kind = (uint8_t)cases[i].kind };
		union { unsigned char b[24]; uint64_t align; } u, was;

		memset(&u, 0xaa, sizeof(u));
		assert_int_equal(trace_field_set(&f, &u, false, cases[i].most), 0);
		assert_true((uint64_t)trace_field_get(&f, &u) == cases[i].most);
		for (unsigned k = 0; k < sizeof(u); k++)         /* its neighbours are left alone */
			if (k < 8 || k >= 8 + cases[i].bytes)
				assert_int_equal(u.b[k], 0xaa);
		was = u;
		if (cases[i].most < UINT64_MAX)
			assert_int_equal(trace_field_set(&f, &u, false, cases[i].most + 1), -ERANGE);
		assert_int_equal(trace_field_set(&f, &u, true, cases[i].least + 1), -ERANGE);
		assert_memory_equal(&u, &was, sizeof(u));
		if (cases[i].least == 0)
			continue;
		assert_int_equal(trace_field_set(&f, &u, true, cases[i].least), 0);
		assert_true((uint64_t)trace_field_get(&f, &u) == 0 - cases[i].least);
		assert_int_equal(trace_field_set(&f, &u, true, 1), 0);
		assert_true(trace_field_get(&f, &u) == -1);
	}
}

/* Kinds that are no number take none. */
static void no_number(void **state)
{
	static const enum field_kind kinds[] = { FIELD_TEXT, FIELD_CANDIDATES, FIELD_SHARES };

	for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
		const struct trace_field f = { .key = "x", .kind = (uint8_t)kinds[i] };
		uint64_t v = 7;

		assert_int_equal(trace_field_set(&f, &v, false, 1), -ERANGE);
		assert_int_equal(trace_field_set(&f, &v, true, 1), -ERANGE);
		assert_int_equal(v, 7);
		assert_int_equal(trace_field_get(&f, &v), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(tables), cmocka_unit_test(what_fits), cmocka_unit_test(no_number) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
