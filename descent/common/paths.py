"""The user's folders, and the notes that Descent keeps in one of them."""

import os
from pathlib import Path
from typing import Any

from descent.common.files import JsonLines, read_json_lines


def version() -> str:
    """Return the version of the installed package."""
    from importlib import metadata

    try:
        return metadata.version("descent-console")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def state_dir() -> Path:
    """Return the folder of the user's state: starts of runs, agreements to run code, crash logs.

    It may not exist yet.
    """
    named = os.environ.get("XDG_STATE_HOME", "").strip()
    return (Path(named) if named else Path.home() / ".local" / "state") / "descent"


def config_dir() -> Path:
    """Return the folder of the user's configuration: settings, language. It may not exist yet."""
    named = os.environ.get("XDG_CONFIG_HOME", "").strip()
    return (Path(named) if named else Path.home() / ".config") / "descent"


def runs_dir(given: Path | None) -> Path:
    """Return the runs directory: `given`, else $DESCENT_RUNS, else ./runs. An absolute path."""
    return Path(given or os.environ.get("DESCENT_RUNS") or "runs").expanduser().absolute()


def made_state_dir() -> Path:
    """Return the state directory, and make it if it is missing. Raises OSError where that fails."""
    folder = state_dir()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def note(file: str, entry: dict[str, Any]) -> None:
    """Append one line to a file of the state directory. Raises OSError where that fails."""
    lines = JsonLines(made_state_dir() / file)
    try:
        lines.append(entry)
    finally:
        lines.close()


def notes(file: str) -> list[dict[str, Any]]:
    """Return the lines of a file of the state directory. Empty where it can't be read."""
    try:
        return read_json_lines(state_dir() / file)
    except OSError:
        return []
