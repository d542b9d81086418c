"""One member's trouble must stay its own, and a resumed run go on as if it had not stopped."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from descent.common.errors import DescentError
from engine.preset import schema
from engine.training import optimizers
from engine.training.members import Members, MemberUpdate
from engine.training.members.extract import parts
from engine.training.members.update import Scalars
from engine.training.update import Update
from tests.helpers.model_families import CPU, family, layout, parsed

SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
ALL: list[dict[str, Any]] = [
    SGD,
    {"name": "adam", "lr": 0.01},
    {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
    {"name": "adagrad", "lr": 0.01},
    {"name": "rmsprop", "lr": 0.01, "momentum": 0.5},
]


def update_of(name: str, keys: dict[str, Any], count: int = 3, clip_norm: float | None = None) -> MemberUpdate:
    _, shape, path, *_ = layout(name)
    members = Members(family(name, count), shape, path)
    return MemberUpdate(members, [parsed(schema.AnyOptimizer, keys)] * count, clip_norm=clip_norm)


def step(update: MemberUpdate, inputs: Tensor, lr: float | Tensor = 0.1) -> tuple[Tensor, Tensor]:
    """A loss with a gradient everywhere; the norms."""
    update.zero()
    update.backward(update.members(inputs).square().flatten(1).mean(1))
    norms = update.finish_gradients(measure=True)
    update.apply(lr)
    assert norms is not None
    return norms


def inputs_of(name: str, count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 6, *layout(name).shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", ["mlp-norm", "cnn-norm", "lstm", "transformer", "cnn-norm by loop"])
def test_a_member_that_diverges_keeps_its_last_finite_weights_and_the_others_go_on(name: str) -> None:
    update, without = update_of(name, SGD, clip_norm=1.0), update_of(name, SGD, clip_norm=1.0)
    inputs = inputs_of(name)
    for turn in range(6):
        broken = inputs.clone()
        broken[1] = float("nan") if turn >= 2 else inputs[1]
        before = copy.deepcopy(update.members.member_state(1))  # running statistics, too
        step(update, broken)
        step(without, inputs)
        after = update.members.member_state(1)
        assert all(torch.equal(after[key], before[key]) for key in before) == (turn >= 2)
    assert update.trains.tolist() == [True, False, True]
    assert update.members.weights.isfinite().all()
    for member in (0, 2):
        expected = without.members.member_state(member)
        torch.testing.assert_close(update.members.member_state(member), expected, rtol=0, atol=0)
    step(update, inputs)  # for good, with good numbers too
    torch.testing.assert_close(update.members.member_state(1), before, rtol=0, atol=0)


@pytest.mark.parametrize("keys", ALL, ids=[str(keys["name"]) for keys in ALL])
def test_an_overflowing_rate_freezes_one_member_alone(keys: dict[str, Any]) -> None:
    """A sweep over learning rates would end with its wildest candidate."""
    update, inputs = update_of("mlp", keys), inputs_of("mlp")
    for _ in range(30):
        step(update, inputs, torch.tensor([0.01, 1e100, 0.01]))
    assert update.trains.tolist() == [True, False, True]
    assert update.members.weights.isfinite().all()


@pytest.mark.parametrize("keys", ALL, ids=[str(keys["name"]) for keys in ALL])
def test_a_member_frozen_by_hand_stays_put(keys: dict[str, Any]) -> None:
    """Early stopping would not stop it: momentum and weight decay go on without gradients."""
    update, inputs = update_of("mlp", keys), inputs_of("mlp")
    step(update, inputs)
    update.freeze(2)
    before = update.members.weights.clone()
    step(update, inputs)
    moved = (update.members.weights != before).any(dim=1)
    assert moved.tolist() == [True, True, False]
    assert update.marked(torch.ones(3)).isnan().tolist() == [False, False, True]


@pytest.mark.parametrize("keys", ALL, ids=[str(keys["name"]) for keys in ALL])
def test_training_goes_on_bit_by_bit_after_a_resume(keys: dict[str, Any]) -> None:
    update, inputs = update_of("mlp", keys), inputs_of("mlp")
    for _ in range(3):
        step(update, inputs)
    update.freeze(0)
    saved = copy.deepcopy((update.members.state_dict(), update.state()))
    other = update_of("mlp", keys)
    step(other, inputs)  # where it stands is replaced
    other.members.load_state_dict(saved[0])
    other.restore(saved[1])
    for _ in range(3):
        step(update, inputs)
        step(other, inputs)
    assert torch.equal(update.members.weights, other.members.weights)


@pytest.mark.parametrize("keys", ALL, ids=[str(keys["name"]) for keys in ALL])
def test_one_member_goes_on_as_an_ordinary_run(keys: dict[str, Any]) -> None:
    """A fork of a member would begin with an optimizer that remembers nothing."""
    update, inputs = update_of("mlp", keys), inputs_of("mlp")
    for _ in range(3):
        step(update, inputs)
    model = update.members.module(1)
    parameters = list(model.parameters())
    optimizer = optimizers.build(parsed(schema.AnyOptimizer, keys), parameters, CPU)
    rows = {name: of_all[1] for name, of_all in update.state()["tensors"].items()}
    slots = parts(rows, update.members.places, None if keys["name"] == "sgd" else 3)
    optimizer.load_state_dict(optimizer.state_dict() | {"state": dict(enumerate(slots))})
    alone = Update(optimizer, parameters, device=CPU)
    for _ in range(3):
        step(update, inputs)
        alone.zero()
        alone.backward(model(inputs[1]).square().mean())
        alone.apply(0.1)
    torch.testing.assert_close(update.members.member_state(1), model.state_dict(), rtol=0, atol=1e-12)


def test_each_members_gradient_is_clipped_by_its_own_norm() -> None:
    update, inputs = update_of("mlp", SGD, clip_norm=0.05), inputs_of("mlp")
    inputs[0] *= 1e-3
    before, after = step(update, inputs * torch.tensor([1e-6, 1.0, 10.0]).view(3, 1, 1))
    assert (after <= 0.05).all()
    assert before[2] > before[1] > 0.05
    assert update.gradients.norm(dim=1).tolist() == pytest.approx(after.tolist(), rel=1e-4)


def test_parts_of_a_batch_add_up() -> None:
    """train.accumulate would train on a part of each batch."""
    whole, parts, inputs = update_of("mlp", SGD), update_of("mlp", SGD), inputs_of("mlp")
    step(whole, inputs)
    parts.zero()
    for part in inputs.chunk(2, dim=1):
        parts.backward(parts.members(part).square().flatten(1).mean(1) * 0.5)
    parts.finish_gradients(measure=False)
    parts.apply(0.1)
    torch.testing.assert_close(whole.members.weights, parts.members.weights)


def test_what_does_not_fit_into_lockstep_is_refused() -> None:
    members = update_of("mlp", SGD).members
    with pytest.raises(DescentError, match="compare adam, sgd"):
        MemberUpdate(members, [parsed(schema.AnyOptimizer, keys) for keys in (ALL[0], ALL[1], ALL[0])])


def test_the_rate_is_one_number_where_it_can_be() -> None:
    """Every step would send a tensor to the device for nothing."""
    rates = Scalars()
    assert rates([0.1, 0.1], torch.zeros(1)) == 0.1
    of_each = rates([0.1, 0.2], torch.zeros(1))
    assert isinstance(of_each, Tensor)
    assert rates([0.1, 0.2], torch.zeros(1)) is of_each
    torch.testing.assert_close(rates([0.1, 0.3], torch.zeros(1)), torch.tensor([0.1, 0.3]))


def test_scalars_can_be_changed_while_it_runs() -> None:
    """A live `set` would be without effect, or forget the momentum."""
    update, other, inputs = update_of("mlp", SGD), update_of("mlp", SGD), inputs_of("mlp")
    sections = [parsed(schema.AnyOptimizer, SGD | {"momentum": m}) for m in (0.9, 0.9, 0.5)]
    step(update, inputs)
    step(other, inputs)
    update.set(sections, 10.0)
    step(update, inputs)
    step(other, inputs)
    same = (update.members.weights - other.members.weights).abs().amax(dim=1) < 1e-12
    assert same.tolist() == [True, True, False]
