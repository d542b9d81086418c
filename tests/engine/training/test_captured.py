"""A step that is repeated as a CUDA graph must give the numbers of one that is launched kernel by kernel.

What a graph repeats is the step on tensors that stay. Without a GPU it is run from these each time, which is all of
it but the capture itself.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from descent.loop import checkpoint
from descent.run.folder import RunFolder
from engine.preset.loading import load_preset
from engine.training.build import build
from engine.training.captured import WARM, CapturedStep, captured, obstacle
from engine.training.step import train_step
from engine.training.train_state import TrainState

CPU = torch.device("cpu")
GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]
DEVICES = [pytest.param("cpu", id="uncaptured"), pytest.param("cuda", marks=GPU)]
# 200 samples, of which 160 train: 3 batches of 48, then one of 16.
SMALL = ("data.size=200", "train.batch_size=48", "train.graph=true")
SETTINGS = {
    "sgd": ("optimizer.name=sgd", "optimizer.momentum=0.9", "optimizer.lr=0.0625"),
    "adam, clipped": ("optimizer.name=adam", "optimizer.lr=0.0078125", "train.clip_norm=0.5"),
    "adamw in parts, with dropout": (
        "optimizer.name=adamw",
        "optimizer.lr=0.0078125",
        "train.accumulate=3",
        "model.dropout=0.5",
    ),
    "penalties": ("optimizer.name=sgd", "optimizer.lr=0.0625", "loss.l1=0.001", "loss.l2=0.001"),
}


def _run(folder: Path, device: str, *settings: str, preset: str = "digits-mlp") -> TrainState:
    return build(
        load_preset(preset, [*SMALL, *settings]), RunFolder(folder), folder, torch.device(device), fresh=True
    )


def _trained(run: TrainState, step: object, steps: int = 11) -> tuple[list[Tensor], list[Tensor]]:
    """The losses and the final weights. A step is measured, and settings change while it trains."""
    losses = []
    for number in range(steps):
        if number == 8:
            run.settle([run.preset.changed(["optimizer.weight_decay=0.125"])], [1.0])
        batch, lr = run.batches.next(), run.learning_rate()
        result = step(run, batch, lr, measured=number == 6)  # type: ignore[operator]
        losses.append(result.loss.clone())
        run.step += 1
        run.batches.epoch_is_over()
    return losses, [parameter.detach().clone() for parameter in run.model.parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", list(SETTINGS))
def test_it_trains_to_the_same_bits(name: str, device: str, tmp_path: Path) -> None:
    eager = _trained(_run(tmp_path, device, *SETTINGS[name]), train_step)
    run = _run(tmp_path, device, *SETTINGS[name])
    step = CapturedStep(run, print, capture=device == "cuda")
    again = _trained(run, step)
    assert step.why_not is None
    assert step.repeated == 11 - WARM - 1 - 2  # without the measured one, and two short last batches
    for before, after in zip(eager[0] + eager[1], again[0] + again[1], strict=True):
        assert torch.equal(before, after)


def test_a_checkpoint_goes_on_without_a_graph(tmp_path: Path) -> None:
    """A run that was saved with a rate on the device could not be resumed elsewhere."""
    settings = SETTINGS["sgd"]
    run = _run(tmp_path, "cpu", *settings)
    _trained(run, CapturedStep(run, print, capture=False), 5)
    state, other = checkpoint.copied(run.capture(0.0)), _run(tmp_path, "cpu", *settings)
    other.restore(state)
    assert all(not isinstance(group["lr"], Tensor) for group in state["update"]["optimizer"]["param_groups"])
    rest, again = _trained(run, CapturedStep(run, print, capture=False), 4), _trained(other, train_step, 4)
    for before, after in zip(rest[0] + rest[1], again[0] + again[1], strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("members", ("members.repeats=2",)),
        ("optimizer.name", ("optimizer.name=rmsprop",)),
        (None, ("optimizer.name=adam",)),
    ],
)
def test_what_can_t_be_captured_is_launched_kernel_by_kernel(
    key: str | None, settings: tuple[str, ...], tmp_path: Path
) -> None:
    """A graph would repeat what the host decided once."""
    run, told = _run(tmp_path, "cpu", *settings), []
    assert obstacle(run) == key
    assert captured(run, told.append) is None
    assert told == ["train.graph = true: train.device does not allow it; the step is launched kernel by kernel"]
    run.preset = run.preset.changed(["train.graph=auto"])
    assert captured(run, told.append) is None
    assert len(told) == 1  # nobody has asked for a graph


def test_a_step_that_can_t_be_captured_is_told_and_trains_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps would be slower than they could be, and nobody would know why."""

    class Graph:
        def __enter__(self) -> None:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: Graph())
    eager = _trained(_run(tmp_path, "cpu"), train_step)
    run, told = _run(tmp_path, "cpu"), []
    step = CapturedStep(run, told.append)
    again = _trained(run, step)
    assert len(told) == 1
    assert "(operation not permitted when stream is capturing)" in told[0]
    for before, after in zip(eager[0] + eager[1], again[0] + again[1], strict=True):
        assert torch.equal(before, after)
