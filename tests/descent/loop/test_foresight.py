"""A planned rate that is not the one to come misleads whoever decides by it; a probe must leave the loop alone."""

import argparse
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as made

from descent.loop.driver import Driver
from descent.loop.foresight import MOST_CALLS, Foresight, corners, depends_on_its_count
from descent.run.metrics import Metrics
from descent.run.rates import ForeseenRates
from tests.helpers.loops import DRIVEN, Made

EPOCHS, LENGTH = 12, 10
ARGS = argparse.Namespace(warmup=20)
SEEN: list[int] = []


def counting(step: int) -> float:
    SEEN.append(step)
    return 1.0


def warmup(step: int, over: int) -> float:
    return min(1.0, (step + 1) / over) * (1 + math.cos(step / 60)) / 2


def sequential(optimizer: torch.optim.Optimizer) -> made.LRScheduler:
    parts = [made.LinearLR(optimizer, 0.1, total_iters=5), made.ExponentialLR(optimizer, 0.9)]
    return made.SequentialLR(optimizer, parts, milestones=[5])


MAKERS: dict[str, Callable[[Any], Any]] = {
    "step": lambda o: made.StepLR(o, 4, 0.5),
    "cosine": lambda o: made.CosineAnnealingLR(o, EPOCHS),
    "one cycle": lambda o: made.OneCycleLR(o, 0.3, total_steps=EPOCHS * LENGTH + 1),
    "restarts": lambda o: made.CosineAnnealingWarmRestarts(o, 3, 2),
    "one after another": sequential,
    "lambda": lambda o: made.LambdaLR(o, lambda step: min(1.0, (step + 1) / ARGS.warmup)),
    "partial": lambda o: made.LambdaLR(o, functools.partial(warmup, over=7)),
}


def driven(make: Callable[[Any], Any], *, every: int) -> tuple[list[float], list[tuple[int, dict[str, Any]]]]:
    """Train by batches. Return the rate of each step, and what was told, with its step. every: steps a call."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    driver = Driver(kind="batches", total=EPOCHS, length=LENGTH)
    foresight, rates, told = Foresight(), [], []
    for step in range(EPOCHS * LENGTH):
        driver.epoch, driver.batch = step // LENGTH, step % LENGTH + 1
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0:
            scheduler.step()
        found = foresight.look(step + 1, [model, scheduler], optimizer, driver)
        told += [] if found is None else [(step + 1, found)]
    return rates, told


@pytest.mark.parametrize("every", [1, LENGTH], ids=["each step", "each epoch"])
@pytest.mark.parametrize("name", MAKERS)
def test_the_rates_foreseen_are_those_that_come(name: str, every: int) -> None:
    rates, [(begin, told)] = driven(MAKERS[name], every=every)
    assert begin == (3 if every == 1 else LENGTH + 1)
    plan = ForeseenRates.of(told, 0.5)
    assert plan is not None
    assert plan.total_steps == EPOCHS * LENGTH
    foreseen = [plan.rate(step) for step in range(begin, len(rates))]
    assert np.allclose(foreseen, 0.5 * np.array(rates[begin:]), atol=2e-3 * max(rates))


def test_a_schedule_that_more_decides_than_its_count_is_not_called() -> None:
    """A function of the user's own may count its calls, print, or draw from a generator."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    drawn, state = torch.rand(1), {"scale": 1.0}
    for function in (
        counting,
        lambda step: torch.rand(1).item(),
        lambda step: state["scale"],
        lambda step: float(drawn),
    ):
        assert not depends_on_its_count(made.LambdaLR(optimizer, function))
    assert not depends_on_its_count(made.ReduceLROnPlateau(optimizer))
    SEEN.clear()
    assert driven(lambda o: made.LambdaLR(o, counting), every=1)[1] == []
    assert list(range(EPOCHS * LENGTH + 1)) == SEEN


def test_a_loop_that_calls_its_scheduler_otherwise_is_not_foretold() -> None:
    assert driven(MAKERS["cosine"], every=7)[1] == []


def test_a_longer_run_is_foretold_anew() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler, foresight, driver = made.StepLR(optimizer, 30), Foresight(), Driver(kind="steps", total=40)
    ends = []
    for step in range(50):
        optimizer.step()
        scheduler.step()
        if step == 20:
            driver.more = 60
            foresight.forget()
        found = foresight.look(step + 1, [scheduler], optimizer, driver)
        ends += [] if found is None else [found["at"][-1]]
    assert ends == [39, 99]


def test_rates_that_come_otherwise_are_taken_back() -> None:
    """The user's code may set the rate itself, on top of its schedule."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler, foresight = made.CosineAnnealingLR(optimizer, 1000), Foresight()
    told = []
    for step in range(1000):
        optimizer.step()
        scheduler.step()
        if step > 150:
            optimizer.param_groups[0]["lr"] = 0.7
        found = foresight.look(step + 1, [scheduler], optimizer, Driver(kind="steps", total=1000))
        told += [] if found is None else [found["at"]]
    assert told[0]
    assert told[-1] == []


def test_few_points_are_kept_of_a_long_curve() -> None:
    steps = np.arange(MOST_CALLS)
    for curve in (np.cos(steps / 9000) + 1, np.where(steps < 500, 1.0, 0.1), np.full(MOST_CALLS, 0.1)):
        kept = corners(curve)
        assert len(kept) < 60
        assert np.abs(np.interp(steps, kept, curve[kept]) - curve).max() <= 1e-3 * curve.max()
    assert len(corners(np.cos(steps / 3))) <= 512


@pytest.mark.slow
def test_a_run_tells_its_rates(script: Made) -> None:
    driven = script("driven").start(DRIVEN).end()
    assert driven.code == 0, driven.err
    told = driven.run.last("rates")
    assert told is not None
    plan = ForeseenRates.of(told, 1.0)
    assert plan is not None
    rates = Metrics(driven.run.path).column("lr")
    assert plan.total_steps == len(rates)
    assert np.allclose([plan.rate(s) for s in range(told["step"], len(rates))], rates[told["step"] :], atol=1e-4)
