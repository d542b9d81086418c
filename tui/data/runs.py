"""Watches all runs in a thread of its own, and says in a line what each has come to."""

import contextlib
import math
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from descent.common.mean import mean_of_finite
from descent.common.paths import runs_dir
from descent.common.text import clean, why_damaged
from descent.run import find
from descent.run.best_by import BestBy, best_by
from descent.run.epochs import RECENT, Epochs, epochs_since
from descent.run.events import Evaluation, Event, EventLog, evaluation_of
from descent.run.folder import RunFolder, failed_at_start
from descent.run.health import Broken, Health
from descent.run.layout import Layout, generations, steps_in
from descent.run.not_given import NOT_GIVEN
from descent.run.note import Note, read_note
from descent.run.result_metrics import Numbers
from descent.run.state import ALIVE, host_of, state_now
from descent.run.sweep import SweepPoint, points_of

POINTS = 96  # of the curve that is kept of each run
_NOT_GIVEN = struct.pack("<I", NOT_GIVEN)
_NEAR = 16  # rows around a point that are averaged: single batches are too noisy
_MOST = 1000  # rows that are averaged
_LOOK_BACK = 4096  # records of scalars, 64 KB
REACHED = ("loss", "accuracy")
Reached = tuple[float | None, float | None]  # those two
EVERY = 1.0  # seconds between looks while the list is shown
# A look at all runs takes at most a twentieth of the time. In between, only live ones are looked at, which takes at
# most a fifth.
_SHARE, _LIVE_SHARE = 20, 5
RARELY = 3.0  # seconds between looks at the live runs alone, while it is not
_AT_ONCE = 24  # runs read before the first of them are shown


@dataclass(frozen=True)
class RunStatus:
    """One run at this moment. Numbers are None where they are not known (yet).

    loss: up to POINTS means of the training loss. last_loss: the mean over the last epoch; of a loop without epochs,
    over the last steps. reached: by split, the latest evaluation. problem: why its files can't be read.
    """

    folder: RunFolder
    state: str = "starting"
    host: str = ""
    preset: str = ""
    step: int = 0
    total: int | None = None
    epoch: float | None = None
    started: float | None = None
    changed: float = 0.0  # when its files last did
    parameters: int | None = None
    device: str = ""
    loss: tuple[float, ...] = ()
    last_loss: float | None = None
    accuracy: bool = False
    reached: Mapping[str, Reached] = field(default_factory=dict)  # by split: the latest evaluation
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by split: what else it has measured
    scalars: Mapping[str, float] = field(default_factory=dict)  # by name: the last that a loop has given
    reason: str = ""
    stage: str = ""
    seconds: float | None = None
    problem: str = ""
    began_at: int = 0  # the step; of a fork, that of its parent's checkpoint
    study: Path | None = None  # whose job it is
    note: Note = field(default_factory=Note)
    val_curve: tuple[float, ...] = ()  # losses on the validation split, oldest first: up to POINTS of them
    candidates: int = 0  # of a sweep
    candidate: str = ""  # the best one, whose numbers these are
    broken: Broken | None = None  # how its model is, if it is

    @property
    def failed_at_start(self) -> bool:
        """Return whether the run failed before it had anything worth keeping."""
        return failed_at_start(self.state, self.step, {"step": self.began_at})

    @property
    def alive(self) -> bool:
        return self.state in ALIVE

    @property
    def share(self) -> float:
        """Return the share of the training that is done, 0 to 1."""
        return min(1.0, self.step / self.total) if self.total else 0.0

    @property
    def letters(self) -> str:
        """Return the last four letters of an id that Descent made. Empty for a name that the user gave."""
        parts = self.folder.id.rsplit("-", 3)
        ours = len(parts) == 4 and len(parts[1]) == 6 and len(parts[2]) == 6 and len(parts[3]) == 4
        return parts[3] if ours else ""

    @property
    def name(self) -> str:
        """The preset's name, or the id that the user gave the run."""
        return self.preset or self.folder.id.rsplit("-", 3)[0] if self.letters else self.folder.id

    def last(self, split: str) -> tuple[float | None, float | None] | None:
        """Loss and accuracy of the latest evaluation on a split."""
        return self.reached.get(split)

    @property
    def results(self) -> Numbers:
        """Return the same by the names of metrics."""
        return {
            f"{prefix}_{column}": value
            for split, prefix in (("validation", "val"), ("test", "test"))
            for column, value in zip(("loss", "accuracy"), self.last(split) or (), strict=False)
        }


class Glances:
    """Glances of many runs; a look at one that has not changed costs a few system calls."""

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[tuple[Any, ...], RunStatus]] = {}
        self._told: dict[Path, RunSummary] = {}  # of live runs

    def of(self, path: Path) -> RunStatus:
        """Return the run as it is now. If its files can't be read, it has a `problem`."""
        signature = _signature(path)
        kept = self._kept.get(path)
        if kept is not None and kept[0] == signature and not kept[1].alive:
            return kept[1]
        try:
            told = self._told.setdefault(path, RunSummary(RunFolder(path)))
            before = kept[1] if kept is not None else None
            seen = _read(RunFolder(path), told, before, is_same=kept is not None and kept[0] == signature)
        except Exception as error:  # the files may hold anything, and one broken run must not hide the others
            seen = RunStatus(RunFolder(path), state="damaged", problem=why_damaged(error))
        self._kept[path] = signature, seen
        if not seen.alive:
            self._told.pop(path, None)
        return seen

    def forget(self, gone: Iterable[Path]) -> None:
        for path in gone:
            self._kept.pop(path, None)
            self._told.pop(path, None)


def _signature(path: Path) -> tuple[Any, ...]:
    """What differs after anything was written to the run."""
    found: list[Any] = []
    for name in ("events.jsonl", "run.json", "metrics.json", "note.json"):
        try:
            facts = os.stat(path / name)
            found.append((facts.st_size, facts.st_mtime_ns))
        except OSError:
            found.append(None)
    with contextlib.suppress(OSError), os.scandir(path / "metrics") as entries:
        found += sorted((entry.name, entry.stat().st_size) for entry in entries)
    return tuple(found)


def glances_of(folders: Sequence[RunFolder]) -> list[RunStatus]:
    """Return a first look at each of these runs."""
    found = [RunFolder(folder.path.resolve()) for folder in folders]
    return [_read(folder, RunSummary(folder)) for folder in found]


class RunSummary(Health):
    """A summary of a run's events up to the last `look`. last: the latest event of each kind. total: planned steps.

    began: the event that says which machine trains it.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._log = EventLog(folder.path, keep=0)
        super().__init__()

    def begin(self) -> None:
        super().begin()
        self.last: dict[str, Event] = {}
        self.began: Event = {}
        self.total: float | None = None
        self._evaluations: dict[tuple[str, int], Evaluation] = {}  # the latest of each split and member
        self._validated: dict[int, dict[int, float]] = {}  # by step and member: losses, of a long run not all steps
        self._every = 1  # of so many evaluations one is kept
        self._count = 0

    def look(self) -> None:
        """Read the new events."""
        if self._log.is_cut():  # another run of the same name
            self._log = EventLog(self._folder.path, keep=0)
            self.begin_anew()
        self._log.look()
        self.take(self._log, self._log.voided)

    @property
    def state(self) -> Event:
        """Return the latest event of kind state. Empty before the first."""
        return self.last.get("state", {})

    def add(self, event: Event) -> None:
        super().add(event)
        kind = str(event.get("event"))
        self.last[kind] = event
        self.total = event.get("total_steps", self.total)
        if kind == "evaluation":
            evaluation = evaluation_of(event)
            self._evaluations[evaluation.split, evaluation.member] = evaluation
            if evaluation.split == "validation":
                self._validate(evaluation)
        elif kind == "state" and event.get("state") == "starting":
            self.began = event

    def _validate(self, evaluation: Evaluation) -> None:
        """Keep a loss for the curve. Of too many steps every other one is dropped."""
        step, loss = evaluation.step, evaluation.values.get("loss")
        if step not in self._validated:
            self._count += 1
            if self._count % self._every:
                return
            if len(self._validated) >= 2 * POINTS:
                self._validated = {kept: self._validated[kept] for kept in list(self._validated)[1::2]}
                self._every *= 2
        self._validated.setdefault(step, {})[evaluation.member] = math.nan if loss is None else float(loss)

    def curve(self, members: Sequence[int] | None = None) -> tuple[float, ...]:
        """Return the validation losses, oldest first: the mean over these members, or all."""
        means = (
            mean_of_finite(loss for member, loss in own.items() if members is None or member in members)
            for own in self._validated.values()
        )
        return tuple(mean for mean in means if mean is not None)[-2 * POINTS :]

    def best_of(self, points: Sequence[SweepPoint], by: Callable[[], BestBy]) -> SweepPoint | None:
        """Return the winner of a sweep, or the best of its candidates so far. None before the first evaluation."""
        winner = self.last.get("winner")
        if winner is not None:
            return next((point for point in points if list(point.members) == winner["members"]), None)
        there = [m for split, m in self._evaluations if split == "validation"]
        points = [point for point in points if set(point.members) & set(there)]
        if not points:
            return None
        best = by()
        column = best.metric.removeprefix("val_")

        def rank(point: SweepPoint) -> float:
            own = [self._evaluations.get(("validation", member)) for member in point.members]
            mean = mean_of_finite(each.values.get(column) for each in own if each is not None)
            return best.rank({best.metric: mean})

        return min(points, key=rank)

    def reached(self, members: Sequence[int] | None = None) -> dict[str, Reached]:
        """Return the latest evaluation of each split: the mean over these members, or a winner's, or all."""
        told = self._last_of(members)
        return {split: (_mean(values, "loss"), _mean(values, "accuracy")) for split, values in told.items()}

    def scores(self, members: Sequence[int] | None = None) -> dict[str, dict[str, float]]:
        """Return what the same evaluations have measured beside loss and accuracy."""
        return {
            split: {
                name: mean for name in values[0] if name not in REACHED and (mean := _mean(values, name)) is not None
            }
            for split, values in self._last_of(members).items()
        }

    def _last_of(self, members: Sequence[int] | None) -> dict[str, list[dict[str, Any]]]:
        """Return what was measured at the last step of each split that has an evaluation, of each member."""
        if members is None and (winner := self.last.get("winner")) is not None:
            members = winner["members"]
        of_splits: dict[str, list[Evaluation]] = {}
        for (split, member), evaluation in self._evaluations.items():
            if members is None or member in members:
                of_splits.setdefault(split, []).append(evaluation)
        last = {split: max(each.step for each in told) for split, told in of_splits.items()}
        return {split: [e.values for e in told if e.step == last[split]] for split, told in of_splits.items()}


def _read(
    folder: RunFolder, told: RunSummary, before: RunStatus | None = None, *, is_same: bool = False
) -> RunStatus:
    """Return the run's status. is_same: nothing was written since `before`."""

    def last_state() -> Mapping[str, Any]:
        told.look()
        return told.state

    facts = folder.facts()
    state = state_now(folder.path, last_state, lambda: host_of(told.began, facts))
    if before is not None and is_same:  # but for its state: a killed worker writes nothing
        return before if state == before.state else replace(before, state=state)
    layout = Layout.load(folder.path)
    points = points_of(layout.members) if layout is not None else ()
    best = told.best_of(points, lambda: best_by(folder)) if points else None
    with contextlib.closing(_Rows(folder.path, layout, best.members if best is not None else None)) as rows:
        step = rows.count
        epochs = epochs_since(told.last.get("batch_size"), facts)
        last_loss = _last_loss(told, rows, epochs, is_live=state in ALIVE, is_sweep=bool(points))
        return RunStatus(
            folder,
            state=state,
            host=host_of(told.began, facts),
            preset=clean(str(facts.get("preset", ""))),
            step=step,
            total=_whole(told.total or facts.get("total_steps")),
            epoch=None if epochs is None else epochs.at(step),
            started=facts.get("started") or folder.preset.stat().st_mtime,
            changed=_changed(folder),
            parameters=_whole(facts.get("parameters")),
            device=clean(str(facts.get("device_name") or facts.get("device") or "")),
            loss=before.loss if _looks_the_same(before, state, step) else rows.curve("loss", POINTS),
            last_loss=last_loss,
            accuracy=rows.has("accuracy"),
            reached=told.reached(best.members if best is not None else None),
            scores=told.scores(best.members if best is not None else None),
            scalars=_scalars(folder.path),
            candidates=len(points),
            candidate=best.name if best is not None else "",
            broken=told.broken(state, is_finite=last_loss is None or math.isfinite(last_loss)),
            reason=clean(str(told.state.get("reason") or "")),
            stage=str(told.last.get("stage", {}).get("stage") or ""),
            seconds=rows.at("time", step - 1),
            began_at=origin["step"] if (origin := folder.origin()) is not None else 0,
            study=find.study_of(folder.path),
            note=read_note(folder.path),
            val_curve=told.curve(best.members if best is not None else None),
        )


def _last_loss(
    told: RunSummary, rows: "_Rows", epochs: Epochs | None, *, is_live: bool, is_sweep: bool
) -> float | None:
    """Return the mean over the last epoch, which the log has at its end. A sweep's is of the best candidate now.

    Of a live run it is over RECENT steps at most, as everywhere.
    """
    said = told.last.get("epoch", {})
    if not is_sweep and said.get("step") == rows.count and isinstance(said.get("train_loss"), float):
        return float(said["train_loss"])
    most = RECENT if is_live else _MOST
    return rows.latest("loss", min(most, RECENT if epochs is None else epochs.per_epoch))


def _looks_the_same(before: RunStatus | None, state: str, step: int) -> TypeGuard[RunStatus]:
    """Return whether the curve of a live run is as before: it has grown by less than one of its points."""
    return before is not None and state in ALIVE and before.step <= step < before.step * (1 + 1 / POINTS)


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _changed(folder: RunFolder) -> float:
    try:
        return folder.events_file.stat().st_mtime
    except OSError:
        return time.time()


class _Rows:
    """A few rows of a run's metrics, by pread: a run of a million steps is no slower than a short one.

    The files stay open until it is closed.
    """

    def __init__(self, run: Path, layout: Layout | None, members: Sequence[int] | None = None) -> None:
        """members: those that count; all if None."""
        self._layout, self._members = layout, members
        self._files = generations(run)
        self._opened: dict[Path, int] = {}
        self.count = 0 if layout is None else steps_in(self._files, layout)

    def has(self, column: str) -> bool:
        return self._layout is not None and column in self._layout.columns

    def close(self) -> None:
        for opened in self._opened.values():
            os.close(opened)
        self._opened.clear()

    def at(self, column: str, step: int) -> float | None:
        """The value of one step, the first member's."""
        values = self._window(column, step, 1)
        return values[0] if values else None

    def near(self, column: str, step: int, rows: int = _NEAR) -> float | None:
        """The mean of the members over the rows up to `step`."""
        return mean_of_finite(self._window(column, max(0, step - rows + 1), min(rows, step + 1)))

    def latest(self, column: str, rows: int) -> float | None:
        """The mean of all members over the last rows; NaN where the very last has no number."""
        last = self._window(column, self.count - 1, 1)
        return math.nan if last and not any(map(math.isfinite, last)) else self.near(column, self.count - 1, rows)

    def curve(self, column: str, points: int) -> tuple[float, ...]:
        """Means at up to `points` steps, evenly spread."""
        if not self.count:
            return ()
        steps = [round((i + 1) * self.count / points) - 1 for i in range(points)] if self.count > points else None
        means = (self.near(column, step) for step in (steps or range(self.count)))
        return tuple(mean for mean in means if mean is not None)

    def _window(self, column: str, first: int, rows: int) -> Sequence[float]:
        """The column's values from step `first` on, of the members. A loss that nobody gave is left out."""
        if self._layout is None or column not in self._layout.columns or first < 0:
            return ()
        values: list[float] = []
        end = min(first + rows, self.count)
        while first < end:
            here = max((at for at, (_, start, _) in enumerate(self._files) if start <= first), default=None)
            if here is None:  # a disk has lost the first rows
                return ()
            until = min(end, *(start for _, start, _ in self._files[here + 1 :]), end)  # later files void its rest
            values += self._values(self._layout, column, here, first, until)
            first = until
        return values

    def _values(self, layout: Layout, column: str, which: int, first: int, until: int) -> list[float]:
        """The values of one file, from step `first` to before `until`."""
        _, start, file = self._files[which]
        width, index = len(layout.columns), layout.columns.index(column)
        row = layout.row_bytes
        opened = self._opened.get(file)
        if opened is None:
            opened = self._opened[file] = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        data = os.pread(opened, (until - first) * row, (first - start) * row)
        whole = len(data) // row * row
        offsets: Iterable[int] = range(4 * index, whole, 4 * width)
        if self._members is not None:
            offsets = [at + 4 * width * m + 4 * index for at in range(0, whole, row) for m in self._members]
        return [struct.unpack_from("<f", data, at)[0] for at in offsets if data[at : at + 4] != _NOT_GIVEN]


def _mean(together: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return mean_of_finite(values.get(name) for values in together)


def _scalars(run: Path) -> dict[str, float]:
    """Return the last value of each name that a loop gives."""
    if not (run / "scalars").is_dir():
        return {}
    from descent.run.scalars import latest  # with NumPy, which the first frame does not wait for

    return {clean(name): each.value for name, each in latest(run, _LOOK_BACK).items()}


class Watch:
    """Calls `seen` from its thread with all glances, the latest start first, whenever they differ."""

    def __init__(self, runs_dir: Path | None, seen: Callable[[tuple[RunStatus, ...]], object]) -> None:
        self._runs_dir, self._seen = runs_dir, seen
        self._glances = Glances()
        self._last: tuple[RunStatus, ...] | None = None
        self._all = True
        self._due = 0.0  # when all are looked at again, on the monotonic clock
        self._took = 0.0  # seconds of the last look at live runs
        self._changed: tuple[int, ...] = ()  # what the lists of runs were at the last look at all
        self._wake = threading.Event()
        self._over = False
        # A daemon: a folder on a dead network drive must not keep the app from ending.
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look_at_all(self, wanted: bool) -> None:
        """Set whether the whole list is shown; else only those that were live are looked at."""
        self._all = wanted
        if wanted:
            self.look_now()

    def look_now(self) -> None:
        self._due = 0.0
        self._wake.set()

    def end(self) -> None:
        self._over = True
        self._wake.set()

    def _run(self) -> None:
        while not self._over:
            begin = time.monotonic()
            with contextlib.suppress(OSError):  # the next look may fare better
                is_all = self._look()
                self._took = 0.0 if is_all else time.monotonic() - begin
            self._wake.wait(max(EVERY if self._all else RARELY, _LIVE_SHARE * self._took))
            self._wake.clear()

    def _look(self) -> bool:
        """Look at the runs, and return whether at all of them."""
        begin, folder = time.monotonic(), runs_dir(self._runs_dir)
        changed = find.changed_at(folder)
        is_due = self._all and (begin >= self._due or changed != self._changed)
        if not is_due and self._last is not None:
            self._show(tuple(self._glances.of(g.folder.path) if g.alive else g for g in self._last))
            return False
        self._changed = changed
        paths = find.known_runs(folder)
        found: list[RunStatus] = []
        for path in paths:
            found.append(self._glances.of(path))
            if self._last is None and len(found) == _AT_ONCE < len(paths):
                self._seen(tuple(found))
        if self._last is not None:
            self._glances.forget({g.folder.path for g in self._last} - set(paths))
        now = time.monotonic()
        self._due = now + _SHARE * (now - begin)
        self._show(tuple(found))
        return True

    def _show(self, found: tuple[RunStatus, ...]) -> None:
        if self._over or found == self._last:
            return
        self._last = found
        self._seen(found)
