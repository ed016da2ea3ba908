# SPDX-License-Identifier: Apache-2.0
"""The act layer's scenarios (tests/system/actlab.py) on this kernel's own cgroup v2:
SIGKILL at every write, threaded jails, cgroup.kill, drift, forks of lowered tasks."""

import os
import shutil
import sys

import lib
from lib import hold, note

TESTS = []
DRIVER = lib.DISK + "/act-driver"


@lib.test(TESTS, limit=900)
def act_v2(c):
    driver = lib.RUN + "/act-driver"
    shutil.copy(DRIVER, driver)
    out = lib.sh(sys.executable, "-u", os.path.join(os.path.dirname(os.path.abspath(__file__)), "actlab.py"), driver,
                 timeout=850, ok=False)
    for line in out.splitlines():
        note(line)
    good = sum(line.startswith("OK ") for line in out.splitlines())
    bad = [line.split(" Traceback")[0] for line in out.splitlines() if line.startswith("FAIL ")]
    hold(not bad and good >= 20, f"{good} scenarios hold, not these: {bad}")
