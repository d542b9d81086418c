"""Without this, scikit-learn's sets could lose their shapes, ranges or names on the way."""

import pytest
import torch


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
