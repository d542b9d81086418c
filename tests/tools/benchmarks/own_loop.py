"""What watching a training loop of one's own costs, beside loggers that are told the same numbers at every step."""

import gc
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests.tools.benchmarks.harness import Figure, Result, interleave, ratio, spread
from tests.tools.benchmarks.peers import silent
from tests.tools.benchmarks.training import Weights, forked

ROUNDS = 9
ALONE, WATCHED = "the script alone", "descent.watch"
Say = Callable[[Tensor, float], None]  # takes a step's loss and rate
Begin = Callable[[], tuple[Say, Callable[[], None]]]  # of a logger: how it is told, and how it is ended


class Size(NamedTuple):
    """A training of a multilayer perceptron. bar: of the watched over the script alone."""

    widths: tuple[int, ...]
    batch: int
    steps: int
    bar: float


SIZES = {
    "steps of 5 ms": Size((784, 256, 256, 10), 128, 400, 1.03),
    "steps of 0.5 ms": Size((64, 32, 10), 64, 3000, 1.10),
}


def own_loop(folder: Path) -> Result:
    """Microseconds a step, one thread; layers are measured at the cadence that a run chooses by itself."""
    torch.set_num_threads(1)
    figures, raw = [], {}
    for name, size in SIZES.items():
        arms = {arm: partial(_seconds, train, size, folder) for arm, train in {**_ours(), **_loggers()}.items()}
        times = interleave(arms, ROUNDS)
        alone = statistics.median(times[ALONE])
        figures.append(Figure(f"{name}: {ALONE}", f"{alone / size.steps * 1e6:,.0f} µs a step"))
        for arm in times.keys() - {ALONE}:
            found, (low, high) = ratio(times, arm, ALONE), spread(times, arm, ALONE)
            bar = (f"≤ {size.bar:g}", found <= size.bar) if arm == WATCHED else ("", None)
            figures.append(Figure(f"{name}: {arm} / {ALONE}", f"{found:.3f} ({low:.3f} to {high:.3f})", *bar))
        raw |= {f"{name}, {arm}": seconds for arm, seconds in times.items()}
    return Result(figures, raw)


def _seconds(train: Callable[[Size, Path], tuple[float, nn.Module]], size: Size, folder: Path) -> float:
    def arm() -> tuple[float, Weights]:
        torch.set_num_threads(1)
        gc.freeze()  # else one arm or another pays once for all that the benchmark itself has imported
        os.chdir(tempfile.mkdtemp(dir=folder))
        with silent():
            seconds, model = train(size, folder)
        return seconds, model.state_dict()

    return forked(arm)[0]


def _ours() -> dict[str, Callable[[Size, Path], tuple[float, nn.Module]]]:
    return {ALONE: partial(_trained, begin=lambda: (lambda loss, rate: None, lambda: None)), WATCHED: _watched}


def _batches(size: Size) -> tuple[nn.Module, torch.optim.Optimizer, list[tuple[Tensor, Tensor]]]:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(size.widths, size.widths[1:], strict=False):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    inputs, targets = torch.randn(size.batch, size.widths[0]), torch.randint(size.widths[-1], (size.batch,))
    return model, torch.optim.Adam(model.parameters(), lr=1e-3), [(inputs, targets)] * 100


def _loop(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable[tuple[Tensor, Tensor]], say: Say
) -> float:
    began = time.perf_counter()
    for inputs, targets in batches:
        loss = nn.functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        say(loss, optimizer.param_groups[0]["lr"])
    return time.perf_counter() - began


def _trained(
    size: Size, folder: Path, begin: Callable[[], tuple[Say, Callable[[], None]]]
) -> tuple[float, nn.Module]:
    model, optimizer, batches = _batches(size)
    say, end = begin()
    _loop(model, optimizer, batches[:5], say)  # torch loads parts of itself at a first update
    seconds = _loop(model, optimizer, batches * (size.steps // len(batches)), say)
    end()
    return seconds, model


def _watched(size: Size, folder: Path) -> tuple[float, nn.Module]:
    import descent

    model, optimizer, batches = _batches(size)
    run = descent.init("bench", runs_dir=folder / "runs").watch(model, optimizer)
    turns: list[float] = []  # when each began; behind the last one comes the checkpoint of the end
    for inputs, targets in run.batches(batches, epochs=size.steps // len(batches) + 1):
        turns.append(time.perf_counter())
        loss = nn.functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    timed = turns[len(batches) :]  # in the first epoch the run has chosen its cadence
    return (timed[-1] - timed[0]) / (len(timed) - 1) * size.steps, model


def _loggers() -> dict[str, Callable[[Size, Path], tuple[float, nn.Module]]]:
    known: dict[str, tuple[str, Begin]] = {
        "wandb, offline": ("wandb", _wandb),
        "TensorBoard's writer": ("tensorboard", _tensorboard),
        "Trackio": ("trackio", _trackio),
        "Aim": ("aim", _aim),
    }
    there = {name: begin for name, (module, begin) in known.items() if importlib.util.find_spec(module) is not None}
    return {name: partial(_trained, begin=begin) for name, begin in there.items()}


def _wandb() -> tuple[Say, Callable[[], None]]:
    import wandb

    run: Any = wandb.init(mode="offline", project="bench")
    return lambda loss, rate: run.log({"loss": loss.item(), "lr": rate}), run.finish


def _tensorboard() -> tuple[Say, Callable[[], None]]:
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter("logs")
    steps = iter(range(10**9))

    def say(loss: Tensor, rate: float) -> None:
        step = next(steps)
        writer.add_scalar("loss", loss.item(), step)
        writer.add_scalar("lr", rate, step)

    return say, writer.close


def _trackio() -> tuple[Say, Callable[[], None]]:
    import trackio

    tracker: Any = trackio
    tracker.init(project="bench")
    return lambda loss, rate: tracker.log({"loss": loss.item(), "lr": rate}), tracker.finish


def _aim() -> tuple[Say, Callable[[], None]]:
    import aim

    run: Any = aim.Run(repo=".")

    def say(loss: Tensor, rate: float) -> None:
        run.track(loss.item(), name="loss")
        run.track(rate, name="lr")

    return say, run.close
