"""On a GPU, a step must not wait for the device: a single blocking copy in it, and the GPU idles between all steps.

This runs without one, on fake tensors (tests/helpers/fake_cuda.py). test_gpu.py is what runs on a real one. Members
are those of batched matrix products: torch.func.vmap and fake tensors don't go together, nor do they with modules
whose parameters lie in other tensors, as those of members that take turns.
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DynamicOutputShapeException

from descent.loop.recorder import Recorder
from descent.run.folder import RunFolder
from descent.run.layout import Layout
from engine.preset import find
from engine.preset.loading import load_preset
from engine.training import models, optimizers, parameters
from engine.training.build import build
from engine.training.data.kept_inputs import ByteImages
from engine.training.step import train_step
from engine.training.train_state import TrainState
from tests.helpers.fake_cuda import CUDA, Watch, fake_cuda

SHIPPED = sorted(file.stem for file in find.shipped_presets().glob("*.toml"))
IMAGES = {"mnist": (1, 28), "fashion-mnist": (1, 28), "cifar10": (3, 32)}
# What a run may read in an evaluation: its result, at the end; and once, while it measures how much memory one model
# takes, that member's dropout.
RESULT = re.compile(
    r" at engine/training/(members/)?(evaluation|scores)\.py:\d+ (evaluate|scores) |members/dropout\.py:"
)


def _stand_in(preset: str, folder: Path) -> list[str]:
    """A few random images in place of a set that is not at hand."""
    name = load_preset(preset).data.name
    if name not in IMAGES:
        return []
    channels, side = IMAGES[name]
    images = np.random.default_rng(0).integers(0, 256, (200, channels, side, side), dtype=np.uint8)
    np.savez(folder / "images.npz", x=images, y=np.arange(200) % 10)
    return ["data.name=npz", f"data.path={folder / 'images.npz'}"]


class _Unwritten:
    """A writer of rows that nobody reads."""


def _steps(watch: Watch, preset: str, *settings: str, folder: Path, **more: Any) -> TrainState:
    """Take plain and measured steps, begin an epoch and evaluate, each as a phase of its own."""
    run = build(load_preset(preset, list(settings)), RunFolder(folder), folder, CUDA, fresh=True, **more)
    layers = tuple({"name": name, "kind": "x"} for name, _ in models.layers(run.model))
    members = tuple({"member": m.member, "seed": m.seed, "values": m.values} for m in run.members)
    numbers = parameters.names(run.model) if run.numbers is not None else ()
    layout = Layout.of(accuracy=run.classifies, members=members, layers=layers, parameters=numbers)
    recorder = Recorder(_Unwritten(), layout, CUDA, 0, lambda *block: None)  # type: ignore[arg-type]
    recorder._next_copy = math.inf

    def one(phase: str, measured: bool) -> None:
        watch.begin(phase)
        batch, lr = run.batches.next(), run.learning_rate()
        result = train_step(run, batch, lr, measured=measured)
        if result.norms is not None:
            recorder.norms(*result.norms)
        if result.layers is not None:
            recorder.layers(result.layers)
        if run.numbers is not None:
            recorder.parameters(run.numbers)
        recorder.record(result.loss, result.accuracy, lr, 0.0)
        run.step += 1
        run.batches.epoch_is_over()
        assert watch.operations > 3, "nothing was computed on the device"

    one("first step", False)
    one("plain step", False)
    one("measured step", True)
    run.batches.seek(1, 0)
    one("first step of an epoch", False)
    watch.begin("rows to the host")
    recorder._staging[:4].copy_(recorder._ring[:4], non_blocking=True)
    if run.dataset.validation is not None:
        watch.begin("evaluation")
        run.evaluate("validation")
    watch.begin("over")
    return run


def _waits(watch: Watch) -> list[str]:
    """What waits in a step, or between the batches of an evaluation."""
    found = watch.waits("build", "over")
    return [line for line in found if not (line.startswith("evaluation") and RESULT.search(line))]


@pytest.fixture(autouse=True)
def no_compiler() -> None:
    optimizers.leave_compiler_out()


@pytest.mark.slow
@pytest.mark.parametrize("preset", SHIPPED)
def test_no_step_of_a_shipped_preset_waits(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = _stand_in(preset, tmp_path)
    with fake_cuda(monkeypatch) as watch:
        run = _steps(watch, preset, *stand_in, folder=tmp_path)
    assert _waits(watch) == []
    assert isinstance(run.dataset.train.inputs, ByteImages) == bool(stand_in)


SETTINGS = {
    "repeats": ("members.repeats=3",),
    "folds": ("members.folds=3",),
    "folds, full batch": ("members.folds=3", "train.batch_size=full"),
    "a rate's sweep": ("members.sweep.optimizer.lr=[0.1, 0.2, 0.4]", "schedule.name=cosine"),
    "a penalty's sweep": ("members.sweep.loss.l2=[0.1, 0.2]", "loss.l1=0.001"),
    "momentum's sweep": ("members.sweep.optimizer.momentum=[0.1, 0.2]", "optimizer.name=sgd"),
    "adam's sweep": ("optimizer.name=adam", "members.sweep.optimizer.beta2=[0.9, 0.99]"),
    "clipping": ("train.clip_norm=1.0",),
    "accumulation": ("train.accumulate=4",),
    "dropout": ("model.dropout=0.5",),
    "members' dropout": ("members.sweep.model.dropout=[0.1, 0.5]",),
    "penalties": ("loss.l1=0.1", "loss.l2=0.1"),
    "members, clipped": ("members.repeats=3", "train.clip_norm=1.0", "train.accumulate=2"),
    "full batch": ("train.batch_size=full",),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS])
def test_no_setting_makes_a_step_wait(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch) as watch:
        _steps(watch, "digits-mlp", "data.size=200", *SETTINGS[name], folder=tmp_path)
    assert _waits(watch) == []


@pytest.mark.slow
def test_augmentation_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = _stand_in("cifar-cnn", tmp_path)
    changes = ("data.augment.flip=true", "data.augment.shift=4", "data.augment.rotation=10")
    with fake_cuda(monkeypatch) as watch:
        _steps(watch, "cifar-cnn", *stand_in, *changes, folder=tmp_path)
    assert _waits(watch) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ("data.scaling=standard",),
        ("members.repeats=3",),
        ("members.folds=3", "data.scaling=standard"),
        ("train.batch_size=full",),
        ("members.repeats=3", "train.batch_size=full"),
    ],
)
def test_images_that_stay_bytes_do_not_wait(
    settings: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = _stand_in("mnist-mlp", tmp_path)
    with fake_cuda(monkeypatch) as watch:
        run = _steps(watch, "mnist-mlp", *stand_in, *settings, folder=tmp_path)
    assert _waits(watch) == []
    assert isinstance(run.dataset.train.inputs, ByteImages)


def test_a_wait_is_seen_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above could never fail."""
    with fake_cuda(monkeypatch) as watch:
        watch.begin("step")
        values = torch.zeros(4, device=CUDA)
        assert watch.waits() == []
        float(values.sum())
        with pytest.raises(DynamicOutputShapeException):
            values[values > 0]
        torch.tensor([1.0, 2.0]).to(CUDA)
        values.copy_(torch.ones(4), non_blocking=True)
        torch.ones(4).to(CUDA, non_blocking=True)
        values[torch.tensor([0, 2])]
        values[torch.zeros(1, dtype=torch.int64, device=CUDA)]
    kinds = [line.split(": ")[1].split(",")[0] for line in watch.waits()]
    assert kinds == [
        "a number is read on the host",
        "indexed by a mask",
        "a blocking copy from cpu to cuda",
        "indexed by a tensor of the host",
    ]
