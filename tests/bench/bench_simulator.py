# SPDX-License-Identifier: Apache-2.0
"""simulator: machine-hours per minute of one core, calm and alarm mixed as in life.
The simulator prints the figure itself."""
import os
import re
import subprocess

from bench import BUILD
from labtree import Missing


def run(b):
    sim = os.path.join(BUILD, "tests", "sim")
    if not os.access(sim, os.X_OK):
        raise Missing(f"{sim} is not built: run make tests")
    n = b.trials(64, 8)
    r = subprocess.run([sim, "--life", "--seeds", str(n)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    m = re.search(r"([\d.]+)% of the ticks in alarm: (\d+) simulated machine-hours", r.stdout)
    if not m:
        raise Missing(f"the simulator failed: {r.stdout[-300:]}")
    b.figure("simulator: machine-hours per minute of one core", int(m.group(2)), "h", ">= 10000", n=n,
             alarm_percent=float(m.group(1)), failed=r.returncode != 0)
