"""A number that is looked for in the last rows alone must be the same as that of the whole series."""

from pathlib import Path

import numpy as np

from descent.run.folder import RunFolder, create
from descent.run.follower import Follower
from descent.run.metrics import Layout, MetricsWriter

LAYOUT = Layout.of(
    accuracy=False, members=({"member": 0, "seed": 0, "values": {}},), layers=({"name": "head", "kind": "linear"},)
)
RATIO = "layer.head.update_ratio"


def write(run: RunFolder, start: int, ratios: list[float]) -> None:
    rows = np.full((len(ratios), 1, len(LAYOUT.columns)), np.nan, np.float32)
    rows[:, 0, LAYOUT.columns.index(RATIO)] = ratios
    writer = MetricsWriter(run.path, start)
    writer.append(rows)
    writer.close()


def made(tmp_path: Path) -> RunFolder:
    run = create(tmp_path, "mine", "", {})
    LAYOUT.save(run.path)
    return run


def test_it_follows_the_run_and_passes_over_what_was_not_measured(tmp_path: Path) -> None:
    run = made(tmp_path)
    write(run, 0, [1.0, float("nan"), 3.0, float("nan")])
    follower = Follower(run)
    assert follower.latest(RATIO) == 3
    assert follower.latest("layer.head.dead") is None
    write(run, 4, [float("nan"), 5.0])
    follower.look()
    assert follower.latest(RATIO) == follower.series(RATIO).latest() == 5


def test_a_rewind_takes_it_back(tmp_path: Path) -> None:
    """A layer's numbers would stay those of a future that was left."""
    run = made(tmp_path)
    write(run, 0, [1.0, 2.0, 3.0, 4.0])
    follower = Follower(run)
    assert follower.latest(RATIO) == 4
    write(run, 2, [])
    follower.look()
    assert follower.latest(RATIO) == 2
