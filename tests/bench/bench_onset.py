# SPDX-License-Identifier: Apache-2.0
"""onset: from the moment a runaway is let loose to the first relief write, in enforce mode.

Every trial has a guard of its own, calm for a random while, so that trials are
independent and the phase of its tick is random. The write is seen from outside, by
inotify on the cgroups' files; SCHED_IDLE inside a shared cgroup by asking for the
tasks' policy every millisecond. Meanwhile somebody asks the health endpoint now and
then, as in life. The three runaways take turns."""
import os
import random
import threading
import time

from inotify import relief_watch
from lab import Lab, quantile

LIMIT = 10.0
ORDER = ("siblings", "churn", "inside")


def asker(lab, stop):
    while not stop.wait(0.05):
        lab.health(1)


def task_changed(pids):
    for pid in pids:
        try:
            if os.sched_getscheduler(pid) != os.SCHED_OTHER:
                return True
        except OSError:
            pass
    return False


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        return []


def trial(lab, name, rng):
    """Seconds to the first relief write, None where there was none."""
    with lab.runaway(name, seconds=60) as r, lab.guard("enforce") as guard:
        groups = [g for g in r.groups if g.name != "victim"]
        guard.wait_calm(10)
        time.sleep(0.6 + rng.random())
        with relief_watch(groups) as watch:
            watch.clear()
            go = r.go()
            while time.monotonic() - go < LIMIT:
                if groups:
                    seen = watch.wait(LIMIT)
                    if seen:
                        return seen[0] - go
                elif task_changed(children(r.procs[0].pid) + [r.procs[0].pid]):
                    return time.monotonic() - go
                else:
                    time.sleep(0.001)
    return None


def run(b):
    rng, n = random.Random(1), b.trials(300, 12)
    times = {name: [] for name in ORDER}
    never = {name: 0 for name in ORDER}
    with Lab() as lab:
        stop = threading.Event()
        t = threading.Thread(target=asker, args=(lab, stop), daemon=True)
        t.start()
        try:
            for i in range(n):
                name = ORDER[i % len(ORDER)]
                s = trial(lab, name, rng)
                never[name] += s is None
                times[name].append(LIMIT if s is None else s)
        finally:
            stop.set()
            t.join()
    everything = [s for v in times.values() for s in v]
    by = {f"{name} p50": quantile(v, 0.5) for name, v in times.items()}
    by99 = {f"{name} p99": quantile(v, 0.99) for name, v in times.items()}
    b.figure("onset to first relief write, p50", quantile(everything, 0.5), "s", "<= 0.3", n=len(everything), parts=by)
    b.figure("onset to first relief write, p99", quantile(everything, 0.99), "s", "<= 1.0", n=len(everything), parts=by99,
             never=sum(never.values()), cut_seconds=LIMIT)
