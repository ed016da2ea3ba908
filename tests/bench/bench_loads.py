# SPDX-License-Identifier: Apache-2.0
"""loads: normal work, side by side with a login now and then, in enforce mode with the
shipped policies: nothing may be squeezed. Each load has a cgroup of its own, as a service
or a container has, and ends at its first error: one that does not run is no load, and then
there is no value. A squeeze is any write to a cpu file of any of their cgroups, seen by
inotify, a task of theirs in another scheduling class, or a line of `why`."""
import os
import shutil
import subprocess
import time

from inotify import relief_watch
from lab import REPO, Lab, busy_share
from labpg import Postgres
from labtree import Missing, read

PACKAGES = ("perl-base", "coreutils", "libc-bin", "util-linux", "dpkg", "tzdata")
PARTS = ("debs", "logs", "b", "root")


def parallel_build(lab):
    return f"while :; do make -s -C {REPO} -j{2 * os.cpu_count()} B={lab.dir}/b all; rm -rf {lab.dir}/b; done"


def prepare(lab, argv, what, **more):
    p = lab.tree.spawn(argv, None, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    out, _ = p.communicate()
    if p.returncode != 0:
        raise Missing(f"{what}: {out.strip()[-300:]}")


def package_upgrade(lab):
    """dpkg in a small system of its own: unpack over what is there, maintainer scripts,
    configure and triggers, as an upgrade does; and apt's calculation of a whole one."""
    root, debs = f"{lab.dir}/root", f"{lab.dir}/debs"
    if not shutil.which("mmdebstrap"):
        raise Missing("package upgrade: mmdebstrap is missing: apt-get install mmdebstrap")
    os.makedirs(debs)
    suite = dict(l.split("=", 1) for l in read("/etc/os-release").splitlines() if "=" in l)["VERSION_CODENAME"]
    prepare(lab, ["mmdebstrap", "--quiet", "--mode=root", "--variant=essential", f"--include={','.join(PACKAGES)}", suite, root],
            "package upgrade: no small system could be made")
    prepare(lab, ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *PACKAGES], "package upgrade: no packages", cwd=debs)
    shutil.move(debs, f"{root}/debs")
    return (f"while :; do apt-get -s -qq dist-upgrade; "
            f"DEBIAN_FRONTEND=noninteractive chroot {root} sh -ec 'dpkg -i --force-downgrade /debs/*.deb'; done")


def backup(lab):
    return "while :; do tar -c --ignore-failed-read /usr/lib /usr/share | gzip -6 | sha256sum; done"


def log_rotation(lab):
    d = f"{lab.dir}/logs"
    os.makedirs(d)
    return (f"while :; do for i in $(seq 40); do seq 100000 > {d}/log.$i; mv {d}/log.$i {d}/log.$i.1; "
            f"gzip -9 -f {d}/log.$i.1; done; done")


def database(lab):
    return None                          # pgbench: see one()


LOADS = {"parallel build": parallel_build, "package upgrade": package_upgrade, "database benchmark": database,
         "backup with compression": backup, "log rotation": log_rotation}


def one(b, lab, guard, name, script_of, seconds):
    """(squeezes seen, busy share, logins)"""
    group = lab.tree.group("load")
    script, log = script_of(lab), f"{lab.dir}/load.log"
    pg = Postgres(lab) if script is None else None
    try:
        if pg:
            pg.start()
            pg.bench_init(5)
            load = pg.bench_start(seconds + 120, 2 * os.cpu_count(), group)
        else:
            with open(log, "wb") as out:
                load = lab.tree.spawn(["bash", "-e", "-o", "pipefail", "-c", script], group, stdout=subprocess.DEVNULL, stderr=out)
        # The database's own cgroup gets its lifeline's weight when it is found: no squeeze.
        watched = [group] + ([pg.group] if pg else [])
        said = len(guard.squeezed())
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
                if load.poll() is not None:
                    why = load.stdout.read() if pg else read(log)
                    raise Missing(f"{name}: the load ended by itself: {why.strip()[-300:]}")
        return seen + len(guard.squeezed()) - said, sum(busy) / len(busy), logins
    finally:
        if pg:
            pg.stop()
        lab.tree.drop("load")


def run(b):
    seconds, squeezed, detail, missing = b.trials(60, 8), 0, {}, []
    with Lab() as lab, lab.guard("enforce") as guard:
        for name, script_of in LOADS.items():
            try:
                seen, busy, logins = one(b, lab, guard, name, script_of, seconds)
            except Missing as e:
                b.say(str(e))
                missing.append(str(e))
                continue
            finally:
                for d in PARTS:
                    shutil.rmtree(f"{lab.dir}/{d}", ignore_errors=True)
            squeezed += seen > 0
            detail[name] = {"squeezed": seen, "busy_percent": round(100 * busy), "logins": len(logins),
                            "logins_failed": sum(not s.ok for s in logins), "login_worst": round(max(s.seconds for s in logins), 2)}
            b.say(f"{name}: {detail[name]}")
            if seen:
                for l in guard.why(12):
                    b.say("  " + l["text"])
            guard.wait_calm(20)
    b.figure("false squeezes: normal loads that were squeezed", None if missing else squeezed, "loads", "<= 0", n=len(detail),
             note="; ".join(missing) or None, seconds_each=seconds, loads=detail)
