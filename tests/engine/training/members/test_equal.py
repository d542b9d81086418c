"""Members are worth nothing if they are other trainings than those that a user would run one by one: from the same
initial weights and batches each member's weights must be those of a run alone."""

from typing import Any

import pytest
import torch

from tests.engine.training.members.families import COUNT, FAMILIES, Task, compare

CE = {"name": "cross-entropy"}
# A rate at which training is not chaotic: at higher ones a run alone, too, ends elsewhere where one weight differs in
# its last digit.
SGD = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01}

SHARED: list[dict[str, Any]] = [
    {"name": "sgd", "lr": 0.05},
    {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"name": "adam", "lr": 0.005, "weight_decay": 0.01},
    {"name": "adamw", "lr": 0.005, "beta1": 0.8, "weight_decay": 0.1},
    {"name": "adagrad", "lr": 0.02, "weight_decay": 0.01},
    {"name": "rmsprop", "lr": 0.005, "momentum": 0.5, "weight_decay": 0.01},
]
DIFFERING: list[list[dict[str, Any]]] = [
    [{"name": "sgd", "lr": 0.05 / (m + 1), "momentum": 0.4 * m, "weight_decay": 0.01 * m} for m in range(COUNT)],
    [
        {"name": "sgd", "lr": 0.05, "momentum": 0.5 + 0.1 * m, "nesterov": True, "weight_decay": 0.01}
        for m in range(COUNT)
    ],
    [
        {"name": "adam", "lr": 0.005, "beta1": 0.9 - 0.1 * m, "beta2": 0.999 - 0.01 * m, "weight_decay": 0.01 * m}
        for m in range(COUNT)
    ],
    [
        {"name": "adamw", "lr": 0.005 / (m + 1), "beta2": 0.999 - 0.01 * m, "weight_decay": m / 10}
        for m in range(COUNT)
    ],
    [
        {"name": "adagrad", "lr": 0.02 / (m + 1), "eps": 1e-6 * (m + 1), "weight_decay": 0.01 * m}
        for m in range(COUNT)
    ],
    [
        {"name": "rmsprop", "lr": 0.005, "alpha": 0.99 - 0.1 * m, "momentum": 0.2 * m, "eps": 1e-6 * (m + 1)}
        for m in range(COUNT)
    ],
]
OPTIMIZERS = [[section] * COUNT for section in SHARED] + DIFFERING
NAMES = [f"{kind}-{o[0]['name']}" for kind, o in zip(["shared"] * 6 + ["differing"] * 6, OPTIMIZERS, strict=True)]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_in_single_precision(name: str) -> None:
    compare(Task(CE, [SGD] * COUNT, clip_norm=1.0, dtype=torch.float32), name, 1e-5)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("resnet18", "lenet5")])
def test_every_family_over_200_steps(name: str) -> None:
    compare(Task(CE, [SGD] * 2, steps=200), name, 1e-9)


@pytest.mark.parametrize("name", ["resnet18", "lenet5"])
def test_the_slow_families_in_double_precision(name: str) -> None:
    compare(Task(CE, [SGD] * 2, steps=30), name, 1e-9)


@pytest.mark.parametrize("optimizers", OPTIMIZERS, ids=NAMES)
@pytest.mark.parametrize(("clip_norm", "steps"), [(None, 200), (0.1, 60)], ids=["unclipped", "clipped"])
def test_every_optimizer(optimizers: list[dict[str, Any]], clip_norm: float | None, steps: int) -> None:
    compare(Task(CE, optimizers, clip_norm=clip_norm, steps=steps), "mlp", 1e-9)


@pytest.mark.parametrize("optimizers", OPTIMIZERS, ids=NAMES)
def test_every_optimizer_in_single_precision(optimizers: list[dict[str, Any]]) -> None:
    compare(Task(CE, optimizers, clip_norm=0.5, dtype=torch.float32), "mlp", 1e-5)


@pytest.mark.parametrize("name", ["linear", "mlp-norm", "cnn-norm", "cnn-norm by loop", "lstm"])
def test_batches_that_all_share(name: str) -> None:
    compare(Task(CE, DIFFERING[0], shared=True, steps=30), name, 1e-9)


@pytest.mark.parametrize("name", ["mlp", "cnn", "rnn"])
def test_penalties(name: str) -> None:
    compare(Task({**CE, "l1": 0.001, "l2": 0.01, "label_smoothing": 0.1}, [SGD] * COUNT, steps=50), name, 1e-9)
