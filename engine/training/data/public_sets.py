"""Public data sets: those of scikit-learn, MNIST's files, and torchvision's. `downloads.py` downloads them.

MNIST and Fashion-MNIST are read without torchvision, whose import takes longer than PyTorch's own
(`python -m tests.tools.benchmarks start`).
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descent.common.errors import DataMissingError
from engine.preset import schema
from engine.preset.datasets import entry, require
from engine.training.data.dataset import Array, HeldOut, Samples


def read_bundled(section: schema.BundledData) -> Samples:
    """digits: (1797, 1, 8, 8) in [0, 1]; the others: (N, features) with their columns' names."""
    if section.name == "digits":
        return _digits()
    # scikit-learn takes a second to import; neither digits nor MNIST should wait for it.
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
    """Without scikit-learn's code where its file is where it has always been: everybody runs digits first."""
    package = find_spec("sklearn")
    file = Path(str(package.origin)).parent / "datasets" / "data" / "digits.csv.gz" if package is not None else None
    if file is not None and file.is_file():
        table = np.loadtxt(file, delimiter=",")
        images, targets = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    else:
        from sklearn import datasets

        found = datasets.load_digits()
        images, targets = found.images, found.target
    return Samples(
        where="digits",
        inputs=(images / 16)[:, None],
        targets=targets.astype(np.int64),
        classes=tuple(str(digit) for digit in range(10)),
    )


CLASSES = {
    "mnist": tuple(str(digit) for digit in range(10)),
    "fashion-mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
}  # fmt: skip
_Bytes = NDArray[np.uint8]


def read_idx(name: str, root: Path) -> Samples:
    """(N, 1, 28, 28) uint8 images and their labels, the test split apart; DataMissingError without them."""
    require(name, root)
    folder = root / entry(name).folder
    images, labels, test_images, test_labels = arrays = [_array(folder / f) for f in entry(name).files]
    fit = len(images) == len(labels) and len(test_images) == len(test_labels)
    if not fit or [array.ndim for array in arrays] != [3, 1, 3, 1]:
        raise DataMissingError(
            f"The files of {name} in {folder} are damaged (images and labels do not fit). Delete that folder, then "
            f"`descent data fetch {name}`."
        )
    return Samples(
        where=name,
        inputs=images[:, None],
        targets=labels.astype(np.int64),
        classes=CLASSES[name],
        test=HeldOut(test_images[:, None], test_labels.astype(np.int64)),
    )


def _array(file: Path) -> _Bytes:
    """Two zeros, the type (8: bytes), the number of axes, the axes' lengths; then the bytes, as many as they say."""
    data = np.fromfile(file, np.uint8)
    axes = int(data[3])
    shape = data[4 : 4 + 4 * axes].view(">u4").astype(int)
    array: _Bytes = data[4 + 4 * axes :].reshape(shape)
    return array


def read_torchvision(name: str, root: Path) -> Samples:
    """(N, 3, 32, 32) uint8 images and their labels, the test split apart; DataMissingError without them."""
    require(name, root)
    try:
        train = dataset_class(name)(root=root, train=True, download=False)
        test = dataset_class(name)(root=root, train=False, download=False)
    except (RuntimeError, ValueError, TypeError, AssertionError, OSError) as error:
        # The files are compared with their checksums.
        folder = root / entry(name).folder
        raise DataMissingError(
            f"The files of {name} in {folder} are damaged ({error}). Delete that folder, then "
            f"`descent data fetch {name}`."
        ) from error
    images, labels = _arrays(train)
    test_images, test_labels = _arrays(test)
    return Samples(
        where=name,
        inputs=images,
        targets=labels,
        classes=tuple(str(label) for label in train.classes),
        test=HeldOut(test_images, test_labels),
    )


def dataset_class(name: str) -> Any:
    """torchvision's class of that set."""
    # torchvision takes seconds to import; a run on other data should not wait for it.
    from torchvision import datasets as torchvision_sets

    return {
        "mnist": torchvision_sets.MNIST,
        "fashion-mnist": torchvision_sets.FashionMNIST,
        "cifar10": torchvision_sets.CIFAR10,
        "cifar100": torchvision_sets.CIFAR100,
    }[name]


def _arrays(found: Any) -> tuple[Array, Array]:
    """The whole set at once: (N, 32, 32, 3) -> (N, 3, 32, 32), without PIL."""
    return np.asarray(found.data).transpose(0, 3, 1, 2), np.asarray(found.targets, dtype=np.int64)
