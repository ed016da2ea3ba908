# SPDX-License-Identifier: Apache-2.0
"""What the guard changes for itself outside of its own process: a raised weight and a
real-time budget. Each is said, is not there in observe mode, and is gone at the end."""
import os
import signal
import struct
import subprocess
import time

import pytest

import lab as L
from conftest import eventually, log_of
from test_relief import policy


def cpu_root():
    """Where the cpu controller is, the file with a weight in it, and a raised one."""
    for line in L.read("/proc/self/mountinfo").splitlines():
        kind, options = line.split(" - ")[1].split()[0], line.split()[-1].split(",")
        if kind == "cgroup" and "cpu" in options:
            return line.split()[4], "cpu.shares", "10240"
    root = "/sys/fs/cgroup"
    if "cpu" not in L.read(root + "/cgroup.subtree_control").split():
        pytest.skip("needs: cgroup-cpu")
    return root, "cpu.weight", "1000"


def fact(guard, what):
    return next((c for c in guard.status()["capabilities"] if c["what"] == what), None)


def in_group(pid, path):
    return any(line.split(":", 2)[2] == path for line in L.read(f"/proc/{pid}/cgroup").splitlines())


def guard_of(lab, mode, *prefix):
    """One whose mode is the configuration's alone, so that a reload can change it."""
    g = lab.guard(mode, policies=policy(lab), shipped=False)
    argv = type(g).argv

    def without_mode(*more):
        a = argv(g, *more)
        at = a.index("--mode")
        return [*prefix, *a[:at], *a[at + 2:]]
    g.argv = without_mode
    return g


def reloaded(g, mode):
    g.mode = mode
    g.configure()
    g.reload()
    assert eventually(lambda: g.status()["mode"] == mode, 10)


def test_a_raised_weight_where_real_time_is_refused(lab):
    root, knob, raised = cpu_root()
    own = root + "/reprieve-helpers"

    def weight():
        return L.read(f"{own}/{knob}").strip()
    with guard_of(lab, "observe", "setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice") as g:
        home = L.read(f"/proc/{g.proc.pid}/cgroup")
        assert not fact(g, "real-time")["have"]
        assert not os.path.exists(own) and fact(g, "own weight") is None
        reloaded(g, "rescue")
        assert eventually(lambda: weight() == raised and in_group(g.proc.pid, "/reprieve-helpers"), 5), log_of(g)
        assert fact(g, "own weight")["have"] and "real-time is refused" in log_of(g)
        reloaded(g, "observe")
        assert eventually(lambda: not os.path.exists(own) and L.read(f"/proc/{g.proc.pid}/cgroup") == home, 5), log_of(g)
        reloaded(g, "enforce")
        assert eventually(lambda: in_group(g.proc.pid, "/reprieve-helpers"), 5)
    assert not os.path.exists(own)
    with guard_of(lab, "rescue", "setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice") as g:
        assert weight() == raised and in_group(g.proc.pid, "/reprieve-helpers")
        g.kill9()
        assert eventually(lambda: g.restore()[0] == 0 and not os.path.exists(own), 10), "a killed guard's group stays"
    with guard_of(lab, "rescue") as g:
        assert weight() == raised
        if fact(g, "real-time")["have"]:
            assert not in_group(g.proc.pid, "/reprieve-helpers")
    assert not os.path.exists(own)


def test_a_real_time_budget_is_said_and_put_back(lab):
    group = lab.tree.group("budget")
    try:
        knob = group.cpu + "/cpu.rt_runtime_us"
        if not os.path.exists(knob):
            pytest.skip("needs: rt-group-sched")

        def budget():
            return L.read(knob).strip()
        with guard_of(lab, "observe", "sh", "-c", f'echo $$ >{group.cpu}/cgroup.procs && exec "$@"', "sh") as g:
            assert budget() == "0" and fact(g, "real-time budget") is None
            reloaded(g, "rescue")
            assert eventually(lambda: budget() == "50000", 5), log_of(g)
            said = fact(g, "real-time budget")
            assert said["have"] and group.path in said["why"] and said["why"] in log_of(g)
            assert fact(g, "real-time")["have"] and fact(g, "own weight") is None
            reloaded(g, "observe")
            assert eventually(lambda: budget() == "0", 5), log_of(g)
            assert fact(g, "real-time budget") is None
            reloaded(g, "rescue")
            assert eventually(lambda: budget() == "50000", 5)
        assert budget() == "0"
    finally:
        lab.tree.drop("budget")


class SlowSystemd:
    """A systemd with one unit, in a mount namespace of the guard's, that can be kept from any CPU."""

    def __init__(self, lab, group):
        self.socket, self.state, self.unit = f"{lab.dir}/systemd", f"{lab.dir}/systemd-weight", os.path.basename(group.path)
        self.proc = subprocess.Popen([L.tool("slow-systemd"), self.socket, self.unit, self.state], start_new_session=True)
        assert eventually(lambda: os.path.exists(self.socket), 5)
        self.namespace = ["unshare", "--mount", "sh", "-c",
                          'mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && '
                          f'ln -s {self.socket} /run/systemd/private && exec "$@"', "sh"]

    def weight(self):
        with open(self.state, "rb") as f:
            return struct.unpack("Q", f.read(8))[0]

    def starve(self, yes=True):
        os.killpg(self.proc.pid, signal.SIGSTOP if yes else signal.SIGCONT)

    def end(self):
        os.killpg(self.proc.pid, signal.SIGKILL)
        self.proc.wait()
        for f in (self.socket, self.state):
            os.unlink(f)


@pytest.mark.parametrize("answers_after", [5, None])
def test_a_systemd_that_answers_late_at_stop(lab, answers_after):
    """The steward tries again, and has 20 s of the guard's stop for it; what it cannot do then, a restore does."""
    unset = 2 ** 64 - 1
    group = lab.tree.group("late.service")
    systemd = SlowSystemd(lab, group)
    try:
        g = guard_of(lab, "rescue", *systemd.namespace)
        g.policies = {"60-lab.policy": f"[Protect late]\nCgroups={group.path}\nAs=login\nWeight=800\n"}
        with g:
            assert eventually(lambda: systemd.weight() == 800, 15), log_of(g)
            systemd.starve()
            begin = time.monotonic()
            g.proc.terminate()
            if answers_after:
                time.sleep(answers_after)
                assert g.proc.poll() is None and systemd.weight() == 800
                systemd.starve(False)
            g.proc.wait(40)
            took = time.monotonic() - begin
            assert took < 25, f"the guard took {took:.1f} s to end: {log_of(g)}"
            assert "waiting for the steward" in log_of(g)
            if not answers_after:
                assert took > 15 and systemd.weight() == 800
                systemd.starve(False)
                steward = os.path.join(g.build, "reprieve-steward")
                assert subprocess.run([*systemd.namespace, steward, "--restore", "--rundir", g.rundir], timeout=30).returncode == 0
            assert systemd.weight() == unset, log_of(g)
            assert not os.path.exists(g.rundir + "/lifeline")
    finally:
        systemd.end()
        lab.tree.drop("late.service")
