"""An array that grows at its end, and may forget its beginning."""

import numpy as np

from descent.common.arrays import Singles


class GrowingArray:
    """An array of float32, (n,) or (rows, n), that grows along n. Its room doubles: a value is moved twice at most.

    kept: how many of its end it keeps at least; None for all of them.
    """

    def __init__(self, kept: int | None, rows: int | None = None) -> None:
        self.length = 0  # with what was forgotten
        self._kept = kept
        self._shape = () if rows is None else (rows,)
        self._room = 0, self._empty(256)  # the place of its first value, and the values

    def _empty(self, size: int) -> Singles:
        return np.empty((*self._shape, size), np.float32)

    @property
    def first(self) -> int:
        """The place of the first value that is still there."""
        return self._room[0]

    def held(self) -> tuple[int, Singles]:
        """`first`, and the values from there on, not to be written to. For any thread: neither is changed later."""
        length = self.length  # before the room, which may be another by now, but holds all that this counts
        first, values = self._room
        return first, values[..., : max(0, length - first)]

    def since(self, place: int) -> Singles:
        """The values from a place on that is still there. Not to be written to."""
        first, values = self._room
        return values[..., place - first : self.length - first]

    def room(self, count: int) -> Singles:
        """`count` places behind the end, to be written to; `length` says how much of it counts."""
        first, values = self._room
        size, used = values.shape[-1], self.length - first
        if used + count > size:
            size *= 2
            if self._kept is not None:
                size, used = min(size, 2 * self._kept), min(used, self._kept)
            larger = self._empty(max(size, (used + count) * 9 // 8))
            larger[..., :used] = self.since(self.length - used)
            self._room = self.length - used, larger
        return self._room[1][..., used : used + count]

    def append(self, values: Singles) -> None:
        self.room(values.shape[-1])[:] = values
        self.length += values.shape[-1]

    def truncate(self, length: int) -> None:
        self.length = min(self.length, length)
        if length < self.first:
            self._room = length, self._empty(256)
