# SPDX-License-Identifier: Apache-2.0
"""The act layer on the real kernel: every value that it changes comes back, also
after SIGKILL before and after each single write, and after SIGKILL in the restore.

What runs is build/tools/act-driver, with the objects that are shipped. actlab.py has
the scenarios, for v1 and v2; where there is no v2, they run there in the guest, and
here v2's files are plain files, which keep what is written but have no rules."""
import os
import re
import signal
import subprocess

import pytest

from actlab import (DRIVER, HAS_V1, HAS_V2, SCENARIOS, SCHED_BATCH, SCHED_IDLE, SCHED_OTHER, STEPS, Driver, Makes, V1Group, V2Group, attr,
                    crash_everywhere, line, policy, read, wait_for, write)

needs_v1 = pytest.mark.skipif(not HAS_V1, reason="needs: cgroup-v1-cpu")
needs_v2 = pytest.mark.skipif(not HAS_V2, reason="needs: cgroup-v2-cpu")


@pytest.fixture
def rundir(tmp_path):
    d = tmp_path / "run"
    d.mkdir(mode=0o755)
    return d


@pytest.fixture
def driver(rundir):
    assert os.path.exists(DRIVER), "build it: make tests"
    return Driver(rundir, *V1Group.OPTIONS)


@pytest.fixture
def groups():
    make = Makes(V1Group)
    yield make
    make.close()


@pytest.fixture
def group(groups):
    return groups()


@pytest.mark.parametrize("kind", [pytest.param(V1Group, marks=needs_v1, id="v1"), pytest.param(V2Group, marks=needs_v2, id="v2")])
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(rundir, kind, name):
    make = Makes(kind)
    try:
        SCENARIOS[name](Driver(rundir, *kind.OPTIONS), make)
    finally:
        make.close()


@needs_v1
def test_a_cgroup_named_like_a_jail_is_not_taken_for_one(driver, group):
    theirs = group.cpu + "/reprieve-q"
    os.mkdir(theirs)
    try:
        write(theirs + "/cpu.cfs_quota_us", 70000)
        a = group.spawn()
        out = driver.run(f"jail:{group.path}:5000:25000:{a}", "live")
        assert out[0].startswith("jail failed EBUSY") and "not ours" in out[0] and "live 0" in out, out
        assert read(theirs + "/cpu.cfs_quota_us") == "70000"
    finally:
        os.rmdir(theirs)


@needs_v1
def test_a_parent_limited_meanwhile_does_not_keep_the_squeeze(driver, groups):
    """v1 refuses the child's original above its parent's new quota; then it has no quota of its own."""
    top = groups("limited")
    inner = top.dirs["cpu"] + "/inner"
    os.mkdir(inner)
    try:
        write(inner + "/cpu.cfs_quota_us", 80000)
        driver.run(f"quota:{top.path}/inner:25000:100000")
        write(top.dirs["cpu"] + "/cpu.cfs_quota_us", 50000)
        driver.restore(check=False)
        assert read(inner + "/cpu.cfs_quota_us") == "-1"
        write(top.dirs["cpu"] + "/cpu.cfs_quota_us", -1)
        driver.restore()
        assert read(inner + "/cpu.cfs_quota_us") == "80000"
    finally:
        os.rmdir(inner)


@needs_v1
def test_kill_at_every_write_with_nested_quotas(driver, groups):
    """v1 takes no child above its parent: squeezed deepest first, put back from the top."""
    top = groups("n")
    inner = top.dirs["cpu"] + "/inner"
    os.mkdir(inner)
    write(top.dirs["cpu"] + "/cpu.cfs_quota_us", 90000)
    write(inner + "/cpu.cfs_quota_us", 80000)

    def state():
        return top.state(), read(inner + "/cpu.cfs_quota_us"), read(inner + "/cpu.cfs_period_us")

    wrong = driver.run(f"quota:{top.path}:5000:100000")
    assert re.search(r"quota failed EINVAL .*parent's quota.*v1", wrong[0]), wrong
    assert "live 0" in driver.run("live")
    crash_everywhere(driver, [f"quota:{top.path}/inner:3000:100000", f"quota:{top.path}:5000:100000"], state)


@needs_v1
def test_a_reused_tid_is_not_touched(driver, group):
    a = group.spawn()
    out = driver.run(f"tasks-idle:{group.path}:{a}!")
    assert line(out, "tasks-idle").startswith("tasks-idle failed ESTALE"), out
    assert attr(a)[0] == SCHED_OTHER
    assert "live 0" in driver.run(f"release:{group.path}", "settle", "live")


@needs_v1
def test_a_class_changed_by_somebody_else_is_left(driver, group):
    a = group.spawn()
    driver.run(f"tasks-idle:{group.path}:{a}")
    os.setpriority(os.PRIO_PROCESS, a, 5)           # a renice meanwhile holds
    driver.restore()
    assert attr(a)[:3] == (SCHED_OTHER, 0, 5)
    driver.run(f"tasks-idle:{group.path}:{a}")
    os.sched_setscheduler(a, SCHED_BATCH, os.sched_param(0))
    out = driver.restore()
    assert attr(a)[0] == SCHED_BATCH
    assert any("left as they are" in l for l in out), out


@needs_v1
def test_renamed_while_squeezed(driver, groups):
    """v1 allows it: found again by its id, also where another one has the old name."""
    g = groups("was")
    old = g.dirs["cpu"]
    driver.run(f"weight:{g.path}:10", f"quota:{g.path}:5000:100000")
    os.rename(old, old + "-is")
    os.mkdir(old)
    try:
        write(old + "/cpu.shares", 102)
        out = driver.restore()
        assert read(old + "-is/cpu.shares") == "1024" and read(old + "-is/cpu.cfs_quota_us") == "-1", out
        assert read(old + "/cpu.shares") == "102"
        assert "live 0" in driver.run("live")
    finally:
        os.rmdir(old)
        os.rename(old + "-is", old)


@needs_v1
def test_a_child_that_left_the_cgroup_comes_back(driver, groups):
    g, away = groups("g"), groups("away")
    shell = g.spawn("sh", "-c", f"sleep 0.5; sh -c 'echo 0 >{away.cpu}/cgroup.procs; sleep 1000; :'; :")
    driver.run(f"tasks-idle:{g.path}:{shell}")
    kids = wait_for(lambda: len(away.members()) == 2 and away.members())
    assert [policy(k) for k in kids] == [SCHED_IDLE] * 2
    assert "live 0" in driver.run(f"release:{g.path}", "settle", "live")
    left = [policy(k) for k in kids]
    for k in kids:
        os.kill(k, signal.SIGKILL)
    assert left == [SCHED_OTHER] * 2


@needs_v1
@pytest.mark.parametrize("beside", [False, True])
def test_a_fork_comes_back_as_what_its_parent_was(driver, groups, beside):
    """beside: a task of another class is lowered too, so whose child it is decides."""
    g, away = groups("g"), groups("away")
    batch = g.spawn("sh", "-c", f"sleep 0.5; sleep 1000 & sh -c 'echo 0 >{away.cpu}/cgroup.procs; sleep 1000; :'; :")
    os.sched_setscheduler(batch, SCHED_BATCH, os.sched_param(0))
    tasks, other = [batch], None
    if beside:
        other = g.spawn("sh", "-c", "sleep 0.5; sleep 1000; :")
        tasks.append(other)
    driver.run(f"tasks-idle:{g.path}:{'+'.join(map(str, tasks))}")

    def children(pid):
        return [int(k) for k in read(f"/proc/{pid}/task/{pid}/children").split()]
    kids = wait_for(lambda: len(away.members()) == 2 and len(children(batch)) == 2 and children(batch)) + away.members()
    others = wait_for(lambda: [k for k in children(other) if "1000" in read(f"/proc/{k}/cmdline")]) if beside else []
    assert {policy(k) for k in kids + others} == {SCHED_IDLE}
    assert "live 0" in driver.run(f"release:{g.path}", "settle", "live")
    is_now = [policy(k) for k in kids], [policy(k) for k in others], policy(batch)
    for k in kids:
        os.kill(k, signal.SIGKILL)
    assert is_now == ([SCHED_BATCH] * len(kids), [SCHED_OTHER] * len(others), SCHED_BATCH)


@needs_v1
def test_same_value_is_not_written_again(driver, group):
    """Each quota write refills the quota."""
    driver.run()
    once = driver.count(driver.run(f"quota:{group.path}:5000:25000"))
    driver.restore()
    twice = driver.count(driver.run(f"quota:{group.path}:5000:25000", f"quota:{group.path}:5000:25000"))
    driver.restore()
    assert twice == once


@needs_v1
@pytest.mark.parametrize("verb", ["weight:{g}:10", "idle:{g}", "quota:{g}:5000:25000", "pids:{g}:5", "freeze:{g}", "tasks-idle:{g}:{a}",
                                  "jail:{g}:5000:25000:{a}", "lifeline:{g}:800"])
def test_no_room_in_the_journal_means_nothing_is_squeezed(driver, group, verb):
    a = group.spawn()
    before = group.state()
    driver.run()                                    # the file is there
    out = driver.run(verb.format(g=group.path, a=a), "live", fail="journal:before=28")
    assert " failed ENOSPC " in out[0] and "journal" in out[0], out
    assert group.state() == before
    assert "live 0" in out


@needs_v1
@pytest.mark.parametrize("where", ["cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_refused_write_is_undone(driver, group, where, nth):
    write(group.cpu + "/cpu.cfs_quota_us", 60000)
    write(group.cpu + "/cpu.cfs_burst_us", 30000)
    before = group.state()
    out = driver.run(f"quota:{group.path}:5000:25000", "live", fail=f"{where}=22,{nth}")
    if out[0].startswith("quota failed"):
        assert "EINVAL" in out[0]
    assert driver.restore() and group.state() == before
    assert "live 0" in driver.run("live")


def test_kill_while_the_journal_is_made(rundir, fake):
    d = fake_driver(rundir, fake)
    n = d.count(d.run())
    assert n > 0
    for at in range(1, n + 1):
        for f in ("journal", "journal.new"):
            if (rundir / f).exists():
                (rundir / f).unlink()
        d.run(crash_at=at)
        assert d.code == -signal.SIGKILL
        assert "live 0" in d.run("live")


def test_no_room_at_start(rundir):
    d = Driver(rundir, "--cpu", str(rundir), "--fake")
    out = d.run("live", fail="journal:allocate=28", check=False)
    assert out[0] == "new ENOSPC", out
    assert not os.path.exists(rundir / "journal")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs: root")
def test_full_tmpfs(tmp_path):
    """The real thing: a rundir of 64 KiB."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "reprieve-test", small], check=True)
    try:
        d = Driver(small, "--cpu", str(tmp_path), "--fake")
        assert d.run("live", check=False)[0] == "new ENOSPC"
        assert sorted(os.listdir(small)) == ["journal.lock"]
    finally:
        subprocess.run(["umount", small], check=True)


@needs_v1
def test_two_guards(driver, group):
    first = driver.start(f"weight:{group.path}:10", "wait")
    try:
        assert "weight done" in first.stdout.readline()
        assert driver.run("live", check=False)[0] == "new running"
        assert "restored 1" in driver.restore(check=False)[0]       # ACT_E_RUNNING
        assert read(group.cpu + "/cpu.shares") == "102"
    finally:
        first.kill()
        first.wait()
    driver.restore()
    assert read(group.cpu + "/cpu.shares") == "1024"


@needs_v1
def test_never_a_target(driver):
    with open("/proc/self/cgroup") as f:
        own = next(l.split(":", 2)[2].strip() for l in f if ":cpu:" in l or ":cpu," in l or ",cpu:" in l)
    out = driver.run("weight:/:10", "weight:/../etc:10", "weight:/a//b:10", "live")
    assert [l.split()[:3] for l in out[:3]] == [["weight", "failed", "EPERM"]] * 3
    if own != "/":
        assert driver.run(f"weight:{own}:10")[0].startswith("weight failed EPERM")
    assert "live 0" in out


@needs_v1
def test_pids_cgroup_with_others_in_it_is_left(driver, groups):
    mine, shared = groups("mine"), groups("shared")
    a = mine.spawn(trees=("cpu",))
    b = shared.spawn(trees=("cpu", "pids"))
    out = driver.run(f"pids:{mine.path}:-1")
    assert re.match(r"pids failed ENOENT .*no pids cgroup of their own", out[0]), out
    write(shared.dirs["pids"] + "/cgroup.procs", a)
    out = driver.run(f"pids:{mine.path}:-1")
    assert re.match(r"pids failed ENOENT .*also holds processes of other cgroups", out[0]), out
    assert read(shared.dirs["pids"] + "/pids.max") == "max"
    write(shared.dirs["cpu"] + "/cgroup.procs", a)
    assert driver.run(f"pids:{shared.path}:-1")[0].startswith("pids done 0 2"), b
    driver.restore()


# The journal's contents are hostile until proven.

def garbage(rundir, squeezed):
    j = rundir / "journal"
    data = bytearray(j.read_bytes())
    cases = {
        "empty": b"",
        "short header": bytes(data[:100]),
        "truncated in a record": bytes(data[:4096 + 60]),
        "header only": bytes(data[:4096]),
        "garbage": bytes((i * 37 + i // 7) & 255 for i in range(len(data))),
        "zero": bytes(len(data)),
    }
    flipped = bytearray(data)
    flipped[4096 + 200] ^= 1
    cases["flipped bit in the path"] = bytes(flipped)
    flipped = bytearray(data)
    flipped[4096 + 70] ^= 1
    cases["flipped bit in the record"] = bytes(flipped)
    flipped = bytearray(data)
    flipped[20] ^= 1
    cases["foreign boot"] = bytes(flipped)
    return cases


@needs_v1
def test_hostile_journals_are_harmless(driver, group, rundir):
    shares = group.cpu + "/cpu.shares"
    driver.run(f"weight:{group.path}:10")
    good = (rundir / "journal").read_bytes()
    for name, data in garbage(rundir, group).items():
        (rundir / "journal").write_bytes(data)
        out = driver.restore(check=False)
        assert driver.code == 1, (name, out)        # and what is lost is no success
        assert read(shares) == "102", name          # nothing is believed
        out = driver.run("restore", "live")
        assert "live 0" in out, (name, out)
        assert driver.run(f"weight:{group.path}:10", "live")[-2] == "live 0", name      # it is as wanted already
    (rundir / "journal").write_bytes(good)
    driver.restore()
    assert read(shares) == "1024"


@needs_v1
def test_a_journal_that_is_no_file_of_ours(driver, group, rundir, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for make in (lambda j: j.symlink_to(victim), lambda j: os.mkfifo(j), lambda j: j.mkdir(),
                 lambda j: (j.write_text("x"), j.chmod(0o666)), lambda j: os.link(victim, j)):
        j = rundir / "journal"
        if j.is_dir() and not j.is_symlink():
            j.rmdir()
        elif os.path.lexists(j):
            j.unlink()
        bad = rundir / "journal.bad"
        if bad.is_dir() and not bad.is_symlink():
            bad.rmdir()
        elif os.path.lexists(bad):
            bad.unlink()
        make(j)
        out = driver.run(f"weight:{group.path}:10", f"release:{group.path}", "live")
        assert any("set aside" in l for l in out) and "weight done 0 10 0 " in out and "live 0" in out, out
        assert victim.read_text() == "precious"
        assert j.is_file() and not j.is_symlink()


def test_rundir_of_others(tmp_path):
    d = tmp_path / "open"
    d.mkdir()
    d.chmod(0o777)
    assert Driver(d, "--cpu", str(tmp_path), "--fake").run("live", check=False)[0] == "new EPERM"
    link = tmp_path / "link"
    link.symlink_to(d)
    assert Driver(link, "--cpu", str(tmp_path), "--fake").run("live", check=False)[0] in ("new ENOTDIR", "new ELOOP")


@needs_v1
def test_hostile_names(driver, groups):
    g = groups("x\x1b]0;pwned\x07\u202e\n" .replace("\n", "~"))
    out = driver.run(f"quota:{g.path}:1:100000", f"weight:{g.path}:10", f"write:{g.cpu}/cpu.shares:77")
    text = "\n".join(out + driver.restore())
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert "\\x1b" in text


# v2's files, kept in plain files: what is written where, in which order, and back.

V2_FILES = {"cpu.weight": "100", "cpu.idle": "0", "cpu.max": "max 100000", "cpu.max.burst": "0", "pids.max": "max", "pids.current": "12",
            "cgroup.freeze": "0", "cgroup.procs": "", "cgroup.threads": "", "cgroup.controllers": "cpu memory pids",
            "cgroup.subtree_control": ""}


@pytest.fixture
def fake(tmp_path):
    root = tmp_path / "v2"
    g = root / "system.slice" / "x.service"
    g.mkdir(parents=True)
    for name, text in V2_FILES.items():
        (g / name).write_text(text + "\n")
    return g


def fake_driver(rundir, fake):
    root = str(fake.parent.parent) + ":v2"
    return Driver(rundir, "--cpu", root, "--pids", root, "--freezer", root, "--fake")


def fake_state(fake):
    s = {f: (fake / f).read_text().strip() for f in V2_FILES if f not in ("cgroup.procs", "cgroup.threads")}
    return s, sorted(p.name for p in fake.iterdir() if p.is_dir())


@pytest.mark.parametrize("name", [n for n in STEPS if "other" not in n and "class" not in n and "tasks" not in n])
def test_v2_files_kill_at_every_write(rundir, fake, name):
    (fake / "cpu.max").write_text("60000 100000\n")
    (fake / "cpu.max.burst").write_text("30000\n")
    (fake / "cpu.weight").write_text("70\n")
    p = subprocess.Popen(["sleep", "1000"])
    try:
        steps = [s.format(g="/system.slice/x.service", a=p.pid, b=p.pid, f=p.pid) for s in STEPS[name] if "tasks-idle" not in s]
        crash_everywhere(fake_driver(rundir, fake), steps, lambda: fake_state(fake))
    finally:
        p.kill()
        p.wait()


def test_v2_files_written(rundir, fake):
    d = fake_driver(rundir, fake)
    g = "/system.slice/x.service"
    p = subprocess.Popen(["sleep", "1000"])
    try:
        out = d.run(f"weight:{g}:20", f"quota:{g}:5000:25000", f"pids:{g}:-1", f"freeze:{g}", f"jail:{g}:7000:50000:{p.pid}")
    finally:
        p.kill()
        p.wait()
    assert [l.split()[1] for l in out[:5]] == ["done"] * 5, out
    assert (fake / "cpu.weight").read_text() == "20"
    assert (fake / "cpu.max").read_text() == "5000 25000"
    assert (fake / "pids.max").read_text() == "12"
    assert (fake / "cgroup.freeze").read_text() == "1"
    assert (fake / "cgroup.subtree_control").read_text() == "cpu"
    jail = fake / "reprieve-q"
    assert (jail / "cgroup.type").read_text() == "threaded"
    assert (jail / "cpu.max").read_text() == "7000 50000"
    assert (jail / "cgroup.threads").read_text() == str(p.pid)


@pytest.mark.parametrize("missing, verb, says", [
    ("cpu.weight", "weight:{g}:10", "controller cpu not enabled in its parent"),
    ("cpu.max", "quota:{g}:5000:25000", "controller cpu not enabled in its parent"),
    ("cpu.idle", "idle:{g}", "kernel before 5.15"),
    ("pids.max", "pids:{g}:5", "controller pids not enabled"),
])
def test_a_missing_controller_is_named(rundir, fake, missing, verb, says):
    (fake / missing).unlink()
    out = fake_driver(rundir, fake).run(verb.format(g="/system.slice/x.service"), "live")
    assert " failed ENOENT " in out[0] and says in out[0] and missing in out[0], out
    assert "live 0" in out


def test_v2_jail_needs_a_leaf_with_cpu(rundir, fake):
    g = "/system.slice/x.service"
    (fake / "cgroup.controllers").write_text("memory pids\n")
    out = fake_driver(rundir, fake).run(f"jail:{g}:5000:25000:2")
    assert "ENOENT" in out[0] and "controller cpu" in out[0], out
    (fake / "cgroup.controllers").write_text("cpu memory pids\n")
    (fake / "inner").mkdir()
    out = fake_driver(rundir, fake).run(f"jail:{g}:5000:25000:2", "live")
    assert "EBUSY" in out[0] and "cgroups inside" in out[0] and "live 0" in out, out


def test_controller_taken_away_while_squeezed(rundir, fake):
    """systemd turns cpu off in the slice: nothing is left to put back."""
    d = fake_driver(rundir, fake)
    g = "/system.slice/x.service"
    d.run(f"quota:{g}:5000:25000")
    (fake / "cpu.max").unlink()
    out = d.run("drift", f"release:{g}", "live")
    assert "drift 1 quota:original" in out and "release done 0 0 0 " in out and "live 0" in out, out


def test_symlink_in_the_path_is_not_followed(rundir, fake):
    (fake.parent / "link").symlink_to(fake)
    d = fake_driver(rundir, fake)
    out = d.run("weight:/system.slice/link:10")
    assert " failed " in out[0] and (fake / "cpu.weight").read_text() == "100\n", out


def test_restore_takes_only_cgroup_filesystems(rundir, fake):
    d = fake_driver(rundir, fake)
    d.run("weight:/system.slice/x.service:10")
    d.options = ["--restore"]
    out = d.run(check=False)
    assert any("not a cgroup filesystem" in l for l in out), out
    assert (fake / "cpu.weight").read_text() == "10"


@needs_v1
def test_costs(driver, groups):
    """Not a threshold but a ceiling against accidents: 64 groups within one alarm tick."""
    made = [groups(f"b{i}") for i in range(64)]
    prefix = made[0].path[:-1]
    out = driver.run("arm", f"bench:{prefix}:64")
    figures = {l.split()[1]: float(l.split()[2]) for l in out if l.startswith("bench ")}
    print("\n".join(l for l in out if l.startswith("bench")))
    assert "failed" not in figures, out
    assert figures["quota-first"] < 100000 and figures["restore-all"] < 100000
