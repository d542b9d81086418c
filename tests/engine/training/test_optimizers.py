"""If these fail, an optimizer does not do what its name says."""

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from descent.common.errors import PresetError
from engine.preset import schema
from engine.training import optimizers

CPU = torch.device("cpu")


def section(**keys: Any) -> schema.AnyOptimizer:
    parsed: schema.AnyOptimizer = TypeAdapter(schema.AnyOptimizer).validate_python(keys)
    return parsed


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """20 updates, at a rate that the caller sets anew before each."""
    generator = torch.Generator().manual_seed(1)
    for step in range(20):
        inputs = torch.randn(16, 6, generator=generator)
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.param_groups[0]["lr"] = 0.01 * (1 + step % 3)
        optimizer.step()


@pytest.mark.parametrize(
    ("keys", "kind", "arguments"),
    [
        ({"name": "sgd"}, torch.optim.SGD, {}),
        ({"name": "sgd", "momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9}),
        (
            {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
            torch.optim.SGD,
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        ),
        (
            {"name": "adagrad", "eps": 1e-6, "weight_decay": 0.1},
            torch.optim.Adagrad,
            {"eps": 1e-6, "weight_decay": 0.1},
        ),
        (
            {"name": "rmsprop", "alpha": 0.8, "momentum": 0.5, "eps": 1e-6, "weight_decay": 0.1},
            torch.optim.RMSprop,
            {"alpha": 0.8, "momentum": 0.5, "eps": 1e-6, "weight_decay": 0.1},
        ),
        (
            {"name": "adam", "beta1": 0.8, "beta2": 0.95, "eps": 1e-6, "weight_decay": 0.1},
            torch.optim.Adam,
            {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1},
        ),
        ({"name": "adamw"}, torch.optim.AdamW, {}),  # without its default decay it would be Adam
        ({"name": "adamw", "weight_decay": 0.0}, torch.optim.AdamW, {"weight_decay": 0.0}),
        ({"name": "adamw", "weight_decay": 0.1}, torch.optim.AdamW, {"weight_decay": 0.1}),
    ],
)
def test_the_same_weights_as_plain_torch(keys: dict[str, Any], kind: Any, arguments: dict[str, Any]) -> None:
    """A setting would be lost on its way to torch, or a quick form of the update would differ."""
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    plain = copy.deepcopy(ours)
    train(ours, optimizers.build(section(lr=0.01, **keys), ours.parameters(), CPU))
    train(
        plain,
        kind(plain.parameters(), lr=0.01, foreach=False, fused=False, **arguments)
        if kind is not torch.optim.RMSprop
        else kind(plain.parameters(), lr=0.01, foreach=False, **arguments),
    )
    for got, expected in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adagrad", "rmsprop"])
def test_the_quickest_form_is_used(name: str) -> None:
    """Each step would take several times as long, one small kernel a parameter."""
    group = optimizers.build(section(name=name, lr=0.1), nn.Linear(2, 2).parameters(), CPU).param_groups[0]
    assert bool(group.get("fused")) != bool(group.get("foreach"))
    assert bool(group.get("fused")) == (name != "rmsprop")


def test_frozen_parameters_are_left_out() -> None:
    """Weight decay would shrink weights that were to stay as they are."""
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3))
    model[0].requires_grad_(False)
    before = copy.deepcopy(model[0].state_dict())
    optimizer = optimizers.build(section(name="adamw", lr=0.1, weight_decay=0.5), model.parameters(), CPU)
    train(model, optimizer)
    assert len(optimizer.param_groups[0]["params"]) == 2
    torch.testing.assert_close(model[0].state_dict(), before, atol=0, rtol=0)


def test_nothing_to_train_is_said() -> None:
    """A model frozen whole would fail with torch's 'empty parameter list'."""
    model = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(PresetError, match=r"model\.freeze leaves no trainable parameter"):
        optimizers.build(section(name="sgd", lr=0.1), model.parameters(), CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adagrad", "rmsprop"])
def test_every_optimizer_steps_on_a_gpu(name: str) -> None:
    """The quick form would be asked for where the GPU has none."""
    device = torch.device("cuda")
    model = nn.Linear(6, 3, device=device)
    before = model.weight.detach().clone()
    optimizer = optimizers.build(section(name=name, lr=0.1), model.parameters(), device)
    model(torch.ones(2, 6, device=device)).square().mean().backward()
    optimizer.step()
    assert not torch.equal(before, model.weight)


WITHOUT_COMPILER = """
import sys, torch
from contextlib import nullcontext
from engine.preset import schema
from engine.training.at_once import AtOnce
from engine.training.data import Split
from engine.training.evaluation import evaluate
from engine.training import optimizers
from engine.training.update import Update

optimizers.leave_compiler_out()
weight = torch.nn.Parameter(torch.ones(2))
optimizer = optimizers.build(schema.Adam(name="adam", lr=0.1), [weight], torch.device("cpu"))
update = Update(optimizer, [weight], device=torch.device("cpu"))
for _ in range(3):
    update.zero()
    update.backward(weight.square().sum())
    update.apply(0.1)
optimizer.load_state_dict(optimizer.state_dict())
data = Split(torch.zeros(100, 2), torch.zeros(100, 1))
model = torch.nn.Linear(2, 1)
evaluate(model, torch.nn.functional.mse_loss, data, nullcontext(), AtOnce("auto", trained=4))
assert weight.tolist() != [1, 1]
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.slow
def test_training_does_not_wait_for_a_compiler_that_it_does_not_use() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def test_a_lack_of_memory_is_not_taken_for_a_missing_fused_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimizer would be blamed, or the run be slow, where another program has filled the GPU."""
    assert optimizers.fused_works(torch.optim.SGD, CPU)
    assert not optimizers.fused_works(torch.optim.RMSprop, CPU)

    missing = "Could not run 'aten::_fused_sgd_' with arguments from the 'CUDA' backend"
    monkeypatch.setattr(torch.optim.SGD, "step", raising(NotImplementedError(missing)))
    assert not optimizers.fused_works(torch.optim.SGD, CPU)
    monkeypatch.setattr(torch.optim.SGD, "step", raising(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(torch.OutOfMemoryError):
        optimizers.fused_works(torch.optim.SGD, CPU)


def raising(error: Exception) -> Any:
    def step(self: torch.optim.Optimizer, closure: Any = None) -> Any:
        raise error

    return step
