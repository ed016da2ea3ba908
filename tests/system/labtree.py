# SPDX-License-Identifier: Apache-2.0
"""labtree: private cgroups on whatever layout the machine has, gone afterwards.

Finds v2, v1 and hybrid by itself. A Tree owns groups named
reprieve-lab-PID-NAME, one directory per hierarchy, like systemd makes them on a
hybrid machine, so that a task's path is the same in all of them:

- v1 and hybrid: directly below the root of cpu, cpuacct, pids, freezer and, where
  it is mounted, the unified tree. The memory hierarchy is never touched.
- v2 under systemd: below a transient service of ours with Delegate=yes, since
  systemd takes the cpu controller away from anything else it finds.
- v2 without systemd: below the root.

Whatever a Tree made is gone when it is closed. sweep() removes what a killed
predecessor left, told by the pid and start time in the name's marker file, never
what belongs to a Tree that is alive.
"""
import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

PREFIX = "reprieve-lab-"
RUNDIR = "/run/reprieve"               # of the machine's own guard
STATE = "/run/reprieve-lab"            # one directory per living Tree, named by its pid
LOCK = "/run/reprieve-lab.lock"
LOCK_WAIT = 900
V1_CONTROLLERS = ("cpu", "cpuacct", "pids", "freezer")
KILL_ROUNDS = 200
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Missing(Exception):
    """What this machine does not have; the text says what and the remedy."""


class GuardRunning(Exception):
    """The machine's own guard lives: it would act on our loads, and its squeezes spoil every figure."""


def no_guard():
    """Raises where a guard of this machine answers, before anything is made."""
    for name in ("control.sock", "control-root.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.setblocking(False)
            try:
                s.connect(os.path.join(RUNDIR, name))
            except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
                continue
            except OSError:             # busy, or not ours to ask: somebody listens
                pass
            raise GuardRunning("a guard is running here: sudo systemctl stop reprieve")


def write(path, text):
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(text).encode())
    finally:
        os.close(fd)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


@contextlib.contextmanager
def deaf():
    """Clean-up is not to be interrupted half way: a signal waits until it is done."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def hear():
    """In a child that was made by a deaf() parent."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def obey():
    """In a child: a signal that ends it does so, also where we were started to ignore it (nohup, a script's "&")."""
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, signal.SIG_DFL)


_alone = {"fd": None, "labs": 0}


def _lock(path):
    """A lock of the file that has this name, None while somebody has it. A holder removes the file before it
    lets go, so whoever waited with the old one in hand finds another one, or none, and opens that."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _unlock(fd, path):
    with contextlib.suppress(OSError):
        os.unlink(path)
    os.close(fd)


@contextlib.contextmanager
def alone():
    """One lab at a time on a machine: the guard of a second one would squeeze the loads of the
    first, and both would measure nonsense. Several in one process are one."""
    deadline, said, mine = time.monotonic() + LOCK_WAIT, False, False
    try:
        while not mine:
            with deaf():                # locked and known, or neither
                if _alone["labs"] == 0:
                    _alone["fd"] = _lock(LOCK)
                mine = _alone["fd"] is not None
                _alone["labs"] += mine
            if mine:
                break
            if not said:
                print("waiting for another lab on this machine to end", file=sys.stderr, flush=True)
                said = True
            if time.monotonic() > deadline:
                raise Missing(f"another lab has been running for {LOCK_WAIT} s; see {STATE} for its pid")
            time.sleep(0.2)
        yield
    finally:
        with deaf():
            _alone["labs"] -= mine
            if mine and _alone["labs"] == 0:
                _unlock(_alone["fd"], LOCK)
                _alone["fd"] = None


def start_time(pid):
    """The start time of a process in clock ticks, None where it is gone."""
    try:
        return int(read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def die_with_parent(how=signal.SIGKILL):
    _libc.prctl(PR_SET_PDEATHSIG, how, 0, 0, 0)


def ordinary():
    """Out of the client's real-time class: a v1 group without rt budget refuses such a task."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Layout:
    """kind: "v2", "v1" or "hybrid"; mounts: {controller or "unified": directory}."""

    def __init__(self, mountinfo="/proc/self/mountinfo"):
        self.mounts = {}
        self.readonly = False
        for line in read(mountinfo).splitlines():
            left, _, right = line.partition(" - ")
            fields, (fstype, _, options) = left.split(), right.split(" ", 2)
            if fields[3] != "/" or fstype not in ("cgroup", "cgroup2"):
                continue
            where = fields[4].encode().decode("unicode_escape")
            if fstype == "cgroup2":
                self.mounts.setdefault("unified", where)
            else:
                for c in options.split(","):
                    if c in V1_CONTROLLERS:
                        self.mounts.setdefault(c, where)
        self.unified = self.mounts.get("unified")
        if "cpu" in self.mounts:
            self.kind = "hybrid" if self.unified else "v1"
        elif self.unified and "cpu" in read(self.unified + "/cgroup.controllers").split():
            self.kind = "v2"
        else:
            raise Missing("no cpu controller in any cgroup hierarchy: mount cgroup2, or boot with "
                          "a kernel that has CONFIG_CGROUP_SCHED")
        self.cpu_root = self.unified if self.kind == "v2" else self.mounts["cpu"]
        self.systemd = os.path.isdir("/run/systemd/system")

    def roots(self):
        """Every hierarchy a group gets a directory in, without doubles, cpu first."""
        if self.kind == "v2":
            return [self.unified]
        return list(dict.fromkeys([self.mounts[c] for c in V1_CONTROLLERS if c in self.mounts]
                                  + ([self.unified] if self.unified else [])))

    def path_of(self, pid="self"):
        """{root: path} of a process, to put it back where it was."""
        where = {}
        for line in read(f"/proc/{pid}/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            names = ["unified"] if controllers == "" else controllers.split(",")
            for n in names:
                if n in self.mounts and self.mounts[n] in self.roots():
                    where[self.mounts[n]] = path
        return where


def unwritable(where, e):
    return (f"the cgroup tree at {where} can not be written ({e.strerror}): "
            "in a container, run on the host or with a writable cgroup mount")


class Group:
    """One group of a Tree: the same name in every hierarchy."""

    def __init__(self, tree, name):
        self.tree, self.name = tree, name
        self.leaf = tree.prefix + name
        self.dirs = [os.path.join(root + tree.base, self.leaf) for root in tree.layout.roots()]
        try:
            for d in self.dirs:
                os.mkdir(d)
        except OSError as e:
            self.remove()
            if e.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            raise Missing(unwritable(os.path.dirname(e.filename), e)) from e
        self.cpu = self.dirs[0]
        self.path = self.cpu[len(tree.layout.cpu_root):]

    def enter(self, pid=0):
        if not pid:
            ordinary()
        for d in self.dirs:
            write(d + "/cgroup.procs", pid or os.getpid())

    def pids(self):
        try:
            return [int(p) for p in read(self.cpu + "/cgroup.procs").split()]
        except OSError:
            return []

    def set_weight(self, permille):
        """permille of the default weight: 1000 leaves it as it is; clamped to what exists."""
        if self.tree.layout.kind == "v2":
            write(self.cpu + "/cpu.weight", max(1, min(10000, permille // 10)))
        else:
            write(self.cpu + "/cpu.shares", max(2, min(262144, permille * 1024 // 1000)))

    def set_quota(self, cpus):
        """At most that many CPUs; None for no limit."""
        if self.tree.layout.kind == "v2":
            write(self.cpu + "/cpu.max", "max 100000" if cpus is None else f"{int(cpus * 100000)} 100000")
        else:
            write(self.cpu + "/cpu.cfs_quota_us", -1 if cpus is None else int(cpus * 100000))

    def controls(self):
        """Every cpu setting as text: equal before and after means nothing was left behind."""
        out = {}
        for f in ("cpu.weight", "cpu.idle", "cpu.max", "cpu.max.burst", "cpu.shares", "cpu.cfs_quota_us",
                  "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.rt_runtime_us"):
            if os.path.exists(f"{self.cpu}/{f}"):
                out[f] = read(f"{self.cpu}/{f}").strip()
        return out

    def state(self):
        """controls() and the scheduling policies and nice values of its tasks that are not the usual ones."""
        odd = []
        for pid in self.pids():
            try:
                tasks = [int(t) for t in os.listdir(f"/proc/{pid}/task")]
            except OSError:
                continue
            for t in tasks:
                try:
                    how = (os.sched_getscheduler(t), os.getpriority(os.PRIO_PROCESS, t))
                except OSError:
                    continue
                if how != (os.SCHED_OTHER, 0):
                    odd.append((t, *how))
        return self.path, self.controls(), odd

    def changes(self, before):
        """What state() has that before, an earlier one, had not, as text. Where a controller was switched on
        meanwhile (systemd keeps it on), its files have to be as new ones are."""
        path, controls, odd = self.state()
        out = [f"{path}: {k} is {controls.get(k)}, was {before[1].get(k, NEW[k])}" for k in {**NEW, **before[1]}
               if controls.get(k, NEW[k]) != before[1].get(k, NEW[k])]
        return out + [f"{path}: task {t[0]} has class {t[1]}, nice {t[2]}" for t in odd if t not in before[2]]

    def remove(self):
        for d in self.dirs:
            _remove(d)


NEW = {"cpu.weight": "100", "cpu.idle": "0", "cpu.max": "max 100000", "cpu.max.burst": "0", "cpu.shares": "1024",
       "cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000", "cpu.cfs_burst_us": "0", "cpu.rt_runtime_us": "0"}


def _remove(path):
    """Kill whoever is in there, by pid, then remove the directory and those below it."""
    try:
        below = [e.path for e in os.scandir(path) if e.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for d in below:
        _remove(d)
    for i in range(KILL_ROUNDS):
        try:
            pids = [int(p) for p in read(path + "/cgroup.procs").split()]
        except OSError:
            pids = []
        for pid in pids:
            if pid not in (0, os.getpid()):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError as e:
            if e.errno not in (errno.EBUSY, errno.ENOTEMPTY) or i == KILL_ROUNDS - 1:
                raise
        time.sleep(0.01 if i < 50 else 0.1)


def _systemctl(*args):
    return subprocess.run(["systemctl", "--quiet", "--no-ask-password", *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)


class Tree:
    """The groups of one lab. A context manager; everything is gone at its exit."""

    def __init__(self):
        if os.geteuid() != 0:
            raise Missing("making cgroups needs root: run it with sudo")
        self.layout = Layout()
        self.prefix = f"{PREFIX}{os.getpid()}-"
        self.base = ""
        self.groups = {}
        self.home = self.layout.path_of()
        self._units = []
        self._root_cpu_added = False
        sweep(self.layout)
        self.state = f"{STATE}/{os.getpid()}"
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        with open(self.state + "/start", "w", encoding="ascii") as f:
            f.write(str(start_time(os.getpid())))

    def __enter__(self):
        try:
            self._make_base()
            self._make_client()
        except OSError as e:
            self.close()
            if e.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise Missing(unwritable(self.layout.cpu_root, e)) from e
            raise
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def _unit(self, suffix, slice_, weight):
        """A transient delegated service that holds our groups; its path in the tree."""
        unit = f"{PREFIX}{os.getpid()}{suffix}.service"
        self._units.append(unit)
        r = subprocess.run(["systemd-run", "--quiet", "--unit", unit, "--slice", slice_, "-p", "Delegate=yes",
                            "-p", f"CPUWeight={weight}", "-p", "TasksMax=infinity", "-p", "RuntimeMaxSec=3600",
                            "--", "sleep", "3600"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if r.returncode != 0:
            raise Missing(f"systemd-run could not start {unit}: {r.stdout.strip()}")
        show = subprocess.run(["systemctl", "show", "-P", "ControlGroup", unit], stdout=subprocess.PIPE, text=True)
        path = show.stdout.strip()
        if not path:
            raise Missing(f"systemd did not say where {unit} lives")
        return path

    def _make_base(self):
        if self.layout.kind != "v2":
            return
        root = self.layout.unified
        if self.layout.systemd:
            self.base = self._unit("", "system.slice", 100)
            keep = root + self.base + "/keep"
            os.mkdir(keep)
            for pid in read(root + self.base + "/cgroup.procs").split():
                write(keep + "/cgroup.procs", pid)
            write(root + self.base + "/cgroup.subtree_control", "+cpu +pids")
        elif "cpu" not in read(root + "/cgroup.subtree_control").split():
            write(root + "/cgroup.subtree_control", "+cpu")
            self._root_cpu_added = True

    def _make_client(self):
        """Only the server side is to suffer. Measured against 64 siblings, a small program of ours takes
        28 ms with the most weight there is, 172 ms with the default, 5 ms as real-time, as when idle: so
        we ourselves and the ssh clients are SCHED_RR 1, and have the most weight where that is refused."""
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            return
        except OSError:
            pass
        if self.layout.kind == "v2" and self.layout.systemd:
            write(self.layout.unified + self._unit("-client", "-.slice", 10000) + "/cgroup.procs", os.getpid())
        else:
            g = self.group("client")
            g.set_weight(10**9)
            g.enter()

    def group(self, name):
        with deaf():                    # made and known, or neither
            if name not in self.groups:
                self.groups[name] = Group(self, name)
        return self.groups[name]

    def drop(self, name):
        g = self.groups.pop(name, None)
        if g:
            g.remove()

    def go_home(self):
        """In a child between fork and exec: back to where and what the lab was started as."""
        ordinary()
        for root, path in self.home.items():
            try:
                write(root + path + "/cgroup.procs", os.getpid())
            except OSError:
                write(root + "/cgroup.procs", os.getpid())

    def spawn(self, argv, group=None, **popen):
        """Start argv inside a group (None: where the lab was started from), as an ordinary task; it dies
        with us. Only clients are started in another way: they inherit our real-time class."""
        def place():
            die_with_parent()
            if group is None:
                self.go_home()
            else:
                group.enter()
        popen.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(argv, preexec_fn=place, **popen)

    def close(self):
        with deaf():
            try:
                self.go_home()
            except OSError:
                pass
            for name in list(self.groups):
                self.drop(name)
            for unit in self._units:
                _systemctl("stop", unit)
                _systemctl("reset-failed", unit)
            self._units = []
            if self._root_cpu_added:
                try:
                    write(self.layout.unified + "/cgroup.subtree_control", "-cpu")
                except OSError:
                    pass
                self._root_cpu_added = False
            shutil.rmtree(self.state, ignore_errors=True)
            try:
                os.rmdir(STATE)
            except OSError:
                pass


def sweep(layout=None):
    """Remove what labs that are no longer alive left behind; returns how many groups."""
    layout = layout or Layout()
    removed, dead, alive = 0, set(), set()

    def gone(name):
        m = re.match(rf"{PREFIX}(\d+)", name)
        if not m:
            return False
        pid = m.group(1)
        if pid not in dead and pid not in alive:
            try:
                recorded = read(f"{STATE}/{pid}/start").strip()
            except OSError:
                recorded = None
            (alive if recorded is not None and recorded == str(start_time(pid)) else dead).add(pid)
        return pid in dead

    if layout.kind == "v2" and layout.systemd:
        units = subprocess.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", PREFIX + "*"],
                               stdout=subprocess.PIPE, text=True).stdout
        for line in units.splitlines():
            if gone(line.split()[0]):
                _systemctl("stop", line.split()[0])
                _systemctl("reset-failed", line.split()[0])
                removed += 1
    for root in layout.roots():
        for e in list(os.scandir(root)):
            if e.name.startswith(PREFIX) and e.is_dir(follow_symlinks=False) and gone(e.name):
                _remove(e.path)
                removed += 1
    if os.path.isdir(STATE):
        for e in list(os.scandir(STATE)):
            if e.name.isdigit() and gone(PREFIX + e.name):
                shutil.rmtree(e.path, ignore_errors=True)
    return removed
