/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macro.h"
#include "sense/machine.h"

#define STAT \
	"cpu  51632 7 52312 170801 1185 3 1540 176 0 0\n" \
	"cpu0 25119 0 25043 87893 83 0 669 85 0 0\n" \
	"cpu1 26513 0 27268 82908 1101 0 871 90 0 0\n" \
	"intr 876940 0 0 1 1 14\nctxt 99\nbtime 1\nprocesses 4711\nprocs_running 3\nprocs_blocked 1\nsoftirq 5 0\n"

static void stat_text(void **state)
{
	static const char *const bad[] = {
		"", "cpu\n", "cpu  1 2 3 4 5 6 7\nprocesses 1\nprocs_running 1\nprocs_blocked 1\n",
		"cpu  1 2 3 4 5 6 7 x\nprocesses 1\nprocs_running 1\nprocs_blocked 1\n",
		"cpu  1 2 3 4 5 6 7 99999999999999999999999\nprocesses 1\nprocs_running 1\nprocs_blocked 1\n",
		"cpu  1 2 3 4 5 6 7 8\nprocs_running 1\nprocs_blocked 1\n",
		"cpu  1 2 3 4 5 6 7 8\nprocesses 1\nprocs_running 1\n",
	};
	struct machine_stat s;
	size_t i;

	assert_int_equal(machine_parse_stat(STAT, &s), 0);
	assert_int_equal(s.user, 51632);
	assert_int_equal(s.nice, 7);
	assert_int_equal(s.system, 52312);
	assert_int_equal(s.idle, 170801);
	assert_int_equal(s.iowait, 1185);
	assert_int_equal(s.irq, 3);
	assert_int_equal(s.softirq, 1540);
	assert_int_equal(s.steal, 176);
	assert_int_equal(s.ncpu, 2);
	assert_int_equal(s.forks, 4711);
	assert_int_equal(s.running, 3);
	assert_int_equal(s.blocked, 1);
	for (i = 0; i < ELEMENTSOF(bad); i++)
		assert_int_equal(machine_parse_stat(bad[i], &s), -EINVAL);
	assert_int_equal(s.forks, 4711);
}

static void small_texts(void **state)
{
	uint32_t running, tasks;
	unsigned highest;
	uint64_t v;

	assert_int_equal(machine_parse_loadavg("8.22 41.92 27.86 4/105 15294\n", &running, &tasks), 0);
	assert_int_equal(running, 4);
	assert_int_equal(tasks, 105);
	assert_int_equal(machine_parse_loadavg("8.22 41.92 27.86\n", &running, &tasks), -EINVAL);
	assert_int_equal(machine_parse_loadavg("8.22 41.92 27.86 4 105\n", &running, &tasks), -EINVAL);
	assert_int_equal(machine_parse_loadavg("", &running, &tasks), -EINVAL);

	assert_int_equal(machine_parse_cpulist("0\n", &highest), 0);
	assert_int_equal(highest, 0);
	assert_int_equal(machine_parse_cpulist("0-3,8,10-127\n", &highest), 0);
	assert_int_equal(highest, 127);
	assert_int_equal(machine_parse_cpulist("", &highest), -EINVAL);
	assert_int_equal(machine_parse_cpulist("3-1\n", &highest), -EINVAL);
	assert_int_equal(machine_parse_cpulist("0-\n", &highest), -EINVAL);
	assert_int_equal(machine_parse_cpulist("0,\n", &highest), -EINVAL);
	assert_int_equal(machine_parse_cpulist("0-99999999\n", &highest), -EINVAL);
	assert_int_equal(highest, 127);

	assert_int_equal(machine_parse_number("4194304\n", &v), 0);
	assert_int_equal(v, 4194304);
	assert_int_equal(machine_parse_number("x\n", &v), -EINVAL);

	assert_true(machine_parse_sched_ext("enabled\n"));
	assert_true(machine_parse_sched_ext("enabling\n"));
	assert_false(machine_parse_sched_ext("disabled\n"));
	assert_false(machine_parse_sched_ext(""));
}

static void write_file(const char *root, const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void make_root(char *root)
{
	static const char *const dirs[] = { "/proc", "/proc/pressure", "/proc/sys", "/proc/sys/kernel", "/sys", "/sys/kernel", "/sys/kernel/sched_ext" };
	char full[256];
	size_t i;

	assert_non_null(mkdtemp(root));
	for (i = 0; i < ELEMENTSOF(dirs); i++) {
		snprintf(full, sizeof(full), "%s%s", root, dirs[i]);
		assert_int_equal(mkdir(full, 0755), 0);
	}
	write_file(root, "/proc/stat", STAT);
	write_file(root, "/proc/loadavg", "0 0 0 1/200 5\n");
	write_file(root, "/proc/sys/kernel/pid_max", "4194304\n");
	write_file(root, "/proc/sys/kernel/threads-max", "31000\n");
	write_file(root, "/sys/kernel/sched_ext/state", "enabled\n");
}

static void remove_root(const char *root)
{
	char cmd[300];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", root);
	assert_int_equal(system(cmd), 0);
}

static void shares_of_a_window(void **state)
{
	char root[] = "/tmp/test-machine.XXXXXX";
	struct machine_sample s;
	struct machine *m;

	make_root(root);
	write_file(root, "/proc/pressure/cpu", "some total=1000000\nfull total=0\n");
	write_file(root, "/proc/pressure/memory", "some total=500\nfull total=100\n");
	assert_int_equal(machine_open(root, &m), 0);
	assert_int_equal(machine_pressure(m), PRESSURE_PSI);
	assert_int_equal(machine_rows(m), 2);

	/* 20 ticks: 10 user, 4 system, 2 iowait, 1 softirq, 2 steal, 1 idle; 40 forks. */
	write_file(root, "/proc/stat",
		   "cpu  51641 8 52316 170802 1187 3 1541 178 0 0\ncpu0 1\ncpu1 1\nprocesses 4751\nprocs_running 9\nprocs_blocked 2\n");
	write_file(root, "/proc/pressure/cpu", "some total=1025000\nfull total=0\n");
	write_file(root, "/proc/pressure/memory", "some total=10500\nfull total=5100\n");
	assert_int_equal(machine_read(m, 100000, &s), 0);
	assert_int_equal(s.user, 5000);
	assert_int_equal(s.system, 2000);
	assert_int_equal(s.iowait, 1000);
	assert_int_equal(s.irq, 500);
	assert_int_equal(s.steal, 1000);
	assert_int_equal(s.idle, 500);
	assert_int_equal(s.forks, 40);
	assert_int_equal(s.runnable, 9);
	assert_int_equal(s.blocked, 2);
	assert_int_equal(s.cpu_some, 2500);
	assert_int_equal(s.mem_some, 1000);
	assert_int_equal(s.mem_full, 500);
	assert_int_equal(s.io_some, -1);
	assert_int_equal(s.tasks, 200);
	assert_int_equal(s.tasks_max, 31000);
	assert_true(s.sched_ext);

	/* Nothing moved: shares are unknown, not zero; then a file that turned to nonsense. */
	assert_int_equal(machine_read(m, 100000, &s), 0);
	assert_int_equal(s.user, -1);
	assert_int_equal(s.cpu_some, 0);
	write_file(root, "/proc/stat", "gone\n");
	assert_int_equal(machine_read(m, 100000, &s), 0);
	assert_int_equal(s.runnable, -1);
	assert_int_equal(s.ncpu, 2);

	/* Calm knows the pressure only; growth beyond the window is all of it. */
	write_file(root, "/proc/pressure/cpu", "some total=9925000\nfull total=0\n");
	assert_int_equal(machine_read_calm(m, 250000, &s), 0);
	assert_int_equal(s.cpu_some, 10000);
	assert_int_equal(s.user, -1);
	assert_int_equal(s.tasks, -1);
	machine_close(m);
	remove_root(root);
}

static void without_pressure(void **state)
{
	char root[] = "/tmp/test-machine.XXXXXX";
	struct machine_sample s;
	struct missing miss;
	struct machine *m;
	int i;

	make_root(root);
	assert_int_equal(machine_open(root, &m), 0);
	assert_int_equal(machine_pressure(m), PRESSURE_RUNQUEUE);
	assert_true(machine_missing(m, &miss));
	assert_string_equal(miss.name, "pressure-off");
	assert_int_equal(machine_read_calm(m, 250000, &s), 0);
	assert_int_equal(s.cpu_some, 0);
	/* Two CPUs and ourselves are no queue; a fourth task is one. */
	write_file(root, "/proc/loadavg", "0 0 0 3/200 5\n");
	assert_int_equal(machine_read_calm(m, 250000, &s), 0);
	assert_int_equal(s.cpu_some, 0);
	write_file(root, "/proc/loadavg", "0 0 0 4/200 5\n");
	assert_int_equal(machine_read_calm(m, 250000, &s), 0);
	assert_int_equal(s.cpu_some, 2500);
	for (i = 0; i < 40; i++)
		machine_read(m, 250000, &s);
	assert_in_range(s.cpu_some, 9990, 10000);
	write_file(root, "/proc/loadavg", "0 0 0 1/200 5\n");
	for (i = 0; i < 8; i++)
		machine_read_calm(m, 250000, &s);
	assert_in_range(s.cpu_some, 0, 1100);
	machine_close(m);
	remove_root(root);
}

/* In calm now and then: all that may be trouble while no CPU is short, over a window of its own. */
static void a_wide_look(void **state)
{
	char root[] = "/tmp/test-machine.XXXXXX";
	struct machine_sample s;
	struct machine *m;

	make_root(root);
	write_file(root, "/proc/pressure/cpu", "some total=1000000\nfull total=0\n");
	write_file(root, "/proc/pressure/io", "some total=0\nfull total=0\n");
	assert_int_equal(machine_open(root, &m), 0);
	/* 1000 ticks, 120 of them stolen, 250 in interrupts. */
	write_file(root, "/proc/stat",
		   "cpu  51732 7 52412 171231 1185 53 1740 296 0 0\ncpu0 1\ncpu1 1\nprocesses 4751\nprocs_running 9\nprocs_blocked 22\n");
	write_file(root, "/proc/pressure/cpu", "some total=1005000\nfull total=0\n");
	write_file(root, "/proc/pressure/io", "some total=2000000\nfull total=1000000\n");
	write_file(root, "/proc/loadavg", "0 0 0 1/30000 5\n");
	assert_int_equal(machine_read_calm(m, 250000, &s), 0);
	assert_true(s.steal == -1 && s.irq == -1 && s.blocked == -1 && s.tasks == -1 && s.tasks_max == -1 && s.io_full == -1);
	machine_read_wide(m, 5 * USEC_PER_SEC, &s);
	assert_int_equal(s.cpu_some, 200);
	assert_int_equal(s.steal, 1200);
	assert_int_equal(s.irq, 2500);
	assert_int_equal(s.blocked, 22);
	assert_int_equal(s.tasks, 30000);
	assert_int_equal(s.tasks_max, 31000);
	assert_int_equal(s.io_some, 4000);
	assert_int_equal(s.io_full, 2000);
	assert_int_equal(s.mem_full, -1);
	machine_close(m);
	remove_root(root);
}

/* The stand-in for the pressure is an average over calm reads; a wide look is none. */
static void a_wide_look_without_pressure(void **state)
{
	char root[] = "/tmp/test-machine.XXXXXX";
	struct machine_sample s;
	struct machine *m;

	make_root(root);
	write_file(root, "/proc/loadavg", "0 0 0 4/200 5\n");
	assert_int_equal(machine_open(root, &m), 0);
	assert_int_equal(machine_read_calm(m, 250000, &s), 0);
	machine_read_wide(m, 5 * USEC_PER_SEC, &s);
	assert_int_equal(s.cpu_some, 2500);
	assert_int_equal(s.blocked, 1);
	assert_int_equal(machine_read_calm(m, 250000, &s), 0);
	assert_int_equal(s.cpu_some, 4375);
	machine_close(m);
	remove_root(root);
}

static void captured_roots(void **state)
{
	struct machine_sample s;
	struct machine *m;

	assert_int_equal(machine_open("tests/roots/hybrid", &m), 0);
	assert_int_equal(machine_read(m, 100000, &s), 0);
	assert_int_equal(machine_pressure(m), PRESSURE_PSI);
	assert_int_equal(s.ncpu, 2);
	assert_false(s.sched_ext);
	assert_true(s.tasks > 50);
	m = machine_close(m);
	assert_null(m);
	assert_null(machine_close(NULL));
	assert_int_equal(machine_open("tests/roots/v1-nopsi", &m), 0);
	assert_int_equal(machine_pressure(m), PRESSURE_RUNQUEUE);
	machine_close(m);
	assert_int_equal(machine_open("tests/roots/none", &m), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_text), cmocka_unit_test(small_texts), cmocka_unit_test(shares_of_a_window),
		cmocka_unit_test(without_pressure), cmocka_unit_test(a_wide_look), cmocka_unit_test(a_wide_look_without_pressure), cmocka_unit_test(captured_roots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
