"""Checkpoints: all that the next step depends on, written so that a crash leaves the old ones whole.

The manager decides which are written and which of them stay.
"""

import copy
import errno
import json
import random
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from descent.common.errors import CannotGoOnError
from descent.common.files import replacing, write_atomically
from descent.run.events import Events
from descent.run.folder import RunFolder

FORMAT = 2

State = dict[str, Any]  # tensors and plain containers alone, so that weights_only=True reads it


def random_state(device: torch.device) -> State:
    """The state of every generator that a training step may draw from."""
    kind, keys, position, has_gauss, cached = cast(tuple[str, Any, int, int, float], np.random.get_state())
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": list(_as_lists(random.getstate())),
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
    }


def restore_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, tuple) else value


def copied(value: Any) -> Any:
    """A state, or a part of one, in the host's memory, where a file's would be: the device has its own to hold."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        same = copy.copy(value)  # with the versions that a module's state_dict carries
        same.update((key, copied(item)) for key, item in value.items())
        return same
    return type(value)(map(copied, value)) if isinstance(value, list | tuple) else value


def write(run: RunFolder, state: State) -> Path:
    """Write `checkpoints/step-N.pt`, and beside it step-N.json for people.

    The rows before step N must be on the disk already. OSError where this one can't be.
    """
    path = run.checkpoint(state["step"])
    with replacing(path) as file:
        torch.save({"format": FORMAT, **state}, file)
    readable = {key: state[key] for key in ("step", "epoch", "metrics", "edits", "log")}
    write_atomically(path.with_suffix(".json"), json.dumps(readable, indent=1).encode())
    return path


def read(path: Path, device: torch.device | str = "cpu") -> State:
    """Read and verify a checkpoint. ValueError with the reason where it is missing, damaged or not one of ours."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch itself does not look at the checksums
        if damaged is not None:
            raise ValueError(f"{path.name} is damaged (checksum of {damaged})")
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path.name} is missing") from None
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ValueError(f"{path.name} is damaged ({str(error).splitlines()[0]})") from None
    except Exception as error:  # pickle errors of many kinds: a hostile or foreign file
        raise ValueError(f"{path.name} can't be read ({type(error).__name__})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path.name} is not a checkpoint of this version of Descent")
    return state


def latest(run: RunFolder) -> tuple[State | None, list[str]]:
    """The last whole checkpoint, and a line on each later one that is not. None where there is none."""
    complaints: list[str] = []
    for step in reversed(run.checkpoints()):
        try:
            return read(run.checkpoint(step)), complaints
        except ValueError as error:
            complaints.append(str(error))
    return None, complaints


def remove(run: RunFolder, step: int) -> None:
    """Remove a checkpoint that is no longer wanted."""
    run.checkpoint(step).unlink(missing_ok=True)
    run.checkpoint(step).with_suffix(".json").unlink(missing_ok=True)


def cannot_write(error: OSError, run: RunFolder, what: str) -> CannotGoOnError:
    """The error for a disk that takes no more."""
    why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
    saved = run.checkpoints()
    rest = f"; the checkpoint of step {saved[-1]} is whole: descent resume {run.id}" if saved else ""
    return CannotGoOnError(f"can't write {what} in {run.path}: {why}{rest}")


REST = 5.0  # seconds between checkpoints under `checkpoint_every = "auto"`; one takes 4 ms for digits-mlp


class CheckpointManager:
    """Writes checkpoints after the rows they stand on.

    The best model so far may come many times a second, and a checkpoint takes milliseconds. So it is
    held in memory while the disk rests, and written before any later checkpoint: a crash can only lose a best
    that a resume will find again.
    """

    def __init__(self, run: RunFolder, events: Events, flush: Callable[[], None], keep: int) -> None:
        """flush: returns when all rows are on the disk."""
        self._run, self._events, self._flush, self._keep = run, events, flush, keep
        self._held: State | None = None
        told = run.events()
        self._steps = run.checkpoints(told)
        self._best_of = {e["step"]: e["best"] for e in told if e["event"] == "checkpoint"}  # the best as it was then
        # What a person has saved is the person's to remove.
        self._wanted = {e["step"] for e in told if e["event"] == "command" and e["command"] == "checkpoint"}
        self._last_write = time.monotonic()

    def rested(self) -> bool:
        return time.monotonic() - self._last_write >= REST

    def save(self, state: State, *, wanted: bool = False) -> Path:
        """Write `state` now. CannotGoOnError where the disk takes no more. wanted: by a person, so that it stays."""
        if wanted:
            self._wanted.add(state["step"])
        held, self._held = self._held, None
        if held is not None and held["step"] != state["step"]:
            self._write(held)
        return self._write(state)

    def hold(self, state: State) -> None:
        """Keep the best model so far; it is written soon."""
        if self.rested():
            self.save(state)
        else:
            self._held = copied(state)

    def drop_held(self) -> None:
        """What was held as the best is not."""
        self._held = None

    def steps(self) -> list[int]:
        """Of the checkpoints on the way to here, ascending."""
        return list(self._steps)

    def forget_beyond(self, step: int) -> None:
        """The run went back to `step`: what it saved later is of a future that is left, and stays on the disk."""
        self._held = None
        self._steps = [saved for saved in self._steps if saved <= step]

    def has(self, step: int) -> bool:
        """Whether the state of step `step` is held, or its file there."""
        return self._held_of(step) is not None or self._run.checkpoint(step).exists()

    def best(self, step: int) -> State:
        """The state of step `step`, which was held or saved. ValueError where it is lost."""
        return self._held_of(step) or read(self._run.checkpoint(step))

    def _held_of(self, step: int) -> State | None:
        return self._held if self._held is not None and self._held["step"] == step else None

    def _write(self, state: State) -> Path:
        try:
            self._flush()
            path = write(self._run, state)
            self._events.write("checkpoint", step=state["step"], file=path.name, best=state["best"]["step"])
            self._events.sync()
        except OSError as error:
            raise cannot_write(error, self._run, f"the checkpoint of step {state['step']}") from None
        self._steps = sorted({*self._steps, state["step"]})
        self._best_of[state["step"]] = state["best"]["step"]
        self._remove_old()
        self._last_write = time.monotonic()
        return path

    def _remove_old(self) -> None:
        """All but the first checkpoint, those that a person wanted, the latest ones, and what was the best at each of
        these: a run that goes back to one of them, or a fork, may end with it."""
        others = [step for step in self._steps[1:] if step not in self._wanted]
        old = set(others[: -self._keep])
        kept: set[int | None] = {step for step in self._steps if step not in old}
        for step in reversed(self._steps):  # the best of a checkpoint is never later than itself
            if step in kept:
                kept.add(self._best_of.get(step))
            else:
                remove(self._run, step)
        self._steps = [step for step in self._steps if step in kept]


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Put the random generators back afterwards, so that measuring changes no run."""
    state = copy.deepcopy(random_state(device))
    try:
        yield
    finally:
        restore_random_state(state, device)
