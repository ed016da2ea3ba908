# SPDX-License-Identifier: Apache-2.0
"""The edges of what a guard promises: many reloads, few descriptors, an observer that leaves no trace."""
import os
import socket
import subprocess
import time

import lab as L
from conftest import eventually, log_of
from test_faults import helpers_of
from test_upkeep import fact, guard_of, reloaded


class Notify:
    """Hears what a service tells systemd."""

    def __init__(self, path):
        self.path, self.heard = path, []
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.sock.setblocking(False)

    def count(self, what):
        while True:
            try:
                self.heard.append(self.sock.recv(4096).decode())
            except BlockingIOError:
                return sum(what in m for m in self.heard)

    def close(self):
        self.sock.close()
        os.unlink(self.path)


def test_many_reloads_are_one_a_second_and_the_last_counts(lab):
    notify = Notify(lab.dir + "/notify")
    try:
        with guard_of(lab, "observe", "env", f"NOTIFY_SOCKET={notify.path}") as g:
            assert eventually(lambda: notify.count("READY=1") == 1, 5)
            begin = time.monotonic()
            g.reload()
            assert eventually(lambda: notify.count("RELOADING=1") == 1 and notify.count("READY=1") == 2, 5)
            assert time.monotonic() - begin < 0.5, "a single one waits"
            while time.monotonic() < begin + 2.5:
                g.reload()
                time.sleep(0.01)
            g.mode = "rescue"
            g.configure()
            g.reload()
            assert eventually(lambda: g.status()["mode"] == "rescue", 3), "the last one was not heard"
            time.sleep(1.5)
            assert 3 <= notify.count("RELOADING=1") <= 5, log_of(g)
            assert notify.count("READY=1") == notify.count("RELOADING=1") + 1
            assert log_of(g).count("new policies are in force") == notify.count("RELOADING=1")
    finally:
        notify.close()


def cgroups_of(tree):
    """All below each hierarchy that a guard may write to, the lab's own aside."""
    roots = {line.split()[4] for line in L.read("/proc/self/mountinfo").splitlines() if line.split(" - ")[1].split()[0].startswith("cgroup")}
    return {d for r in roots for d, _, _ in os.walk(r) if tree.prefix not in d}


def test_an_observer_makes_no_cgroup(lab):
    """What it has in the other modes is made and taken away with the mode, and who was in there comes home."""
    before = cgroups_of(lab.tree)
    with guard_of(lab, "observe") as g:
        assert eventually(lambda: len(helpers_of(g)) == 2, 5)
        canary = next(int(d) for d in L.read(f"/proc/{g.proc.pid}/task/{g.proc.pid}/children").split()
                      if L.read(f"/proc/{d}/comm").strip() == "reprieve-canary")
        homes = {pid: L.read(f"/proc/{pid}/cgroup") for pid in [canary, *helpers_of(g).values()]}
        assert cgroups_of(lab.tree) == before
        said = fact(g, "canary")
        assert not said["have"] and "in observe mode no cgroup is made" in said["why"] and "rescue or enforce" in said["remedy"]
        for mode in ("rescue", "enforce"):
            reloaded(g, mode)
            assert eventually(lambda: fact(g, "canary")["have"], 5), log_of(g)
            made = cgroups_of(lab.tree) - before
            assert {os.path.basename(d) for d in made} == {"reprieve-canary", "reprieve-helpers"}, made
            assert all(L.read(f"/proc/{pid}/cgroup") != home for pid, home in homes.items())
            reloaded(g, "observe")
            assert eventually(lambda: cgroups_of(lab.tree) == before, 5), cgroups_of(lab.tree) - before
            assert not fact(g, "canary")["have"]
            assert {pid: L.read(f"/proc/{pid}/cgroup") for pid in homes} == homes
    assert cgroups_of(lab.tree) == before


def test_few_descriptors_are_said_with_their_remedy(lab):
    with guard_of(lab, "observe", "prlimit", "--nofile=40:40") as g:
        said = fact(g, "open files")
        assert not said["have"] and "only 40 files" in said["why"] and "LimitNOFILE=" in said["remedy"]
        assert said["why"] in log_of(g)
    with guard_of(lab, "observe", "prlimit", "--nofile=40:1024") as g:
        assert fact(g, "open files") is None


def test_a_killed_guards_changes_are_told_of(lab):
    g = lab.guard("rescue", policies={"60-lab.policy": f"[Protect x]\nCgroups={lab.victim.group.path}\nAs=login\nWeight=800\n"}, shipped=False)
    with g:
        assert eventually(lambda: g.status()["lifeline"], 10), log_of(g)
        g.kill9()
        with open(g.rundir + "/journal", "r+b") as f:   # a record that is no use: the restore is to tell of it, not us
            f.seek(4096 + 1024 * 40)
            f.write(b"x" * 100)
        held = open(g.rundir + "/journal", "rb").read()
        r = subprocess.run(g.cli_argv("status"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
        assert r.returncode == 69 and "not running" in r.stdout and "`reprieved --restore` puts" in r.stdout, r
        assert open(g.rundir + "/journal", "rb").read() == held
        code, said = g.restore()[:2]
        assert code == 1 and "damaged" in str(said), said
        r = subprocess.run(g.cli_argv("status"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
        assert r.returncode == 69 and "--restore" not in r.stdout, r


def test_a_stopped_guard_leaves_no_socket_to_ask_at(lab):
    with guard_of(lab, "observe") as g:
        assert os.path.exists(g.rundir + "/control.sock")
    assert not [f for f in os.listdir(g.rundir) if f.startswith("control")]


def test_a_stopping_guard_leaves_anothers_socket(lab):
    with guard_of(lab, "observe") as g:
        os.unlink(g.rundir + "/control.sock")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(g.rundir + "/control.sock")
        made = os.stat(g.rundir + "/control.sock").st_ino
        g.stop()
        assert os.stat(g.rundir + "/control.sock").st_ino == made
        assert not os.path.exists(g.rundir + "/control-root.sock")


def test_an_observer_clears_away_what_a_killed_guard_made(lab):
    before = cgroups_of(lab.tree)
    with guard_of(lab, "rescue") as g:
        assert eventually(lambda: cgroups_of(lab.tree) != before, 5)
        g.kill9()
        assert cgroups_of(lab.tree) != before
        g.mode = "observe"
        g.start()
        assert eventually(lambda: cgroups_of(lab.tree) == before, 5), cgroups_of(lab.tree) - before
