/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: loads bpf/probe.bpf.c, attaches it and reads its counters.
 *
 * The object is linked into the program (probe_object), so there is no file to
 * lose and no bpftool needed to build. Loading and verifying take tens of
 * milliseconds and much heap (the kernel's BTF is parsed), so both are done once,
 * at start; libbpf's object is then closed and only the descriptors are kept.
 * Attaching is one raw_tracepoint_open, which makes no object here.
 *
 * A slot's run grows when a task leaves the CPU; a lone hog, or a real-time one, may
 * keep it for a second. So what is read is slot.run plus the time since the row's
 * last switch where that slot is the one running. The run queues' clock cannot be
 * read here, but the latest switch of all rows can, and one of them just put us on
 * our CPU. A row that moves while it is read may give a little too much: a figure
 * never goes back, so that is made good with the next one.
 *
 * Counters are read through a shared mapping, without a system call. The kernel
 * writes them while they are read: each word is read whole, and a slot whose
 * serial changed in between is left for the next time. On attach all counters are
 * taken as read, and the generation tells the programs to begin anew.
 *
 * Only rows 0..high are touched, and what was read last lives in a mapping of its
 * own: both cost memory only where a css id was used.
 */
#include "sense/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/macro.h"
#include "base/str.h"

extern const char probe_object[], probe_object_end[];

struct last {
	uint64_t run, wait, rt_run, kthread_run, forks, serial;
};

struct probe {
	unsigned rows, slots;
	int switch_prog, fork_prog;
	int switch_link, fork_link;             /* -1: detached */
	struct probe_slot *slot;                /* rows × slots, the kernel writes */
	struct probe_control *control;
	struct last *last;
	size_t slot_size, control_size, last_size;
};

#define READ(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)

/* What libbpf said last: the sentence that explains a refusal. */
static char said[MISSING_TEXT_MAX / 2];

static int keep_warning(enum libbpf_print_level level, const char *format, va_list ap)
{
	char line[256];

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), format, ap);
	line[strcspn(line, "\n")] = 0;
	str_escape(said, sizeof(said), line);
	return 0;
}

static unsigned slots_for(unsigned rows)
{
	unsigned n = PROBE_SLOTS_MAX;

	while (n > PROBE_SLOTS_MIN && n * rows > PROBE_SLOTS_TOTAL)
		n /= 2;
	return n;
}

static struct bpf_map *map_ending_in(struct bpf_object *object, const char *suffix)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
		if (str_ends(bpf_map__name(map), suffix))
			return map;
	return NULL;
}

static int keep_fd(int fd)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return r < 0 ? -errno : r;
}

static int map_shared(struct bpf_map *map, size_t size, void **ret, size_t *ret_size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *m;

	size = (size + page - 1) / page * page;
	m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (m == MAP_FAILED)
		return -errno;
	*ret = m;
	*ret_size = size;
	return 0;
}

static void say(struct missing *m, const char *name, const char *what, const char *remedy)
{
	m->name = name;
	str_copy(m->what, sizeof(m->what), what);
	str_copy(m->remedy, sizeof(m->remedy), remedy);
}

#define WITHOUT "; using cpu.stat instead, which shows who runs but not who waits"

static int explain(int error, struct missing *m)
{
	char what[MISSING_TEXT_MAX];

	if (error == -ENOMEM)
		return error;
	if (error == -EPERM || error == -EACCES) {
		/* The verifier answers EACCES too, with a log; permission is denied before it runs. */
		if (error == -EPERM) {
			say(m, "probe-permission", "the kernel does not let us load the BPF probe" WITHOUT,
			    "give the service CAP_BPF and CAP_PERFMON, LimitMEMLOCK=infinity, and allow the bpf call in its filter; on SELinux systems see ausearch -m avc");
			return PROBE_E_PERMISSION;
		}
	}
	str_format(what, sizeof(what), "the kernel refused the BPF probe (%s)" WITHOUT, said[0] ? said : strerror(-error));
	say(m, "probe-refused", what, "needs a kernel from 5.10 on with BTF, FAIR_GROUP_SCHED and SCHED_INFO; please report the kernel's version");
	return PROBE_E_REFUSED;
}

struct probe *probe_close(struct probe *p)
{
	if (!p)
		return NULL;
	probe_detach(p);
	if (p->last)
		munmap(p->last, p->last_size);
	if (p->control)
		munmap(p->control, p->control_size);
	if (p->slot)
		munmap(p->slot, p->slot_size);
	if (p->fork_prog >= 0)
		close(p->fork_prog);
	if (p->switch_prog >= 0)
		close(p->switch_prog);
	free(p);
	return NULL;
}

static int take_over(struct probe *p, struct bpf_object *object, struct bpf_map *slots, struct bpf_map *control)
{
	void *m = NULL;
	int r;

	r = keep_fd(bpf_program__fd(bpf_object__find_program_by_name(object, "probe_switch")));
	if (r < 0)
		return r;
	p->switch_prog = r;
	r = keep_fd(bpf_program__fd(bpf_object__find_program_by_name(object, "probe_fork")));
	if (r < 0)
		return r;
	p->fork_prog = r;

	r = map_shared(slots, (size_t)p->rows * p->slots * sizeof(struct probe_slot), &m, &p->slot_size);
	if (r < 0)
		return r;
	p->slot = m;
	r = map_shared(control, sizeof(struct probe_control), &m, &p->control_size);
	if (r < 0)
		return r;
	p->control = m;

	p->last_size = (size_t)p->rows * p->slots * sizeof(struct last);
	m = mmap(NULL, p->last_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		return -errno;
	p->last = m;
	return 0;
}

static int load(const struct probe_config *config, struct probe *p)
{
	struct probe_settings settings = { .key = config->key, .rows = p->rows, .slots = p->slots };
	struct bpf_map *rodata, *slots, *control;
	struct bpf_object *object;
	int r;

	object = bpf_object__open_mem(probe_object, (uintptr_t)probe_object_end - (uintptr_t)probe_object,
				      &(struct bpf_object_open_opts){ .sz = sizeof(struct bpf_object_open_opts), .object_name = "reprieve" });
	if (!object)
		return -errno;
	rodata = map_ending_in(object, ".rodata");
	control = map_ending_in(object, ".bss");
	slots = bpf_object__find_map_by_name(object, "slots");
	if (!rodata || !control || !slots) {
		bpf_object__close(object);
		return -ENOEXEC;
	}
	r = bpf_map__set_initial_value(rodata, &settings, sizeof(settings));
	if (r == 0)
		r = bpf_map__set_max_entries(slots, p->rows * p->slots);
	if (r == 0)
		r = bpf_object__load(object);
	if (r == 0)
		r = take_over(p, object, slots, control);
	bpf_object__close(object);
	return r;
}

int probe_open(const struct probe_config *config, struct probe **ret, struct missing *ret_missing)
{
	libbpf_print_fn_t before;
	struct probe *p;
	struct btf *btf;
	int r;

	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->switch_prog = p->fork_prog = p->switch_link = p->fork_link = -1;
	p->rows = CLAMP(config->ncpu, 1u, (unsigned)PROBE_CPUS);
	p->slots = config->slots ? CLAMP(config->slots, 2u, (unsigned)PROBE_SLOTS_MAX) : slots_for(p->rows);

	said[0] = 0;
	before = libbpf_set_print(keep_warning);
	r = load(config, p);
	if (r < 0 && r != -EPERM && r != -ENOMEM) {
		btf = btf__load_vmlinux_btf();
		if (!btf) {
			say(ret_missing, "probe-btf", "the kernel carries no type information (BTF), so the BPF probe cannot be loaded" WITHOUT,
			    "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (/sys/kernel/btf/vmlinux is there then)");
			r = PROBE_E_BTF;
		}
		btf__free(btf);
	}
	libbpf_set_print(before);
	malloc_trim(0);
	if (r < 0)
		r = explain(r, ret_missing);
	if (r != 0) {
		probe_close(p);
		return r;
	}
	*ret = p;
	return 0;
}

int probe_attach(struct probe *p)
{
	int r;

	if (probe_attached(p))
		return 0;
	/* In this order: no row is of the new generation, so nobody counts as running. */
	__atomic_add_fetch(&p->control->generation, 1, __ATOMIC_SEQ_CST);
	probe_read(p, NULL, NULL);

	r = bpf_raw_tracepoint_open(NULL, p->switch_prog);
	if (r < 0)
		return r;
	p->switch_link = r;
	r = bpf_raw_tracepoint_open(NULL, p->fork_prog);
	if (r < 0) {
		probe_detach(p);
		return r;
	}
	p->fork_link = r;
	return 0;
}

void probe_detach(struct probe *p)
{
	if (p->fork_link >= 0)
		close(TAKE_FD(p->fork_link));
	if (p->switch_link >= 0)
		close(TAKE_FD(p->switch_link));
}

bool probe_attached(const struct probe *p)
{
	return p->switch_link >= 0 && p->fork_link >= 0;
}

/* What one row's running task has beyond its slot's figures. */
struct beyond {
	unsigned id;                    /* PROBE_IDLE: nobody */
	unsigned flags;
	uint64_t ns;
};

static uint64_t grown(uint64_t now, uint64_t *last)
{
	uint64_t by = now > *last ? now - *last : 0;

	*last += by;
	return by;
}

static void read_slot(const struct probe_slot *slot, struct last *last, unsigned cpu, unsigned id, const struct beyond *beyond,
		      probe_visit_t visit, void *userdata)
{
	uint64_t serial = READ(slot->serial), more = beyond->id == id ? beyond->ns : 0;
	struct last now = {
		.run = READ(slot->run) + more, .wait = READ(slot->wait),
		.rt_run = READ(slot->rt_run) + (beyond->flags & PROBE_RT ? more : 0),
		.kthread_run = READ(slot->kthread_run) + (beyond->flags & PROBE_KTHREAD ? more : 0),
		.forks = READ(slot->forks), .serial = serial,
	};
	uint64_t cgroup = READ(slot->cgroup);
	struct probe_delta d;

	if (serial != READ(slot->serial) || (!cgroup && id != PROBE_SLOT_OVERFLOW))
		return;
	if (!visit) {
		*last = now;
		return;
	}
	if (now.serial == last->serial && now.run == last->run && now.wait == last->wait && now.forks == last->forks)
		return;
	if (now.serial != last->serial)
		*last = (struct last){ .serial = serial };
	d = (struct probe_delta){
		.cgroup = cgroup, .cpu = cpu,
		.run_ns = grown(now.run, &last->run), .wait_ns = grown(now.wait, &last->wait),
		.rt_run_ns = grown(now.rt_run, &last->rt_run), .kthread_run_ns = grown(now.kthread_run, &last->kthread_run),
		.forks = (uint32_t)grown(now.forks, &last->forks),
	};
	visit(&d, userdata);
}

/* The latest switch on any CPU. */
static uint64_t clock_now(const struct probe *p)
{
	uint64_t now = 0, since;
	unsigned cpu;

	for (cpu = 0; cpu < p->rows; cpu++) {
		since = READ(p->control->rows[cpu].since);
		now = MAX(now, since);
	}
	return now;
}

void probe_read(struct probe *p, probe_visit_t visit, void *userdata)
{
	unsigned cpu, id, high, generation = READ(p->control->generation);
	uint64_t now = clock_now(p), since;
	struct beyond beyond;
	size_t at;

	for (cpu = 0; cpu < p->rows; cpu++) {
		const struct probe_row *row = &p->control->rows[cpu];

		beyond = (struct beyond){ .id = PROBE_IDLE };
		since = READ(row->since);
		if (READ(row->generation) == generation && now > since)
			beyond = (struct beyond){ .id = READ(row->running), .flags = READ(row->flags), .ns = now - since };
		high = MIN(READ(row->high), p->slots - 1);
		for (id = 0; id <= high; id++) {
			at = (size_t)cpu * p->slots + id;
			read_slot(&p->slot[at], &p->last[at], cpu, id, &beyond, visit, userdata);
		}
	}
}

int probe_stats(const struct probe *p, uint64_t *ret_runs, uint64_t *ret_ns)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	int r;

	r = bpf_obj_get_info_by_fd(p->switch_prog, &info, &size);
	if (r < 0)
		return r;
	*ret_runs = info.run_cnt;
	*ret_ns = info.run_time_ns;
	return 0;
}
