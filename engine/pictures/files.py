"""The files of pictures: `pictures/KIND-step-N.npz` in the run's folder."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descent.common.errors import DescentError
from descent.common.files import write_atomically
from descent.common.i18n import _

if TYPE_CHECKING:
    from numpy.typing import NDArray


KEPT = 20  # pictures of a kind in a run's folder, so that a screen that asks every few seconds does not fill the disk


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished picture: its kind, the step it shows, and its arrays by name. It equals only itself."""

    kind: str
    step: int
    arrays: "Mapping[str, NDArray[Any]]"

    def text(self, name: str) -> str:
        """Return the word in an array of one word, or "" if the picture has no array of this name."""
        return str(self.arrays[name]) if name in self.arrays else ""

    def texts(self, name: str) -> list[str]:
        """Return the words in an array, or [] if the picture has no array of this name."""
        return [str(word) for word in self.arrays[name]] if name in self.arrays else []


def write(run: Path, kind: str, step: int, arrays: "Mapping[str, NDArray[Any]]") -> Path:
    """Write a picture into the run's folder and return its path. Only the latest KEPT of each kind stay.

    Raises OSError if the disk is full.
    """
    import numpy as np

    folder = run / "pictures"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{kind}-step-{step}.npz"
    content = io.BytesIO()
    np.savez_compressed(content, **dict(arrays))  # type: ignore[arg-type]  # its other argument is a bool
    write_atomically(path, content.getvalue())
    for old in of_kind(run, kind)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def read(path: Path) -> Picture:
    """Return the picture in a file. Raises DescentError if there is no such file or it holds no picture."""
    import numpy as np

    kind, _dash, step = path.stem.partition("-step-")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return Picture(kind, int(step), arrays)
    except FileNotFoundError:
        raise DescentError(_("{file}: no such picture", file=path)) from None
    except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DescentError(_("{file} is not a picture: {reason}", file=path, reason=reason)) from None


def latest(run: Path, kind: str, until: int | None = None) -> Picture | None:
    """Return the picture of that kind that was made last, or None if there is none yet.

    until: the last step that counts; then it is the one of the latest step.
    """
    files = of_kind(run, kind)
    if until is not None:
        files = sorted((path for path in files if step_of(path) <= until), key=step_of)
    return read(files[-1]) if files else None


def step_of(path: Path) -> int:
    """Return the step in the name of a picture's file."""
    return int(path.stem.rpartition("-")[2])


def made_at(path: Path) -> int:
    """Return when the file was written, in nanoseconds; 0 if the worker has just removed it."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def of_kind(run: Path, kind: str) -> list[Path]:
    """Return the files in the order in which they were made. After a rewind that is not the order of steps."""
    made = sorted((made_at(path), path) for path in (run / "pictures").glob(f"{kind}-step-*.npz"))
    return [path for time, path in made if time]
