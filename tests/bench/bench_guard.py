# SPDX-License-Identifier: Apache-2.0
"""guard: what the guard itself costs, calm and under alarm, and with a crowd.

CPU time is the kernel's (schedstat of every thread), of the guard and its canary child; the
helpers have figures of their own. A tick is a turn of the guard's
thread from wakeup to sleep, watched from outside by BPF (tools/tickwatch): how late it
got the CPU and how long it ran."""
import json
import os
import subprocess
import time

from bench import bpf_object, run_ns
from lab import Lab, read, tool
from labtree import Missing

GROUPS = 1000


def family(guard):
    """{pid: name} of the guard, its canary and its helpers: all have its --rundir in their command line."""
    out = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            name = read(f"/proc/{pid}/comm").strip()
            if name.startswith("reprieve") and guard.rundir in read(f"/proc/{pid}/cmdline").split("\0"):
                out[int(pid)] = name
        except OSError:                                  # it has ended
            pass
    return out


def shares(guard, seconds):
    """Percent of one CPU over that long: (the guard with its canary, its helpers, {name: each})."""
    def sample():
        return {pid: (name, run_ns(pid)) for pid, name in family(guard).items()}
    before, start = sample(), time.monotonic()
    time.sleep(seconds)
    after, took = sample(), time.monotonic() - start
    parts = {}
    for pid, (name, ns) in after.items():
        parts[name] = parts.get(name, 0) + (ns - before.get(pid, (name, 0))[1]) / took / 1e7
    own = [parts.get(n) for n in ("reprieved", "reprieve-canary")]
    if None in own or not set(before) <= set(after):
        raise Missing(f"the guard or its canary was not there all the time: {before} {after}")
    return sum(own), sum(parts.values()) - sum(own), parts


def cpu_figures(b, guard, when, goal, seconds):
    own, helpers, parts = shares(guard, seconds)
    parts = {k: float(f"{v:.4g}") for k, v in parts.items()}
    b.figure(f"guard: CPU time, {when}", own, "% of one CPU", goal, n=seconds, parts=parts)
    b.figure(f"guard: CPU time of its helpers, {when}", helpers, "% of one CPU", None, n=seconds, parts=parts)


def watch(pid, seconds):
    r = subprocess.run([tool("tickwatch"), bpf_object("tickwatch"), str(pid), str(seconds)], stdout=subprocess.PIPE, text=True)
    if r.returncode != 0:
        raise Missing("tickwatch can not be loaded")
    return json.loads(r.stdout)


def crowd(lab, threads):
    """1 000 groups with that many sleeping tasks in each."""
    procs = []
    for i in range(GROUPS):
        procs.append(lab.tree.spawn([tool("sleepers"), "-n", str(threads)], lab.tree.group(f"crowd-{i:04d}"),
                                    stdout=subprocess.PIPE))
    for p in procs:
        p.stdout.readline()
    return procs


def disperse(lab, procs):
    for p in procs:
        p.kill()
        p.wait()
        p.stdout.close()
    for i in range(GROUPS):
        lab.tree.drop(f"crowd-{i:04d}")


def alone(b):
    seconds = b.trials(60, 8)
    with Lab() as lab, lab.guard("enforce") as guard:
        time.sleep(2)
        rss = next(int(l.split()[1]) for l in read(f"/proc/{guard.proc.pid}/status").splitlines() if l.startswith("VmRSS"))
        b.figure("guard: resident memory after start", rss / 1024, "MiB", "<= 8")
        lab.settle()
        cpu_figures(b, guard, "calm", "<= 0.05", seconds)
        with lab.runaway("siblings") as r:
            r.go()
            guard.wait_squeeze()
            cpu_figures(b, guard, "under alarm", "<= 1", b.trials(30, 8))
            t = watch(guard.proc.pid, b.trials(30, 8))
        b.figure("guard: lateness of its tick under overload, p99", t["late_us"]["p99"] / 1e3, "ms", "<= 1", n=t["turns"],
                 max=t["late_us"]["max"] / 1e3)


def crowded(b):
    """The tick with 1 000 cgroups; few tasks, then 10 000; with BPF and without."""
    seconds, runs = b.trials(20, 6), {}
    for probe, label, goal in (("auto", "with BPF", "<= 1"), ("off", "without BPF", "<= 5")):
        for threads in (1, 10):
            with Lab() as lab:
                procs = crowd(lab, threads)
                try:
                    with lab.guard("observe", settings={"Probe": probe}) as guard, lab.runaway("siblings") as r:
                        r.go()
                        time.sleep(2)
                        runs[probe, threads] = watch(guard.proc.pid, seconds)
                finally:
                    disperse(lab, procs)
        t = runs[probe, 10]
        b.figure(f"guard: tick with 1 000 cgroups and 10 000 tasks, {label}, p99", t["run_us"]["p99"] / 1e3, "ms", goal, n=t["turns"],
                 against={"1 000 tasks": runs[probe, 1]["run_us"]["p99"] / 1e3}, p50=t["run_us"]["p50"] / 1e3)


def run(b):
    alone(b)
    crowded(b)
