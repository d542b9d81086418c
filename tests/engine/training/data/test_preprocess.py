"""Without this, scaling would look at the test, or noise would reach it."""

import numpy as np
import pytest
import torch

from descent.common.errors import DataError
from engine.training.data import preprocess


def test_standard(read):
    """Scaled training inputs would not have mean 0 and deviation 1, or could not be scaled back."""
    raw, data = read(name="wine"), read(name="wine", scaling="standard")
    x = data.train.inputs
    assert torch.allclose(x.mean(0), torch.zeros(13), atol=1e-5)
    assert torch.allclose(x.std(0, correction=0), torch.ones(13), atol=1e-5)
    assert data.mean.shape == data.std.shape == (13,)
    for split in ("train", "validation", "test"):
        back = getattr(data, split).inputs * data.std + data.mean
        assert torch.allclose(back.float(), getattr(raw, split).inputs, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(data.test.inputs.mean(0), torch.zeros(13), atol=1e-3)


def test_minmax(read):
    """Training inputs would not fill [0, 1]."""
    data = read(name="wine", scaling="minmax")
    assert torch.equal(data.train.inputs.amin(0), torch.zeros(13))
    assert torch.allclose(data.train.inputs.amax(0), torch.ones(13))


@pytest.mark.parametrize("scaling", ["standard", "minmax"])
def test_constant_column(tmp_path, read, scaling):
    """A constant column would become NaN, or rounding blown up to ±1."""
    x = np.stack([np.full(40, 0.1), np.arange(40)], axis=1)
    np.savez(tmp_path / "c.npz", x=x, y=np.arange(40) % 2)
    data = read(name="npz", path=str(tmp_path / "c.npz"), scaling=scaling)
    assert data.train.inputs[:, 0].abs().max() < 1e-6
    assert float(data.std[0]) == 1


def test_large_close_numbers(tmp_path, read):
    """Time stamps would lose their digits before they are scaled."""
    np.savez(tmp_path / "t.npz", x=1.7e9 + np.arange(40.0), y=np.arange(40) % 2)
    data = read(name="npz", path=str(tmp_path / "t.npz"), scaling="standard")
    assert len(data.train.inputs.unique()) == len(data.train.inputs)


@pytest.mark.parametrize("shape", [(40, 5), (40, 3, 2)])
@pytest.mark.parametrize("scaling", ["standard", "minmax"])
def test_float32_is_scaled_as_float64_would_be(tmp_path, read, monkeypatch, shape, scaling):
    """Arrays of float32 would need three times their memory, or be scaled less exactly than others."""
    x = (1.7e6 + np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    scaled = {}
    for kind in (np.float32, np.float64):
        np.savez(tmp_path / "t.npz", x=x.astype(kind), y=np.arange(40) % 2)
        for block in (7, 2**23):
            monkeypatch.setattr(preprocess, "_BLOCK", block)
            scaled[kind, block] = read(name="npz", path=str(tmp_path / "t.npz"), scaling=scaling)
    first, *others = scaled.values()
    for other in others:
        for split in ("train", "validation", "test"):
            assert torch.equal(first.split(split).inputs, other.split(split).inputs)


@pytest.mark.parametrize(
    ("kind", "exact", "placed"),
    [("f4", True, "f4"), ("i2", True, "f4"), ("f8", True, "f8"), ("i4", True, "f8"), ("f8", False, "f4")],
)
def test_memory_of_inputs(kind, exact, placed):
    """Inputs that float32 holds would be float64 in between, and need three times their memory."""
    rows = np.arange(1, 4)
    values = np.arange(20).reshape(5, 4).astype(kind)
    found = preprocess.place(values, rows, torch.device("cpu"), exact=exact).numpy()
    assert found.dtype == np.dtype(placed)
    assert np.array_equal(found, values[1:4])


def test_images_are_scaled_by_channel(tmp_path, read):
    """Each pixel would be scaled by itself, and edges that never vary blown up."""
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 4, 4), dtype=np.uint8)
    images[:, 1] //= 4
    np.savez(tmp_path / "i.npz", x=images, y=np.arange(40) % 2)
    data = read(name="npz", path=str(tmp_path / "i.npz"), scaling="standard")
    assert data.mean.shape == (3, 1, 1)
    assert torch.allclose(data.train.inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(data.train.inputs.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)


def test_no_scaling(read):
    """A picture would be scaled back by a scaling that was never applied."""
    data = read(name="wine")
    assert data.mean is None
    assert data.std is None


def test_noise_is_on_training_inputs_alone(read):
    """The test would be of the noise."""
    plain, noisy = read(name="wine"), read(name="wine", noise=0.5)
    difference = noisy.train.inputs - plain.train.inputs
    assert 0.4 < float(difference.std()) < 0.6
    assert torch.equal(plain.test.inputs, noisy.test.inputs)
    assert torch.equal(plain.train.targets, noisy.train.targets)


def test_noise_of_made_sets_is_on_all(read):
    """Made points would be noisy in training only, or twice."""
    plain, noisy = read(name="moons", noise=0.0), read(name="moons", noise=0.3)
    for split in ("train", "test"):
        difference = getattr(noisy, split).inputs - getattr(plain, split).inputs
        assert 0.25 < float(difference.std()) < 0.35


def test_augmentation_of_tables(read):
    """Columns would be mirrored as if they were pixels."""
    with pytest.raises(DataError, match=r"data\.augment changes images"):
        read(name="wine", augment={"flip": True})
    read(name="digits", augment={"shift": 1})
