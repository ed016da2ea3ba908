# SPDX-License-Identifier: Apache-2.0
"""peers: monit, and (the auto nice daemon) and cpulimit from the distribution, set up for
the same job as well as their manuals allow: a machine whose runaway is to be kept from
its sshd. Each is given more than it could know: the runaway runs as a user of its own,
nobody, and the peers are told so, which also keeps them off the rest of this machine.

- monit: its shortest cycle, 1 s; CPU usage above 90 % for two cycles runs a script each
  cycle that renices the busiest 64 processes of nobody to 19. (Its own actions are
  restarts of services it was told of.)
- and: interval 1 s, no grace by CPU seconds, 19 at once, for every job of nobody.
- cpulimit: works on one process and takes it by pid; a loop starts one for each process
  of nobody it sees, with the share that leaves 25 % of the machine to all together. New
  ones are looked for every second.
"""
import contextlib
import os
import shutil
import subprocess
import threading

from lab import state
from labtree import Missing

NOBODY = 65534
SHARE = 25                               # percent of the machine, as reprieve's MinShare
NAMES = ("monit", "and", "cpulimit")


def pids_of_nobody(lab):
    """Of our own lab only: never anything else of this machine."""
    return [p for g in list(lab.tree.groups.values()) for p in g.pids() if _uid(p) == NOBODY]


def _uid(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


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
        yield p
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
    path, stop, procs = _need("cpulimit"), threading.Event(), {}

    def look():
        while True:
            pids = pids_of_nobody(lab)
            each = max(1, SHARE * os.cpu_count() // max(1, len(pids)))
            for pid in pids:
                if pid not in procs and len(procs) < 512 and state(pid) not in ("", "Z"):
                    procs[pid] = subprocess.Popen([path, "-q", "-z", "-p", str(pid), "-l", str(each)], stdin=subprocess.DEVNULL,
                                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=lab.tree.go_home)
            if stop.wait(1):
                return
    t = threading.Thread(target=look, daemon=True)
    t.start()
    try:
        yield
    finally:
        stop.set()
        t.join()
        for p in procs.values():
            p.terminate()
        for p in procs.values():
            p.wait()


START = {"monit": monit, "and": and_, "cpulimit": cpulimit}
