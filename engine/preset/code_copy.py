"""The copy of somebody's code that a run keeps, and whether that code has changed since the run began."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from descent.common.files import read_regular
from descent.common.project import LARGEST, Project

FILE = "code.json"  # in the run's folder: where each file of code/ came from
FOLDER = "code"


def origins(project: Project) -> dict[str, str]:
    """Return the file that each file of a project is, by path. Of a run's copy, those that it was made from."""
    before = _noted(project.root.parent) if project.root.name == FOLDER else {}
    return {file: before.get(f"{FOLDER}/{file}", {}).get("from", str(project.root / file)) for file in project.files}


def noted(contents: Mapping[str, bytes], origin: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of code.json. contents, origin: by path in the folder of code."""
    return {
        f"{FOLDER}/{file}": {"from": origin[file], "sha256": hashlib.sha256(content).hexdigest()}
        for file, content in contents.items()
    }


def changed_since(folder: Path) -> list[str]:
    """Return the files that a run has copies of, and that are others now, or gone. folder: of the run."""
    return [note["from"] for note in _noted(folder).values() if _digest(Path(note["from"])) != note["sha256"]]


def _noted(folder: Path) -> dict[str, dict[str, str]]:
    """Return what code.json says. A run of an older Descent, or without code, has none."""
    try:
        found = json.loads(read_regular(folder / FILE, LARGEST))
    except (OSError, ValueError):
        return {}
    known = found.items() if isinstance(found, dict) else ()
    return {key: note for key, note in known if isinstance(note, dict) and {"from", "sha256"} <= note.keys()}


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(read_regular(file, LARGEST)).hexdigest()
    except OSError:
        return None
