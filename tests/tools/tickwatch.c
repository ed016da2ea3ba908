/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tickwatch: how late one thread gets the CPU after each wakeup, and how long it runs.
 *
 *   tickwatch OBJECT TID SECONDS
 *
 * OBJECT is tests/bench/tickwatch.bpf.c, compiled. Prints one JSON object: the number of
 * turns and, for lateness, run time and wall time, p50, p99 and max in microseconds. A
 * turn is from a wakeup to the next sleep; turns without any work worth the name (below
 * MIN_RUN_NS: a signal, an empty poll) are counted apart and left out.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/tickwatch.h"

#define MIN_RUN_NS 2000

static int ascending(const void *a, const void *b) {
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

static void print(const char *name, unsigned *v, unsigned n, const char *end) {
	qsort(v, n, sizeof *v, ascending);
	if (n == 0)
		printf("\"%s\":null%s", name, end);
	else
		printf("\"%s\":{\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}%s", name, v[n / 2] / 1e3, v[n * 99 / 100] / 1e3, v[n - 1] / 1e3, end);
}

static struct bpf_map *find(struct bpf_object *o, const char *suffix) {
	struct bpf_map *m;

	bpf_object__for_each_map(m, o)
		if (strstr(bpf_map__name(m), suffix))
			return m;
	return NULL;
}

int main(int argc, char **argv) {
	static unsigned late[TICKWATCH_TURNS], run[TICKWATCH_TURNS], wall[TICKWATCH_TURNS];
	static struct tickwatch watch;
	struct bpf_object *object;
	struct bpf_program *program;
	struct bpf_map *rodata, *bss;
	unsigned n, kept = 0;
	int tid, zero = 0;

	if (argc != 4 || (tid = atoi(argv[2])) <= 0 || atoi(argv[3]) <= 0)
		return fprintf(stderr, "usage: tickwatch OBJECT TID SECONDS\n"), 64;
	object = bpf_object__open_file(argv[1], NULL);
	if (!object || !(rodata = find(object, ".rodata")) || !(bss = find(object, ".bss")))
		return fprintf(stderr, "tickwatch: %s is not the tickwatch object\n", argv[1]), 1;
	if (bpf_map__set_initial_value(rodata, &tid, sizeof tid) < 0 || bpf_object__load(object) < 0)
		return fprintf(stderr, "tickwatch: cannot be loaded\n"), 1;
	bpf_object__for_each_program(program, object)
		if (!bpf_program__attach(program))
			return fprintf(stderr, "tickwatch: cannot be attached\n"), 1;
	sleep((unsigned)atoi(argv[3]));
	if (bpf_map__value_size(bss) != sizeof watch || bpf_map_lookup_elem(bpf_map__fd(bss), &zero, &watch) < 0)
		return fprintf(stderr, "tickwatch: cannot be read\n"), 1;
	n = watch.n < TICKWATCH_TURNS ? (unsigned)watch.n : TICKWATCH_TURNS;
	for (unsigned i = 0; i < n; i++) {
		if (watch.turn[i].run_ns < MIN_RUN_NS)
			continue;
		late[kept] = watch.turn[i].late_ns;
		run[kept] = watch.turn[i].run_ns;
		wall[kept++] = watch.turn[i].wall_ns;
	}
	printf("{\"turns\":%u,\"left_out\":%u,", kept, n - kept);
	print("late_us", late, kept, ",");
	print("run_us", run, kept, ",");
	print("wall_us", wall, kept, "}\n");
	return 0;
}
