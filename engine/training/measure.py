"""What is chosen by measuring before step 0, on a throw-away copy of the model: threads, cadence of statistics.

The choices go to run.json and are kept for the run's life: a resumed run must add up in the same order.
"""

import math
import os
import platform
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from descent.common.paths import version
from engine.preset.loading import Preset
from engine.training import checkpoint
from engine.training.members.train_state import MemberTrainState
from engine.training.step import train_step
from engine.training.train_state import TrainState


def choose(run: TrainState, preset: Preset, data_root: Path, origin: dict[str, Any] | None) -> dict[str, Any]:
    """Measure what the preset leaves open; the content of run.json.

    origin: parent.json of a fork, which keeps what its parent measured.
    """
    before = measured_before(origin, run.device) if origin is not None else {}
    threads, every = preset.train.threads, preset.train.statistics_every
    threads = before.get("threads", threads) if threads == "auto" else threads
    every = before.get("statistics_every", every) if every == "auto" else every
    took: dict[str, float] = {}
    with checkpoint.undisturbed(run.device):
        trial = _trial(run)
        if threads == "auto":
            on_cpu, begin = run.device.type == "cpu", time.perf_counter()
            threads = choose_threads(trial) if on_cpu else torch.get_num_threads()
            took["threads"] = round(time.perf_counter() - begin, 4)
        torch.set_num_threads(threads)
        if every == "auto":
            begin = time.perf_counter()
            every = choose_cadence(trial, run.device)
            took["statistics_every"] = round(time.perf_counter() - begin, 4)
    data = run.dataset
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "preset": preset.name,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "descent": version()},
        "started": round(time.time(), 3),
        "host": socket.gethostname(),
        "device": str(run.device),
        "device_name": _device_name(run.device),
        "threads": threads,
        "statistics_every": every,
        "measuring_took": took,
        "data_root": str(data_root),
        "samples": {name: len(split.inputs) for name, split in splits.items() if split is not None},
        "task": data.task,
        "input_shape": list(data.input_shape),
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "steps_per_epoch": run.batches.per_epoch,
        "total_steps": run.total_steps,
        **({"way": run.stack.path} if isinstance(run, MemberTrainState) else {}),
        "parent": None
        if origin is None
        else {key: origin[key] for key in ("run", "dir", "step", "member") if key in origin},
    }


Step = Callable[[bool], None]  # one training step of the copy, with statistics or without


def _trial(run: TrainState) -> Step:
    """A training step on a copy of the model, for measuring. Learning rate 0: its weights stay in range."""
    copied, batch = run.trial(), run.throw_away_batch()

    def step(measured: bool) -> None:
        train_step(copied, batch, 0.0, measured=measured)

    return step


def headline(run: TrainState, facts: dict[str, Any]) -> str:
    """The run and its machine in one line."""
    threads = f", {_counted(facts['threads'], 'thread')}" if run.device.type == "cpu" else ""
    return (
        f"{facts['device_name']}{threads}; {facts['parameters']:,} parameters; "
        f"{facts['samples']['train']:,} training samples, {_counted(run.batches.per_epoch, 'step')} an epoch; "
        f"statistics every {_counted(facts['statistics_every'], 'step')}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


BUDGET_THREADS = 0.1  # seconds for a choice, or twice as long where a step takes that long
BUDGET_CADENCE = 0.2
STATISTICS_SHARE = 0.02  # of a step's time, at most
NICE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def thread_candidates() -> list[int]:
    """1, 2, 4 … and all cores that this process may use; only the user's number where OMP_NUM_THREADS is set."""
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():
        return [max(1, int(os.environ["OMP_NUM_THREADS"]))]
    cores = len(os.sched_getaffinity(0))
    return [n for n in (1, 2, 4, 8, 16, 32, 64) if n < cores] + [cores]


def choose_threads(step: Step) -> int:
    """The smallest number of threads within 5% of the fastest.

    More threads can be many times slower: on a shared machine they spin at barriers while a core is taken away.
    """
    candidates = thread_candidates()
    if len(candidates) == 1:
        return candidates[0]
    times: dict[int, list[float]] = {n: [] for n in candidates}
    deadline = time.perf_counter() + BUDGET_THREADS
    while not times[candidates[-1]] or time.perf_counter() < deadline:  # interleaved: a neighbour hits all alike
        for n in candidates:
            torch.set_num_threads(n)
            step(False)  # the first step after a change wakes threads up
            times[n].append(_seconds(step, False))
            if time.perf_counter() > deadline + BUDGET_THREADS:
                break  # a large model: what is known has to do
        else:
            continue
        break
    known = {n: _median(measured) for n, measured in times.items() if measured}
    fastest = min(known.values())
    return min(n for n, seconds in known.items() if seconds <= 1.05 * fastest)


def choose_cadence(step: Step, device: torch.device) -> int:
    """Steps between statistics, so that they take at most 2% of the time; a round number."""
    plain: list[float] = []
    full: list[float] = []
    step(True)
    deadline = time.perf_counter() + BUDGET_CADENCE
    while len(plain) < 3 or time.perf_counter() < deadline:
        plain.append(_seconds(step, False, device))
        full.append(_seconds(step, True, device))
        if time.perf_counter() > deadline + BUDGET_CADENCE:
            break
    extra = max(0.0, _median(full) - _median(plain))
    wanted = math.ceil(extra / (STATISTICS_SHARE * _median(plain)))
    return next((n for n in NICE if n >= wanted), NICE[-1])


def _seconds(step: Step, statistics: bool, device: torch.device | None = None) -> float:
    start = time.perf_counter()
    step(statistics)
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def measured_before(origin: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The measured choices of the parent that still hold: on another kind of device they are made again."""
    measured = origin["measured"]
    if measured.get("device") != str(device):
        return {}
    return {key: measured[key] for key in ("threads", "statistics_every", "way") if key in measured}
