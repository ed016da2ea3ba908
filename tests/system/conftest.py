# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: one lab a module, a guard that leaves nothing behind,
and load that ends with the test.

A test is judged by ratios within its own run, since the machine is small, noisy and
shared. Where a load does no harm, the test fails and says so: what it would go on to
show proves nothing."""
import contextlib
import os
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as L  # noqa: E402

SETTLE_SHARE = 0.5                     # of the machine busy: calm enough to begin


def pytest_addoption(parser):
    parser.addoption("--settle", type=float, default=15, help="seconds a test waits for a calm machine before it begins")


def pytest_sessionstart(session):
    try:
        L.no_guard()
    except L.GuardRunning as e:
        pytest.exit(str(e), returncode=1)


def need_root():
    if os.geteuid() != 0:
        pytest.skip("needs: root")


@pytest.fixture(scope="module")
def lab():
    """The victim (an sshd and a health endpoint) and private cgroups."""
    need_root()
    try:
        place = L.Lab(signals=False)
        with place as made:
            yield made
    except L.Missing as e:
        pytest.skip(f"needs: lab ({e})")


@pytest.fixture(autouse=True)
def guards_end_well(monkeypatch):
    """Every guard ends by itself, with 0 and everything put back, unless the test killed it."""
    stop = L.Guard.stop

    def checked(guard):
        stop(guard)
        if guard.proc is not None:
            text = L.read(guard.log)
            assert guard.proc.returncode in (0, -9), f"the guard ended with {guard.proc.returncode}: {text[-1500:]}"
            assert "could be put back" not in text, text[-1500:]
    monkeypatch.setattr(L.Guard, "stop", checked)


@pytest.fixture
def loads():
    """Processes of a test: loads.add(popen), killed at its end."""
    with contextlib.ExitStack() as stack:
        class Loads:
            @staticmethod
            def add(p):
                def end():
                    if p.poll() is None:
                        p.kill()
                    p.wait()
                stack.callback(end)
                return p

            enter = staticmethod(stack.enter_context)
            callback = staticmethod(stack.callback)
        yield Loads


@pytest.fixture
def calm(lab, request):
    """Begins when the load of the test before has ended, and the machine's other users rest a while."""
    lab.settle(SETTLE_SHARE, request.config.getoption("--settle"))


def eventually(what, timeout, every=0.05):
    """what() until it is true; its value, or what it was last."""
    end = time.monotonic() + timeout
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(every)


def log_of(guard):
    return L.read(guard.log)


def why_text(guard, lines=200):
    return "\n".join(l["text"] for l in guard.why(lines))


def all_cgroups(layout):
    """{directory: cpu controls} of every cgroup there is, to compare before and after."""
    out = {}
    for where, dirs, files in os.walk(layout.cpu_root):
        for f in ("cpu.shares", "cpu.idle", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.weight", "cpu.max", "cpu.max.burst"):
            if f in files:
                with contextlib.suppress(OSError):
                    out[f"{where}/{f}"] = L.read(f"{where}/{f}").strip()
    return out
