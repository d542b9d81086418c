"""The metrics of a run on disk: one row of float32 for every step.

`metrics.json` names columns, members and layers. `metrics/G-S.f32` holds the rows of generation G, which begins
at step S: little-endian float32, [row, member, column]. A resume or a rewind opens a new generation; its rows
void the earlier ones from S on. Nothing is ever rewritten, so a reader always finds consistent rows.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from descent.common.arrays import Rows
from descent.common.errors import DescentError
from descent.common.files import AppendingWriter
from descent.common.i18n import _
from descent.common.text import did_you_mean
from descent.run.layout import Layout, generations, steps_in

CHUNK = 1 << 20  # bytes read at once, few enough to stay in the cache while the columns are taken out
_PIECE = 1 << 23  # bytes of rows that are read at once


@dataclass(frozen=True)
class Segment:
    """Rows of one file. first: the step of its first row. end: the step from which another file voids it, or None."""

    path: Path
    first: int
    end: int | None = None

    def until(self, step: int) -> "Segment":
        """Return the same segment without the rows from a step on."""
        return replace(self, end=step if self.end is None else min(self.end, step))

    def there(self, width: int) -> int:
        """Return the step behind the last valid row of `width` numbers. A file that is gone has none."""
        try:
            whole = self.path.stat().st_size // (4 * width)
        except OSError:
            return self.first
        return self.first + whole if self.end is None else min(self.end, self.first + whole)

    def rows(self, first: int, last: int, width: int) -> Iterator[Rows]:
        """Yield rows, (n, width) at a time, from step `first` to before `last`, as far as they can be read.

        Each array is overwritten by the next one: a reused buffer stays in the cache.
        """
        at_once = min(max(1, CHUNK // (4 * width)), max(0, last - first))
        room = bytearray(at_once * width * 4)
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek((first - self.first) * width * 4)
                while first < last:
                    wanted = min(at_once, last - first) * width * 4
                    read = file.readinto(memoryview(room)[:wanted])
                    whole = read // (width * 4)
                    if not whole:
                        return
                    if read % (width * 4):
                        file.seek(-(read % (width * 4)), os.SEEK_CUR)  # the rest of the row is read next time
                    yield np.frombuffer(room, "<f4", whole * width).reshape(whole, width)
                    first += whole
        except OSError:
            return  # somebody deletes the run just now, or its disk is gone


def valid(files: Iterable[tuple[int, int, Path]]) -> tuple[Segment, ...]:
    """Return the valid segments, ascending by step. files: as `generations` lists them."""
    segments: tuple[Segment, ...] = ()
    for _generation, first, path in files:
        segments = (*(each.until(first) for each in segments if each.first < first), Segment(path, first))
    return segments


class MetricsWriter(AppendingWriter):
    """A new generation of rows that begins at step `start`."""

    def __init__(self, run: Path, start: int) -> None:
        folder = run / "metrics"
        folder.mkdir(exist_ok=True)
        self.generation = max((each[0] for each in generations(run)), default=-1) + 1
        self.path = folder / f"{self.generation}-{start}.f32"
        super().__init__(self.path)

    def append(self, rows: Rows) -> None:
        """Append rows, (n, M, columns) float32. Raises OSError as write does."""
        self.write(rows.astype("<f4", copy=False).tobytes())


class Metrics:
    """The numbers of every step of a run so far. run: the run's folder.

    Row i belongs to update i and is measured on its batch before the update. `layout.columns` names the columns:
    `loss`, `accuracy` (0 to 1), `lr`, `time` (seconds of training so far), `grad_norm`, `layer.NAME.STATISTIC` …
    What a step did not measure is NaN. A run has one member unless it trains several models together.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.layout = Layout.load(run)

    def __len__(self) -> int:
        """Return the number of steps that have a row."""
        return 0 if self.layout is None else steps_in(generations(self.run), self.layout)

    def rows(self, first: int = 0, last: int | None = None) -> Rows:
        """Return (steps - first, M, columns) float32. Row i is update first + i, from its last generation.

        last: the step before which to end.
        """
        if self.layout is None:
            return np.empty((0, 1, 0), np.float32)
        files = generations(self.run)
        return self._rows(files, first, None if last is None else min(last, steps_in(files, self.layout)))

    def _rows(self, files: Sequence[tuple[int, int, Path]], first: int, end: int | None) -> Rows:
        """Return `rows` of the files that `generations` lists. end: None for all that are there when it is read."""
        assert self.layout is not None
        shape = (len(self.layout.members), len(self.layout.columns))
        pieces: list[Rows] = []
        for _generation, start, file in reversed(files):
            begin = max(start, first)
            if end is not None and begin >= end:
                continue
            rows = self._read(file, begin - start, None if end is None else end - begin).reshape(-1, *shape)
            if end is not None and len(rows) < end - begin:  # only after a disk failure: rows are synced first
                lost = np.full((end - begin - len(rows), *shape), np.nan, np.float32)
                rows = np.concatenate([rows, lost])
            pieces.append(rows)
            end = begin  # it has voided the earlier generations from here on
        if not pieces:
            return np.empty((0, *shape), np.float32)
        return np.concatenate(pieces[::-1])

    def _read(self, file: Path, skipped: int, count: int | None) -> Rows:
        """Return the whole rows of a file, flat, without the first `skipped` and at most `count` of them."""
        assert self.layout is not None
        row_bytes = self.layout.row_bytes
        with file.open("rb") as opened:
            opened.seek(skipped * row_bytes)
            data = opened.read(-1 if count is None else count * row_bytes)
        return np.frombuffer(data[: len(data) // row_bytes * row_bytes], "<f4")

    def pieces(self, first: int = 0, last: int | None = None) -> Iterator[Rows]:
        """Yield the same rows a few megabytes at a time: those of a long run do not fit into memory."""
        if self.layout is None:
            return
        at_once = max(1, _PIECE // self.layout.row_bytes)
        files = generations(self.run)
        there = steps_in(files, self.layout)
        last = there if last is None else min(last, there)
        for begin in range(first, last, at_once):
            yield self._rows(files, begin, min(begin + at_once, last))

    def columns(self, names: Sequence[str], member: int = 0) -> Rows:
        """Return (steps, names) float32 of one member. Raises KeyError if the run has no such column."""
        known = self.layout.columns if self.layout is not None else ()
        missing = [name for name in names if name not in known]
        if missing:
            raise KeyError(missing[0])
        places = [known.index(name) for name in names]
        # Copies, because a view would keep the whole rows in memory.
        taken = [rows[:, member, places] for rows in self.pieces()]
        return np.concatenate(taken) if taken else np.empty((0, len(names)), np.float32)

    def column(self, name: str, member: int = 0) -> Rows:
        """Return (steps,) float32 of one column, empty before the first step.

        A number of evaluations, such as `val_loss`, or one that a loop gave by name is read as to_polars() has it, in
        float64. Raises DescentError if the run has no number of this name.
        """
        if self.layout is None:
            return np.empty(0, np.float32)
        if name in self.layout.columns:
            return self.columns([name], member)[:, 0]
        table = self._table()
        if name not in table:
            raise DescentError(
                _(
                    "{run} has no number {name!r}; it has: {names}",
                    run=self.run.name,
                    name=name,
                    names=", ".join(table),
                )
                + did_you_mean(name, table)
            )
        found: Rows = table[name][table["member"] == member]
        return found

    def __repr__(self) -> str:
        columns = self.layout.columns if self.layout is not None else ()
        return f"<descent.Metrics {self.run.name}: {len(self)} × ({', '.join(columns)}); .to_pandas(), .to_polars()>"

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row for each step and member, and a column for each number.

        `step` and `member` are columns. So are evaluations: `val_loss`, `val_accuracy` (0 to 1), `test_loss` … NaN is
        what was not measured. Raises DescentError if pandas is not installed.
        """
        from descent.run import frame

        return frame.to_pandas(self._table())

    def to_polars(self) -> Any:
        """Return the same as a polars.DataFrame, in which what was not measured is null."""
        from descent.run import frame

        return frame.to_polars(self._table())

    def _table(self) -> dict[str, Any]:
        from descent.run import frame

        return frame.columns_of(self.run, self.layout, self.rows()) if self.layout is not None else {}
