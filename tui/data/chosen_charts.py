"""Which curves the console shows, remembered for each kind of run: for each preset, and each script by its name."""

import json
from collections.abc import Sequence
from pathlib import Path

from descent.common.files import write_atomically
from descent.common.paths import made_state_dir, state_dir

KEPT = 200  # kinds of runs, those that were chosen for last
SCALAR, EVALUATED = "scalar:", "val:"  # begin the curves of a name of the user's own


def chosen(kind: str) -> list[str] | None:
    """Return the curves chosen for runs of this kind; None if nobody has chosen."""
    match _all().get(kind):
        case [*names] if all(isinstance(name, str) for name in names):
            return names
    return None


def remember(kind: str, names: Sequence[str] | None) -> None:
    """Keep the choice, or forget it. One that can't be written is forgotten: nothing depends on it."""
    known = _all()
    known.pop(kind, None)
    if names is not None:
        known[kind] = list(names)
    try:
        made_state_dir()
        write_atomically(_file(), json.dumps(dict(list(known.items())[-KEPT:]), ensure_ascii=False).encode())
    except OSError:
        return


def _file() -> Path:
    return state_dir() / "charts.json"


def _all() -> dict[str, list[str]]:
    try:
        found = json.loads(_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
