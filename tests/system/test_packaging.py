# SPDX-License-Identifier: Apache-2.0
"""What is shipped beside the programs: units as they are installed."""
import os
import signal
import subprocess
import time

import pytest

import lab as L
from labtree import obey, read

UNITS = os.path.join(L.REPO, "packaging", "systemd")


def settings(name):
    """{key: [values]} of a unit."""
    out = {}
    for line in read(os.path.join(UNITS, name)).splitlines():
        key, sep, value = line.partition("=")
        if sep and not line.startswith("#"):
            out.setdefault(key, []).append(value)
    return out


def test_a_start_that_cannot_succeed_is_not_repeated():
    """Usage errors end with 64; test_faults shows the 75 of a second guard."""
    guard = os.path.join(L.BUILD, "reprieved")
    for wrong in (["--no-such"], ["--mode", "x"], ["word"]):
        assert subprocess.run([guard, *wrong], stderr=subprocess.DEVNULL).returncode == 64, wrong
    assert settings("reprieve.service")["RestartPreventExitStatus"] == ["64 75"]


def test_the_stewards_paths_exist_at_boot():
    """ReadWritePaths= is made when the service starts: "-" skips what is not there yet, and it stays read-only."""
    paths = " ".join(settings("reprieve-steward.service")["ReadWritePaths"]).split()
    assert "/run/systemd" in paths
    assert [p for p in paths if p.startswith("-")] == ["-/run/reprieve"]


def test_nothing_is_given_that_nobody_uses():
    """A directory that would stay empty, a system call that no code makes."""
    guard = settings("reprieve.service")
    assert [k for k in guard if k.endswith("Directory")] == ["RuntimeDirectory"]
    assert guard["SystemCallFilter"] == ["@system-service bpf open_by_handle_at"]


def test_units_name_the_prefix(tmp_path):
    """What a unit starts is where it was installed; policies are where the guard looks."""
    subprocess.run(["make", "-C", L.REPO, "-s", "install", f"B={L.BUILD}", f"DESTDIR={tmp_path}", "PREFIX=/opt/relief"], check=True)
    started = []
    for name in os.listdir(UNITS):
        if name.endswith(".service"):
            for line in (tmp_path / "opt/relief/lib/systemd/system" / name).read_text().splitlines():
                if line.startswith("Exec") and "/reprieve" in line:
                    started.append(line.split("=", 1)[1].split()[0])
    assert len(started) == 5
    assert [p for p in started if not os.access(f"{tmp_path}{p}", os.X_OK)] == []
    assert "ExecReload=/bin/kill" in (tmp_path / "opt/relief/lib/systemd/system/reprieve.service").read_text()
    assert os.listdir(tmp_path / "usr/lib/reprieve/policies")


# ---- packaging/deps, on a stand-in for a Debian ----

PROGRAMS = {
    "id": "echo 0",
    "dpkg-query": """case $1 in
-L) case $2 in openssh-server) printf '/lib/systemd/system/ssh.service\\n/usr/lib/systemd/system/ssh.socket\\n/usr/lib/systemd/system/ssh@.service\\n' ;;
	and) echo /etc/init.d/and ;; cron) echo /lib/systemd/system/cron.service ;; esac ;;
*) case "$*" in
	*db:Status*) echo installed cron; [ ! -e $T/done ] || printf 'installed openssh-server\\ninstalled and\\n' ;;
	*openssh-server | *" and") [ ! -e $T/done ] || echo install ok installed ;;
	*) echo install ok installed ;; esac ;; esac""",
    "apt-get": """cat $DEPS_ROOT/usr/sbin/policy-rc.d >$T/policy; touch $T/installing
[ ! -e $T/slow ] || sleep 2; [ ! -e $T/fail ] || exit 100; touch $T/done""",
    "systemctl": """case $1 in is-enabled) case $2 in ssh.socket) echo disabled ;; *) echo enabled ;; esac ;; *) echo "$*" >>$T/systemctl ;; esac""",
}


class Deps:
    def __init__(self, tmp):
        self.tmp, self.root = tmp, tmp / "root"
        self.policy = self.root / "usr/sbin/policy-rc.d"
        (tmp / "bin").mkdir()
        (self.root / "run/systemd/system").mkdir(parents=True)
        (self.root / "usr/sbin").mkdir(parents=True)
        for name, body in PROGRAMS.items():
            (tmp / "bin" / name).write_text("#!/bin/sh\n" + body + "\n")
            (tmp / "bin" / name).chmod(0o755)

    def start(self):
        env = {**os.environ, "PATH": f"{self.tmp}/bin:{os.environ['PATH']}", "DEPS_ROOT": str(self.root), "T": str(self.tmp)}
        return subprocess.Popen([os.path.join(L.REPO, "packaging", "deps"), "bench"], env=env, start_new_session=True, preexec_fn=obey,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self):
        p = self.start()
        out = p.communicate(timeout=30)[0].decode()
        return p.returncode, out

    def said(self, name):
        return (self.tmp / name).read_text()


@pytest.fixture
def deps(tmp_path):
    return Deps(tmp_path)


def test_no_daemon_is_started_or_enabled(deps):
    code, out = deps.run()
    assert code == 0, out
    assert "exit 101" in deps.said("policy")
    assert not deps.policy.exists()
    # what was there before (cron), and what is not enabled (ssh.socket), is left alone
    assert sorted(deps.said("systemctl").split("\n")) == ["", "disable --quiet and.service", "disable --quiet ssh.service"]


def test_somebodys_policy_stays(deps):
    deps.policy.write_text("#!/bin/sh\nexit 0\n")
    code, out = deps.run()
    assert code == 0, out
    assert deps.said("policy") == deps.policy.read_text() == "#!/bin/sh\nexit 0\n"


@pytest.mark.parametrize("how", ["failure", signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_policy_goes_again(deps, how):
    (deps.tmp / ("fail" if how == "failure" else "slow")).touch()
    p = deps.start()
    if how != "failure":
        end = time.monotonic() + 20
        while not (deps.tmp / "installing").exists():
            assert time.monotonic() < end and p.poll() is None
            time.sleep(0.02)
        os.killpg(p.pid, how)
    p.communicate(timeout=30)
    assert p.returncode != 0
    assert "exit 101" in deps.said("policy")
    assert not deps.policy.exists()
