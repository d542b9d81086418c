"""Comparison of several runs: their results, and the settings in which they differ."""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from descent.common import paths
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.numbers import NONE, metric
from descent.common.settings import flatten, parse
from descent.common.text import clean, show, why_damaged
from descent.run import find
from descent.run.folder import RunFolder
from descent.run.health import Broken
from descent.run.live_settings import is_of_presets
from descent.run.result_metrics import MetricName, metric_of, names_in, values_on
from descent.run.results import BestModel, result_of
from descent.run.schema import LOOP, LOOP_FILE, read_stored
from descent.run.state import State

Events = Sequence[dict[str, Any]]

FEWEST, MOST = 2, 8
LETTERS = "ABCDEFGH"  # one letter for each run
_DESCRIBES = ("title", "topic", "reaches")  # settings that change nothing that is trained


@dataclass(frozen=True)
class Final:
    """One run's results so far.

    metrics: those that it has. Accuracies are from 0 to 1. Several members have their mean. scalars: of each name the
    last value. parent: id and step of a fork's origin. problem: why its files can't be read.
    """

    folder: RunFolder
    state: str
    step: int = 0
    epoch: int = 0
    seconds: float = 0.0
    metrics: dict[MetricName, float] = field(default_factory=dict)
    parent: tuple[str, int] | None = None
    scalars: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    candidate: str = ""  # of a sweep: the best one, whose metrics they are
    candidates: int = 0
    broken: Broken | None = None
    best_model: BestModel | None = None  # whose numbers on the validation split these are


@dataclass(frozen=True)
class Side:
    """One run of a comparison. settings: as settings_of returns them."""

    final: Final
    settings: dict[str, str]


@dataclass(frozen=True)
class Difference:
    """A setting in which runs differ. values: as text, in the order of the runs, NONE for a run without it."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    finals and the values of each difference are in the order in which the runs were given. best: for each metric that
    can be compared, the positions of the runs with the best value.
    """

    finals: tuple[Final, ...]
    differences: tuple[Difference, ...]
    best: dict[MetricName, tuple[int, ...]]


def checked(folders: Sequence[RunFolder]) -> list[RunFolder]:
    """Return the runs, each once. Raises DescentError if they are too few or too many to compare."""
    once = list(dict.fromkeys(folders))
    if not FEWEST <= len(once) <= MOST:
        text = _("{fewest} to {most} runs can be compared, not {given}", fewest=FEWEST, most=MOST, given=len(once))
        if len(once) < len(folders):
            text += "; " + _("{run} was named twice", run=once[0].id)
        raise DescentError(text)
    return once


def compared(folders: Sequence[RunFolder]) -> Comparison:
    """Return the runs as they are now. A run whose files can't be read has a `problem`."""
    return beside([side(folder) for folder in folders])


def side(folder: RunFolder, state: State | None = None, events: Events | None = None) -> Side:
    """Return one run of a comparison. state, events: as results.result_of takes them."""
    return Side(final(folder, state, events), settings_of(folder, events))


def beside(sides: Sequence[Side]) -> Comparison:
    """Return the runs' results and differences."""
    finals, settings = tuple(each.final for each in sides), [each.settings for each in sides]
    return Comparison(finals, tuple(differences(settings)), best(finals, settings))


# --- finals ---


def final(folder: RunFolder, state: State | None = None, events: Events | None = None) -> Final:
    """Return the run's results so far. state, events: as results.result_of takes them."""
    try:
        reached, origin = result_of(folder, state, events), folder.origin()
        metrics = {key: value for key, value in reached.final_metrics.items() if value is not None}
        return Final(
            folder,
            reached.state,
            reached.step,
            reached.epoch,
            reached.seconds,
            metrics,
            (str(origin["run"]), int(origin["step"])) if origin is not None else None,
            {name: each.value for name, each in reached.scalars.items()},
            candidate=reached.candidates[0].name if reached.candidates else "",
            candidates=len(reached.candidates),
            broken=reached.broken,
            best_model=reached.best,
        )
    except Exception as error:  # the files may hold anything, and one damaged run must not hide the others
        return Final(folder, "damaged", problem=why_damaged(error))


def best(finals: Sequence[Final], settings: Sequence[dict[str, str]]) -> dict[MetricName, tuple[int, ...]]:
    """Return for each metric the positions of the best runs.

    Metrics of different data, losses of different loss functions, and equal values are left out.
    """
    found: dict[MetricName, tuple[int, ...]] = {}
    if len({each.get("data.name") for each in settings}) > 1:
        return found
    same_loss = len({each.get("loss.name") for each in settings}) == 1
    for key in names_in(each.metrics for each in finals):
        values = {place: final.metrics[key] for place, final in enumerate(finals) if key in final.metrics}
        better = _better(key, settings)
        if better is not None and len(set(values.values())) > 1 and (same_loss or metric_of(key).column != "loss"):
            top = (max if better == "highest" else min)(values.values())
            found[key] = tuple(place for place, value in values.items() if value == top)
    return found


def _better(key: MetricName, settings: Sequence[dict[str, str]]) -> str | None:
    """Return which of several values is the better one: "highest" or "lowest"; None if nothing tells.

    Of a metric of the user's own, train.best of the runs may tell it.
    """
    column = show(metric_of(key).column)
    told = {each.get("train.best.mode") for each in settings if each.get("train.best.metric") == column}
    if len(told) == 1:
        return {show("max"): "highest", show("min"): "lowest"}.get(told.pop() or "")
    return metric_of(key).best


# --- settings ---


def settings_of(folder: RunFolder, events: Events | None = None) -> dict[str, str]:
    """Return every setting as text by its dotted key: the value at the start, and behind an arrow the live value.

    Of a loop of one's own also what its script has declared. Empty if the preset can't be read. events: as
    results.result_of takes them.
    """
    try:
        preset = tomllib.loads(folder.preset.read_text(encoding="utf-8"))
        stored = flatten(preset)
    except (OSError, ValueError, RecursionError):
        return {}
    settings = {key: show(value) for key, value in stored.items() if key not in _DESCRIBES}
    for key in settings:
        if key.endswith(".code"):
            settings[key] += _hash(folder.path / str(stored[key]).rpartition(":")[0])
    if _is_loop(folder):
        settings |= _code_of_loop(folder, has_config="config" in preset)
        settings |= {one["name"]: show(one["value"]) for one in folder.facts().get("settings", [])}
    for key, value in _set_live(folder, events).items():
        before = settings.get(key)
        if value != before:
            settings[key] = value if before is None else f"{before} → {value}"
    return settings


def _hash(file: Path) -> str:
    """Return a short hash of a file: two runs may have different code under the same name."""
    try:
        return f" #{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}"
    except OSError:
        return ""


def _code_of_loop(folder: RunFolder, *, has_config: bool) -> dict[str, str]:
    """Return the script of a loop of one's own with a short hash, its commit, and its arguments if it tells none."""
    try:
        start: Mapping[str, Any] = read_stored(folder.path, LOOP_FILE, LOOP) or {}
    except DescentError:
        return {}
    found: dict[str, str] = {}
    file, digest, commit = start.get("script") or start.get("file"), start.get("digest"), start.get("commit")
    if file and digest:
        found["script"] = f"{clean(Path(file).name)} #{clean(str(digest))[:8]}"
    if commit:
        found["commit"] = clean(str(commit))[:9] + (" " + _("with changes") if start.get("is_changed") else "")
    if not has_config and start.get("arguments"):
        found["arguments"] = clean(" ".join(start["arguments"]))
    return found


def _is_loop(folder: RunFolder) -> bool:
    return (folder.path / LOOP_FILE).exists()


def _set_live(folder: RunFolder, events: Events | None) -> dict[str, str]:
    """Return the last live value of each setting, by key."""
    found: dict[str, str] = {}
    try:
        events = folder.events() if events is None else events
    except (OSError, ValueError, KeyError):
        return found
    own = _is_loop(folder)  # whose fork has what its parent has set in its checkpoint, and not in preset.toml
    for event in events:
        # Events before a fork's first state come from its parent. Its preset has them already, if it can.
        own = own or event.get("event") == "state"
        if event.get("event") != "command" or event.get("command") != "set":
            continue
        for edit in map(str, (event.get("arguments") or {}).get("edits", ())):
            if own or not is_of_presets(edit):
                given = parse([edit])[0]
                key, _sign, value = edit.partition("=")  # for one member only, such as "@3 optimizer.lr=0.1"
                found |= {".".join(o.path): show(o.value) for o in given} or {clean(key): clean(value)}
    return found


def differences(settings: Sequence[dict[str, str]]) -> list[Difference]:
    """Return the settings that are not the same in all runs, in the order of the first run that has them."""
    keys = dict.fromkeys(key for each in settings for key in each)
    rows = [Difference(key, tuple(each.get(key, NONE) for each in settings)) for key in keys]
    return [row for row in rows if len(set(row.values)) > 1]


# --- relatives ---


def relatives(folder: RunFolder, known: Sequence[Path]) -> list[Path]:
    """Return the known run that this one is a fork of, then its own forks."""
    origins = {path: _origin(path) for path in known}
    own = _origin(folder.path)
    parent = [path for path in known if own is not None and _is(path, own)]
    return parent + [path for path, origin in origins.items() if origin is not None and _is(folder.path, origin)]


def _origin(path: Path) -> dict[str, Any] | None:
    try:
        return RunFolder(path).origin()
    except (OSError, ValueError):
        return None


def _is(path: Path, origin: dict[str, Any]) -> bool:
    """Return whether the origin is this run. A moved folder is still recognized by its id."""
    there = Path(str(origin.get("dir", "")))
    return path.resolve() == there.resolve() or (path.name == origin.get("run") and not there.exists())


# --- as text ---


def candidate_text(final: Final) -> str:
    """Return "lr 0.1, the best of 4 candidates", or nothing for a run that is no sweep."""
    if not final.candidate:
        return ""
    return _("{candidate}, the best of {count} candidates", candidate=final.candidate, count=final.candidates)


def best_model_text(final: Final) -> str:
    """Return "val: of the best model, step 7,150", or nothing for a run whose last model is the one that counts."""
    if final.best_model is None or not values_on(final.metrics, "validation"):
        return ""
    if final.best_model.step is None:
        return _("val: of each member's best model")
    return _("val: of the best model, step {step:,}", step=final.best_model.step)


def origin_text(final: Final) -> str:
    """Return "fork of PARENT @ step 7,150", or nothing for a run that is no fork."""
    if final.parent is None:
        return ""
    return _("fork of {run} @ step {step:,}", run=clean(final.parent[0]), step=final.parent[1])


def metric_text(found: Comparison, key: MetricName, place: int) -> str:
    """Return a run's number, and one cell for a star if it is the best."""
    return metric(key, found.finals[place].metrics.get(key)) + ("*" if place in found.best.get(key, ()) else " ")


def found(words: Sequence[str], runs_dir: Path | None) -> list[RunFolder]:
    """Return the runs that the words name. Raises DescentError if one is unknown, or for too few or too many."""
    runs = paths.runs_dir(runs_dir)
    return checked([RunFolder(find.find_run(word, runs)) for word in words])
