"""The data sets that can be downloaded: what they are, which files they consist of, whether they are there.

Imports neither torch nor NumPy, so that a screen can list them at once. Reading and fetching them is in
`engine.training.data.torchvision_sets` and `.downloads`.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from descent.common.errors import DataError, DataMissingError
from descent.common.numbers import size

_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True, slots=True)
class Downloadable:
    """One data set of torchvision.

    folder: where its files lie, below the data root. files: all of them, as torchvision unpacks them.
    download_bytes: the size of the archives that are fetched.
    """

    name: str
    title: str
    folder: str
    files: tuple[str, ...]
    download_bytes: int

    @property
    def megabytes(self) -> int:
        """Size of the download, in millions of bytes."""
        return max(1, round(self.download_bytes / 1e6))


_CATALOGUE = (
    Downloadable("mnist", "MNIST: 70,000 handwritten digits", "MNIST/raw", _IDX_FILES, 11_594_722),
    Downloadable(
        "fashion-mnist",
        "Fashion-MNIST: 70,000 pieces of clothing",
        "FashionMNIST/raw",
        _IDX_FILES,
        30_878_645,
    ),
    Downloadable(
        "cifar10",
        "CIFAR-10: 60,000 colour images of 10 classes",
        "cifar-10-batches-py",
        (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"),
        170_498_071,
    ),
    Downloadable(
        "cifar100",
        "CIFAR-100: 60,000 colour images of 100 classes",
        "cifar-100-python",
        ("train", "test", "meta"),
        169_001_437,
    ),
)


def catalogue() -> tuple[Downloadable, ...]:
    """All sets that can be downloaded."""
    return _CATALOGUE


def entry(name: str) -> Downloadable:
    """The set of that name; DataError, with the names there are, for any other."""
    for known in _CATALOGUE:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in _CATALOGUE)
    raise DataError(f"No data set to download is called {name!r}. There are: {names}.")


def data_root(given: Path | None = None) -> Path:
    """The folder of downloaded data: as given, else $DESCENT_DATA, else in the user's cache folder."""
    if given is not None:
        return given.expanduser()
    named = os.environ.get("DESCENT_DATA")
    if named:
        return Path(named).expanduser()
    return Path(platformdirs.user_cache_dir("descent")) / "data"


def files(name: str, root: Path) -> tuple[Path, ...]:
    """Where the files of the set are expected."""
    known = entry(name)
    return tuple(root / known.folder / file for file in known.files)


def is_there(name: str, root: Path) -> bool:
    """Whether all files of the set lie below `root`, none of them cut short."""
    return not unusable_files(name, root)


def unusable_files(name: str, root: Path) -> tuple[str, ...]:
    """The files of the set that are missing below `root`, or that end too early."""
    known = entry(name)
    whole = _whole_idx if known.files == _IDX_FILES else _whole_pickle
    return tuple(file for file in known.files if not whole(root / known.folder / file))


def require(name: str, root: Path) -> None:
    """DataMissingError, with how to get them, where the files of the set are not all below `root`."""
    unusable = unusable_files(name, root)
    if not unusable:
        return
    known = entry(name)
    folder = root / known.folder
    if len(unusable) == len(known.files):
        state = f"{name} is not here: looked in {folder}."
    else:
        state = f"{name} is incomplete: missing or cut short in {folder}: {', '.join(unusable)}."
    raise DataMissingError(
        f"{state} Fetch it with `descent data fetch {name}` ({size(known.download_bytes)}), or name the folder that "
        "holds it with --data-root or $DESCENT_DATA."
    )


def _whole_idx(path: Path) -> bool:
    """An IDX file's header says how long the file is: two zeros, the type (8: bytes), the axes' lengths."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
            if len(start) < 4 or start[:3] != b"\0\0\x08":
                return False
            axes = [int.from_bytes(file.read(4), "big") for _ in range(start[3])]
        return path.stat().st_size == 4 + 4 * len(axes) + math.prod(axes)
    except OSError:
        return False


def _whole_pickle(path: Path) -> bool:
    """A pickle ends with the opcode STOP; torchvision compares the checksum when it is loaded."""
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"."
    except OSError:
        return False
