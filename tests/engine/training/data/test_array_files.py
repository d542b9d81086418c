"""Without this, a user's arrays could be misread, or fail without saying what is wrong where."""

import numpy as np
import pytest
import torch

from descent.common.errors import DataError, DataMissingError
from engine.preset import schema
from engine.training.data.preparation import Preparation


@pytest.fixture
def arrays(tmp_path, read):
    """arrays(x=…, y=…, …) writes them, and loads them with the given keys."""

    def load(x, y, **section):
        np.savez(tmp_path / "a.npz", x=x, y=y)
        return read(name="npz", path=str(tmp_path / "a.npz"), **section)

    return load


X = np.random.default_rng(0).normal(size=(40, 3))
LABELS = np.arange(40) % 4


def test_classification(arrays):
    """Whole numbers would not be labels."""
    data = arrays(X, LABELS)
    assert data.task == "classification"
    assert data.classes == ("0", "1", "2", "3")
    assert data.train.inputs.dtype == torch.float32
    assert data.train.targets.dtype == torch.int64
    assert data.name == "a.npz"


@pytest.mark.parametrize(
    "targets",
    [
        LABELS.astype(np.float64),
        LABELS[:, None],
        LABELS.astype(np.uint8),
        np.eye(4)[LABELS],
        np.array(list("abcd"))[LABELS],
        np.array([b"a", b"b", b"c", b"d"])[LABELS],
    ],
    ids=["floats", "column", "bytes", "one-hot", "words", "byte-words"],
)
def test_labels_in_other_forms(arrays, targets):
    """Labels as most tools write them would be refused or misread."""
    data = arrays(X, targets, split="ordered", validation=0.0)
    assert data.num_classes == 4
    assert data.train.targets.tolist() == LABELS[:32].tolist()


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 2)])
def test_regression(arrays, shape):
    """Quantities would be taken for labels, or lose an axis."""
    data = arrays(X, np.random.default_rng(1).normal(size=shape))
    assert data.task == "regression"
    assert data.classes == ()
    assert data.train.targets.shape == (28, data.target_size)
    assert data.target_size == (shape[1] if len(shape) > 1 else 1)


def test_whole_numbers_as_quantities(arrays):
    """data.task = "regression" would be ignored."""
    assert arrays(X, LABELS, task="regression").train.targets.dtype == torch.float32


def test_images_of_bytes(arrays):
    """Pixels of 0 to 255 would reach the net as they are, or with their colours last."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 5, 6, 3), dtype=np.uint8)
    data = arrays(pixels, LABELS, split="ordered", validation=0.0)
    assert data.input_shape == (3, 5, 6)
    assert torch.allclose(data.train.inputs, torch.from_numpy(pixels[:32]).permute(0, 3, 1, 2) / 255)
    assert len(data.notes) == 2
    assert arrays(pixels[..., 0], LABELS).input_shape == (1, 5, 6)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_images_with_transparency(arrays, tmp_path, kind):
    """The rows of RGBA images would be their channels, or the trained model be given other numbers."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 5, 6, 4)).astype(kind)
    data = arrays(pixels, LABELS, split="ordered", validation=0.0)
    assert data.input_shape == (4, 5, 6)
    scale = 255 if kind == np.uint8 else 1
    assert torch.allclose(data.train.inputs, torch.from_numpy(pixels[:32]).permute(0, 3, 1, 2) / scale)
    section = schema.NpzData(name="npz", path=str(tmp_path / "a.npz"))
    prepared = Preparation.of(data, section).apply(pixels[:32])
    assert torch.equal(prepared.inputs, data.train.inputs)


def test_sequences_stay(arrays):
    """A sequence of vectors would be taken for an image."""
    assert arrays(np.zeros((40, 7, 3)), LABELS).input_shape == (7, 3)


def test_one_input(arrays):
    """A plain list of numbers would have no feature axis."""
    assert arrays(X[:, 0], LABELS).input_shape == (1,)


@pytest.mark.parametrize(
    ("x", "y", "section", "message"),
    [
        (X, LABELS[:30], {}, "40 inputs but 30 targets"),
        (X[:0], LABELS[:0], {}, "there are none|no samples"),
        (X, LABELS - 1, {}, "not labels 0, 1, 2.*the lowest is -1"),
        (X, LABELS + 1, {}, "count from 1: subtract 1"),
        (X, LABELS * 2, {}, "there is no 1, but a 6"),
        (X, LABELS * 10**12, {}, "there is no 1"),
        (X, LABELS, {"classes": 3}, r"10 labels are outside of 0 … 2; the first is 3, in row 3"),
        (X, LABELS, {"classes": 10**9}, "there are only 40 samples"),
        (X, LABELS, {"classes": 5}, "training split for class '4'"),
        (X, np.arange(40), {}, r"40 different ones in 40 samples.*Set data\.task"),
        (X, LABELS + 0.5, {"task": "classification"}, "not whole numbers"),
        (X, np.array(["a", "b"] * 20), {"task": "regression"}, "are words"),
        (X.astype(complex), LABELS, {}, "complex128"),
        (X.astype(str), LABELS, {}, "are words; numbers are needed"),
        (np.zeros((40, 0)), LABELS, {}, "a sample is empty"),
        (np.float64(3), LABELS, {}, "not an array"),
        (X, np.zeros((40, 2, 2)), {}, "3 axes"),
    ],
)
def test_what_cannot_be(arrays, x, y, section, message):
    """A person would see a traceback, or train on nonsense."""
    with pytest.raises(DataError, match=message):
        arrays(x, y, **section)


@pytest.mark.parametrize(
    ("value", "kind"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite"), (1e300, "too large")]
)
def test_not_finite(arrays, value, kind):
    """The loss would be NaN from the first step, and nobody would know why."""
    x = X.copy()
    x[17, 2] = x[30, 1] = value
    message = rf"2 of the inputs can't be used as numbers; the first is {kind}.*row 17 .*column 2"
    with pytest.raises(DataError, match=message):
        arrays(x, LABELS)
    y = LABELS.astype(float)
    y[5] = value
    with pytest.raises(DataError, match=rf"1 of the targets can't be used.*{kind}.*row 5"):
        arrays(X, y, task="regression")


def test_missing_file(tmp_path, arrays, read):
    """A mistyped file name would end in a traceback."""
    arrays(X, LABELS)
    with pytest.raises(DataMissingError, match=r"no such file\. Did you mean 'a\.npz'"):
        read(name="npz", path=str(tmp_path / "aa.npz"))


def test_missing_array(arrays):
    """A mistyped array's name would not be answered with the right ones."""
    with pytest.raises(DataError, match=r"no 'xx' \(data\.inputs\); it has 'x', 'y'\. Did you mean 'x'"):
        arrays(X, LABELS, inputs="xx")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 broken"])
def test_not_an_npz(tmp_path, read, content):
    """A file of another kind would end in a traceback."""
    (tmp_path / "b.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"can't be read as an \.npz file"):
        read(name="npz", path=str(tmp_path / "b.npz"))


def test_folder(tmp_path, read):
    """A folder in the place of a file would end in a traceback."""
    with pytest.raises(DataError, match=r"can't be read as an \.npz file"):
        read(name="npz", path=str(tmp_path))


def test_single_array(tmp_path, read):
    """An .npy file would end in a traceback."""
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(DataError, match="a single array"):
        read(name="npz", path=str(tmp_path / "a.npy"))


def test_objects_are_not_unpickled(tmp_path, read):
    """An .npz file could run code."""
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return marker.touch, ()

    np.savez(tmp_path / "e.npz", x=np.array([Evil()], dtype=object), y=LABELS)
    with pytest.raises(DataError, match=r"'x'.*Python objects"):
        read(name="npz", path=str(tmp_path / "e.npz"))
    assert not marker.exists()
