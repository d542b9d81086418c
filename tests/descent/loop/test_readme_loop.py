"""The README's loop must work as it is written: it is the first that somebody with a script copies."""

import pytest

from tests.helpers.loops import Made
from tests.helpers.readme_loop import BEFORE_README, readme_loop

pytestmark = pytest.mark.slow


def test_the_readmes_loop_is_exact(script: Made) -> None:
    """A reader's first try would end in a traceback, or not keep what it promises."""
    text = (BEFORE_README + readme_loop()).replace("epochs=400", "epochs=1")
    done = script("readme").start(text, watched=True).end()
    assert done.code == 0, done.err
    told = done.run.last("exact")
    assert told is not None
    assert told["why_not"] == []
    facts = done.run.facts()
    assert (facts["settings"][0]["name"], facts["actions"]) == ("smoothing", ["reset-head"])
