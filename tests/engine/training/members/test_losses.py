"""Each member's loss and accuracy must be what a run of it alone would say."""

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.preset import schema
from engine.training import losses
from engine.training.members import losses as member_losses
from tests.helpers.model_families import parsed

M, B = 3, 7
CLASSES = [
    ({"name": "cross-entropy"}, 4),
    ({"name": "cross-entropy", "label_smoothing": 0.2}, 4),
    ({"name": "mse-probabilities"}, 4),
    ({"name": "mse-probabilities"}, 1),
    ({"name": "mae-probabilities"}, 4),
    ({"name": "mae-probabilities"}, 1),
    ({"name": "bce"}, 1),
    ({"name": "perceptron"}, 1),
]
NUMBERS = [({"name": "mse"}, 2), ({"name": "mae"}, 1), ({"name": "huber", "delta": 0.3}, 2)]
USERS = [({"name": "code", "code": "mine.py:loss"}, 4)]


def both(keys: dict[str, Any], outputs: int) -> tuple[losses.Criterion, member_losses.MemberCriterion]:
    section = parsed(schema.AnyLoss, keys)
    task = "regression" if keys["name"] in ("mse", "mae", "huber") else "classification"
    classes = 0 if task == "regression" else max(2, outputs)
    one = losses.build(section, task=task, num_classes=classes, code=lambda spec: user_loss)  # type: ignore[arg-type]
    return one, member_losses.build(section, one)


def user_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    picked = outputs[torch.arange(len(targets)), targets]  # a batch of one model, as users write it
    return (1 - picked).square().mean()


def data(keys: dict[str, Any], outputs: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(M, B, outputs, generator=generator, dtype=torch.float64)
    if keys["name"] in ("mse", "mae", "huber"):
        return values, torch.randn(M, B, outputs, generator=generator, dtype=torch.float64)
    return values, torch.randint(max(2, outputs), (M, B), generator=generator)


@pytest.mark.parametrize(("keys", "outputs"), CLASSES + NUMBERS + USERS)
def test_each_members_loss_is_that_of_its_batch(keys: dict[str, Any], outputs: int) -> None:
    one, of_members = both(keys, outputs)
    values, targets = data(keys, outputs)
    expected = torch.stack([one(o, t) for o, t in zip(values, targets, strict=True)])
    torch.testing.assert_close(of_members(values, targets, None), expected)
    shared = torch.stack([one(o, targets[0]) for o in values])
    torch.testing.assert_close(of_members(values, targets[0], None), shared)


@pytest.mark.parametrize(("keys", "outputs"), CLASSES + NUMBERS)
def test_a_sample_without_weight_does_not_count(keys: dict[str, Any], outputs: int) -> None:
    """A fold that is one sample smaller would train on one of them twice."""
    one, of_members = both(keys, outputs)
    values, targets = data(keys, outputs)
    weights = torch.ones(M, B)
    weights[1] = torch.tensor([1.0] * (B - 1) + [0.0]) * B / (B - 1)
    got = of_members(values, targets, weights)
    torch.testing.assert_close(got[0], one(values[0], targets[0]))
    torch.testing.assert_close(got[1], one(values[1, :-1], targets[1, :-1]))


@pytest.mark.parametrize(("keys", "outputs"), CLASSES)
def test_each_members_accuracy_is_that_of_its_batch(keys: dict[str, Any], outputs: int) -> None:
    values, targets = data(keys, outputs)
    expected = torch.stack([losses.correct(o, t) for o, t in zip(values, targets, strict=True)])
    torch.testing.assert_close(member_losses.correct(values, targets), expected)
    shared = torch.stack([losses.correct(o, targets[0]) for o in values])
    torch.testing.assert_close(member_losses.correct(values, targets[0]), shared)


def test_penalties_may_differ_by_member() -> None:
    weights = [torch.randn(2, 3, 4), torch.randn(2, 5)]
    got = member_losses.penalty(weights, 0.0, torch.tensor([0.0, 0.1]))
    assert got is not None
    assert got.tolist() == pytest.approx([0.0, 0.1 * sum(w[1].square().sum().item() for w in weights)], rel=1e-5)
    assert member_losses.penalty(weights, 0.0, 0.0) is None
