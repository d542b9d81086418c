"""Where presets and runs are found: shipped, the user's own, the current folder."""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from engine.consent import agree, agreed, check_consent
from engine.errors import DescentError, PresetError
from engine.places import note, notes, runs_dir, state_dir
from engine.texts import clean, did_you_mean, show

__all__ = [
    "Entry",
    "agree",
    "agreed",
    "check_consent",
    "find_preset",
    "find_run",
    "is_run",
    "known_runs",
    "note_start",
    "presets",
    "runs_dir",
    "shipped_presets",
    "state_dir",
]

_LOOKS_LIKE_PRESET = re.compile(r"^\s*\[?\s*(data|model|loss|optimizer|schedule|train)\s*[\].]", re.MULTILINE)
_IS_LAB = re.compile(r"^\s*\[\[?\s*lab\s*[\].]", re.MULTILINE)
_LONGEST_CHOICE = 12


@dataclass(frozen=True)
class Entry:
    """A preset that was found. `broken` says what is wrong with it, and is empty where nothing is."""

    name: str
    path: Path
    origin: str  # "shipped", "yours" or "current folder"
    topic: str = ""
    title: str = ""
    reaches: str = ""
    broken: str = ""
    lab: str = ""  # the lab that it is the learner's copy of, or of a part of it


def shipped_presets() -> Path:
    """The folder of the shipped presets: in the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "presets"
    return inside if inside.is_dir() else package.parent / "presets"


# --- presets ---------------------------------------------------------------------------------------------


def find_preset(name: str) -> Path:
    """The file of the preset called `name`; the nearest one wins: current folder, the user's, shipped."""
    files = _preset_files()
    if name in files:
        return files[name][0]
    names = ", ".join(sorted(files)) or "none"
    hint = did_you_mean(name, files)
    raise PresetError(f"{show(name)}: no preset of this name{hint or f'; there are: {names}'}")


def presets(containing: str = "") -> list[Entry]:
    """The presets whose name, topic or title contains a text, by topic. A broken one is listed as broken."""
    entries = [_entry(name, path, origin) for name, (path, origin) in _preset_files().items()]
    word = containing.casefold()
    return sorted(
        (e for e in entries if word in f"{e.name}\n{e.topic}\n{e.title}".casefold()),
        key=lambda entry: (bool(entry.broken), bool(entry.lab), entry.topic == "yours", entry.topic, entry.name),
    )


def _entry(name: str, path: Path, origin: str) -> Entry:
    from engine.preset import load_preset

    try:
        settings = load_preset(path).settings
    except PresetError as error:
        return Entry(name, path, origin, broken=str(error))
    lab = clean(settings.lab or "")
    title = clean(settings.title) or (f"your copy of the lab {lab}" if lab else "")
    return Entry(name, path, origin, clean(settings.topic), title, clean(settings.reaches), lab=lab)


def _preset_files() -> dict[str, tuple[Path, str]]:
    """Every preset's file and origin, by name."""
    folders = [*preset_folders(), (Path("presets"), "current folder")]
    found = {path.stem: (path, origin) for folder, origin in folders for path in _toml_files(folder)}
    shipped = shipped_presets()
    if Path("presets").resolve() == shipped:  # in a checkout of Descent itself
        found |= {path.stem: (path, "shipped") for path in _toml_files(shipped)}
    # The current folder may hold a pyproject.toml, which is nobody's preset.
    return found | {path.stem: (path, "current folder") for path in _toml_files(Path()) if _looks_like_preset(path)}


def _toml_files(folder: Path) -> Iterator[Path]:
    try:
        files = sorted(folder.absolute().iterdir())
    except OSError:
        return
    yield from (path for path in files if path.suffix == ".toml" and path.is_file() and not _is_lab(path))


def _is_lab(path: Path) -> bool:
    """Whether this is a lab's own file, which holds a preset and is none."""
    return path.name == "lab.toml" and _holds(path, _IS_LAB)


def _looks_like_preset(path: Path) -> bool:
    return _holds(path, _LOOKS_LIKE_PRESET)


def _holds(path: Path, words: re.Pattern[str]) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return words.search(file.read(1 << 16)) is not None
    except OSError:
        return False


def preset_folders() -> list[tuple[Path, str]]:
    """The folders of presets that are everywhere, with their origin, the nearest last."""
    own = Path(platformdirs.user_config_dir("descent")) / "presets"
    named = [Path(part).expanduser() for part in os.environ.get("DESCENT_PRESETS", "").split(os.pathsep) if part]
    return [(shipped_presets(), "shipped"), (own, "yours"), *((folder, "yours") for folder in reversed(named))]


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
