# SPDX-License-Identifier: Apache-2.0
"""`make demo` where things go wrong: Ctrl-C at any moment, a machine where something is missing.

The real demo runs, in its quick form, with a temporary directory of its own; that directory in
a process's environment tells what is its offspring, its pid what cgroups are."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

import lab as L
import labtree
from conftest import need_root
from labtree import STATE, Layout, Missing, deaf, obey, read

DEMO = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "demo", "demo.py")
BUILD = os.path.abspath(os.environ.get("REPRIEVE_BUILD", os.path.join(os.path.dirname(DEMO), "..", "..", "build")))
PATIENCE = 60
NOBODY = 65534


def roots():
    try:
        return Layout().roots()
    except Missing:
        return []


def ours():
    """Every cgroup that carries the product's name, in whatever hierarchy."""
    return {e.path for r in roots() for e in os.scandir(r) if e.name.startswith("reprieve-")}


class Demo:
    """One run of the demo in a session of its own; ended, and looked after, at the exit."""

    def __init__(self, *args, wrap=(), guard="", **popen):
        self.tmp = tempfile.mkdtemp(prefix="demo-", dir="/tmp")
        os.chmod(self.tmp, 0o1777)
        self.before, self.sshd, self.lock = ours(), os.path.isdir("/run/sshd"), os.path.exists(labtree.LOCK)
        self.log = self.tmp + ".log"
        # a copy of the build's names, so that demo.json is this run's own
        self.build = os.path.join(self.tmp, "build")
        os.mkdir(self.build)
        for name in os.listdir(BUILD):
            if name.startswith("reprieve") or name == "tools":
                os.symlink(os.path.join(BUILD, name), os.path.join(self.build, name))
        if guard:                       # a command that starts the guard
            os.unlink(self.build + "/reprieved")
            with open(self.build + "/reprieved", "w", encoding="ascii") as f:
                os.fchmod(f.fileno(), 0o755)
                f.write(f'#!/bin/sh\nexec {guard} {BUILD}/reprieved "$@"\n')
        env = {**os.environ, "TMPDIR": self.tmp, "PYTHONDONTWRITEBYTECODE": "1"}
        env.pop("REPRIEVE_BUILD", None)
        os.chmod(self.build, 0o1777)
        with open(self.log, "wb") as log:
            self.proc = subprocess.Popen([*wrap, DEMO, "--build", self.build, "--quick", *args], env=env, stdin=subprocess.DEVNULL,
                                         stdout=log, stderr=log, start_new_session=True, preexec_fn=obey, **popen)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        with deaf():
            if self.proc.poll() is None:
                os.killpg(self.proc.pid, signal.SIGTERM)
                try:
                    self.proc.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    os.killpg(self.proc.pid, signal.SIGKILL)
                    self.proc.wait()
            shutil.rmtree(self.tmp, ignore_errors=True)
            os.unlink(self.log)

    def text(self):
        return read(self.log)

    def until(self, pattern):
        """Waits for a line of the output; False where the demo has ended before."""
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.text()):
            assert time.monotonic() < deadline, f"no \"{pattern}\" within {PATIENCE} s: {self.text()}"
            if self.proc.poll() is not None:
                return False
            time.sleep(0.01)
        return True

    def interrupt(self):
        """What a terminal does at Ctrl-C: to all of the foreground, not to Python alone."""
        os.killpg(self.proc.pid, signal.SIGINT)

    def wait(self):
        return self.proc.wait(PATIENCE)

    def result(self):
        with open(os.path.join(self.build, "demo", "demo.json"), encoding="utf-8") as f:
            return json.load(f)

    def offspring(self):
        out = []
        for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
            try:
                if f"TMPDIR={self.tmp}\0" in read(f"/proc/{pid}/environ") or self.tmp in read(f"/proc/{pid}/cmdline"):
                    out.append((pid, read(f"/proc/{pid}/cmdline").replace("\0", " ")))
            except OSError:
                pass
        return out

    def leaves_nothing(self):
        assert not self.offspring()
        assert ours() <= self.before
        assert not os.path.isdir(f"{STATE}/{self.proc.pid}")
        assert os.listdir(self.tmp) == ["build"], self.text()
        assert os.path.isdir("/run/sshd") == self.sshd
        assert self.lock or not os.path.exists(labtree.LOCK)


# The words of the output after which Ctrl-C comes, and how long after.
MOMENTS = [("", 0.15), ("", 0.4), ("A private sshd", 0.1), ("idle +login", 0), ("idle +login", 0.3),
           ("without reprieve +login", 0), ("without reprieve +login", 0.15), ("reprieve acted", 0), ("with reprieve +login", 0.1)]


@pytest.mark.parametrize("words,later", MOMENTS)
def test_interrupted(words, later):
    need_root()
    with Demo("--only", "inside") as demo:
        assert demo.until(words), demo.text()
        time.sleep(later)
        demo.interrupt()
        code = demo.wait()
        text = demo.text()
        if "waiting for another lab" in text:
            pytest.skip("needs: no other lab on this machine")
        demo.leaves_nothing()
        assert code in (130, -signal.SIGINT), text         # -SIGINT: before main() began
        assert code != 130 or "everything the demo made is gone" in text
        assert code != 130 or demo.result()["complete"] is False


def test_interrupted_twice_and_by_hangup():
    """Impatience does not stop the clean-up, and a closed terminal is no less than Ctrl-C."""
    need_root()
    with Demo("--only", "inside") as demo:
        assert demo.until("without reprieve +login"), demo.text()
        time.sleep(0.2)
        os.killpg(demo.proc.pid, signal.SIGHUP)
        for _ in range(10):
            time.sleep(0.02)
            if demo.proc.poll() is None:
                demo.interrupt()
        demo.wait()
        demo.leaves_nothing()


def observed(demo, what):
    """It says what is missing, and shows the rest: what the guard sees."""
    code, text = demo.wait(), demo.text()
    assert "Traceback" not in text, text
    assert code == 1, text
    assert re.search(f"Missing: .*{what}", text), text
    assert "Observe mode" in text and "mode observe" in text, text
    r = demo.result()
    assert any(re.search(what, m) for m in r["missing"]) and r["complete"] is False
    assert r["observe"]["status"]["mode"] == "observe", text
    demo.leaves_nothing()
    return r


def nobody():
    """For Popen: a user who is not root, and may read the checkout."""
    if os.geteuid() != 0:
        return {}
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    if subprocess.run(["test", "-r", DEMO, "-a", "-x", os.path.join(BUILD, "reprieved")], **who).returncode != 0:
        pytest.skip("needs: a checkout that others may read")
    return who


def test_not_root():
    with Demo(**nobody()) as demo:
        observed(demo, "root")


def test_not_root_interrupted():
    with Demo(**nobody()) as demo:
        assert demo.until("Observe mode"), demo.text()
        time.sleep(0.5)
        demo.interrupt()
        assert demo.wait() == 130, demo.text()
        demo.leaves_nothing()


def test_readonly_cgroups():
    """As in a container: the tree is there, and nothing in it can be written."""
    need_root()
    mounts = sorted(set(Layout().mounts.values()))
    script = "".join(f"mount -o remount,bind,ro '{m}' && " for m in mounts) + 'exec "$@"'
    # A mount's own flags reach no other mount; and / need not be one (a chroot), whose propagation could be changed.
    wrap = ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script, "sh"]
    if subprocess.run([*wrap, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("needs: cgroup mounts that can be made read-only")
    with Demo(wrap=wrap) as demo:
        r = observed(demo, "can not be written")
        squeezing = next(c for c in r["observe"]["status"]["capabilities"] if c["what"] == "squeezing")
        assert not squeezing["have"] and "read-only" in squeezing["why"].lower(), squeezing


@pytest.fixture(name="module")
def _module(monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(DEMO))
    import demo
    return demo


def measured(demo, seconds):
    """A cell of logins that take so long, and what was asked for it."""
    asked, took = [], iter(seconds)

    class Slow:
        @staticmethod
        def login(cut, tick):
            s = min(cut, next(took))
            asked.append(("login", cut))
            return L.Sample(s, s < cut, "", 0)

        @staticmethod
        def health(cut):
            asked.append(("health", cut))
            return L.Sample(0.1, True, "", 0)
    cell, logins = demo.measure(demo.Show(5, 8.0), Slow, "a cell")
    return asked, cell, logins


def test_a_hopeless_cell_is_cut_short(module, capsys):
    asked, cell, logins = measured(module, [9, 9, 1, 1, 1])
    assert asked == [("login", 8.0), ("health", 3.0)] * 2
    assert [s["seconds"] for s in cell["login"]] == [8.0] * 5 and not any(s["ok"] for s in cell["login"])
    assert len(logins) == 5 and L.median([s.seconds for s in logins]) == 8.0
    out = capsys.readouterr().out
    assert "none in 8.00 s" in out and "2 tried, the rest counts as cut" in out
    for seconds in ([9, 1, 1, 1, 1], [1, 9, 9, 1, 1]):
        asked, cell, _ = measured(module, seconds)
        assert len(asked) == 10 and cell["tried"] == 5
    assert "tried" not in capsys.readouterr().out


def logins_of(*seconds):
    """Logins that took so long; a negative one failed after that."""
    return [L.Sample(abs(s), s > 0, "", 0) for s in seconds]


@pytest.mark.parametrize("relief,well", [((0.4,), True), ((1.1,), True), ((2.5,), True), ((2.7,), False), ((8.0,), False), ((-0.1,), False),
                                         ((0.4, 0.4, -0.1), True), ((0.4, -0.1, -0.1), False)])
def test_relief_is_well_again_or_half(module, relief, well):
    assert module.relieved(logins_of(0.4, 0.4), logins_of(5.2), logins_of(*relief), 8.0) is well


def test_what_is_a_failure(module):
    """Harm without relief, what was not put back, a row that was not finished. A row that proves nothing is none."""
    good = {"title": "a", "proves": True, "relieved": True, "put_back": True, "error": None}
    assert module.verdict([good, {**good, "proves": False}, {**good, "proves": False, "relieved": False}]) == []
    assert module.verdict([good, {**good, "relieved": False}]) == ["a: no relief"]
    assert module.verdict([{**good, "proves": False, "put_back": False}]) == ["a: not everything was put back"]
    assert module.verdict([{"title": "b", "proves": False, "error": "gone"}]) == ["b: gone"]


class NoLab:
    """A lab that shows what its runaway is told to."""
    tree = type("", (), {"layout": type("", (), {"kind": "v2"})})
    victim = type("", (), {"port": 1})

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


@pytest.mark.parametrize("change,code,words", [
    ({}, 0, "^$"), ({"proves": False, "relieved": False}, 0, "Nothing failed: where a row proves nothing"),
    ({"relieved": False}, 1, "Failed: x: no relief"), ({"put_back": False}, 1, "Failed: x: not everything was put back")])
def test_how_it_ends(module, monkeypatch, capsys, change, code, words):
    cell = {"login": [{"seconds": 0.4, "ok": True}], "health": [{"seconds": 0.1, "ok": True}]}
    row = {"title": "x", "proves": True, "relieved": True, "put_back": True, "error": None, "without": cell, "with": cell, "after": cell, **change}
    monkeypatch.setattr(module, "Lab", NoLab)
    monkeypatch.setattr(module, "measure", lambda *a: (cell, logins_of(0.4)))
    monkeypatch.setattr(module, "one_row", lambda *a: row)
    result = {"rows": [], "missing": []}
    args = type("", (), {"mode": "enforce", "only": ["siblings"], "quick": False})
    assert module.demo(module.Show(), args, result) == code
    out = capsys.readouterr().out
    assert out.startswith("Mode enforce") and "60-lab" in out and "rescue, waits" in out and "lifeline" in out
    assert re.search(words, out, re.M), out
    assert ("failed" in out.lower()) == (change != {})
    assert result["complete"] and result["policies"] == ["shipped", "60-lab.policy"]


def test_the_time_in_all():
    """From `make demo` on, as the Makefile says; too long is said."""
    with Demo("--began", "1", **nobody()) as d:
        d.wait()
        r = d.result()
        assert r["seconds_in_all"] > r["seconds"] > 0
        assert f"{r['seconds_in_all']:.0f} s in all" in d.text() and "install and build" in d.text()
        assert ("more than the 300 s" in d.text()) == (r["seconds_in_all"] > 300)
    out = subprocess.run(["make", "-n", "-C", L.REPO, "demo"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert re.search(r"demo\.py .*--began \d+", out), out


def test_a_guard_is_running(tmp_path, monkeypatch):
    """Said at once, before anything is made: it would act on the loads. A socket nobody listens at is none."""
    monkeypatch.setattr(labtree, "RUNDIR", str(tmp_path))
    for name in ("control.sock", "control-root.sock"):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(tmp_path / name))
            labtree.no_guard()
            s.listen(1)
            place = L.Lab(signals=False)
            with pytest.raises(labtree.GuardRunning, match="sudo systemctl stop reprieve"):
                place.__enter__()
            assert place.dir is None
        os.unlink(tmp_path / name)


def test_one_lab_at_a_time(tmp_path):
    """Each holder removes the lock's file, and still there is never a second one."""
    script = f"""
import os, sys
sys.path.insert(0, {os.path.dirname(labtree.__file__)!r})
import labtree
done = 0
while done < 300:
    fd = labtree._lock("lock")
    if fd is None:
        continue
    os.close(os.open("holder", os.O_CREAT | os.O_EXCL))
    os.unlink("holder")
    labtree._unlock(fd, "lock")
    done += 1
"""
    procs = [subprocess.Popen(["/usr/bin/python3", "-B", "-c", script], cwd=tmp_path) for _ in range(4)]
    assert [p.wait(PATIENCE) for p in procs] == [0] * 4
    assert os.listdir(tmp_path) == []


def test_several_labs_of_a_process_are_one(tmp_path, monkeypatch):
    monkeypatch.setattr(labtree, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(labtree, "_alone", {"fd": None, "labs": 0})
    monkeypatch.setattr(labtree, "LOCK_WAIT", 0)
    with labtree.alone():
        with labtree.alone():
            pass
        assert labtree._lock(labtree.LOCK) is None
    assert os.listdir(tmp_path) == []
    with labtree.alone():
        monkeypatch.setattr(labtree, "_alone", {"fd": None, "labs": 0})       # another process
        with pytest.raises(Missing, match="another lab"), labtree.alone():
            pass
        assert labtree._alone == {"fd": None, "labs": 0} and os.listdir(tmp_path) == ["lock"]


def test_the_demo_beside_a_guard(tmp_path):
    """With a run directory of its own, in which somebody listens."""
    run = ("import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); import labtree; labtree.RUNDIR = sys.argv.pop(1); "
           "sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "control.sock"))
        s.listen(9)
        with Demo(wrap=["/usr/bin/python3", "-c", run, os.path.dirname(labtree.__file__), str(tmp_path)]) as demo:
            assert demo.wait() == 1, demo.text()
            assert "a guard is running here: sudo systemctl stop reprieve" in demo.text()
            assert "Observe mode" not in demo.text() and "login" not in demo.text()
            assert demo.result()["complete"] is False
            demo.leaves_nothing()


def test_without_bpf():
    """Without the privilege, as without the kernel's support: said, and relieved all the same."""
    need_root()
    without = "-bpf,-perfmon,-sys_admin"
    with Demo("--only", "siblings", guard=f"setpriv --bounding-set={without} --inh-caps={without}") as demo:
        demo.wait()
        text, r = demo.text(), demo.result()
        assert "Traceback" not in text, text
        assert re.search("Missing: .*(probe|BPF)", text), text
        row = r["rows"][0]
        assert row["error"] is None and row["put_back"], text
        assert row["proves"], f"the runaway did no harm: nothing is shown by this run: {text}"
        assert row["seconds_to_relief"] is not None, text
        demo.leaves_nothing()
