"""Pictures from a shell: someone who asks for one gets its file, from a live run and from one that is over."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine import pictures
from tests.helpers.held_run import Held
from tests.helpers.processes import Child, Done

pytestmark = pytest.mark.slow


def test_a_live_run_is_drawn_between_two_steps(descent: Callable[..., Child], held: Held, runs: Path) -> None:
    child = descent(*held.start, "--runs-dir", str(runs))
    held.wait()
    asked = descent("picture", "mine", "confusion", "--set", "split=train", "--runs-dir", str(runs), "--json")
    listed = descent("picture", "mine", "--runs-dir", str(runs)).end()
    assert listed.code == 0, str(listed)
    assert "confusion          true class by predicted class" in listed.out
    assert "boundary           - not available for this run: each input is an image of 8 × 8" in listed.out
    held.release()
    answer = asked.end().json
    assert answer["ok"]
    made = pictures.read(Path(answer["picture"]))
    assert made.step == answer["step"]
    assert made.arrays["counts"].sum() == made.arrays["looked_at"]
    for words, said in (
        (["boundry"], "did you mean boundary?"),
        (["boundary"], "picture boundary is not available for this run: each input is an image of 8 × 8"),
        (["confusion", "--set", "sample=3"], "did you mean samples?"),
        (["confusion", "--set", "samples"], "must be OPTION=VALUE"),
    ):
        refused = descent("picture", "mine", *words, "--runs-dir", str(runs)).end()
        assert refused.code == 2
        assert said in refused.err
        assert "Traceback" not in refused.err
    descent("stop", "mine", "--discard", "--runs-dir", str(runs)).end()
    child.end()


@pytest.mark.usefixtures("warm")
def test_a_run_that_is_over_is_drawn_from_its_last_checkpoint(
    finished: tuple[Done, Path], descent: Callable[..., Child]
) -> None:
    """digits-mlp trains for less than a second: nobody could have asked in time."""
    done, folder = finished
    asked = descent("picture", str(folder / "runs" / "whole"), "mistakes", "--set", "most=2", "--json").end()
    assert asked.code == 0, str(asked)
    made = pictures.read(Path(asked.json["picture"]))
    assert made.step == asked.json["step"] == done.json["step"]
    assert made.arrays["images"].shape == (2, 1, 8, 8)
    assert made.arrays["images"].dtype == np.uint8
