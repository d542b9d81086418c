"""Members must see the samples they should, in the order in which runs alone would: that makes them repeats, a fair
comparison, or folds.
"""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from descent.common.errors import DataError
from engine.preset import schema
from engine.training import losses
from engine.training.at_once import AtOnce
from engine.training.data import Split
from engine.training.data.batches import Batches
from engine.training.evaluation import evaluate as evaluate_one
from engine.training.members import MemberBatches, Members, evaluate, evaluate_ensemble
from engine.training.members import losses as member_losses
from engine.training.members.folds import folds, scaling
from tests.helpers.model_families import parsed


def split(samples: int) -> Split:
    return Split(torch.arange(float(samples))[:, None], torch.arange(samples))


@pytest.mark.parametrize("size", [3, 10, None])
def test_a_repeats_batches_are_those_of_a_run_with_its_seed(size: int | None) -> None:
    together = MemberBatches(split(10), size, [5, 6, 7])
    alone = [Batches(split(10), size, seed) for seed in (5, 6, 7)]
    for _ in range(2 * together.per_epoch):
        batch = together.next()
        for member, one in enumerate(alone):
            expected = one.next()
            assert torch.equal(batch.targets if batch.shared else batch.targets[member], expected.targets)
            assert torch.equal(batch.inputs if batch.shared else batch.inputs[member], expected.inputs)
            assert one.epoch_is_over() == (together.index >= together.per_epoch)
        together.epoch_is_over()
    assert together.epoch == 2
    together.seek(1, 0)
    alone[1].seek(1, 0)
    if size is not None:
        assert torch.equal(together.next().targets[1], alone[1].next().targets)


def test_members_with_one_seed_share_one_batch() -> None:
    """A sweep's members would be compared on different orders, or every sample be copied M times."""
    batches = MemberBatches(split(10), 4, [3, 3, 3])
    batch = batches.next()
    assert batch.shared
    assert batch.inputs.shape == (4, 1)
    assert torch.equal(batch.targets, Batches(split(10), 4, 3).next().targets)
    assert [part.samples for part in batch.parts(2)] == [2, 2]


def test_images_of_all_members_are_augmented() -> None:
    images = Split(torch.zeros(10, 1, 4, 4), torch.arange(10))
    batches = MemberBatches(images, 5, [0, 1], augment=lambda x: x + torch.arange(float(len(x))).view(-1, 1, 1, 1))
    assert batches.next().inputs[:, :, 0, 0, 0].tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def rows_of(count: int, samples: int) -> list[Tensor]:
    made, _ = folds(None, samples, count, seed=0)
    return [torch.from_numpy(fold.train) for fold in made]


def test_folds_train_on_their_own_samples_and_on_all_of_them_before_long() -> None:
    rows = rows_of(3, 10)  # 6, 7 and 7 samples
    batches = MemberBatches(split(10), 4, [0, 0, 0], rows=rows)
    assert batches.per_epoch == 2
    seen: list[list[int]] = [[], [], []]
    for _ in range(20):
        of_epoch = torch.cat([batches.next().targets, batches.next().targets], dim=1)
        assert of_epoch.shape == (3, 6)
        assert batches.epoch_is_over()
        for member in range(3):
            assert len(set(of_epoch[member].tolist())) == 6
            seen[member] += of_epoch[member].tolist()
    assert [set(of_one) for of_one in seen] == [set(of_one.tolist()) for of_one in rows]


@pytest.mark.parametrize("exact", [True, False])
def test_a_full_batch_of_folds_weighs_each_sample_once(exact: bool) -> None:
    """The smaller folds' gradient would count a sample twice, and their line not be the least-squares one."""
    rows = rows_of(3, 10)
    batch = MemberBatches(split(10), None, [0, 0, 0], rows=rows, exact=exact).next()
    if not exact:
        assert batch.targets.shape == (3, 6)
        assert batch.weights is None
        return
    assert batch.weights is not None
    for member in range(3):
        weight_of = torch.zeros(10).index_add(0, batch.targets[member], batch.weights[member])
        expected = torch.zeros(10)
        expected[rows[member]] = 7 / len(rows[member])
        torch.testing.assert_close(weight_of, expected)
    assert sum(part.samples for part in batch.parts(2)) == 7


def test_every_sample_validates_once_and_classes_keep_their_shares() -> None:
    labels = np.array([0] * 12 + [1] * 6)
    made, notes = folds(labels, 18, 3, seed=1)
    assert notes == []
    assert sorted(i for fold in made for i in fold.validation) == list(range(18))
    for fold in made:
        assert sorted([*fold.train, *fold.validation]) == list(range(18))
        assert np.bincount(labels[fold.validation]).tolist() == [4, 2]
    assert any(
        (a.validation != b.validation).any() for a, b in zip(made, folds(labels, 18, 3, seed=2)[0], strict=True)
    )


def test_folds_of_few_samples_say_so() -> None:
    _, notes = folds(np.array([0] * 8 + [1] * 2), 10, 5, seed=0)
    assert "fewer than the 5 folds" in notes[0]
    _, notes = folds(np.array([0, 1, 2, 3]), 4, 2, seed=0)
    assert "not stratified" in notes[0]
    with pytest.raises(DataError, match="2 to 4 folds"):
        folds(None, 4, 5, seed=0)


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_each_folds_scaling_is_of_its_own_training_part(kind: str) -> None:
    """Validation would leak into training; years and time stamps would lose their digits."""
    raw = torch.from_numpy(np.random.default_rng(0).normal([0, 2000], [1, 0.001], size=(11, 2)))
    made, _ = folds(None, 11, 3, seed=0)
    inputs, _, scale = scaling(raw, [fold.train for fold in made], kind)
    assert scale is not None
    got = scale(inputs)
    for member, fold in enumerate(made):
        train = raw[torch.from_numpy(fold.train)]
        low, width = train.amin(0), train.amax(0) - train.amin(0)
        mean, std = (train.mean(0), train.std(0, correction=0)) if kind == "standard" else (low, width)
        torch.testing.assert_close(got[member], ((raw - mean) / std).float(), rtol=1e-4, atol=1e-5)
    batch = MemberBatches(Split(inputs, torch.arange(11)), 3, [0, 0, 0], rows=rows_of(3, 11), scaling=scale).next()
    torch.testing.assert_close(batch.inputs[2], got[2][batch.targets[2]])


# --- evaluation ---


def three() -> tuple[Members, list[nn.Module]]:
    torch.manual_seed(0)
    singles: list[nn.Module] = [nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3)) for _ in range(3)]
    return Members(singles, (2,), "batched"), singles


def test_each_member_is_evaluated_on_its_own_samples() -> None:
    """A fold's score would be of samples it trained on."""
    members, singles = three()
    section = parsed(schema.AnyLoss, {"name": "cross-entropy"})
    one = losses.build(section, task="classification", num_classes=3, code=None)
    criterion = member_losses.build(section, one)
    data = Split(torch.randn(1100, 2), torch.randint(3, (1100,)))
    for got, model in zip(
        evaluate(members, criterion, data, nullcontext(), AtOnce("auto", 8, 3)), singles, strict=True
    ):
        expected = evaluate_one(model, one, data, nullcontext(), AtOnce("auto", 8))
        assert got.loss == pytest.approx(expected.loss, rel=1e-5)
        assert got.accuracy == expected.accuracy
    made, _ = folds(None, 1100, 3, seed=0)
    rows = [torch.from_numpy(fold.validation) for fold in made]  # 367, 367 and 366
    results = evaluate(members, criterion, data, nullcontext(), AtOnce("auto", 8, 3), rows=rows)
    for got, model, own in zip(results, singles, rows, strict=True):
        part = Split(data.inputs[own], data.targets[own])
        expected = evaluate_one(model, one, part, nullcontext(), AtOnce("auto", 8))
        assert got.loss == pytest.approx(expected.loss, rel=1e-5)
        assert got.accuracy == expected.accuracy


def test_an_ensemble_predicts_the_mean_of_the_probabilities() -> None:
    members, singles = three()
    section = parsed(schema.AnyLoss, {"name": "cross-entropy"})
    one = losses.build(section, task="classification", num_classes=3, code=None)
    data = Split(torch.randn(50, 2), torch.randint(3, (50,)))
    got = evaluate_ensemble(members, one, data, nullcontext(), AtOnce("auto", 8, 3))
    mean = torch.stack([model(data.inputs).softmax(-1) for model in singles]).mean(0)
    assert got.loss == pytest.approx(-mean[torch.arange(50), data.targets].log().mean().item(), rel=1e-5)
    assert got.accuracy == pytest.approx((mean.argmax(-1) == data.targets).float().mean().item())


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_a_column_that_is_constant_in_one_fold_keeps_its_unit_there(kind: str) -> None:
    """A rare 1 in a column of zeros would come out as 31.6 in the fold that has never seen one."""
    raw = torch.zeros(1000, 2, dtype=torch.float64)
    raw[:, 0] = torch.arange(1000) % 7
    raw[999, 1] = 1
    train = [np.arange(500, 1000), np.arange(500)]
    inputs, _, own = scaling(raw, train, kind)
    assert own is not None
    assert own(inputs)[1, 999, 1].item() == pytest.approx(1.0, abs=1e-6)
    assert own(inputs)[1, 0, 1].item() == pytest.approx(0.0, abs=1e-6)
