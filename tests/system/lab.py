# SPDX-License-Identifier: Apache-2.0
"""lab: a victim, runaways that really harm it, and how long a login takes.

    with Lab() as lab:
        with lab.runaway("siblings") as r:
            r.go()
            lab.login()            # -> Sample(seconds, ok, error)

The victim is an sshd of its own (loopback port, throw-away keys, no PAM) and a
small HTTP health endpoint in the group "victim". Only the server side suffers: this
process, and so every ssh client, is real-time (see Tree._make_client).

Harm is not a matter of course: 128 hogs in ONE sibling group do not slow a login
at all. The three runaways here do, measured (see RUNAWAYS); a caller still checks,
see harmed().
"""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import namedtuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from labguard import Guard  # noqa: E402
from labtree import GuardRunning, Layout, Missing, Tree, alone, deaf, die_with_parent, hear, no_guard, read, sweep, write  # noqa: E402,F401

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("REPRIEVE_BUILD", os.path.join(REPO, "build"))
TOOLS = os.path.join(BUILD, "tools")
LOGIN_TIMEOUT = 30
HEALTH_TIMEOUT = 10
SESSION_END = 10                       # seconds a login under way is given at the end
LOAD_SECONDS = 900                     # hard end of every load
GROUPS = 64
HARM_FACTOR = 3                        # "several times slower"

Sample = namedtuple("Sample", "seconds ok error start")


def tool(name):
    path = os.path.join(TOOLS, name)
    if not os.access(path, os.X_OK):
        raise Missing(f"{path} is not built: run make")
    return path


def quantile(values, q):
    """The nearest-rank quantile; None for no values."""
    v = sorted(values)
    return v[min(len(v) - 1, max(0, -(-int(q * 1000) * len(v) // 1000) - 1))] if v else None


def median(values):
    return quantile(values, 0.5)


def harmed(idle, under):
    """Whether logins (lists of Sample) got several times slower, or fail."""
    base = median([s.seconds for s in idle if s.ok])
    slow = median([s.seconds for s in under])
    return base is not None and slow is not None and slow >= HARM_FACTOR * base


class Victim:
    """The private sshd and the health endpoint, each in a group of the tree."""

    def __init__(self, tree, directory, group="victim", health_group=None):
        self.tree, self.dir = tree, directory
        self.group = tree.group(group)
        self.health_group = tree.group(health_group) if health_group else self.group
        self.sshd = self.health = None
        self.port = self.health_port = None
        self._made_run_sshd = False

    def start(self):
        self._start_sshd()
        self.health = self.tree.spawn([tool("httpd-health"), "-d", "3600"], self.health_group,
                                      stdout=subprocess.PIPE, text=True)
        line = self.health.stdout.readline().split()
        if len(line) != 2:
            raise Missing("the health endpoint did not start")
        self.health_port = int(line[1])

    def _start_sshd(self):
        sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if not sshd or not shutil.which("ssh") or not shutil.which("ssh-keygen"):
            raise Missing("sshd, ssh or ssh-keygen is missing: apt-get install openssh-server")
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.dir}/{key}"], check=True)
        shutil.copy(f"{self.dir}/user.pub", f"{self.dir}/authorized_keys")
        self.port = free_port()
        with open(f"{self.dir}/known_hosts", "w", encoding="ascii") as f:
            f.write(f"[127.0.0.1]:{self.port} " + read(f"{self.dir}/host.pub"))
        if not os.path.isdir("/run/sshd"):
            os.mkdir("/run/sshd", 0o755)
            self._made_run_sshd = True
        lines = [f"ListenAddress 127.0.0.1:{self.port}", f"HostKey {self.dir}/host", "PidFile none", "UsePAM no",
                 f"AuthorizedKeysFile {self.dir}/authorized_keys", "StrictModes no", "UseDNS no",
                 "PermitRootLogin prohibit-password", "PasswordAuthentication no", "PrintMotd no", "PrintLastLog no",
                 "KbdInteractiveAuthentication no", "PermitUserRC no", "MaxStartups 1000", "LoginGraceTime 60",
                 "LogLevel ERROR"]
        conf = f"{self.dir}/sshd_config"
        for extra in (["PerSourcePenalties no"], []):       # 9.8 and later only
            with open(conf, "w", encoding="ascii") as f:
                f.write("\n".join(lines + extra) + "\n")
            check = subprocess.run([sshd, "-t", "-f", conf], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if check.returncode == 0:
                break
        else:
            raise Missing(f"sshd refuses its private configuration: {check.stdout.strip()}")
        with open(f"{self.dir}/sshd.log", "wb") as log:
            self.sshd = self.tree.spawn(self._unlocked([sshd, "-D", "-e", "-f", conf]), self.group,
                                        stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self.sshd.poll() is not None or time.monotonic() > deadline:
                raise Missing("the private sshd did not start: " + read(f"{self.dir}/sshd.log").strip())
            time.sleep(0.05)

    def _unlocked(self, argv):
        """Without PAM sshd refuses a locked root ("!"): show it a shadow file of its own, in its own
        mount namespace. The machine's file is not touched."""
        lines = read("/etc/shadow").splitlines() if os.path.exists("/etc/shadow") else []
        if not any(l.startswith("root:!") for l in lines):
            return argv
        own = f"{self.dir}/shadow"
        with open(os.open(own, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as f:
            f.write("root:*:19000:0:99999:7:::\nsshd:*:19000::::::\n")
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/shadow && exec "$@"', own, *argv]

    def stop(self):
        for p in (self.sshd, self.health):
            if p and p.poll() is None:
                p.kill()
            if p:
                p.wait()
                if p.stdout:
                    p.stdout.close()
        self.sshd = self.health = None
        # A login under way runs root's own profile; killed in its middle, that may leave something
        # half done (the lock of a version manager, on which every later login waits). Its client and
        # the load are gone, so it ends by itself.
        deadline = time.monotonic() + SESSION_END
        while self.group.pids() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self._made_run_sshd:
            with contextlib.suppress(OSError):
                os.rmdir("/run/sshd")

    def login_argv(self):
        return ["ssh", "-F", "/dev/null", "-p", str(self.port), "-i", f"{self.dir}/user", "-o", "IdentitiesOnly=yes",
                "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "ControlMaster=no", "-o", "ControlPath=none",
                "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={self.dir}/known_hosts",
                "-o", "GlobalKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@127.0.0.1", "true"]

    def login(self, timeout=LOGIN_TIMEOUT, tick=None):
        """One whole login, with a command that does nothing. Never raises for a slow or failed one;
        tick(seconds so far) is called now and then."""
        start = time.monotonic()
        p = subprocess.Popen(self.login_argv(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        try:
            ok, why = False, f"no login within {timeout} s"
            while time.monotonic() - start < timeout:
                left = start + timeout - time.monotonic()
                try:
                    _, err = p.communicate(timeout=max(0.001, min(left, 0.2) if tick else left))
                except subprocess.TimeoutExpired:
                    if tick:
                        tick(time.monotonic() - start)
                    continue
                ok = p.returncode == 0
                why = "" if ok else (err.decode(errors="replace").strip() or f"ssh ended with {p.returncode}")
                break
        finally:
            if p.poll() is None:
                p.kill()
                p.wait()
            p.stderr.close()
        return Sample(time.monotonic() - start, ok, why, start)

    def get(self, path="/health", timeout=HEALTH_TIMEOUT):
        """One HTTP request to the endpoint on a connection of its own."""
        start = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", self.health_port), timeout) as s:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
                answer = b""
                while True:
                    s.settimeout(max(0.001, start + timeout - time.monotonic()))
                    part = s.recv(4096)
                    if not part:
                        break
                    answer += part
            ok = answer.startswith(b"HTTP/1.1 200 ")
            why = "" if ok else answer[:60].decode(errors="replace")
        except OSError as e:
            ok, why = False, str(e) or type(e).__name__
        return Sample(time.monotonic() - start, ok, why, start)


def state(pid):
    """The state letter of a process, "" where it is gone."""
    try:
        return read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return ""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# Harm, login p50 on 2 CPUs, kernel 6.18, v1 cpu files, idle 0.38 s: siblings 5.2 s; inside 8.1 s;
# churn 64 parents (17 000 forks/s) in one sibling 0.8 s (no clear harm), in two or four > 15 s, in
# the victim's own group 4.3 s. What each runaway is, and the command of one of its groups; "victim" is the victim's own group.
RUNAWAYS = {
    "siblings": {"title": f"{GROUPS} sibling cgroups, one hog per CPU in each",
                 "groups": [f"hog-{i:02d}" for i in range(GROUPS)], "argv": lambda: [tool("hog")]},
    "inside": {"title": f"{GROUPS} hogs inside the victim's own cgroup",
               "groups": ["victim"], "argv": lambda: [tool("hog"), "-n", str(GROUPS)]},
    "churn": {"title": "fork churn, 64 parents in four sibling cgroups",
              "groups": [f"churn-{i}" for i in range(4)],
              "argv": lambda: [tool("forkchurn"), "-n", str(max(16, 2 * os.cpu_count()))]},
}


class Runaway:
    """Prepared stopped; go() and pause() are one system call each, so onset is a moment."""

    def __init__(self, lab, name, seconds=LOAD_SECONDS):
        self.lab, self.name, self.seconds = lab, name, seconds
        self.kind = RUNAWAYS[name]
        self.title = self.kind["title"]
        self.procs, self.groups, self.pgid = [], [], None
        self.started = None

    def __enter__(self):
        try:
            self.prepare()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def prepare(self):
        argv = self.kind["argv"]() + ["-d", str(self.seconds)]
        for name in self.kind["groups"]:
            group = self.lab.tree.group(name)
            self.groups.append(group)
            self.procs.append(self._spawn_stopped(argv, group))
        deadline = time.monotonic() + 20
        while any(state(p.pid) != "T" for p in self.procs):
            if time.monotonic() > deadline or any(p.poll() is not None for p in self.procs):
                raise Missing(f"the load \"{self.title}\" could not be started")
            time.sleep(0.01)

    def _spawn_stopped(self, argv, group):
        """Enter the group, join the process group, stop; go on after SIGCONT."""
        def place():
            die_with_parent()
            os.setpgid(0, self.pgid or 0)
            group.enter()
        p = subprocess.Popen(["sh", "-c", 'kill -STOP $$; exec "$@"', "sh", *argv], preexec_fn=place,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pgid = self.pgid or p.pid
        return p

    def go(self):
        os.killpg(self.pgid, signal.SIGCONT)
        self.started = self.started or time.monotonic()
        return time.monotonic()

    def pause(self):
        os.killpg(self.pgid, signal.SIGSTOP)

    def close(self):
        with deaf():
            with contextlib.suppress(ProcessLookupError, TypeError):
                os.killpg(self.pgid, signal.SIGKILL)
            for p in self.procs:
                p.kill()
                p.wait()
            for g in self.groups:
                if g.name != "victim":
                    self.lab.tree.drop(g.name)
        self.procs, self.groups, self.pgid = [], [], None


class Lab:
    """Everything together. A context manager: nothing is left, on exceptions and signals too."""

    def __init__(self, health_group=None, signals=True):
        self._health_group, self._signals = health_group, signals
        self._stack = contextlib.ExitStack()
        self.tree = self.victim = self.dir = None
        self.repo, self.guards = REPO, 0

    def __enter__(self):
        no_guard()
        try:
            if self._signals:
                for s in (signal.SIGTERM, signal.SIGHUP):
                    old = signal.signal(s, interrupt)
                    self._stack.callback(signal.signal, s, old)
            if os.geteuid() == 0:
                self._stack.enter_context(alone())
            with deaf():                # what is made is known to the stack, or not made
                self.dir = tempfile.mkdtemp(prefix="reprieve-lab-")
                self._stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
                os.chmod(self.dir, 0o711)
                self.tree = Tree()
                self._stack.callback(self.tree.close)
            self.tree.__enter__()
            self.victim = Victim(self.tree, self.dir, health_group=self._health_group)
            self._stack.callback(self.victim.stop)
            self.victim.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """Clean-up is not to be interrupted half way: a second Ctrl-C waits until it is done."""
        with deaf():
            self._stack.close()

    def login(self, timeout=LOGIN_TIMEOUT, tick=None):
        return self.victim.login(timeout, tick)

    def health(self, timeout=HEALTH_TIMEOUT):
        return self.victim.get("/health", timeout)

    def runaway(self, name, seconds=LOAD_SECONDS):
        return Runaway(self, name, seconds)

    def settle(self, share=0.3, timeout=20):
        """Wait until the machine is mostly idle again; True if it is."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if busy_share(0.5) < share:
                return True
        return False

    def guard(self, mode="rescue", **options):
        """A labguard.Guard, not started yet: a context manager of its own."""
        return Guard(self, mode, **options)


def interrupt(number, frame):
    """A signal handler: SIGTERM and a hang-up end as Ctrl-C does."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def busy_share(seconds):
    """Share of the machine's CPU time that was used over that long."""
    def sample():
        v = [int(x) for x in read("/proc/stat").split("\n", 1)[0].split()[1:9]]
        return sum(v), v[3] + v[4]
    total, idle = sample()
    time.sleep(seconds)
    total2, idle2 = sample()
    return 1 - (idle2 - idle) / max(1, total2 - total)
