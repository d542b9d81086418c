"""The pictures that a worker keeps by itself while it trains: `pictures/kept/KIND-step-N.npz` in the run's folder.

Who goes back through a training sees it by them. They are few and small: with each new one, one in between that the
others can spare goes, so that those that stay lie about evenly over all steps.
"""

import contextlib
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descent.common.errors import DescentError
from descent.common.files import write_atomically
from engine.pictures import files
from engine.pictures.files import Picture, step_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 60  # steps with pictures
FEWEST = 8  # the same where the pictures are large
MOST_BYTES = 4 << 20  # of all pictures, as far as FEWEST allows


def write(run: Path, step: int, drawn: "Mapping[str, Mapping[str, NDArray[Any]]]") -> None:
    """Keep the pictures of a step, by kind, and remove those of a step that the others can spare.

    They are not waited for until they are on the disk: a run that is resumed draws new ones. Raises OSError if the
    disk is full.
    """
    import numpy as np

    folder = _folder(run)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    size = 0
    for kind, arrays in drawn.items():
        content = io.BytesIO()
        np.savez(content, **dict(arrays))  # type: ignore[arg-type]  # its other argument is a bool
        write_atomically(folder / f"{kind}-step-{step}.npz", content.getvalue(), lasting=False)
        size += content.tell()
    for spared in spare(steps(run), max(FEWEST, min(MOST, MOST_BYTES // max(1, size)))):
        _remove(run, spared)


def spare(known: Sequence[int], most: int) -> list[int]:
    """Return which of the steps, in order, have to go so that `most` stay: again and again the one in between whose
    neighbours lie closest together. The first and the last one stay.
    """
    left, gone = list(known), []
    while len(left) > max(2, most):
        gaps = [after - before for before, after in zip(left, left[2:], strict=False)]
        gone.append(left.pop(1 + gaps.index(min(gaps))))
    return gone


def steps(run: Path) -> list[int]:
    """Return the steps of which pictures are kept, in order."""
    return sorted({step_of(path) for path in _folder(run).glob("*-step-*.npz")})


def latest(run: Path, kind: str, until: int | None = None) -> Picture | None:
    """Return the picture of that kind that was made last: kept by the worker, or asked for by a client.

    until: the last step that counts. Then those that the worker has kept are enough, if it has kept any: a client may
    have asked for one of a future that a rewind has left.
    """
    own = sorted(_folder(run).glob(f"{kind}-step-*.npz"), key=step_of, reverse=True)
    if not own:
        return files.latest(run, kind, until)
    asked = files.of_kind(run, kind)[-1:] if until is None else []
    if asked and files.made_at(asked[0]) > files.made_at(own[0]):
        return files.read(asked[0])
    for path in own:
        if until is None or step_of(path) <= until:
            try:
                return files.read(path)
            except DescentError:
                continue  # torn when the machine lost its power, or just removed; the one before is as good
    return None


def all_of(run: Path, kind: str) -> Iterator[Picture]:
    """Return all pictures of a kind that the worker has kept, by step. What can't be read is left out."""
    for path in sorted(_folder(run).glob(f"{kind}-step-*.npz"), key=step_of):
        with contextlib.suppress(DescentError):  # damaged, or just removed
            yield files.read(path)


def forget_beyond(run: Path, step: int) -> None:
    """Remove the pictures of a future that a run has left."""
    for known in steps(run):
        if known > step:
            _remove(run, known)


def copy(run: Path, folder: Path, step: int) -> None:
    """Copy the pictures up to a step into the folder of a new run, which shares that past."""
    for path in _folder(run).glob("*-step-*.npz"):
        if step_of(path) <= step:
            _folder(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy(path, _folder(folder))


def _folder(run: Path) -> Path:
    return run / "pictures" / "kept"


def _remove(run: Path, step: int) -> None:
    for path in _folder(run).glob(f"*-step-{step}.npz"):
        path.unlink(missing_ok=True)
