"""A learner watches optimizers on surfaces whose minima and slopes are known: they must be what the page says."""

from typing import Any

import numpy as np
import pytest
import torch

from descent.common.errors import PresetError
from descent.run.metrics import Metrics
from engine.preset.loading import load_preset
from engine.training import surfaces
from tests.engine.training.conftest import Train

MINIMA = {"bowl": (0, 0, 0), "ravine": (0, 0, 0), "saddle": (0, 1, -0.25), "plateau": (0, 0, 0)}


@pytest.mark.parametrize("shape", surfaces.SHAPES)
def test_the_minimum_lies_where_it_is_said_to(shape: str) -> None:
    """A learner would steer for a place that is none."""
    x, y, height = MINIMA[shape]
    place = torch.tensor([float(x), float(y)], requires_grad=True)
    found = surfaces.heights(shape, place)
    (gradient,) = torch.autograd.grad(found, place)
    assert found.item() == pytest.approx(height)
    assert gradient.tolist() == pytest.approx([0, 0])
    grid = torch.cartesian_prod(torch.linspace(-4, 4, 41), torch.linspace(-4, 4, 41))
    assert surfaces.heights(shape, grid).min() >= height - 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ["optimizer.name=sgd", "optimizer.momentum=0.9", "optimizer.nesterov=true", "optimizer.lr=0.1"],
        ["optimizer.name=adagrad", "optimizer.lr=1.0"],
        ["optimizer.name=rmsprop", "optimizer.lr=0.1"],
        ["optimizer.name=adam", "optimizer.lr=0.3", "schedule.name=plateau"],
        ["optimizer.name=adamw", "optimizer.lr=0.3", "schedule.name=cosine"],
    ],
)
def test_every_optimizer_goes_down_the_ravine(train: Train, settings: list[str]) -> None:
    """An optimizer of the lab would not run."""
    folder = train("ravine-point", "train.steps=150", *settings)
    assert Metrics(folder.path).column("loss")[-1] < 0.3


def test_gradient_descent_is_what_the_formula_says(train: Train) -> None:
    """The ravine is 20 times as steep across: each step multiplies x by 1 − lr/10 and y by 1 − 2 lr."""
    metrics = Metrics(train("ravine-point", "train.steps=30", "optimizer.lr=0.8").path)
    steps = np.arange(1, 31)
    assert metrics.column("parameter.x") == pytest.approx(-7 * 0.92**steps, rel=1e-4)
    assert metrics.column("parameter.y") == pytest.approx(2 * (-0.6) ** steps, rel=1e-3, abs=1e-6)


@pytest.mark.slow
def test_a_sweep_finds_the_best_rate_by_the_height(train: Train) -> None:
    """There is no validation data to choose by."""
    folder = train("ravine-point", 'members.sweep."optimizer.lr"=[0.1, 0.9, 1.1]')
    winner = folder.last("winner")
    assert winner is not None
    assert winner["values"] == {"optimizer.lr": 0.9}
    assert Metrics(folder.path).column("parameter.x", 0)[0] == pytest.approx(-6.93)


@pytest.mark.parametrize(
    "overrides",
    [["loss.name=mse"], ["model.name=linear"], ["data.name=line", "train.batch_size=8"]],
)
def test_a_surface_goes_with_a_point_alone(overrides: list[Any]) -> None:
    """A loss of two numbers would be taken for data that have one."""
    with pytest.raises(PresetError, match="belong together; given"):
        load_preset("ravine-point", overrides)
