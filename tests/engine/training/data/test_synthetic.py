"""Without this, the course's figures could not be reproduced, or toy sets be misnamed."""

import numpy as np
import pytest
import torch


def fit(inputs, targets):
    x = inputs[:, 0].double().numpy()
    return np.linalg.lstsq(np.stack([np.ones_like(x), x], 1), targets[:, 0].double().numpy(), rcond=None)[0]


def test_the_courses_line(read):
    """The labs' reference solution (b 1.0234, w 1.9368, test MSE 0.0098) would be unreachable."""
    data = read(name="line", validation=0.0)
    assert (len(data.train.inputs), data.validation, len(data.test.inputs)) == (80, None, 20)
    b, w = fit(*data.train)
    assert b == pytest.approx(1.0234, abs=5e-5)
    assert w == pytest.approx(1.9368, abs=5e-5)
    errors = data.test.targets - b - w * data.test.inputs
    assert float((errors**2).mean()) == pytest.approx(0.0098, abs=5e-5)


def test_the_courses_draws(read):
    """Points would differ from those of the slides' own NumPy lines."""
    np.random.seed(42)
    x = np.random.rand(100, 1)
    e = np.random.randn(100, 1)
    line = read(name="line", validation=0.0, test=0.0)
    quiz = read(name="quiz", validation=0.0, test=0.0)
    f = 0.5 * np.log(x) + 0.853 * np.sin(5.25 * x) - 0.064 * np.cos(5.25 * x) + 0.072
    for data, y in ((line, 1 + 2 * x), (quiz, f)):
        np.testing.assert_array_equal(data.train.inputs.numpy(), x.astype(np.float32))
        np.testing.assert_array_equal(data.train.targets.numpy(), (y + 0.1 * e).astype(np.float32))


def test_outliers(read):
    """The outlier lab's MSE fit (1.39, 2.24) would not come out."""
    section = {"name": "line", "validation": 0.0, "test": 0.0}
    plain, moved = read(**section), read(**section, outliers=0.1)
    difference = (moved.train.targets - plain.train.targets).flatten()
    assert int((difference > 4.9).sum()) == 10
    assert int((difference == 0).sum()) == 90
    assert fit(*moved.train) == pytest.approx([1.39, 2.24], abs=0.005)


def test_outliers_stay_in_training(read):
    """The test would measure the outliers, not the fit."""
    plain, moved = read(name="line"), read(name="line", outliers=0.5)
    assert torch.equal(plain.test.targets, moved.test.targets)
    assert torch.equal(plain.validation.targets, moved.validation.targets)


def test_sine(read):
    """The sine set would be another curve."""
    data = read(name="sine", noise=0.0)
    assert torch.allclose(data.train.targets, torch.sin(2 * torch.pi * data.train.inputs), atol=1e-6)


def test_xor(read):
    """Four corners, all of them in training, or nothing could learn xor."""
    data = read(name="xor")
    assert data.train.inputs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert data.train.targets.tolist() == [0, 1, 1, 0]
    assert data.validation is None
    assert data.test is None


def test_stripes(read):
    """The label of a stripe would not be |x1| > 5."""
    data = read(name="stripes")
    total = sum(len(split.inputs) for split in (data.train, data.validation, data.test))
    assert total == 10_000
    x = data.train.inputs
    assert torch.equal(data.train.targets, (x[:, 0].abs() > 5).long())
    assert float(x.min()) < -9.9
    assert float(x.max()) > 9.9


@pytest.mark.parametrize("name", ["moons", "circles", "spirals", "blobs"])
def test_shapes_are_separable(read, name):
    """A toy set without noise whose nearest neighbours disagree could not be learned by anything."""
    data = read(name=name, noise=0.05, test=0.5)
    nearest = torch.cdist(data.test.inputs, data.train.inputs).argmin(1)
    agree = (data.train.targets[nearest] == data.test.targets).float().mean()
    assert float(agree) > 0.97
    assert data.input_names == ("x1", "x2")


def test_classes_and_features(read):
    """data.classes and data.features of made sets would be ignored."""
    data = read(name="blobs", classes=7, features=5)
    assert data.num_classes == data.target_size == 7
    assert data.input_shape == (5,)
    assert read(name="spirals", classes=2).num_classes == 2


@pytest.mark.parametrize("name", ["line", "stripes", "moons", "spirals", "blobs", "digits"])
def test_repeatable(read, name):
    """The same preset would train on other data the next time."""
    first, second = read(name=name, seed=7), read(name=name, seed=7)
    for split in ("train", "validation", "test"):
        assert torch.equal(getattr(first, split).inputs, getattr(second, split).inputs)
        assert torch.equal(getattr(first, split).targets, getattr(second, split).targets)
    other = read(name=name, seed=8)
    assert not torch.equal(first.train.inputs, other.train.inputs)


def test_huge_seed(read):
    """A seed beyond NumPy's 32 bits would end in a traceback."""
    assert len(read(name="line", seed=2**40).train.inputs) == 70
    assert len(read(name="moons", seed=2**70).train.inputs) == 700
