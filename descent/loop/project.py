"""The project of a script that trains: where it lies, what of it decides the training, and what has changed since."""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import clean

_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTHONHASHSEED",
    "CUBLAS_WORKSPACE_CONFIG",
)
_PATIENCE = 5.0  # seconds for git


def surroundings(start: Mapping[str, Any]) -> dict[str, Any]:
    """Return what else may decide how a script trains: its text, the code's commit, variables of the environment.

    start: as descent.loop.folder.start_of has it.
    """
    folder = Path(start["folder"])
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "-uno")
    variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    is_changed = None if changes is None else bool(changes)
    return {"commit": commit, "is_changed": is_changed, "environment": variables, "digest": _digest(start)}


def _file(start: Mapping[str, Any]) -> Path | None:
    """Return the script's file, as far as it is known."""
    found = start.get("script") or start.get("file")
    return None if found is None else Path(start["folder"]) / found


def _digest(start: Mapping[str, Any]) -> str | None:
    file = _file(start)
    with contextlib.suppress(OSError):
        return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
    return None


def _git(folder: Path, *words: str) -> str | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def changes(start: Mapping[str, Any]) -> list[str]:
    """Return in words what of a script's project is not as it was when its run began."""
    if not start:
        return []
    found, file = [], _file(start)
    now = _digest(start)
    if file is not None and now is not None and start.get("digest") not in (None, now):
        found.append(_("{file} has changed since this run began", file=clean(file.name)))
    commit = _git(Path(start["folder"]), "rev-parse", "HEAD") if start.get("commit") else None
    if commit is not None and commit != start["commit"]:
        found.append(
            _(
                "the project is at another commit than when this run began: {now}, then {before}",
                now=commit[:9],
                before=clean(str(start["commit"])[:9]),
            )
        )
    return found


def moved(start: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return how a script is started from the folder that it was moved to."""
    before, after = Path(start["folder"]), folder.absolute()

    def there(word: str) -> str:
        path = Path(word)
        return str(after / path.relative_to(before)) if path.is_absolute() and path.is_relative_to(before) else word

    script = start.get("script")
    if script is not None and Path(script).is_absolute() and not Path(script).is_relative_to(before):
        script = str(after / Path(script).name)
    elif script is not None:
        script = there(script)
    words = [start["command"][0], *map(there, start["command"][1:])]
    return {**start, "folder": str(after), "script": script, "command": words}


def typed_in() -> str:
    """Return why no command starts a loop of a notebook."""
    return _(
        "this loop was typed into a notebook or Python's prompt, or piped into Python, so no command can start it "
        "anew; call descent.init with this run's id there, and the loop goes on from its checkpoint"
    )


def check_there(run_id: str, command: str, start: Mapping[str, Any]) -> None:
    """Raise DescentError, which says what to do, if the files that a run is started from are gone.

    command: the one that wants to start it, such as "resume".
    """
    if start.get("is_typed_in"):
        raise DescentError(f"{clean(run_id)}: {typed_in()}")
    folder, file = Path(start["folder"]), _file(start)
    python = Path(start["command"][0]) if start.get("script") is None else None
    gone = folder if not folder.is_dir() else file if file is not None and not file.is_file() else None
    if gone is not None:
        raise DescentError(
            _(
                "{run}: {path} is gone, from which its script was started; if the project was moved, name its "
                "folder: descent {command} {run} --folder DIR",
                run=clean(run_id),
                path=clean(str(gone)),
                command=command,
            )
        )
    if python is not None and python.is_absolute() and not python.is_file():
        raise DescentError(
            _(
                "{run}: {path} is gone, the Python that its script was started with; start the script with another "
                "one and this run's id",
                run=clean(run_id),
                path=clean(str(python)),
            )
        )
