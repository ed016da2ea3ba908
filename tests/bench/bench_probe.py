# SPDX-License-Identifier: Apache-2.0
"""probe: what the probe adds to a context switch, against the shape of bcc's runqlat.

bpf_stats counts the nanoseconds of each run of a program, and its own overhead with
them; a program that does nothing is measured in the same way and taken off. The three
take turns, several rounds, since the machine's clock rate drifts."""
import json
import subprocess

from bench import bpf_object, mean
from lab import median, tool


def measure(what, seconds):
    r = subprocess.run([tool("probecost"), what, str(seconds)], stdout=subprocess.PIPE, text=True, check=True)
    out = json.loads(r.stdout)
    switches = out["switches"]
    # all programs of a design, per switch: runqlat's wakeup program is part of its price
    return sum(p["runs"] * p["ns"] for p in out["programs"].values()) / switches, sum(
        p["runs"] for p in out["programs"].values()) / switches, switches


def run(b):
    empty, runqlat = bpf_object("empty"), bpf_object("runqlat")
    rounds, seconds = b.trials(5, 2), b.trials(2, 1)
    costs, runs, events = {"empty": [], "probe": [], "runqlat": []}, {}, 0
    for _ in range(rounds):
        for name, what in (("empty", empty), ("probe", "probe"), ("runqlat", runqlat)):
            cost, per, n = measure(what, seconds)
            costs[name].append(cost)
            runs.setdefault(name, []).append(per)
            events += n
    floor = median(costs["empty"])
    other = median(costs["runqlat"]) - floor * mean(runs["runqlat"])
    b.figure("probe: net cost per context switch", median(costs["probe"]) - floor, "ns", "<= 30", n=events,
             against={"bcc runqlat's shape": other})
