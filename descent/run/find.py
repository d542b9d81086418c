"""Finding runs by id, by its beginning, by its last four letters, by a path, or as `last`; of a preset the latest."""

import contextlib
import os
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from descent.common import paths
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.paths import note, notes
from descent.common.text import clean, did_you_mean, show

# --- runs ------------------------------------------------------------------------------------------------

_LONGEST_CHOICE = 12
_NOTES = "runs.jsonl"  # in the state directory, a line for each start


def note_start(run: Path) -> None:
    """Note in the user's state that this run was started, so that it is found from any folder."""
    folder = run.absolute()
    # A full or read-only home must not stop a run.
    with contextlib.suppress(OSError, ValueError):
        note(_NOTES, {"time": time.time(), "id": folder.name, "dir": str(folder)})


def known_runs(runs: Path) -> list[Path]:
    """Return the run folders in the runs folder, and those noted elsewhere, the latest start first."""
    starts: dict[Path, float] = {}
    for folder, started in _noted_starts():
        if is_run(folder):
            run = folder.resolve()
            starts[run] = max(started, starts.get(run, started))
    for run in _folders(runs):
        with contextlib.suppress(OSError):
            starts.setdefault(run, (run / "preset.toml").stat().st_mtime)
    return sorted(starts, key=lambda run: (starts[run], run.name), reverse=True)


def changed_at(runs: Path) -> tuple[int, ...]:
    """Return numbers that are others once a run was started anywhere, or deleted in the runs folder."""
    found = []
    for path in (runs, paths.state_dir() / _NOTES):
        try:
            facts = path.stat()
            found += [facts.st_mtime_ns, facts.st_size]
        except OSError:
            found += [0, 0]
    return tuple(found)


def runs_of(runs_dir: Path | None) -> list[Path]:
    """Return the runs that --runs-dir asks for: those in this folder, or without it all known ones."""
    folders = known_runs(paths.runs_dir(runs_dir))
    if runs_dir is None:
        return folders
    here = paths.runs_dir(runs_dir).resolve()
    return [folder for folder in folders if folder.parent == here]


def study_of(run: Path) -> Path | None:
    """Return the folder of the study that a run is a job of, or None."""
    study = run.parent.parent
    return study if run.parent.name == "runs" and (study / "study.json").is_file() else None


def find_run(word: str, runs: Path) -> Path:
    """Return a run by its id, a unique beginning of it, its last four letters, its path, or `last`.

    `last` is the latest run that is no job of a study, if there is one.
    """
    if os.sep in word or word.startswith(("~", ".")):
        folder = Path(word).expanduser().absolute()
        if is_run(folder):
            return folder
        raise DescentError(_("{folder}: is not a run folder (it has no preset.toml)", folder=show(word)))
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
        raise DescentError(_("{word}: fits more than one run:\n{choices}", word=show(word), choices=choices))
    if is_run(Path(word)):
        return Path(word).absolute()
    raise DescentError(_no_run(word, runs, [run.name for run in known]))


def word_for(run: Path) -> str:
    """Return the word that names a run in a printed command: its id, or its path if the id fits another run."""
    runs = paths.runs_dir(None)
    folder = run.resolve()
    same = [known for known in known_runs(runs) if known.name == folder.name]
    here = [known for known in same if known.parent == runs.resolve()] or same
    return shlex.quote(run.name if here in ([], [folder]) else str(folder))


def find_weights(word: str, runs: Path) -> Path:
    """Return the run that `model.from` names: as `find_run` takes it, or by the name of its preset.

    The name of a preset means its latest run that has a checkpoint. Raises DescentError if there is none.
    """
    known = known_runs(runs)
    of_preset = [run for run in known if re.fullmatch(rf"{re.escape(word)}-\d{{6}}-\d{{6}}-[a-z]{{4}}", run.name)]
    if any(run.name == word for run in known):
        return find_run(word, runs)
    if not of_preset:
        try:
            return find_run(word, runs)
        except DescentError as error:
            train_first = _("if it is the name of a preset, train the preset first")
            raise DescentError(f"{error}; {train_first}") from None
    for run in of_preset:
        if any((run / "checkpoints").glob("step-*.pt")):
            return run
    raise DescentError(
        _(
            "{word}: no run of this preset has a checkpoint; the latest is {run}",
            word=show(word),
            run=of_preset[0].name,
        )
    )


def is_run(folder: Path) -> bool:
    """Return whether this is a run's folder."""
    try:
        return (folder / "preset.toml").is_file()
    except (OSError, ValueError):
        return False


def _no_run(word: str, runs: Path, names: list[str]) -> str:
    unknown = _("{word}: no such run", word=show(word))
    listed = ", ".join(clean(name) for name in names[:_LONGEST_CHOICE])
    left = len(names) - _LONGEST_CHOICE
    if not names:
        known = _("{folder} has no runs, and no other folder is known", folder=clean(str(runs)))
    elif left > 0:
        known = _("the latest are {names} and {number} more", names=listed, number=left)
    else:
        known = _("the latest are {names}", names=listed)
    return f"{unknown}; {known}" + did_you_mean(word, [*names, "last"])


def _ends_with(name: str, letters: str) -> bool:
    return len(letters) == 4 and name.endswith(f"-{letters}")


def _folders(runs: Path) -> list[Path]:
    try:
        return [folder.resolve() for folder in runs.iterdir() if is_run(folder)]
    except OSError:
        return []


def _noted_starts() -> Iterator[tuple[Path, float]]:
    """Yield folder and time of each noted start, oldest first."""
    for entry in notes(_NOTES):
        match entry:
            case {"dir": str(folder), "time": int(started) | float(started)}:
                yield Path(folder), float(started)
