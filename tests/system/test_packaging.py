# SPDX-License-Identifier: Apache-2.0
"""What is shipped beside the programs: units as they are installed."""
import os
import re
import subprocess

import pytest

import lab as L
from labtree import read

UNITS = os.path.join(L.REPO, "packaging", "systemd")


def settings(name):
    """{key: [values]} of a unit."""
    out = {}
    for line in read(os.path.join(UNITS, name)).splitlines():
        key, sep, value = line.partition("=")
        if sep and not line.startswith("#"):
            out.setdefault(key, []).append(value)
    return out


def test_a_start_that_cannot_succeed_is_not_repeated():
    """Usage errors end with 64; test_faults shows the 75 of a second guard."""
    guard = os.path.join(L.BUILD, "reprieved")
    for wrong in (["--no-such"], ["--mode", "x"], ["word"]):
        assert subprocess.run([guard, *wrong], stderr=subprocess.DEVNULL).returncode == 64, wrong
    assert settings("reprieve.service")["RestartPreventExitStatus"] == ["64 75"]


def test_the_stewards_paths_exist_at_boot():
    """ReadWritePaths= is made when the service starts: "-" skips what is not there yet, and it stays read-only."""
    paths = " ".join(settings("reprieve-steward.service")["ReadWritePaths"]).split()
    assert "/run/systemd" in paths
    assert [p for p in paths if p.startswith("-")] == ["-/run/reprieve"]
