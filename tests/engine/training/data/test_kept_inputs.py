"""Images that stay bytes must be, to the bit, what they would be as numbers: else no run would go on as it began."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descent.common.errors import DataError
from descent.run.folder import RunFolder
from engine import pictures
from engine.preset import schema
from engine.preset.loading import load_preset
from engine.training.build import build
from engine.training.data import Dataset, preprocess
from engine.training.data.kept_inputs import ByteImages, KeptInputs
from engine.training.members.folds import load_pool
from engine.training.pictures import draw
from engine.training.step import train_step
from engine.training.train_state import TrainState

CPU = torch.device("cpu")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Images of every byte, in three channels of unlike ranges, one of them constant."""
    values = np.random.default_rng(0).integers(0, 256, (120, 3, 9, 7), dtype=np.uint8)
    values[:, 1] //= 3
    values[:, 2] = 77
    np.savez(tmp_path / "images.npz", x=values, y=np.arange(120) % 4)
    return tmp_path / "images.npz"


def _same(kept: KeptInputs, numbers: KeptInputs) -> None:
    assert isinstance(kept, ByteImages)
    assert isinstance(numbers, torch.Tensor)
    assert (len(kept), kept.shape, kept.ndim, kept.device) == (len(numbers), *_traits(numbers))
    rows = torch.tensor([3, 0, 3, len(kept) - 1])
    for got, wanted in (
        (kept[:], numbers),
        (kept[1:6], numbers[1:6]),
        (kept[:0], numbers[:0]),
        (kept[rows], numbers[rows]),
        (kept[rows.view(2, 2)], numbers[rows.view(2, 2)]),
        (kept.index_select(0, rows), numbers.index_select(0, rows)),
    ):
        assert got.dtype == torch.float32
        assert torch.equal(got, wanted)


def _traits(numbers: torch.Tensor) -> tuple[object, ...]:
    return numbers.shape, numbers.ndim, numbers.device


@pytest.mark.parametrize("scaling", ["none", "standard", "minmax"])
def test_whatever_is_read_of_them_is_what_it_would_be(
    scaling: str, images: Path, read: Callable[..., Dataset]
) -> None:
    kept, numbers = (read(name="npz", path=str(images), scaling=scaling, kept=way) for way in ("bytes", "float"))
    for name in ("train", "validation", "test"):
        _same(kept.split(name).inputs, numbers.split(name).inputs)
        assert torch.equal(kept.split(name).targets, numbers.split(name).targets)
    assert (kept.mean is None) == (scaling == "none")
    for ours, theirs in ((kept.mean, numbers.mean), (kept.std, numbers.std)):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)  # type: ignore[arg-type]


@pytest.mark.parametrize("scaling", ["none", "standard", "minmax"])
def test_folds_of_them_are_what_they_would_be(scaling: str, images: Path) -> None:
    made = []
    for way in ("bytes", "float"):
        section = schema.NpzData(name="npz", path=str(images), scaling=scaling, kept=way)  # type: ignore[arg-type]
        made.append(load_pool(section, 3, root=images.parent, device=CPU, code=None))
    (kept, ours), (numbers, theirs) = made
    for name in ("train", "validation", "test"):
        _same(kept.split(name).inputs, numbers.split(name).inputs)
        for member in range(3):
            alone = [folds.dataset_of(member, pool).split(name).inputs for pool, folds in made]
            _same(alone[0], alone[1])
    assert (ours.scaling is None) == (theirs.scaling is None) == (scaling == "none")
    if ours.scaling is not None and theirs.scaling is not None:
        assert torch.equal(ours.scaling.mean, theirs.scaling.mean)
        assert torch.equal(ours.scaling.std, theirs.scaling.std)


def _trained(images: Path, kept: str, *settings: str) -> tuple[TrainState, list[Any]]:
    """A few steps of a run, and all that comes of it."""
    fixed = ["data.name=npz", f"data.path={images}", "data.scaling=standard", "train.batch_size=16"]
    preset = load_preset("digits-cnn", [*fixed, f"data.kept={kept}", *settings])
    run = build(preset, RunFolder(images.parent / "run"), images.parent, CPU, fresh=True)
    came: list[Any] = []
    for _step in range(run.batches.per_epoch + 2):
        batch = run.batches.next()
        result = train_step(run, batch, run.learning_rate(), measured=False)
        came += [batch.inputs, batch.targets, result.loss]
        run.batches.epoch_is_over()
        run.step += 1
    for split in ("train", "validation", "test"):
        came.append([(one.loss, one.accuracy) for one in run.evaluate(split)])
    return run, came


SETTINGS = {
    "plain": (),
    "augmented": ("data.augment.flip=true", "data.augment.shift=2", "data.augment.rotation=10"),
    "full batch": ("train.batch_size=full",),
    "in parts": ("train.accumulate=2",),
    "repeats": ("members.repeats=2", "members.way=vmap"),
    "repeats, full batch": ("members.repeats=2", "members.way=loop", "train.batch_size=full"),
    "folds": ("members.folds=2", "members.way=loop"),
    "few samples": ("members.samples=40",),
    "few samples each": ("members.samples=40", "members.repeats=2", "members.way=loop"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_of_them_is_the_run_that_it_would_be(name: str, images: Path) -> None:
    """Its losses, its evaluations and its pictures."""
    runs = [_trained(images, kept, *SETTINGS[name]) for kept in ("bytes", "float")]
    (run, came), (_other, wanted) = runs
    assert isinstance(run.dataset.train.inputs, ByteImages)
    for ours, theirs in zip(came, wanted, strict=True):
        assert torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs
    options = {kind: pictures.settings(kind, {}) for kind in ("confusion", "mistakes", "gradients", "activations")}
    drawn, expected = (draw(each.alone(0), options, None, everyone=each) for each, _came in runs)
    for kind, arrays in drawn.items():
        for array in arrays.keys() - {"seconds"}:
            assert np.array_equal(arrays[array], expected[kind][array]), (kind, array)


def test_a_gpu_keeps_bytes_and_the_cpu_numbers_unless_the_preset_says() -> None:
    """Images would take four times the memory of a GPU that several share; on the CPU each step would take longer."""
    values, rows = np.zeros((4, 1, 2, 2), np.uint8), np.arange(3)
    gpu = torch.device("meta")  # which holds nothing, and is no CPU
    for kept, device, wanted in (
        ("auto", CPU, torch.Tensor),
        ("bytes", CPU, ByteImages),
        ("auto", gpu, ByteImages),
        ("float", gpu, torch.Tensor),
    ):
        section = schema.NpzData(name="npz", path="x.npz", kept=kept)  # type: ignore[arg-type]
        found = preprocess.keep(section, values, rows, device, exact=True)
        assert isinstance(found, wanted), (kept, device)
        assert found.shape == (3, 1, 2, 2)
    noisy = section.model_copy(update={"kept": "auto", "noise": 0.1})
    assert isinstance(preprocess.keep(noisy, values, rows, CPU, exact=True), torch.Tensor)


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"name": "digits"}, r"the inputs of digits are not images of 8 bits: they have the type float64 and 4 axes"),
        ({"name": "wine"}, "type float64 and 2 axes"),
        ({"name": "npz", "noise": 0.5}, r"can't be had with data\.noise = 0\.5"),
    ],
)
def test_bytes_are_refused_where_there_are_none(
    section: dict[str, Any], why: str, images: Path, read: Callable[..., Dataset]
) -> None:
    """Memory would be taken that the preset says is not."""
    path = {"path": str(images)} if section["name"] == "npz" else {}
    with pytest.raises(DataError, match=rf'data\.kept = "bytes".*{why}'):
        read(**section, **path, kept="bytes")
