# SPDX-License-Identifier: Apache-2.0
"""What the guard changes for itself outside of its own process: a raised weight and a
real-time budget. Each is said, is not there in observe mode, and is gone at the end."""
import os

import pytest

import lab as L
from conftest import eventually, log_of
from test_relief import policy


def cpu_root():
    """Where the cpu controller is, and the file with a weight in it, ordinary and raised."""
    for line in L.read("/proc/self/mountinfo").splitlines():
        kind, options = line.split(" - ")[1].split()[0], line.split()[-1].split(",")
        if kind == "cgroup" and "cpu" in options:
            return line.split()[4], "cpu.shares", "1024", "10240"
    root = "/sys/fs/cgroup"
    if "cpu" not in L.read(root + "/cgroup.subtree_control").split():
        pytest.skip("needs: cgroup-cpu")
    return root, "cpu.weight", "100", "1000"


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
    root, knob, ordinary, raised = cpu_root()
    own = root + "/reprieve-helpers"

    def weight():
        return L.read(f"{own}/{knob}").strip()
    with guard_of(lab, "observe", "setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice") as g:
        home = L.read(f"/proc/{g.proc.pid}/cgroup")
        assert not fact(g, "real-time")["have"]
        assert weight() == ordinary and not in_group(g.proc.pid, "/reprieve-helpers") and fact(g, "own weight") is None
        reloaded(g, "rescue")
        assert eventually(lambda: weight() == raised and in_group(g.proc.pid, "/reprieve-helpers"), 5), log_of(g)
        assert fact(g, "own weight")["have"] and "real-time is refused" in log_of(g)
        reloaded(g, "observe")
        assert eventually(lambda: weight() == ordinary and L.read(f"/proc/{g.proc.pid}/cgroup") == home, 5), log_of(g)
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
        before = budget()
        if before != "0":
            pytest.skip("needs: a cgroup without a real-time budget")
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
        assert budget() == before
    finally:
        lab.tree.drop("budget")
