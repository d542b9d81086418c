"""Without this, a result could come from samples that were trained on, or from another split each time.

Shipped presets would train on other samples than those that their stated results and golden losses are of.
"""

import numpy as np
import pytest
import torch
from sklearn import datasets
from sklearn.model_selection import train_test_split

from descent.common.errors import DataError
from engine.preset import schema
from engine.training.data import public_sets
from engine.training.data.splits import draw_stratified


@pytest.fixture
def numbered(tmp_path, read):
    """numbered(labels, …) loads samples whose only input is their row."""

    def load(labels, **section):
        labels = np.asarray(labels)
        np.savez(tmp_path / "n.npz", x=np.arange(len(labels), dtype=np.float32), y=labels)
        return read(name="npz", path=str(tmp_path / "n.npz"), **section)

    return load


def rows(split):
    return [] if split is None else split.inputs.flatten().int().tolist()


def splits(data):
    return rows(data.train), rows(data.validation), rows(data.test)


def test_every_sample_once(numbered):
    """The splits would overlap, or lose samples."""
    train, validation, test = splits(numbered([0, 1] * 50))
    assert (len(train), len(validation), len(test)) == (70, 10, 20)
    assert sorted(train + validation + test) == list(range(100))


def test_stratified(numbered):
    """A rare class could be absent from the validation split."""
    data = numbered([0] * 80 + [1] * 20)
    assert torch.bincount(data.train.targets).tolist() == [56, 14]
    assert torch.bincount(data.validation.targets).tolist() == [8, 2]
    assert torch.bincount(data.test.targets).tolist() == [16, 4]


def test_ordered(numbered):
    """`ordered` would shuffle, and a time series' future would be trained on."""
    train, validation, test = splits(numbered([0, 1] * 50, split="ordered"))
    assert train == list(range(70))
    assert validation == list(range(70, 80))
    assert test == list(range(80, 100))


def test_seed(numbered):
    """Another seed would give the same split, or the same seed another one."""
    labels = [0, 1] * 50
    assert splits(numbered(labels, seed=3)) == splits(numbered(labels, seed=3))
    assert splits(numbered(labels, seed=3)) != splits(numbered(labels, seed=4))


def test_lone_sample(numbered):
    """One class with a single sample would stop everything, or its sample would be held out."""
    data = numbered([0] * 50 + [1] * 49 + [2])
    assert 99 in rows(data.train)
    assert any("not stratified: class '2' has one sample" in note for note in data.notes)


def test_size(numbered):
    """data.size would not be the number of training samples, or would change the test split."""
    labels = [0] * 80 + [1] * 20
    whole, part = numbered(labels), numbered(labels, size=20)
    assert len(rows(part.train)) == 20
    assert set(rows(part.train)) < set(rows(whole.train))
    assert torch.bincount(part.train.targets).tolist() == [16, 4]
    assert splits(part)[1:] == splits(whole)[1:]
    for size in (70, 69):
        assert len(rows(numbered(labels, size=size).train)) == size


def test_size_of_regression(read):
    """A size would work for classes alone."""
    assert len(read(name="diabetes", size=50).train.inputs) == 50


def test_too_large_a_size(numbered):
    """More samples than there are would be asked for without a word."""
    with pytest.raises(DataError, match=r"data\.size = 71, but .* has 70 training samples"):
        numbered([0, 1] * 50, size=71)


def test_size_below_classes(numbered):
    """A class would be missing from training without a word."""
    with pytest.raises(DataError, match=r"less than the 3 classes"):
        numbered([0, 1, 2] * 20, size=2)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"validation": 0.01}, r"data\.validation = 0\.01 of 30 samples is 0.*0\.034 or more"),
        (
            {"validation": 0.05},
            r"data\.validation = 0\.05 of 30 samples is 2.*one of each class.*0\.1 or more.*If the targets are quant",
        ),
        ({"validation": 0.5, "test": 0.5}, r"leave nothing to train on"),
        ({"validation": 0.0, "test": 0.95}, r"fewer than the 3 classes"),
    ],
)
def test_shares_that_cannot_be(numbered, section, message):
    """An empty or one-class split would give a meaningless score; the text must say what would do."""
    with pytest.raises(DataError, match=message):
        numbered([0, 1, 2] * 10, **section)


def test_nearly_every_sample_a_class_of_its_own(numbered):
    """The text counted samples below zero."""
    names = [f"n{i}" for i in range(18)] + ["z", "z"]
    with pytest.raises(DataError, match=r"of 20 samples is 2, but only 2 are of classes with two samples or more"):
        numbered(names, validation=0.1, test=0.0)


def test_the_share_that_is_named_does(numbered):
    """The advice in the message would lead to the next error."""
    assert len(rows(numbered([0, 1, 2] * 10, validation=0.1).validation)) == 3


def test_class_without_training_samples(numbered):
    """A net would be tested on a class that it never saw."""
    with pytest.raises(DataError, match=r"training split for class '1'"):
        numbered([0] * 80 + [1] * 20, split="ordered")


def test_random_labels(numbered):
    """Random labels would reach the test split, or not be random."""
    labels = [0, 1] * 500
    plain, mixed = numbered(labels), numbered(labels, random_labels=1.0)
    assert torch.equal(plain.test.targets, mixed.test.targets)
    assert torch.equal(plain.validation.targets, mixed.validation.targets)
    assert 0.4 < float((plain.train.targets != mixed.train.targets).float().mean()) < 0.6


def test_random_labels_of_a_regression(read):
    """The setting would be ignored without a word."""
    with pytest.raises(DataError, match="random_labels"):
        read(name="diabetes", random_labels=0.5)


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
    np.testing.assert_array_equal(draw_stratified(rows, labels, count, ours), expected)


def test_digits_are_those_of_scikit_learn() -> None:
    """The file is read without scikit-learn's code."""
    found, expected = public_sets.read_bundled(schema.BundledData(name="digits")), datasets.load_digits()
    np.testing.assert_array_equal(found.inputs[:, 0] * 16, expected.images)
    np.testing.assert_array_equal(found.targets, expected.target)
    assert found.inputs.dtype == expected.images.dtype
