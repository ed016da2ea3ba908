# SPDX-License-Identifier: Apache-2.0
"""logins: a whole ssh login when idle, under each of the three runaways with reprieve
(100 each), and without it and with each peer (10 each, cut at 30 s). In enforce mode.
Logins begun before the first relief write are counted apart: one is in flight when the
runaway is let loose, as in life. The runaway is the same user's everywhere, nobody, since
`and` leaves root's jobs alone. Where it does not slow logins several times, the row says
so and is not met; a peer that did not run or did nothing has that for its figure."""
import os
import threading
import time

from inotify import relief_watch
from lab import LOGIN_TIMEOUT, RUNAWAYS, Lab, Runaway, harmed, quantile
from labtree import Missing
from peers import AS_NOBODY, NAMES, START, check_nobody

WARM = 5.0                       # a peer may take its time before it is judged
ACT_WITHIN = 20.0                # by then it has done something, or it does not count


def seconds(samples):
    return [s.seconds for s in samples]


class AsNobody(Runaway):
    def _spawn_stopped(self, argv, group):
        return super()._spawn_stopped([*AS_NOBODY, *argv], group)


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
        with AsNobody(lab, name) as r, lab.guard("enforce") as guard:
            guard.wait_calm(10)
            time.sleep(1)
            early, took = first_relief(lab, name, r, guard)
            out[name] = [lab.login() for _ in range(b.trials(100, 10))], early, took
        lab.settle(timeout=10)
    return out


def doubt(idle, rivals):
    """Why the comparison proves nothing; None where it does."""
    if "nothing" not in rivals:
        return "proves nothing: not measured without reprieve"
    if not harmed(idle, rivals["nothing"]):
        return "proves nothing: without reprieve logins are not several times slower"
    return None


def write(b, idle, mine, others):
    """The figures; `others` may still be empty, since those runs take longest."""
    base = quantile(seconds(idle), 0.99)
    for name, (samples, early, took) in mine.items():
        title, (rivals, out) = RUNAWAYS[name]["title"], others.get(name, ({}, {}))
        failures = sum(not s.ok for s in samples)
        more = {"n": len(samples), "note": doubt(idle, rivals), "harm_shown": harmed(idle, rivals["nothing"]) if rivals else None,
                "peers_that_acted": [who for who in rivals if who != "nothing"]}
        p99 = quantile(seconds(samples), 0.99)
        b.figure(f"login under \"{title}\" with reprieve, p99", p99, "s", f"<= {1.5 * base:.3g}",
                 against={"idle p99": base, **{f"{who} p50": quantile(seconds(v), 0.5) for who, v in rivals.items()}, **out},
                 p50=quantile(seconds(samples), 0.5), p99=p99, max=max(seconds(samples)),
                 begun_before_relief={"n": 1, "seconds": early.seconds, "ok": early.ok}, seconds_to_relief=took, **more)
        b.figure(f"login under \"{title}\" with reprieve, failures", failures, "logins", "<= 0",
                 against={f"{who}, of {len(v)}": sum(not s.ok for s in v) for who, v in rivals.items()} | out, failures=failures, **more)


def beside(lab, who, r, n):
    """Logins with a peer that is seen to run and to act; Missing where it does not."""
    with START[who](lab) as peer:
        r.go()
        time.sleep(WARM)
        peer.look(ACT_WITHIN)
        if not peer.alive():
            raise Missing(f"{who} no longer runs")
        samples = [lab.login(LOGIN_TIMEOUT) for _ in range(n)]
        if not peer.alive():
            raise Missing(f"{who} ended meanwhile")
        if not peer.look():
            raise Missing(f"{who} was not seen to do anything")
        return samples


def without(b, lab):
    """{runaway: ({"nothing" or a peer: samples}, {a peer: why it could not be measured})}"""
    n, result = b.trials(10, 2), {}
    for name in RUNAWAYS:
        rivals, out = result[name] = {}, {}
        for who in ("nothing",) + NAMES:
            with AsNobody(lab, name) as r:
                try:
                    if who == "nothing":
                        r.go()
                        time.sleep(1)
                        rivals[who] = [lab.login(LOGIN_TIMEOUT) for _ in range(n)]
                    else:
                        rivals[who] = beside(lab, who, r, n)
                except Missing as e:
                    b.say(f"{name}: {e}")
                    out[who] = str(e)
                    continue
            b.say(f"{name}, {who}: " + " ".join(f"{s.seconds:.2f}{'' if s.ok else '!'}" for s in rivals[who]))
            lab.settle(timeout=10)
    return result


def run(b):
    os.environ.setdefault("LC_ALL", "C")
    check_nobody()
    with Lab() as lab:
        lab.settle()
        idle = [lab.login() for _ in range(b.trials(100, 10))]
        b.figure("login when idle, p99", quantile(seconds(idle), 0.99), "s", None, n=len(idle), p50=quantile(seconds(idle), 0.5),
                 max=max(seconds(idle)))
        mine = with_reprieve(b, lab)
        write(b, idle, mine, {})
        write(b, idle, mine, without(b, lab))
