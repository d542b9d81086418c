"""A member must be a model like any other: taken out, put back, saved and computed in whichever way serves it."""

import copy
import re

import pytest
import torch
from torch import Tensor, nn

from descent.common.errors import DescentError, PresetError
from engine.preset import schema
from engine.training import models
from engine.training.members import Members, choose, layout
from tests.helpers.model_families import COUNT, FAMILIES, family, parsed


def outputs(modules: list[nn.Module], inputs: Tensor) -> Tensor:
    return torch.stack([module.eval()(x) for module, x in zip(modules, inputs, strict=True)])


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_member_taken_out_computes_what_it_did_among_the_others(name: str) -> None:
    """Pictures, checkpoints and a fork of one member would show another model."""
    _, shape, path, *_ = FAMILIES[name]
    singles = family(name)
    members = Members(singles, shape, path)
    inputs = torch.rand(COUNT, 5, *shape, dtype=torch.float64)
    members(inputs)  # moves the statistics of batch norms
    members.train(False)
    with torch.no_grad():
        got = members(inputs)
        torch.testing.assert_close(got, outputs([members.module(m) for m in range(COUNT)], inputs))
        shared = members(inputs[0])
        torch.testing.assert_close(shared[0], got[0])
    assert list(members.member_state(0)) == list(singles[0].state_dict())


@pytest.mark.parametrize("name", ["mlp-norm", "cnn-norm", "lstm"])
def test_weights_come_back_from_what_was_saved_of_all_and_of_one(name: str) -> None:
    """A resumed run would go on with other weights, or a fork of a member begin with another's."""
    _, shape, path, *_ = FAMILIES[name]
    members = Members(family(name), shape, path)
    members(torch.rand(COUNT, 5, *shape, dtype=torch.float64))
    saved = copy.deepcopy(members.state_dict())
    again = Members(family(name)[::-1], shape, path)
    again.load_state_dict(saved)
    torch.testing.assert_close(again.state_dict(), saved, rtol=0, atol=0)
    again.load(0, members.member_state(2))
    torch.testing.assert_close(again.member_state(0), members.member_state(2), rtol=0, atol=0)
    torch.testing.assert_close(again.member_state(1), members.member_state(1), rtol=0, atol=0)


def test_weights_of_other_members_are_refused() -> None:
    """torch's own error would be about shapes, or nothing would be said at all."""
    members = Members(family("linear"), (6,), "batched")
    with pytest.raises(DescentError, match="to 2 members, but there are 3"):
        members.load_state_dict(Members(family("linear", 2), (6,), "batched").state_dict())
    with pytest.raises(DescentError, match="another model"):
        members.load(0, nn.Linear(2, 2).state_dict())
    with pytest.raises(DescentError, match="have the same shape"):
        Members([nn.Linear(2, 2), nn.Linear(2, 3)], (2,), "vmap")


def test_frozen_layers_and_shared_weights_stay_what_they_are() -> None:
    """A pretrained part would be trained after all, or a weight that two layers share become two."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.kept = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
            self.second.weight = self.first.weight
            self.kept.requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.second(self.kept(self.first(x).tanh()))
            return out

    for path in ("vmap", "loop"):
        singles = [Tied() for _ in range(COUNT)]
        members = Members(singles, (3,), path)  # type: ignore[arg-type]
        assert list(members.places) == ["first.weight", "first.bias", "second.bias"]
        torch.autograd.backward(members(torch.rand(COUNT, 4, 3)).sum())
        assert members.gradients().shape == members.weights.shape == (COUNT, 15)
        assert list(members.member_state(1)) == list(singles[1].state_dict())
        members.load(0, members.member_state(1))
        torch.testing.assert_close(members.member_state(0), singles[1].state_dict())


def mlps(*shares: float) -> list[nn.Module]:
    made = []
    for share in shares:
        torch.manual_seed(0)
        section = parsed(schema.AnyModel, {"name": "mlp", "widths": [500], "dropout": share})
        made.append(models.build(section, input_shape=(6,), outputs=4, code=None))
    return made


@pytest.mark.parametrize("path", ["batched", "vmap"])
def test_dropout_is_each_members_own(path: str) -> None:
    """Repeats would not be independent, or a sweep of model.dropout train all with the same share."""
    members = Members(mlps(0.0, 0.5, 0.5, 0.9), (6,), path)  # type: ignore[arg-type]
    hidden = []
    members.template.get_submodule("dropout1").register_forward_hook(lambda m, i, out: hidden.append(out))

    def kept_by(members: Members) -> Tensor:
        """(M, 500): whether the hidden unit's output has an influence on the model's."""
        members.zero()
        torch.autograd.backward(members(torch.ones(1, 6)).sum())
        gradient = members.split(members.gradients())["head.weight"]
        alive = (
            members.split(members.weights)["hidden1.weight"].sum(-1) + members.split(members.weights)["hidden1.bias"]
        )
        return (gradient[:, 0] != 0)[:, alive[0] > 0]

    with torch.random.fork_rng():
        torch.manual_seed(0)
        kept = kept_by(members)
        assert kept[0].all()
        assert kept[1:].float().mean(1).tolist() == pytest.approx([0.5, 0.5, 0.1], abs=0.1)
        assert not torch.equal(kept[1], kept[2])
        assert [getattr(members.module(m).get_submodule("dropout1"), "p", None) for m in (0, 1)] == [0.0, 0.5]
        members.set_dropout(0.2)
        assert kept_by(members).float().mean(1).tolist() == pytest.approx([0.8] * 4, abs=0.1)
        members.set_dropout([0.0, 0.0, 0.0, 0.6])
        assert kept_by(members).float().mean(1).tolist() == pytest.approx([1, 1, 1, 0.4], abs=0.1)
    members.train(False)
    assert torch.equal(members(torch.ones(1, 6))[0], members(torch.ones(1, 6))[3])


# --- which path ---


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_takes_the_path_that_is_its_quickest(name: str) -> None:
    """A run would be several times slower than it need be, and no one would know why."""
    _, shape, path, *_ = FAMILIES[name]
    singles = family(name)
    before = copy.deepcopy(singles[0].state_dict())
    sample = torch.rand(4, *shape, dtype=torch.float64)
    state = torch.random.get_rng_state()
    choice = choose(singles, sample)
    if path == "vmap":  # which of the two is quicker, the machine decides
        assert choice.path in ("vmap", "loop")
        assert len(re.findall(r"\d m?s\b", choice.reason)) == 2, choice.reason
    else:
        assert choice.path == path, choice.reason
    assert choose(singles, sample, wanted=path).path == path
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.testing.assert_close(singles[0].state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", [name for name, found in FAMILIES.items() if found.way != "loop"])
def test_half_precision_is_had_where_it_was_asked_for(name: str) -> None:
    """A run with train.precision = "bf16" would train in float32, and slower: autocast does not reach into vmap."""
    _, shape, way, *_ = FAMILIES[name]
    singles = family(name, dtype=torch.float32)
    sample = torch.rand(8, *shape, generator=torch.Generator().manual_seed(0))
    half = torch.autocast("cpu", torch.bfloat16)
    assert choose(singles, sample, half, wanted=way).path == way
    exact = _passed(Members(singles, shape, way), sample)
    with half:
        ours, theirs = (_passed(Members(singles, shape, path), sample) for path in (way, "loop"))  # type: ignore[arg-type]
    assert [[values.dtype for values in of_one] for of_one in (exact, ours, theirs)] == [
        [torch.float32] * 2,
        *[[torch.bfloat16, torch.float32]] * 2,
    ]
    for right, got, other in zip(exact, ours, theirs, strict=True):  # outputs, then gradients
        lost, of_others = (float((values - right).norm() / right.norm()) for values in (got, other))
        assert 1e-4 < lost < 2 * of_others, (lost, of_others)


def _passed(members: Members, sample: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs and the gradients of a pass."""
    outputs = members(sample)
    torch.autograd.backward(outputs.float().square().sum())
    return outputs.detach(), members.gradients()


class Partly(nn.Module):
    """A model that computes its last layer in float32 itself, and returns half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        seen.append(x.dtype)
        with torch.autocast("cpu", enabled=False):
            x = self.last(x.float())
            seen.append(x.dtype)
        return x.bfloat16()


seen: list[torch.dtype] = []


def test_a_model_that_turns_half_precision_off_computes_as_it_says() -> None:
    """What its author keeps in float32, because it needs the digits, would lose them among members."""
    models = [Partly() for _ in range(2)]
    with torch.autocast("cpu", torch.bfloat16):
        seen.clear()
        Members(models, (4,), "vmap")(torch.rand(3, 4))
    assert seen == [torch.bfloat16, torch.float32]


def test_a_way_that_the_preset_asks_for_is_taken_or_refused() -> None:
    """A test of bit-equality, or a comparison of the ways, could not fix it."""
    sample = torch.rand(4, 6, dtype=torch.float64)
    for way in ("batched", "vmap", "loop"):
        assert choose(family("mlp"), sample, wanted=way).path == way
    rows = torch.rand(4, *FAMILIES["rnn"].shape, dtype=torch.float64)
    with pytest.raises(
        PresetError, match=r"torch.func has no batching rule for RNN layers; allowed: \"auto\", \"loop\""
    ):
        choose(family("rnn"), rows, wanted="vmap")
    with pytest.raises(PresetError, match="is for MLPs"):
        choose(family("rnn"), rows, wanted="batched")


class Peeks(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum().item() > 0 else -super().forward(x)


class Counts(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 2)
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return super().forward(x)


@pytest.mark.parametrize(("kind", "why"), [(lambda: Peeks(3, 2), "item"), (Counts, "the buffer calls")])
def test_a_model_that_vmap_can_not_do_takes_turns_and_the_reason_is_said(kind: type[nn.Module], why: str) -> None:
    """A student's own model would crash, or its counters stand still without a word."""
    singles = [kind() for _ in range(2)]
    choice = choose(singles, torch.rand(4, 3))
    assert choice.path == "loop"
    assert why in choice.reason
    inputs = torch.rand(2, 4, 3)
    expected = torch.stack([model(x) for model, x in zip(copy.deepcopy(singles), inputs, strict=True)])
    torch.testing.assert_close(Members(singles, (3,), choice.path)(inputs), expected)


def test_loading_the_members_one_by_one_costs_no_more_for_each_the_more_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forty small networks would take seconds at every resume and rewind: everything was stacked for each name."""
    stacked = []
    stack = layout.stack
    monkeypatch.setattr(layout, "stack", lambda tensors: stacked.append(len(tensors)) or stack(tensors))
    members = Members(family("lstm", 8), FAMILIES["lstm"][1], "loop")
    saved = copy.deepcopy(members.state_dict())
    stacked.clear()
    members.load_state_dict(saved)
    assert stacked == []
