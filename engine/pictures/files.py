"""The files that pictures come in: `pictures/KIND-step-N.npz` in the run's folder."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descent.common.errors import DescentError
from descent.common.files import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray


KEPT = 20  # pictures of a kind in a run's folder: a screen that asks every few seconds must not fill the disk


@dataclass(frozen=True, eq=False)
class Picture:
    """One that was made: its kind, the step it is of, and its arrays by name. Equal to itself alone."""

    kind: str
    step: int
    arrays: "Mapping[str, NDArray[Any]]"

    def text(self, name: str) -> str:
        """An array of one word; empty where there is none."""
        return str(self.arrays[name]) if name in self.arrays else ""

    def texts(self, name: str) -> list[str]:
        return [str(word) for word in self.arrays[name]] if name in self.arrays else []


def write(run: Path, kind: str, step: int, arrays: "Mapping[str, NDArray[Any]]") -> Path:
    """Keep a picture in the run's folder; of each kind the latest ones stay. OSError where the disk is full."""
    import numpy as np

    folder = run / "pictures"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{kind}-step-{step}.npz"
    content = io.BytesIO()
    np.savez_compressed(content, **dict(arrays))  # type: ignore[arg-type]  # its other argument is a bool
    write_atomically(path, content.getvalue())
    for old in _of_kind(run, kind)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def read(path: Path) -> Picture:
    """The picture in a file. DescentError where it is none, or damaged."""
    import numpy as np

    kind, _, step = path.stem.partition("-step-")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return Picture(kind, int(step), arrays)
    except FileNotFoundError:
        raise DescentError(f"there is no picture {path}") from None
    except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise DescentError(
            f"{path} is no picture: {str(error).splitlines()[0] if str(error) else 'damaged'}"
        ) from None


def latest(run: Path, kind: str) -> Picture | None:
    """The picture of that kind that was made last; None where there is none yet."""
    files = _of_kind(run, kind)
    return read(files[-1]) if files else None


def _of_kind(run: Path, kind: str) -> list[Path]:
    """The files, in the order in which they were made: after a rewind the last one is not of the highest step."""
    made = []
    for path in (run / "pictures").glob(f"{kind}-step-*.npz"):
        try:
            made.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue  # the worker has just removed it
    return [path for _, path in sorted(made)]
