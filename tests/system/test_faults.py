# SPDX-License-Identifier: Apache-2.0
"""Bad input and faults: each gives a clear message, leaves the machine as it was and
the guard running."""
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import lab as L
from conftest import eventually, log_of, why_text
from test_relief import first_squeeze, policy, probing, siblings, squeezed, state_of, unleashed  # noqa: F401

# What may never reach a terminal or a log line: control characters, and what turns text round.
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffd]")


def plain(guard, *args):
    """What `reprieve ARGS` prints for people."""
    argv = [a for a in guard.cli_argv(*args) if a != "--json"]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30).stdout.decode(errors="replace")


def alive(guard):
    return guard.proc.poll() is None and guard.status()["schema"] == 1


def helpers_of(guard):
    """{name: pid} of the guard's helpers."""
    out = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            with contextlib.suppress(OSError):
                argv = L.read(f"/proc/{d}/cmdline").split("\0")
                if guard.rundir in argv and argv[0].endswith(("reprieve-steward", "reprieve-courier")) and L.state(int(d)) != "Z":
                    out[os.path.basename(argv[0])] = int(d)
    return out


# --- policies --------------------------------------------------------------------------

GOOD = "[Throttle x]\nCgroups=/reprieve-lab-none*\n"


def _file(text, mode=0o644, owner=0):
    def make(path):
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, mode)
        os.chown(path, owner, 0)
    return make


HOSTILE = {
    "a typing error": (_file(GOOD + "Atmost=5min\n"), r"60-bad\.policy:3:1: .*AtMost"),
    "binary": (_file(bytes(range(256)) * 16), r"60-bad\.policy"),
    "NUL in a value": (_file(GOOD + "AtMost=5\0min\n"), r"60-bad\.policy:3"),
    "escape sequences": (_file("[Throttle \x1b[31mx\x1b]0;owned\x07]\nCgroups=\x1b[2J\n"), r"60-bad\.policy:[12]"),
    "invalid UTF-8": (_file(b"[Throttle x\xff\xfe]\nCgroups=relative\xc0\x80\n"), r"60-bad\.policy:[12]"),
    "a line without end": (_file("[Throttle x]\nCgroups=" + "/" * 30000), r"60-bad\.policy:2"),
    "huge": (_file("# " + "x" * 70 + "\n" * 1 + ("#" * 1000 + "\n") * 3000), r"60-bad\.policy"),
    "too many sections": (_file("".join(f"[Throttle t{i}]\nCgroups=/x{i}\n" for i in range(200))), r"60-bad\.policy"),
    "too many patterns": (_file("[Throttle x]\n" + "".join(f"Cgroups=/x{i} /y{i}\n" for i in range(600))), r"60-bad\.policy"),
    "no section": (_file("Cgroups=*\n"), r"60-bad\.policy:1:1"),
    "a section without a name": (_file("[Throttle]\nCgroups=*\n"), r"60-bad\.policy:1"),
    "the same section in two files": (_file("[Throttle lab]\nCgroups=/x\n"), r"60-bad\.policy:1|60-lab"),
    "an unbounded squeeze": (_file(GOOD + "AtMost=infinity\n"), r"60-bad\.policy:3:8"),
    "no floor": (_file(GOOD + "MinShare=0%\n"), r"60-bad\.policy:3:10"),
    "a foreign URL": (_file("[Endpoint x]\nCgroups=/x\nURL=http://169.254.169.254/latest/\n"), r"60-bad\.policy"),
    "others may write it": (_file(GOOD, 0o666), r"60-bad\.policy.*chmod go-w"),
    "its group may write it": (_file(GOOD, 0o664), r"60-bad\.policy.*chmod go-w"),
    "somebody else's": (_file(GOOD, 0o644, 65534), r"60-bad\.policy.*65534.*chown"),
    "a directory": (os.mkdir, r"60-bad\.policy"),
    "a fifo": (lambda p: os.mkfifo(p, 0o644), r"60-bad\.policy"),
    "an endless device": (lambda p: os.symlink("/dev/zero", p), r"60-bad\.policy"),
    "a dangling link": (lambda p: os.symlink("/nonexistent", p), r"60-bad\.policy"),
    "a link to itself": (lambda p: os.symlink("60-bad.policy", p), r"60-bad\.policy"),
}


@pytest.fixture(scope="module")
def calm_guard(lab):
    """One that nothing happens to but the reload of policies."""
    with lab.guard("observe", policies=policy(lab), shipped=False) as g:
        yield g


def clear(path):
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    elif os.path.lexists(path):
        os.unlink(path)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_bad_policy_is_refused_at_reload(calm_guard, what):
    g = calm_guard
    make, said = HOSTILE[what]
    n, at = g.status()["policies"], len(log_of(g))
    path = g.root + "/etc/reprieve/policies/60-bad.policy"
    make(path)
    try:
        g.reload()
        assert eventually(lambda: "stays in force" in log_of(g)[at:], 5), log_of(g)[at:]
        s = g.status()
        assert s["policies"] == n and s["config_error"], s
        assert re.search(said, log_of(g)[at:]), log_of(g)[at:]
        assert not RAW.search(log_of(g)[at:]) and not RAW.search(plain(g, "status"))
        assert max(len(l) for l in log_of(g)[at:].splitlines()) < 1200
    finally:
        clear(path)
    g.reload()
    assert eventually(lambda: g.status()["config_error"] is None, 5)
    assert alive(g)


def test_a_directory_that_others_may_write_is_refused(calm_guard):
    g = calm_guard
    d = g.root + "/etc/reprieve/policies"
    os.chmod(d, 0o777)
    try:
        g.reload()
        assert eventually(lambda: g.status()["config_error"], 5) and "chmod" in g.status()["config_error"]
    finally:
        os.chmod(d, 0o755)
    g.reload()
    assert eventually(lambda: g.status()["config_error"] is None, 5)


def test_started_with_a_bad_policy_it_observes_until_mended(lab):
    with lab.guard("enforce", policies={"60-lab.policy": "[Throttle x]\nCgroups=*\nMinShare=25\n"}, shipped=False) as g:
        s = g.status()
        assert s["mode"] == "observe" and "60-lab.policy:3:10" in s["config_error"], s
        assert "60-lab.policy:3:10" in log_of(g) and "no policy is in force" in log_of(g)
        assert "\\x0a" not in s["config_error"] and "no policy is in force" in plain(g, "status")
        assert subprocess.run(g.cli_argv("status", "-q"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False).returncode == 1
        assert "none is in force" in why_text(g) and "a new set" not in why_text(g)
        assert "60-lab.policy:3:10" in plain(g, "status")
        g.configure(policy(lab))
        g.reload()
        assert eventually(lambda: g.status()["config_error"] is None, 5)
        assert g.status()["mode"] == "enforce"


# --- cgroups ---------------------------------------------------------------------------

def test_cgroups_that_vanish_and_come_back_in_mid_squeeze(lab, siblings, calm):
    """Some go away, their processes killed, and are made again under the same names."""
    with lab.runaway("churn") as r:
        doomed = r.groups
        with squeezed(lab, siblings) as g:
            r.go()
            time.sleep(1)
            for x in doomed:
                x.remove()
            assert eventually(lambda: not {q.get("cgroup") for q in g.squeezes()} & {x.path for x in doomed}, 10), g.squeezes()
            for x in doomed:
                for d in x.dirs:
                    os.mkdir(d)
            fresh = [x.controls() for x in doomed]
            time.sleep(1.5)
            assert alive(g) and g.squeezes()
            assert [x.controls() for x in doomed] == fresh      # idle and new: not mistaken for the old ones
            siblings.pause()
        assert [x.controls() for x in doomed] == fresh


def test_cgroups_that_cannot_be_read(lab, siblings, calm):
    """A group whose files are hidden (here by a mount) is left out; the others are squeezed."""
    hidden = [x for x in siblings.groups[:3]]
    mounted = []
    before = state_of(lab, siblings.groups)
    try:
        for x in hidden:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "reprieve-test", x.cpu], check=True)
            mounted.append(x.cpu)
        with squeezed(lab, siblings) as g:
            assert {q["cgroup"] for q in g.squeezes()} and not {q.get("cgroup") for q in g.squeezes()} & {x.path for x in hidden}
            assert alive(g)
            siblings.pause()
    finally:
        for d in mounted:
            subprocess.run(["umount", d], check=True)
    assert state_of(lab, siblings.groups) == before


def hostile_names():
    names = []
    for i in range(L.GROUPS):
        names.append(f"hog-{i:02d}" + ("\x1b[31m\x1b]0;owned\x07", "\u202e\u0085tfel", "\t\x7f\x08 `id` $(id)", "é" * 60)[i % 4])
    return names


def test_hostile_cgroup_names(lab, calm, monkeypatch):
    with pytest.raises(OSError):            # the kernel refuses a newline; /proc/PID/cgroup has one name a line
        os.mkdir(f"{lab.tree.layout.cpu_root}{lab.tree.base}/{lab.tree.prefix}new\nline")
    monkeypatch.setitem(L.RUNAWAYS, "hostile", {**L.RUNAWAYS["siblings"], "groups": hostile_names()})
    deep = lab.tree.group("deep")
    long = deep.cpu
    with contextlib.suppress(OSError):
        for _ in range(15):                 # 3.8 KB of UTF-8: more than a path may have to be a target
            os.mkdir(long + "/" + "ü" * 127)
            long += "/" + "ü" * 127
    try:
        with lab.runaway("hostile") as r:
            before = state_of(lab, r.groups)
            p = lab.tree.spawn(["sh", "-c", 'cd "$0" && echo $$ > cgroup.procs && exec "$@"', deep.cpu, L.tool("hog"), "-n", "2", "-d", "60"], deep)
            fd = os.open(deep.cpu, os.O_PATH)
            for _ in range(15):
                n = os.open("ü" * 127, os.O_PATH, dir_fd=fd)
                os.close(fd)
                fd = n
            time.sleep(0.2)
            L.write(f"/proc/self/fd/{fd}/cgroup.procs", p.pid)
            os.close(fd)
            with squeezed(lab, r) as g:
                s = g.status()
                assert {q["cgroup"] for q in s["squeezes"]} <= {x.path for x in r.groups} | {deep.path}
                assert len(s["squeezes"]) > 10
                for text in (plain(g, "status"), plain(g, "why"), log_of(g), why_text(g)):
                    assert not RAW.search(text), RAW.search(text)
                    assert "hog-" in text
                one = s["squeezes"][0]["cgroup"]
                assert "released" in plain(g, "release", one), one
                r.pause()
            assert not RAW.search(log_of(g))
            assert state_of(lab, r.groups) == before
            p.kill()
            p.wait()
    finally:
        while long != deep.cpu:
            eventually(lambda: _rmdir(long), 3)
            long = os.path.dirname(long)
        lab.tree.drop("deep")


def _rmdir(path):
    """By pieces: the path may be longer than the kernel takes at once."""
    fd = os.open("/", os.O_PATH)
    parts = path.strip("/").split("/")
    try:
        for part in parts[:-1]:
            n = os.open(part, os.O_PATH, dir_fd=fd)
            os.close(fd)
            fd = n
        os.rmdir(parts[-1], dir_fd=fd)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


# --- the journal -------------------------------------------------------------------------

def test_no_room_for_the_journal(lab, unleashed):
    guard = lab.guard("enforce", policies=policy(lab), shipped=False)
    os.makedirs(guard.rundir)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "reprieve-test", guard.rundir], check=True)
    try:
        with guard as g:
            c = next(c for c in g.status()["capabilities"] if c["what"] == "squeezing")
            assert not c["have"] and "nothing is squeezed" in c["why"] and "room" in c["remedy"], c
            before = state_of(lab, unleashed.groups)
            unleashed.go()
            lab.login(10)
            time.sleep(2)
            assert alive(g) and state_of(lab, unleashed.groups) == before
            assert "nothing is squeezed without it" in log_of(g)
            text = why_text(g)
            assert "no undo journal" in text and "read-only" not in text, text
            unleashed.pause()
    finally:
        subprocess.run(["umount", guard.rundir], check=True)


@pytest.mark.parametrize("what", [["journal"], ["journal", "journal.lock"]])
def test_a_journal_that_is_removed_is_written_anew(lab, siblings, calm, what):
    before = state_of(lab, siblings.groups)
    guard = lab.guard("enforce", policies=policy(lab), shipped=False)
    guard.start()
    try:
        siblings.go()
        with probing(lab):
            assert guard.wait_squeeze(20) is not None, why_text(guard)
        for name in what:
            os.unlink(f"{guard.rundir}/{name}")
        assert eventually(lambda: all(os.path.exists(f"{guard.rundir}/{n}") for n in what), 5), log_of(guard)
        if "journal.lock" in what:
            code, said = guard.restore()
            assert code == 1 and "a guard is running" in said, said
        time.sleep(0.6)
        guard.kill9()
        assert state_of(lab, siblings.groups) != before
        code, said = guard.restore()
        assert code == 0 and "put back" in said, said
        assert state_of(lab, siblings.groups) == before
        assert "written anew" in log_of(guard)
    finally:
        siblings.pause()
        guard.stop()
        guard.restore()


def test_a_run_directory_that_is_removed_releases_everything(lab, siblings, calm):
    before = state_of(lab, siblings.groups)
    with lab.guard("enforce", settings={"Lifeline": "no"}, policies=policy(lab), shipped=False) as g:
        siblings.go()
        try:
            with probing(lab):
                assert g.wait_squeeze(20) is not None, why_text(g)
            os.rename(g.rundir, g.rundir + "-was")
            shutil.rmtree(g.rundir + "-was")
            assert eventually(lambda: state_of(lab, siblings.groups) == before, 10), [
                x for x in zip(state_of(lab, siblings.groups), before) if x[0] != x[1]][:3]
            time.sleep(3)
            assert g.proc.poll() is None and state_of(lab, siblings.groups) == before, log_of(g)
            assert "cannot be written anew" in log_of(g)
            assert "undo journal lost: everything released" in log_of(g) and "by command" not in log_of(g)
        finally:
            siblings.pause()


def test_kill_9_at_any_moment_leaves_nothing(lab, siblings, calm):
    """Twenty times, with the restore of ExecStopPost or that of the next start."""
    rng = random.Random(os.environ.get("REPRIEVE_SEED", "reprieve"))
    before = state_of(lab, siblings.groups)
    guard = lab.guard("enforce", policies=policy(lab), shipped=False)
    guard.configure()
    siblings.go()
    touched = 0
    try:
        with probing(lab):
            for i in range(20):
                guard.start(wait=False)
                time.sleep(rng.uniform(0.02, 1.2))
                guard.kill9()
                touched += state_of(lab, siblings.groups) != before
                if i % 3 != 2:
                    code, said = guard.restore()
                    assert code == 0, said
                    left = [x for x in zip(state_of(lab, siblings.groups), before) if x[0] != x[1]]
                    assert not left, f"round {i}: {left[:3]}"
    finally:
        guard.restore()
        siblings.pause()
    assert state_of(lab, siblings.groups) == before
    assert touched >= 3, "the kills never came in mid-squeeze"
    assert eventually(lambda: not helpers_of(guard), 5), "helpers outlived their guard"


def test_two_guards_at_once(lab):
    g = lab.guard("observe", policies=policy(lab), shipped=False)
    g.configure()
    both = [subprocess.Popen(g.argv(), preexec_fn=lab.tree.go_home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for _ in range(2)]
    try:
        ended = eventually(lambda: next((p for p in both if p.poll() is not None), None), 10)
        assert ended is not None and ended.returncode == 75
        text = ended.stdout.read().decode()
        assert "another guard uses" in text and "--rundir" in text, text
        other = next(p for p in both if p is not ended)
        assert other.poll() is None
        assert eventually(lambda: g.cli("status", check=False), 5)["state"] in ("calm", "alarm", "incident")
        code, said = g.restore()
        assert code == 1 and "a guard is running" in said
    finally:
        for p in both:
            p.terminate()
            p.wait()
            p.stdout.close()


# --- the control socket ---------------------------------------------------------------------

def connect(guard, timeout=5):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(timeout)
    s.connect(guard.rundir + "/control.sock")
    return s


def ask(guard, data, end=True):
    with connect(guard) as s:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data)
            if end:
                s.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := s.recv(65536):
                answer += part
        return answer


@pytest.mark.parametrize("data", [b"", b"\n", b"\0", b" ", b"status" * 1000, bytes(range(256)) * 8, b"x" * 1000000, b"status \xff\xfe\n", b"release \x1b[31m\n",
                                  b"pause 99999999999999999999 x\n", b"pause -1 x\n", b"pause 1\n", b"why 99999999999 -5\n", b"why %n%n%s\n", b"release-all" + b" " * 900,
                                  b"release " + b"/" * 1010], ids=lambda d: repr(d[:12]))
def test_nonsense_at_the_control_socket(calm_guard, data):
    answer = ask(calm_guard, data)
    if answer:
        assert json.loads(answer)["schema"] == 1
    assert alive(calm_guard)


def test_clients_that_dawdle_keep_nobody_waiting(calm_guard):
    def open_files():
        return len(os.listdir(f"/proc/{calm_guard.proc.pid}/fd"))
    before = open_files()
    idle = [connect(calm_guard) for _ in range(100)]
    try:
        for s in idle[:50]:
            with contextlib.suppress(OSError):
                s.send(b"stat")
        start = time.monotonic()
        for _ in range(5):
            assert alive(calm_guard)
        assert time.monotonic() - start < 2, "others wait for clients that say nothing"
        greedy = [connect(calm_guard) for _ in range(30)]
        idle += greedy
        for s in greedy:
            with contextlib.suppress(OSError):
                s.send(b"status\n")             # and never reads
        assert alive(calm_guard)
    finally:
        for s in idle:
            s.close()
    assert eventually(lambda: open_files() <= before, 5), "places of clients that are gone are not free again"


def test_a_flood_of_requests_does_not_stop_the_ticks(lab, unleashed):
    """Relief comes although somebody asks without pause."""
    with lab.guard("enforce", policies=policy(lab), shipped=False) as g:
        script = ("import socket,sys\nwhile True:\n s=socket.socket(socket.AF_UNIX)\n try:\n  s.connect(sys.argv[1]);s.send(b'status\\n');s.recv(10)\n"
                  " except OSError: pass\n s.close()\n")
        floods = [lab.tree.spawn(["/usr/bin/python3", "-c", script, g.rundir + "/control.sock"]) for _ in range(2)]
        try:
            unleashed.go()
            first_squeeze(lab, g)
            assert alive(g)
        finally:
            for p in floods:
                p.kill()
                p.wait()
            unleashed.pause()


# --- helpers, log, time --------------------------------------------------------------------------

def test_helpers_that_die_or_hang(lab, unleashed):
    with lab.guard("enforce", policies=policy(lab), shipped=False) as g:
        def connected():
            have = {c["what"]: c["have"] for c in g.status()["capabilities"]}
            return have.get("steward") and have.get("courier")
        assert eventually(connected, 10)
        first = helpers_of(g)
        for pid in first.values():
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: connected() and set(helpers_of(g)) == set(first) and not set(helpers_of(g).values()) & set(first.values()), 20), helpers_of(g)
        assert "started again" in log_of(g)
        for pid in helpers_of(g).values():
            os.kill(pid, signal.SIGSTOP)
        unleashed.go()
        first_squeeze(lab, g)
        assert alive(g)
        unleashed.pause()
        begin = time.monotonic()
    assert time.monotonic() - begin < 10, "a stopped helper delays the guard's end"
    assert eventually(lambda: not helpers_of(g), 5), "a stopped helper outlived its guard"


def test_the_canary_is_killed_or_stopped(lab):
    with lab.guard("rescue", policies=policy(lab), shipped=False) as g:
        def canary():
            for d in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    if L.read(f"/proc/{d}/stat").startswith(f"{d} (reprieve-canary) ") and L.read(f"/proc/{d}/stat").split()[3] == str(g.proc.pid):
                        return int(d)

        def have():
            return next(c for c in g.status()["capabilities"] if c["what"] == "canary")
        first = eventually(canary, 10)
        group = L.read(f"/proc/{first}/cgroup")
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: canary() not in (None, first), 30), "the canary is not started again"
        assert have()["have"] and L.read(f"/proc/{canary()}/cgroup") == group
        os.kill(canary(), signal.SIGSTOP)
        assert eventually(lambda: not have()["have"], 30)
        assert "kill -CONT" in have()["remedy"]
        os.kill(canary(), signal.SIGCONT)
        assert eventually(lambda: have()["have"], 30)


@contextlib.contextmanager
def dev_log(lab, kind):
    """/dev/log as it may be: a prefix for the guard's command line. Where the machine has one, a mount
    namespace shows another."""
    mine = f"{lab.dir}/dev-log"
    sock = None
    try:
        if kind == "absent":
            open(mine, "w").close()
        else:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sock.bind(mine)                     # nobody reads it
        if os.path.exists("/dev/log"):
            yield ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$(readlink -f /dev/log)" && exec "$@"', mine]
        elif kind == "absent":
            yield []
        else:
            os.symlink(mine, "/dev/log")
            try:
                yield []
            finally:
                os.unlink("/dev/log")
    finally:
        if sock:
            sock.close()
        os.unlink(mine)


@pytest.mark.parametrize("kind", ["absent", "full"])
def test_syslog_that_takes_nothing(lab, unleashed, kind):
    with dev_log(lab, kind) as prefix:
        guard = lab.guard("enforce", policies=policy(lab), shipped=False)
        argv = guard.argv
        guard.argv = lambda *more: prefix + argv("--syslog", "--debug", *more)
        with guard as g:
            unleashed.go()
            first_squeeze(lab, g)
            assert g.release_all()
            assert alive(g)
            unleashed.pause()


def test_a_guard_that_was_suspended_decides_nothing_on_that_window(lab, unleashed):
    with lab.guard("enforce", policies=policy(lab), shipped=False) as g:
        g.proc.send_signal(signal.SIGSTOP)      # before the load: the first window it sees is 3 s long
        unleashed.go()
        time.sleep(3)
        g.proc.send_signal(signal.SIGCONT)
        first_squeeze(lab, g)
        time.sleep(2)
        squeezes = {q["cgroup"] for q in g.squeezes()}
        lines = len(g.why(256))
        g.proc.send_signal(signal.SIGSTOP)
        time.sleep(3)
        stopped = time.time()
        g.proc.send_signal(signal.SIGCONT)
        s = g.status()
        assert squeezes <= {q["cgroup"] for q in s["squeezes"]} | set(), "what was squeezed was let go because of a pause"
        said = [l for l in g.why(256)[lines:] if _seconds(l["time"]) < stopped + 0.05]
        assert not [l for l in said if l["why"] in ("harm", "no-effect", "relapse", "recovered")], said
        assert alive(g)
        unleashed.pause()


def _seconds(rfc3339):
    t = time.strptime(rfc3339[:19], "%Y-%m-%dT%H:%M:%S")
    return time.mktime(t) - time.timezone + float(rfc3339[19:23])


# --- the flight record -----------------------------------------------------------------------------

def test_a_real_incident_can_be_replayed(lab, unleashed, tmp_path):
    with squeezed(lab, unleashed) as g:
        lab.login(10)
        time.sleep(1)
        g.cli("pause", "10s", "--reason", "a test")
        time.sleep(0.5)
        unleashed.pause()
    traces = sorted(f for f in os.listdir(g.rundir) if f.startswith("flight-"))
    assert traces
    trace = shutil.copy(os.path.join(g.rundir, traces[-1]), tmp_path)
    program = os.path.join(L.BUILD, "reprieve")
    r = subprocess.run([program, "replay", trace], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert r.returncode == 0 and re.search(r"the same [1-9]\d* actions", r.stdout), r.stdout[-2000:]
    r = subprocess.run([program, "replay", trace, "--json"], stdout=subprocess.PIPE, text=True, timeout=60)
    answer = json.loads(r.stdout)
    assert answer["same"] is True and answer["events"] > 10 and answer["actions"] > 64
    other = tmp_path / "other"
    other.mkdir()
    (other / "60-lab.policy").write_text(policy(lab)["60-lab.policy"] + "Ladder=weight\n")
    r = subprocess.run([program, "replay", trace, "--policy", str(other), "--json"], stdout=subprocess.PIPE, text=True, timeout=60)
    answer = json.loads(r.stdout)
    assert r.returncode == 0 and answer["decisions"] and not any("quota" in d["text"] for d in answer["decisions"] if d["why"] == "harm"), answer
    text = L.read(trace)
    with open(trace, "w", encoding="utf-8") as f:
        f.write(text[:len(text) // 2])              # cut in the middle of a line
    r = subprocess.run([program, "replay", trace], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert r.returncode in (0, 1, 65) and r.stdout, r
