"""The user's folders, and the notes that Descent keeps in one of them."""

import os
from pathlib import Path
from typing import Any

from descent.common.files import JsonLines, read_json_lines


def version() -> str:
    """The version of the installed package."""
    from importlib import metadata

    try:
        return metadata.version("descent-console")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def state_dir() -> Path:
    """The user's state: starts of runs, agreements, crash logs. It may not exist yet."""
    named = os.environ.get("XDG_STATE_HOME", "").strip()
    return (Path(named) if named else Path.home() / ".local" / "state") / "descent"


def config_dir() -> Path:
    """The user's configuration: settings, language. It may not exist yet."""
    named = os.environ.get("XDG_CONFIG_HOME", "").strip()
    return (Path(named) if named else Path.home() / ".config") / "descent"


def runs_dir(given: Path | None) -> Path:
    """The runs directory: as given, else $DESCENT_RUNS, else ./runs; absolute."""
    return Path(given or os.environ.get("DESCENT_RUNS") or "runs").expanduser().absolute()


def made_state_dir() -> Path:
    """The state directory, made where it was missing. Raises OSError where it can't be."""
    folder = state_dir()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def note(file: str, entry: dict[str, Any]) -> None:
    """Append one line to a file of the state directory. Raises OSError where that can't be done."""
    lines = JsonLines(made_state_dir() / file)
    try:
        lines.append(entry)
    finally:
        lines.close()


def notes(file: str) -> list[dict[str, Any]]:
    """The lines of a file of the state directory; none where it can't be read."""
    try:
        return read_json_lines(state_dir() / file)
    except OSError:
        return []
