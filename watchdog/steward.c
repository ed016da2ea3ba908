/* SPDX-License-Identifier: Apache-2.0 */
/* reprieve-steward: slow privileged work for the guard, which decides. It names and
 * ranks tasks, finds processes, looks up containers' names and sets lifeline weights.
 *
 * One loop. A ranking is two short looks with a timer in between, so several run
 * side by side and a question is answered meanwhile. D-Bus calls are bounded but do
 * block, so they wait until no ranking is under way: who harms whom is needed now, a
 * weight for later can wait. Answers that the guard does not take are dropped: its
 * action times out and it asks again.
 *
 * Lifeline weights must not outlive the guard: they are put back when we are told to
 * end and when the guard is gone for GUARD_GRACE. A start that finds the record of a
 * killed steward leaves them to a guard that asks for them again, since taking the
 * last one away makes systemd switch the cpu controller off, and with it every
 * squeeze; what is not asked for within CLAIM_GRACE is put back. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "steward/containers.h"
#include "steward/lifeline.h"
#include "steward/names.h"
#include "steward/rank.h"
#include "steward/talk.h"
#include "sys/log.h"
#include "sys/loop.h"
#include "sys/notify.h"
#include "sys/root.h"
#include "sys/wire.h"

#define NICE_AT_WORK  (-5)
#define JOBS_MAX      8                         /* rankings side by side; beyond: -EBUSY */
#define SPACING       (1 * USEC_PER_SEC)        /* between two rankings of one cgroup; sooner: waits */
#define SPACED_MAX    32                        /* cgroups remembered for that */
#define ORDERS_MAX    128                       /* lifeline requests waiting; beyond: -EBUSY */
#define REQUESTS_TURN 16                        /* requests taken in one wake-up */
#define FIND_PART     64                        /* rows of one answer */
#define RECONNECT     (1 * USEC_PER_SEC)
#define GUARD_GRACE   USEC_PER_MIN     /* killed on a machine without CPU, it needs a while to be back */
#define CLAIM_GRACE   (10 * USEC_PER_SEC)
#define TRY_AGAIN     USEC_PER_MIN             /* what could not be put back */
#define PUT_BACK_TRIES 5
#define LOCK_PATIENCE 150                       /* × 100 ms for the one before us to end */

enum job_state { JOB_FREE, JOB_WAITING, JOB_LOOKING };

struct job {
	enum job_state state;
	uint64_t id;
	struct talk_globs keep;
	struct rank rank;
	struct loop_timer timer;
};

struct order {
	uint64_t id;
	struct talk_lifeline lifeline;
};

static struct {
	struct loop loop;
	struct loop_source peer;
	struct loop_timer connect, grace, adopted, again, orders_timer, watchdog;
	int rundir_fd, root_fd;
	char socket[256];
	bool inherited;
	struct names *names;
	struct lifeline *lifeline;
	struct job jobs[JOBS_MAX];
	unsigned n_orders;
	struct order orders[ORDERS_MAX];
	struct { uint64_t group; usec_t at; } spaced[SPACED_MAX];
	unsigned next_spaced;
	struct wire in, out;
	struct talk_globs globs;
	struct talk_ranked ranked;
	uint32_t n_found;
	struct talk_found_row found[FIND_ROWS_MAX];
} g;

static void reply(void)
{
	int r = g.peer.fd < 0 ? -ENOTCONN : wire_send(g.peer.fd, &g.out);

	if (r < 0)
		log_debug("an answer to the guard was dropped: %s", strerror(-r));
}

static void reply_error(enum protocol_verb verb, uint64_t id, int error, const char *text)
{
	talk_put_answer(&g.out, verb, id, 0, error, text);
	reply();
}

static const char *why_rank(int error)
{
	return error == -ENOENT || error == -ENODEV ? "the cgroup is gone" : strerror(-error);
}

/* ---- RANK ---- */

static int second_look(struct loop *l, struct loop_timer *t, void *data)
{
	struct job *j = data;
	int r = rank_end(&j->rank, g.names, &j->keep, loop_now(l), &g.ranked);

	j->state = JOB_FREE;
	if (r < 0) {
		reply_error(PROTOCOL_RANK, j->id, r, why_rank(r));
		return 0;
	}
	talk_put_answer(&g.out, PROTOCOL_RANK, j->id, 0, 0, "");
	wire_put_u64(&g.out, g.ranked.group);
	wire_put_u64(&g.out, g.ranked.seen);
	wire_put_u64(&g.out, g.ranked.n);
	for (uint32_t i = 0; i < g.ranked.n; i++)
		talk_put_task(&g.out, &g.ranked.tasks[i]);
	reply();
	return 0;
}

static int first_look(struct loop *l, struct loop_timer *t, void *data)
{
	struct job *j = data;
	struct talk_rank query = j->rank.query;
	int r = rank_begin(&j->rank, g.names, &query, loop_now(l));

	if (r < 0) {
		j->state = JOB_FREE;
		reply_error(PROTOCOL_RANK, j->id, r, why_rank(r));
		return 0;
	}
	j->state = JOB_LOOKING;
	loop_set_timer(l, &j->timer, loop_now(l) + RANK_WINDOW, second_look, j);
	return 0;
}

/* When this cgroup may be ranked again; notes that it will be. */
static usec_t space(uint64_t group, usec_t now)
{
	for (unsigned i = 0; i < SPACED_MAX; i++)
		if (g.spaced[i].group == group && g.spaced[i].at != 0) {
			usec_t at = MAX(now, g.spaced[i].at + SPACING);

			g.spaced[i].at = at;
			return at;
		}
	g.spaced[g.next_spaced].group = group;
	g.spaced[g.next_spaced].at = now;
	g.next_spaced = (g.next_spaced + 1) % SPACED_MAX;
	return now;
}

static int on_rank(uint64_t id)
{
	struct job *j = NULL;
	int r;

	for (unsigned i = 0; i < JOBS_MAX && j == NULL; i++)
		if (g.jobs[i].state == JOB_FREE)
			j = &g.jobs[i];
	if (j == NULL) {
		reply_error(PROTOCOL_RANK, id, -EBUSY, "too many rankings at once");
		return 0;
	}
	r = talk_get_rank(&g.in, &j->rank.query, &j->keep);
	if (r < 0)
		return r;
	j->id = id;
	j->state = JOB_WAITING;
	loop_set_timer(&g.loop, &j->timer, space(j->rank.query.group, loop_now(&g.loop)), first_look, j);
	return 0;
}

/* ---- FIND and NAME ---- */

static void found(const struct talk_found_row *row, void *data)
{
	g.found[g.n_found++] = *row;
}

static int on_find(uint64_t id)
{
	char controller[32];
	uint32_t at = 0;
	int r = talk_get_find(&g.in, controller, sizeof(controller), &g.globs);

	if (r < 0)
		return r;
	g.n_found = 0;
	r = rank_find(g.names, controller, &g.globs, found, NULL);
	if (r < 0) {
		reply_error(PROTOCOL_FIND, id, r, strerror(-r));
		return 0;
	}
	do {
		uint32_t n = MIN(g.n_found - at, (uint32_t)FIND_PART);

		talk_put_answer(&g.out, PROTOCOL_FIND, id, at + n < g.n_found ? WIRE_MORE : 0, 0, "");
		wire_put_u64(&g.out, r == 1);
		wire_put_u64(&g.out, n);
		for (uint32_t i = 0; i < n; i++, at++) {
			wire_put_str(&g.out, g.found[at].path);
			wire_put_str(&g.out, g.found[at].comm);
		}
		reply();
	} while (at < g.n_found);
	return 0;
}

static int on_name(uint64_t id)
{
	char name[GROUP_NAME_MAX];
	struct talk_name q;
	int r = talk_get_name(&g.in, &q);

	if (r < 0)
		return r;
	r = containers_name(g.root_fd, q.id, name, sizeof(name));
	if (r < 0) {
		reply_error(PROTOCOL_NAME, id, r, r == -ENOENT ? "neither docker nor podman knows this container" : strerror(-r));
		return 0;
	}
	talk_put_answer(&g.out, PROTOCOL_NAME, id, 0, 0, "");
	wire_put_u64(&g.out, q.group);
	wire_put_str(&g.out, name);
	reply();
	return 0;
}

/* ---- LIFELINE ---- */

static const char *why_lifeline(int error)
{
	switch (error) {
	case -EOPNOTSUPP: return "systemd is not PID 1 here";
	case -ENOENT:     return "no such unit, or nothing was changed there";
	case -ETIMEDOUT:  return "systemd did not answer in time";
	case -ENOSPC:     return "too many units, or no space in the run directory";
	default:          return strerror(-error);
	}
}

static int put_back_again(struct loop *l, struct loop_timer *t, void *data);

/* Says what an undo left undone, and has it tried again. */
static void left_undone(int r)
{
	if (r >= 0 || r == -ENOENT || r == -EOPNOTSUPP || lifeline_count(g.lifeline) == 0)
		return;
	log_warning("a lifeline weight, or the file it left, could not be put back: %s; tried again in a minute", why_lifeline(r));
	loop_set_timer(&g.loop, &g.again, loop_now(&g.loop) + TRY_AGAIN, put_back_again, NULL);
}

static int put_back_again(struct loop *l, struct loop_timer *t, void *data)
{
	left_undone(lifeline_undo_unclaimed(g.lifeline));
	return 0;
}

static void carry_out(const struct order *o)
{
	int32_t before = LIFELINE_UNSET, after = LIFELINE_UNSET;
	const char *unit = o->lifeline.unit;
	int r;

	if (unit[0] == '\0')
		r = o->lifeline.weight > 0 ? -EINVAL : lifeline_undo_all(g.lifeline);
	else if (o->lifeline.weight > 0)
		r = lifeline_set(g.lifeline, unit, o->lifeline.weight, &before, &after);
	else
		r = lifeline_undo(g.lifeline, unit, &after);
	if (r < 0) {
		if (o->lifeline.weight <= 0)
			left_undone(r);
		reply_error(PROTOCOL_LIFELINE, o->id, r, why_lifeline(r));
		return;
	}
	talk_put_answer(&g.out, PROTOCOL_LIFELINE, o->id, 0, 0, "");
	wire_put_str(&g.out, unit);
	wire_put_i64(&g.out, before);
	wire_put_i64(&g.out, after);
	reply();
}

/* One order a turn, none while a ranking is under way. */
static int work_off(struct loop *l, struct loop_timer *t, void *data)
{
	bool ranking = false;

	for (unsigned i = 0; i < JOBS_MAX; i++)
		ranking = ranking || g.jobs[i].state == JOB_LOOKING;
	if (!ranking && g.n_orders > 0) {
		struct order o = g.orders[0];

		memmove(g.orders, g.orders + 1, --g.n_orders * sizeof(*g.orders));
		carry_out(&o);
	}
	if (g.n_orders > 0)
		loop_set_timer(l, t, loop_now(l) + (ranking ? 50 * USEC_PER_MSEC : 0), work_off, NULL);
	return 0;
}

static int on_lifeline(uint64_t id)
{
	struct order o = { .id = id };
	int r = talk_get_lifeline(&g.in, &o.lifeline);

	if (r < 0)
		return r;
	if (g.n_orders == ORDERS_MAX) {
		reply_error(PROTOCOL_LIFELINE, id, -EBUSY, "too many requests at once");
		return 0;
	}
	g.orders[g.n_orders++] = o;
	loop_set_timer(&g.loop, &g.orders_timer, loop_now(&g.loop), work_off, NULL);
	return 0;
}

/* ---- the guard ---- */

static const struct { enum protocol_verb verb; int (*fn)(uint64_t id); } g_verbs[] = {
	{ PROTOCOL_RANK, on_rank }, { PROTOCOL_FIND, on_find }, { PROTOCOL_NAME, on_name }, { PROTOCOL_LIFELINE, on_lifeline },
};

static int try_connect(struct loop *l, struct loop_timer *t, void *data);

static int guard_stays_away(struct loop *l, struct loop_timer *t, void *data)
{
	if (lifeline_count(g.lifeline) > 0) {
		log_notice("the guard is gone: putting the lifeline weights of %u units back", lifeline_count(g.lifeline));
		(void)lifeline_undo_all(g.lifeline);
	}
	if (lifeline_count(g.lifeline) > 0)
		loop_set_timer(l, &g.grace, loop_now(l) + GUARD_GRACE, guard_stays_away, NULL);
	return 0;
}

static int look_for_unclaimed(struct loop *l, struct loop_timer *t, void *data)
{
	if (g.peer.fd < 0)
		(void)guard_stays_away(l, t, data);
	else if (lifeline_undo_unclaimed(g.lifeline) < 0)
		loop_set_timer(l, t, loop_now(l) + GUARD_GRACE, look_for_unclaimed, NULL);
	return 0;
}

static void hang_up(void)
{
	int fd = g.peer.fd;

	loop_remove(&g.loop, &g.peer);
	(void)close(fd);
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		loop_cancel_timer(&g.loop, &g.jobs[i].timer);
		g.jobs[i].state = JOB_FREE;
	}
	g.n_orders = 0;
	if (g.inherited) {
		loop_exit(&g.loop, 0);
		return;
	}
	loop_set_timer(&g.loop, &g.grace, loop_now(&g.loop) + GUARD_GRACE, guard_stays_away, NULL);
	loop_set_timer(&g.loop, &g.connect, loop_now(&g.loop) + RECONNECT, try_connect, NULL);
}

static int on_guard(struct loop *l, struct loop_source *s, uint32_t events, void *data)
{
	for (int i = 0; i < REQUESTS_TURN; i++) {
		int r = wire_recv(s->fd, &g.in);

		if (r == -EAGAIN)
			return 0;
		for (size_t v = 0; r == 0 && v <= ELEMENTSOF(g_verbs); v++) {
			if (v == ELEMENTSOF(g_verbs))
				r = -EBADMSG;
			else if (g_verbs[v].verb == g.in.h.verb && g.in.h.flags == 0) {
				r = g_verbs[v].fn(g.in.h.id);
				break;
			}
		}
		if (r == -EBADMSG) {
			log_warning("a request of the guard was not understood (verb %#x), refused", g.in.h.verb);
			reply_error(g.in.h.verb, g.in.h.id, -EBADMSG, "not understood: are guard and steward of one version?");
		} else if (r < 0) {
			if (r != -ECONNRESET)
				log_warning("lost the guard: %s", strerror(-r));
			hang_up();
			return 0;
		}
	}
	return 0;
}

static int take_guard(int fd)
{
	struct ucred cred;
	int r = wire_peer(fd, &cred);

	if (r == 0 && cred.uid != 0 && cred.uid != geteuid())
		r = -EPERM;             /* somebody else sits on the guard's socket */
	if (r == 0)
		r = loop_add(&g.loop, &g.peer, fd, EPOLLIN, on_guard, NULL);
	if (r < 0)
		return r;
	loop_cancel_timer(&g.loop, &g.grace);
	/* The unit's nice value is for the start in mid-overload. */
	if (getpriority(PRIO_PROCESS, 0) < NICE_AT_WORK)
		(void)setpriority(PRIO_PROCESS, 0, NICE_AT_WORK);
	talk_put_hello(&g.out, ROLE_STEWARD, getpid(),
		       access("/run/systemd/system", F_OK) < 0 ? "lifeline weights through systemd (it is not PID 1)" : "");
	reply();
	return 0;
}

static int try_connect(struct loop *l, struct loop_timer *t, void *data)
{
	int fd = wire_connect(g.socket), r = fd;

	if (fd >= 0) {
		r = take_guard(fd);
		if (r < 0)
			(void)close(fd);
		else
			(void)notify_send("STATUS=connected to the guard");
	}
	if (r < 0) {
		(void)notify_send("STATUS=waiting for the guard at %s: %s", g.socket, strerror(-r));
		loop_set_timer(l, t, loop_now(l) + RECONNECT, try_connect, NULL);
	}
	return 0;
}

static int on_signal(struct loop *l, int signo, void *data)
{
	if (signo == SIGTERM || signo == SIGINT)
		loop_exit(l, 0);
	return 0;
}

static int feed_watchdog(struct loop *l, struct loop_timer *t, void *data)
{
	(void)notify_send("WATCHDOG=1");
	loop_set_timer(l, t, loop_now(l) + notify_watchdog(), feed_watchdog, NULL);
	return 0;
}

/* Nobody else may hold the record of lifelines: the one before us may still be putting
 * back. The lock is kept until we end. */
static int lock(int rundir)
{
	int fd = openat(rundir, "steward.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK || i == LOCK_PATIENCE) {
			int r = -errno;

			(void)close(fd);
			return r;
		}
		(void)usleep(100000);
	}
	return fd;
}

static int put_back(void)
{
	unsigned n = lifeline_count(g.lifeline);
	int r = n > 0 ? lifeline_undo_all(g.lifeline) : 0;

	/* A starved PID 1 answers late; a stop has TimeoutStopSec= for it. */
	for (unsigned i = 0; r == -ETIMEDOUT && i < PUT_BACK_TRIES; i++)
		r = lifeline_undo_all(g.lifeline);
	if (r < 0)
		log_error("%u lifeline weights could not be put back: %s; they end with a reboot, or: systemctl set-property --runtime UNIT CPUWeight=",
			  lifeline_count(g.lifeline), why_lifeline(r));
	else if (n > 0)
		log_info("put back the weights of %u units", n);
	return r;
}

static int usage(FILE *f, int code)
{
	fputs("reprieve-steward: slow privileged work for reprieved; started by it or by systemd\n"
	      "  --rundir DIR  where the guard's socket and our records are (" PROTOCOL_RUNDIR ")\n"
	      "  --fd N        the guard's end is open as N\n"
	      "  --restore     put lifeline weights back and end\n"
	      "  --verbose     log more\n"
	      "  --version\n", f);
	return code;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rundir", required_argument, NULL, 'd' }, { "fd", required_argument, NULL, 'f' }, { "restore", no_argument, NULL, 'r' },
		{ "verbose", no_argument, NULL, 'v' }, { "version", no_argument, NULL, 'V' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	struct log_config config = { .ident = "reprieve-steward", .level = LOG_INFO };
	const char *rundir = PROTOCOL_RUNDIR;
	bool restore = false;
	int fd = -1, lock_fd, r, c;
	sigset_t set;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (c) {
		case 'd': rundir = optarg; break;
		case 'f': fd = (int)strtol(optarg, NULL, 10); break;
		case 'r': restore = true; break;
		case 'v': config.level = LOG_DEBUG; break;
		case 'V': return printf("reprieve-steward " VERSION " (%s)\n", names_library()), 0;
		case 'h': return usage(stdout, 0);
		default:  return usage(stderr, 64);
		}
	if (optind < argc)
		return usage(stderr, 64);
	log_open(&config);

	g.peer = LOOP_SOURCE_INIT;
	g.root_fd = root_open("/");
	g.rundir_fd = root_open(rundir);
	if (g.rundir_fd < 0) {
		log_error("cannot use %s: %s; the guard makes it: start reprieved first, or name another with --rundir", rundir, strerror(-g.rundir_fd));
		return restore && g.rundir_fd == -ENOENT ? 0 : 1;
	}
	lock_fd = lock(g.rundir_fd);
	if (lock_fd < 0) {
		log_error("another steward uses %s: %s", rundir, strerror(-lock_fd));
		return 1;
	}
	r = lifeline_new(g.rundir_fd, NULL, NULL, &g.lifeline);
	if (r == -EBADMSG) {
		log_error("%s/" LIFELINE_FILE " is damaged, set aside as " LIFELINE_FILE ".bad; weights it held end with a reboot", rundir);
		(void)renameat(g.rundir_fd, LIFELINE_FILE, g.rundir_fd, LIFELINE_FILE ".bad");
		r = lifeline_new(g.rundir_fd, NULL, NULL, &g.lifeline);
	}
	if (r == 0)
		r = names_new(&g.names);
	if (r == 0)
		r = loop_init(&g.loop);
	if (r < 0) {
		log_error("cannot start: %s", strerror(-r));
		return 1;
	}
	if (restore) {
		/* A guard that lives will be served by our successor. */
		int guard = str_format(g.socket, sizeof(g.socket), "%s/" PROTOCOL_SOCKET, rundir) ? wire_connect(g.socket) : -ENAMETOOLONG;

		if (guard >= 0)
			return close(guard), 0;
		return put_back() < 0 ? 1 : 0;
	}
	if (lifeline_count(g.lifeline) > 0)
		loop_set_timer(&g.loop, &g.adopted, loop_clock() + CLAIM_GRACE, look_for_unclaimed, NULL);

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	r = loop_signals(&g.loop, &set, on_signal, NULL);
	if (notify_watchdog() != USEC_INFINITY)
		(void)feed_watchdog(&g.loop, &g.watchdog, NULL);
	if (r == 0 && fd >= 0) {
		g.inherited = true;
		r = take_guard(fd);
	} else if (r == 0) {
		if (!str_format(g.socket, sizeof(g.socket), "%s/" PROTOCOL_SOCKET, rundir))
			r = -ENAMETOOLONG;
		else
			(void)try_connect(&g.loop, &g.connect, NULL);
	}
	(void)notify_send("READY=1");
	if (r == 0)
		r = loop_run(&g.loop);
	if (r < 0)
		log_error("ends: %s", strerror(-r));
	(void)notify_send("STOPPING=1");
	if (put_back() < 0)
		r = -EIO;
	g.names = names_free(g.names);
	g.lifeline = lifeline_free(g.lifeline);
	loop_deinit(&g.loop);
	(void)close(lock_fd);
	return r < 0 ? 1 : 0;
}
