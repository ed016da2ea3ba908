# SPDX-License-Identifier: Apache-2.0
"""The sensors on the real kernel: what the probe's figures mean, and the facts about
the kernel that they lean on. What runs is build/tools/sense, with the objects that
are shipped; it prints one JSON line per snapshot."""
import json
import os
import shutil
import subprocess
import time

import pytest

from lab import TOOLS
from labtree import Layout, Missing, Tree, ordinary, read, write

SENSE, HOG = f"{TOOLS}/sense", f"{TOOLS}/hog"
TICK = 0.1

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs: root")
needs_bpf = pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/sys/kernel/btf/vmlinux"), reason="needs: bpf")


def has_group_psi():
    try:
        return bool(Layout().unified) and bool(read("/proc/pressure/cpu"))
    except (OSError, Missing):
        return False


@pytest.fixture
def tree():
    with Tree() as t:
        yield t


class Watch:
    """build/tools/sense in the background; snapshots() ends it."""

    def __init__(self, seconds, *options, tick=TICK):
        self.seconds = seconds
        self.p = subprocess.Popen([SENSE, *options, "watch", str(seconds), str(int(tick * 1000))], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)

    def snapshots(self):
        out, err = self.p.communicate(timeout=self.seconds + 20)
        assert self.p.returncode == 0, err.decode()
        return [json.loads(line) for line in out.decode("utf-8", "surrogateescape").splitlines()]


def total(snaps, path, what):
    return sum(g[what] for s in snaps for g in s["groups"] if g["path"] == path)


def hogs(tree, group, n, seconds=10, cpu=None):
    argv = [HOG, "-n", str(n), "-d", str(seconds)]
    if cpu is not None:
        argv = ["taskset", "-c", str(cpu), *argv]
    return tree.spawn(argv, group)


def stop(*procs):
    for p in procs:
        p.kill()
        p.wait()


@needs_bpf
def test_run_and_wait_of_hogs_on_one_cpu(tree):
    """A has one hog and B two, equal groups, on one CPU. Ideal: each group runs half
    of the time, and B's two wait 1.5 times the time between them."""
    a, b = tree.group("a"), tree.group("b")
    ps = [hogs(tree, a, 1, cpu=0), hogs(tree, b, 2, cpu=0)]
    time.sleep(0.3)
    snaps = Watch(2).snapshots()
    stop(*ps)
    span = sum(s["window"] for s in snaps)
    run_a, run_b = total(snaps, a.path, "run"), total(snaps, b.path, "run")
    wait_a, wait_b = total(snaps, a.path, "wait"), total(snaps, b.path, "wait")
    assert all(s["source"] == 1 for s in snaps)
    # Others run on this machine too: relations are exact, sums are bounded.
    assert run_a + run_b <= 1.02 * span
    assert run_a + run_b >= 0.6 * span
    assert 0.8 <= run_a / run_b <= 1.25
    assert 0.85 <= (run_a + wait_a) / span <= 1.1            # one task: runs or waits
    assert 0.85 <= (run_b + wait_b) / (2 * span) <= 1.1      # two
    assert total(snaps, a.path, "kthread") == 0 and total(snaps, a.path, "rt") == 0
    assert all(c[0] == 0 for s in snaps for g in s["groups"] if g["path"] in (a.path, b.path) for c in g["cpus"])


@needs_bpf
def test_tasks_lowered_to_sched_idle_run_but_do_not_wait(tree):
    """Else a runaway that was lowered inside its victim's cgroup looks like a victim."""
    a = tree.group("a")
    p = tree.spawn(["taskset", "-c", "0", "chrt", "--idle", "0", HOG, "-n", "3", "-d", "10"], a)
    time.sleep(0.3)
    snaps = Watch(1).snapshots()
    stop(p)
    span = sum(s["window"] for s in snaps)
    assert total(snaps, a.path, "run") >= 0.1 * span
    assert total(snaps, a.path, "wait") <= 0.02 * span       # three on one CPU: twice the time


@needs_bpf
def test_what_was_before_the_attachment_does_not_count(tree):
    a, b = tree.group("a"), tree.group("b")
    ps = [hogs(tree, a, 4), hogs(tree, b, 4)]
    time.sleep(1.5)
    firsts = [Watch(TICK).snapshots()[0] for _ in range(3)]
    stop(*ps)
    for s in firsts:
        for g in s["groups"]:
            if g["path"] in (a.path, b.path):
                assert g["run"] <= os.cpu_count() * s["window"] * 1.01
                assert g["wait"] <= 4 * s["window"] * 1.05


@needs_bpf
def test_a_new_cgroup_is_known_with_its_first_figures(tree):
    w = Watch(2.5)
    time.sleep(1)
    made = [tree.group(f"new{i}") for i in range(10)]
    ps = [hogs(tree, g, 1) for g in made]
    snaps = w.snapshots()
    stop(*ps)
    for g in made:
        first = next(i for i, s in enumerate(snaps) if any(x["path"] == g.path for x in s["groups"]))
        assert first < len(snaps) - 5
        assert total(snaps[first:], g.path, "run") > 0
    other = total(snaps, "(other)", "run") + total(snaps, "(other)", "wait")
    assert other <= 0.05 * sum(s["window"] for s in snaps)


@needs_bpf
def test_forks_are_counted_where_they_happen(tree):
    g, quiet = tree.group("churn"), tree.group("quiet")
    idle = tree.spawn(["sleep", "30"], quiet)
    w = Watch(2)
    time.sleep(0.7)
    p = tree.spawn(["sh", "-c", "for i in $(seq 200); do /bin/true; done"], g)
    p.wait(timeout=30)
    snaps = w.snapshots()
    stop(idle)
    assert 200 <= total(snaps, g.path, "forks") <= 210
    assert total(snaps, quiet.path, "forks") == 0


@needs_bpf
def test_realtime_and_kernel_threads_are_told_apart(tree):
    w = Watch(1.5)
    time.sleep(0.6)
    # In the group of the kernel threads, where real-time is allowed on every kernel.
    p = subprocess.Popen([HOG, "-n", "1", "-d", "1", "-f", "1"], start_new_session=True)
    snaps = w.snapshots()
    stop(p)
    assert total(snaps, "/", "kthread") > 0
    if p.returncode in (0, -9):
        rt = sum(g["rt"] for s in snaps for g in s["groups"])
        assert rt > 200000
    assert all(g["rt"] <= g["run"] and g["kthread"] <= g["run"] for s in snaps for g in s["groups"])


@needs_bpf
def test_css_ids_are_reused_and_told_apart(tree):
    """Cgroups come and go one after the other; each gets its own CPU time and no other's."""
    w = Watch(6)
    time.sleep(0.5)
    spent = {}
    for i in range(12):
        g = tree.group(f"reuse{i}")
        p = hogs(tree, g, 1, seconds=1, cpu=0)
        time.sleep(0.25)
        p.kill()
        p.wait()
        spent[g.path] = True
        tree.drop(f"reuse{i}")
    snaps = w.snapshots()
    seen = [p for p in spent if total(snaps, p, "run") > 0]
    assert len(seen) >= 10
    for p in spent:
        assert total(snaps, p, "run") <= 450000
    ids = {g["id"] for s in snaps for g in s["groups"] if g["path"] in spent}
    assert len(ids) == len(seen)


@needs_bpf
def test_a_quota_shows_as_throttling_of_the_protected(tree):
    g = tree.group("limited")
    g.set_quota(0.2)
    p = hogs(tree, g, 2)
    time.sleep(0.3)
    snaps = Watch(1, "--protect", g.path).snapshots()
    stop(p)
    mine = [x for s in snaps[1:] for x in s["groups"] if x["path"] == g.path]
    assert all(x["throttled"] >= 0 for x in mine)
    assert sum(x["throttled"] for x in mine) > 0.4 * sum(s["window"] for s in snaps[1:])


@needs_bpf
@pytest.mark.skipif(not has_group_psi(), reason="needs: psi")
def test_pressure_of_the_protected(tree):
    victim, other = tree.group("victim"), tree.group("other")
    ps = [hogs(tree, victim, 1, cpu=0), hogs(tree, other, 1, cpu=0)]
    time.sleep(0.3)
    snaps = Watch(1, "--protect", victim.path).snapshots()
    stop(*ps)
    mine = [x for s in snaps[1:] for x in s["groups"] if x["path"] == victim.path]
    assert mine and sum(x["psi"] for x in mine) > 0.2 * sum(s["window"] for s in snaps[1:])
    assert all(x["psi"] == -1 for s in snaps for x in s["groups"] if x["path"] == other.path)


@needs_root
def test_without_the_probe_the_run_time_is_there(tree):
    g, quiet = tree.group("seen"), tree.group("idle")
    p = hogs(tree, g, 1)
    time.sleep(0.2)
    snaps = Watch(2, "--no-probe").snapshots()[1:]
    stop(p)
    assert all(s["source"] == 2 for s in snaps)
    span = sum(s["window"] for s in snaps)
    assert 0.3 * span <= total(snaps, g.path, "run") <= 1.02 * span
    assert total(snaps, g.path, "wait") == 0
    assert total(snaps, quiet.path, "run") == 0


@needs_root
def test_cgroups_that_come_and_go_in_masses(tree):
    w = Watch(3)
    base = tree.group("mass")
    for _ in range(3):
        dirs = [f"{base.cpu}/g{i}" for i in range(300)]
        for d in dirs:
            os.mkdir(d)
        time.sleep(0.2)
        for d in dirs:
            os.rmdir(d)
    snaps = w.snapshots()
    assert len(snaps) >= 25
    assert snaps[-1]["known"] < snaps[0]["known"] + 330


@needs_root
def test_hostile_names(tree):
    base = tree.group("names")
    with pytest.raises(OSError):                # the kernel makes no such name, whoever asks
        os.mkdir(f"{base.cpu}/new\nline")
    made = [f"{base.cpu}/{n}" for n in ("esc\x1b[31m", "q\"uo'te\\", "ü" * 120)]
    for d in made:
        os.mkdir(d)
    deep = base.cpu
    for i in range(4):
        deep += "/" + "深" * 80
        os.mkdir(deep)
        made.append(deep)
    def into(where):
        ordinary()
        write(where + "/cgroup.procs", os.getpid())

    try:
        p = subprocess.Popen([HOG, "-n", "1", "-d", "5"], preexec_fn=lambda: into(made[0]))
        q = subprocess.Popen([HOG, "-n", "1", "-d", "5"], preexec_fn=lambda: into(deep))
        try:
            out = subprocess.run([SENSE, "watch", "1"], stdout=subprocess.PIPE, timeout=20, check=True).stdout
            snaps = [json.loads(s) for s in out.decode("utf-8", "surrogateescape").splitlines()]
        finally:
            stop(p, q)
        if os.path.exists("/sys/kernel/btf/vmlinux"):
            assert total(snaps, made[0][len(tree.layout.cpu_root):], "run") > 0
            # Too long to be kept whole, but measured, under the part that is kept.
            cut = deep[len(tree.layout.cpu_root):].encode()[:511].decode("utf-8", "surrogateescape")
            assert total(snaps, cut, "run") > 0
    finally:
        for d in reversed(made):
            for _ in range(100):
                try:
                    os.rmdir(d)
                    break
                except OSError:
                    time.sleep(0.02)


@needs_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs: no-root")
def test_no_permission_is_said_with_its_remedy():
    r = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
                        SENSE, "missing"], stdout=subprocess.PIPE, text=True, timeout=20, check=True)
    assert "probe-permission: the kernel does not let us load the BPF probe; using cpu.stat instead" in r.stdout
    assert "CAP_BPF and CAP_PERFMON" in r.stdout


@needs_root
def test_the_canary_feels_its_neighbours_and_leaves_nothing(tree):
    layout = tree.layout
    where = f"{tree.group('nest').cpu}/canary" if layout.kind != "v2" else f"{layout.cpu_root}{tree.base}/canary"
    kind = "v2" if layout.kind == "v2" else "v1"

    def turns():
        out = subprocess.run([SENSE, "canary", where, kind, "2"], stdout=subprocess.PIPE, text=True, timeout=30, check=True).stdout
        return sorted(json.loads(s)["wall"] / 5000 for s in out.splitlines())

    for _ in range(5):                      # beside somebody else's load nothing can be told
        idle = turns()
        if idle[len(idle) // 2] < 3:
            break
    ps = [hogs(tree, tree.group(f"n{i}"), 2) for i in range(8)]
    busy = turns()
    stop(*ps)
    assert len(idle) >= 3 and len(busy) >= 1
    assert busy[len(busy) // 2] >= 2 * idle[len(idle) // 2], (idle, busy)
    assert not os.path.exists(where)
