# SPDX-License-Identifier: Apache-2.0
"""What the guest tests are made of: loads, probes, snapshots, the guard.

Everything here is judged by what the kernel says (cgroup files, scheduling
classes, the duration of a login), and never by an absolute time: the guest
runs in software emulation on a machine of unknown speed. Only the server's
side of a login is to suffer, so the driver and its clients run in the root
cgroup, beside all slices, where the guard neither protects nor limits. An
ordinary task there weighs as much as all of system.slice; only where nothing
parts the slices is the client raised. More would make it the culprit, since its
own work is dear here; loads are put back to nice 0.
"""

import contextlib
import ctypes
import glob
import json
import mmap
import os
import pwd
import re
import shutil
import signal
import struct
import subprocess
import threading
import time

DISK = "/run/vmdisk"
RUN = "/run/vm"
CGROUP = "/sys/fs/cgroup"
SYSTEM = CGROUP + "/system.slice"
SSH = SYSTEM + "/ssh.service"
UNITS = "/run/systemd/system"

NICE = -5
CPUS = os.cpu_count()
SIBLINGS = 64
HARM = 3  # a runaway that does not make one of three logins this much slower proves nothing
RELIEF = 2.5  # and with reprieve a login takes at most this much longer than idle
RELIEF_MAX = 6  # the slowest of them


class Failure(Exception):
    """A test's verdict: what was seen and what would have been right."""


class Broken(Failure):
    """A verdict that no slow host explains: something left squeezed, a wrong value, the wrong one cut."""


def check(condition, why):
    if not condition:
        raise Failure(why)


def hold(condition, why):
    """What has to be so at any speed."""
    if not condition:
        raise Broken(why)


def note(text):
    print("# " + text, flush=True)


def read(path):
    with open(path) as f:
        return f.read().strip()


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def wait_for(what, condition, timeout, step=0.2):
    """Polls until condition() is true; its value, or Failure after timeout."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {timeout} s")
        time.sleep(step)


def sh(*argv, timeout=120, ok=True, **kw):
    r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=timeout, **kw)
    if ok and r.returncode != 0:
        raise Failure(f"{' '.join(argv)}: exit {r.returncode}: {r.stdout.strip()[-300:]}")
    return r.stdout.strip()


def systemctl(*argv, **kw):
    return sh("systemctl", *argv, **kw)


def ordinary():
    """For preexec_fn: without the driver's privilege."""
    os.setpriority(os.PRIO_PROCESS, 0, 0)


# Gates and loads ---------------------------------------------------------


class Gate:
    """A word in shared memory that sets every hog waiting on it off at once."""

    FUTEX_WAKE = 1
    SYS_FUTEX = 202

    def __init__(self, name):
        os.makedirs(RUN, exist_ok=True)
        self.path = f"{RUN}/gate-{name}"
        with open(self.path, "wb") as f:
            f.write(bytes(4096))
        os.chmod(self.path, 0o666)
        fd = os.open(self.path, os.O_RDWR)
        self.map = mmap.mmap(fd, 4096)
        os.close(fd)
        self.libc = ctypes.CDLL(None, use_errno=True)

    def open(self):
        self.map[:4] = struct.pack("I", 1)
        word = ctypes.c_uint32.from_buffer(self.map)
        self.libc.syscall(self.SYS_FUTEX, ctypes.byref(word), self.FUTEX_WAKE, 0x7FFFFFFF, None, None, 0)
        del word

    def close(self):
        self.map[:4] = struct.pack("I", 0)


class Load:
    """A load that is started closed, opened, closed and removed.

    cgroups: where its tasks are; pids(): its tasks.
    """

    def __init__(self, name):
        self.gate = Gate(name)
        self.cgroups = []

    def pids(self):
        return [int(p) for c in self.cgroups for p in read(c + "/cgroup.procs").split()
                if comm(p) == "hog"]

    def open(self):
        self.gate.open()

    def close(self):
        self.gate.close()

    @contextlib.contextmanager
    def opened(self):
        try:
            self.open()
            yield
        finally:
            self.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.close()
        self.stop()


def comm(pid):
    try:
        return read(f"/proc/{pid}/comm")
    except OSError:
        return None


class Services(Load):
    """n services in system.slice, one hog per CPU in each (or any number)."""

    def __init__(self, name, n=SIBLINGS, mode="spin", workers=CPUS):
        super().__init__(name)
        self.units = [f"{name}@{i}.service" for i in range(1, n + 1)]
        self.cgroups = [f"{SYSTEM}/{u}" for u in self.units]
        write(f"{UNITS}/{name}@.service",
              f"[Unit]\nDescription=Load {name} %i\n"
              f"[Service]\nSlice=system.slice\nExecStart={RUN}/hog {mode} {self.gate.path} {workers}\n")
        systemctl("daemon-reload")

    def start(self):
        systemctl("start", *self.units, timeout=180)
        wait_for("hogs to start", lambda: len(self.pids()) >= len(self.units), 60)

    def stop(self):
        systemctl("stop", *self.units, timeout=180)


class Inside(Load):
    """n hogs in a cgroup that exists already, as a unit's own children are."""

    def __init__(self, name, cgroup, n, mode="spin"):
        super().__init__(name)
        self.cgroups = [cgroup]
        self.n, self.mode = n, mode

    def start(self):
        def enter():
            ordinary()
            write(self.cgroups[0] + "/cgroup.procs", str(os.getpid()))
        self.child = subprocess.Popen([f"{RUN}/hog", self.mode, self.gate.path, str(self.n)],
                                      preexec_fn=enter, start_new_session=True)
        wait_for("hogs to start", lambda: len(self.pids()) >= self.n, 30)

    def stop(self):
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()


class Scopes(Load):
    """n scopes as runc's systemd driver makes them for Docker."""

    def __init__(self, name, n=48, workers=CPUS):
        super().__init__(name)
        self.ids = [os.urandom(32).hex() for _ in range(n)]
        self.units = [f"docker-{i}.scope" for i in self.ids]
        self.cgroups = [f"{SYSTEM}/{u}" for u in self.units]
        self.workers = workers
        self.children = []

    def start(self):
        for unit, cid in zip(self.units, self.ids):
            self.children.append(subprocess.Popen(
                ["systemd-run", "--quiet", "--scope", "--unit=" + unit, "--slice=system.slice",
                 "--description=libcontainer container " + cid, "-pDelegate=yes",
                 "-pCPUAccounting=yes", "-pMemoryAccounting=yes", "-pIOAccounting=yes",
                 "-pTasksAccounting=yes", "--",
                 f"{RUN}/hog", "spin", self.gate.path, str(self.workers)],
                preexec_fn=ordinary, stdin=subprocess.DEVNULL))
            if len(self.children) % 4 == 0:  # more at once time out, starved by each other
                wait_for("scopes to start", lambda: all(map(os.path.isdir, self.cgroups[:len(self.children)])), 60)
        wait_for("scopes to start", lambda: all(map(os.path.isdir, self.cgroups))
                 and len(self.pids()) >= len(self.units) * self.workers, 120)

    def stop(self):
        for c in self.children:
            c.kill()
        for c in self.children:
            c.wait()
        wait_for("scopes to go", lambda: not any(map(os.path.isdir, self.cgroups)), 60)


class Api(Load):
    """A service that is at once a health endpoint and n hogs."""

    PORT = 8181

    def __init__(self, n=64, name="shop-api"):
        super().__init__(name)
        self.unit = name + ".service"
        self.cgroups = [f"{SYSTEM}/{self.unit}"]
        self.n = n
        write(f"{UNITS}/{self.unit}",
              f"[Unit]\nDescription=Shop API\n[Service]\nSlice=system.slice\n"
              f"ExecStart=/bin/sh -c '{RUN}/hog spin {self.gate.path} {n} & "
              f"exec /usr/bin/python3 {DISK}/guest/api.py {self.PORT}'\n")
        systemctl("daemon-reload")

    def start(self):
        systemctl("start", self.unit)
        wait_for("endpoint to answer", lambda: health(self.PORT, 5) is not None, 60)
        wait_for("hogs to start", lambda: len(self.pids()) >= self.n, 30)

    def stop(self):
        systemctl("stop", self.unit)


class Postgres(Load):
    """The distribution's cluster; its load is n backends in an endless loop."""

    UNIT = "postgresql@%s-main.service" % "".join(os.listdir("/etc/postgresql"))
    CGROUP = f"{SYSTEM}/system-postgresql.slice/{UNIT}"
    LOOP = "DO $$ BEGIN LOOP END LOOP; END $$"
    WORK = "SELECT sum(i) FROM generate_series(1, 400000) i"

    def __init__(self, n=24):
        super().__init__("postgres")
        self.cgroups = [self.CGROUP]
        self.n = n
        self.clients = []

    def start(self):
        systemctl("start", self.UNIT)
        wait_for("PostgreSQL to answer", lambda: self.query(10) is not None, 60)

    def open(self):
        self.clients = [self._psql(self.LOOP) for _ in range(self.n)]
        wait_for("backends to run", lambda: len(self.backends()) >= self.n, 90)

    def close(self):
        """Ends the loops, as an operator would: by signal to each backend."""
        for pid in self.backends():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGINT)
        for c in self.clients:
            try:
                c.wait(10)
            except subprocess.TimeoutExpired:
                c.kill()
                c.wait()
        self.clients = []

    def backends(self):
        """The backends in the loop, by their title."""
        out = []
        for pid in read(self.CGROUP + "/cgroup.procs").split():
            with contextlib.suppress(OSError):
                if comm(pid) == "postgres" and " DO" in read(f"/proc/{pid}/cmdline").replace("\0", " "):
                    out.append(int(pid))
        return out

    pids = backends

    def query(self, cut):
        """Seconds of one connection and a query with work, or None when cut off."""
        began = time.monotonic()
        p = self._psql(self.WORK)
        try:
            return time.monotonic() - began if p.wait(cut) == 0 else None
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            return None

    def stop(self):
        systemctl("stop", self.UNIT)

    def _psql(self, sql):
        uid = pwd.getpwnam("postgres").pw_uid
        return subprocess.Popen(["psql", "-qAtXc", sql], user=uid, group=uid, cwd="/",
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)


# Probes --------------------------------------------------------------------


class Logins:
    """ssh logins with PAM and logind: each gets a session and a scope of its own.

    The users linger, since starting a user's manager takes several times as long
    in this guest as the login itself; one who does not logs in at first. The
    client asks for the cheapest key exchange: its own work is not what is judged.
    An account whose login was cut off is left alone until settle().
    """

    ACCOUNTS = 5
    COLD = "op40"

    def __init__(self):
        self.next = 0
        self.idle = None

    def linger(self):
        for i in range(1, self.ACCOUNTS + 1):
            systemctl("start", f"user@{pwd.getpwnam(f'op{i:02}').pw_uid}.service", timeout=120)
            sh("loginctl", "enable-linger", f"op{i:02}")

    def once(self, cut, command="true", user=None, nice=0):
        """Seconds, or None if it took longer than cut; Failure if refused."""
        if user is None:
            user = f"op{self.next % self.ACCOUNTS + 1:02}"
            self.next += 1
        argv = ["ssh", "-F", "none", "-i", f"{RUN}/key", "-T", "-n", "-q",
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                "-o", "BatchMode=yes", "-o", "ConnectTimeout=600",
                "-o", "KexAlgorithms=curve25519-sha256", "-o", "HostKeyAlgorithms=ssh-ed25519",
                "-o", "GSSAPIAuthentication=no", f"{user}@127.0.0.1", command]
        began = time.monotonic()
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             preexec_fn=lambda: os.setpriority(os.PRIO_PROCESS, 0, nice))
        try:
            out, _ = p.communicate(timeout=cut)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            return None
        took = time.monotonic() - began
        check(p.returncode == 0, f"login as {user} failed after {took:.1f} s: {out.strip()[-200:]}")
        self.output = out
        return took

    def series(self, n, cut):
        """n durations, sorted; one cut off counts as infinite."""
        got = [self.once(cut) for _ in range(n)]
        return sorted(float("inf") if t is None else t for t in got)

    @contextlib.contextmanager
    def knocking(self):
        """Somebody who tries to log in, again and again."""
        over = threading.Event()

        def knock():
            while not over.is_set():
                with contextlib.suppress(Failure):
                    self.once(20)
        t = threading.Thread(target=knock)
        t.start()
        try:
            yield
        finally:
            over.set()
            t.join()

    def measure_idle(self, n=3):
        if self.idle is None:
            self.linger()
            self.once(120)  # the first one loads the pages
            times = self.series(n, 120)
            self.idle = times[n // 2]
            note("login, idle: " + seconds(times))
        return self.idle

    def show_harm(self, what):
        """Call under load: Failure unless one of three logins is HARM times slower."""
        cut, all_took = HARM * self.idle, []
        took = 0
        while took is not None and len(all_took) < 3:
            took = self.once(cut, nice=-20)
            all_took.append("%.1f" % took if took is not None else f"more than {cut:.1f}")
        text = ", ".join(all_took) + " s"
        note(f"login, {what}, no relief: {text} (idle {self.idle:.1f} s)")
        check(took is None, f"{what} does no harm: login {text}, idle {self.idle:.1f} s")

    def show_relief(self, what, n=3):
        """Call under load: n logins, judged against the idle ones (a single one as the slowest of many)."""
        times = self.series(n, RELIEF_MAX * self.idle)
        note(f"login, {what}, with reprieve: {seconds(times)} (idle {self.idle:.1f} s)")
        check((n == 1 or times[n // 2] <= RELIEF * self.idle) and times[-1] < float("inf"),
              f"{what}: login {seconds(times)}; wanted p50 at most {RELIEF} times "
              f"and the slowest at most {RELIEF_MAX} times {self.idle:.1f} s")
        return times


def seconds(times):
    return "p50 %.2f max %.2f s (n=%d)" % (times[len(times) // 2], times[-1], len(times))


def health(port, cut):
    """Seconds until /health answered 200, or None."""
    import http.client
    began = time.monotonic()
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=cut)
    try:
        c.request("GET", "/health")
        return time.monotonic() - began if c.getresponse().status == 200 else None
    except OSError:
        return None
    finally:
        c.close()


def settle(timeout=90):
    """Waits until nothing is left of logins and the machine is calm."""
    def gone():
        for d in glob.glob(CGROUP + "/user.slice/user-*.slice/session-*.scope"):
            return False
        for pid in read(SSH + "/cgroup.procs").split():
            with contextlib.suppress(OSError):
                if "sshd: " in read(f"/proc/{pid}/cmdline") and "listener" not in read(f"/proc/{pid}/cmdline"):
                    return False
        return True
    wait_for("logins to end", gone, timeout, 0.5)


# Snapshots -------------------------------------------------------------------

KNOBS = ("cpu.weight", "cpu.idle", "cpu.max", "cpu.max.burst", "pids.max", "cgroup.freeze",
         "cgroup.type", "memory.high")


CUTS = ("cpu.weight", "cpu.max", "pids.max", "cgroup.freeze")


def cuts(paths):
    """knobs() of these cgroups, as far as the guard cuts: cheap enough to be asked often."""
    out = {}
    for p in paths:
        values = out[p[len(CGROUP):]] = {}
        for k in CUTS:
            with contextlib.suppress(OSError):       # a file goes while it is read where a controller is switched off
                values[k] = read(f"{p}/{k}")
    return out


def knobs(only=None):
    """{cgroup: {file: value}} of everything that lasts: no sessions, no users."""
    out = {}
    for path, dirs, _ in os.walk(CGROUP):
        dirs[:] = [d for d in dirs if not re.fullmatch(r"user-\d+\.slice", d)]
        if only and path not in only:
            continue
        values = {}
        for k in KNOBS:
            with contextlib.suppress(OSError):
                values[k] = read(f"{path}/{k}")
        out[path[len(CGROUP):] or "/"] = values
    return out


def changes(before, after):
    """What differs in cgroups and files that are in both, one line each."""
    out = []
    for path in sorted(before.keys() & after.keys()):
        for k in sorted(before[path].keys() & after[path].keys()):
            if before[path][k] != after[path][k]:
                out.append(f"{path} {k}: {before[path][k]} -> {after[path][k]}")
    return out


def brief(lines, n=4):
    return "; ".join(lines[:n]) + (f"; and {len(lines) - n} more" if len(lines) > n else "")


def classes(pids):
    """{pid: (policy, nice)} of every thread of those that still live."""
    out = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for tid in os.listdir(f"/proc/{pid}/task"):
                out[int(tid)] = (os.sched_getscheduler(int(tid)), os.getpriority(os.PRIO_PROCESS, int(tid)))
    return out


# The guard -------------------------------------------------------------------


class Guard:
    """reprieved under systemd: configure, start, stop, kill, ask."""

    UNIT = "reprieve.service"
    verbose = False
    ETC = "/etc/reprieve"

    def configure(self, mode, settings="", policies=None):
        """mode None: no reprieve.conf, as after installation."""
        shutil.rmtree(self.ETC, ignore_errors=True)
        os.makedirs(self.ETC + "/policies")
        if mode:
            write(self.ETC + "/reprieve.conf", f"[Relief]\nMode={mode}\n{settings}")
        for name, text in (policies or {}).items():
            write(f"{self.ETC}/policies/{name}.policy", text)

    def start(self):
        systemctl("reset-failed", self.UNIT, ok=False)
        systemctl("start", self.UNIT, timeout=60)
        check(self.pid(), "reprieved has no main process after start")
        return self

    def stop(self):
        """And until the steward has ended by itself, which gives back the lifelines' weights first."""
        systemctl("stop", self.UNIT, timeout=60)
        wait_for("the steward to end with the guard", lambda: systemctl("show", "-P", "ActiveState", "reprieve-steward.service") in ("inactive", "failed"), 30)

    def pid(self):
        return int(systemctl("show", "-P", "MainPID", self.UNIT))

    def kill9(self):
        """Kills it and waits until systemd has started it again."""
        old = self.pid()
        os.kill(old, signal.SIGKILL)
        wait_for("reprieved to be restarted", lambda: self.pid() not in (0, old), 60)
        return self.pid()

    def ask(self, *argv, ok=True):
        return sh("reprieve", *argv, ok=ok, timeout=60)

    def status(self):
        d = json.loads(self.ask("status", "--json"))
        check(d.get("schema") == 1, f"status --json has no schema 1: {str(d)[:200]}")
        return d

    def log(self, n=30):
        return sh("journalctl", "-q", "-o", "short-monotonic", "--no-hostname", "-n", str(n), f"--since=@{self.began}",
                  "-u", "reprieve", "-u", "reprieve-steward", "-u", "reprieve-courier", ok=False)

    def steady(self, only=None):
        """The knobs once the helpers are there and the lifeline's weights are set: unchanged for 3 s."""
        wait_for("the helpers to connect", lambda: not {c["what"] for c in self.status()["capabilities"] if not c["have"]} & {"steward", "courier"}, 90)
        last, since = knobs(only), time.monotonic()
        end = since + 60
        while time.monotonic() - since < 3:
            check(time.monotonic() < end, "cgroup files do not come to rest in calm")
            time.sleep(0.5)
            now = knobs(only)
            if now != last:
                last, since = now, time.monotonic()
        return last

    @contextlib.contextmanager
    def running(self, mode="enforce", settings="", policies=None):
        self.configure(mode, settings, policies)
        self.began = int(time.time())
        self.start()
        failed = True
        try:
            yield self
            failed = False
        finally:
            if failed:
                with contextlib.suppress(Failure, subprocess.TimeoutExpired):
                    for line in self.ask("status").splitlines():
                        note("status: " + line[:300])
            if failed or self.verbose:
                for line in self.log(150 if self.verbose else 30).splitlines():
                    note("log: " + line[:400])
            self.stop()


# Tests -----------------------------------------------------------------------


class Context:
    """What lasts from test to test: the idle login time, the guard."""

    def __init__(self):
        self.logins = Logins()
        self.guard = Guard()
        self.shown = set()  # runaways whose harm was shown
        self.hogs = None  # the sibling services, started once: a closed hog costs nothing


class Test:
    def __init__(self, function, limit):
        self.function, self.limit = function, limit
        self.name = function.__name__.replace("_", "-")


def test(tests, limit=300):
    """Decorator: adds a function(context) to a module's list of tests."""
    def add(function):
        tests.append(Test(function, limit))
        return function
    return add
