/* SPDX-License-Identifier: Apache-2.0 */
/* journal: what has to be put back, safe against kill -9 at any moment.
 *
 * A slot never crosses a page, and a write within one page of a tmpfs file is not
 * torn by a signal, SIGKILL included: the kernel looks for one between pages only.
 * So a slot is either what it was or what it became, and no log with replay is
 * needed. A slot is free when its first eight bytes are zero. There is no fsync:
 * the record has to outlive the process, not the machine; after a reboot the
 * cgroups are gone and the boot id makes the file void.
 *
 * The file is allocated whole (fallocate reserves tmpfs pages), so writing into it
 * later cannot meet ENOSPC. It is made under another name and renamed, so a
 * journal is complete or not there. Two guards are kept apart by a lock on a file
 * of its own, since the journal's inode may be replaced. It is a record lock: flock's
 * would live on in a child that a killed guard had forked and that, on a starved
 * machine, did not come to its exec yet.
 *
 * What is read back is hostile until proven: a symlink, a fifo, another's file, a
 * foreign boot, a wrong checksum, a path with ".." are set aside or skipped, and
 * said. In memory there is everything but the paths, 128 bytes a record. */

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "act/inject.h"
#include "act/journal.h"
#include "base/cleanup.h"
#include "base/str.h"

#define JOURNAL_MAGIC   UINT64_C(0x314c4e4a52505252)    /* "RRPRJNL1" */
#define JOURNAL_NEW     "journal.new"
#define JOURNAL_BAD     "journal.bad"
#define JOURNAL_LOCK    "journal.lock"

struct journal_header {
	uint64_t sum, magic, boot[2];
	uint32_t slots, record_size;
	struct act_layout layout;
};

struct journal_slot {
	struct journal_record record;
	char path[GROUP_PATH_MAX];
	char unused[JOURNAL_RECORD_SIZE - sizeof(struct journal_record) - GROUP_PATH_MAX];
};

_Static_assert(sizeof(struct journal_header) <= JOURNAL_HEADER_SIZE, "the header is one page");
_Static_assert(sizeof(struct journal_slot) == JOURNAL_RECORD_SIZE, "a slot has no padding");
_Static_assert(JOURNAL_HEADER_SIZE % JOURNAL_RECORD_SIZE == 0 && JOURNAL_HEADER_SIZE % 4096 == 0, "a slot lies in one page");

struct journal {
	int dir_fd, lock_fd, fd;
	bool anew;                      /* written anew, and nobody told yet */
	uint64_t boot[2];
	struct act_layout layout;
	unsigned slots, used, live;     /* used: slots behind it are free */
	bool old[JOURNAL_SLOTS];
	struct journal_record records[JOURNAL_SLOTS];
};

/* Not cryptographic: it tells a record from garbage. Never 0. */
static uint64_t journal_sum(const void *data, size_t size)
{
	const unsigned char *p = data;
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ size, word;

	for (; size > 0; size -= MIN(size, sizeof(word)), p += sizeof(word)) {
		word = 0;
		memcpy(&word, p, MIN(size, sizeof(word)));
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h != 0 ? h : 1;
}

static uint64_t record_sum(const struct journal_record *r)
{
	return journal_sum((const char *)r + sizeof(r->sum), sizeof(*r) - sizeof(r->sum));
}

static uint64_t header_sum(const struct journal_header *h)
{
	return journal_sum((const char *)h + sizeof(h->sum), sizeof(*h) - sizeof(h->sum));
}

static void journal_say(act_say_t say, void *userdata, const char *rundir, const char *what)
{
	char line[512], dir[256];

	if (say == NULL)
		return;
	str_format(line, sizeof(line), "undo journal %s/" JOURNAL_FILE ": %s", str_escape(dir, sizeof(dir), rundir), what);
	say(userdata, line);
}

int journal_boot(uint64_t ret[static 2])
{
	_cleanup_(cleanup_close) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY|O_CLOEXEC);
	char text[64];
	ssize_t n;
	unsigned digits = 0;

	n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (n < 0)
		return -errno;
	ret[0] = ret[1] = 0;
	for (ssize_t i = 0; i < n && digits < 32; i++) {
		int c = (unsigned char)text[i], d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (d >= 0) {
			ret[digits / 16] = ret[digits / 16] << 4 | (uint64_t)d;
			digits++;
		}
	}
	return digits == 32 ? 0 : -ENODATA;
}

bool journal_path_is_sound(const char *path)
{
	if (path[0] != '/' || path[1] == '\0' || strlen(path) >= GROUP_PATH_MAX)
		return false;
	for (const char *p = path; *p != '\0'; ) {
		size_t n = strcspn(++p, "/");

		if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += n;
	}
	return true;
}

bool journal_check(const void *data, const uint64_t boot[2], struct journal_record *ret_record, char ret_path[static GROUP_PATH_MAX])
{
	struct journal_slot slot;
	const struct journal_record *r = &slot.record;

	memcpy(&slot, data, sizeof(slot));
	if (r->sum == 0 || r->sum != record_sum(r) || r->boot[0] != boot[0] || r->boot[1] != boot[1])
		return false;
	if (r->path_sum != journal_sum(slot.path, sizeof(slot.path)) || memchr(slot.path, 0, sizeof(slot.path)) == NULL)
		return false;
	if (r->kind <= JOURNAL_FREE || r->kind >= _JOURNAL_KIND_MAX || r->tree >= _JOURNAL_TREE_MAX || r->verb >= 32)
		return false;
	if (r->kind == JOURNAL_TASK ? r->task.tid <= 1 || r->task.pid <= 0 : !journal_path_is_sound(slot.path))
		return false;
	*ret_record = *r;
	memcpy(ret_path, slot.path, GROUP_PATH_MAX);
	return true;
}

void journal_seal(void *data, const uint64_t boot[2])
{
	struct journal_slot slot;

	memcpy(&slot, data, sizeof(slot));
	slot.record.boot[0] = boot[0];
	slot.record.boot[1] = boot[1];
	slot.record.path_sum = journal_sum(slot.path, sizeof(slot.path));
	slot.record.sum = record_sum(&slot.record);
	memcpy(data, &slot, sizeof(slot));
}

static off_t slot_offset(const struct journal *j, const struct journal_record *r)
{
	return JOURNAL_HEADER_SIZE + (off_t)(r - j->records) * JOURNAL_RECORD_SIZE;
}

static int journal_write(int fd, const void *data, size_t size, off_t offset)
{
	ssize_t n;
	int r;

	r = INJECT("journal:before");
	if (r < 0)
		return r;
	do
		n = pwrite(fd, data, size, offset);
	while (n < 0 && errno == EINTR);
	r = n < 0 ? -errno : (size_t)n != size ? -ENOSPC : 0;
	(void)INJECT("journal:after");
	return r;
}

/* Every page behind `from` is there from now on, or -ENOSPC. */
static int journal_allocate(int fd, off_t from)
{
	static const char zero[4096];

	if (fallocate(fd, 0, 0, JOURNAL_FILE_SIZE) >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	for (ssize_t n; from < JOURNAL_FILE_SIZE; from += n) {
		n = pwrite(fd, zero, (size_t)MIN((off_t)sizeof(zero), JOURNAL_FILE_SIZE - from), from);
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
	}
	return 0;
}

static int journal_write_header(struct journal *j, int fd, const struct act_layout *layout)
{
	struct journal_header h;
	int r;

	memset(&h, 0, sizeof(h));
	h.magic = JOURNAL_MAGIC;
	h.boot[0] = j->boot[0];
	h.boot[1] = j->boot[1];
	h.slots = JOURNAL_SLOTS;
	h.record_size = JOURNAL_RECORD_SIZE;
	h.layout = *layout;
	h.sum = header_sum(&h);
	r = journal_write(fd, &h, sizeof(h), 0);
	if (r >= 0)
		j->layout = *layout;
	return r;
}

/* A whole file under the other name, which gets its own when it is filled. */
static int journal_begin(struct journal *j, int *ret_fd)
{
	int r;

	(void)unlinkat(j->dir_fd, JOURNAL_NEW, 0);
	*ret_fd = openat(j->dir_fd, JOURNAL_NEW, O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600);
	if (*ret_fd < 0)
		return -errno;
	r = INJECT("journal:allocate");
	return r < 0 ? r : journal_allocate(*ret_fd, 0);
}

/* filled: 0 or why it could not be, which is the result then and leaves no file behind. */
static int journal_finish(struct journal *j, int *fd, int filled)
{
	if (filled >= 0 && renameat(j->dir_fd, JOURNAL_NEW, j->dir_fd, JOURNAL_FILE) < 0)
		filled = -errno;
	if (filled < 0) {
		if (*fd >= 0)
			(void)unlinkat(j->dir_fd, JOURNAL_NEW, 0);
		return filled;
	}
	cleanup_close(&j->fd);
	j->fd = TAKE_FD(*fd);
	return 0;
}

static int journal_create(struct journal *j, const struct act_layout *layout)
{
	_cleanup_(cleanup_close) int fd = -1;
	int r = journal_begin(j, &fd);

	if (r >= 0)
		r = journal_write_header(j, fd, layout);
	r = journal_finish(j, &fd, r);
	if (r >= 0)
		j->slots = JOURNAL_SLOTS;
	return r;
}

static bool root_is_sound(const char root[static ACT_ROOT_MAX])
{
	return memchr(root, 0, ACT_ROOT_MAX) != NULL && (root[0] == '\0' || root[0] == '/');
}

/* NULL: the file can be worked with. Else what is wrong with it, for people. */
static const char *journal_load(struct journal *j, int fd, unsigned *ret_bad, bool *ret_short)
{
	struct journal_header h;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return "not a regular file";
	if (st.st_uid != geteuid() || (st.st_mode & 022) != 0 || st.st_nlink != 1)
		return "others could have written it";
	if (pread(fd, &h, sizeof(h), 0) != sizeof(h) || h.magic != JOURNAL_MAGIC || h.sum != header_sum(&h))
		return "its header is damaged";
	if (h.boot[0] != j->boot[0] || h.boot[1] != j->boot[1])
		return "";              /* of an earlier boot: void, nothing to say */
	if (h.record_size != JOURNAL_RECORD_SIZE || h.slots != JOURNAL_SLOTS ||
	    !root_is_sound(h.layout.cpu_root) || !root_is_sound(h.layout.pids_root) || !root_is_sound(h.layout.freezer_root))
		return "it has another format";
	/* What a truncated file has lost cannot be restored, but the rest can; without room for all of it, in what there is. */
	j->slots = JOURNAL_SLOTS;
	*ret_short = st.st_size < JOURNAL_FILE_SIZE;
	if (*ret_short && journal_allocate(fd, st.st_size) < 0)
		j->slots = (unsigned)(MAX((off_t)0, st.st_size - JOURNAL_HEADER_SIZE) / JOURNAL_RECORD_SIZE);
	j->layout = h.layout;
	for (unsigned i = 0; i < j->slots; i++) {
		struct journal_slot slot;
		char path[GROUP_PATH_MAX];

		if (pread(fd, &slot, sizeof(slot), slot_offset(j, &j->records[i])) != sizeof(slot) || slot.record.sum == 0)
			continue;
		if (!journal_check(&slot, j->boot, &j->records[i], path)) {
			(*ret_bad)++;
			memset(&slot, 0, sizeof(slot.record));
			(void)journal_write(fd, &slot, sizeof(slot.record), slot_offset(j, &j->records[i]));
			continue;
		}
		j->old[i] = true;
		j->live++;
		j->used = i + 1;
	}
	return NULL;
}

/* 0: opened. JOURNAL_E_NONE: there is none that can be used, and what was there is out of the way. */
static int journal_open(struct journal *j, const char *rundir, act_say_t say, void *userdata)
{
	_cleanup_(cleanup_close) int fd = openat(j->dir_fd, JOURNAL_FILE, O_RDWR|O_NOFOLLOW|O_CLOEXEC|O_NONBLOCK|O_NOCTTY);
	const char *wrong;
	unsigned bad = 0;
	bool cut = false;

	if (fd < 0 && errno == ENOENT)
		return JOURNAL_E_NONE;
	wrong = fd >= 0 ? journal_load(j, fd, &bad, &cut) : errno == ELOOP ? "it is a symbolic link" : "it cannot be opened";
	if (wrong == NULL) {
		char line[128];

		if (cut)
			journal_say(say, userdata, rundir, "a part of it was cut off; what that spoke of is left as it is");
		if (bad > 0) {
			str_format(line, sizeof(line), "%u damaged records were skipped; what they spoke of is left as it is", bad);
			journal_say(say, userdata, rundir, line);
		}
		j->fd = TAKE_FD(fd);
		return 0;
	}
	if (wrong[0] != '\0') {
		journal_say(say, userdata, rundir, wrong);
		journal_say(say, userdata, rundir, "set aside as " JOURNAL_BAD "; nothing in it was used");
	}
	memset(j->records, 0, sizeof(j->records));
	memset(j->old, 0, sizeof(j->old));
	j->live = j->used = j->slots = 0;
	if (renameat(j->dir_fd, JOURNAL_FILE, j->dir_fd, JOURNAL_BAD) < 0 && errno != ENOENT)
		return -errno;
	return JOURNAL_E_NONE;
}

static int journal_open_rundir(struct journal *j, const char *rundir, bool create)
{
	struct stat st;

	if (create && mkdir(rundir, 0755) < 0 && errno != EEXIST)
		return -errno;
	j->dir_fd = open(rundir, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
	if (j->dir_fd < 0)
		return !create && errno == ENOENT ? JOURNAL_E_NONE : -errno;
	if (fstat(j->dir_fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return -EPERM;
	j->lock_fd = openat(j->dir_fd, JOURNAL_LOCK, O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC, 0600);
	if (j->lock_fd < 0)
		return -errno;
	if (fcntl(j->lock_fd, F_SETLK, &(struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET }) < 0)
		return errno == EACCES || errno == EAGAIN ? JOURNAL_E_LOCKED : -errno;
	return 0;
}

static bool is_gone(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 || st.st_nlink == 0;
}

/* The lock first: another guard may have begun meanwhile, and the name is its own then. */
static int lock_again(struct journal *j)
{
	_cleanup_(cleanup_close) int fd = openat(j->dir_fd, JOURNAL_LOCK, O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_SETLK, &(struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET }) < 0)
		return -EALREADY;
	cleanup_close(&j->lock_fd);
	j->lock_fd = TAKE_FD(fd);
	return 0;
}

int journal_keep(struct journal *j)
{
	_cleanup_(cleanup_close) int fd = -1;
	char page[4096];
	off_t at;
	int r;

	if (is_gone(j->lock_fd)) {
		r = lock_again(j);
		if (r < 0)
			return r;
	}
	if (!is_gone(j->fd))
		return 0;
	r = journal_begin(j, &fd);
	for (at = 0; r >= 0 && at < JOURNAL_FILE_SIZE; at += (off_t)sizeof(page)) {
		ssize_t n = pread(j->fd, page, sizeof(page), at);

		if (n == 0)
			break;          /* a short one stays so */
		r = n < 0 ? -errno : journal_write(fd, page, (size_t)n, at);
	}
	r = journal_finish(j, &fd, r);
	if (r < 0)
		return r;
	j->anew = true;
	return 1;
}

bool journal_anew(struct journal *j)
{
	bool anew = j->anew;

	j->anew = false;
	return anew;
}

struct journal *journal_free(struct journal *j)
{
	if (j == NULL)
		return NULL;
	cleanup_close(&j->fd);
	cleanup_close(&j->lock_fd);
	cleanup_close(&j->dir_fd);
	free(j);
	return NULL;
}

static void journal_freep(struct journal **j)
{
	*j = journal_free(*j);
}

int journal_new(struct journal **ret, const char *rundir, const struct act_layout *layout, act_say_t say, void *userdata)
{
	_cleanup_(journal_freep) struct journal *j = calloc(1, sizeof(*j));
	int r;

	if (j == NULL)
		return -ENOMEM;
	j->fd = j->lock_fd = j->dir_fd = -1;
	r = journal_boot(j->boot);
	if (r == 0)
		r = journal_open_rundir(j, rundir, layout != NULL);
	if (r == 0)
		r = journal_open(j, rundir, say, userdata);
	if (r == JOURNAL_E_NONE && layout != NULL && j->lock_fd >= 0)
		r = journal_create(j, layout);
	if (r == 0)
		*ret = TAKE(j);
	return r;
}

const struct act_layout *journal_layout(const struct journal *j)
{
	return &j->layout;
}

int journal_set_layout(struct journal *j, const struct act_layout *layout)
{
	if (memcmp(&j->layout, layout, sizeof(*layout)) == 0)
		return 0;
	return j->live > 0 ? -EBUSY : journal_write_header(j, j->fd, layout);
}

int journal_add(struct journal *j, const struct journal_record *record, const char *path, struct journal_record **ret)
{
	struct journal_slot slot;
	unsigned i;
	int r;

	if (strlen(path) >= sizeof(slot.path))
		return -ENAMETOOLONG;
	r = journal_keep(j);            /* a record that no later start would find is none */
	if (r < 0)
		return r;
	for (i = 0; i < j->slots && j->records[i].sum != 0; i++)
		;
	if (i == j->slots)
		return -ENOSPC;
	memset(&slot, 0, sizeof(slot));
	slot.record = *record;
	str_copy(slot.path, sizeof(slot.path), path);
	for (const char *p = path; *p != '\0'; p++)
		slot.record.depth += *p == '/';
	journal_seal(&slot, j->boot);
	r = journal_write(j->fd, &slot, sizeof(slot), slot_offset(j, &j->records[i]));
	if (r < 0) {
		/* What got there of it must not be read as a record. */
		memset(&slot, 0, sizeof(slot));
		(void)!pwrite(j->fd, &slot, sizeof(slot.record), slot_offset(j, &j->records[i]));
		return r;
	}
	j->records[i] = slot.record;
	j->used = MAX(j->used, i + 1);
	j->live++;
	*ret = &j->records[i];
	return 0;
}

int journal_update(struct journal *j, struct journal_record *record, const struct journal_record *with)
{
	struct journal_record copy = *with;
	int r;

	copy.boot[0] = j->boot[0];
	copy.boot[1] = j->boot[1];
	copy.path_sum = record->path_sum;
	copy.sum = record_sum(&copy);
	r = journal_write(j->fd, &copy, sizeof(copy), slot_offset(j, record));
	if (r >= 0)
		*record = copy;
	return r;
}

int journal_done(struct journal *j, struct journal_record *record)
{
	static const struct journal_record free_slot;
	int r;

	r = journal_write(j->fd, &free_slot, sizeof(free_slot), slot_offset(j, record));
	if (r < 0)
		return r;
	*record = free_slot;
	journal_claim(j, record);
	j->live--;
	while (j->used > 0 && j->records[j->used - 1].sum == 0)
		j->used--;
	return 0;
}

bool journal_is_old(const struct journal *j, const struct journal_record *record)
{
	return j->old[record - j->records];
}

void journal_claim(struct journal *j, const struct journal_record *record)
{
	j->old[record - j->records] = false;
}

unsigned journal_live(const struct journal *j)
{
	return j->live;
}

struct journal_record *journal_next(const struct journal *j, const struct journal_record *previous)
{
	for (unsigned i = previous == NULL ? 0 : (unsigned)(previous - j->records) + 1; i < j->used; i++)
		if (j->records[i].sum != 0)
			return (struct journal_record *)&j->records[i];
	return NULL;
}

struct journal_record *journal_find(const struct journal *j, enum journal_kind kind, uint64_t group)
{
	for (unsigned i = 0; i < j->used; i++)
		if (j->records[i].kind == kind && j->records[i].group == group)
			return (struct journal_record *)&j->records[i];
	return NULL;
}

struct journal_record *journal_find_task(const struct journal *j, int32_t tid, uint64_t start)
{
	for (unsigned i = 0; i < j->used; i++)
		if (j->records[i].kind == JOURNAL_TASK && j->records[i].task.tid == tid && j->records[i].task.start == start)
			return (struct journal_record *)&j->records[i];
	return NULL;
}

int journal_path(const struct journal *j, const struct journal_record *record, char ret[static GROUP_PATH_MAX])
{
	char path[GROUP_PATH_MAX];
	ssize_t n = pread(j->fd, path, sizeof(path), slot_offset(j, record) + (off_t)offsetof(struct journal_slot, path));

	if (n < 0)
		return -errno;
	if (n != sizeof(path) || record->path_sum != journal_sum(path, sizeof(path)) || memchr(path, 0, sizeof(path)) == NULL)
		return -EBADMSG;
	memcpy(ret, path, sizeof(path));
	return 0;
}
