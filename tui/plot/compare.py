"""Several runs in one chart, read in a thread as they grow."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np

from descent.common.i18n import N_, _
from descent.run.comparison import LETTERS, Comparison, Side, beside, side
from descent.run.events import EventIndex
from descent.run.folder import RunFolder
from descent.run.follower import Follower
from descent.run.state import ALIVE
from tui.data.candidates import ranked
from tui.plot import curves
from tui.plot.chart_data import NOTHING, ChartData, Line, Mark
from tui.plot.sampling import XMode, scale

FASTEST = 4.0  # looks a second: eight runs cost more than one, and nobody steers by this screen
TABLES_EVERY = 1.0  # seconds between two looks at the finals
PATIENCE = 0.02  # seconds that a chart waits for a look to end before it keeps what it has
LETTERED = 3  # times that a run's letter stands on its curve
Which = Literal["both", "train", "val"]
Zoom = tuple[float, float] | None
_NOTES: dict[Which, str] = {"both": N_("A train, a val"), "train": N_("train"), "val": N_("val")}


class Together:
    """Calls `seen` from its thread whenever a run has grown, with the comparison as it is now."""

    def __init__(self, folders: Sequence[RunFolder], fps: float, seen: Callable[[Comparison], object]) -> None:
        self.folders = tuple(folders)
        self.comparison: Comparison | None = None
        self._followers: tuple[Follower | None, ...] | None = None  # None for a run that can't be read
        self._indices: tuple[EventIndex, ...] = ()
        self._sides: dict[int, Side] = {}  # of each run, by its place
        self._interval = 1 / min(fps, FASTEST)
        self._seen = seen
        self._lock = threading.Lock()
        self._wanted, self._over = threading.Event(), threading.Event()
        self._wanted.set()
        # A daemon: a folder on a dead network drive must not keep the app from ending.
        self._thread = threading.Thread(target=self._run, name="together", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._wanted.set()

    def look(self, wanted: bool) -> None:
        """Return whether anybody sees what is read; a screen that is hidden reads nothing."""
        (self._wanted.set if wanted else self._wanted.clear)()

    @contextlib.contextmanager
    def looking(self) -> Iterator[tuple[Follower | None, ...] | None]:
        """The runs, held still; None where they are busy or not read yet: keep what is shown."""
        if self._followers is None or not self._lock.acquire(timeout=PATIENCE):
            yield None
            return
        try:
            yield self._followers
        finally:
            self._lock.release()

    def _run(self) -> None:
        told, stale = -math.inf, set[int]()
        while not self._over.is_set():
            self._wanted.wait()
            grown = self._look()
            stale |= grown
            has_news = bool(grown)
            if stale and time.monotonic() - told >= TABLES_EVERY:
                self._sides |= {place: self._side(place) for place in stale}
                self.comparison = beside([self._sides[place] for place in range(len(self.folders))])
                told, stale, has_news = time.monotonic(), set(), True
            if has_news and self.comparison is not None and not self._over.is_set():
                self._seen(self.comparison)
            self._over.wait(self._interval)

    def _look(self) -> set[int]:
        """The places of the runs that have grown; with them of those that can't be read, which may have changed."""
        with self._lock:
            if self._followers is None:
                self._followers = tuple(_follower(folder) for folder in self.folders)
                self._indices = tuple(EventIndex() for _ in self.folders)
                return set(range(len(self.folders)))
            grown = {place for place, each in enumerate(self._followers) if each is not None and _grown(each)}
            return grown | {place for place, each in enumerate(self._followers) if each is None and grown}

    def _side(self, place: int) -> Side:
        """What is compared of a run, of what its follower knows; all of its log once it has ended."""
        folder, index = self.folders[place], self._indices[place]
        follower = self._followers[place] if self._followers is not None else None
        if follower is None:
            return side(folder)
        try:
            index.take(follower.events, follower.events.voided)
            return side(folder, follower.state, index.kept if follower.state in ALIVE else follower.events[:])
        except (OSError, ValueError, KeyError):
            return side(folder)  # which says what is wrong with it


def _follower(folder: RunFolder) -> Follower | None:
    try:
        return Follower(folder)
    except (OSError, ValueError, KeyError):
        return None  # the table of finals says what is wrong with it


def _grown(follower: Follower) -> bool:
    try:
        return follower.look()
    except (OSError, ValueError, KeyError):
        return False  # its files are being deleted, perhaps


# --- curves ---


def overlaid(
    followers: Sequence[Follower | None], column: Literal["loss", "accuracy"], dots: int, zoom: Zoom,
    smoothing: float, x_mode: XMode, *, which: Which = "both", forks: Sequence[int | None] = (),
) -> ChartData:  # fmt: skip
    """Return one chart of all runs, each in its colour with its letter. Validation is dashed, with a small letter.

    which: whose lines. forks: the step at which each run was forked from another; None for a run that is no fork.
    """
    there = [(place, f) for place, f in enumerate(followers) if f is not None]
    ranges = {place: span for place, f in there if (span := curves.x_range(f, x_mode)) is not None}
    if not ranges:
        return NOTHING
    shown = zoom or (0.0, max(high for _, high in ranges.values()))
    draw = curves.loss_curve if column == "loss" else curves.accuracy_curve
    # Of a sweep its best candidate is compared, as in the results.
    who = {place: ranked(f)[0].members if f.points else None for place, f in there}
    data = {place: draw(f, dots, shown, smoothing, x_mode, who=who[place]) for place, f in there if place in ranges}
    lines = [  # those of training first: the legend has no room for all
        _of_run(line, place, len(followers), shown)
        for style in _wanted(which)
        for place, each in data.items()
        for line in each.lines
        if line.style == style
    ]
    marks = [
        Mark(float(scale(f, x_mode).at(np.array([step]))[0]), _("fork {run}", run=LETTERS[place]))
        for place, f in there
        if place < len(forks) and (step := forks[place]) is not None
    ]
    ends = {place: float(scale(f, x_mode).at(np.array([max(0, f.step - 1)]))[0]) for place, f in there}
    return ChartData(
        tuple(lines),
        tuple(marks),
        shown,
        next(iter(data.values())).x_unit,
        gaps=tuple(gap for each in data.values() for gap in each.gaps) if which != "val" else (),
        note=_(_NOTES[which]),
        most=100.0 if column == "accuracy" else math.inf,
        end=max(ends.values()),
        exact=_exact(data, ends, which),
    )


def _wanted(which: Which) -> tuple[str, ...]:
    return {"both": ("train", "validation"), "train": ("train",), "val": ("validation",)}[which]


def _name(place: int, style: str) -> str:
    return LETTERS[place] if style == "train" else LETTERS[place].lower()


def _of_run(line: Line, place: int, count: int, shown: tuple[float, float]) -> Line:
    """A line of one run's own chart as that of the run at `place`."""
    low, high = shown
    # The letters of different runs stand at different places, and those beyond a run's end at its end.
    shift = (place + (0.25 if line.style == "train" else 0.75)) / count
    name = _name(place, line.style)
    marked = tuple(low + (high - low) * (i + shift) / LETTERED for i in range(LETTERED))
    return Line(
        name, line.xs, line.low, line.high, f"run{place + 1}", name, line.latest, line.style == "validation", marked
    )


def _exact(
    data: dict[int, ChartData], ends: dict[int, float], which: Which
) -> Callable[[float], tuple[float, dict[str, float]]]:
    """Each run's values at the step of an x, as far as it has come."""

    def look_up(x: float) -> tuple[float, dict[str, float]]:
        at, values = x, dict[str, float]()
        for place, each in data.items():
            if each.exact is None or x > ends[place]:
                continue
            at, found = each.exact(x)
            for key, style in (("train", "train"), ("val", "validation")):
                if key in found and style in _wanted(which):
                    values[_name(place, style)] = found[key]
        return at, values

    return look_up
