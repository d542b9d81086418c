"""Finding runs: by id, by a prefix, by the last four letters, by a path, or as `last`."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from descent.common.errors import DescentError
from descent.common.paths import note, notes
from descent.common.text import clean, did_you_mean, show

# --- runs ------------------------------------------------------------------------------------------------


def note_start(run: Path) -> None:
    """Note in the user's state that this run was started, so that it is found from any folder."""
    folder = run.absolute()
    # A full or read-only home must not stop a run.
    with contextlib.suppress(OSError, ValueError):
        note("runs.jsonl", {"time": time.time(), "id": folder.name, "dir": str(folder)})


def known_runs(runs: Path) -> list[Path]:
    """The run folders in the runs directory, and those noted elsewhere; the latest start first."""
    starts: dict[Path, float] = {}
    for folder, started in _noted_starts():
        if is_run(folder):
            run = folder.resolve()
            starts[run] = max(started, starts.get(run, started))
    for run in _folders(runs):
        with contextlib.suppress(OSError):
            starts.setdefault(run, (run / "preset.toml").stat().st_mtime)
    return sorted(starts, key=lambda run: (starts[run], run.name), reverse=True)


def study_of(run: Path) -> Path | None:
    """The folder of the study that a run is a job of; None for one that was started by itself."""
    study = run.parent.parent
    return study if run.parent.name == "runs" and (study / "study.json").is_file() else None


def find_run(word: str, runs: Path) -> Path:
    """A run by its id, a unique beginning of it, its last four letters, its path, or `last`: that of a study only
    where there is no other."""
    if os.sep in word or word.startswith(("~", ".")):
        folder = Path(word).expanduser().absolute()
        if is_run(folder):
            return folder
        raise DescentError(f"{show(word)}: is not the folder of a run (it has no preset.toml)")
    known = known_runs(runs)
    if word == "last" and known:
        return next((run for run in known if study_of(run) is None), known[0])
    exact = [run for run in known if run.name == word]
    inside = [run for run in exact if run.parent == runs.resolve()]
    short = [run for run in known if word and (run.name.startswith(word) or _ends_with(run.name, word))]
    for candidates in (inside, exact, short):
        if len(candidates) == 1:
            return candidates[0]
    if exact or short:
        choices = "\n".join(f"  {clean(str(run))}" for run in (exact or short)[:_LONGEST_CHOICE])
        raise DescentError(f"{show(word)}: more than one run is called so:\n{choices}")
    if is_run(Path(word)):
        return Path(word).absolute()
    raise DescentError(_no_run(word, runs, [run.name for run in known]))


def is_run(folder: Path) -> bool:
    """Whether this is a run's folder."""
    try:
        return (folder / "preset.toml").is_file()
    except (OSError, ValueError):
        return False


_LONGEST_CHOICE = 12


def _no_run(word: str, runs: Path, names: list[str]) -> str:
    if not names:
        return f"{show(word)}: no such run; there is none in {clean(str(runs))}, and none was noted elsewhere"
    listed = ", ".join(clean(name) for name in names[:_LONGEST_CHOICE])
    more = f" and {len(names) - _LONGEST_CHOICE} more" if len(names) > _LONGEST_CHOICE else ""
    return f"{show(word)}: no such run{did_you_mean(word, names)}; the latest are {listed}{more}"


def _ends_with(name: str, letters: str) -> bool:
    return len(letters) == 4 and name.endswith(f"-{letters}")


def _folders(runs: Path) -> list[Path]:
    try:
        return [folder.resolve() for folder in runs.iterdir() if is_run(folder)]
    except OSError:
        return []


def _noted_starts() -> Iterator[tuple[Path, float]]:
    """Folder and time of each noted start, oldest first."""
    for entry in notes("runs.jsonl"):
        match entry:
            case {"dir": str(folder), "time": int(started) | float(started)}:
                yield Path(folder), float(started)
