"""The data sets of torchvision, CIFAR's read from the data root: MNIST's are by idx.py, which is quicker.

Nothing is downloaded here: see downloads.py.
"""

from pathlib import Path
from typing import Any

import numpy as np

from engine import datasets
from engine.errors import DataMissingError
from engine.training.data.samples import Array, HeldOut, Samples


def read(name: str, root: Path) -> Samples:
    """(N, 3, 32, 32) uint8 images and their labels, the test split apart; DataMissingError without them."""
    datasets.require(name, root)
    try:
        train = dataset_class(name)(root=root, train=True, download=False)
        test = dataset_class(name)(root=root, train=False, download=False)
    except (RuntimeError, ValueError, TypeError, AssertionError, OSError) as error:
        # The files are compared with their checksums.
        folder = root / datasets.entry(name).folder
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
