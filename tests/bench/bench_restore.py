# SPDX-License-Identifier: Apache-2.0
"""restore: the guard is killed with -9 at a random moment of a squeeze, a thousand times;
after ExecStopPost's --restore (or, every fourth time, the next start) every value and every
task is as before. The runaway goes on meanwhile."""
import random
import time

from lab import Lab

CHECK_WITHIN = 5.0


def changed(groups, before):
    return [now for g, was in zip(groups, before) for now in [g.state()] if now != was]


def squeezed(groups, before):
    """A lifeline weight on the victim is a change, but no squeeze."""
    return any(now[2] or now[0] != groups[0].tree.groups["victim"].path for now in changed(groups, before))


def cycle(lab, r, before, rng, by_restart):
    """(was it squeezed when killed, what was left, seconds until all was back)"""
    guard = lab.guard("enforce")
    guard.start()
    try:
        r.go()
        until = time.monotonic() + 4
        while time.monotonic() < until and not squeezed(r.groups, before):
            lab.health(0.2)
        time.sleep(rng.random() * 0.3)
        was = squeezed(r.groups, before)
        guard.kill9()
        start = time.monotonic()
        if by_restart:                                  # observe: it restores first and touches nothing after
            guard.mode = "observe"
            guard.start(wait=False)
        else:
            guard.restore()
        left = changed(r.groups, before)
        while left and time.monotonic() - start < CHECK_WITHIN:
            time.sleep(0.005)
            left = changed(r.groups, before)
        return was, left, time.monotonic() - start
    finally:
        r.pause()
        guard.stop()


def run(b):
    rng, n, done, residue, hit, slowest = random.Random(3), b.trials(1000, 12), 0, 0, 0, {True: 0.0, False: 0.0}
    with Lab() as lab:
        for name, part in (("siblings", 0.5), ("inside", 0.25), ("churn", 0.25)):
            with lab.runaway(name, seconds=3600) as r:
                before = [g.state() for g in r.groups]
                for i in range(round(n * part)):
                    by_restart = i % 4 == 0
                    was, left, took = cycle(lab, r, before, rng, by_restart)
                    done, hit, residue = done + 1, hit + was, residue + bool(left)
                    slowest[by_restart] = max(slowest[by_restart], took)
                    if left:
                        b.say(f"left behind by {name}: {left[:2]}")
    b.figure("restore: cycles of kill -9 with residue", residue, "cycles", "<= 0", n=done, squeezed_when_killed=hit,
             slowest_seconds_by_restore=slowest[False], slowest_seconds_by_restart=slowest[True])
