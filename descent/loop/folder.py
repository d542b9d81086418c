"""The folder of a run that is a loop of one's own: how it was started, and what it is compared by."""

import contextlib
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descent.common import paths
from descent.common.errors import DescentError
from descent.common.files import write_json
from descent.common.i18n import _
from descent.run import find
from descent.run.folder import RunFolder, create, new_id
from descent.run.schema import LOOP, LOOP_FILE, read_stored

if TYPE_CHECKING:
    import torch

_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTHONHASHSEED",
    "CUBLAS_WORKSPACE_CONFIG",
)
_PATIENCE = 5.0  # seconds for git


def start_of(folder: RunFolder) -> dict[str, Any] | None:
    """Return how a loop of one's own was started: `script`, `arguments`, `command`, `folder`. None for a preset."""
    return read_stored(folder.path, LOOP_FILE, LOOP)


def make(name: str, run_id: str | None, runs_dir: Path | None, start: Mapping[str, Any]) -> RunFolder:
    """Make the folder of a new run. start: see start_of. Raises DescentError if the id is taken or can't be one."""
    folder = create(
        paths.runs_dir(runs_dir),
        run_id or new_id(name),
        preset_text({}, None),
        {},
        lambda path: write_json(path / LOOP_FILE, dict(start) | _surroundings(Path(start["folder"]))),
    )
    find.note_start(folder.path)
    return folder


def refuse_several_processes() -> None:
    """Raise DescentError under torchrun, where each process would make a run of the same script."""
    size = os.environ.get("WORLD_SIZE", "1")
    if size.isdigit() and int(size) > 1:
        raise DescentError(
            _(
                "WORLD_SIZE = {size}: `descent run` starts a script in one process; under torchrun begin the run in "
                "the script: descent.init",
                size=size,
            )
        )


def _surroundings(folder: Path) -> dict[str, Any]:
    """Return what else may decide how a script trains: the code's commit, and variables of the environment."""
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "-uno")
    variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return {"commit": commit, "is_changed": None if changes is None else bool(changes), "environment": variables}


def _git(folder: Path, *words: str) -> str | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def preset_text(
    config: Mapping[str, Any], optimizer: "torch.optim.Optimizer | None", best: Mapping[str, str] | None = None
) -> str:
    """Return what stands in the place of a preset: the script's settings, and those of its optimizer.

    best: what the best model is chosen by.
    """
    import tomli_w

    tables: dict[str, Any] = {}
    if config:
        tables["config"] = {str(key): _simple(value) for key, value in config.items() if value is not None}
    if optimizer is not None:
        numbers = {
            key: float(value)
            for key, value in optimizer.param_groups[0].items()
            if key in ("lr", "momentum", "weight_decay")
        }
        if best is not None:
            tables["train"] = {"best": dict(best)}
        tables["optimizer"] = {"name": type(optimizer).__name__.lower(), **numbers}
    return tomli_w.dumps(tables)


def _simple(value: Any) -> Any:
    """Return a value as TOML has it; a text for all others."""
    if isinstance(value, Mapping):
        return {str(key): _simple(item) for key, item in value.items() if item is not None}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_simple(item) for item in value if item is not None]
    return value if isinstance(value, bool | int | float | str) else str(value)


def facts_of_process(name: str) -> dict[str, Any]:
    """Return the part of run.json that is about the process and its machine."""
    import torch

    return {
        "preset": name,
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "descent": paths.version(),
        },
        "started": time.time(),
        "host": socket.gethostname(),
        "task": "loop",
    }


def start_of_process() -> dict[str, Any]:
    """Return how this process was started, for the case that the run goes on in another one."""
    return {
        "script": None,
        "arguments": [],
        "command": [sys.executable, *sys.orig_argv[1:]],
        "folder": str(Path.cwd()),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }
