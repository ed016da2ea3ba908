# SPDX-License-Identifier: Apache-2.0
"""actlab: the act layer's driver, cgroups of both versions for it, and the scenarios
that hold for both. Needs no pytest: the guest of make check-vm has none.

    actlab.py DRIVER        runs the scenarios on this machine's cgroup v2, one line each
"""
import ctypes
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("REPRIEVE_BUILD", os.path.join(REPO, "build"))
DRIVER = os.path.join(BUILD, "tools", "act-driver")
SYS_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}[os.uname().machine]
SCHED_OTHER, SCHED_FIFO, SCHED_BATCH, SCHED_IDLE = 0, 1, 3, 5

libc = ctypes.CDLL(None, use_errno=True)


def read(path):
    with open(path) as f:
        return f.read().strip()


def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, str(text).encode())
    finally:
        os.close(fd)


def attr(tid):
    """(policy, flags, nice, prio, slice) of a task; None: gone."""
    buf = ctypes.create_string_buffer(48)
    if libc.syscall(SYS_SCHED_GETATTR, tid, buf, 48, 0) < 0:
        return None
    _, policy, flags, nice, prio, runtime = struct.unpack_from("=IIQiIQ", buf.raw)
    return policy, flags, nice, prio, runtime


def policy(tid):
    a = attr(tid)
    return None if a is None else a[0]


def wait_for(what, seconds=5.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        r = what()
        if r:
            return r
        time.sleep(0.01)
    raise AssertionError("waited in vain")


class Driver:
    """Runs commands in one guard's life; the journal is in rundir."""

    def __init__(self, rundir, *options):
        self.base = [DRIVER, "--rundir", str(rundir)]
        self.options = list(options)
        self.rundir = str(rundir)

    def run(self, *commands, crash_at=None, fail=None, check=True):
        env = dict(os.environ, REPRIEVE_COUNT="1")
        if crash_at is not None:
            env["REPRIEVE_CRASH_AT"] = str(crash_at)
        if fail is not None:
            env["REPRIEVE_FAIL"] = fail
        p = subprocess.run(self.base + self.options + list(commands), env=env, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=30, stdin=subprocess.DEVNULL)
        if crash_at is None and check:
            assert p.returncode == 0, p.stdout
        self.code = p.returncode
        return p.stdout.splitlines()

    def restore(self, **kw):
        """--restore: with the journal's own layout."""
        if "--fake" in self.options:        # only cgroup filesystems are restored without a layout
            return self.run("restore", **kw)
        saved, self.options = self.options, ["--restore"]
        try:
            return self.run(**kw)
        finally:
            self.options = saved

    def count(self, lines):
        return int(next(l for l in lines if l.startswith("count ")).split()[1])

    def start(self, *commands):
        return subprocess.Popen(self.base + self.options + list(commands), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(lines, name):
    return next(l for l in lines if l.startswith(name + " "))


class Group:
    """One cgroup with processes of ours. f: its files by what they are."""

    def __init__(self, name):
        self.path = f"/reprieve-act-{os.getpid()}-{name}"
        self.dirs = {c: root + self.path for c, root in self.ROOTS.items()}
        self.cpu = self.dirs["cpu"]
        self.f = {what: f"{self.dirs[c]}/{file}" for what, (c, file) in self.FILES.items()}
        self.jail = self.cpu + "/reprieve-q"
        self.tasks = []
        for d in set(self.dirs.values()):
            os.mkdir(d)

    def spawn(self, *argv, trees=("cpu", "pids", "freezer")):
        def join():                     # before exec: nothing is forked outside
            for d in {self.dirs[c] for c in trees}:
                write(d + "/cgroup.procs", 0)
        p = subprocess.Popen(argv or ("sleep", "1000"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=join)
        self.tasks.append(p)
        return p.pid

    def members(self, where=None):
        return sorted(map(int, read(f"{where or self.cpu}/{self.THREADS}").split()))

    def state(self):
        s = {what: read(path) for what, path in self.f.items()}
        s["children"] = sorted(e for e in os.listdir(self.cpu) if os.path.isdir(f"{self.cpu}/{e}"))
        s["members"] = self.members()
        s["attr"] = {p.pid: attr(p.pid) for p in self.tasks}
        return s

    def pids(self):
        """All in it, those of a jail too."""
        found = set()
        for top, _, files in os.walk(self.cpu):
            if self.THREADS in files:
                found |= set(self.members(top))
        return found

    def close(self):
        self.thaw()
        end = time.monotonic() + 20
        while self.pids() and time.monotonic() < end:
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            for p in self.tasks:
                p.poll()
            time.sleep(0.01)
        for p in self.tasks:
            p.kill()
            p.wait()
        for d in set(self.dirs.values()):
            for top, _, _ in os.walk(d, topdown=False):
                wait_for(lambda: self._rmdir(top))

    @staticmethod
    def _rmdir(d):
        try:
            os.rmdir(d)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True


class V1Group(Group):
    ROOTS = {c: "/sys/fs/cgroup/" + c for c in ("cpu", "pids", "freezer")}
    OPTIONS = [a for c, root in ROOTS.items() for a in ("--" + c, root)]
    FILES = {"weight": ("cpu", "cpu.shares"), "idle": ("cpu", "cpu.idle"), "quota": ("cpu", "cpu.cfs_quota_us"),
             "period": ("cpu", "cpu.cfs_period_us"), "burst": ("cpu", "cpu.cfs_burst_us"), "pids": ("pids", "pids.max"),
             "frozen": ("freezer", "freezer.state"), "freeze": ("freezer", "freezer.self_freezing")}
    THREADS = "tasks"
    UNLIMITED = "-1"

    def originals(self):
        """One of every sort that is not the default."""
        write(self.cpu + "/cpu.rt_runtime_us", 20000)
        write(self.f["weight"], 700)
        write(self.f["quota"], 60000)
        write(self.f["burst"], 30000)
        write(self.f["pids"], 77)

    def thaw(self):
        write(self.f["frozen"], "THAWED")

    @staticmethod
    def weight_of(weight):
        return str(weight * 1024 // 100)


class V2Group(Group):
    ROOTS = {c: "/sys/fs/cgroup" for c in ("cpu", "pids", "freezer")}
    OPTIONS = [a for c, root in ROOTS.items() for a in ("--" + c, root + ":v2")]
    FILES = {"weight": ("cpu", "cpu.weight"), "idle": ("cpu", "cpu.idle"), "quota": ("cpu", "cpu.max"), "burst": ("cpu", "cpu.max.burst"),
             "pids": ("cpu", "pids.max"), "freeze": ("cpu", "cgroup.freeze"), "type": ("cpu", "cgroup.type"),
             "control": ("cpu", "cgroup.subtree_control")}
    THREADS = "cgroup.threads"
    UNLIMITED = "max"

    def __init__(self, name):
        write("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +pids")
        super().__init__(name)

    def originals(self):
        write(self.f["weight"], 70)
        write(self.f["quota"], "60000 100000")
        write(self.f["burst"], 30000)
        write(self.f["pids"], 77)

    def thaw(self):
        write(self.f["freeze"], 0)

    @staticmethod
    def weight_of(weight):
        return str(weight)


HAS_V1 = os.geteuid() == 0 and os.path.exists("/sys/fs/cgroup/cpu/cpu.shares")
HAS_V2 = os.geteuid() == 0 and os.path.exists("/sys/fs/cgroup/cgroup.controllers") and \
    "cpu" in read("/sys/fs/cgroup/cgroup.controllers").split()


class Makes:
    """Groups that are gone when it is closed."""

    def __init__(self, kind):
        self.kind, self.made = kind, []

    def __call__(self, name="g"):
        self.made.append(self.kind(name))
        return self.made[-1]

    def close(self):
        for g in reversed(self.made):
            g.close()


def crash_everywhere(driver, steps, state, journal_ok=None):
    """SIGKILL at each place of steps, then at each place of a restore of all of them:
    afterwards --restore finds everything and leaves nothing."""
    def whole(commands):
        """An emulated machine may be too slow to freeze in time: then that is done again."""
        for _ in range(5):
            out = driver.run(*commands)
            if not any("ETIMEDOUT" in l for l in out):
                return out
            driver.restore()
        raise AssertionError(out)

    before = state()
    driver.run()                                    # making the journal is counted elsewhere
    n = driver.count(whole(steps))
    driver.restore()
    assert state() == before, "without a crash"
    assert n > 0
    for at in range(1, n + 1):
        driver.run(*steps, crash_at=at)
        assert driver.code == -signal.SIGKILL, f"crash point {at} of {n} was not reached"
        out = driver.restore()
        assert state() == before, f"killed at {at} of {n}: {out}"
    squeeze = [s for s in steps if not s.startswith("release")]
    whole(squeeze)
    m = driver.count(driver.restore())
    for at in range(1, m + 1):
        whole(squeeze)
        driver.restore(crash_at=at, check=False)
        assert driver.code == -signal.SIGKILL, f"crash point {at} of {m} of the restore was not reached"
        out = driver.restore()
        assert state() == before, f"restore killed at {at} of {m}: {out}"
    assert "live 0" in driver.run("live")
    return n + m


STEPS = {
    "weight": ["weight:{g}:10", "weight:{g}:5", "release:{g}"],
    "idle": ["idle:{g}", "release:{g}"],
    "weight then idle": ["weight:{g}:10", "idle:{g}", "release:{g}:idle", "idle:{g}", "release:{g}:weight", "release:{g}"],
    "quota": ["quota:{g}:5000:25000", "quota:{g}:8000:25000", "quota:{g}:8000:50000", "release:{g}"],
    "pids": ["pids:{g}:-1", "pids:{g}:2", "release:{g}"],
    "freeze": ["freeze:{g}", "release:{g}"],
    "jail": ["jail:{g}:5000:25000:{a}", "jail:{g}:8000:25000:{b}", "release:{g}"],
    "tasks-idle": ["tasks-idle:{g}:{a}+{b}", "release:{g}"],
    "tasks-other": ["tasks-other:{g}:{f}+{a}", "release:{g}"],
    "both classes": ["tasks-other:{g}:{f}", "tasks-idle:{g}:{f}+{b}", "release:{g}"],
    "lifeline": ["lifeline:{g}:800", "lifeline:{g}:400", "lifeline:{g}:-1"],
    "lifeline under a squeeze": ["weight:{g}:10", "lifeline:{g}:800", "release:{g}:weight", "weight:{g}:20", "lifeline:{g}:-1", "release:{g}"],
    "everything": ["weight:{g}:10", "quota:{g}:5000:25000", "idle:{g}", "pids:{g}:-1", "tasks-idle:{g}:{a}", "jail:{g}:9000:50000:{a}+{b}",
                   "freeze:{g}", "release:{g}"],
}


def kill_at_every_write(driver, make, name):
    """No value and no task differs afterwards."""
    g = make()
    g.originals()
    a, b, f = g.spawn(), g.spawn(), g.spawn()
    os.sched_setscheduler(a, SCHED_BATCH, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, a, 7)
    os.setpriority(os.PRIO_PROCESS, f, 3)
    os.sched_setscheduler(f, SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    assert attr(f)[0] == SCHED_FIFO
    steps = [s.format(g=g.path, a=a, b=b, f=f) for s in STEPS[name]]
    places = crash_everywhere(driver, steps, g.state)
    assert places >= 8, places
    bad = [l for l in driver.run(*steps) if " failed " in l and "ETIMEDOUT" not in l]
    assert not bad, bad
    driver.restore()


def forks_come_back(driver, make):
    """Forked below a lowered task: SCHED_OTHER again. Idle by its own will: stays."""
    g = make()
    shell = g.spawn("sh", "-c", "while :; do sleep 0.2 & sleep 1000 & wait $!; done")

    def kids(of):
        found = []
        for p in g.pids() - {of}:
            try:
                if int(read(f"/proc/{p}/stat").rsplit(")", 1)[1].split()[1]) == of:
                    found.append(p)
            except OSError:
                pass
        return found

    def new_kids():
        wait_for(lambda: kids(shell))
        for k in kids(shell):
            try:
                os.kill(k, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return wait_for(lambda: [p for p in kids(shell) if policy(p) == SCHED_IDLE])

    driver.run(f"tasks-idle:{g.path}:{shell}")
    assert new_kids()
    out = driver.run(f"release:{g.path}", "settle", "live")
    assert "release done" in out[0] and "live 0" in out, out
    assert all(policy(p) in (None, SCHED_OTHER) for p in g.pids()), out
    assert "live 0" in driver.run("live")

    own = g.spawn("chrt", "-i", "0", "sh", "-c", "while :; do sleep 0.3; done")
    wait_for(lambda: attr(own)[0] == SCHED_IDLE)
    driver.run(f"tasks-idle:{g.path}:{shell}")
    kid = [k for k in new_kids() if "1000" in read(f"/proc/{k}/cmdline")]
    driver.restore()                                # after a crash, too
    assert all(policy(k) in (None, SCHED_OTHER) for k in kid)
    assert attr(shell)[0] == SCHED_OTHER
    assert attr(own)[0] == SCHED_IDLE


def others_values_are_left(driver, make):
    g = make()
    driver.run(f"quota:{g.path}:5000:100000", f"weight:{g.path}:10")
    theirs = "70000" if g.UNLIMITED == "-1" else "70000 100000"
    write(g.f["quota"], theirs)
    out = driver.restore()
    assert any("neither ours (5000/100000" in l and "left" in l for l in out), out
    assert read(g.f["quota"]) == theirs
    assert read(g.f["weight"]) == g.weight_of(100)
    assert "live 0" in driver.run("live")


def drift(driver, make):
    g = make()
    out = driver.run(f"quota:{g.path}:5000:100000", f"weight:{g.path}:10", "drift",
                     f"write:{g.f['quota']}:{g.UNLIMITED}", "drift",            # as systemd does: the original
                     f"quota:{g.path}:5000:100000", "drift",                    # re-asserted
                     f"write:{g.f['weight']}:300", "drift",                     # a person
                     f"weight:{g.path}:10", "drift", f"release:{g.path}", "live")
    assert [l for l in out if l.startswith("drift")] == ["drift 0", "drift 1 quota:original", "drift 0", "drift 1 weight:new", "drift 0"]
    assert read(g.f["weight"]) == "300"             # the new original
    assert read(g.f["quota"]).split()[0] == g.UNLIMITED
    assert "live 0" in out


def drift_of_the_others(driver, make):
    """cpu.idle = 0 leaves the default weight, not the squeezed one: somebody's new decision."""
    g = make()
    a = g.spawn()
    thaw = f"write:{g.f['freeze']}:0" if g.THREADS == "cgroup.threads" else f"write:{g.f['frozen']}:THAWED"
    quota = g.jail + "/" + os.path.basename(g.f["quota"])
    out = driver.run(f"weight:{g.path}:10", f"idle:{g.path}", f"pids:{g.path}:50", f"jail:{g.path}:5000:25000:{a}", f"freeze:{g.path}",
                     "drift", f"write:{g.f['idle']}:0", f"write:{g.f['pids']}:60", thaw,
                     f"write:{quota}:{g.UNLIMITED}", "drift", f"release:{g.path}", "live")
    assert not [l for l in out if " failed " in l], out
    drifts = [l for l in out if l.startswith("drift")]
    assert drifts[0] == "drift 0", out
    assert sorted(drifts[1].split()[2:]) == ["freeze:original", "idle:new", "jail:original", "pids:new"], out
    assert "live 0" in out


def killed(driver, make):
    g = make()
    g.spawn("sh", "-c", "while :; do sleep 0.01 & sleep 0.01; done")
    g.spawn()
    time.sleep(0.1)
    out = driver.run(f"kill:{g.path}", "live")
    assert out[0].startswith("kill done"), out
    wait_for(lambda: not g.pids())
    driver.restore()
    assert "live 0" in driver.run("live")
    assert read(g.f["freeze"]) == "0"


def jail_holds_forks(driver, make):
    g = make()
    shell = g.spawn("sh", "-c", "while :; do sleep 0.02 & sleep 0.02; done")
    stay = g.spawn()
    out = driver.run(f"jail:{g.path}:20000:100000:{shell}")
    assert out[0].startswith("jail done 0 0 1"), out
    wait_for(lambda: len(g.members(g.jail)) > 1)
    assert stay not in g.members(g.jail) and stay in g.members()
    assert read(g.jail + "/" + os.path.basename(g.f["quota"])).split()[0] == "20000"
    driver.restore()
    assert not os.path.exists(g.jail)
    assert shell in g.members()


def vanished_and_reused(driver, make):
    g = make("gone")
    driver.run(f"weight:{g.path}:10", f"quota:{g.path}:5000:25000")
    os.rmdir(g.cpu)
    out = driver.run(f"weight:{g.path}:20", "drift", "live")
    assert out[0].startswith("weight failed ESTALE"), out
    assert "drift 0" in out and "live 0" in out
    os.mkdir(g.cpu)
    driver.run(f"weight:{g.path}:10")
    os.rmdir(g.cpu)
    os.mkdir(g.cpu)                                 # the same name, another cgroup
    write(g.f["weight"], g.weight_of(10))           # with the value that looks like ours
    driver.restore()
    assert read(g.f["weight"]) == g.weight_of(10)
    assert "live 0" in driver.run("live")


def arming_leaves_nothing(driver, make):
    assert "arm 0" in driver.run("arm")
    assert not os.path.exists(make.kind.ROOTS["cpu"] + "/reprieve-arm")


SCENARIOS = {f.__name__: f for f in (forks_come_back, others_values_are_left, drift, drift_of_the_others, killed, jail_holds_forks,
                                     vanished_and_reused, arming_leaves_nothing)}
for _name in STEPS:
    SCENARIOS["kill_at_every_write: " + _name] = lambda driver, make, _n=_name: kill_at_every_write(driver, make, _n)


def main():
    """On v2, without pytest: OK or FAIL per scenario."""
    global DRIVER
    DRIVER = sys.argv[1]
    bad = 0
    for name, scenario in SCENARIOS.items():
        with tempfile.TemporaryDirectory(dir="/run") as rundir:
            os.chmod(rundir, 0o755)
            make = Makes(V2Group)
            try:
                scenario(Driver(rundir, *V2Group.OPTIONS), make)
                print("OK", name, flush=True)
            except Exception:
                bad += 1
                print("FAIL", name, traceback.format_exc(), flush=True)
            finally:
                make.close()
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
