# SPDX-License-Identifier: Apache-2.0
"""Steward and courier as programs, on the real kernel, spoken to as the guard does:
the one that harms is ranked first among 64, a processes' cgroup is found by name,
broken messages are refused, and both end with the guard."""
import ctypes
import http.server
import os
import signal
import socket
import struct
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from labtree import Missing, Tree  # noqa: E402

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("REPRIEVE_BUILD", os.path.join(REPO, "build"))
MAGIC, VERSION, ANSWER, MORE = 0x76727072, 1, 1, 2
HELLO, RANK, FIND, NAME, LIFELINE, CHECK = range(0x100, 0x106)
EBADMSG, ENOENT, EINVAL, EOPNOTSUPP = 74, 2, 22, 95


def pack(verb, ident, *fields):
    body = b""
    for f in fields:
        if isinstance(f, str):
            b = f.encode()
            body += struct.pack("=BI", 3, len(b)) + b + b"\0"
        elif isinstance(f, tuple):              # ("i", number): signed
            body += struct.pack("=Bq", 2, f[1])
        else:
            body += struct.pack("=BQ", 1, f)
    return struct.pack("=IHHIIQ", MAGIC, VERSION, verb, 0, 24 + len(body), ident) + body


def unpack(packet):
    magic, version, verb, flags, size, ident = struct.unpack_from("=IHHIIQ", packet)
    assert (magic, version, size) == (MAGIC, VERSION, len(packet))
    fields, at = [], 24
    while at < size:
        tag = packet[at]
        if tag in (1, 2):
            fields += struct.unpack_from("=Q" if tag == 1 else "=q", packet, at + 1)
            at += 9
        else:
            n, = struct.unpack_from("=I", packet, at + 1)
            fields.append(packet[at + 5:at + 5 + n].decode(errors="surrogateescape"))
            at += 5 + n + (tag == 3)
    return verb, flags, ident, fields


class Helper:
    """A helper program at the other end of a socket pair."""

    def __init__(self, name, rundir):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock, self.next = ours, 1
        ours.settimeout(20)
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)
            path = os.path.join(BUILD, name)
            os.execv(path, [path, "--rundir", str(rundir), "--fd", "3"])
        theirs.close()
        self.hello = unpack(ours.recv(65536))
        assert self.hello[0] == HELLO and self.hello[3][1] == self.pid

    def ask(self, verb, *fields):
        self.next += 1
        self.sock.send(pack(verb, self.next, *fields))
        parts = []
        while True:
            v, flags, ident, f = unpack(self.sock.recv(65536))
            assert (v, ident, flags & ANSWER) == (verb, self.next, ANSWER)
            parts.append(f)
            if not flags & MORE:
                return parts

    def close(self):
        self.sock.close()
        for _ in range(100):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return "had to be killed"


@pytest.fixture
def steward(tmp_path):
    h = Helper("reprieve-steward", tmp_path)
    yield h
    assert h.close() == 0                       # it ends with the guard, by itself


@pytest.fixture
def courier(tmp_path):
    h = Helper("reprieve-courier", tmp_path)
    yield h
    assert h.close() == 0


@pytest.fixture
def tree():
    try:
        t = Tree()
    except Missing as e:
        pytest.skip(f"needs: {'root' if os.geteuid() else 'cgroup-v1-cpu'} ({e})")
    with t:
        yield t


def hogs(tree, group, n, comm, nice=0):
    out = []
    for _ in range(n):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            os.nice(nice)
            group.enter()
            with open("/proc/self/comm", "w", encoding="ascii") as f:
                f.write(comm)
            while True:
                pass
        out.append(pid)
    return out


def kill(pids):
    for p in pids:
        os.kill(p, signal.SIGKILL)
    for p in pids:
        os.waitpid(p, 0)


def listener(group, own_net=False):
    """One that works as hard as a hog, in two threads, and listens: (pid, port)."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        group.enter()
        if own_net and ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:
            os._exit(1)
        with socket.create_server(("", 0)) as s:
            threading.Thread(target=signal.pause, daemon=True).start()
            os.write(w, str(s.getsockname()[1]).encode())
            while True:
                pass
    os.close(w)
    port = os.read(r, 8)
    os.close(r)
    assert port, "it could not listen"
    return pid, int(port)


def rank(h, group, *keep, deep=0, ports=()):
    status, text, ident, seen, n, *rest = h.ask(RANK, 7, group.cpu, deep, len(ports), *ports, len(keep), *keep)[0]
    assert (status, text, ident) == (0, "", 7)
    rows = [dict(zip(("pid", "tid", "start", "cpu", "policy", "nice", "keep", "comm"), rest[i * 8:i * 8 + 8])) for i in range(n)]
    assert len(rest) == 8 * n
    return seen, rows


def test_the_worst_of_64_is_first(tree, steward):
    """60 hogs that get little, 4 that get ten times as much, beside them in one cgroup. A
    window is some thirty slices, and one of four may get none in it: three of five times."""
    g = tree.group("ranked")
    pids = hogs(tree, g, 60, "meek") + hogs(tree, g, 4, "greedy", nice=-10)
    try:
        right = 0
        for _ in range(5):
            t0 = time.monotonic()
            seen, rows = rank(steward, g)
            took = time.monotonic() - t0
            assert seen == 64 and len(rows) == 64
            assert [r["cpu"] for r in rows] == sorted((r["cpu"] for r in rows), reverse=True)
            assert took < 5
            if {r["pid"] for r in rows[:4]} == set(pids[60:]):
                right += 1
                assert [r["comm"] for r in rows[:4]] == ["greedy"] * 4
                assert all(r["nice"] == -10 and r["policy"] == 0 for r in rows[:4])
        assert right >= 3, rows[:6]
        # Identity: the kernel's own start time.
        with open(f"/proc/{rows[0]['pid']}/stat", encoding="utf-8") as f:
            assert rows[0]["start"] == int(f.read().rsplit(")", 1)[1].split()[19])
        _, rows = rank(steward, g, "greedy")
        assert [r["keep"] for r in rows[:5]] == [1, 1, 1, 1, 0]
    finally:
        kill(pids)


def test_fork_churn_names_the_parents(tree, steward):
    g = tree.group("churn")
    parents = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            g.enter()
            while True:
                c = os.fork()
                if c == 0:
                    t = time.process_time()
                    while time.process_time() - t < 0.003:
                        pass
                    os._exit(0)
                os.waitpid(c, 0)
        parents.append(pid)
    sleepers = []
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            g.enter()
            signal.alarm(60)
            signal.pause()
        sleepers.append(pid)
    try:
        time.sleep(0.3)
        _, rows = rank(steward, g)
        assert {r["pid"] for r in rows[:2]} == set(parents), rows[:4]
    finally:
        kill(sleepers)
        for p in parents:
            os.kill(p, signal.SIGKILL)
            os.waitpid(p, 0)
        time.sleep(0.05)


def test_exactly_the_listener_is_kept(tree, steward):
    """Beside hogs in one cgroup; also where it has a network of its own."""
    g = tree.group("listens")
    pids = hogs(tree, g, 6, "hog")
    try:
        server, port = listener(g)
        pids.append(server)
        other, theirs = listener(g, own_net=True)
        pids.append(other)

        def kept(*ports):
            seen, rows = rank(steward, g, ports=ports)
            assert seen == 10 and {r["pid"] for r in rows} == set(pids)
            assert all(r["comm"] == "hog" for r in rows if r["pid"] in pids[:6])
            return sorted(r["pid"] for r in rows if r["keep"])
        assert kept(port) == [server] * 2           # both of its threads
        assert kept(theirs) == [other] * 2
        assert kept(port, theirs) == sorted([server] * 2 + [other] * 2)
        assert kept() == kept(1) == []
    finally:
        kill(pids)


def test_find_and_vanished(tree, steward):
    g = tree.group("found")
    pids = hogs(tree, g, 1, "rpv-odd\x1bname")
    try:
        time.sleep(0.2)
        controller = "" if tree.layout.kind == "v2" else "cpu"
        parts = steward.ask(FIND, controller, 1, "rpv-odd*")
        rows = [r for p in parts for r in zip(p[4::2], p[5::2])]
        assert rows == [(g.path, "rpv-odd\x1bname")]
        rows = [r for p in steward.ask(FIND, controller, 1, "*") for r in zip(p[4::2], p[5::2])]
        assert (g.path, "rpv-odd\x1bname") in rows and len(rows) == len(set(rows))
    finally:
        kill(pids)
    status, text, *_ = steward.ask(RANK, 8, g.cpu + "/gone", 0, 0, 0)[0]
    assert status == -ENOENT and "gone" in text


def test_steward_refuses_nonsense(steward):
    assert steward.ask(0x1FF, 1)[0][0] == -EBADMSG
    assert steward.ask(RANK, 1, "relative", 0, 0, 0)[0][0] == -EBADMSG
    assert steward.ask(RANK, 1, "/x", 0, 0, 5, "one")[0][0] == -EBADMSG
    assert steward.ask(RANK, 1, "/x", 0, 5, 80, 80, 80, 80, 80, 0)[0][0] == -EBADMSG      # more ports than endpoints
    assert steward.ask(RANK, 1, "/x", 0, 1, 65536, 0)[0][0] == -EBADMSG
    assert steward.ask(RANK, 1, "/x", 0, 1, 0, 0)[0][0] == -EBADMSG                        # no port
    assert steward.ask(NAME, 1, "../../etc/passwd")[0][0] == -EBADMSG
    assert steward.ask(NAME, 1, "a" * 64)[0][0] == -ENOENT
    assert steward.ask(LIFELINE, "ssh.service", ("i", 0))[0][0] == -EBADMSG
    if not os.path.exists("/run/systemd/system"):
        status, text = steward.ask(LIFELINE, "ssh.service", ("i", 800))[0][:2]
        assert status == -EOPNOTSUPP and "systemd" in text
    steward.sock.send(b"garbage")
    steward.sock.send(b"")                      # an empty packet looks like the end: it ends


def test_rankings_side_by_side(tree, steward):
    """Several cgroups are ranked in the time of one."""
    groups = [tree.group(f"side{i}") for i in range(6)]
    t0 = time.monotonic()
    for i, g in enumerate(groups):
        steward.sock.send(pack(RANK, 100 + i, 50 + i, g.cpu, 0, 0, 0))
    got = set()
    for _ in groups:
        verb, _, ident, fields = unpack(steward.sock.recv(65536))
        assert verb == RANK and fields[0] == 0
        got.add((ident, fields[2]))
    assert got == {(100 + i, 50 + i) for i in range(6)}
    assert time.monotonic() - t0 < 1.5


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(self.path[1:4]))
        self.end_headers()

    def log_message(self, *_):
        pass


def test_courier_checks_and_has_no_rights(courier):
    with open(f"/proc/{courier.pid}/status", encoding="utf-8") as f:
        status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
    if os.geteuid() == 0:
        assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        for code, good in ((200, 1), (204, 1), (302, 1), (404, 0), (503, 0)):
            status, _, policy, g, got, took = courier.ask(CHECK, ("i", 3), f"{url}/{code}", 5_000_000)[0]
            assert (status, policy, g, got) == (0, 3, good, code) and 0 < took < 5_000_000
    finally:
        server.shutdown()
        server.server_close()
    status, text, policy, good, code, _ = courier.ask(CHECK, ("i", 3), url + "/200", 1_000_000)[0]
    assert (status, good, code) == (0, 0, 0) and text    # nobody listens any more
    status, text = courier.ask(CHECK, ("i", 0), "http://169.254.169.254/", 1_000_000)[0][:2]
    assert status == -EINVAL and "http://" in text
    assert courier.ask(RANK, 1, "/x", 0, 0, 0)[0][0] == -EBADMSG
