"""Changing a run between two of its steps: live edits, a longer run, another batch size."""

import dataclasses
import math
from typing import Any

import torch
from torch import nn

from engine import overrides
from engine.errors import DescentError, PresetError
from engine.forking import SWITCHES
from engine.preset import Preset, load_preset
from engine.texts import did_you_mean
from engine.training.setup import Training, batch_size

LIVE = (
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.beta1",
    "optimizer.weight_decay",
    "model.dropout",
    "train.clip_norm",
    "train.batch_size",
    "train.threads",
    "train.statistics_every",
    *SWITCHES,
)


def edit(run: Training, texts: list[str]) -> dict[str, Any]:
    """Change live settings: all of `texts` ("key=value"), or none where one is wrong. The values now in force.

    lr_scale multiplies the scheduled rate; data.augment is a switch; train.batch_size waits for the next epoch.
    DescentError that says what can't be, and what can.
    """
    given, problems = overrides.parse(texts)
    if problems or not given:
        raise DescentError("\n".join(problems) or "give at least one key=value")
    edits = {".".join(override.path): override.value for override in given}
    for key in edits:
        if key not in LIVE:
            raise DescentError(
                f"{key} can't be changed in a live run{did_you_mean(key, LIVE) or '.'} What can: {', '.join(LIVE)}"
                + ("; to train longer: descent extend" if key in ("train.epochs", "train.steps") else "")
            )
    scale, augments = _switches(run, edits)
    preset = _edited(run, [text for key, text in zip(edits, texts, strict=True) if key not in SWITCHES])
    _check(run, preset)

    run.preset = preset
    run.lr_scale = scale
    run.batches.augment = run.augmentation if augments else None
    run.edits += texts
    _apply(run, preset)
    return edits


def restore(run: Training, texts: list[str]) -> None:
    """Put the settings back to those of a checkpoint, which knows the edits made until then."""
    assert run.preset.path is not None
    run.preset = dataclasses.replace(load_preset(run.preset.path), name=run.preset.name)
    run.edits, run.lr_scale = [], 1.0
    run.batches.augment = run.augmentation
    torch.set_num_threads(run.measured["threads"])
    run.statistics_every = run.measured["statistics_every"]
    _apply(run, run.preset)
    for text in texts:
        edit(run, [text])


def _switches(run: Training, edits: dict[str, Any]) -> tuple[float, bool]:
    scale = edits.get("lr_scale", run.lr_scale)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale < math.inf:
        raise DescentError(f"lr_scale = {scale!r}: must be a number ≥ 0")
    augments = edits.get("data.augment", run.batches.augment is not None)
    if not isinstance(augments, bool):
        raise DescentError(f"data.augment = {augments!r}: true or false, in a live run")
    if augments and run.augmentation is None:
        raise DescentError("data.augment = true: the preset names no augmentation to switch on")
    return float(scale), augments


def _edited(run: Training, texts: list[str]) -> Preset:
    """The preset with these changes laid over the earlier ones; checked as a whole, as when it is loaded."""
    assert run.preset.path is not None
    before = [text for text in run.edits if text.partition("=")[0].strip() not in SWITCHES]
    latest = {text.partition("=")[0].strip(): text for text in [*before, *texts]}
    try:
        preset = load_preset(run.preset.path, list(latest.values()))
    except PresetError as error:
        raise DescentError(str(error).replace("--set: ", "")) from None
    return dataclasses.replace(preset, name=run.preset.name)


def _check(run: Training, preset: Preset) -> None:
    if "auto" in (preset.train.threads, preset.train.statistics_every) and preset.train != run.preset.train:
        old = run.preset.train
        if (old.threads, old.statistics_every) != (preset.train.threads, preset.train.statistics_every):
            raise DescentError("auto is measured before a run's first step; give a number")
    dropout = getattr(preset.model, "dropout", 0.0)
    if dropout != getattr(run.preset.model, "dropout", 0.0) and not _dropouts(run.model):
        raise DescentError("model.dropout: this model was built without dropout; start another run with it")
    batch_size(preset, len(run.dataset.train.inputs))


def _dropouts(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.Dropout) or isinstance(getattr(m, "dropout", None), float)]


def _apply(run: Training, preset: Preset) -> None:
    run.update.set(preset.optimizer, preset.train.clip_norm)
    dropout = getattr(preset.model, "dropout", None)
    if dropout is not None:
        for module in _dropouts(run.model):
            setattr(module, "p" if isinstance(module, nn.Dropout) else "dropout", dropout)
    if preset.train.threads != "auto":
        torch.set_num_threads(preset.train.threads)
    if preset.train.statistics_every != "auto":
        run.statistics_every = preset.train.statistics_every


def extend(run: Training, *, epochs: int = 0, steps: int = 0) -> int:
    """Train that much longer; the new last step. A schedule with an end stretches to it from here on."""
    for name, value in (("epochs", epochs), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise DescentError(f"extend: {name} = {value!r}: must be a whole number ≥ 1")
    more = epochs * run.batches.per_epoch + steps
    if more == 0:
        raise DescentError("extend: say by how much: epochs or steps")
    left = run.total_steps - run.step
    run.pace.extend(run.preset.schedule, run.step, left, left + more)
    run.total_steps += more
    return run.total_steps


def begin_epoch(run: Training) -> int | None:
    """Take over a batch size that was set in the epoch before; the new size in samples, or None."""
    samples = len(run.dataset.train.inputs)
    size = batch_size(run.preset, samples)
    if size == run.batches.size:
        return None
    before = run.batches.per_epoch
    run.batches.resize(size)
    now = run.batches.per_epoch
    run.pace.change(run.step, before / now)
    if run.preset.train.epochs is not None:
        run.total_steps = run.step + math.ceil((run.total_steps - run.step) * now / before)
    return size if size is not None else samples
