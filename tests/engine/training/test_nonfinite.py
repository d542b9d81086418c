"""Where the loss becomes NaN, a student must learn in which layer it began, and lose nothing that was good."""

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descent.control import RefusedError, send
from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.cli import report
from engine.launch import fork
from engine.launch import start as launch_start
from engine.launch.options import Options
from engine.preset.loading import load_preset
from engine.training import worker
from engine.training.build import build
from tests.helpers.waiting import wait_for
from tests.helpers.workers import child, ends_with, start

LIVE = [
    "train.steps=100000",
    "train.evaluate_every=1000",
    'train.on_nan="pause"',
    "optimizer.momentum=0.9",
    "model.dropout=0.1",
]


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[tuple[int, RunFolder]]:
    """A live run whose rate was set far too high at step 20, and that has paused because of it."""
    pid, folder = start(tmp_path / "runs", *LIVE)
    send(folder.path, "pause")
    send(folder.path, "rewind", {"to": 0})
    send(folder.path, "step", {"steps": 15})
    send(folder.path, "checkpoint")
    send(folder.path, "step", {"steps": 5})
    send(folder.path, "set", {"edits": ["optimizer.lr=1e30"]})
    send(folder.path, "resume")
    wait_for(lambda: folder.last("anomaly") and folder.state() == "paused", "the pause")
    yield pid, folder
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def anomaly(folder: RunFolder) -> dict[str, Any]:
    found = folder.last("anomaly")
    assert found is not None
    return found


@pytest.mark.slow
def test_the_run_waits_and_names_layer_step_rate_and_checkpoint(broken: tuple[int, RunFolder]) -> None:
    _, folder = broken
    told = anomaly(folder)
    losses = Metrics(folder.path).column("loss")
    assert np.isfinite(losses[: told["step"]]).all()
    assert 20 <= told["step"] <= 23
    assert told["layer"] in {layer["name"] for layer in Metrics(folder.path).layout.layers}  # type: ignore[union-attr]
    assert told["began"] in ("output", "gradient")
    assert told["kind"].startswith("linear")
    assert told["lr"] == 1e30
    assert told["checkpoint"] == 15
    state = folder.last("state")
    assert state is not None
    assert "It began in layer" in state["reason"]


@pytest.mark.slow
def test_going_back_with_a_lower_rate_trains_on(broken: tuple[int, RunFolder]) -> None:
    pid, folder = broken
    assert send(folder.path, "rewind", {"to": anomaly(folder)["checkpoint"]})["step"] == 15
    send(folder.path, "set", {"edits": ["optimizer.lr=0.01"]})
    send(folder.path, "resume")
    wait_for(lambda: len(Metrics(folder.path)) > 100, "more steps")
    assert np.isfinite(Metrics(folder.path).column("loss")).all()
    assert send(folder.path, "stop")["checkpoint"]
    assert ends_with(pid) == 0


@pytest.mark.slow
def test_nothing_broken_is_ever_saved_and_stopping_names_the_last_good_checkpoint(
    broken: tuple[int, RunFolder],
) -> None:
    pid, folder = broken
    with pytest.raises(RefusedError, match="nothing was saved: a number is not finite"):
        send(folder.path, "checkpoint")
    assert send(folder.path, "stop")["checkpoint"] == str(folder.checkpoint(15))
    assert ends_with(pid) == 0
    assert folder.state() == "stopped"
    for step in folder.checkpoints():
        weights = checkpoint.read(folder.checkpoint(step))["model"]
        assert all(bool(tensor.isfinite().all()) for tensor in weights.values())


@pytest.mark.slow
def test_going_on_as_it_is_does_so(broken: tuple[int, RunFolder]) -> None:
    _, folder = broken
    before = send(folder.path, "resume")["step"]
    wait_for(lambda: len(Metrics(folder.path)) > before + 50, "more steps")
    assert folder.state() == "running"
    assert len([event for event in folder.events() if event["event"] == "anomaly"]) == 1


def train(runs: Path, run_id: str, *settings: str) -> int:
    common = ["train.device=cpu", "data.size=400", "train.threads=1", "train.statistics_every=7"]
    return launch_start.run("digits-mlp", [*common, *settings], report.options(run_id, runs, quiet=True))


def run(runs: Path, run_id: str, *settings: str) -> int:
    return child(lambda: train(runs, run_id, *settings))


@pytest.mark.slow
def test_looking_for_the_culprit_changes_nothing(tmp_path: Path) -> None:
    """A run that was looked at closely goes on like one that never was."""
    settings = ["train.steps=90", "schedule.name=plateau", "optimizer.name=adam", "model.dropout=0.3"]
    assert run(tmp_path, "plain", *settings) == 0

    def look_at_every_checkpoint() -> int:
        from engine.training import nonfinite, session

        save = session.Session.save

        def save_and_look(self: session.Session) -> Path | None:
            saved = save(self)
            assert nonfinite.find_origin(self._run, self._folder, self._run.step + 20, lambda: False) is None
            return saved

        session.Session.save = save_and_look  # type: ignore[method-assign]
        return train(tmp_path, "looked-at", *settings)

    assert child(look_at_every_checkpoint) == 0
    assert fork.first_difference(RunFolder(tmp_path / "plain"), RunFolder(tmp_path / "looked-at")) is None


def test_headless_it_stops_with_its_own_exit_code_and_names_the_layer(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "stops", "train.steps=50", "optimizer.lr=1e30") == 3
    assert "It began in layer" in capfd.readouterr().err
    assert RunFolder(tmp_path / "stops").state() == "failed"


@pytest.mark.slow
def test_an_update_that_breaks_the_weights_is_not_saved(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The rows of the last steps may still be finite when the weights no longer are."""
    settings = ["train.steps=1", "optimizer.lr=3e38", "optimizer.weight_decay=3e38"]
    assert run(tmp_path, "final", *settings) == 3
    assert RunFolder(tmp_path / "final").checkpoints() == [0]


def test_a_disk_s_fault_is_told_of_the_file_that_has_it(tmp_path: Path) -> None:
    """Whoever reads that the metrics can't be written looks at the wrong disk."""
    folder, image = RunFolder(tmp_path / "mine"), tmp_path / "images" / "7.png"
    folder.path.mkdir()
    told = [
        str(worker._known(OSError(errno.EIO, "Input/output error", *name), folder))
        for name in ([str(image)], [str(folder.path / "metrics" / "0-0.f32")], [])
    ]
    assert told[0] == f"{image}: Input/output error"
    assert told[1] == f"can't write metrics/0-0.f32 in {folder.path}: Input/output error"
    assert told[2] == f"can't write the run's metrics in {folder.path}: Input/output error"


@pytest.mark.parametrize(
    ("value", "is_finite"), [(1e21, True), (-3e38, True), (float("inf"), False), (float("nan"), False)]
)
def test_large_weights_are_finite(tmp_path: Path, value: float, is_finite: bool) -> None:
    """A run with large weights would not be saved, and be said to have infinite ones."""
    run = build(load_preset("linear-regression"), RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True)
    with torch.no_grad():
        next(run.model.parameters()).fill_(value)
    assert (run.broken() == {}) == is_finite


def weights_of(folder: RunFolder, step: int) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = checkpoint.read(folder.checkpoint(step))["model"]
    return model


@pytest.mark.slow
def test_going_on_regardless_saves_nothing_broken_and_keeps_what_was_whole(tmp_path: Path) -> None:
    """Every good checkpoint would rotate away for one that is NaN, and hours of training with it."""
    settings = ["train.steps=400", "train.checkpoint_every.steps=10", 'train.on_nan="continue"', "train.keep=1"]
    assert run(tmp_path, "goes-on", *settings, "optimizer.lr=1e30") == 0
    folder = RunFolder(tmp_path / "goes-on")
    assert folder.state() == "finished"
    assert folder.checkpoints()[0] == 0
    for step in folder.checkpoints():
        assert all(bool(tensor.isfinite().all()) for tensor in weights_of(folder, step).values())
    told = [e["message"] for e in folder.events() if e["event"] == "warning"]
    assert [message for message in told if "no checkpoint is written from here on" in message] == told[-1:]


@pytest.mark.slow
def test_a_batch_norm_whose_statistics_overflow_is_not_saved(tmp_path: Path) -> None:
    """Loss and weights stay finite, and what was saved would predict nonsense for ever."""
    (tmp_path / "net.py").write_text(OVERFLOWS)
    (tmp_path / "net.toml").write_text(OVERFLOWING)
    options = Options("norm", tmp_path, quiet=True, allow_code=True)
    assert child(lambda: launch_start.run(str(tmp_path / "net.toml"), [], options)) == 3
    folder = RunFolder(tmp_path / "norm")
    state = folder.last("state")
    assert state is not None
    assert "the buffer norm.running_var became NaN or infinite" in state["reason"]
    assert folder.checkpoints() == [0]
    assert weights_of(folder, 0)["mask"].isinf().any(), "a mask is infinite by design"


@pytest.mark.slow
def test_a_broken_checkpoint_of_an_older_version_is_passed_over(tmp_path: Path) -> None:
    """A resume, a rewind or a picture would go on with a model that is NaN."""
    assert run(tmp_path, "old", "train.steps=30", "train.checkpoint_every.steps=10") == 0
    folder = RunFolder(tmp_path / "old")
    state = checkpoint.read(folder.checkpoint(30))
    state["model"][next(iter(state["model"]))][0] = float("nan")
    del state["is_finite"]
    torch.save(state, folder.checkpoint(30))
    with pytest.raises(ValueError, match=r"step-30\.pt holds weights that are NaN"):
        checkpoint.read(folder.checkpoint(30))
    found, complaints = checkpoint.latest(folder)
    assert found is not None
    assert found["step"] < 30
    assert complaints == ["step-30.pt holds weights that are NaN"]


OVERFLOWS = """
import torch

class Net(torch.nn.Module):
    '''The variance of its second layer overflows from the fifth step on. Its outputs are finite.'''
    def __init__(self, input_shape, outputs):
        super().__init__()
        self.linear = torch.nn.Linear(64, outputs)
        self.norm = torch.nn.BatchNorm1d(64, affine=False)
        self.register_buffer("mask", torch.full((2,), float("-inf")))
        self.calls = 0

    def forward(self, x):
        x = x.flatten(1)
        self.calls += self.training
        y = self.norm(x * (1e25 if self.calls >= 5 else 1.0))
        return self.linear(torch.nan_to_num(y))
"""
OVERFLOWING = """
[data]
name = "digits"
size = 400
[model]
code = "net.py:Net"
[loss]
name = "cross-entropy"
[optimizer]
name = "sgd"
lr = 0.1
[train]
steps = 20
batch_size = 32
threads = 1
device = "cpu"
statistics_every = 5
evaluate_every = 1000
checkpoint_every = { steps = 10 }
"""
