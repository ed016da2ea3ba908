# SPDX-License-Identifier: Apache-2.0
"""peak: a legitimate peak. An HTTP API (tools/httpd-sql) with a real PostgreSQL, closed-loop
clients that keep the machine at 95 to 100 %, a login now and then. Throughput and p99
with reprieve against the same without, in every mode. Runs with and without take turns,
in both orders, since the machine's speed drifts more than what is to be seen."""
import subprocess
import threading

from bench import mean
from lab import Lab, busy_share, median, tool
from labguard import policy_text
from labpg import Postgres

CLIENTS = 24


def policies(lab, api, port):
    """What whoever runs the API would write."""
    return {"60-lab.policy": policy_text(lab),
            "70-api.policy": f"[Throttle api]\nCgroups={api.path}\nUsefulWork=yes\n\n"
                             f"[Endpoint api]\nURL=http://127.0.0.1:{port}/health\nCgroups={api.path}\n"}


def turn(lab, pg, port, seconds):
    """One run of the clients: (rate, p99 in ms, busy share)."""
    pg.sql("vacuum pgbench_accounts")
    stop, busy = threading.Event(), []

    def people():
        while not stop.wait(2):
            lab.login(30)
    t = threading.Thread(target=people, daemon=True)
    t.start()
    p = lab.tree.spawn([tool("httploop"), "-p", str(port), "-c", str(CLIENTS), "-d", str(seconds), "-P", "/order?id=%d"], None,
                       stdout=subprocess.PIPE, text=True)
    busy.append(busy_share(max(1, seconds - 2)))
    out, _ = p.communicate(timeout=seconds + 60)
    stop.set()
    t.join()
    words = out.split()
    v = dict(zip(words[::2], words[1::2]))
    if int(v["errors"]):
        raise RuntimeError(f"the API answered {v['errors']} requests with an error")
    return float(v["rate"]), int(v["p99_us"]) / 1e3, busy[0]


def run(b):
    seconds, rounds = b.trials(12, 5), b.trials(4, 1)
    with Lab() as lab, Postgres(lab) as pg:
        pg.bench_init(2)
        api = lab.tree.group("api")
        p = lab.tree.spawn([tool("httpd-sql"), "-S", pg.sockets, "-d", "3600", "-w", "16"], api, stdout=subprocess.PIPE, text=True)
        try:
            port = int(p.stdout.readline().split()[1])
            turn(lab, pg, port, seconds)                     # warm caches; not counted
            for mode in ("observe", "rescue", "enforce"):
                rates, p99s, busy, squeezes = {True: [], False: []}, {True: [], False: []}, [], 0
                for i in range(2 * rounds):
                    for with_it in ((False, True) if i % 2 else (True, False)):
                        if with_it:
                            with lab.guard(mode, policies=policies(lab, api, port)) as guard:
                                guard.wait_calm(5)
                                r = turn(lab, pg, port, seconds)
                                squeezes += len(guard.squeezes())
                        else:
                            r = turn(lab, pg, port, seconds)
                        rates[with_it].append(r[0])
                        p99s[with_it].append(r[1])
                        busy.append(r[2])
                share = round(100 * mean(busy))
                b.figure(f"peak: throughput kept, {mode}", 100 * mean(rates[True]) / mean(rates[False]), "%", ">= 97", n=2 * rounds,
                         against={"requests/s without": mean(rates[False])}, busy_percent=share, squeezes_at_end=squeezes)
                b.figure(f"peak: p99 of the API, {mode}", median(p99s[True]) / median(p99s[False]), "times", "<= 1.1", n=2 * rounds,
                         against={"ms without": median(p99s[False])}, busy_percent=share)
        finally:
            p.kill()
            p.wait()
            p.stdout.close()
            lab.tree.drop("api")
