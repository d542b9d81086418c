"""What is valid of each file of rows, and reading it: a later generation voids the earlier ones from its start on."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
