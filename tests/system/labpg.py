# SPDX-License-Identifier: Apache-2.0
"""labpg: a real PostgreSQL of the lab's own, in a group of its own, on a unix socket only.

    with Postgres(lab) as pg:
        pg.bench_init(10)
        p = pg.runaway()          # one backend that burns CPU for ever
"""
import glob
import os
import pwd
import shutil
import subprocess
import time

from labtree import Missing, read


def binary(name):
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)
    path = found[0] if found else shutil.which(name)
    if not path:
        raise Missing(f"{name} is missing: apt-get install postgresql")
    return path


class Postgres:
    def __init__(self, lab, group="postgres"):
        self.lab, self.group = lab, lab.tree.group(group)
        self.dir = f"{lab.dir}/{group}"
        self.data, self.sockets, self.log = self.dir + "/data", self.dir + "/sockets", self.dir + "/log"
        self.proc = None
        try:
            self.user = pwd.getpwnam("postgres")
        except KeyError:
            raise Missing("there is no user postgres: apt-get install postgresql") from None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.stop()

    def _as(self, argv):
        return ["setpriv", f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups", "--pdeathsig=KILL",
                "env", "-C", self.dir, "LC_ALL=C", *argv]

    def _run(self, argv, **more):
        """A client, as an ordinary task at home; its output, RuntimeError where it fails."""
        p = self.lab.tree.spawn(self._as(argv), None, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        out, _ = p.communicate(timeout=more.get("timeout", 300))
        if p.returncode != 0:
            raise RuntimeError(f"{os.path.basename(argv[0])}: {out.strip()[-400:]}")
        return out

    def start(self):
        for d in (self.dir, self.sockets):
            os.makedirs(d, exist_ok=True)
            os.chown(d, self.user.pw_uid, self.user.pw_gid)
        self._run([binary("initdb"), "-D", self.data, "-A", "trust", "-U", "postgres", "--no-sync"])
        with open(self.log, "wb") as log:
            self.proc = self.lab.tree.spawn(self._as([binary("postgres"), "-D", self.data, "-k", self.sockets, "-h", "", "-p", "5432",
                                                      "-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_buffers=128MB"]),
                                            self.group, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not os.path.exists(self.sockets + "/.s.PGSQL.5432") or not self._answers():
            if self.proc.poll() is not None or time.monotonic() > deadline:
                raise Missing("PostgreSQL did not start: " + read(self.log)[-400:])
            time.sleep(0.1)

    def _answers(self):
        try:
            return self.sql("select 1").strip() == "1"
        except RuntimeError:
            return False

    def client(self, name):
        return [binary(name), "-h", self.sockets, "-U", "postgres"]

    def sql(self, text):
        return self._run(self.client("psql") + ["-XqAt", "-d", "postgres", "-c", text])

    def bench_init(self, scale=5):
        self._run(self.client("pgbench") + ["-i", "-q", "-F", "60", "-s", str(scale), "postgres"])

    def bench(self, seconds, clients=8, group=None):
        """pgbench's own report, as text; the client in `group` or at home."""
        p = self.bench_start(seconds, clients, group)
        out, _ = p.communicate(timeout=seconds + 60)
        return out

    def bench_start(self, seconds, clients=8, group=None):
        return self.lab.tree.spawn(self._as(self.client("pgbench") + ["-c", str(clients), "-j", "2", "-T", str(seconds), "-n", "postgres"]),
                                   group, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def runaway(self, n=1, seconds=120):
        """n backends that burn CPU in SQL, each asked for by a client that waits; returns the clients."""
        query = (f"set statement_timeout = '{seconds}s'; with recursive t(n) as (select 1 union all select n + 1 from t) "
                 "select count(*) from t where n < 0")
        return [self.lab.tree.spawn(self._as(self.client("psql") + ["-Xqd", "postgres", "-c", query]), None,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(n)]

    def backends(self):
        """{pid: what it does} of the backends of clients."""
        out = {}
        for line in self.sql("select pid, state from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()").split():
            pid, _, state = line.partition("|")
            out[int(pid)] = state
        return out

    def stop(self):
        if self.proc is not None and self.proc.poll() is None:
            self.proc.send_signal(3)                    # immediate shutdown
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.proc = None
        self.lab.tree.drop(self.group.name)
