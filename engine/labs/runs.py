"""Which runs are of a lab: those that were started from its learner's presets."""

import json
from collections.abc import Iterable
from pathlib import Path

from engine.run import RunFolder

_PRESETS_TOP = 4096  # characters; `lab` is one of the first keys


def is_of(run: RunFolder, lab_id: str) -> bool:
    """Whether its preset names the lab; not where it can't be read."""
    try:
        with run.preset.open(encoding="utf-8") as file:
            return f"lab = {json.dumps(lab_id)}" in file.read(_PRESETS_TOP)
    except (OSError, ValueError):
        return False


def any_of(runs: Iterable[Path], lab_id: str) -> bool:
    """Whether one of the run folders is of the lab, by the name that Descent gives it and by its preset."""
    return any(run.name.startswith(f"{lab_id}-") and is_of(RunFolder(run), lab_id) for run in runs)
