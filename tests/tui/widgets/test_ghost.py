"""The curve of the run before is compared with that of this one, so it is drawn and read as that is."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from descent.run.follower import Follower
from tests.helpers.recorded_run import PER_EPOCH, record
from tui.widgets.chart_sources import GHOSTS, with_ghost


@pytest.mark.parametrize("pane", GHOSTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.6])
def test_the_ghost_of_a_run_lies_on_its_own_curve(tmp_path: Path, pane: str, smoothing: float) -> None:
    """A learner would see a difference where nothing has changed: it was rough, and of the last batch."""
    run = record(tmp_path)
    draw = partial(GHOSTS[pane], Follower(run), smoothing=smoothing)
    chart: Any = SimpleNamespace(source=draw, smoothing=smoothing)
    data = with_ghost(chart, pane, Follower(run))(120, None)
    (own,) = [line for line in data.lines if line.name and line.style == "train"]
    (ghost,) = [line for line in data.lines if line.style == "ghost"]
    assert ghost.latest == own.latest
    np.testing.assert_array_equal(ghost.high, own.high)
    if pane != "gradient":
        column = Follower(run).series(pane).values(0)
        assert ghost.latest == pytest.approx(
            column[-PER_EPOCH:].mean() * (100 if pane == "accuracy" else 1), rel=1e-4
        )
