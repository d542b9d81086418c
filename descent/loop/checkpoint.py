"""Checkpoints: all that the next step depends on. A crash while one is written leaves the older ones intact.

CheckpointManager decides which are written and which are kept.
"""

import copy
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from descent.common.errors import CannotGoOnError, DescentError
from descent.common.files import DISK_FULL, replacing, write_atomically
from descent.common.i18n import _
from descent.loop import device as devices
from descent.run.events import Events
from descent.run.find import word_for
from descent.run.folder import RunFolder, damaged, failed_at_start, verify_checkpoint
from descent.run.metrics import Metrics

FORMAT = 2

State = dict[str, Any]  # only tensors and plain containers, so that weights_only=True can read it
REST = 5.0  # seconds at least between checkpoints under `checkpoint_every = "auto"`; one takes 4 ms for digits-mlp
_SHARE = 20  # times as long as the last write took, so that a large model spends at most 5% of its time on them


def random_state(device: torch.device) -> State:
    """Return the state of every random generator that a training step may draw from, in memory of its own."""
    version, internal, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = cast(tuple[str, Any, int, int, float], np.random.get_state())
    return {
        "torch": torch.get_rng_state(),
        "cuda": None,
        **({} if device.type == "cpu" else {device.type: devices.random_state(device)}),
        "python": [version, list(internal), gauss],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
    }


def restore_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    own = state.get(device.type)
    if own is not None:
        devices.set_random_state(own, device)
    else:
        devices.seed_from(state["torch"], device)  # of a checkpoint from another device


def copied(value: Any) -> Any:
    """Return a copy of a state, or a part of one, in the host's memory, so that it takes no memory of the device."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        same = copy.copy(value)  # keeps the versions that a module's state_dict carries
        same.update((key, copied(item)) for key, item in value.items())
        return same
    return type(value)(map(copied, value)) if isinstance(value, list | tuple) else value


def shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor. A state dict may also hold what is no tensor."""
    return {name: tuple(value.shape) for name, value in tensors.items() if isinstance(value, torch.Tensor)}


def not_finite(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of the tensors that hold a NaN or an infinity. Waits for the device."""
    known = {  # a state dict may also hold what is no tensor
        name: tensor
        for name, tensor in tensors.items()
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.numel()
    }
    if not known:
        return []
    largest = torch._foreach_norm(list(known.values()), math.inf)  # of a NaN, NaN
    flags = torch.stack([norm.isfinite() for norm in largest]).tolist()
    return [name for name, finite in zip(known, flags, strict=True) if not finite]


def write(run: RunFolder, state: State) -> Path:
    """Write `checkpoints/step-N.pt`, and beside it step-N.json for people.

    The weights must be finite, except for what is never so, such as a mask. The rows before step N must already be on
    the disk. Raises OSError if the files can't be written.
    """
    path = run.checkpoint(state["step"])
    with replacing(path) as file:
        try:
            torch.save({"format": FORMAT, "is_finite": True, **state}, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch ends the archive nevertheless, and fails at that
                raise error.__context__ from None
            raise
    readable = {key: state[key] for key in ("step", "epoch", "metrics", "edits", "log")}
    write_atomically(path.with_suffix(".json"), json.dumps(readable, indent=1).encode())
    return path


def read(path: Path, device: torch.device | str = "cpu") -> State:
    """Read and verify a checkpoint.

    Raises ValueError, with the reason, if it is missing, damaged or not a checkpoint of this version, or if its
    weights are not finite. Older versions of Descent wrote such ones.
    """
    verify_checkpoint(path)  # torch itself does not check the checksums
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (OSError, EOFError, RuntimeError) as error:
        raise ValueError(damaged(path, error)) from None
    except Exception as error:  # pickle errors of many kinds: a hostile or foreign file
        raise ValueError(_("{file} can't be read ({reason})", file=path.name, reason=type(error).__name__)) from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(_("{file} is not a checkpoint of this version of Descent", file=path.name))
    if "is_finite" not in state and any(
        value.isnan().any() for value in state["model"].values() if isinstance(value, torch.Tensor)
    ):
        raise ValueError(_("{file} holds weights that are NaN", file=path.name))
    return state


def latest(run: RunFolder) -> tuple[State | None, list[str]]:
    """Return the last intact checkpoint (None if there is none), and a message for each later, damaged one."""
    complaints: list[str] = []
    for step in reversed(run.checkpoints()):
        try:
            return read(run.checkpoint(step)), complaints
        except ValueError as error:
            complaints.append(str(error))
    return None, complaints


def remove(run: RunFolder, step: int) -> None:
    """Remove a checkpoint and its readable part."""
    run.checkpoint(step).unlink(missing_ok=True)
    run.checkpoint(step).with_suffix(".json").unlink(missing_ok=True)


def cannot_write(error: OSError, run: RunFolder, what: str) -> CannotGoOnError:
    """Return the error for `what` that could not be written: mostly, the disk is full.

    what: a noun, in the current language.
    """
    why = _("the disk is full") if error.errno in DISK_FULL else error.strerror
    text = _("can't write {what} in {folder}: {why}", what=what, folder=run.path, why=why)
    saved = run.checkpoints()
    if saved and not failed_at_start("failed", len(Metrics(run.path)), run.origin()):
        intact = _(
            "the checkpoint of step {step} is intact: descent resume {run}", step=saved[-1], run=word_for(run.path)
        )
        text = f"{text}; {intact}"
    return CannotGoOnError(text)


class CheckpointManager:
    """Writes checkpoints, each after the rows of the steps before it.

    There may be a new best model many times a second, and writing a checkpoint takes milliseconds. So the best model
    is held in memory for a while (see `rested`), and written before any later checkpoint. A crash can then lose only
    a best model that a resumed run will find again.
    """

    def __init__(
        self, run: RunFolder, events: Events, flush: Callable[[], None], keep: int, share: int = _SHARE
    ) -> None:
        """flush: a function that returns when all rows are on the disk. keep: latest checkpoints to keep.

        share: see `rested`.
        """
        self._run, self._events, self._flush, self._keep, self._share = run, events, flush, keep, share
        self._held: State | None = None
        told = run.events()
        self._steps = run.checkpoints(told)
        # Of each checkpoint the step of the best model at the time.
        self._best_of = {e["step"]: e["best"] for e in told if e["event"] == "checkpoint"}
        # A checkpoint that a person asked for is never removed here.
        self._wanted = {e["step"] for e in told if e["event"] == "command" and e["command"] == "checkpoint"}
        self._rested_at = time.monotonic() + REST

    def rested(self) -> bool:
        """Return whether REST seconds have passed since the last write, and `share` times what it took."""
        return time.monotonic() >= self._rested_at

    def save(self, state: State, *, wanted: bool = False) -> Path:
        """Write `state` now. Raises CannotGoOnError if it can't be written.

        wanted: a person asked for it, so it is kept.
        """
        if wanted:
            self._wanted.add(state["step"])
        held, self._held = self._held, None
        if held is not None and held["step"] != state["step"]:
            self._write(held)
        return self._write(state)

    def hold(self, state: State) -> None:
        """Keep the best model so far in memory, and write it soon."""
        if self.rested():
            self.save(state)
        else:
            self._held = copied(state)

    def write_held(self) -> None:
        """Write the best model now, because no later checkpoint may follow."""
        held, self._held = self._held, None
        if held is not None:
            self._write(held)

    def drop_held(self) -> None:
        """Drop the state that was held as the best model."""
        self._held = None

    def steps(self) -> list[int]:
        """Return the steps of the checkpoints that led to the current state, ascending."""
        return list(self._steps)

    def to_go_back_to(self, to: object, now: int) -> tuple[int, State]:
        """Return the checkpoint of step `to`, by default the last one before step `now` that can be read.

        Raises DescentError, which lists the checkpoints, if there is none.
        """
        if to is None:
            return self._last_whole(now)
        if isinstance(to, bool) or not isinstance(to, int) or to not in self._steps or to > now:
            there = ", ".join(str(step) for step in self._steps if step <= now)
            raise DescentError(
                _(
                    "to {given!r}: there is no such checkpoint; the run has those of steps {steps}",
                    given=to,
                    steps=there,
                )
            )
        try:
            return to, read(self._run.checkpoint(to))
        except ValueError as error:
            raise DescentError(f"to {to}: {error}") from None

    def _last_whole(self, now: int) -> tuple[int, State]:
        problems = []
        for step in reversed([step for step in self._steps if step < now]):
            try:
                return step, read(self._run.checkpoint(step))
            except ValueError as error:
                problems.append(str(error))
        raise DescentError("; ".join([_("there is no checkpoint to go back to"), *problems]))

    def forget_beyond(self, step: int) -> None:
        """Forget checkpoints later than `step`, to which the run went back. Their files stay on the disk."""
        self._held = None
        self._steps = [saved for saved in self._steps if saved <= step]

    def has(self, step: int) -> bool:
        """Return whether the state of step `step` is held in memory or in a file."""
        return self._held_of(step) is not None or self._run.checkpoint(step).exists()

    def best(self, step: int) -> State:
        """Return the state of step `step`, which was held or saved. Raises ValueError if it is lost."""
        return self._held_of(step) or read(self._run.checkpoint(step))

    def _held_of(self, step: int) -> State | None:
        return self._held if self._held is not None and self._held["step"] == step else None

    def _write(self, state: State) -> Path:
        began = time.monotonic()
        try:
            self._flush()
            path = write(self._run, state)
            self._events.write("checkpoint", step=state["step"], file=path.name, best=state["best"]["step"])
            self._events.sync()
        except OSError as error:
            raise cannot_write(error, self._run, _("the checkpoint of step {step}", step=state["step"])) from None
        self._steps = sorted({*self._steps, state["step"]})
        self._best_of[state["step"]] = state["best"]["step"]
        self._remove_old()
        now = time.monotonic()
        self._rested_at = now + max(REST, self._share * (now - began))
        return path

    def _remove_old(self) -> None:
        """Remove old checkpoints.

        Kept are the first one, those that a person asked for, the latest ones, and the best model at the time of each
        of these. A run that goes back to one of them, or a fork of it, may end with that best model.
        """
        others = [step for step in self._steps[1:] if step not in self._wanted]
        old = set(others[: -self._keep])
        kept: set[int | None] = {step for step in self._steps if step not in old}
        for step in reversed(self._steps):  # the best model at a checkpoint is never later than the checkpoint
            if step in kept:
                kept.add(self._best_of.get(step))
            else:
                remove(self._run, step)
        self._steps = [step for step in self._steps if step in kept]


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Restore the random generators afterwards, so that measuring does not change the run."""
    own = devices.random_state(device)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])
        if own is not None:
            devices.set_random_state(own, device)
