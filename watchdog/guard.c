/* SPDX-License-Identifier: Apache-2.0 */
/* reprieved: the guard. This file is its wiring, in order, and nothing else:
 *
 *   real-time → settings and policies → run directory and journal (restore first, never adopt) →
 *   loop → canary → engine → sampler → helpers → control socket → upkeep: budget and locked
 *   memory → ready → loop → restore
 *
 * After "ready" a tick allocates, forks and walks nothing; a reload does, and helpers and a
 * canary that died are started again with back-off. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "act/lifted.h"
#include "base/cleanup.h"
#include "base/macro.h"
#include "base/own.h"
#include "base/str.h"
#include "conf/policies.h"
#include "core/explain.h"
#include "ctl/driver.h"
#include "ctl/requests.h"
#include "ctl/upkeep.h"
#include "sys/log.h"
#include "sys/notify.h"
#include "sys/root.h"
#include "sys/rt.h"

#define MISTAKES_SAID 5                 /* of a configuration, in the log: the log's rate is bounded */
#define LOCK_PATIENCE 20                /* tenths of a second */
#define SERVICE_PATIENCE 600            /* the same where a service manager started us; it waits longer */
#define FILES_NEEDED 64
#define FILES_REMEDY "raise LimitNOFILE= of the service, or ulimit -n, and restart"
#define RELOAD_EVERY USEC_PER_SEC       /* at most; each lets go of what is squeezed */
#define LIFTED_RECENTLY (2 * USEC_PER_MIN)      /* an upgrade on an overloaded machine takes so long */

struct options {
	const char *root, *rundir, *helpers, *canary;
	int mode;                       /* enum mode, -1: as configured */
	bool restore, syslog, debug;
};

static struct guard {
	struct options o;
	struct loop loop;
	struct control control;
	struct requests requests;
	struct helpers helpers;
	struct driver driver;
	struct act *act;
	int no_act;                     /* an errno: why there is none */
	struct sampler *sampler;
	struct canary *canary;
	struct recorder *recorder;
	struct policy_set sets[2];      /* the one in force, and the one being loaded */
	unsigned set;
	struct guard_settings settings;
	struct upkeep upkeep;
	struct loop_timer watchdog, reload;
	usec_t reloaded;                /* the last time */
	int rundir_fd;
} guard = { .rundir_fd = -1, .watchdog = LOOP_TIMER_INIT, .reload = LOOP_TIMER_INIT };

static void say(void *data, const char *line)
{
	log_notice("%s", line);
}

/* The new set goes where the old one is not, so that a refused one changes nothing. */
static int load(struct guard *g)
{
	struct policy_set *set = &g->sets[!g->set];
	struct conf *conf = conf_new();
	char text[1024];
	int r = -ENOMEM;

	if (conf == NULL)
		return r;
	r = conf_load(conf, g->o.root, set, &g->settings);
	if (r < 0) {
		const struct conf_errors *e = conf_errors(conf);

		for (unsigned i = 0; i < e->n && i < MISTAKES_SAID; i++)
			log_error("%s", conf_error_format(&e->e[i], text, sizeof(text)));
		if (e->n + e->more > MISTAKES_SAID)
			log_error("and %u more mistakes; `reprieve policy check` shows them", e->n + e->more - MISTAKES_SAID);
		str_copy(text, sizeof(text), e->n ? conf_error_format(&e->e[0], text, sizeof(text)) : strerror(-r));
		text[strcspn(text, "\n")] = '\0';        /* the source and the caret are for a terminal */
		str_escape(g->driver.facts.config_error, sizeof(g->driver.facts.config_error), text);
	} else {
		const struct conf_errors *ignored = conf_ignored(conf);

		for (unsigned i = 0; i < ignored->n && i < MISTAKES_SAID; i++)
			log_warning("%s", conf_error_format(&ignored->e[i], text, sizeof(text)));
		if (ignored->n + ignored->more > MISTAKES_SAID)
			log_warning("and %u more files are ignored; `reprieve policy check` names them", ignored->n + ignored->more - MISTAKES_SAID);
		g->driver.facts.config_error[0] = '\0';
		if (g->o.mode >= 0)
			set->settings.mode = (enum mode)g->o.mode;
		for (unsigned i = 0; !g->settings.lifeline && i < set->n_policies; i++)
			set->policies[i].weight = -1;
		g->set = !g->set;
	}
	conf_free(conf);
	return r;
}

static void say_lookup(int r)
{
	if (r < 0)
		log_warning("the helpers' socket cannot be made the courier's: %s; one that systemd starts cannot connect", strerror(-r));
}

/* An observer makes nothing, not for itself either. */
static void set_raised(struct guard *g)
{
	bool raised = g->sets[g->set].settings.mode != MODE_OBSERVE;

	if (raised && g->act != NULL)
		(void)act_arm(g->act);
	upkeep_raise(&g->upkeep, raised);
}

static void reload(struct guard *g)
{
	const struct guard_settings before = g->settings;

	g->reloaded = loop_now(&g->loop);
	loop_cancel_timer(&g->loop, &g->reload);
	(void)notify_send("RELOADING=1");
	say_lookup(helpers_lookup(&g->helpers));
	if (load(g) == 0) {
		driver_policies(&g->driver, &g->sets[g->set]);
		if (g->canary != NULL)
			canary_set_weight(g->canary, policy_canary_weight(&g->sets[g->set]));
		if (g->upkeep.raised != (g->sets[g->set].settings.mode != MODE_OBSERVE))
			set_raised(g);
		lifted_mode(g->o.rundir, g->sets[g->set].settings.mode == MODE_RESCUE);
		log_notice("new policies are in force: %u sections", g->sets[g->set].n_policies);
		if (before.probe != g->settings.probe || before.recorder_bytes != g->settings.recorder_bytes)
			log_warning("Probe= and FlightRecorder= are taken up at the next start only: systemctl restart reprieve");
	} else {
		struct action said = { .verb = VERB_REPORT, .reason = { .why = WHY_POLICY, .policy = -1 } };
		char line[EXPLAIN_MAX];

		str_format(line, sizeof(line), "policies: the new configuration is refused, %s: %s",
			   g->driver.facts.n_policies > 0 ? "the old one stays in force" : "none is in force", g->driver.facts.config_error);
		why_log_add(&g->driver.why, loop_now(&g->loop), 0, &said, line);
		log_error("the new configuration is refused; the old one stays in force");
	}
	(void)notify_send("READY=1");
}

static int on_reload(struct loop *l, struct loop_timer *t, void *data)
{
	reload(data);
	return 0;
}

/* A SIGHUP is heard at once; those of the second after it together, at its end. */
static int on_signal(struct loop *l, int signo, void *data)
{
	struct guard *g = data;

	if (signo != SIGHUP) {
		loop_exit(l, 0);
		return 0;
	}
	if (loop_now(l) >= g->reloaded + RELOAD_EVERY)
		reload(g);
	else
		loop_set_timer(l, &g->reload, g->reloaded + RELOAD_EVERY, on_reload, g);
	return 0;
}

/* Fed by the decision loop: a guard that no longer decides is restarted. */
static int on_watchdog(struct loop *l, struct loop_timer *t, void *data)
{
	struct guard *g = data;
	usec_t every = notify_watchdog();

	if (loop_now(l) < g->driver.last_tick + every || g->driver.ticks == 0)
		(void)notify_send("WATCHDOG=1");
	loop_set_timer_lazy(l, t, loop_now(l) + every / 2, every / 4, on_watchdog, g);
	return 0;
}

static int open_rundir(struct guard *g)
{
	if (mkdir(g->o.rundir, 0755) < 0 && errno != EEXIST)
		return -errno;
	g->rundir_fd = open(g->o.rundir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return g->rundir_fd < 0 ? -errno : 0;
}

/* As in a container; root gets no other answer than EROFS either. */
static bool read_only(const char *top)
{
	char path[MOUNTS_PATH_MAX + 32];

	return str_format(path, sizeof(path), "%s/cgroup.procs", top) && access(path, W_OK) < 0 && errno == EROFS;
}

/* The next guard need not wait as if nothing had been wrong. */
static void note_lifted(const struct guard *g)
{
	if (g->act != NULL && act_squeezed(g->act) > 0)
		lifted_note(g->o.rundir);
}

/* The journal: everything that an earlier guard left squeezed is lifted before anything is looked at. */
static int open_act(struct guard *g)
{
	struct facts *f = &g->driver.facts;
	struct act_layout layout = { 0 };
	struct act_config config = { .rundir = g->o.rundir, .layout = &layout, .say = say };
	struct mounts m;
	unsigned n = 0;
	int r;

	if (geteuid() != 0) {
		facts_set(f, "squeezing", false, "not root: nothing can be written to cgroups, so this only observes", "start reprieved as root");
		g->no_act = EACCES;
		return 0;
	}
	r = mounts_read("", &m);
	if (r < 0) {
		g->no_act = ENODEV;
		facts_set(f, "squeezing", false, "no cgroup hierarchy to act in is mounted", "mount cgroup2 at /sys/fs/cgroup");
		return 0;
	}
	layout.cpu_v2 = m.layout == MOUNTS_V2;
	str_copy(layout.cpu_root, sizeof(layout.cpu_root), layout.cpu_v2 ? m.v2 : m.cpu);
	layout.pids_v2 = m.pids[0] == '\0';
	str_copy(layout.pids_root, sizeof(layout.pids_root), layout.pids_v2 ? m.v2 : m.pids);
	layout.freezer_v2 = m.freezer[0] == '\0';
	str_copy(layout.freezer_root, sizeof(layout.freezer_root), layout.freezer_v2 ? m.v2 : m.freezer);
	r = act_new(&g->act, &config);
	/* A restore by hand holds it too, a starved one for long; systemd would not start us again. */
	for (int i = 0; r == ACT_E_RUNNING && i < (getenv("NOTIFY_SOCKET") != NULL ? SERVICE_PATIENCE : LOCK_PATIENCE); i++) {
		(void)usleep(100000);
		r = act_new(&g->act, &config);
	}
	if (r == ACT_E_RUNNING) {
		log_error("another guard uses %s; stop it first, or give this one another --rundir", g->o.rundir);
		return -EALREADY;
	}
	if (r < 0) {
		char why[192];

		g->no_act = ENOLCK;
		str_format(why, sizeof(why), "the undo journal in %s cannot be used (%s): nothing is squeezed without it", g->o.rundir, strerror(-r));
		log_error("%s", why);
		facts_set(f, "squeezing", false, why, r == -ENOSPC ? "make 3 MB of room in /run and restart" : "check the directory's owner and mode, and restart");
		return 0;
	}
	note_lifted(g);
	r = act_restore_all(g->act, &n);
	if (n > 0)
		log_notice("put back %u value%s that an earlier guard had changed", n, n == 1 ? "" : "s");
	if (r < 0)
		log_error("not everything of an earlier guard could be put back (%s); its records stay in the journal", strerror(-r));
	(void)rt_restore(g->rundir_fd);
	rt_begin();                     /* that may have made us ordinary */
	if (read_only(layout.cpu_root)) {
		char why[192];

		str_format(why, sizeof(why), "the cgroup tree at %s is mounted read-only: nothing in it can be changed, so this only observes", layout.cpu_root);
		log_warning("%s", why);
		facts_set(f, "squeezing", false, why, "in a container: run reprieved on the host, or give it a writable cgroup mount");
		g->act = act_free(g->act);
		g->no_act = EROFS;
		return 0;
	}
	facts_set(f, "squeezing", true, "the journal is ready", "");
	return 0;
}

/* Forked here; upkeep finds it its place. */
static void open_canary(struct guard *g)
{
	struct canary_config config = { .weight = policy_canary_weight(&g->sets[g->set]), .cpu = CANARY_CPU_DEFAULT };
	static char dir[MOUNTS_PATH_MAX + 64];
	char slice[MOUNTS_PATH_MAX + 16];
	struct mounts m;
	int r = canary_new(&config, &g->canary);

	if (r < 0)
		facts_set(&g->driver.facts, "canary", false, "the canary could not be started: a login that has not run yet is judged by pressure alone", strerror(-r));
	if (mounts_read("", &m) == 0) {
		const char *top = m.layout == MOUNTS_V2 ? m.v2 : m.cpu;

		/* Beside sshd: in system.slice where there is one. */
		str_format(slice, sizeof(slice), "%s%s", top, g->o.canary ? g->o.canary : OWN_SLICE);
		str_format(dir, sizeof(dir), "%s/" OWN_CANARY, access(slice, F_OK) == 0 ? slice : top);
		config.v1 = m.layout != MOUNTS_V2;
		config.dir = dir;
	}
	g->upkeep.canary_place = config;
}

static int open_sampler(struct guard *g)
{
	static const enum sampler_probe probe[_PROBE_MAX] = { SAMPLER_PROBE_AUTO, SAMPLER_PROBE_ALWAYS, SAMPLER_PROBE_NEVER };
	struct facts *f = &g->driver.facts;
	struct sampler_config config = { .root = "", .probe = probe[g->settings.probe], .canary = g->canary,
					 .changed = driver_on_group, .gone = driver_on_gone, .userdata = &g->driver,
					 .self = { OWN_CGROUPS } };
	const struct missing *missing;
	unsigned n;
	int r;

	r = sampler_new(&config, loop_now(&g->loop), &g->sampler);
	if (r < 0)
		return r;
	n = sampler_missing(g->sampler, &missing);
	for (unsigned i = 0; i < n; i++) {
		facts_set(f, missing[i].name, false, missing[i].what, missing[i].remedy);
		log_warning("%s%s%s", missing[i].what, missing[i].remedy[0] ? "; " : "", missing[i].remedy);
	}
	f->pressure_source = sampler_pressure(g->sampler) == PRESSURE_PSI ? "psi" : sampler_pressure(g->sampler) == PRESSURE_RUNQUEUE ? "run queue" : "none";
	f->group_source = sampler_probed(g->sampler) ? "bpf" : sampler_without(g->sampler);
	return 0;
}

/* With too few, whatever is opened last fails, and says that it is missing itself. */
static void look_at_files(struct guard *g)
{
	struct rlimit l;
	char why[192];

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= FILES_NEEDED)
		return;
	l.rlim_cur = MIN(l.rlim_max, (rlim_t)FILES_NEEDED);
	(void)setrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_cur >= FILES_NEEDED)
		return;
	str_format(why, sizeof(why), "only %lu files may be open at once, %d are needed: probe, helpers, control socket or record may be missing for that alone",
		   (unsigned long)l.rlim_cur, FILES_NEEDED);
	facts_set(&g->driver.facts, "open files", false, why, FILES_REMEDY);
	log_warning("%s; %s", why, FILES_REMEDY);
}

static int wire_up(struct guard *g)
{
	char self[PATH_MAX] = "", helpers[PATH_MAX + 16], *dir;
	bool systemd = access("/run/systemd/system", F_OK) == 0, service = getenv("NOTIFY_SOCKET") != NULL;
	struct driver_config config;
	const char *able;
	sigset_t signals;
	int r;

	if (load(g) < 0) {
		log_error("the configuration is refused: no policy is in force, so nobody is protected and nothing is squeezed until it is mended (reprieve policy check; then: systemctl reload reprieve)");
		g->sets[0] = (struct policy_set){ .settings = SETTINGS_DEFAULT };
		g->sets[0].settings.mode = MODE_OBSERVE;
		g->settings = GUARD_SETTINGS_DEFAULT;
		g->set = 0;
	}
	look_at_files(g);
	r = open_rundir(g);
	if (r < 0) {
		log_error("the run directory %s cannot be used: %s; give another one with --rundir", g->o.rundir, strerror(-r));
		return r;
	}
	r = open_act(g);
	if (r < 0)
		return r;
	r = loop_init(&g->loop);
	if (r < 0)
		return r;
	open_canary(g);
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGQUIT);
	/* Their default would end us without putting anything back. */
	(void)signal(SIGUSR1, SIG_IGN);
	(void)signal(SIGUSR2, SIG_IGN);
	(void)signal(SIGALRM, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	r = loop_signals(&g->loop, &signals, on_signal, g);
	if (r < 0)
		return r;
	if (g->settings.recorder_bytes > 0 && recorder_new(&g->recorder, g->rundir_fd, g->settings.recorder_bytes) < 0)
		facts_set(&g->driver.facts, "flight recorder", false, "the record cannot be written; incidents cannot be replayed", "make room in the run directory");
	config = (struct driver_config){ .loop = &g->loop, .act = g->act, .no_act = g->no_act, .helpers = &g->helpers, .recorder = g->recorder, .set = &g->sets[g->set],
					 .seed = (uint32_t)getpid(), .systemd = systemd,
					 .service = systemd && service };
	struct facts kept = g->driver.facts;

	r = driver_init(&g->driver, &config);
	if (r < 0)
		return r;
	g->driver.facts = kept;
	g->driver.facts.started = loop_now(&g->loop);
	g->driver.facts.real_offset = facts_real_offset();
	g->driver.facts.n_policies = g->sets[g->set].n_policies;
	g->requests = (struct requests){ .driver = &g->driver, .rundir_fd = g->rundir_fd };
	requests_restore_pause(&g->requests);           /* before a cgroup is known: it holds back lifelines, too */
	r = open_sampler(g);
	if (r < 0) {
		log_error("nothing can be read of this machine: %s; is /proc mounted?", strerror(-r));
		return r;
	}
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		self[0] = '\0';
	dir = dirname(self);
	/* Installed, they lie in PREFIX/lib/reprieve; built, beside us. */
	str_format(helpers, sizeof(helpers), str_ends(dir, "/sbin") ? "%s/../lib/reprieve" : "%s", dir);
	r = helpers_init(&g->helpers, &g->loop, g->o.rundir, !service, g->o.helpers ? g->o.helpers : helpers, &DRIVER_HELPERS_OPS, &g->driver);
	if (r < 0)
		log_warning("the helpers cannot be reached: %s; going on without them", strerror(-r));
	say_lookup(helpers_lookup(&g->helpers));
	DRIVER_HELPERS_OPS.gone(ROLE_STEWARD, &g->driver);
	DRIVER_HELPERS_OPS.gone(ROLE_COURIER, &g->driver);
	r = control_init(&g->control, &g->loop, g->o.rundir, requests_handle, &g->requests);
	if (r < 0)
		log_warning("the control socket cannot be made: %s; `reprieve status` will not work", strerror(-r));
	g->upkeep = (struct upkeep){ .loop = &g->loop, .facts = &g->driver.facts, .act = g->act, .canary = g->canary,
				      .canary_place = g->upkeep.canary_place, .helpers = &g->helpers, .rundir_fd = g->rundir_fd };
	if (g->act != NULL && g->sets[g->set].settings.mode == MODE_OBSERVE)
		upkeep_sweep(3);
	set_raised(g);
	upkeep_start(&g->upkeep);
	driver_start(&g->driver, g->sampler);
	driver_policies(&g->driver, &g->sets[g->set]);
	lifted_mode(g->o.rundir, g->sets[g->set].settings.mode == MODE_RESCUE);
	driver_lifted(&g->driver, lifted_within(g->o.rundir, LIFTED_RECENTLY), requests_barred(&g->requests));
	if (notify_watchdog() != USEC_INFINITY)
		loop_set_timer(&g->loop, &g->watchdog, loop_now(&g->loop), on_watchdog, g);
	able = g->act != NULL || g->sets[g->set].settings.mode == MODE_OBSERVE ? "" : " (but nothing can be squeezed)";
	(void)notify_send("READY=1\nSTATUS=watching in %s mode%s, %u policies", mode_to_string(g->sets[g->set].settings.mode), able, g->sets[g->set].n_policies);
	log_notice("watching in %s mode%s, %u policies", mode_to_string(g->sets[g->set].settings.mode), able, g->sets[g->set].n_policies);
	return 0;
}

/* The constructor backwards; everything squeezed is put back first. */
static void take_down(struct guard *g)
{
	unsigned n = 0;
	int r;

	(void)notify_send("STOPPING=1");
	note_lifted(g);
	if (g->act != NULL && (r = act_restore_all(g->act, &n)) < 0)
		log_error("not everything could be put back (%s); `reprieved --restore` tries again", strerror(-r));
	if (n > 0)
		log_notice("put back %u value%s", n, n == 1 ? "" : "s");
	control_deinit(&g->control);
	for (uint32_t i = 0; i < g->driver.facts.n_lifeline; i++)
		g->helpers.puts_back = g->helpers.puts_back || g->driver.facts.lifeline[i].by_systemd;
	helpers_deinit(&g->helpers);
	g->sampler = sampler_free(g->sampler);
	if (g->driver.engine != NULL)
		driver_deinit(&g->driver);
	g->recorder = recorder_free(g->recorder);
	g->canary = canary_free(g->canary);
	loop_deinit(&g->loop);
	g->act = act_free(g->act);
	if (g->rundir_fd >= 0) {
		(void)rt_restore(g->rundir_fd);
		cleanup_close(&g->rundir_fd);
	}
}

static int restore_only(const struct options *o)
{
	_cleanup_(cleanup_close) int fd = open(o->rundir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned n = 0;
	int r = act_restore_journal(o->rundir, say, NULL, &n);

	/* One that was killed just now may not be quite gone; another restore may be under way. */
	for (int i = 0; r == ACT_E_RUNNING && i < LOCK_PATIENCE; i++) {
		(void)usleep(100000);
		r = act_restore_journal(o->rundir, say, NULL, &n);
	}
	if (r == ACT_E_RUNNING) {
		fprintf(stderr, "reprieved: a guard is running; `reprieve release --all` puts back all that is squeezed\n");
		return EXIT_FAILURE;
	}
	if (fd >= 0 && rt_restore(fd) < 0)
		fprintf(stderr, "reprieved: the real-time budget of our cgroup could not be put back\n");
	upkeep_sweep(10);
	if (r == -EBADMSG) {
		fprintf(stderr, "reprieved: put back %u value%s, but the journal was damaged (see above): compare the rest by hand\n", n, n == 1 ? "" : "s");
		return EXIT_FAILURE;
	}
	if (r < 0) {
		fprintf(stderr, "reprieved: not everything could be put back: %s; its records stay in %s/journal\n", strerror(-r), o->rundir);
		return EXIT_FAILURE;
	}
	if (n > 0)
		fprintf(stderr, "reprieved: put back %u value%s\n", n, n == 1 ? "" : "s");
	return 0;
}

static int usage(int code)
{
	fputs("reprieved: the guard of reprieve; runs in the foreground or as a systemd service\n\n"
	      "  --mode observe|rescue|enforce  instead of what reprieve.conf says\n"
	      "  --root DIR                     configuration below DIR instead of /\n"
	      "  --rundir DIR                   sockets and undo journal (default /run/reprieve)\n"
	      "  --helpers DIR                  where reprieve-steward and reprieve-courier are\n"
	      "  --canary-parent CGROUP         the cgroup in which a login service lives (default /system.slice)\n"
	      "  --syslog                       log to /dev/log instead of stderr\n"
	      "  --debug                        say more\n"
	      "  --restore                      put back what the journal holds, and end\n"
	      "  --version, --help\n\n"
	      "SIGHUP reloads, at most once a second. Exit codes: 0 stopped, 1 could not start, 64 usage, 75 another guard is running.\n",
	      code ? stderr : stdout);
	return code;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "mode", required_argument, NULL, 'm' }, { "root", required_argument, NULL, 'R' }, { "rundir", required_argument, NULL, 'd' },
		{ "helpers", required_argument, NULL, 'H' }, { "canary-parent", required_argument, NULL, 'c' }, { "syslog", no_argument, NULL, 's' },
		{ "debug", no_argument, NULL, 'D' }, { "restore", no_argument, NULL, 'r' },
		{ "version", no_argument, NULL, 'V' }, { "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct options *o = &guard.o;
	int c, r;

	*o = (struct options){ .root = "", .rundir = "/run/reprieve", .mode = -1 };
	while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
		switch (c) {
		case 'm':
			for (int m = 0; m < _MODE_MAX; m++)
				if (strcmp(optarg, mode_to_string((enum mode)m)) == 0)
					o->mode = m;
			if (o->mode < 0)
				return fprintf(stderr, "reprieved: --mode %s: choose observe, rescue or enforce\n", optarg), EX_USAGE;
			break;
		case 'R': o->root = optarg; break;
		case 'd': o->rundir = optarg; break;
		case 'H': o->helpers = optarg; break;
		case 'c': o->canary = optarg; break;
		case 's': o->syslog = true; break;
		case 'D': o->debug = true; break;
		case 'r': o->restore = true; break;
		case 'V': puts("reprieved " VERSION); return 0;
		case 'h': return usage(0);
		default: return usage(EX_USAGE);
		}
	if (optind != argc)
		return usage(EX_USAGE);
	rt_begin();                     /* whoever starts us may be starving already */
	if (o->restore)
		return restore_only(o);
	log_open(&(struct log_config){ .ident = "reprieved", .sink = o->syslog ? LOG_SINK_SYSLOG : LOG_SINK_STDERR, .level = o->debug ? LOG_DEBUG : LOG_INFO });
	guard.loop = LOOP_INIT;
	r = wire_up(&guard);
	if (r == 0)
		r = loop_run(&guard.loop);
	take_down(&guard);
	log_close();
	return r == 0 ? 0 : r == -EALREADY ? EX_TEMPFAIL : EXIT_FAILURE;
}
