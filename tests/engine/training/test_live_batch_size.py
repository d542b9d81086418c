"""A batch size that is set while a run trains must cost it neither its end, nor its learning rate, nor its bits."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descent.control import RefusedError, send
from descent.loop.checkpoint import CheckpointManager
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.launch.options import Options
from engine.launch.start import resume
from engine.preset.loading import load_preset
from engine.preset.schedule import planned
from tests.helpers.processes import fork
from tests.helpers.waiting import wait_for
from tests.helpers.workers import ends_with, start


@pytest.mark.slow
def test_with_a_fixed_number_of_steps_another_batch_size_leaves_the_rate_as_it_was_planned(tmp_path: Path) -> None:
    """It would have come down to its end early, and the rest of the run learn nothing."""
    pid, folder = start(tmp_path, "train.steps=20000", "train.batch_size=50", "schedule.name=cosine")

    def rates() -> list[float]:
        plan = planned(load_preset(folder.preset), folder.events())
        assert plan is not None
        return [plan.rate(step) for step in range(plan.total_steps)]

    send(folder.path, "pause")
    send(folder.path, "rewind", {"to": 0})
    before = rates()
    send(folder.path, "set", {"edits": ["train.batch_size=200"]})
    reached = send(folder.path, "step", {"steps": folder.facts()["steps_per_epoch"] + 5})["step"]
    assert folder.last("batch_size") is not None
    assert rates() == pytest.approx(before, abs=1e-12)
    assert Metrics(folder.path).column("lr")[:reached].tolist() == np.float32(rates()[:reached]).tolist()
    send(folder.path, "stop", {"how": "discard"})
    assert ends_with(pid) == 0


@pytest.mark.slow
def test_a_batch_size_that_leaves_batch_norm_one_sample_is_met_or_refused(tmp_path: Path) -> None:
    """It would be accepted, and end the run in the next epoch."""
    pid, folder = start(
        tmp_path / "runs", "train.epochs=100000", "train.evaluate_every=1000", "model.batch_norm=true"
    )
    samples = folder.facts()["samples"]["train"]
    size = next(size for size in range(2, samples) if samples % size == 1)
    with pytest.raises(RefusedError, match=f"train.batch_size = 1 gives .* allowed: 2 to {samples}"):
        send(folder.path, "set", {"edits": ["train.batch_size=1"]})
    send(folder.path, "set", {"edits": [f"train.batch_size={size}"]})
    event = wait_for(lambda: folder.last("batch_size"), "the next epoch")
    assert event["per_epoch"] == samples // size
    wait_for(lambda: len(Metrics(folder.path)) > event["step"] + 2 * event["per_epoch"], "two epochs")
    said = [e["message"] for e in folder.events() if e["event"] == "warning"]
    assert f"{samples} samples leave a last batch of one, which batch norm can't take: it is left out" in said
    send(folder.path, "stop", {"how": "discard"})
    assert ends_with(pid) == 0


def _told(folder: RunFolder, event: str) -> dict[str, Any]:
    """The last event of a kind, but for its time."""
    return (folder.last(event) or {}) | {"time": None}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "rewound"])
def test_back_at_the_best_model_it_goes_on_with_the_batch_size_set_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The best checkpoint may be the only one: a size that took effect at the epoch's turn would be lost with it."""
    monkeypatch.setattr(CheckpointManager, "rested", lambda self: True)  # the best model is written at once
    pid, folder = start(
        tmp_path,
        "train.epochs=10000",
        "train.checkpoint_every=10000",
        "train.batch_size=50",
        "schedule.name=cosine",
    )
    send(folder.path, "pause")
    send(folder.path, "rewind", {"to": 0})
    turn = folder.facts()["steps_per_epoch"]
    send(folder.path, "step", {"steps": turn - 3})
    send(folder.path, "set", {"edits": ["train.batch_size=80"]})
    reached = send(folder.path, "step", {"steps": 6})["step"]  # three of the next epoch
    first = Metrics(folder.path).rows()[:reached]
    told = [_told(folder, event) for event in ("batch_size", "plan")]
    assert folder.checkpoints() == [0, turn]
    if how == "rewound":
        assert send(folder.path, "rewind")["step"] == turn
        send(folder.path, "step", {"steps": reached - turn})
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        pid = fork(lambda: resume("live", Options(runs_dir=tmp_path, quiet=True)))
        wait_for(lambda: len(Metrics(folder.path)) > reached, "more steps")
    assert [_told(folder, event) for event in ("batch_size", "plan")] == told
    layout = Metrics(folder.path).layout
    assert layout is not None
    kept = [i for i, name in enumerate(layout.columns) if name != "time"]
    again = Metrics(folder.path).rows()[:reached]
    assert again[:, :, kept].tobytes() == first[:, :, kept].tobytes()
    send(folder.path, "stop", {"how": "discard"})
    assert ends_with(pid) == 0
