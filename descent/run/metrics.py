"""The metrics of a run: the numbers that it comes to, and on disk one row of float32 for every step.

`metrics.json` names columns, members and layers. `metrics/G-S.f32` holds the rows of generation G, which begins
at step S: little-endian float32, [row, member, column]. A resume or a rewind opens a new generation; its rows
void the earlier ones from S on. Nothing is ever rewritten, so a reader can't be surprised.

What is valid of each file of rows, and reading it: a later generation voids the earlier ones from its start on.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from descent.common.files import write_atomically

Split = Literal["train", "validation", "test"]
MetricName = Literal["train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"]
Numbers = dict[MetricName, float | None]  # of one model, or means over several; None: measured, and not finite


@dataclass(frozen=True)
class Metric:
    """A number that a run comes to.

    title: in words, "validation accuracy". head: of a table's column, "val acc". split, column: what it is of. On the
    train split it is the mean of the last epoch's rows, on the others what the last evaluation said. best: which of
    several is. unit: as it is shown.
    """

    name: MetricName
    title: str
    head: str
    split: Split
    column: Literal["loss", "accuracy"]
    best: Literal["lowest", "highest"]
    unit: Literal["", "%"] = ""

    @property
    def is_share(self) -> bool:
        """Whether it is a number from 0 to 1, shown in percent."""
        return self.unit == "%"

    @property
    def narrow_head(self) -> str:
        """Of a table that has little room: "val" for the loss."""
        return self.head.removesuffix(" loss")


METRICS: dict[MetricName, Metric] = {
    metric.name: metric
    for metric in (
        Metric("train_loss", "training loss", "train loss", "train", "loss", "lowest"),
        Metric("train_accuracy", "training accuracy", "train acc", "train", "accuracy", "highest", "%"),
        Metric("val_loss", "validation loss", "val loss", "validation", "loss", "lowest"),
        Metric("val_accuracy", "validation accuracy", "val acc", "validation", "accuracy", "highest", "%"),
        Metric("test_loss", "test loss", "test loss", "test", "loss", "lowest"),
        Metric("test_accuracy", "test accuracy", "test acc", "test", "accuracy", "highest", "%"),
    )
}
# What a run's result says. The accuracy over its last epoch is read for the jobs of a study alone.
OF_RESULTS: tuple[MetricName, ...] = tuple(name for name in METRICS if name != "train_accuracy")


def metric_named(name: str) -> Metric | None:
    """None where there is none of that name."""
    return next((metric for metric in METRICS.values() if metric.name == name), None)


def loss_and_accuracy(numbers: Mapping[MetricName, float | None], split: Split) -> tuple[float | None, float | None]:
    """What the numbers say of a split; None each where they do not."""
    found = {metric.column: numbers.get(name) for name, metric in METRICS.items() if metric.split == split}
    return found["loss"], found["accuracy"]


CHUNK = 1 << 20  # bytes read at once: they are still in the cache when the columns are taken out of them


@dataclass(frozen=True)
class Segment:
    """Rows of one file. first: the step of its first row. end: from which others have voided it; None: it grows."""

    path: Path
    first: int
    end: int | None = None

    def until(self, step: int) -> "Segment":
        """The same, without what lies behind a step."""
        return replace(self, end=step if self.end is None else min(self.end, step))

    def there(self, width: int) -> int:
        """The step behind the last valid row of `width` numbers; the first one where the file is gone."""
        try:
            whole = self.path.stat().st_size // (4 * width)
        except OSError:
            return self.first
        return self.first + whole if self.end is None else min(self.end, self.first + whole)

    def rows(self, first: int, last: int, width: int) -> Iterator[NDArray[np.float32]]:
        """(n, width) at a time, all rows from step `first` to before `last` that can be read.

        Each is overwritten by the next: one buffer is in the cache when the next rows come, and a new one is not.
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
                        file.seek(-(read % (width * 4)), os.SEEK_CUR)  # the rest of the row comes with the next look
                    yield np.frombuffer(room, "<f4", whole * width).reshape(whole, width)
                    first += whole
        except OSError:
            return  # somebody deletes the run just now, or its disk has gone


def valid(files: Iterable[tuple[int, int, Path]]) -> tuple[Segment, ...]:
    """files: as metrics.generations lists them. Ascending by step."""
    segments: tuple[Segment, ...] = ()
    for _, first, path in files:
        segments = (*(each.until(first) for each in segments if each.first < first), Segment(path, first))
    return segments


LAYER_STATISTICS = ("grad_norm", "weight_norm", "update_ratio", "zero_grads", "dead", "non_finite")
_PIECE = 1 << 23  # bytes of rows that are read at once
PARAMETER = "parameter."  # begins the columns of a small model's trained numbers


@dataclass(frozen=True)
class Layout:
    """What the numbers of a row mean.

    columns: names, in the order of a row; `parameter.NAME` of a small model's trained numbers are those after the
    update. members: one dict each, with `member`, `seed` and `values`.
    layers: one dict each, with `name` and `kind` ("linear 784 × 128").
    """

    columns: tuple[str, ...]
    members: tuple[dict[str, Any], ...]
    layers: tuple[dict[str, str], ...]

    @classmethod
    def of(
        cls,
        *,
        accuracy: bool,
        members: tuple[dict[str, Any], ...],
        layers: tuple[dict[str, str], ...],
        parameters: tuple[str, ...] = (),
    ) -> "Layout":
        """`accuracy` says whether there are classes to be right about. parameters: names of trained numbers."""
        columns = ["loss", *(["accuracy"] if accuracy else []), "lr", "time", "grad_norm", "clipped_norm"]
        columns += [f"layer.{layer['name']}.{statistic}" for layer in layers for statistic in LAYER_STATISTICS]
        columns += [PARAMETER + name for name in parameters]
        return cls(tuple(columns), members, layers)

    @property
    def row_bytes(self) -> int:
        return 4 * len(self.members) * len(self.columns)

    def save(self, run: Path) -> None:
        text = json.dumps({"columns": self.columns, "members": self.members, "layers": self.layers}, indent=1)
        write_atomically(run / "metrics.json", text.encode())

    @classmethod
    def load(cls, run: Path) -> "Layout | None":
        """None for a run that has not got so far."""
        try:
            stored = json.loads((run / "metrics.json").read_text())
        except FileNotFoundError:
            return None
        return cls(tuple(stored["columns"]), tuple(stored["members"]), tuple(stored["layers"]))


def generations(run: Path) -> list[tuple[int, int, Path]]:
    """(generation, first step, file) of each file of rows, oldest first."""
    found = []
    for file in (run / "metrics").glob("*-*.f32"):
        generation, _, start = file.stem.partition("-")
        if generation.isdigit() and start.isdigit():
            found.append((int(generation), int(start), file))
    return sorted(found)


def steps_in(files: Sequence[tuple[int, int, Path]], layout: Layout) -> int:
    """Steps that have a row. files: as `generations` lists them."""
    if not files:
        return 0
    _, start, file = files[-1]  # the last one has voided all others from its first step on
    return start + file.stat().st_size // layout.row_bytes


class MetricsWriter:
    """Appends rows to a new generation that begins at step `start`."""

    def __init__(self, run: Path, start: int) -> None:
        folder = run / "metrics"
        folder.mkdir(exist_ok=True)
        generation = max((number for number, _, _ in generations(run)), default=-1) + 1
        self.generation = generation
        self.path = folder / f"{generation}-{start}.f32"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._error: OSError | None = None

    def append(self, rows: "NDArray[np.float32]") -> None:
        """rows: (n, M, columns) float32. OSError where the disk is full; a torn row is dropped by readers."""
        if self._error is not None:
            raise self._error  # rows behind a torn one would be read as others than they are
        data = memoryview(rows.astype("<f4", copy=False).tobytes())
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            self._error = error
            raise

    def sync(self) -> None:
        """Return when the rows are on the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


class Metrics:
    """The numbers of every step of a run, as they are now. run: the run's folder.

    Row i belongs to update i and is measured on its batch before the update. `layout.columns` names the columns:
    `loss`, `accuracy` (0 to 1), `lr`, `time` (seconds of training so far), `grad_norm`, `layer.NAME.STATISTIC` …
    What a step did not measure is NaN. A run has one member, unless it trains several models together.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.layout = Layout.load(run)

    def __len__(self) -> int:
        """Steps that have a row."""
        return 0 if self.layout is None else steps_in(generations(self.run), self.layout)

    def rows(self, first: int = 0, last: int | None = None) -> "NDArray[np.float32]":
        """(steps - first, M, columns) float32: row i is update first + i, from the last generation that has it.

        last: the step before which to end, of those there are.
        """
        import numpy as np

        if self.layout is None:
            return np.empty((0, 1, 0), np.float32)
        shape = (len(self.layout.members), len(self.layout.columns))
        pieces: list[NDArray[np.float32]] = []
        end = None if last is None else min(last, len(self))  # the first step that a later generation has voided
        for _, start, file in reversed(generations(self.run)):
            begin = max(start, first)
            if end is not None and begin >= end:
                continue
            rows = self._read(file, begin - start, None if end is None else end - begin).reshape(-1, *shape)
            if end is not None and len(rows) < end - begin:  # never by our own hand: rows are synced first
                lost = np.full((end - begin - len(rows), *shape), np.nan, np.float32)
                rows = np.concatenate([rows, lost])
            pieces.append(rows)
            end = begin
        if not pieces:
            return np.empty((0, *shape), np.float32)
        return np.concatenate(pieces[::-1])

    def _read(self, file: Path, skipped: int, count: int | None) -> "NDArray[np.float32]":
        """The whole rows of a file, flat, without its first ones; `count` of them at most."""
        import numpy as np

        assert self.layout is not None
        row_bytes = self.layout.row_bytes
        with file.open("rb") as opened:
            opened.seek(skipped * row_bytes)
            data = opened.read(-1 if count is None else count * row_bytes)
        return np.frombuffer(data[: len(data) // row_bytes * row_bytes], "<f4")

    def pieces(self, first: int = 0, last: int | None = None) -> "Iterator[NDArray[np.float32]]":
        """The same rows a few megabytes at a time: all of a long run's would not fit into memory."""
        if self.layout is None:
            return
        at_once = max(1, _PIECE // self.layout.row_bytes)
        last = len(self) if last is None else min(last, len(self))
        for begin in range(first, last, at_once):
            yield self.rows(begin, min(begin + at_once, last))

    def columns(self, names: Sequence[str], member: int = 0) -> "NDArray[np.float32]":
        """(steps, names) float32 of one member. KeyError where the run has no such column."""
        import numpy as np

        known = self.layout.columns if self.layout is not None else ()
        missing = [name for name in names if name not in known]
        if missing:
            raise KeyError(missing[0])
        places = [known.index(name) for name in names]
        taken = [rows[:, member, places] for rows in self.pieces()]  # copies: a view would keep the whole rows
        return np.concatenate(taken) if taken else np.empty((0, len(names)), np.float32)

    def column(self, name: str, member: int = 0) -> "NDArray[np.float32]":
        """(steps,) float32 of one column; empty where the run has no such column."""
        import numpy as np

        if self.layout is None or name not in self.layout.columns:
            return np.empty(0, np.float32)
        return self.columns([name], member)[:, 0]
