# SPDX-License-Identifier: Apache-2.0
"""Runs the guest tests, one after the other, and reports each in one line.

Before its FAIL comes `broken NAME` where no slow host explains it (lib.Broken, an error in the
test): that one is not tried again.

    main.py [--self] [--list] [--verbose] [NAME...]

A module's tests are its functions that carry @lib.test; they run in the order
in which they stand, the ones of `base` (which need no product) first; of those,
only the first three run unless --self or a name asks for more. Each has
its own time limit. What a test leaves running is stopped before the next.
"""

import os
import shutil
import signal
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import act  # noqa: E402
import base  # noqa: E402
import lib  # noqa: E402
import relief  # noqa: E402


class TimedOut(BaseException):
    pass


def on_alarm(signum, frame):
    signal.alarm(5)  # again, if what it interrupts swallows it
    raise TimedOut()


def prepare():
    os.makedirs(lib.RUN, exist_ok=True)
    lib.write(lib.CGROUP + "/cgroup.procs", str(os.getpid()))
    os.setpriority(os.PRIO_PROCESS, 0, lib.NICE)
    # The disk's files belong to whoever built it; ssh is particular.
    shutil.copy(lib.DISK + "/hog", lib.RUN + "/hog")
    lib.sh("mount", "-o", "remount,exec", "/run")
    shutil.copy(lib.DISK + "/key", lib.RUN + "/key")
    os.chown(lib.RUN + "/key", 0, 0)
    os.chmod(lib.RUN + "/key", 0o600)
    shutil.copy(lib.DISK + "/key.pub", "/etc/ssh/vm-keys/all")
    os.chmod("/etc/ssh/vm-keys/all", 0o644)


def run_one(test, context):
    print("run " + test.name, flush=True)
    began = time.monotonic()
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(test.limit)
    why, broken = None, False
    try:
        test.function(context)
    except lib.Failure as e:
        why, broken = str(e), isinstance(e, lib.Broken)
    except TimedOut:
        why = f"not done within {test.limit} s"
    except Exception as e:
        for line in traceback.format_exc().splitlines():
            lib.note(line)
        why, broken = f"{type(e).__name__}: {e}", True
    finally:
        signal.alarm(0)
    took = time.monotonic() - began
    try:
        lib.settle()
    except lib.Failure as e:
        why = why or f"left behind: {e}"
    lib.note(f"{test.name}: {took:.0f} s")
    if why:
        if broken:
            print(f"broken {test.name}", flush=True)
        print(f"FAIL {test.name}: " + " ".join(why.split()), flush=True)
    else:
        print(f"ok {test.name}", flush=True)


def main(argv):
    only_self = "--self" in argv
    names = [a for a in argv if not a.startswith("-")]
    tests = base.TESTS + ([] if only_self else relief.TESTS + act.TESTS)
    # Harm is shown by each relief test too, and what systemd resets is for the curious.
    usual = base.TESTS if only_self else base.TESTS[:3] + relief.TESTS + act.TESTS
    if "--list" in argv:
        for t in tests:
            print(t.name)
        return
    unknown = set(names) - {t.name for t in tests}
    context = lib.Context()
    lib.Guard.verbose = "--verbose" in argv
    prepare()
    n = 0
    for name in sorted(unknown):
        print(f"broken {name}\nFAIL {name}: no such test", flush=True)
        n += 1
    for t in tests:
        if t.name in names or not names and t in usual:
            run_one(t, context)
            n += 1
    print(f"done {n}", flush=True)


main(sys.argv[1:])
