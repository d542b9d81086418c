"""Checkpoints: all that the next step depends on, written so that a crash leaves the old ones whole."""

import copy
import errno
import json
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from engine.errors import CannotGoOnError
from engine.files import replacing, write_atomically
from engine.run import RunFolder

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
