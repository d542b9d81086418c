"""Changing a run between two of its steps: live edits, a longer run, another batch size."""

import math
from typing import Any

import torch

from descent.common import settings
from descent.common.errors import DescentError, PresetError
from descent.common.settings import key_of
from descent.common.text import did_you_mean
from descent.run.live_settings import KEYS, OF_ONE_MEMBER, SWITCHES, edits_of, latest, mark_of
from engine.preset.loading import Preset
from engine.training.build import batch_size
from engine.training.train_state import TrainState

MOST_STEPS = 10**12  # some decades of the fastest loop


def edit(run: TrainState, texts: list[str]) -> dict[str, Any]:
    """Change live settings: all of `texts` ("key=value"), or none where one is wrong. The values now in force.

    lr_scale multiplies the scheduled rate; data.augment is a switch; train.batch_size waits for the next epoch. With
    "member=3" among the texts, the others are for that member alone.
    DescentError that says what can't be, and what can.
    """
    given, problems = settings.parse(texts)
    if problems or not given:
        raise DescentError("\n".join(problems) or "give at least one key=value")
    edits = {".".join(override.path): override.value for override in given}
    member = _member(run, edits)
    for key in edits:
        if key not in KEYS:
            raise DescentError(
                f"{key} can't be changed in a live run{_meant(key)} What can: {', '.join(KEYS)}"
                + ("; to train longer: descent extend" if key in ("train.epochs", "train.steps") else "")
            )
        if member is not None and key not in OF_ONE_MEMBER:
            raise DescentError(f"{key} is one for all members; of one alone: {', '.join(OF_ONE_MEMBER)}")
    told = zip((".".join(override.path) for override in given), texts, strict=True)
    new = [f"{mark_of(member)}{key}={text.partition('=')[2].strip()}" for key, text in told if key != "member"]
    _take(run, [*run.edits, *new])
    return edits


def restore(run: TrainState, texts: list[str]) -> None:
    """Put the settings back to those of a checkpoint, which knows the edits made until then."""
    torch.set_num_threads(run.measured["threads"])
    run.statistics_every = run.measured["statistics_every"]
    _take(run, list(texts), checked=False)


def _member(run: TrainState, edits: dict[str, Any]) -> int | None:
    """The member that the edits are for, taken out of them; None for all."""
    if "member" not in edits:
        return None
    member = edits.pop("member")
    count = len(run.members)
    if isinstance(member, bool) or not isinstance(member, int) or not 0 <= member < count:
        raise DescentError(f"member = {member!r}: this run has the members 0 to {count - 1}")
    if not edits:
        raise DescentError(f"member={member}: say what of it is to change, as in member={member} optimizer.lr=0.01")
    return member


def _take(run: TrainState, edits: list[str], *, checked: bool = True) -> None:
    """Train under these edits, and no others, from now on; those that no longer hold are forgotten."""
    edits = latest(edits)
    settings = [_under(run, edits, member) for member in range(len(run.members))]
    hands = [_switch(edits, "lr_scale", 1.0, member) for member in range(len(run.members))]
    for hand in hands:
        if isinstance(hand, bool) or not isinstance(hand, int | float) or not 0 <= hand < math.inf:
            raise DescentError(f"lr_scale = {hand!r}: must be a number ≥ 0")
    augments = _switch(edits, "data.augment", run.augmentation is not None, 0)
    if not isinstance(augments, bool):
        raise DescentError(f"data.augment = {augments!r}: true or false, in a live run")
    if augments and run.augmentation is None:
        raise DescentError("data.augment = true: the preset names no augmentation to switch on")
    train = settings[0].train
    if checked:
        _check(run, settings)
    run.settle(settings, [float(hand) for hand in hands])
    run.edits = edits
    run.batches.augment = run.augmentation if augments else None
    if train.threads != "auto":
        torch.set_num_threads(train.threads)
    if train.statistics_every != "auto":
        run.statistics_every = train.statistics_every


def _under(run: TrainState, edits: list[str], member: int) -> Preset:
    """A member's preset with its edits laid over it; checked as a whole, as when it is loaded."""
    own = {key_of(text): text for text in edits_of(edits, member) if key_of(text) not in SWITCHES}
    preset = run.members[member].preset
    try:
        return preset.changed(list(own.values())) if own else preset
    except PresetError as error:
        raise DescentError(str(error).replace("--set: ", "")) from None


def _switch(edits: list[str], key: str, otherwise: Any, member: int) -> Any:
    """The latest value of a live setting that no preset has."""
    given, _ = settings.parse([text for text in edits_of(edits, member) if key_of(text) == key])
    return given[-1].value if given else otherwise


def _check(run: TrainState, settings: list[Preset]) -> None:
    old, new = run.preset.train, settings[0].train
    for name in ("threads", "statistics_every"):
        if getattr(new, name) == "auto" != getattr(old, name):
            raise DescentError(f"train.{name} = auto is measured before a run's first step; give a number")
    built = [getattr(member.preset.model, "dropout", 0.0) for member in run.members]
    shares = [getattr(preset.model, "dropout", 0.0) for preset in settings]
    if shares != built and not run.has_dropout():
        raise DescentError("model.dropout: this model was built without dropout; start another run with it")
    batch_size(settings[0], run.batches.samples, run.fewest)


def extend(run: TrainState, *, epochs: int = 0, steps: int = 0) -> int:
    """Train that much longer; the new last step. A schedule with an end stretches to it from here on."""
    for name, value in (("epochs", epochs), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise DescentError(f"{name} = {value!r}: must be a whole number ≥ 1")
    more = epochs * run.batches.per_epoch + steps
    if more == 0:
        raise DescentError("say by how much: epochs or steps")
    left = run.total_steps - run.step
    if run.total_steps + more > MOST_STEPS:
        raise DescentError(f"{run.total_steps + more:,} steps in all; a run has at most {MOST_STEPS:,}")
    run.pace.extend(run.preset.schedule, run.step, left, left + more)
    run.total_steps += more
    return run.total_steps


def _meant(key: str) -> str:
    """The setting that a short name stands for, or one that is written alike."""
    short = {name.rpartition(".")[2]: name for name in KEYS}
    short |= dict.fromkeys(("rate", "learning_rate", "optimizer.learning_rate"), "optimizer.lr")
    return f"; did you mean {short[key]}?" if key in short else did_you_mean(key, KEYS) or "."


def begin_epoch(run: TrainState) -> int | None:
    """Take over a batch size that was set in the epoch before; the new size in samples, or None."""
    samples = run.batches.samples
    size = batch_size(run.preset, samples, run.fewest)
    if size == run.batches.size:
        return None
    before, left = run.batches.per_epoch, run.total_steps - run.step
    run.batches.resize(size)
    now = run.batches.per_epoch
    left_now = left if run.preset.train.epochs is None else math.ceil(left * now / before)
    run.pace.resize(run.preset.schedule, run.step, before / now, left, left_now)
    run.total_steps = run.step + left_now
    return size if size is not None else samples
