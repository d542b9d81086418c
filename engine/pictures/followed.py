"""One sample through the training of a classifier: its probabilities at the steps of which pictures are kept."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine.pictures import kept
from engine.pictures.files import Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Course(NamedTuple):
    """What the model has said of a sample: steps (n,), ascending, and probabilities (n, classes)."""

    steps: "NDArray[np.int64]"
    probabilities: "NDArray[np.float32]"


def mistakes(run: Path, until: int | None = None) -> Picture | None:
    """Return the kept mistakes of the last step, or of the last one up to a step, if their samples are followed."""
    steps = [step for step in kept.steps(run) if until is None or step <= until]
    found = kept.latest(run, "mistakes", steps[-1]) if steps else None
    return found if found is not None and "followed" in found.arrays else None


def course_of(run: Path, split: str, index: int) -> Course:
    """Return the course of a sample of a split. Steps at which it was not among those that are kept are left out."""
    import numpy as np

    steps: list[int] = []
    rows = []
    for one in kept.all_of(run, "mistakes"):
        if "followed" not in one.arrays or one.text("split") != split:
            continue
        there = np.flatnonzero(one.arrays["followed"] == index)
        if len(there):
            steps.append(one.step)
            rows.append(one.arrays["followed_probabilities"][there[0]].astype(np.float32))
    return Course(np.array(steps, np.int64), np.array(rows, np.float32))
