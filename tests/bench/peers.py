# SPDX-License-Identifier: Apache-2.0
"""peers: monit, and (the auto nice daemon) and cpulimit from the distribution, set up for
the same job as well as their manuals allow: a machine whose runaway is to be kept from
its sshd. Each is given more than it could know: the runaway runs as a user of its own,
nobody, and the peers are told so, which also keeps them off the rest of this machine.
Each is asked whether it runs and whether it did anything: one that does not proves nothing.

- monit: its shortest cycle, 1 s; CPU usage above 90 % for two cycles runs a script each
  cycle that renices the busiest 64 processes of nobody to 19. (Its own actions are
  restarts of services it was told of.)
- and: interval 1 s, no grace by CPU seconds, 19 at once, for every job of nobody.
- cpulimit: takes a process by pid. Where it has --include-children it gets the parents,
  and counts what they start with them; where it has not (Debian's has --monitor-forks,
  against which its manual warns for what forks much), each process. A loop starts one
  for each it sees, with the share that leaves 25 % of the machine to all together. New ones
  are looked for every second.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time

from lab import state, tool
from labtree import Missing, read

NOBODY = 65534
SHARE = 25                               # percent of the machine, as reprieve's MinShare
MOST = 512                               # limiters
NAMES = ("monit", "and", "cpulimit")


def pids_of_nobody(lab):
    """Of our own lab only: never anything else of this machine."""
    return [p for g in list(lab.tree.groups.values()) for p in g.pids() if _uid(p) == NOBODY]


def _parent(pid):
    try:
        return int(read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return 0


def _uid(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def check_nobody():
    """That user can run the loads from this checkout, or every comparison would be with nothing."""
    for load in ("hog", "forkchurn"):
        r = subprocess.run([*AS_NOBODY, tool(load), "-?"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
        if r.returncode != 64:                           # its usage
            raise Missing(f"the user nobody cannot run {tool(load)}: {r.stdout.strip()}; "
                          "every directory above it has to be executable for all (chmod o+x)")


class Peer:
    """alive(): it still runs; acted: it was seen to have lowered, stopped or limited a process of nobody."""

    def __init__(self, lab, alive, mark):
        self.lab, self.alive, self.mark, self.acted = lab, alive, mark, False

    def look(self, timeout=0.0):
        until = time.monotonic() + timeout
        while not self.acted:
            self.acted = any(self.mark(p) for p in pids_of_nobody(self.lab))
            if time.monotonic() >= until:
                break
            time.sleep(0.02)
        return self.acted


def niced(pid):
    try:
        return os.getpriority(os.PRIO_PROCESS, pid) > 0
    except OSError:
        return False


def stopped(pid):
    return state(pid) == "T"


def _need(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not path:
        raise Missing(f"{name} is not installed: apt-get install {name}")
    return path


@contextlib.contextmanager
def _daemon(lab, argv):
    log = open(f"{lab.dir}/{os.path.basename(argv[0])}.log", "ab")
    p = lab.tree.spawn(argv, None, stdout=log, stderr=log)
    try:
        yield Peer(lab, lambda: p.poll() is None, niced)
    finally:
        p.terminate()
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
        log.close()


@contextlib.contextmanager
def monit(lab):
    d, script, conf = lab.dir, f"{lab.dir}/renice.sh", f"{lab.dir}/monitrc"
    with open(script, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\nps -U nobody -o pid= --sort=-pcpu | head -64 | xargs -r renice -n 19 -p\n")
    os.chmod(script, 0o700)
    with open(conf, "w", encoding="ascii") as f:
        f.write(f"set daemon 1\nset log {d}/monit.txt\nset pidfile {d}/monit.pid\nset idfile {d}/monit.id\n"
                f"set statefile {d}/monit.state\ncheck system lab\n"
                f"  if cpu usage > 90% for 2 cycles then exec \"{script}\" repeat every 1 cycles\n")
    os.chmod(conf, 0o600)
    with _daemon(lab, [_need("monit"), "-I", "-c", conf]) as p:
        yield p


@contextlib.contextmanager
def and_(lab):
    conf, db = f"{lab.dir}/and.conf", f"{lab.dir}/and.priorities"
    with open(conf, "w", encoding="ascii") as f:
        f.write("defaultnice 0\ninterval 1\nlv1time 0\nlv2time 1\nlv3time 2\naffinity cpug\nminuid 1\nmingid 1\n")
    with open(db, "w", encoding="ascii") as f:
        f.write("nobody\t*\t*\t*\t19\t19\t19\n")
    with _daemon(lab, [_need("and"), "-f", "-s", "-x", "-i", "1", "-c", conf, "-d", db]) as p:
        yield p


@contextlib.contextmanager
def cpulimit(lab):
    path, stop, shells, known = _need("cpulimit"), threading.Event(), [], set()
    usage = subprocess.run([path, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    children = "-i" if "--include-children" in usage else ""
    # All at once: under load each start takes a while, and a hundred in turn take a minute.
    script = f'limit=$1; shift; for p; do "$0" {children} -q -z -l "$limit" -p "$p" & done; wait'

    def look():
        while not stop.is_set():
            pids = pids_of_nobody(lab)
            if children:
                everybody = set(pids)
                pids = [p for p in pids if _parent(p) not in everybody]
            each = max(1, SHARE * os.cpu_count() // max(1, len(pids)))
            new = [p for p in pids if p not in known and state(p) not in ("", "Z")][:MOST - len(known)]
            if new:
                known.update(new)
                shells.append(lab.tree.spawn(["sh", "-c", script, path, str(each), *map(str, new)], None, stdout=subprocess.DEVNULL,
                                             stderr=subprocess.DEVNULL, start_new_session=True))
            stop.wait(1)
    t = threading.Thread(target=look, daemon=True)
    t.start()
    try:
        yield Peer(lab, lambda: t.is_alive() and any(p.poll() is None for p in list(shells)), stopped)
    finally:
        stop.set()
        t.join()
        for p in shells:                                 # a limiter lets its process go on at its end
            with contextlib.suppress(ProcessLookupError):
                os.killpg(p.pid, signal.SIGTERM)
            p.wait()


START = {"monit": monit, "and": and_, "cpulimit": cpulimit}
