# SPDX-License-Identifier: Apache-2.0
"""More cgroups than the probe has places of their own for."""
import os

from conftest import why_text
from test_relief import policy, probing


def test_the_newest_of_5000_cgroups_are_found(lab, calm):
    """The culprits come last, so their ids are the highest."""
    top, made = lab.tree.group("crowd").cpu, []
    try:
        for i in range(5000):
            os.mkdir(f"{top}/c{i}")
            made.append(f"{top}/c{i}")
        with lab.runaway("siblings") as r, lab.guard("enforce", policies=policy(lab), shipped=False) as g, probing(lab):
            r.go()
            assert g.wait_squeeze(20) is not None, (g.status()["suspects"][:3], why_text(g))
            assert {q["cgroup"] for q in g.squeezes()} <= {x.path for x in r.groups}
    finally:
        for d in made:
            os.rmdir(d)
        lab.tree.drop("crowd")
