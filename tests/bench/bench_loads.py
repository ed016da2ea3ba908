# SPDX-License-Identifier: Apache-2.0
"""loads: normal work, side by side with a login now and then, in enforce mode with the
shipped policies: nothing may be squeezed. Each load has a cgroup of its own, as a service
or a container has. A squeeze is any write to a cpu file of any of their cgroups, seen by
inotify, or a task of theirs in another scheduling class."""
import glob
import os
import shutil
import subprocess
import time

from inotify import relief_watch
from lab import REPO, Lab, busy_share
from labpg import Postgres
from labtree import Missing

PACKAGES = ("perl-base", "coreutils", "openssl", "openssh-client", "gdb", "cpp-12")


def parallel_build(lab, seconds):
    return f"while :; do make -s -C {REPO} -j{2 * os.cpu_count()} B={lab.dir}/b all; rm -rf {lab.dir}/b; done"


def package_upgrade(lab, seconds):
    """Dependency calculation and unpacking of real packages, as apt and dpkg do in an upgrade."""
    d = f"{lab.dir}/debs"
    os.makedirs(d, exist_ok=True)
    for p in PACKAGES:
        subprocess.run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", p], cwd=d,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not glob.glob(d + "/*.deb"):
        raise Missing("no package could be downloaded for the package-upgrade load")
    return (f"while :; do apt-get -s -qq dist-upgrade; for p in {d}/*.deb; do dpkg-deb -x $p {d}/x; dpkg-deb -I $p; done; "
            f"find {d}/x -type f | xargs sha256sum; rm -rf {d}/x; done")


def backup(lab, seconds):
    return "while :; do tar -c /usr/lib /usr/share 2>/dev/null | gzip -6 | sha256sum; done"


def log_rotation(lab, seconds):
    d = f"{lab.dir}/logs"
    os.makedirs(d, exist_ok=True)
    return (f"while :; do for i in $(seq 40); do dmesg > {d}/log.$i; seq 60000 >> {d}/log.$i; mv {d}/log.$i {d}/log.$i.1; "
            f"gzip -9 -f {d}/log.$i.1; done; done")


def database(lab, seconds):
    return None


LOADS = {"parallel build": parallel_build, "package upgrade": package_upgrade, "database benchmark": database,
         "backup with compression": backup, "log rotation": log_rotation}


def one(b, lab, guard, name, prepare, seconds):
    """(squeezes seen, busy share, logins)"""
    group = lab.tree.group("load")
    script = prepare(lab, seconds)
    pg = Postgres(lab) if script is None else None
    try:
        if pg:
            pg.start()
            pg.bench_init(5)
            load = pg.bench_start(seconds + 5, 2 * os.cpu_count(), group)
        else:
            load = lab.tree.spawn(["sh", "-c", script], group, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # The database's own cgroup gets its lifeline's weight when it is found: no squeeze.
        watched = [group] + ([pg.group] if pg else [])
        seen, logins, busy, until = 0, [], [], time.monotonic() + seconds
        with relief_watch([group]) as watch:
            watch.clear()
            while time.monotonic() < until:
                logins.append(lab.login(30))
                busy.append(busy_share(1.0))
                if watch.wait(0):
                    seen += 1
                    watch.clear()
                seen += any(g.state()[2] for g in watched) or bool(guard.squeezes())
        if load.poll() is not None and not pg:
            raise Missing(f"the load \"{name}\" ended by itself")
        return seen, sum(busy) / len(busy), logins
    finally:
        if pg:
            pg.stop()
        lab.tree.drop("load")


def run(b):
    seconds, squeezed, detail, asked = b.trials(60, 8), 0, {}, 0
    with Lab() as lab, lab.guard("enforce") as guard:
        for name, prepare in LOADS.items():
            try:
                seen, busy, logins = one(b, lab, guard, name, prepare, seconds)
            except Missing as e:
                b.say(str(e))
                continue
            asked += 1
            squeezed += seen > 0
            detail[name] = {"squeezed": seen, "busy_percent": round(100 * busy), "login_worst": round(max(s.seconds for s in logins), 2)}
            b.say(f"{name}: {detail[name]}")
            if seen:
                for l in guard.why(12):
                    b.say("  " + l["text"])
            guard.wait_calm(20)
        for d in ("debs", "logs", "b"):
            shutil.rmtree(f"{lab.dir}/{d}", ignore_errors=True)
    b.figure("false squeezes: normal loads that were squeezed", squeezed if asked else None, "loads", "<= 0", n=asked, seconds_each=seconds,
             loads=detail)
