# SPDX-License-Identifier: Apache-2.0
"""logins: a whole ssh login when idle, under each of the three runaways with reprieve
(100 each), and without it and with each peer (10 each, cut at 30 s). In enforce mode.
Logins begun before the first relief write are counted apart: one is in flight when the
runaway is let loose, as in life."""
import os
import threading
import time

from inotify import relief_watch
from lab import LOGIN_TIMEOUT, RUNAWAYS, Lab, Runaway, harmed, quantile
from labtree import Missing
from peers import NAMES, NOBODY, START

WARM = 5.0                       # a peer may take its time before it is judged


def seconds(samples):
    return [s.seconds for s in samples]


class AsNobody(Runaway):
    """The same load by a user of its own, since `and` leaves root's jobs alone."""

    def _spawn_stopped(self, argv, group):
        return super()._spawn_stopped(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *argv], group)


def first_relief(lab, name, runaway, guard):
    """Lets it loose with a login in flight. (login begun before relief, seconds to relief)"""
    early = []
    t = threading.Thread(target=lambda: early.append(lab.login()))
    groups = [g for g in runaway.groups if g.name != "victim"]
    with relief_watch(groups) as watch:
        watch.clear()
        t.start()
        go = runaway.go()
        if groups:
            seen = watch.wait(20)
            took = seen[0] - go if seen else None
        else:
            took = guard.wait_squeeze(20)
    t.join()
    return early[0], took


def with_reprieve(b, lab):
    """{runaway: (samples, the early login, seconds to relief)}"""
    out = {}
    for name in RUNAWAYS:
        with lab.runaway(name) as r, lab.guard("enforce") as guard:
            guard.wait_calm(10)
            time.sleep(1)
            early, took = first_relief(lab, name, r, guard)
            out[name] = [lab.login() for _ in range(b.trials(100, 10))], early, took
        lab.settle(timeout=10)
    return out


def write(b, idle, mine, others):
    """The figures; `others` may still be empty, since those runs take longest."""
    base = quantile(seconds(idle), 0.99)
    for name, (samples, early, took) in mine.items():
        title, rivals = RUNAWAYS[name]["title"], others.get(name, {})
        failures = sum(not s.ok for s in samples)
        against = {"idle p99": base, **{f"{who} p50": quantile(seconds(v), 0.5) for who, v in rivals.items()}}
        b.figure(f"login under \"{title}\" with reprieve, p99", quantile(seconds(samples), 0.99), "s", f"<= {1.5 * base:.3g}",
                 n=len(samples), against=against, p50=quantile(seconds(samples), 0.5), max=max(seconds(samples)),
                 harm_shown=harmed(idle, rivals["nothing"]) if "nothing" in rivals else None,
                 begun_before_relief={"n": 1, "seconds": early.seconds, "ok": early.ok}, seconds_to_relief=took)
        b.figure(f"login under \"{title}\" with reprieve, failures", failures, "logins", "<= 0", n=len(samples),
                 against={f"{who}, of {len(v)}": sum(not s.ok for s in v) for who, v in rivals.items()})


def without(b, lab):
    """{runaway: {"nothing" or a peer: samples}}"""
    n, out = b.trials(10, 2), {}
    for name in RUNAWAYS:
        out[name] = {}
        for who in ("nothing",) + NAMES:
            with AsNobody(lab, name) as r:
                try:
                    if who == "nothing":
                        r.go()
                        time.sleep(1)
                        out[name][who] = [lab.login(LOGIN_TIMEOUT) for _ in range(n)]
                    else:
                        with START[who](lab):
                            r.go()
                            time.sleep(WARM)
                            out[name][who] = [lab.login(LOGIN_TIMEOUT) for _ in range(n)]
                except Missing as e:
                    b.say(str(e))
                    continue
            b.say(f"{name}, {who}: " + " ".join(f"{s.seconds:.2f}{'' if s.ok else '!'}" for s in out[name][who]))
            lab.settle(timeout=10)
    return out


def run(b):
    os.environ.setdefault("LC_ALL", "C")
    with Lab() as lab:
        lab.settle()
        idle = [lab.login() for _ in range(b.trials(100, 10))]
        b.figure("login when idle, p99", quantile(seconds(idle), 0.99), "s", None, n=len(idle), p50=quantile(seconds(idle), 0.5),
                 max=max(seconds(idle)))
        mine = with_reprieve(b, lab)
        write(b, idle, mine, {})
        write(b, idle, mine, without(b, lab))
