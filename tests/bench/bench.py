# SPDX-License-Identifier: Apache-2.0
"""bench: what the benches share: where figures go, and how they are judged.

A figure is one entry of build/bench/relief.json, {"name", "value", "unit", "goal",
"met", "n", "where", "against"}; writing one again replaces it, so a single bench can
be repeated. `goal` is "<= 30" or ">= 97" in the figure's unit, or None where there is
none; a figure that could not be measured has value None and misses its goal, and so does
one with a `note`, which says why the value proves nothing. A run with --quick marks its
figures ("quick": true): too few trials to be quoted.
"""
import json
import math
import os
import platform
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("REPRIEVE_BUILD", os.path.join(REPO, "build"))
OUT = os.path.join(BUILD, "bench")
JSON = os.path.join(OUT, "relief.json")
sys.path.insert(0, os.path.join(REPO, "tests", "system"))


def demanded():
    """{bench: names of the figures that have to be there}."""
    from lab import RUNAWAYS
    crowd = "guard: tick with 1 000 cgroups and 10 000 tasks"
    return {
        "probe": ["probe: net cost per context switch"],
        "onset": [f"onset to first relief write, {q}" for q in ("p50", "p99")],
        "logins": ["login when idle, p99"] + [f"login under \"{r['title']}\" with reprieve, {what}" for r in RUNAWAYS.values()
                                              for what in ("p99", "failures")],
        "guard": ["guard: CPU time, calm", "guard: CPU time, under alarm", f"{crowd}, with BPF, p99", f"{crowd}, without BPF, p99",
                  "guard: lateness of its tick under overload, p99", "guard: resident memory after start"],
        "attribution": ["attribution: right culprit first among 200 cgroups"],
        "loads": ["false squeezes: normal loads that were squeezed"],
        "peak": [f"peak: {what}, {mode}" for mode in ("observe", "rescue", "enforce") for what in ("throughput kept", "p99 of the API")],
        "restore": ["restore: cycles of kill -9 with residue"],
        "simulator": ["simulator: machine-hours per minute of one core"],
    }


def where():
    """The machine in a few words."""
    model = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            model = next((l.split(":", 1)[1].strip() for l in f if l.startswith("model name")), "")
        from labtree import Layout
        layout = "cgroup " + Layout().kind
    except Exception as e:                               # a description is no reason to fail
        layout = f"no cgroups ({e})"
    return f"{os.cpu_count()} CPUs ({model or platform.machine()}), Linux {platform.release()}, {layout}"


def load():
    try:
        with open(JSON, encoding="utf-8") as f:
            return json.load(f)
    except (OSError, ValueError):
        return []


def save(entries):
    os.makedirs(OUT, exist_ok=True)
    with open(JSON + ".new", "w", encoding="utf-8") as f:
        json.dump(entries, f, indent=1)
        f.write("\n")
    os.replace(JSON + ".new", JSON)


def meets(value, goal):
    if goal is None:
        return None
    if value is None:
        return False
    op, limit = goal.split()
    return value <= float(limit) if op == "<=" else value >= float(limit)


def tidy(v):
    return float(f"{v:.4g}") if isinstance(v, float) else v


class Bench:
    """Collects figures of one run; each is written at once, so an interrupted run keeps what it has."""

    def __init__(self, quick=False):
        self.quick = quick
        self.where = where()
        os.makedirs(OUT, exist_ok=True)

    def trials(self, full, quick):
        return quick if self.quick else full

    @staticmethod
    def forget(bench):
        """An old value is none where this run of the bench fails."""
        names = demanded()[bench]
        if any(e.get("name") in names for e in load()):
            save([e for e in load() if e.get("name") not in names])

    def figure(self, name, value, unit, goal=None, n=1, against=None, note=None, **more):
        met = meets(None if note else value, goal)
        if note:
            more["note"] = note
        entry = {"name": name, "value": tidy(value), "unit": unit, "goal": goal, "met": met, "n": n,
                 "where": self.where, "against": {k: tidy(v) for k, v in (against or {}).items()}, **more}
        if self.quick:
            entry["quick"] = True
        save([e for e in load() if e.get("name") != name] + [entry])
        shown = "not measured" if value is None else f"{tidy(value)} {unit}"
        verdict = "" if goal is None else f"  goal {goal}: {'met' if entry['met'] else 'MISSED'}"
        print(f"  {name}: {shown}  (n={n}){verdict}" + (f"  against {entry['against']}" if against else "")
              + (f"  ({note})" if note else ""), flush=True)

    @staticmethod
    def say(text):
        print(f"    {text}", flush=True)


def bpf_object(name):
    """tests/bench/NAME.bpf.c, compiled."""
    source, target = f"{HERE}/{name}.bpf.c", f"{OUT}/{name}.bpf.o"
    os.makedirs(OUT, exist_ok=True)
    subprocess.run(["clang", "-target", "bpf", "-O2", "-g", "-Wall", "-I.", "-c", "-o", target, source], check=True, cwd=REPO)
    return target


def mean(values):
    return math.fsum(values) / len(values) if values else None


def run_ns(pid):
    """Nanoseconds all threads of a process have had a CPU."""
    total = 0
    for t in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{t}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total
