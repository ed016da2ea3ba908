# SPDX-License-Identifier: Apache-2.0
"""peak: a legitimate peak. An HTTP API (tools/httpd-sql) with a real PostgreSQL, closed-loop
clients that keep the machine at 95 to 100 %, a login now and then. Throughput and p99
with reprieve against the same without, in every mode, with the policies as they are
shipped; once more in enforce with what whoever runs the API would write, which has no goal.
Runs with and without take turns, in both orders, since the machine's speed drifts more
than what is to be seen. A round below 95 % is no peak, and then there is no value."""
import subprocess
import threading

from bench import mean
from lab import Lab, busy_share, median, tool
from labguard import policy_text
from labpg import Postgres

CLIENTS = 24
PEAK = 0.95


def written(lab, api, port):
    return {"60-lab.policy": policy_text(lab),
            "70-api.policy": f"[Throttle api]\nCgroups={api.path}\nUsefulWork=yes\n\n"
                             f"[Endpoint api]\nURL=http://127.0.0.1:{port}/health\nCgroups={api.path}\n"}


def turn(lab, pg, port, seconds):
    """One run of the clients: (rate, p99 in ms, busy share)."""
    pg.sql("vacuum pgbench_accounts")
    stop = threading.Event()

    def people():
        while not stop.wait(2):
            lab.login(30)
    t = threading.Thread(target=people, daemon=True)
    t.start()
    p = lab.tree.spawn([tool("httploop"), "-p", str(port), "-c", str(CLIENTS), "-d", str(seconds), "-P", "/order?id=%d"], None,
                       stdout=subprocess.PIPE, text=True)
    busy = busy_share(max(1, seconds - 2))
    out, _ = p.communicate(timeout=seconds + 60)
    stop.set()
    t.join()
    words = out.split()
    v = dict(zip(words[::2], words[1::2]))
    if int(v["errors"]):
        raise RuntimeError(f"the API answered {v['errors']} requests with an error")
    return float(v["rate"]), int(v["p99_us"]) / 1e3, busy


def compare(b, lab, pg, port, mode, policies):
    """{with it: rates}, {with it: p99s}, busy shares, lines of why that squeezed"""
    seconds, rounds = b.trials(12, 5), b.trials(3, 1)
    rates, p99s, busy, squeezed = {True: [], False: []}, {True: [], False: []}, [], []
    for i in range(2 * rounds):
        for with_it in ((False, True) if i % 2 else (True, False)):
            if with_it:
                with lab.guard(mode, policies=policies) as guard:
                    guard.wait_calm(5)
                    r = turn(lab, pg, port, seconds)
                    squeezed += guard.squeezed()
            else:
                r = turn(lab, pg, port, seconds)
            rates[with_it].append(r[0])
            p99s[with_it].append(r[1])
            busy.append(r[2])
    return rates, p99s, busy, squeezed


def figures(b, label, goals, rates, p99s, busy, squeezed):
    more = {"n": len(rates[True]), "busy_percent_least": round(100 * min(busy), 1), "busy_percent": round(100 * mean(busy), 1),
            "note": None if min(busy) >= PEAK else f"no peak: a round used only {100 * min(busy):.0f} % of the machine"}
    kept, times = 100 * mean(rates[True]) / mean(rates[False]), median(p99s[True]) / median(p99s[False])
    b.figure(f"peak: throughput kept, {label}", None if more["note"] else kept, "%", goals and ">= 97",
             against={"requests/s without": mean(rates[False])}, squeezes=len(squeezed), squeezed=[l["text"] for l in squeezed[:5]], **more)
    b.figure(f"peak: p99 of the API, {label}", None if more["note"] else times, "times", goals and "<= 1.1",
             against={"ms without": median(p99s[False])}, **more)
    b.say(f"{label}: {len(squeezed)} squeezes, at least {more['busy_percent_least']} % busy")


def run(b):
    with Lab() as lab, Postgres(lab) as pg:
        pg.bench_init(2)
        api = lab.tree.group("api")
        p = lab.tree.spawn([tool("httpd-sql"), "-S", pg.sockets, "-d", "3600", "-w", "16"], api, stdout=subprocess.PIPE, text=True)
        try:
            port = int(p.stdout.readline().split()[1])
            turn(lab, pg, port, b.trials(12, 5))             # warm caches; not counted
            for mode in ("observe", "rescue", "enforce"):
                figures(b, mode, True, *compare(b, lab, pg, port, mode, {}))
            figures(b, "enforce, with a policy for the API", None, *compare(b, lab, pg, port, "enforce", written(lab, api, port)))
        finally:
            p.kill()
            p.wait()
            p.stdout.close()
            lab.tree.drop("api")
