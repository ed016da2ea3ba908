# SPDX-License-Identifier: Apache-2.0
"""attribution: the right culprit first among 200 cgroups, with decoys that use more CPU
and harm nobody.

The victim, its culprit and the idlers share CPU 0; each decoy has another CPU alone, so it
waits for nobody and nobody for it, and uses more than the culprit can get of CPU 0. The
culprit's weight is large, so one alone harms, but leaves the victim a quarter. Which
group is the culprit and which are decoys is random in each trial. Observe mode: the guard
is asked whom it blames, and touches nothing. A trial where no decoy used more CPU than the
culprit, by the kernel's count, says nothing: it is counted apart and repeated. Needs two
CPUs."""
import os
import random
import signal
import subprocess
import threading
import time

from lab import Lab, read, tool
from labtree import Missing

GROUPS, DECOYS, CULPRIT_WEIGHT = 200, min(3, os.cpu_count() - 1), 3000
DECOY_WEIGHT = 50000                     # whoever else has work on its CPU is not to take it
LIMIT = 5.0
ATTEMPTS = 2                             # per trial that counts


def used(tree, group):
    """Seconds of CPU time, from cpuacct or cpu.stat."""
    acct = tree.layout.mounts.get("cpuacct")
    if tree.layout.kind != "v2" and acct:
        return int(read(f"{acct}{group.path}/cpuacct.usage")) / 1e9
    where = group.cpu if tree.layout.kind == "v2" else tree.layout.unified + group.path
    return int(dict(l.split() for l in read(where + "/cpu.stat").splitlines())["usage_usec"]) / 1e6


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


def trial(lab, guard, groups, rng):
    """(the culprit was named first, who was, CPU seconds of the culprit, of the busiest decoy)"""
    chosen, procs = rng.sample(range(GROUPS), 1 + DECOYS), []
    culprit, decoys = groups[chosen[0]], [groups[i] for i in chosen[1:]]
    try:
        culprit.set_weight(CULPRIT_WEIGHT)
        for i, g in enumerate(decoys):
            g.set_weight(DECOY_WEIGHT)
            procs.append(pinned(lab, g, 1 + i, [tool("hog"), "-n", "1", "-d", "20"]))
        time.sleep(0.5)
        before = [used(lab.tree, g) for g in decoys]
        own = used(lab.tree, culprit)
        procs.append(pinned(lab, culprit, 0, [tool("hog"), "-n", "1", "-d", "20"]))
        start, first = time.monotonic(), None
        while first is None and time.monotonic() - start < LIMIT:
            time.sleep(0.05)
            first = blamed(guard)                        # the first word counts, once it is said
        own = used(lab.tree, culprit) - own
        most = max(used(lab.tree, g) - b for g, b in zip(decoys, before))
        return first == culprit.path, first, own, most
    finally:
        for p in procs:
            p.send_signal(signal.SIGKILL)
            p.wait()
        for g in [culprit, *decoys]:
            g.set_weight(1000)


def trials(b, lab, guard, groups, n):
    rng, right, wrong, ratios, void = random.Random(2), 0, [], [], 0
    while len(ratios) < n and len(ratios) + void < ATTEMPTS * n:
        ok, who, own, most = trial(lab, guard, groups, rng)
        if most > own:
            right += ok
            ratios.append(most / max(own, 1e-6))
            if not ok:
                wrong.append(who)
        else:
            void += 1
        guard.wait_for(lambda s: not any(v["harmed"] for v in s["victims"]), 10)
        time.sleep(0.3)
    done = len(ratios)
    value = 100 * right / done if done == n else None
    b.figure("attribution: right culprit first among 200 cgroups", value, "% of trials", ">= 99", n=done,
             note=None if done == n else f"in {void} trials no decoy used more CPU than the culprit",
             decoys=DECOYS, decoy_cpu_per_culprit_cpu_least=min(ratios, default=None), trials_not_counted=void,
             not_named=sum(w is None for w in wrong), wrong=[w for w in wrong if w][:10])


def run(b):
    if os.cpu_count() < 2:
        raise Missing("the decoys need a CPU of their own; this machine has one")
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
                trials(b, lab, guard, groups, b.trials(100, 8))
        finally:
            stop.set()
            for w in workers:
                w.join()
            for p in idlers:
                p.kill()
                p.wait()
            for g in groups:
                lab.tree.drop(g.name)
