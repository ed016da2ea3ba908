/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probecost: what BPF programs cost per context switch, by the kernel's own count.
 *
 *   probecost OBJECT SECONDS [PROGRAM...]
 *
 * Loads the object, attaches the named programs (all, where none is named), lets one
 * pair of tasks per CPU hand a byte to and fro for SECONDS, and prints one JSON object
 * with, for each program, its runs and nanoseconds per run (bpf_stats), and how many
 * context switches there were. With the object "probe", it is the product's own, opened
 * and attached as the guard does it.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sense/probe.h"

#define MAX_PAIRS 8

static void pin(int cpu) {
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof set, &set);
}

/* One end of a pair: gets a byte, gives it back. */
static void hand(int in, int out, int cpu, pid_t parent) {
	char c = 0;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	pin(cpu);
	while (read(in, &c, 1) == 1 && write(out, &c, 1) == 1)
		;
	_exit(0);
}

static int start_pair(int cpu, pid_t pids[2]) {
	int a[2], b[2];
	pid_t self = getpid();

	if (pipe(a) < 0 || pipe(b) < 0)
		return -1;
	pids[0] = fork();
	if (pids[0] == 0)
		hand(a[0], b[1], cpu, self);
	pids[1] = fork();
	if (pids[1] == 0)
		hand(b[0], a[1], cpu, self);
	return pids[0] < 0 || pids[1] < 0 || write(a[1], "x", 1) != 1 ? -1 : 0;
}

static unsigned long long switches(void) {
	unsigned long long n = 0;
	char line[256];
	FILE *f = fopen("/proc/stat", "re");

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "ctxt %llu", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

static void load(int seconds) {
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN), pairs = cpus < MAX_PAIRS ? cpus : MAX_PAIRS;
	pid_t pids[MAX_PAIRS][2];

	for (int i = 0; i < pairs; i++)
		if (start_pair(i, pids[i]) < 0)
			exit(1);
	sleep((unsigned)seconds);
	for (int i = 0; i < pairs; i++)
		for (int k = 0; k < 2; k++) {
			kill(pids[i][k], SIGKILL);
			waitpid(pids[i][k], NULL, 0);
		}
}

static bool wanted(const char *name, char **names, int n) {
	for (int i = 0; i < n; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return n == 0;
}

static int own_probe(int seconds) {
	struct probe_config config = { .key = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0 ? PROBE_KEY_PIDS : PROBE_KEY_CPU,
				       .ncpu = (unsigned)sysconf(_SC_NPROCESSORS_CONF) };
	struct missing missing;
	struct probe *p;
	uint64_t runs, ns;
	unsigned long long before;

	if (probe_open(&config, &p, &missing) != 0 || probe_attach(p) < 0)
		return fprintf(stderr, "probecost: the probe cannot be loaded\n"), 1;
	before = switches();
	load(seconds);
	if (probe_stats(p, &runs, &ns) < 0 || runs == 0)
		return fprintf(stderr, "probecost: no statistics\n"), 1;
	printf("{\"switches\":%llu,\"programs\":{\"probe_switch\":{\"runs\":%llu,\"ns\":%.2f}}}\n", switches() - before,
	       (unsigned long long)runs, (double)ns / (double)runs);
	return 0;
}

int main(int argc, char **argv) {
	struct bpf_object *object;
	struct bpf_program *program;
	unsigned long long before;
	int stats, seconds;
	const char *comma = "";

	if (argc < 3 || (seconds = atoi(argv[2])) <= 0)
		return fprintf(stderr, "usage: probecost OBJECT|probe SECONDS [PROGRAM...]\n"), 64;
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (stats < 0)
		return fprintf(stderr, "probecost: bpf_stats cannot be switched on; root?\n"), 1;
	if (strcmp(argv[1], "probe") == 0)
		return own_probe(seconds);
	object = bpf_object__open_file(argv[1], NULL);
	if (!object || bpf_object__load(object) < 0)
		return fprintf(stderr, "probecost: %s cannot be loaded\n", argv[1]), 1;
	bpf_object__for_each_program(program, object)
		if (wanted(bpf_program__name(program), argv + 3, argc - 3) && !bpf_program__attach(program))
			return fprintf(stderr, "probecost: %s cannot be attached\n", bpf_program__name(program)), 1;
	before = switches();
	load(seconds);
	printf("{\"switches\":%llu,\"programs\":{", switches() - before);
	bpf_object__for_each_program(program, object) {
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof info;

		if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &len) < 0 || info.run_cnt == 0)
			continue;
		printf("%s\"%s\":{\"runs\":%llu,\"ns\":%.2f}", comma, bpf_program__name(program), (unsigned long long)info.run_cnt,
		       (double)info.run_time_ns / (double)info.run_cnt);
		comma = ",";
	}
	puts("}}");
	return 0;
}
