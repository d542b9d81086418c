"""Named scalars of a run: numbers that a loop gives by name, beside its rows, at the steps at which it gives them.

`scalars/names.jsonl` has a line for each name with its index. `scalars/G.bin` holds what was given while the rows of
generation G were written: records of 16 bytes, little-endian, of step, index and value, ascending by step. A later
generation of rows, which begins at step S, voids the records from S on, as it does with rows. Nothing is rewritten,
and a crash costs the last record at most.
"""

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from descent.common.arrays import Singles
from descent.common.errors import DescentError
from descent.common.files import AppendingWriter, JsonLines, JsonLinesReader
from descent.common.i18n import _
from descent.common.text import clean, shorten
from descent.run.layout import generations
from descent.run.series import MinMaxPyramid

FOLDER, NAMES = "scalars", "names.jsonl"
MOST_NAMES = 200
LONGEST_NAME = 60
RECORD = np.dtype([("step", "<u8"), ("name", "<u4"), ("value", "<f4")])
AT_ONCE = 1 << 16  # records, or steps of a series, worked on at once
LOOK_BACK = 1 << 22  # records in which the last value of a name is looked for

Records = NDArray[np.void]
Files = Sequence[tuple[int, int, Path]]  # of rows, as layout.generations lists them


class Series(NamedTuple):
    """The values of one name, (n,) float32, and their steps, (n,) int64, ascending."""

    steps: NDArray[np.int64]
    values: Singles


class Latest(NamedTuple):
    """The last value of a name."""

    step: int
    value: float


class _Part(NamedTuple):
    """The records of one generation. end: the step from which another one voids them, or None."""

    path: Path
    end: int | None


def check_name(name: object) -> str:
    """Return a name that scalars, metrics and samples may have. Raises DescentError for any other."""
    if isinstance(name, str) and name and name == name.strip() and name.isprintable() and len(name) <= LONGEST_NAME:
        return name
    raise DescentError(
        _(
            "the name {given}: must be a text of 1 to {most} printable characters, without blanks at its ends",
            given=shorten(clean(repr(name)), 80),
            most=LONGEST_NAME,
        )
    )


# --- writing ---


class Names:
    """The names of a run's scalars, each with its index. For the process that writes them."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._known: dict[str, int] | None = None
        self._lines: JsonLines | None = None

    def index(self, name: object) -> int:
        """Return the index of a name, and note it if it is new.

        Raises DescentError if it can't be a name, or if there are too many.
        """
        if self._known is None:
            self._known = {known: at for at, known in read_names(JsonLinesReader(self._run / FOLDER / NAMES)).items()}
        if name in self._known:
            return self._known[str(name)]
        new = check_name(name)
        if len(self._known) >= MOST_NAMES:
            raise DescentError(
                _(
                    "run.log: {name} would be the name number {count}; a run can have {most}. Log what changes from "
                    "step to step as a value, not as a part of a name",
                    name=new,
                    count=MOST_NAMES + 1,
                    most=MOST_NAMES,
                )
            )
        if self._lines is None:
            (self._run / FOLDER).mkdir(exist_ok=True)
            self._lines = JsonLines(self._run / FOLDER / NAMES)
        index = max(self._known.values(), default=-1) + 1
        self._lines.append({"index": index, "name": new})
        self._known[new] = index
        return index

    def sync(self) -> None:
        """Wait until the names are on the disk."""
        if self._lines is not None:
            self._lines.sync()

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None


class ScalarWriter:
    """The records of one generation. Its file is made with the first of them."""

    def __init__(self, run: Path, generation: int) -> None:
        self._path = run / FOLDER / f"{generation}.bin"
        self._file: AppendingWriter | None = None

    def append(self, records: Records) -> None:
        """Append records, ascending by step. Raises OSError if the disk is full."""
        if self._file is None:
            self._path.parent.mkdir(exist_ok=True)
            self._file = AppendingWriter(self._path)
        self._file.write(records.tobytes())

    def sync(self) -> None:
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


# --- reading ---


def read_names(lines: JsonLinesReader) -> dict[int, str]:
    """Return the names of the lines that are new, by their index. Lines of another shape are left out."""
    entries = [(entry.get("index"), entry.get("name")) for entry in lines.read()]
    return {index: name for index, name in entries if type(index) is int and type(name) is str}


def read(run: Path) -> dict[str, Series]:
    """Return all scalars of the run in the folder `run`, by name."""
    names = read_names(JsonLinesReader(run / FOLDER / NAMES))
    pieces = [piece for part in _parts(run, generations(run)) for piece in _valid(part, 0, _size(part.path))]
    records = np.concatenate(pieces) if pieces else np.empty(0, RECORD)
    found: dict[str, Series] = {}
    for index, name in names.items():
        own = records[records["name"] == index]
        if len(own):
            found[name] = Series(own["step"].astype(np.int64), own["value"].astype(np.float32))
    return found


def copy(run: Path, folder: Path, step: int) -> None:
    """Write the scalars before a step into the folder of a fork, whose rows of these steps are generation 0."""
    found = {name: series for name, series in read(run).items() if len(series.steps) and series.steps[0] < step}
    if not found:
        return
    names, writer = Names(folder), ScalarWriter(folder, 0)
    pieces = []
    for name, series in found.items():
        piece = np.empty(len(series.steps), RECORD)
        piece["step"], piece["name"], piece["value"] = series.steps, names.index(name), series.values
        pieces.append(piece[series.steps < step])
    records = np.concatenate(pieces)
    writer.append(records[np.argsort(records["step"], kind="stable")])
    for each in (names, writer):
        each.sync()
        each.close()


def latest(run: Path, look_back: int = LOOK_BACK) -> dict[str, Latest]:
    """Return the last value of each name, in the order of the names.

    One that was given last long ago, before `look_back` later records, is left out.
    """
    names = read_names(JsonLinesReader(run / FOLDER / NAMES))
    found: dict[str, Latest] = {}
    left = look_back
    for part in reversed(_parts(run, generations(run))) if names else ():
        end = _size(part.path)
        while end > 0 and left > 0 and len(found) < len(names):
            begin = max(0, end - min(AT_ONCE, left))
            for records in reversed(list(_valid(part, begin, end))):
                for index in np.unique(records["name"]).tolist():
                    if index in names and names[index] not in found:
                        last = records[np.flatnonzero(records["name"] == index)[-1]]
                        found[names[index]] = Latest(int(last["step"]), float(last["value"]))
            left, end = left - (end - begin), begin
    return {name: found[name] for name in names.values() if name in found}


def _parts(run: Path, files: Files) -> list[_Part]:
    """Return the files of records that there are, oldest first, each with the step from which it is void."""
    found: list[_Part] = []
    end: int | None = None
    for generation, start, _path in reversed(files):
        path = run / FOLDER / f"{generation}.bin"
        if path.is_file():
            found.append(_Part(path, end))
        end = start if end is None else min(end, start)
    return found[::-1]


def _size(path: Path) -> int:
    """Return the number of whole records."""
    try:
        return path.stat().st_size // RECORD.itemsize
    except OSError:
        return 0


def _valid(part: _Part, first: int, last: int) -> Iterator[Records]:
    """Yield the valid ones of records `first` to before `last`, AT_ONCE at a time, as far as they can be read."""
    try:
        with part.path.open("rb", buffering=0) as file:
            for begin in range(first, last, AT_ONCE):
                wanted = min(AT_ONCE, last - begin) * RECORD.itemsize
                data = os.pread(file.fileno(), wanted, begin * RECORD.itemsize)
                records = np.frombuffer(data[: len(data) // RECORD.itemsize * RECORD.itemsize], RECORD)
                yield records if part.end is None else records[records["step"] < part.end]
                if len(data) < wanted:
                    return
    except OSError:
        return  # somebody deletes the run just now


def _place(part: _Part, step: int) -> int:
    """Return the number of records before a step. They ascend, so few are looked at."""
    low, high = 0, _size(part.path)
    try:
        with part.path.open("rb", buffering=0) as file:
            while low < high:
                middle = (low + high) // 2
                data = os.pread(file.fileno(), RECORD.itemsize, middle * RECORD.itemsize)
                if len(data) == RECORD.itemsize and np.frombuffer(data, RECORD)["step"][0] < step:
                    low = middle + 1
                else:
                    high = middle
    except OSError:
        return 0
    return low


class ScalarFollower:
    """The scalars of a run as it grows. Only the names that were asked for take memory.

    names: by index, those that were ever given.
    """

    def __init__(self, run: Path) -> None:
        self.names: dict[int, str] = {}
        self._run = run
        self._lines = JsonLinesReader(run / FOLDER / NAMES)
        self._parts: list[_Part] = []
        self._read: dict[Path, int] = {}  # records of each file that were taken up
        self._series: dict[str, MinMaxPyramid] = {}

    def look(self, files: Files) -> bool:
        """Read what is new. files: of the rows. Returns whether anything is."""
        new = read_names(self._lines)
        self.names |= new
        if not self.names:
            return False
        self._parts = _parts(self._run, files)
        grown = bool(new)
        for part in self._parts:
            first, last = self._read.get(part.path, 0), _size(part.path)
            if last > first:
                grown = True
                self._take(part, first, last, self._series)
                self._read[part.path] = last
        return grown

    def truncate(self, step: int) -> None:
        """Forget all from a step on: a rewind has voided it."""
        for series in self._series.values():
            series.truncate(step)

    def series(self, name: str) -> MinMaxPyramid:
        """Return one number a step, NaN where none was given, up to the last that was. It is kept up to date."""
        if name not in self._series and name in self.names.values():
            new = {name: MinMaxPyramid(functools.partial(self._again, name))}
            for part in self._parts:
                self._take(part, 0, self._read.get(part.path, 0), new)
            self._series |= new
        return self._series.get(name, MinMaxPyramid())

    def latest(self, name: str) -> float | None:
        return self.series(name).latest()

    def _take(self, part: _Part, first: int, last: int, series: dict[str, MinMaxPyramid]) -> None:
        """Append records `first` to before `last` to those of the series that they are of."""
        if not series:
            return
        for records in _valid(part, first, last):
            for index, name in self.names.items():
                if name in series:
                    own = records[records["name"] == index]
                    _extend(series[name], own["step"].astype(np.int64), own["value"])

    def _again(self, name: str, first: int, last: int) -> Singles:
        """Return the values from a step to before another from the disk."""
        values = np.full(last - first, np.nan, np.float32)
        index = next((at for at, known in self.names.items() if known == name), -1)
        for part in self._parts:
            for records in _valid(part, _place(part, first), _place(part, last)):
                own = records[records["name"] == index]
                values[own["step"].astype(np.int64) - first] = own["value"]
        return values


def _extend(series: MinMaxPyramid, steps: NDArray[np.int64], values: Singles) -> None:
    """Append values at ascending steps to a series of one number a step. Between them nothing is measured."""
    there = steps >= len(series)
    steps, values = steps[there], values[there]
    while len(steps):
        begin = len(series)
        end = min(begin + AT_ONCE, int(steps[-1]) + 1)
        now = int(np.searchsorted(steps, end))
        room = series.room(end - begin)
        room[:] = np.nan
        room[steps[:now] - begin] = values[:now]
        series.filled(end - begin)
        steps, values = steps[now:], values[now:]
