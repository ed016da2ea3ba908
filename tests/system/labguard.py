# SPDX-License-Identifier: Apache-2.0
"""labguard: the guard under test, in the foreground, with a configuration of its own.

How the two programs are called stands here and nowhere else. The guard runs where
the lab was started from, not in the client's group with the most weight: how it
stays alive is its own affair.
"""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

from labtree import Missing, deaf, die_with_parent, hear, read

READY_TIMEOUT = 15
STOP_TIMEOUT = 15


def program(build, name):
    path = os.path.join(build, name)
    if not os.access(path, os.X_OK):
        raise Missing(f"{path} is not built: run make")
    return path


def policy_text(lab):
    """What an administrator of the lab's machine would write."""
    v = lab.victim
    paths = list(dict.fromkeys([v.group.path, v.health_group.path]))
    return (f"[Protect lab-login]\nCgroups={v.group.path}\nProcesses=sshd sshd-session sshd-auth\nAs=login\nWeight=800\n\n"
            + (f"[Protect lab-health]\nCgroups={paths[1]}\nAs=health\n\n" if len(paths) > 1 else "")
            + f"[Protect lab-client]\nCgroups=*{lab.tree.prefix}client*\nAs=system\n\n"
            + f"[Throttle lab]\nCgroups={lab.tree.base}/{lab.tree.prefix}*\n"
              f"Except={' '.join(paths + [lab.tree.base + '/' + lab.tree.prefix + 'client'])}\n\n"
            + f"[Endpoint lab]\nURL=http://127.0.0.1:{v.health_port}/health\nCgroups={v.health_group.path}\n")


class Guard:
    """mode: observe, rescue, enforce; settings: {"RescueFor": "5s"}; policies: {file name: text}
    instead of policy_text(), {} for none; shipped: with the policies the package ships."""

    def __init__(self, lab, mode="rescue", settings=None, policies=None, shipped=True, build=None):
        self.lab, self.mode = lab, mode
        self.build = build or os.environ.get("REPRIEVE_BUILD") or os.path.join(lab.repo, "build")
        self.dir = os.path.join(lab.dir, f"guard-{lab.guards}")
        lab.guards += 1
        self.root, self.rundir = self.dir + "/root", self.dir + "/run"
        self.log = self.dir + "/log"
        self.settings, self.shipped = dict(settings or {}), shipped
        self.policies = policies
        self.proc = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:           # Ctrl-C while it starts: it ends before what it looks at goes
            if self.proc is not None and self.proc.poll() is None:
                self.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.stop()

    def configure(self, policies=None):
        """Writes the configuration; a running guard takes it with reload()."""
        etc = self.root + "/etc/reprieve/policies"
        os.makedirs(etc, exist_ok=True)
        os.makedirs(self.rundir, exist_ok=True)
        with open(self.root + "/etc/reprieve/reprieve.conf", "w", encoding="utf-8") as f:
            f.write("[Relief]\n" + "".join(f"{k}={v}\n" for k, v in {"Mode": self.mode, **self.settings}.items()))
        for name in os.listdir(etc):
            os.unlink(f"{etc}/{name}")
        mine = next((p for p in (policies, self.policies) if p is not None), {"60-lab.policy": policy_text(self.lab)})
        for name, text in mine.items():
            with open(f"{etc}/{name}", "w", encoding="utf-8") as f:
                f.write(text)
        vendor = self.root + "/usr/lib/reprieve/policies"
        source = os.path.join(self.lab.repo, "policies")
        if self.shipped and os.path.isdir(source) and not os.path.isdir(vendor):
            shutil.copytree(source, vendor)
        for where, dirs, files in os.walk(self.root):     # files that others may write are refused
            for n in dirs + files:
                os.chmod(os.path.join(where, n), 0o755 if n in dirs else 0o644)

    def argv(self, *more):
        return [program(self.build, "reprieved"), "--mode", self.mode, "--root", self.root,
                "--rundir", self.rundir, "--helpers", self.build, "--canary-parent", self.lab.tree.base or "/", *more]

    def start(self, wait=True):
        self.configure()
        tree = self.lab.tree

        def place():
            hear()
            tree.go_home()
            die_with_parent(signal.SIGTERM)            # it puts everything back, then ends
        with open(self.log, "ab") as log, deaf():      # started and known, or neither
            started = time.monotonic()
            self.proc = subprocess.Popen(self.argv(), preexec_fn=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            self.wait_ready()
            self.ready_after = time.monotonic() - started

    def wait_ready(self):
        deadline = time.monotonic() + READY_TIMEOUT
        while time.monotonic() < deadline:
            if self.proc.poll() is not None:
                raise Missing(f"the guard ended with {self.proc.returncode}: {read(self.log).strip()[-600:]}")
            if os.path.exists(self.rundir + "/control.sock") and self.cli("status", check=False) is not None:
                return
            time.sleep(0.02)
        raise Missing(f"the guard did not answer within {READY_TIMEOUT} s: {read(self.log).strip()[-600:]}")

    def cli_argv(self, *args):
        return [program(self.build, "reprieve"), "--rundir", self.rundir, "--json", *args]

    def cli(self, *args, check=True):
        """The answer of `reprieve ARGS --json`; None where there is none and check is off."""
        r = subprocess.run(self.cli_argv(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=30, text=True)
        try:
            answer = json.loads(r.stdout)
        except ValueError:
            answer = None
        if check and (answer is None or "error" in answer):
            raise RuntimeError(f"reprieve {' '.join(args)}: exit {r.returncode}: {r.stdout.strip()} {r.stderr.strip()}")
        return answer if answer is not None and "error" not in answer else None

    def status(self):
        return self.cli("status")

    def squeezes(self):
        return self.status()["squeezes"]

    def why(self, lines=200):
        return self.cli("why", "-n", str(lines))["lines"]

    def squeezed(self):
        """The lines of `why` that squeezed, also of squeezes that are over."""
        return [l for l in self.why(256) if l["why"] == "harm"]

    def release_all(self):
        return self.cli("release", "--all")

    def wait_for(self, what, timeout):
        """Asks status until what(status) is true; the seconds it took, None if it never was."""
        start = time.monotonic()
        while time.monotonic() - start < timeout:
            if what(self.status()):
                return time.monotonic() - start
            time.sleep(0.05)
        return None

    def wait_squeeze(self, timeout=20):
        return self.wait_for(lambda s: s["squeezes"], timeout)

    def wait_calm(self, timeout=30):
        return self.wait_for(lambda s: s["state"] == "calm" and not s["squeezes"], timeout)

    def reload(self):
        self.proc.send_signal(signal.SIGHUP)

    def kill9(self):
        self.proc.kill()
        self.proc.wait()

    def stop(self):
        """As systemd would: SIGTERM, and after a crash the restore of ExecStopPost."""
        if self.proc is None:
            return
        with deaf():
            if self.proc.poll() is None:
                self.proc.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.proc.wait(STOP_TIMEOUT)
            if self.proc.poll() is None:
                self.proc.kill()
                self.proc.wait()
            if self.proc.returncode != 0:
                self.restore()

    def restore(self):
        """What ExecStopPost does. Returns the exit code and what it said."""
        r = subprocess.run([program(self.build, "reprieved"), "--restore", "--rundir", self.rundir],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return r.returncode, r.stdout.strip()
