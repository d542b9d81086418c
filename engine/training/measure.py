"""Choices made by measuring before step 0, on a copy of the model: threads, and steps between statistics.

The choices are kept in run.json for all of the run, because a resumed run must add up its sums in the same order.
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

from descent.common.i18n import ngettext
from descent.common.paths import version
from descent.loop import checkpoint
from descent.loop import device as devices
from engine.preset.loading import Preset
from engine.training.data.batches import last_batch
from engine.training.members.train_state import MemberTrainState
from engine.training.step import train_step
from engine.training.train_state import TrainState

Step = Callable[[bool], None]  # one training step of the copy, with statistics or without
BUDGET_THREADS = 0.1  # seconds for a choice; twice as many where one step takes that long
BUDGET_CADENCE = 0.2
STATISTICS_SHARE = 0.02  # of a step's time at most
POINTS = 40  # measurements that even a short run has
POINTS_SECONDS = 1.0  # of the whole run, that they may cost beyond that share
NICE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def choose(run: TrainState, preset: Preset, data_root: Path, origin: dict[str, Any] | None) -> dict[str, Any]:
    """Measure what the preset leaves open, and return the content of run.json.

    origin: parent.json of a fork. A fork keeps what its parent measured.
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
            every = choose_cadence(trial, run.device, run.total_steps)
            took["statistics_every"] = round(time.perf_counter() - begin, 4)
    data = run.dataset
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "preset": preset.name,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "descent": version()},
        "started": round(time.time(), 3),
        "host": socket.gethostname(),
        "device": str(run.device),
        "device_name": devices.name(run.device),
        **({} if (uuid := devices.uuid(run.device)) is None else {"device_uuid": uuid}),
        "threads": threads,
        "statistics_every": every,
        "measuring_took": took,
        "data_root": str(data_root),
        "samples": {"train": run.batches.samples}
        if run.batches.fixed
        else {name: len(split.inputs) for name, split in splits.items() if split is not None},
        **({} if data.fingerprint is None else {"fingerprint": data.fingerprint}),
        "task": data.task,
        "input_shape": list(data.input_shape),
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "steps_per_epoch": run.batches.per_epoch,
        "batch_size": run.batches.size or run.batches.samples,
        "last_batch": last_batch(run.batches),
        "total_steps": run.total_steps,
        **({"transfer": run.transferred} if run.transferred else {}),
        **({"way": run.stack.path} if isinstance(run, MemberTrainState) else {}),
        "parent": None
        if origin is None
        else {key: origin[key] for key in ("run", "dir", "step", "member") if key in origin},
    }


def _trial(run: TrainState) -> Step:
    """Return a training step on a copy of the model, for measuring.

    Its learning rate is 0, so the weights stay finite.
    """
    copied, batch = run.trial(), run.throw_away_batch()

    def step(measured: bool) -> None:
        train_step(copied, batch, 0.0, measured=measured)

    return step


def headline(run: TrainState, facts: dict[str, Any]) -> str:
    """Return a line on the run and its machine."""
    machine = facts["device_name"]
    if run.device.type == "cpu":
        machine += f", {ngettext('{count:,} thread', '{count:,} threads', facts['threads'])}"
    samples = ngettext("{count:,} training sample", "{count:,} training samples", facts["samples"]["train"])
    steps = ngettext("{count:,} step an epoch", "{count:,} steps an epoch", run.batches.per_epoch)
    if run.processes > 1:
        machine = ngettext("{count:,} process", "{count:,} processes", run.processes) + f", {machine}"
    parts = [
        machine,
        ngettext("{count:,} parameter", "{count:,} parameters", facts["parameters"]),
        f"{samples}, {steps}",
        ngettext("statistics every step", "statistics every {count:,} steps", facts["statistics_every"]),
    ]
    return "; ".join(parts)


def thread_candidates() -> list[int]:
    """Return 1, 2, 4 … and the number of cores that this process may use. If OMP_NUM_THREADS is set, only that."""
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():
        return [max(1, int(os.environ["OMP_NUM_THREADS"]))]
    cores = len(os.sched_getaffinity(0))
    return [n for n in (1, 2, 4, 8, 16, 32, 64) if n < cores] + [cores]


def choose_threads(step: Step) -> int:
    """Return the smallest number of threads whose step is within 5% of the fastest.

    More threads can be many times slower. On a shared machine they spin at barriers while another program has a core.
    """
    candidates = thread_candidates()
    if len(candidates) == 1:
        return candidates[0]
    times: dict[int, list[float]] = {n: [] for n in candidates}
    deadline = time.perf_counter() + BUDGET_THREADS
    while (
        not times[candidates[-1]] or time.perf_counter() < deadline
    ):  # in turns, so that other programs slow all alike
        for n in candidates:
            torch.set_num_threads(n)
            step(False)  # the first step after a change starts threads
            times[n].append(_seconds(step, False))
            if time.perf_counter() > deadline + BUDGET_THREADS:
                break  # a large model: choose from what is measured so far
        else:
            continue
        break
    known = {n: _median(measured) for n, measured in times.items() if measured}
    fastest = min(known.values())
    return min(n for n, seconds in known.items() if seconds <= 1.05 * fastest)


def choose_cadence(step: Step, device: torch.device, total: int | None = None) -> int:
    """Return the steps between statistics, a round number, such that they take at most 2% of the time.

    A run of `total` steps has POINTS of them all the same if that costs no more than POINTS_SECONDS: two or three
    points are no curve.
    """
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
    every = next((n for n in NICE if n >= wanted), NICE[-1])
    return min(every, cadence_of_points(total, extra)) if total is not None else every


def cadence_of_points(total: int, extra: float) -> int:
    """Return the steps between statistics that give a run of `total` steps its POINTS, in POINTS_SECONDS at most.

    extra: seconds that one measurement costs.
    """
    within = [n for n in NICE if n * POINTS <= total] or [1]
    return next((n for n in reversed(within) if total / n * extra <= POINTS_SECONDS), NICE[-1])


def _seconds(step: Step, statistics: bool, device: torch.device | None = None) -> float:
    start = time.perf_counter()
    step(statistics)
    if device is not None:
        devices.wait(device)
    return time.perf_counter() - start


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def measured_before(origin: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the measured choices of a fork's parent that still hold. On another device none does."""
    measured = origin["measured"]
    if measured.get("device") != str(device):
        return {}
    return {key: measured[key] for key in ("threads", "statistics_every", "way") if key in measured}
