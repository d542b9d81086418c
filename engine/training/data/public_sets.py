"""Public data sets: those of scikit-learn, MNIST's files, and those of torchvision. `downloads.py` downloads them.

MNIST and Fashion-MNIST are read without torchvision, whose import takes longer than PyTorch's own
(`python -m tests.tools.benchmarks start`).
"""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from descent.common.errors import DataError, DataMissingError
from descent.common.i18n import _
from engine.preset import schema
from engine.preset.datasets import entry, require, require_images
from engine.training.data import image_folder
from engine.training.data.dataset import Array, HeldOut, Samples
from engine.training.data.randomness import Purpose, stream
from engine.training.packages import needed

CLASSES = {
    "mnist": tuple(str(digit) for digit in range(10)),
    "fashion-mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
}  # fmt: skip
_Bytes = NDArray[np.uint8]


def read_bundled(section: schema.BundledData) -> Samples:
    """Read a data set of scikit-learn.

    digits: (1797, 1, 8, 8) in [0, 1]. The others: (N, features) with the names of their columns, those of noise last.
    """
    if section.name == "digits":
        return _digits()
    samples = _table(section)
    if not section.noise_columns:
        return samples
    shape = len(samples.targets), section.noise_columns
    noise = stream(section.seed, Purpose.NOISE_COLUMNS).standard_normal(shape)
    names = tuple(f"noise{i + 1}" for i in range(section.noise_columns))
    inputs = np.hstack([np.asarray(samples.inputs), noise])
    return replace(samples, inputs=inputs, input_names=(*samples.input_names, *names))


def _table(section: schema.BundledData) -> Samples:
    # scikit-learn takes a second to import, and digits and MNIST do not need it.
    with needed("scikit-learn", f'data.name = "{section.name}"'):
        from sklearn import datasets

    if section.name == "diabetes":
        found = datasets.load_diabetes()
        return Samples(
            where="diabetes",
            inputs=found.data,
            targets=found.target.astype(np.float64)[:, None],
            input_names=tuple(str(column) for column in found.feature_names),
        )
    loaders = {
        "breast-cancer": datasets.load_breast_cancer,
        "wine": datasets.load_wine,
        "iris": datasets.load_iris,
    }
    found = loaders[section.name]()
    return Samples(
        where=section.name,
        inputs=found.data,
        targets=found.target.astype(np.int64),
        classes=tuple(str(label) for label in found.target_names),
        input_names=tuple(str(column) for column in found.feature_names),
    )


def _digits() -> Samples:
    """Read digits, without scikit-learn's code if the file is in its usual place. Most people run digits first."""
    package = find_spec("sklearn")
    file = Path(str(package.origin)).parent / "datasets" / "data" / "digits.csv.gz" if package is not None else None
    if file is not None and file.is_file():
        table = np.loadtxt(file, delimiter=",")
        images, targets = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    else:
        with needed("scikit-learn", 'data.name = "digits"'):
            from sklearn import datasets

        found = datasets.load_digits()
        images, targets = found.images, found.target
    return Samples(
        where="digits",
        inputs=(images / 16)[:, None],
        targets=targets.astype(np.int64),
        classes=tuple(str(digit) for digit in range(10)),
    )


def read_idx(name: str, root: Path) -> Samples:
    """Read (N, 1, 28, 28) uint8 images and their labels, with their own test split.

    Raises DataMissingError if files are missing or damaged.
    """
    require(name, root)
    folder = root / entry(name).folder
    images, labels, test_images, test_labels = arrays = [_array(folder / f) for f in entry(name).files]
    fit = len(images) == len(labels) and len(test_images) == len(test_labels)
    if not fit or [array.ndim for array in arrays] != [3, 1, 3, 1]:
        raise DataMissingError(_damaged(name, folder, _("the numbers of images and labels differ")))
    return Samples(
        where=name,
        inputs=images[:, None],
        targets=labels.astype(np.int64),
        classes=CLASSES[name],
        test=HeldOut(test_images[:, None], test_labels.astype(np.int64)),
    )


def _array(file: Path) -> _Bytes:
    """Read an array of bytes in the IDX format.

    The header is two zeros, the type (8: bytes), the number of axes and the lengths of the axes. The bytes follow.
    """
    data = np.fromfile(file, np.uint8)
    axes = int(data[3])
    shape = data[4 : 4 + 4 * axes].view(">u4").astype(int)
    array: _Bytes = data[4 + 4 * axes :].reshape(shape)
    return array


def read_torchvision(name: str, root: Path) -> Samples:
    """Read (N, 3, 32, 32) uint8 images and their labels, with their own test split.

    Raises DataMissingError if files are missing or damaged.
    """
    require(name, root)
    try:
        train = dataset_class(name)(root=root, train=True, download=False)
        test = dataset_class(name)(root=root, train=False, download=False)
    except (RuntimeError, ValueError, TypeError, AssertionError, OSError) as error:
        # torchvision has compared the files with their checksums.
        raise DataMissingError(_damaged(name, root / entry(name).folder, str(error))) from error
    images, labels = _arrays(train)
    test_images, test_labels = _arrays(test)
    return Samples(
        where=name,
        inputs=images,
        targets=labels,
        classes=tuple(str(label) for label in train.classes),
        test=HeldOut(test_images, test_labels),
    )


def read_images(section: schema.DownloadedData, root: Path, device: torch.device) -> Samples:
    """Read a copy of the set that is a folder of images, with its own test split.

    Raises DataMissingError if there is none, and DataError if it has no test split.
    """
    path = require_images(section.name, root)
    common = section.model_dump(include=set(schema.Data.model_fields))
    channels = 3 if section.name.startswith("cifar") else 1
    copy = schema.ImagesData.model_validate({**common, "name": "images", "path": str(path), "channels": channels})
    samples = image_folder.read(copy, device)
    if samples.test is None:
        raise DataError(
            _(
                'data.source = "images": {file} has no folder test, but {name} has a test split of its own.',
                file=path,
                name=section.name,
            )
        )
    return samples


def _damaged(name: str, folder: Path, reason: str) -> str:
    return _(
        "The files of {name} in {folder} are damaged ({reason}). Delete that folder, then `descent data fetch "
        "{name}`.",
        name=name,
        folder=folder,
        reason=reason,
    )


def dataset_class(name: str) -> Any:
    """Return torchvision's class of that data set."""
    # torchvision takes seconds to import, and other data do not need it.
    with needed("torchvision", f'data.name = "{name}"'):
        from torchvision import datasets as torchvision_sets

    return {
        "mnist": torchvision_sets.MNIST,
        "fashion-mnist": torchvision_sets.FashionMNIST,
        "cifar10": torchvision_sets.CIFAR10,
        "cifar100": torchvision_sets.CIFAR100,
    }[name]


def _arrays(found: Any) -> tuple[Array, Array]:
    """Return all images, (N, 32, 32, 3) -> (N, 3, 32, 32), and labels at once, without PIL."""
    return np.asarray(found.data).transpose(0, 3, 1, 2), np.asarray(found.targets, dtype=np.int64)
