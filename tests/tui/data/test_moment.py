"""Whoever goes back through a training reads off what was known then: a number of now would be a wrong one."""

import json
from pathlib import Path

import numpy as np
import pytest

from descent.run.folder import RunFolder
from descent.run.follower import Follower
from descent.run.metrics import Metrics
from engine.pictures import files
from tests.helpers.screens import record
from tui.data.moment import moment, trend_of
from tui.data.reader import SnapshotBuilder
from tui.widgets.vitals import vitals

NORM = "layer.head.grad_norm"


def test_all_numbers_are_those_of_the_step(tmp_path: Path) -> None:
    """Losses, evaluations, the best, the log and the layers: each as the run's files have it."""
    path = record(tmp_path, "mine", "finished", accuracy=None)
    stored = Metrics(path)
    assert stored.layout is not None
    rows = stored.rows().copy()
    rows[::50, 0, stored.layout.columns.index(NORM)] = np.arange(16)
    (path / "metrics" / "0-0.f32").write_bytes(rows.tobytes())
    evaluated = {"time": 1, "event": "evaluation", "split": "validation", "member": 0}
    losses = {100: 0.5, 200: 0.3, 300: 0.4, 400: 0.1}
    with (path / "events.jsonl").open("a") as events:
        for step, loss in losses.items():
            events.write(json.dumps(evaluated | {"step": step, "loss": loss}) + "\n")
    follower = Follower(RunFolder(path))
    builder = SnapshotBuilder(follower)
    now = builder.take()
    then = moment(now, follower, 0, 320, builder.log_until(320))
    assert (then.past, then.past_epoch, then.step, then.state) == (320, 8.0, now.step, now.state)
    assert then.loss == pytest.approx(float(np.mean(rows[280:320, 0, stored.layout.columns.index("loss")])))
    assert (then.val_loss, then.val_trend) == (0.4, pytest.approx(0.4 / 0.3 - 1))
    assert then.best is not None
    assert (then.best.step, then.best.epoch, then.best.value) == (200, 5, 0.3)
    assert [row.grad_norm for row in then.layers] == [6.0]  # of row 300, the last measured before
    assert max(line.step or 0 for line in then.log) <= 320
    assert "finished" not in "".join(line.text for line in then.log)
    assert then.loss_trend < 0
    middle = pytest.approx(np.log(2) / np.log(3))
    # Rows 50, 100 and 150 were measured: a stretch between them is no hole.
    assert trend_of(follower.series(NORM, 0), 160) == (None, None, 0, 0, 0, middle, middle, 1)
    assert now.best is not None
    assert (now.best.step, now.val_loss, now.past) == (400, 0.1, None)
    assert "step 320" in "".join(piece.text for piece in vitals(then, 120))


def test_a_picture_is_the_one_of_that_time(tmp_path: Path) -> None:
    """The boundary of the end would stand beside the loss of the beginning."""
    for step in (10, 30, 20):  # as after a rewind
        files.write(tmp_path, "boundary", step, {"x": np.zeros(1)})
    found = [files.latest(tmp_path, "boundary", until) for until in (None, 25, 35, 5)]
    assert [None if each is None else each.step for each in found] == [20, 20, 30, None]
