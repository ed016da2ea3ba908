# SPDX-License-Identifier: Apache-2.0
"""restore: the guard is killed with -9 at a random moment of a squeeze, a thousand times;
after ExecStopPost's --restore (or, every fourth time, the next start) every value and every
task is as before. The runaway goes on meanwhile. Only a kill with something squeezed
counts; others are repeated, and counted apart. Siblings are what is restored in many
cgroups, inside in many tasks; fork churn would only add what is squeezed late."""
import random
import threading
import time

from lab import Lab

CHECK_WITHIN = 5.0
NOTICE = 4.0                             # a squeeze that has not begun by then: the kill hits nothing
LONGEST = 1.8                            # seconds a cycle, on average, before the bench gives up


def changed(groups, before):
    return [now for g, was in zip(groups, before) for now in [g.state()] if now != was]


def squeezed(groups, before):
    """A lifeline weight on the victim is a change, but no squeeze."""
    victim = groups[0].tree.groups["victim"].path
    return any(now[2] or now[0] != victim for g, was in zip(groups, before) for now in [g.state()] if now != was)


def cycle(lab, r, before, rng, by_restart):
    """(was it squeezed when killed, what was left, seconds until all was back)"""
    guard = lab.guard("enforce")
    guard.start()
    try:
        r.go()
        until = time.monotonic() + NOTICE
        while time.monotonic() < until and not squeezed(r.groups, before):
            time.sleep(0.01)
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


class Tally:
    def __init__(self):
        self.hit, self.missed, self.residue, self.slowest = 0, 0, 0, {True: 0.0, False: 0.0}

    def cycles(self, b, lab, name, want, until, rng):
        """Until that many of them hit; False where the time is over."""
        with lab.runaway(name, seconds=3600) as r:
            before, i = [g.state() for g in r.groups], 0
            while want > 0:
                if time.monotonic() > until:
                    return False
                was, left, took = cycle(lab, r, before, rng, i % 4 == 0)
                self.slowest[i % 4 == 0] = max(self.slowest[i % 4 == 0], took)
                self.hit, self.missed, self.residue = self.hit + was, self.missed + (not was), self.residue + bool(left)
                want, i = want - was, i + 1
                if left:
                    b.say(f"left behind by {name}: {left[:2]}")
        return True


def run(b):
    rng, n, tally, stop = random.Random(3), b.trials(1000, 12), Tally(), threading.Event()
    began = time.monotonic()
    with Lab() as lab:
        def ask():                                      # somebody has to be harmed
            while not stop.wait(0.02):
                lab.health(0.2)
        asker = threading.Thread(target=ask, daemon=True)
        asker.start()
        try:
            for name, part in (("siblings", 0.5), ("inside", 0.5)):
                if not tally.cycles(b, lab, name, round(n * part), time.monotonic() + max(30, LONGEST * n * part), rng):
                    b.say(f"{name}: the time is over")
        finally:
            stop.set()
            asker.join()
    enough = tally.hit * 3 >= n
    note = None if tally.hit >= n else f"{tally.hit} of {n} kills that hit a squeeze within the time"
    # Residue is residue, however few the cycles were.
    b.figure("restore: cycles of kill -9 with residue", tally.residue if enough or tally.residue else None, "cycles", "<= 0", n=tally.hit,
             note=note, kills_that_hit_nothing=tally.missed, seconds_a_cycle=(time.monotonic() - began) / max(1, tally.hit + tally.missed),
             slowest_seconds_by_restore=tally.slowest[False], slowest_seconds_by_restart=tally.slowest[True])
