"""The last number of a series, for those who want no more: it takes no memory, and of the past only a short look."""

import numpy as np
from numpy.typing import NDArray

LOOK_BACK = 4 << 20  # bytes of rows in which the last number is looked for: of one model some 20,000 steps


class Tail:
    """latest: the last value that is not NaN; None where there is none among those that it was given."""

    def __init__(self) -> None:
        self.latest: float | None = None
        self._room = np.empty(0, np.float32)

    def room(self, count: int) -> NDArray[np.float32]:
        """(count,) for the next steps, to be written to."""
        self._room = np.empty(count, np.float32)
        return self._room

    def filled(self, count: int) -> None:
        """The first `count` of the room last given are values now; it is given up."""
        measured = np.flatnonzero(~np.isnan(self._room[:count]))
        if len(measured):
            self.latest = float(self._room[measured[-1]])
        self._room = np.empty(0, np.float32)
