# SPDX-License-Identifier: Apache-2.0
"""attribution: the right culprit first among 200 cgroups, with decoys that use more CPU
and harm nobody.

The victim, its culprit and 196 idlers share CPU 0; three decoys have the last CPU for
themselves and use more of it than the culprit can get of CPU 0. The culprit's group has
a large weight, so one alone harms. Which group is the culprit and which are decoys is
random in each trial. Observe mode: the guard is asked whom it blames, and touches nothing.
Needs two CPUs."""
import os
import random
import signal
import subprocess
import threading
import time

from lab import Lab, tool
from labtree import Missing

GROUPS, DECOYS, CULPRIT_WEIGHT = 200, 3, 12000
LIMIT = 5.0


def pinned(lab, group, cpu, argv):
    p = lab.tree.spawn(argv, group)
    os.sched_setaffinity(p.pid, {cpu})
    return p


def blamed(guard):
    """The first suspect's cgroup once somebody is harmed, None before."""
    status = guard.status()
    if not any(v["harmed"] for v in status["victims"]) or not status["suspects"]:
        return None
    return status["suspects"][0].get("cgroup") or status["suspects"][0]["name"]


def trial(lab, guard, groups, rng, used):
    chosen = rng.sample(range(GROUPS), 1 + DECOYS)
    culprit, decoys = groups[chosen[0]], [groups[i] for i in chosen[1:]]
    last, procs = os.cpu_count() - 1, []
    try:
        culprit.set_weight(CULPRIT_WEIGHT)
        for g in decoys:
            procs.append(pinned(lab, g, last, [tool("hog"), "-n", "1", "-d", "20"]))
        time.sleep(0.5)
        procs.append(pinned(lab, culprit, 0, [tool("hog"), "-n", "1", "-d", "20"]))
        start, first = time.monotonic(), None
        while first is None and time.monotonic() - start < LIMIT:
            time.sleep(0.05)
            first = blamed(guard)
        time.sleep(0.2)                                  # the first word counts, once it is said
        used.append(len(procs))
        return first == culprit.path, first
    finally:
        for p in procs:
            p.send_signal(signal.SIGKILL)
            p.wait()
        culprit.set_weight(1000)


def run(b):
    if os.cpu_count() < 2:
        raise Missing("the decoys need a CPU of their own; this machine has one")
    rng, n, right, wrong = random.Random(2), b.trials(100, 8), 0, []
    with Lab() as lab:
        groups = [lab.tree.group(f"some-{i:03d}") for i in range(GROUPS)]
        idlers = [lab.tree.spawn([tool("sleepers"), "-n", "2"], g, stdout=subprocess.DEVNULL) for g in groups]
        os.sched_setaffinity(lab.victim.health.pid, {0})
        for t in os.listdir(f"/proc/{lab.victim.health.pid}/task"):
            os.sched_setaffinity(int(t), {0})
        stop = threading.Event()

        def work():
            while not stop.is_set():
                lab.victim.get("/work?usec=20000", 10)
        workers = [threading.Thread(target=work, daemon=True) for _ in range(2)]
        try:
            for w in workers:
                w.start()
            with lab.guard("observe") as guard:
                for _ in range(n):
                    ok, who = trial(lab, guard, groups, rng, [])
                    right += ok
                    if not ok:
                        wrong.append(who)
                    guard.wait_for(lambda s: not any(v["harmed"] for v in s["victims"]), 10)
                    time.sleep(0.3)
        finally:
            stop.set()
            for w in workers:
                w.join()
            for p in idlers:
                p.kill()
                p.wait()
            for g in groups:
                lab.tree.drop(g.name)
    b.figure("attribution: right culprit first among 200 cgroups", 100 * right / n, "% of trials", ">= 99", n=n,
             decoys=DECOYS, not_named=sum(w is None for w in wrong), wrong=[w for w in wrong if w][:10])
