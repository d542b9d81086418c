"""All that wants a GPU, in a few minutes: its tests, waits in steps, step times, members, and CIFAR-10.

    python -m tests.tools.benchmarks gpu --minutes 8 --out gpu.json

Each part gets a share of the minutes; what did not fit is said. A machine without CUDA says so, and measures nothing.

A machine that reaches no package index needs PyTorch, NumPy and Python 3.11 or newer; carry the rest as wheels. Here,
for the Python of that machine (3.12, say):

    pip download -d build/wheels --only-binary=:all: --python-version 3.12 --no-deps pydantic pydantic-core \\
        annotated-types typing-inspection typing-extensions platformdirs scikit-learn scipy joblib threadpoolctl \\
        narwhals tomli-w nvidia-ml-py pytest pluggy iniconfig packaging pygments

There, beside the checkout:

    python -m pip install --no-index --no-deps --find-links build/wheels --target build/site build/wheels/*.whl
    PYTHONPATH=build/site python -m tests.tools.benchmarks gpu --minutes 8 --out gpu.json

Neither textual nor rich, typer or polars is imported.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from descent.common.errors import DescentError
from descent.loop import device as devices
from descent.run.folder import RunFolder
from engine.preset.loading import load_preset
from engine.training import arithmetic, optimizers
from engine.training.build import build
from engine.training.captured import CapturedStep, captured
from engine.training.step import train_step
from engine.training.train_state import TrainState
from engine.training.update import Update
from tests.helpers.real_data import real_folder
from tests.tools.benchmarks.harness import Figure, Result, ratio

TESTS = ("test_gpu.py", "test_captured.py", "test_checkpoint.py", "test_optimizers.py")
IMAGES = (3, 32, 32)
# preset and settings; images are random where the preset has some, which changes nothing in a step's time
STEPS = {
    "digits-mlp": ("digits-mlp",),
    "digits-cnn": ("digits-cnn",),
    "digits-transformer": ("digits-transformer",),
    "cifar-cnn": ("cifar-cnn",),
    "cifar-resnet18": ("cifar-resnet18",),
    "cifar-resnet18, bf16": ("cifar-resnet18", "train.precision=bf16"),
    "cifar-resnet18, TF32": ("cifar-resnet18", "train.tf32=all"),
}
WAITS = {
    "digits-mlp": (),
    "repeats": ("members.repeats=4",),
    "folds": ("members.folds=3",),
    "a rate's sweep": ("members.sweep.optimizer.lr=[0.1, 0.2, 0.4]", "schedule.name=cosine"),
    "clipped, in parts": ("train.clip_norm=1.0", "train.accumulate=2"),
}
WARM = 6  # steps before anything is timed: kernels are chosen, a graph is captured
LEAST = 0.25  # seconds of steps to a measurement


def gpu(folder: Path, minutes: float) -> Result:
    """Everything, in the order of what it is worth where time is short."""
    if not torch.cuda.is_available():
        return Result([Figure("no CUDA device here: nothing was measured", torch.__version__)], {})
    end = time.monotonic() + 60 * minutes
    optimizers.leave_compiler_out()
    device, note = devices.choose("auto")
    facts = {
        "device": devices.name(device),
        "bytes": torch.cuda.get_device_properties(device).total_memory,
        "capability": list(torch.cuda.get_device_capability(device)),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "note": note,
    }
    figures, raw = [Figure("GPU", f"{facts['device']}, CUDA {facts['cuda']}, cuDNN {facts['cudnn']}")], {}
    if device.type != "cuda":
        return Result([*figures, Figure("can't be used", note)], {}, facts)
    parts: list[tuple[str, Callable[[Path, torch.device, float], Iterator[tuple[Figure, dict[str, Any]]]]]] = [
        ("waits", _waits), ("steps", _steps), ("members", _members), ("tests", _tests), ("CIFAR-10", _cifar),
    ]  # fmt: skip
    for number, (name, part) in enumerate(parts):
        # What an earlier part leaves of its time is shared by those after it.
        until = time.monotonic() + (end - time.monotonic()) / (len(parts) - number)
        try:
            for figure, times in part(folder, device, until):
                figures.append(figure)
                raw |= times
        except Exception as error:  # the parts after it are worth their minutes all the same
            figures.append(Figure(f"{name}: ended early", f"{type(error).__name__}: {devices.one_line(error)}"))
        devices.give_back_unused()
    return Result(figures, raw, facts)


def _settings(folder: Path, preset: str) -> list[str]:
    """Random images in place of CIFAR-10, made once."""
    if load_preset(preset).data.name != "cifar10":
        return []
    file = folder / "images.npz"
    if not file.exists():
        images = np.random.default_rng(0).integers(0, 256, (10_000, *IMAGES), dtype=np.uint8)
        np.savez(file, x=images, y=np.arange(len(images)) % 10)
    return ["data.name=npz", f"data.path={file}"]


def _built(folder: Path, device: torch.device, preset: str, *settings: str) -> TrainState:
    chosen = load_preset(preset, [*_settings(folder, preset), *settings])
    arithmetic.use(chosen.train, device)
    return build(chosen, RunFolder(folder), folder, device, fresh=True)


def _one(run: TrainState, step: Any, *, measured: bool = False) -> None:
    batch, lr = run.batches.next(), run.learning_rate()
    step(run, batch, lr, measured=measured)
    run.step += 1
    run.batches.epoch_is_over()


def _waits(folder: Path, device: torch.device, until: float) -> Iterator[tuple[Figure, dict[str, Any]]]:
    """Whether torch's own watch over waits sees one in plain and measured steps."""
    for name, settings in WAITS.items():
        if time.monotonic() > until:
            yield Figure(f"waits, {name}", "not reached in time"), {}
            continue
        run = _built(folder, device, "digits-mlp", *settings)
        for number in range(WARM):
            _one(run, train_step, measured=number % 2 == 1)
        torch.cuda.set_sync_debug_mode("error")
        found = "none"
        try:
            for number in range(200):
                _one(run, train_step, measured=number % 7 == 1)
        except RuntimeError as error:
            found = devices.one_line(error)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        yield Figure(f"waits in 200 steps, {name}", found, "none", found == "none"), {}


def _steps(folder: Path, device: torch.device, until: float) -> Iterator[tuple[Figure, dict[str, Any]]]:
    """A step by Descent, and as a graph, over one of a bare loop, and of a bare loop as a graph."""
    for name, (preset, *settings) in STEPS.items():
        if time.monotonic() > until:
            yield Figure(f"steps, {name}", "not reached in time"), {}
            continue
        runs = [_built(folder, device, preset, *settings) for _arm in range(3)]
        graph = captured(runs[1], print)
        arms: dict[str, Callable[[], None]] = {
            "Descent": partial(_one, runs[0], train_step),
            "bare": _bare(runs[2]),
        }
        if graph is not None:
            arms["Descent, graph"] = partial(_one, runs[1], graph)
            bare_graph = _captured_bare(_built(folder, device, preset, *settings))
            if bare_graph is not None:
                arms["bare, graph"] = bare_graph
        times = _timed(arms, device, min(until, time.monotonic() + 20))
        took = {arm: f"{1e6 * statistics.median(seconds):,.0f} µs" for arm, seconds in times.items()}
        yield (
            Figure(f"step, {name}", ", ".join(f"{arm} {value}" for arm, value in took.items())),
            {f"{name}, {arm}": seconds for arm, seconds in times.items()},
        )
        yield Figure(f"  {name}: Descent / bare", f"{ratio(times, 'Descent', 'bare'):.2f}"), {}
        if graph is not None and graph.why_not is not None:
            yield Figure(f"  {name}: no graph", graph.why_not), {}
        elif "Descent, graph" in times:
            yield Figure(f"  {name}: as a graph / not", f"{ratio(times, 'Descent, graph', 'Descent'):.2f}"), {}


def _bare(run: TrainState) -> Callable[[], None]:
    """The shortest step on the same model, loss, optimizer and batches."""
    assert isinstance(run.update, Update)
    optimizer = run.update.optimizer

    def step() -> None:
        batch = run.batches.next()
        run.batches.epoch_is_over()
        _bare_step(run, optimizer, batch.inputs, batch.targets)

    return step


def _bare_step(run: TrainState, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor) -> None:
    optimizer.zero_grad()
    with run.precision:
        loss = run.criterion(run.model(inputs), targets)
    loss.backward()
    optimizer.step()


def _captured_bare(run: TrainState) -> Callable[[], None] | None:
    """The same as a graph, as PyTorch's notes on graphs have it. None where it can't be captured."""
    assert isinstance(run.update, Update)
    optimizer = run.update.optimizer
    run.update.keep_rate_on_device(capturable=True).fill_(0.001)
    optimizers.set_rate(optimizer, run.update.keep_rate_on_device(capturable=True))
    batch = run.batches.next()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            _bare_step(run, optimizer, batch.inputs, batch.targets)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            _bare_step(run, optimizer, batch.inputs, batch.targets)
    except RuntimeError:
        return None

    def step() -> None:
        taken = run.batches.next()
        run.batches.epoch_is_over()
        if taken.inputs.shape == batch.inputs.shape:
            batch.inputs.copy_(taken.inputs)
            batch.targets.copy_(taken.targets)
            graph.replay()

    return step


def _timed(arms: dict[str, Callable[[], None]], device: torch.device, until: float) -> dict[str, list[float]]:
    """Seconds a step, in turns, until the time is over; three rounds at least."""
    for step in arms.values():
        for _ in range(WARM):
            step()
    times: dict[str, list[float]] = {name: [] for name in arms}
    count = 8
    while len(times[next(iter(arms))]) < 3 or (time.monotonic() < until and len(times[next(iter(arms))]) < 15):
        for name, step in arms.items():
            devices.wait(device)
            begin = time.perf_counter()
            for _ in range(count):
                step()
            devices.wait(device)
            took = time.perf_counter() - begin
            times[name].append(took / count)
        if took < LEAST:
            count = min(4096, count * 2)
    return times


def _members(folder: Path, device: torch.device, until: float) -> Iterator[tuple[Figure, dict[str, Any]]]:
    """Ten repeats in one run over one, by each way of computing them."""
    for preset, *settings in (("digits-mlp",), ("digits-cnn",), ("digits-cnn", "train.precision=bf16")):
        one = partial(_one, _built(folder, device, preset, *settings), train_step)
        ten = _built(folder, device, preset, "members.repeats=10", *settings)
        times = _timed({"one": one, "ten": partial(_one, ten, train_step)}, device, until)
        way = getattr(getattr(ten, "stack", None), "path", "")
        value = f"{ratio(times, 'ten', 'one'):.2f} times one"
        what = " ".join((preset, *settings))
        yield (
            Figure(f"members, ten of {what} ({way})", value),
            {f"members, {what}, {arm}": seconds for arm, seconds in times.items()},
        )
        if time.monotonic() > until:
            return


def _tests(folder: Path, device: torch.device, until: float) -> Iterator[tuple[Figure, dict[str, Any]]]:
    """The tests that are marked gpu, in a process of their own."""
    report = folder / "tests.xml"
    files = [f"tests/engine/training/{name}" for name in TESTS]
    words = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", f"--junitxml={report}",
             "-o", "addopts=--strict-markers", *files]  # fmt: skip
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    left = max(20.0, until - time.monotonic())
    try:
        done = subprocess.run(
            words, cwd=root, env=environment, timeout=left, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        yield Figure("tests marked gpu", f"did not end in {left:.0f} s"), {}
        return
    if not report.exists():
        yield Figure("tests marked gpu", f"did not run: {(done.stdout + done.stderr).strip()[-200:]}"), {}
        return
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(failed) - skipped
    yield Figure("tests marked gpu", f"{passed} passed, {len(failed)} failed, {skipped} skipped", "none fails",
                 not failed), {}  # fmt: skip
    for case in failed:
        trouble = case.find("failure")
        trouble = trouble if trouble is not None else case.find("error")
        first = "" if trouble is None else trouble.get("message", "").splitlines()[0][:160]
        yield Figure(f"  {case.get('name')}", first), {}


def _cifar(folder: Path, device: torch.device, until: float) -> Iterator[tuple[Figure, dict[str, Any]]]:
    """CIFAR-10 by the ResNet preset in bf16, as a graph, until the time is over: accuracy against seconds."""
    found = Path(os.environ.get("DESCENT_DATA") or real_folder() or "data")
    settings = ["train.precision=bf16", "train.tf32=all", "train.cudnn_benchmark=true", "train.batch_size=512"]
    preset = load_preset("cifar-resnet18", settings)
    arithmetic.use(preset.train, device)
    try:
        run = build(preset, RunFolder(folder), found, device, fresh=True)
    except DescentError as error:
        yield Figure("CIFAR-10", f"not measured: {str(error).splitlines()[0]}"), {}
        return
    step: Any = captured(run, print) or train_step
    begin, seconds = time.perf_counter(), []
    while time.monotonic() < until and run.step < run.total_steps:
        since = time.perf_counter()
        for _ in range(run.batches.per_epoch):
            _one(run, step)
        devices.wait(device)
        seconds.append(time.perf_counter() - since)
    took = time.perf_counter() - begin
    (result,) = run.evaluate("test")
    graph = "" if not isinstance(step, CapturedStep) else f", {step.repeated:,} of {run.step:,} steps from a graph"
    value = f"{result.accuracy:.1%} after {run.batches.epoch} epochs in {took:.0f} s{graph}"
    yield Figure("CIFAR-10, cifar-resnet18, bf16", value), {"CIFAR-10, an epoch": seconds}
