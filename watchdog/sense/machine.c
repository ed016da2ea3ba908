/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine: what the whole machine does, in one struct machine_sample.
 *
 * All files are opened once. In calm a tick reads /proc/pressure/cpu and nothing
 * else; in alarm, and in calm every few seconds, the six further files below, 60 to
 * 100 µs together (measured, 2 CPUs), most of it /proc/stat, whose interrupt line
 * grows with the machine.
 *
 * /proc/stat counts in clock ticks (10 ms): at a 100 ms window and two CPUs a share
 * comes in steps of 5 %. It is evidence for the triage, never a threshold by itself.
 *
 * Where the kernel keeps no PSI, a stand-in comes from /proc/loadavg: was a task
 * waiting for a CPU at this moment (running > CPUs, less ourselves), as a moving
 * average over four reads. It has the same meaning as "some" but is a sample, not a
 * sum; a single busy moment reads 25 %.
 */
#include "sense/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/str.h"
#include "sense/cgfile.h"

#define STAT_MAX        (256 * 1024)    /* bytes of /proc/stat; the rest is not read */
#define SMALL_MAX       4096
#define RUNQUEUE_READS  4

struct machine {
	int stat, loadavg, pid_max, threads_max, sched_ext;
	struct psi cpu, memory, io;
	bool has_missing;
	struct missing missing;
	unsigned rows;
	uint16_t ncpu;
	struct machine_stat last;
	uint32_t runqueue;              /* permyriad × RUNQUEUE_READS */
	char *buf;                      /* STAT_MAX, touched as far as needed */
};

static const char *line_of(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (; text; text = strchr(text, '\n'), text = text ? text + 1 : NULL)
		if (strncmp(text, key, n) == 0)
			return text + n;
	return NULL;
}

/* The next number of a line of numbers. */
static bool number(const char **p, uint64_t *ret)
{
	const char *s = *p;
	uint64_t v = 0;

	while (*s == ' ')
		s++;
	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return false;
	*p = s;
	*ret = v;
	return true;
}

int machine_parse_stat(const char *text, struct machine_stat *ret)
{
	struct machine_stat s = {};
	uint64_t *fields[] = { &s.user, &s.nice, &s.system, &s.idle, &s.iowait, &s.irq, &s.softirq, &s.steal };
	uint64_t running, blocked;
	const char *p, *line;
	size_t i;

	p = line_of(text, "cpu ");
	if (!p)
		return -EINVAL;
	for (i = 0; i < ELEMENTSOF(fields); i++)
		if (!number(&p, fields[i]))
			return -EINVAL;
	for (line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (strncmp(line, "cpu", 3) == 0 && line[3] >= '0' && line[3] <= '9' && s.ncpu < UINT16_MAX)
			s.ncpu++;
	p = line_of(text, "processes ");
	if (!p || !number(&p, &s.forks))
		return -EINVAL;
	p = line_of(text, "procs_running ");
	if (!p || !number(&p, &running))
		return -EINVAL;
	p = line_of(text, "procs_blocked ");
	if (!p || !number(&p, &blocked))
		return -EINVAL;
	s.running = (uint32_t)MIN(running, (uint64_t)INT32_MAX);
	s.blocked = (uint32_t)MIN(blocked, (uint64_t)INT32_MAX);
	*ret = s;
	return 0;
}

int machine_parse_loadavg(const char *text, uint32_t *ret_running, uint32_t *ret_tasks)
{
	uint64_t running, tasks;
	const char *p = text;
	int i;

	for (i = 0; i < 3; i++) {
		p = strchr(p, ' ');
		if (!p)
			return -EINVAL;
		p++;
	}
	if (!number(&p, &running) || *p++ != '/' || !number(&p, &tasks))
		return -EINVAL;
	*ret_running = (uint32_t)MIN(running, (uint64_t)INT32_MAX);
	*ret_tasks = (uint32_t)MIN(tasks, (uint64_t)INT32_MAX);
	return 0;
}

int machine_parse_number(const char *text, uint64_t *ret)
{
	return cgfile_parse_u64(text, ret) < 0 ? -EINVAL : 0;
}

int machine_parse_cpulist(const char *text, unsigned *ret_highest)
{
	uint64_t first, last, highest = 0;
	const char *p = text;

	for (;;) {
		if (*p == ' ' || !number(&p, &first))
			return -EINVAL;
		last = first;
		if (*p == '-') {
			p++;
			if (*p == ' ' || !number(&p, &last) || last < first)
				return -EINVAL;
		}
		highest = MAX(highest, last);
		if (*p != ',')
			break;
		p++;
	}
	if ((*p && *p != '\n') || highest > UINT16_MAX)
		return -EINVAL;
	*ret_highest = (unsigned)highest;
	return 0;
}

bool machine_parse_sched_ext(const char *text)
{
	return str_starts(text, "enabled") || str_starts(text, "enabling") || str_starts(text, "disabling");
}

static int open_file(const char *root, const char *path)
{
	char full[512];
	int fd;

	if (!str_format(full, sizeof(full), "%s%s", root, path))
		return -ENAMETOOLONG;
	fd = open(full, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Whole, or as much as fits; the buffer is the machine's. */
static int read_stat(struct machine *m, struct machine_stat *ret)
{
	size_t n = 0;
	ssize_t r;

	while (n < STAT_MAX - 1) {
		r = pread(m->stat, m->buf + n, STAT_MAX - 1 - n, (off_t)n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	m->buf[n] = 0;
	return machine_parse_stat(m->buf, ret);
}

struct machine *machine_close(struct machine *m)
{
	const int fds[] = { m ? m->stat : -1, m ? m->loadavg : -1, m ? m->pid_max : -1, m ? m->threads_max : -1, m ? m->sched_ext : -1 };
	size_t i;

	if (!m)
		return NULL;
	for (i = 0; i < ELEMENTSOF(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	psi_close(&m->cpu);
	psi_close(&m->memory);
	psi_close(&m->io);
	if (m->buf)
		munmap(m->buf, STAT_MAX);
	free(m);
	return NULL;
}

static void find_rows(struct machine *m, const char *root)
{
	char buf[SMALL_MAX];
	unsigned highest;
	int fd;

	m->rows = m->ncpu;
	fd = open_file(root, "/sys/devices/system/cpu/online");
	if (fd < 0)
		return;
	if (cgfile_pread(fd, buf, sizeof(buf)) > 0 && machine_parse_cpulist(buf, &highest) == 0)
		m->rows = highest + 1;
	close(fd);
}

int machine_open(const char *root, struct machine **ret)
{
	struct machine *m;
	void *buf;
	int r;

	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->cpu = m->memory = m->io = (struct psi)PSI_INIT;
	m->stat = m->loadavg = m->pid_max = m->threads_max = m->sched_ext = -1;
	buf = mmap(NULL, STAT_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (buf == MAP_FAILED) {
		machine_close(m);
		return -ENOMEM;
	}
	m->buf = buf;
	m->stat = open_file(root, "/proc/stat");
	r = m->stat < 0 ? m->stat : read_stat(m, &m->last);
	if (r < 0) {
		machine_close(m);
		return r;
	}
	m->ncpu = MAX(m->last.ncpu, 1);
	find_rows(m, root);
	m->loadavg = open_file(root, "/proc/loadavg");
	m->pid_max = open_file(root, "/proc/sys/kernel/pid_max");
	m->threads_max = open_file(root, "/proc/sys/kernel/threads-max");
	m->sched_ext = open_file(root, "/sys/kernel/sched_ext/state");
	r = psi_open(&m->cpu, root, "/proc/pressure/cpu");
	if (r < 0) {
		psi_missing(r, &m->missing);
		m->has_missing = true;
	} else {
		(void)psi_open(&m->memory, root, "/proc/pressure/memory");
		(void)psi_open(&m->io, root, "/proc/pressure/io");
	}
	machine_prime(m);
	*ret = m;
	return 0;
}

enum pressure_source machine_pressure(const struct machine *m)
{
	return m->cpu.fd >= 0 ? PRESSURE_PSI : m->loadavg >= 0 ? PRESSURE_RUNQUEUE : PRESSURE_NONE;
}

bool machine_missing(const struct machine *m, struct missing *ret)
{
	if (m->has_missing)
		*ret = m->missing;
	return m->has_missing;
}

unsigned machine_rows(const struct machine *m)
{
	return m->rows;
}

static permyriad_t share(uint64_t part, uint64_t whole)
{
	return whole ? (permyriad_t)MIN(part * PERMYRIAD_FULL / whole, (uint64_t)PERMYRIAD_FULL) : PERMYRIAD_UNKNOWN;
}

static void read_psi(struct psi *p, usec_t window, permyriad_t *ret_some, permyriad_t *ret_full)
{
	uint64_t some, full;

	if (psi_read(p, &some, &full) < 0)
		return;
	*ret_some = share(some, window);
	if (ret_full)
		*ret_full = p->last.has_full ? share(full, window) : PERMYRIAD_UNKNOWN;
}

static bool read_loadavg(struct machine *m, uint32_t *ret_running, uint32_t *ret_tasks)
{
	char buf[128];

	return m->loadavg >= 0 && cgfile_pread(m->loadavg, buf, sizeof(buf)) > 0 &&
	       machine_parse_loadavg(buf, ret_running, ret_tasks) == 0;
}

static permyriad_t runqueue(struct machine *m, uint32_t running)
{
	uint32_t now = running > (uint32_t)m->ncpu + 1 ? PERMYRIAD_FULL : 0;

	m->runqueue = m->runqueue - m->runqueue / RUNQUEUE_READS + now;
	return (permyriad_t)(m->runqueue / RUNQUEUE_READS);
}

static void unknown(const struct machine *m, struct machine_sample *s)
{
	*s = (struct machine_sample){
		.ncpu = m->ncpu, .user = -1, .system = -1, .iowait = -1, .steal = -1, .irq = -1, .idle = -1,
		.cpu_some = -1, .mem_some = -1, .mem_full = -1, .io_some = -1, .io_full = -1,
		.runnable = -1, .blocked = -1, .forks = -1, .tasks = -1, .tasks_max = -1,
	};
}

int machine_read_calm(struct machine *m, usec_t window, struct machine_sample *ret)
{
	struct machine_sample s;
	uint32_t running, tasks;

	unknown(m, &s);
	if (m->cpu.fd >= 0)
		read_psi(&m->cpu, window, &s.cpu_some, NULL);
	else if (read_loadavg(m, &running, &tasks))
		s.cpu_some = runqueue(m, running);
	*ret = s;
	return 0;
}

void machine_prime(struct machine *m)
{
	permyriad_t ignored;

	(void)read_stat(m, &m->last);
	read_psi(&m->cpu, 1, &ignored, NULL);
	read_psi(&m->memory, 1, &ignored, NULL);
	read_psi(&m->io, 1, &ignored, NULL);
}

static void read_totals(struct machine *m, struct machine_sample *s)
{
	const struct machine_stat last = m->last;
	struct machine_stat now = {};
	uint64_t all;

	if (read_stat(m, &now) < 0)
		return;
	m->last = now;
	m->ncpu = s->ncpu = MAX(now.ncpu, 1);
	s->runnable = (int32_t)now.running;
	s->blocked = (int32_t)now.blocked;
	/* iowait and idle may go back a little; a CPU that went offline takes its ticks along. */
#define GROWTH(f) (now.f > last.f ? now.f - last.f : 0)
	all = GROWTH(user) + GROWTH(nice) + GROWTH(system) + GROWTH(idle) + GROWTH(iowait) + GROWTH(irq) + GROWTH(softirq) + GROWTH(steal);
	s->user = share(GROWTH(user) + GROWTH(nice), all);
	s->system = share(GROWTH(system), all);
	s->iowait = share(GROWTH(iowait), all);
	s->steal = share(GROWTH(steal), all);
	s->irq = share(GROWTH(irq) + GROWTH(softirq), all);
	s->idle = share(GROWTH(idle), all);
	s->forks = (int32_t)MIN(GROWTH(forks), (uint64_t)INT32_MAX);
#undef GROWTH
}

static int32_t level(int fd)
{
	char buf[64];
	uint64_t v;

	if (fd < 0 || cgfile_pread(fd, buf, sizeof(buf)) < 0 || machine_parse_number(buf, &v) < 0)
		return -1;
	return (int32_t)MIN(v, (uint64_t)INT32_MAX);
}

void machine_read_wide(struct machine *m, usec_t window, struct machine_sample *s)
{
	uint32_t running, tasks;
	int32_t pids, threads;

	read_totals(m, s);
	if (read_loadavg(m, &running, &tasks))
		s->tasks = (int32_t)tasks;
	read_psi(&m->memory, window, &s->mem_some, &s->mem_full);
	read_psi(&m->io, window, &s->io_some, &s->io_full);
	pids = level(m->pid_max);
	threads = level(m->threads_max);
	s->tasks_max = pids < 0 ? threads : threads < 0 ? pids : MIN(pids, threads);
}

int machine_read(struct machine *m, usec_t window, struct machine_sample *ret)
{
	struct machine_sample s;
	char buf[64];

	(void)machine_read_calm(m, window, &s);
	machine_read_wide(m, window, &s);
	s.sched_ext = m->sched_ext >= 0 && cgfile_pread(m->sched_ext, buf, sizeof(buf)) > 0 && machine_parse_sched_ext(buf);
	*ret = s;
	return 0;
}
