"""The number in a row for a loss that a script has not given, which is no NaN of its training."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOT_GIVEN = 0x7FC0_DE5C  # the bits of a float32: a NaN, but none that a computation comes to


def is_given(values: "NDArray[np.float32]") -> "NDArray[np.bool_]":
    """Return for each of these losses whether somebody gave it, NaN or not."""
    import numpy as np  # Home's first frame knows NOT_GIVEN alone

    given: NDArray[np.bool_] = values.view(np.uint32) != NOT_GIVEN
    return given
