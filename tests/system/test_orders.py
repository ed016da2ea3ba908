# SPDX-License-Identifier: Apache-2.0
"""What a person says: it is done at once, and it holds."""
import time

import pytest

from conftest import eventually, why_text
from test_relief import first_squeeze, policy, probing, siblings, squeezed, unleashed  # noqa: F401


def test_release_pause_and_resume_by_command(lab, unleashed):
    free = {g.path: g.controls() for g in unleashed.groups}

    def as_they_were(paths):
        return all(g.controls() == free[g.path] for g in unleashed.groups if g.path in paths)
    with squeezed(lab, unleashed) as g:
        paths = [q["cgroup"] for q in g.squeezes()]
        one = paths[0]
        assert not as_they_were([one])
        assert "released" in g.cli("release", one)["done"]
        assert as_they_were([one]) and one not in {q["cgroup"] for q in g.squeezes()}
        assert "by command" in why_text(g)
        g.cli("pause", "20s", "--reason", "a test")
        assert eventually(lambda: as_they_were(paths), 3)
        s = g.status()
        assert s["state"] == "paused" and s["squeezes"] == [] and s["pause_reason"] == "a test"
        time.sleep(2)
        assert as_they_were(paths), "squeezed while paused"
        g.cli("resume")
        first_squeeze(lab, g)
        assert one not in {q["cgroup"] for q in g.squeezes()}, "what a person released stays so"
        time.sleep(0.5)
        assert "0 left" in g.cli("release", "--all")["done"]
        assert as_they_were(list(free)) and g.squeezes() == []
        time.sleep(2)
        released = {q["cgroup"] for q in g.squeezes()} & set(paths)
        assert not released, "what a person released stays so"
        unleashed.pause()


@pytest.mark.parametrize("how", ["kill9", "restart"])
def test_release_all_holds_over_a_restart(lab, unleashed, how):
    """A person's word: the next guard squeezes nothing either, until it is ended by hand."""
    free = {g.path: g.controls() for g in unleashed.groups}
    guard = lab.guard("enforce", settings={"Lifeline": "no"}, policies=policy(lab), shipped=False)
    with guard as g, probing(lab):
        unleashed.go()
        assert g.wait_squeeze(30) is not None, why_text(g)
        g.release_all()
        if how == "kill9":
            g.kill9()
            g.restore()
        else:
            g.stop()
        g.start()
        assert g.wait_for(lambda s: s["state"] != "calm", 10) is not None, why_text(g)
        assert g.wait_squeeze(6) is None, why_text(g)
        assert all(x.controls() == free[x.path] for x in unleashed.groups)
        g.cli("resume")
        assert g.wait_squeeze(30) is not None, why_text(g)
