"""MNIST without torchvision: a user would train on other images, or be told wrong names of clothes.

Without this, scikit-learn's sets could lose their shapes, ranges or names on the way.
"""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets as torchvision_sets

from descent.common.errors import DataMissingError
from engine.preset import datasets, schema
from engine.training.data import Dataset, public_sets


def write(root: Path, name: str, *, labels: int = 7) -> None:
    """A set of seven images and five for the test, of 28 × 28."""
    entry = datasets.entry(name)
    (root / entry.folder).mkdir(parents=True)
    draw = np.random.default_rng(0)
    shapes = [(7, 28, 28), (labels,), (5, 28, 28), (5,)]
    for file, shape in zip(entry.files, shapes, strict=True):
        head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
        (root / entry.folder / file).write_bytes(head + draw.integers(0, 10, shape, np.uint8).tobytes())


@pytest.mark.parametrize(
    ("name", "theirs"), [("mnist", torchvision_sets.MNIST), ("fashion-mnist", torchvision_sets.FashionMNIST)]
)
def test_the_same_as_torchvision(name: str, theirs: type, tmp_path: Path) -> None:
    write(tmp_path, name)
    found = public_sets.read_idx(name, tmp_path)
    assert found.test is not None
    for ours, train in ((found, True), (found.test, False)):
        expected = theirs(root=tmp_path, train=train)
        np.testing.assert_array_equal(np.asarray(ours.inputs)[:, 0], expected.data.numpy())
        np.testing.assert_array_equal(ours.targets, expected.targets.numpy())
    if name == "fashion-mnist":
        assert list(found.classes) == expected.classes


def test_images_without_their_labels_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "mnist", labels=6)
    with pytest.raises(DataMissingError, match="descent data fetch mnist"):
        public_sets.read_idx("mnist", tmp_path)


def test_a_copy_as_images_is_the_set_too(tmp_path: Path, read: Callable[..., Dataset]) -> None:
    """Who has CIFAR-10 as pictures only could not train on it: torchvision takes nothing but its own files."""
    section = {"name": "cifar10", "source": "images", "validation": 0.25}
    with pytest.raises(DataMissingError, match=r"looked for cifar10-images, .* cifar10-jpeg\.zip"):
        read(**section)
    draw = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "cifar10-jpeg.zip", "w") as packed:
        for split, count in (("train", 4), ("test", 3)):
            for label in ("bird", "cat"):
                for i in range(count):
                    picture = io.BytesIO()
                    Image.fromarray(draw.integers(0, 255, (32, 32, 3), np.uint8)).save(picture, "PNG")
                    packed.writestr(f"cifar10/{split}/{label}/{i}.png", picture.getvalue())
    dataset = read(**section)
    assert dataset.test is not None
    assert (len(dataset.train.inputs), len(dataset.test.inputs), dataset.input_shape) == (6, 6, (3, 32, 32))
    assert dataset.classes == ("bird", "cat")
    assert 0.9 < float(dataset.train.inputs.max()) <= 1
    with pytest.raises(DataMissingError, match=r'cifar10-jpeg\.zip may hold the same .*\.source = "images"'):
        read(name="cifar10")


@pytest.mark.parametrize(
    ("name", "count", "shape", "outputs"),
    [
        ("digits", 1797, (1, 8, 8), 10),
        ("breast-cancer", 569, (30,), 2),
        ("wine", 178, (13,), 3),
        ("iris", 150, (4,), 3),
        ("diabetes", 442, (10,), 1),
    ],
)
def test_sizes(read, name, count, shape, outputs):
    """A model would be built for other data than there are."""
    data = read(name=name)
    assert data.input_shape == shape
    assert data.target_size == outputs
    assert sum(len(split.inputs) for split in (data.train, data.validation, data.test)) == count
    assert data.train.inputs.dtype == torch.float32
    if name == "diabetes":
        assert data.task == "regression"
        assert data.train.targets.dtype == torch.float32
        assert data.train.targets.shape[1:] == (1,)
    else:
        assert data.train.targets.dtype == torch.int64


def test_digits_are_in_the_unit_interval(read):
    """Digits of 0 to 16 would saturate a net that expects 0 to 1."""
    inputs = read(name="digits").train.inputs
    assert float(inputs.min()) == 0
    assert float(inputs.max()) == 1


def test_names(read):
    """Pictures and tables would show numbers in the place of names."""
    data = read(name="iris")
    assert data.classes == ("setosa", "versicolor", "virginica")
    assert data.input_names[0] == "sepal length (cm)"
    assert read(name="breast-cancer").classes == ("malignant", "benign")
    assert read(name="diabetes").input_names[2] == "bmi"


def test_columns_of_noise_come_last_and_depend_on_the_seed_alone() -> None:
    """A lab on penalties would tell real columns from made ones wrongly."""
    plain = public_sets.read_bundled(schema.BundledData(name="diabetes"))
    first, again, other = (
        public_sets.read_bundled(schema.BundledData(name="diabetes", noise_columns=50, seed=seed))
        for seed in (1, 1, 2)
    )
    assert np.array_equal(np.asarray(first.inputs)[:, :10], plain.inputs)
    assert first.input_names[9:12] == (*plain.input_names[9:], "noise1", "noise2")
    noise = np.asarray(first.inputs)[:, 10:]
    assert noise.shape == (442, 50)
    assert abs(noise.std() - 1) < 0.02
    assert np.array_equal(noise, np.asarray(again.inputs)[:, 10:])
    assert not np.array_equal(noise, np.asarray(other.inputs)[:, 10:])
    with pytest.raises(ValueError, match="digits are images"):
        schema.BundledData(name="digits", noise_columns=1)
