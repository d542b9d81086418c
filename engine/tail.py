"""The last number of a series, for those who want no more: it takes no memory, and of the past only a short look."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOOK_BACK = 4 << 20  # bytes of rows in which the last number is looked for: of one model some 20,000 steps


class Tail:
    """latest: the last value that is not NaN; None where there is none among those that it was given."""

    def __init__(self) -> None:
        self.latest: float | None = None

    def append(self, values: "NDArray[np.float32]") -> None:
        """values: (n,), the next n steps."""
        measured = values[values == values]  # noqa: PLR0124 - a NaN is not equal to itself
        if len(measured):
            self.latest = float(measured[-1])
