# SPDX-License-Identifier: Apache-2.0
"""restore: the guard is killed with -9 at a random moment of a squeeze, a thousand times;
after the next start (or, every fourth time, ExecStopPost's --restore) every value and
every task is as before. The runaway goes on all the time."""
import random
import time

from lab import Lab

CHECK_WITHIN = 5.0


def changed(groups, before):
    return [now for g, was in zip(groups, before) for now in [g.state()] if now != was]


def run(b):
    rng, n, residue, squeezed, slowest = random.Random(3), b.trials(1000, 12), 0, 0, 0.0
    with Lab() as lab:
        for name, part in (("siblings", 0.5), ("inside", 0.25), ("churn", 0.25)):
            with lab.runaway(name, seconds=3600) as r:
                before = [g.state() for g in r.groups]
                r.go()
                for i in range(max(1, round(n * part))):
                    guard = lab.guard("enforce")
                    guard.start()
                    until = time.monotonic() + 4
                    while time.monotonic() < until and not changed(r.groups, before):
                        lab.health(0.2)
                    squeezed += bool(changed(r.groups, before))
                    time.sleep(rng.random() * 0.3)
                    guard.kill9()
                    start = time.monotonic()
                    if i % 4 == 0:
                        guard.restore()
                    else:                               # observe: it restores first and touches nothing after
                        guard.mode = "observe"
                        guard.start(wait=False)
                    while changed(r.groups, before) and time.monotonic() - start < CHECK_WITHIN:
                        time.sleep(0.005)
                    slowest = max(slowest, time.monotonic() - start)
                    left = changed(r.groups, before)
                    residue += bool(left)
                    if left:
                        b.say(f"left behind: {left[:2]}")
                    guard.stop()
    b.figure("restore: cycles of kill -9 with residue", residue, "cycles", "<= 0", n=n, squeezed_when_killed=squeezed,
             slowest_seconds=slowest)
