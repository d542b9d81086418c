"""Shipped presets would train on other samples than those that their stated results and golden losses are of."""

import numpy as np
import pytest
from sklearn import datasets
from sklearn.model_selection import train_test_split

from engine.preset import schema
from engine.training.data import public_sets, splits


@pytest.mark.parametrize("seed", range(40))
def test_the_same_samples_as_scikit_learn(seed: int) -> None:
    """With classes of unlike and of like sizes, many and few of them, nearly all and hardly any drawn."""
    case = np.random.default_rng(seed)
    classes = int(case.integers(1, 12))
    sizes = case.integers(2, 40, classes) if seed % 2 else np.full(classes, int(case.integers(2, 20)))
    labels = case.permutation(np.repeat(np.arange(classes), sizes))
    rows = np.sort(case.choice(10_000, len(labels), replace=False))
    count = int(case.integers(classes, len(labels) - classes + 1))
    theirs, ours = np.random.RandomState(seed), np.random.RandomState(seed)
    expected = train_test_split(rows, train_size=count, stratify=labels, random_state=theirs)[0]
    np.testing.assert_array_equal(splits.draw_stratified(rows, labels, count, ours), expected)


def test_digits_are_those_of_scikit_learn() -> None:
    """The file is read without scikit-learn's code."""
    found, expected = public_sets.read_bundled(schema.BundledData(name="digits")), datasets.load_digits()
    np.testing.assert_array_equal(found.inputs[:, 0] * 16, expected.images)
    np.testing.assert_array_equal(found.targets, expected.target)
    assert found.inputs.dtype == expected.images.dtype
