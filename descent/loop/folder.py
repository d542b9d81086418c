"""The folder of a run that is a loop of one's own: how it was started, and what it is compared by."""

import os
import platform
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descent.common import job, paths
from descent.common.errors import DescentError
from descent.common.files import write_json
from descent.common.i18n import _
from descent.loop.project import surroundings
from descent.run import find
from descent.run.folder import RunFolder, create, new_id
from descent.run.remove import free_id
from descent.run.schema import LOOP, LOOP_FILE, read_stored

if TYPE_CHECKING:
    import torch

CONTINUED = "DESCENT_LOOP"  # the folder of the run that a process is to go on with


def start_of(folder: RunFolder) -> dict[str, Any] | None:
    """Return how a loop of one's own was started: `script`, `arguments`, `command`, `folder`. None for a preset."""
    return read_stored(folder.path, LOOP_FILE, LOOP)


def name_of(script: Path) -> str:
    """Return what a run of a script is called: as the file, or as its folder where each has a file of that name."""
    return script.resolve().parent.name if script.stem in ("main", "__main__") else script.stem


def name_of_process() -> str:
    """Return what a run of this process's own loop is called, unless it is given a name."""
    notebook = os.environ.get("JPY_SESSION_NAME", "notebook.ipynb")  # as a Jupyter server sets it
    return name_of(Path(notebook if "ipykernel" in sys.modules else sys.argv[0])) or "loop"


def is_typed() -> bool:
    """Return whether people type into this process: at Python's prompt or in a notebook."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules


def begins_anew() -> str:
    """Return why a loop that nothing of ours drives goes on from no checkpoint, nor can be forked."""
    return _(
        "the loop of this script begins anew whenever it is started; written over run.batches or run.steps, or from "
        "run.step on, it could go on from a checkpoint"
    )


def command_of(folder: RunFolder, start: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the command line by which a run goes on, and what it needs in its environment. start: see start_of."""
    if start.get("script") is None:
        return list(start["command"]), {CONTINUED: str(folder.path)}
    own = [sys.executable, "-P", "-m", "descent.loop.script", str(folder.path)]
    return [*own, start["script"], *start["arguments"]], {}


def make(name: str, run_id: str | None, runs_dir: Path | None, start: Mapping[str, Any]) -> RunFolder:
    """Make the folder of a new run. start: see start_of.

    A run of this id that failed at its start is replaced. Raises DescentError if the id is taken or can't be one.
    """
    runs = paths.runs_dir(runs_dir)
    free_id(runs, run_id)
    folder = create(
        runs,
        run_id or new_id(name),
        preset_text({}, None),
        {},
        lambda path: write_json(path / LOOP_FILE, dict(start) | surroundings(start)),
    )
    find.note_start(folder.path)
    return folder


def refuse_several_processes() -> None:
    """Raise DescentError under torchrun, where each process would make a run of the same script."""
    if (size := job.size()) > 1:
        raise DescentError(
            _(
                "WORLD_SIZE = {size}: `descent run` starts a script in one process; under torchrun begin the run in "
                "the script: descent.init",
                size=size,
            )
        )


def preset_text(
    config: Mapping[str, Any],
    optimizer: "torch.optim.Optimizer | None",
    best: Mapping[str, str] | None = None,
    kept: Mapping[str, Any] | None = None,
) -> str:
    """Return what stands in the place of a preset: the script's settings, and those of its optimizer.

    best: what the best model is chosen by. kept: numbers of the optimizer that a checkpoint overrules.
    """
    import tomli_w

    tables: dict[str, Any] = {}
    if config:
        tables["config"] = {str(key): _simple(value) for key, value in config.items() if value is not None}
    if optimizer is not None:
        group = optimizer.param_groups[0]
        numbers: dict[str, Any] = {
            key: float(f"{float(value):.6g}")  # as a person would type it, after a scheduler has multiplied it
            for key, value in group.items()
            if key in ("lr", "momentum", "weight_decay")
        }
        if "initial_lr" in group:
            numbers["scheduled"] = True  # a scheduler sets lr anew, so nobody else can
        if best is not None:
            tables["train"] = {"best": dict(best)}
        tables["optimizer"] = {"name": type(optimizer).__name__.lower(), **numbers, **(kept or {})}
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
    file = Path(sys.argv[0])
    is_typed_in = is_typed() or sys.argv[0] in ("", "-")  # or piped into Python
    return {
        "script": None,
        "file": str(file.absolute()) if file.is_file() and not is_typed_in else None,
        "is_typed_in": is_typed_in,
        "arguments": [],
        "command": [sys.executable, *sys.orig_argv[1:]],
        "folder": str(Path.cwd()),
        "processes": job.size(),
    }
