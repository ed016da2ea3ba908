# SPDX-License-Identifier: Apache-2.0
"""The command line, as a person and a script meet it: exit codes, JSON, colours, users
without rights, and what is said about mistakes."""
import contextlib
import json
import os
import pty
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import lab as L
from conftest import eventually, need_root

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
ESCAPE = re.compile(r"\x1b|[\x00-\x08\x0b-\x1f\x7f]")


@pytest.fixture(scope="module")
def cli():
    """run(*arguments, as_nobody=, env=) -> CompletedProcess; nobody has a copy that it may reach."""
    program = os.path.join(L.BUILD, "reprieve")
    assert os.access(program, os.X_OK), "build it: make"
    made = []

    def run(*args, as_nobody=False, env=None, **more):
        argv = [program, *args]
        if as_nobody:
            if os.geteuid() != 0 or not shutil.which("setpriv"):
                pytest.skip("needs: root")
            if not made:
                made.append("/tmp/reprieve-cli-test-%d" % os.getpid())
                os.mkdir(made[0], 0o755)
                shutil.copy(program, made[0])
            argv = NOBODY + [made[0] + "/reprieve", *args]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30,
                              env={**os.environ, **(env or {})}, **more)
    yield run
    for d in made:
        shutil.rmtree(d, ignore_errors=True)


@pytest.fixture(scope="module")
def guard(lab):
    with lab.guard("observe") as g:
        yield g


@pytest.fixture
def root(tmp_path):
    """A configuration of its own: root(text) writes it, returns --root's arguments."""
    policies = tmp_path / "etc/reprieve/policies"
    policies.mkdir(parents=True)

    def write(text, name="50-test.policy", conf=None):
        (policies / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        os.chmod(policies / name, 0o644)
        if conf:
            (tmp_path / "etc/reprieve/reprieve.conf").write_text(conf)
        return ["--root", str(tmp_path)]
    return write


def of_json(r):
    answer = json.loads(r.stdout)
    assert answer["schema"] == 1
    return answer


# --- without a guard ---------------------------------------------------------------

def test_help_names_every_command_and_exit_code(cli):
    r = cli("help")
    assert r.returncode == 0 and r.stderr == ""
    for word in ("status", "why", "release", "pause", "resume", "policy", "replay", "--json", "NO_COLOR", "64", "65", "66", "69", "74", "77", "78"):
        assert word in r.stdout, word
    assert cli("--help").stdout == r.stdout
    assert re.fullmatch(r"reprieve \d+\.\d+\.\d+\n", cli("--version").stdout)
    assert cli("version").stdout == cli("--version").stdout


def test_help_and_version_as_json(cli):
    version = cli("--version").stdout.split()[1]
    for args in (("version", "--json"), ("--json", "version"), ("--version", "--json")):
        assert of_json(cli(*args)) == {"schema": 1, "version": version}, args
    answer = of_json(cli("help", "--json"))
    assert answer == of_json(cli("--help", "--json"))
    assert {"status", "policy", "version"} <= {c["name"] for c in answer["commands"]}
    assert [c["code"] for c in answer["exit_codes"]] == [0, 1, 64, 65, 66, 69, 74, 77, 78]


@pytest.mark.parametrize("args, code, said", [
    ((), 64, ""),
    (("statsu",), 64, 'did you mean "status"'),
    (("relase", "--all"), 64, 'did you mean "release"'),
    (("xyzzy",), 64, "reprieve help"),
    (("--frobnicate",), 64, "frobnicate"),
    (("status", "--color=purple"), 64, "auto, always or never"),
    (("release",), 64, "--all"),
    (("pause", "2h"), 64, "--reason"),
    (("pause", "soon", "--reason", "x"), 64, "30min or 2h"),
    (("pause", "0s", "--reason", "x"), 64, "30min or 2h"),
    (("pause", "8d", "--reason", "x"), 64, "7d"),
    (("pause", "1h", "--reason", "x" * 5000), 64, "5000 bytes, at most 159"),
    (("pause", "1h", "--reason", "x" * 160), 64, "160 bytes, at most 159"),
    (("policy", "chek"), 64, 'did you mean "check"'),
    (("replay",), 64, "FILE"),
    (("replay", "/nonexistent"), 66, "No such file"),
    (("replay", "/etc"), 65, "Is a directory"),
    (("replay", "/dev/null"), 65, "/dev/null is no regular file"),
    (("status", "foo"), 64, 'status does not take "foo"; usage: reprieve status [-q]'),
    (("status", "-n", "5"), 64, "status does not take --lines; usage: reprieve status"),
    (("status", "--reason", "x"), 64, "status does not take --reason"),
    (("why", "x"), 64, 'why does not take "x"'),
    (("why", "-n", "abc"), 64, "-n abc is no number"),
    (("why", "-n", "0"), 64, "-n 0 is no number from 1 on"),
    (("why", "-n", "-5"), 64, "-n -5 is no number"),
    (("why", "--lines=5x"), 64, "-n 5x is no number"),
    (("why", "-n", "99999999999999999999"), 64, "is no number"),
    (("why", "--incident", "two"), 64, "--incident two is no number"),
    (("release", "--all", "X"), 64, "release --all takes no name"),
    (("release", "x\ny"), 64, "line break"),
    (("release", "x", "y"), 64, 'release does not take "y"'),
    (("release", "x", "--quiet"), 64, "release does not take --quiet"),
    (("pause", "1h", "2h", "--reason", "x"), 64, 'pause does not take "2h"'),
    (("resume", "now"), 64, 'resume does not take "now"'),
    (("policy", "check", "x"), 64, "leave out the name"),
    (("policy", "keys", "x"), 64, "leave out the name"),
    (("policy", "cat", "x", "y"), 64, 'policy does not take "y"'),
    (("replay", "x", "y"), 64, 'replay does not take "y"'),
    (("replay", "x", "--all"), 64, "replay does not take --all"),
    (("version", "x"), 64, 'version does not take "x"'),
    (("help", "--all"), 64, "help does not take --all"),
    (("statu\x1b[31m",), 64, "\\x1b"),
    (("status", "--rundir"), 64, "--rundir needs a value"),
    (("status", "--rundri", "x"), 64, "did you mean --rundir?"),
    (("status", "--quiet=x"), 64, "--quiet=x takes no value"),
    (("status", "-qz"), 64, "no option -z"),
    (("replay", "/etc/passwd"), 65, "/etc/passwd:1"),
    (("--json", "replay", "/etc/passwd"), 65, '"schema":1'),
    (("release", "/" + "x" * 5000), 64, "too long"),
])
def test_exit_codes_of_mistakes(cli, args, code, said):
    r = cli(*args)
    assert (r.returncode, said in r.stdout + r.stderr) == (code, True), r
    assert code != 64 or not args or "reprieve" in r.stderr
    assert not ESCAPE.search(r.stdout + r.stderr)
    if args:
        r = cli("--json", *args)
        assert r.returncode == code and of_json(r)["error"], r


def test_options_stand_before_the_command_too(cli, tmp_path):
    trace = os.path.join(L.REPO, "tests/replay/drift.trace")
    r = cli("replay", trace)
    assert r.returncode == 0 and "the same" in r.stdout
    for before in (["--color", "never"], ["--rundir", "X"], ["--json", "--color=always"], ["--root", "X", "--json"], ["-j", "-v"]):
        other = cli(*before, "replay", trace)
        assert other.returncode == 0, other
        if "--json" not in before and "-j" not in before:
            assert other.stdout == r.stdout
        else:
            assert of_json(other)["same"] is True and ("decisions" in of_json(other)) == ("-v" in before)
    r = cli("--rundir", "X", "replay", trace, "--policy", os.path.join(L.REPO, "policies"))
    assert r.returncode == 0 and "decisions on what was seen" in r.stdout, r


@pytest.mark.parametrize("args, code", [
    (["policy", "cat", "nosuch"], 1), (["policy", "cat", "\udcff"], 1), (["replay", "/nonexistent"], 66), (["replay", "/proc/self/mem"], 65),
    (["replay", "x", "--policy", "/nonexistent"], 78), (["--nonsense"], 64), ([], 64), (["nosuch"], 64), (["policy"], 64), (["release"], 64),
    (["pause"], 64), (["replay"], 64), (["status", "--color=x"], 64), (["status", "-q", "--rundir", "/nonexistent"], 69),
])
def test_errors_as_json(cli, tmp_path, args, code):
    for where in (["--json", *args], [*args, "--json"]):
        r = cli(*where, "--root", str(tmp_path))
        assert r.returncode == code and of_json(r)["error"] and r.stderr == "", r


def test_no_guard_to_ask(cli, tmp_path):
    for command in (["status"], ["status", "-q"], ["why"], ["resume"], ["pause", "1h", "--reason", "x"], ["release", "/x"]):
        r = cli(*command, "--rundir", str(tmp_path))
        assert r.returncode == 69 and "guard is not running" in r.stderr, (command, r)
        r = cli(*command, "--rundir", str(tmp_path), "--json")
        if "-q" not in command:
            assert r.returncode == 69 and "not running" in of_json(r)["error"], (command, r)


def test_release_all_without_a_guard(cli, tmp_path):
    """The journal knows what is squeezed, so root may put it back without a guard; others may not."""
    r = cli("release", "--all", "--rundir", str(tmp_path), as_nobody=True)
    assert r.returncode == 77 and "sudo" in r.stderr, r
    need_root()
    r = cli("release", "--all", "--rundir", str(tmp_path))
    assert r.returncode == 0 and "put back" in r.stdout + r.stderr, r


@pytest.fixture
def imposter(tmp_path):
    """imposter(bytes) answers every request with them; returns --rundir's arguments."""
    path = str(tmp_path / "control.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.listen(8)
    said = [b""]

    def serve():
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            with s:
                s.recv(4096)
                s.sendall(said[0])
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    def answer(data):
        said[0] = data
        return ["--rundir", str(tmp_path)]
    yield answer
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


SOUND = {"schema": 1, "version": "1", "state": "calm", "mode": "observe", "pressure": {}, "groups": {}, "victims": [], "suspects": [],
         "squeezes": [], "lifeline": [], "capabilities": []}
ORDERS = (["release", "/x"], ["pause", "1h", "--reason", "x"], ["resume"])


@pytest.mark.parametrize("data", [
    b'{"error":null}', b'{"schema":1,"error":null}', b'{"schema":1,"error":5}', b'{"schema":1,"error":["x"]}', b'{"schema":1,"error":"x","remedy":{}}',
    b"null", b"5", b'"x"', b"[]", b"[{}]", b"{}", b'{"schema":1}', b'{"schema":2,"done":"x","state":"calm","lines":[]}',
    b'{"schema":"1","done":"x","state":"calm","lines":[]}', b'{"schema":1,"done":null,"state":null,"lines":null}',
    b'{"schema":1,"done":5,"state":5,"lines":5}', b'{"schema":1,"done":[],"state":{},"lines":[5]}', b'{"schema":1,"done":"x","lines":[]} {}',
    b'{"schema":1,"done":"x","lines":[]', b"[" * 5000 + b"]" * 5000, b'{"schema":1,"done":' + b"[" * 100 + b"]" * 100 + b"}", b"\0", b"hello\n",
], ids=lambda d: repr(d[:48]))
def test_an_answer_that_is_not_understood(cli, imposter, data):
    args = imposter(data)
    for command in (["status"], ["status", "-q"], ["why"], *ORDERS):
        r = cli(*command, *args)
        assert r.returncode == 69 and "not understood" in r.stderr and r.stdout == "", (command, r)
    r = cli("status", "--json", *args)
    assert r.returncode == 69 and "not understood" in of_json(r)["error"], r


def test_an_answer_of_wrong_types_inside(cli, imposter):
    assert cli("status", *imposter(json.dumps(SOUND).encode() + b"\n")).returncode == 0
    for key, value in SOUND.items():
        for wrong in (None, 7, "x", [5], {"x": "y"}, [None]):
            if type(wrong) is type(value) and wrong != [5] and wrong != [None]:
                continue
            r = cli("status", *imposter(json.dumps({**SOUND, key: wrong}).encode()))
            assert r.returncode == 69 and "not understood" in r.stderr, (key, wrong, r)


# --- policies ----------------------------------------------------------------------

def test_policy_check_accepts_what_is_shipped(cli, tmp_path):
    d = tmp_path / "usr/lib/reprieve"
    d.mkdir(parents=True)
    shutil.copytree(os.path.join(L.REPO, "policies"), d / "policies")
    for where, _, files in os.walk(tmp_path):
        for f in files:
            os.chmod(os.path.join(where, f), 0o644)
    r = cli("policy", "check", "--root", str(tmp_path))
    assert r.returncode == 0 and "protect login as login" in r.stdout and r.stdout.endswith("accepted\n"), r
    answer = of_json(cli("policy", "check", "--json", "--root", str(tmp_path)))
    assert answer["accepted"] is True and answer["files"] >= 3 and answer["mode"] == "rescue" and answer["why"] is None
    login = next(p for p in answer["policies"] if p["name"] == "login")
    assert login["kind"] == "protect" and login["file"] == "10-lifeline.policy" and login["line"] > 1
    assert set(login) == {"name", "kind", "file", "line", "matches", "cgroups", "cgroups_more"}
    assert f"protect login as login: never throttled, frozen or killed; {login['matches']} cgroup{'s match' if login['matches'] != 1 else ' matches'} now" in r.stdout
    cat = cli("policy", "cat", "--root", str(tmp_path))
    assert cat.returncode == 0 and "10-lifeline.policy" in cat.stdout and "[Protect login]" in cat.stdout


@pytest.mark.parametrize("text, where, said", [
    ("[Throttle x]\nMinShar=25%\nCgroups=*\n", "50-test.policy:2:1", "MinShare"),
    ("[Throtle x]\nCgroups=*\n", "50-test.policy:1:", "Throttle"),
    ("[Throttle x]\nCgroups=*\nMinShare=25\n", "50-test.policy:3:10", '25%'),
    ("[Throttle x]\nCgroups=*\nAtMost=5m\n", "50-test.policy:3:8", "5min"),
    ("[Throttle x]\nCgroups=*\nWhen=wait >= 20%\n", "50-test.policy:3:11", "write When=wait > 20%"),
    ("[Throttle x]\nCgroups=relative/path\n", "50-test.policy:2:9", "/relative/path"),
    ("[Endpoint x]\nCgroups=/x\nURL=http://example.com/\n", "50-test.policy:3:5", "an address of this machine itself"),
    ("Cgroups=*\n", "50-test.policy:1:1", "["),
])
def test_policy_mistakes_have_a_place_and_a_remedy(cli, root, text, where, said):
    args = root(text)
    r = cli("policy", "check", *args)
    assert r.returncode == 78 and where in r.stderr and said in r.stderr and "1 mistake;" in r.stderr, r
    assert "^" in r.stderr                                  # the line, and a caret under it
    r = cli("policy", "check", "--json", *args)
    error = of_json(r)["errors"][0]
    assert r.returncode == 78 and error["line"] == int(where.split(":")[1]) and said in error["why"], r


def test_policy_cat_says_where_each_value_comes_from(cli, root, tmp_path):
    args = root("[Throttle x]\nCgroups=/a*\nMinShare=20%\n")
    d = tmp_path / "etc/reprieve/policies/50-test.policy.d"
    d.mkdir()
    (d / "10-ours.conf").write_text("[Throttle x]\nMinShare=30%\n")
    r = cli("policy", "cat", "x", *args)
    assert r.returncode == 0 and re.search(r"MinShare=30%.*10-ours\.conf:2", r.stdout) and re.search(r"Cgroups=/a\*.*50-test\.policy:2", r.stdout), r
    assert "MinShare=30%" in of_json(cli("policy", "cat", "--json", *args))["text"]
    r = cli("policy", "cat", "nosuch", *args)
    assert r.returncode == 1 and "nosuch" not in r.stdout and "policy cat" in r.stderr, r
    (tmp_path / "etc/reprieve/policies/50-test.policy").unlink()
    os.symlink("/dev/null", tmp_path / "etc/reprieve/policies/50-test.policy")
    assert cli("policy", "cat", "x", *args).returncode == 1     # masked


def test_what_others_could_change_is_refused(cli, root, tmp_path):
    need_root()
    args = root("[Throttle x]\nCgroups=/a*\n")
    vendor = tmp_path / "usr/lib/reprieve/policies"
    vendor.mkdir(parents=True)
    (vendor / "10-ours.policy").write_text("[Protect x]\nCgroups=/x\n")
    mask = tmp_path / "etc/reprieve/policies/10-ours.policy"
    mask.write_text("")
    assert len(of_json(cli("policy", "check", "--json", *args))["policies"]) == 1
    os.chown(mask, 65534, 65534)
    r = cli("policy", "check", *args)
    assert r.returncode == 78 and "10-ours.policy" in r.stderr and "belongs to user 65534" in r.stderr, r
    mask.unlink()
    assert len(of_json(cli("policy", "check", "--json", *args))["policies"]) == 2
    for d in ("etc/reprieve", "etc/reprieve/policies", "usr/lib/reprieve", "usr/lib/reprieve/policies"):
        os.chmod(tmp_path / d, 0o777)
        r = cli("policy", "check", *args)
        assert r.returncode == 78 and f"/{d}: refused: others than root may write it (mode 0777)" in r.stderr, r
        os.chmod(tmp_path / d, 0o755)
        os.chown(tmp_path / d, 65534, 0)
        r = cli("policy", "check", *args)
        assert r.returncode == 78 and f"/{d}: refused: it belongs to user 65534" in r.stderr, r
        os.chown(tmp_path / d, 0, 0)
    assert cli("policy", "check", *args).returncode == 0


def test_policies_that_would_never_act(cli, root):
    r = cli("policy", "check", *root("[Protect x]\nCgroups=/x\n", conf="[Relief]\nMode=enforce\n"))
    assert r.returncode == 1 and "nothing would ever be squeezed" in r.stdout, r
    r = cli("policy", "check", "--json", *root("[Protect x]\nCgroups=/x\n", conf="[Relief]\nMode=enforce\n"))
    answer = of_json(r)
    assert r.returncode == 1 and "nothing would ever be squeezed" in answer["why"] and "[Throttle]" in answer["remedy"], r


def test_no_policies_at_all(cli, root, tmp_path):
    for args in (["--root", str(tmp_path / "nowhere")], root("# nothing yet\n"), root("# nothing yet\n", conf="[Relief]\nMode=observe\n")):
        r = cli("policy", "check", *args)
        assert r.returncode == 1 and "no section" in r.stdout and not r.stdout.endswith("accepted\n"), r
        r = cli("policy", "check", "--json", *args)
        assert r.returncode == 1 and of_json(r)["policies"] == [] and of_json(r)["why"] and of_json(r)["remedy"], r


def test_output_that_cannot_be_written(cli, imposter):
    args = imposter(json.dumps(SOUND).encode())
    trace = os.path.join(L.REPO, "tests/replay/drift.trace")
    for command in (["status", *args], ["status", "--json", *args], ["help"], ["--version"], ["policy", "keys"], ["policy", "keys", "--json"], ["replay", trace]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            r = subprocess.run([os.path.join(L.BUILD, "reprieve"), *command], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
        assert r.returncode == 74 and "cannot be written" in r.stderr, (command, r)


@pytest.mark.parametrize("state, since, code", [("calm", None, 0), ("alarm", None, 0), ("incident", "T", 1), ("paused", None, 0), ("paused", "T", 1)])
def test_quiet_tells_an_open_incident(cli, imposter, state, since, code):
    r = cli("status", "-q", *imposter(json.dumps({**SOUND, "state": state, "incident_since": since}).encode()))
    assert (r.returncode, r.stdout, r.stderr) == (code, "", "")


def test_policy_keys_explains_every_key(cli):
    r = cli("policy", "keys")
    assert r.returncode == 0
    for key in ("Mode=", "RescueFor=", "When=", "MinShare=", "Ladder=", "Weight=", "URL="):
        assert key in r.stdout
    answer = of_json(cli("policy", "keys", "--json"))
    names = {(k["section"], k["key"]) for k in answer["keys"]}
    assert {("Relief", "Mode"), ("Throttle", "When"), ("Protect", "Weight"), ("Endpoint", "URL")} <= names
    assert all(k["doc"] and k["type"] for k in answer["keys"])
    assert len(names) == len(answer["keys"]) == len(re.findall(r"^\w+= \(", r.stdout, re.M))


def test_replay_does_not_wait_for_a_fifo(cli, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    r = cli("replay", str(tmp_path / "fifo"))
    assert r.returncode == 65 and "is no regular file" in r.stderr, r


# --- with a guard ------------------------------------------------------------------

STATUS = {
    "schema": int, "version": str, "time": str, "started": str, "state": str, "mode": str, "cause": (str, type(None)), "incident": int,
    "incident_since": (str, type(None)), "paused_until": (str, type(None)), "released_until": (str, type(None)), "pause_reason": (str, type(None)), "pressure": dict,
    "groups": dict, "victims": list, "suspects": list, "findings": list, "rescue": (dict, type(None)), "squeezes": list, "lifeline": list, "policies": int,
    "config_error": (str, type(None)), "capabilities": list, "lifeline_more": int, "squeezes_more": int,
}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_status_as_json(guard, cli):
    s = of_json(cli("status", "--json", "--rundir", guard.rundir))
    assert set(s) >= set(STATUS)
    for key, kind in STATUS.items():
        assert isinstance(s[key], kind), (key, s[key])
    assert RFC3339.fullmatch(s["time"]) and RFC3339.fullmatch(s["started"]) and s["started"] <= s["time"]
    assert abs(time.time() - time.mktime(time.strptime(s["time"][:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone) < 30
    assert s["state"] in ("calm", "alarm", "incident", "paused") and s["mode"] == "observe"
    assert s["pressure"]["source"] in ("psi", "run queue") and s["groups"]["source"] in ("bpf", "cpu.stat", "cpuacct")
    assert s["groups"]["known"] > 0 and s["squeezes"] == [] and s["config_error"] is None
    for c in s["capabilities"]:
        assert isinstance(c["what"], str) and isinstance(c["have"], bool) and (c["have"] or c["why"]), c
    assert {"squeezing", "canary", "steward", "courier"} <= {c["what"] for c in s["capabilities"]}


def test_status_for_people(guard, cli):
    r = cli("status", "--rundir", guard.rundir)
    assert r.returncode == 0 and r.stderr == "" and not ESCAPE.search(r.stdout)
    assert "observe" in r.stdout.splitlines()[0] and "squeezed  nothing" in r.stdout, r.stdout
    q = cli("status", "-q", "--rundir", guard.rundir)
    assert (q.returncode, q.stdout) in ((0, ""), (1, ""))       # 1: an incident is open, on a busy machine
    why = of_json(cli("why", "--json", "--rundir", guard.rundir))
    assert why["lines"] and set(why["lines"][0]) == {"time", "incident", "why", "verb", "text"}
    assert len(of_json(cli("why", "--json", "-n", "1", "--rundir", guard.rundir))["lines"]) == 1
    assert cli("why", "--rundir", guard.rundir).stdout.splitlines()[0].endswith(why["lines"][0]["text"])


@pytest.mark.parametrize("env, args, coloured", [
    ({}, [], True), ({"NO_COLOR": "1"}, [], False), ({"NO_COLOR": ""}, [], True),
    ({}, ["--color=never"], False), ({"NO_COLOR": "1"}, ["--color=always"], True),
])
def test_colour_on_a_terminal(guard, env, args, coloured):
    main, end = pty.openpty()
    try:
        clean = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        subprocess.run([os.path.join(L.BUILD, "reprieve"), "status", *args, "--rundir", guard.rundir], stdout=end, env={**clean, **env},
                       check=True, timeout=30)
        text = os.read(main, 65536)
    finally:
        os.close(main)
        os.close(end)
    assert (b"\x1b[" in text) == coloured, text


def test_a_pipe_gets_no_colour(guard, cli):
    assert "\x1b" not in cli("status", "--rundir", guard.rundir).stdout
    assert "\x1b" in cli("status", "--color=always", "--rundir", guard.rundir).stdout


def test_others_may_read_and_not_order(guard, cli):
    r = cli("status", "--rundir", guard.rundir, as_nobody=True)
    assert r.returncode == 0 and "observe" in r.stdout, r
    assert cli("why", "--rundir", guard.rundir, as_nobody=True).returncode == 0
    for order in (["release", "--all"], ["release", "/x"], ["pause", "1h", "--reason", "x"], ["resume"]):
        r = cli(*order, "--rundir", guard.rundir, as_nobody=True)
        assert r.returncode == 77 and "root" in r.stderr, (order, r)
        r = cli(*order, "--json", "--rundir", guard.rundir, as_nobody=True)
        assert r.returncode == 77 and "root" in of_json(r)["error"], (order, r)
    assert guard.status()["state"] != "paused"


CONNECT = """import socket, sys, time
end = time.monotonic() + 8
while time.monotonic() < end:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(1)
    try:
        s.connect(sys.argv[1])
    except OSError:
        pass
    s.close()
"""


def test_who_only_connects_costs_the_guard_nothing(guard, cli, loads):
    """And keeps neither root out nor, for long, others."""
    def cpu():
        return sum(int(x) for x in L.read(f"/proc/{guard.proc.pid}/stat").rsplit(")", 1)[1].split()[11:13]) / os.sysconf("SC_CLK_TCK")
    for _ in range(2):
        loads.add(subprocess.Popen([*NOBODY, "/usr/bin/python3", "-c", CONNECT, guard.rundir + "/control.sock"]))
    time.sleep(1)
    before, start = cpu(), time.monotonic()
    time.sleep(2)
    share = (cpu() - before) / (time.monotonic() - start)
    assert share < 0.10, f"{share:.0%} of a CPU"                # without a bound: most of one
    start = time.monotonic()
    assert cli("release", "--all", "--rundir", guard.rundir).returncode == 0
    assert time.monotonic() - start < 1
    assert cli("status", "--rundir", guard.rundir, as_nobody=True).returncode == 0


def test_the_helpers_socket_is_not_everybodys(guard):
    st = os.stat(guard.rundir + "/guard.sock")
    assert st.st_mode & 0o777 == 0o600
    with contextlib.suppress(KeyError):
        assert st.st_uid == pwd.getpwnam("reprieve").pw_uid
        return
    assert st.st_uid == 0


def test_release_what_is_not_squeezed(guard, cli):
    r = cli("release", "/no/such", "--rundir", guard.rundir)
    assert r.returncode == 1 and "reprieve status" in r.stderr, r
    r = cli("release", "--all", "--rundir", guard.rundir)
    assert r.returncode == 0 and "nothing was squeezed" in r.stdout, r
    assert of_json(cli("release", "--all", "--json", "--rundir", guard.rundir))["done"]


def test_an_order_that_was_given_up_is_not_carried_out_later(lab, cli):
    with lab.guard("observe") as g:
        g.proc.send_signal(signal.SIGSTOP)
        try:
            p = subprocess.Popen([os.path.join(L.BUILD, "reprieve"), "pause", "1h", "--reason", "x", "--rundir", g.rundir],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            said = p.communicate(timeout=30)[0]
            assert p.returncode == 69 and "not done" in said, said
        finally:
            g.proc.send_signal(signal.SIGCONT)
        assert eventually(lambda: g.status()["state"] in ("calm", "alarm", "incident"), 10)
        time.sleep(0.5)
        assert g.status()["paused_until"] is None


def test_pause_shows_ends_and_survives_a_restart(lab, cli):
    with lab.guard("observe") as g:
        r = cli("pause", "1h", "--reason", "load \x1b[31mtest\n\u202e", "--rundir", g.rundir)
        assert r.returncode == 0 and "paused until" in r.stdout, r
        s = g.status()
        assert s["state"] == "paused" and "load" in s["pause_reason"] and RFC3339.fullmatch(s["paused_until"])
        r = cli("status", "--rundir", g.rundir)
        assert "paused" in r.stdout.lower() and "load" in r.stdout and not ESCAPE.search(r.stdout), r.stdout
        g.kill9()
        g.start()
        assert g.status()["state"] == "paused" and "load" in g.status()["pause_reason"]
        assert cli("resume", "--rundir", g.rundir).returncode == 0
        assert g.status()["paused_until"] is None
        g.kill9()
        g.start()
        assert g.status()["paused_until"] is None
        longest = "first\n" + "x" * 153
        assert cli("pause", "1h", "--reason", longest, "--rundir", g.rundir).returncode == 0
        assert g.status()["pause_reason"] == longest.replace("\n", " ")
        with socket.socket(socket.AF_UNIX) as s:            # another client than ours
            s.connect(g.rundir + "/control.sock")
            s.sendall(b"pause 1000000 " + b"y" * 160 + b"\n")
            assert "at most 159 bytes" in json.loads(s.recv(4096))["error"]
        assert g.status()["pause_reason"].startswith("first")
        assert cli("pause", "1s", "--reason", "short", "--rundir", g.rundir).returncode == 0
        assert eventually(lambda: g.status()["paused_until"] is None, 10)
        assert "pause" in cli("why", "--rundir", g.rundir).stdout


@pytest.mark.parametrize("args, code, said", [
    (["--mode", "bold"], 64, "observe, rescue or enforce"), (["--nonsense"], 64, "nonsense"), (["extra"], 64, "--rundir"),
    (["--rundir", "/proc/nonexistent/x"], 1, "--rundir"), (["--version"], 0, "reprieved "), (["--help"], 0, "--restore"),
])
def test_the_guards_own_options(args, code, said):
    r = subprocess.run([os.path.join(L.BUILD, "reprieved"), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, timeout=20)
    assert r.returncode == code and said in r.stdout, r


def test_units_name_no_page_that_is_not_there():
    units = os.path.join(L.REPO, "packaging/systemd")
    for name in os.listdir(units):
        for page in re.findall(r"man:(\w[\w.-]*)\((\d)\)", L.read(os.path.join(units, name))):
            assert any(f"{page[0]}.{page[1]}" in files for _, _, files in os.walk(os.path.join(L.REPO, "packaging"))), (name, page)
