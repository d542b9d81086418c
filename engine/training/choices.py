"""What a run chooses by measuring, before its first step, and what a resume or a reader needs to know: run.json."""

import platform
import socket
import time
from pathlib import Path
from typing import Any

import torch

from engine.places import version
from engine.preset import Preset
from engine.training import loop, measure
from engine.training.adoption import measured_before
from engine.training.members.training import MemberTraining
from engine.training.training import Training


def choose(run: Training, preset: Preset, data_root: Path, origin: dict[str, Any] | None) -> dict[str, Any]:
    """Measure what the preset leaves open; the content of run.json.

    origin: parent.json of a fork, which keeps what its parent measured.
    """
    before = measured_before(origin, run.device) if origin is not None else {}
    threads, every = preset.train.threads, preset.train.statistics_every
    threads = before.get("threads", threads) if threads == "auto" else threads
    every = before.get("statistics_every", every) if every == "auto" else every
    took: dict[str, float] = {}
    with measure.undisturbed(run.device):
        trial = _trial(run)
        if threads == "auto":
            on_cpu, begin = run.device.type == "cpu", time.perf_counter()
            threads = measure.choose_threads(trial) if on_cpu else torch.get_num_threads()
            took["threads"] = round(time.perf_counter() - begin, 4)
        torch.set_num_threads(threads)
        if every == "auto":
            begin = time.perf_counter()
            every = measure.choose_cadence(trial, run.device)
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
        **({"way": run.stack.path} if isinstance(run, MemberTraining) else {}),
        "parent": None
        if origin is None
        else {key: origin[key] for key in ("run", "dir", "step", "member") if key in origin},
    }


def _trial(run: Training) -> measure.Step:
    """A training step on a copy of the model, for measuring. Learning rate 0: its weights stay in range."""
    copied, batch = run.trial(), run.throw_away_batch()

    def step(measured: bool) -> None:
        loop.train_step(copied, batch, 0.0, measured=measured)

    return step


def headline(run: Training, facts: dict[str, Any]) -> str:
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
