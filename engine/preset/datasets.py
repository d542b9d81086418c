"""The data sets that can be downloaded: their titles, their files, and whether these are on this machine.

This module imports neither torch nor NumPy, so that a screen can list the sets at once. Reading and fetching them is
in `engine.training.data.torchvision_sets` and `.downloads`.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from descent.common.errors import DataError, DataMissingError
from descent.common.i18n import N_, _
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

    title: in English; translate it where it is shown. folder: of its files, below the data root. files: all of them,
    as torchvision unpacks them. download_bytes: the size of the archives that are fetched.
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
    Downloadable("mnist", N_("MNIST: 70,000 handwritten digits"), "MNIST/raw", _IDX_FILES, 11_594_722),
    Downloadable(
        "fashion-mnist",
        N_("Fashion-MNIST: 70,000 pieces of clothing"),
        "FashionMNIST/raw",
        _IDX_FILES,
        30_878_645,
    ),
    Downloadable(
        "cifar10",
        N_("CIFAR-10: 60,000 colour images of 10 classes"),
        "cifar-10-batches-py",
        (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"),
        170_498_071,
    ),
    Downloadable(
        "cifar100",
        N_("CIFAR-100: 60,000 colour images of 100 classes"),
        "cifar-100-python",
        ("train", "test", "meta"),
        169_001_437,
    ),
)


def catalogue() -> tuple[Downloadable, ...]:
    """Return all sets that can be downloaded."""
    return _CATALOGUE


def entry(name: str) -> Downloadable:
    """Return the set of that name. Raises DataError, with all names, for any other."""
    for known in _CATALOGUE:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in _CATALOGUE)
    raise DataError(
        _("{name}: no data set of this name can be downloaded; there are: {names}", name=name, names=names)
    )


def data_root(given: Path | None = None) -> Path:
    """Return the folder of downloaded data: the given one, $DESCENT_DATA, or one in the user's cache folder."""
    if given is not None:
        return given.expanduser()
    named = os.environ.get("DESCENT_DATA")
    if named:
        return Path(named).expanduser()
    return Path(platformdirs.user_cache_dir("descent")) / "data"


def files(name: str, root: Path) -> tuple[Path, ...]:
    """Return where the files of the set are expected."""
    known = entry(name)
    return tuple(root / known.folder / file for file in known.files)


def is_there(name: str, root: Path) -> bool:
    """Return whether all files of the set lie below `root` and none of them is cut short."""
    return not unusable_files(name, root)


def unusable_files(name: str, root: Path) -> tuple[str, ...]:
    """Return the files of the set that are missing below `root` or that end too early."""
    known = entry(name)
    whole = _whole_idx if known.files == _IDX_FILES else _whole_pickle
    return tuple(file for file in known.files if not whole(root / known.folder / file))


def image_copy(name: str, root: Path) -> Path | None:
    """Return the folder, or the zip file, of images below `root` that holds a copy of the set; None without one."""
    return next((place for place in _image_places(name, root) if place.exists()), None)


def _image_places(name: str, root: Path) -> tuple[Path, ...]:
    return tuple(root / f"{name}-{kind}{ending}" for kind in ("images", "jpeg") for ending in ("", ".zip"))


def require_images(name: str, root: Path) -> Path:
    """Return `image_copy`. Raises DataMissingError, which says where it is looked for, if there is none."""
    found = image_copy(name, root)
    if found is not None:
        return found
    raise DataMissingError(
        _(
            'data.source = "images": there is no copy of {name} as images in {folder}; looked for {places}. It is a '
            "folder, or a zip of one, with train/CLASS/… and test/CLASS/… Give the folder that holds it with "
            '--data-root or $DESCENT_DATA, or set data.source = "original".',
            name=name,
            folder=root,
            places=", ".join(place.name for place in _image_places(name, root)),
        )
    )


def copy_hint(name: str, root: Path) -> str:
    """Return a sentence on the copy of the set as images, if there is one below `root`, else ""."""
    found = image_copy(name, root)
    if found is None:
        return ""
    return _('{file} may hold the same as images: data.source = "images" trains on those.', file=found)


def require(name: str, root: Path) -> None:
    """Raise DataMissingError, which says how to get them, unless all files of the set are below `root`."""
    unusable = unusable_files(name, root)
    if not unusable:
        return
    known = entry(name)
    folder = root / known.folder
    if len(unusable) == len(known.files):
        state = _("{name} is missing: looked in {folder}.", name=name, folder=folder)
    else:
        cut = ", ".join(unusable)
        state = _(
            "{name} is incomplete: missing or cut short in {folder}: {files}.", name=name, folder=folder, files=cut
        )
    way_out = _(
        "Fetch it with `descent data fetch {name}` ({size}), or give the folder that holds it with "
        "--data-root or $DESCENT_DATA.",
        name=name,
        size=size(known.download_bytes),
    )
    raise DataMissingError(" ".join(filter(None, (state, way_out, copy_hint(name, root)))))


def _whole_idx(path: Path) -> bool:
    """Return whether an IDX file is as long as its header says: two zeros, the type (8: bytes), the axes' lengths."""
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
    """Return whether a pickle ends with the opcode STOP. torchvision compares its checksum when it loads the file."""
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"."
    except OSError:
        return False
