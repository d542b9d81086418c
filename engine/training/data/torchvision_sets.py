"""The data sets of torchvision, read from the data root. Nothing is downloaded here: see downloads.py."""

from pathlib import Path
from typing import Any

import numpy as np

from engine import datasets
from engine.errors import DataMissingError
from engine.training.data.samples import Array, HeldOut, Samples


def read(name: str, root: Path) -> Samples:
    """(N, C, H, W) uint8 images and their labels, the test split apart; DataMissingError without them."""
    datasets.require(name, root)
    try:
        train = dataset_class(name)(root=root, train=True, download=False)
        test = dataset_class(name)(root=root, train=False, download=False)
    except (RuntimeError, ValueError, TypeError, AssertionError, OSError) as error:
        # CIFAR's files are compared with their checksums, MNIST's can't be parsed when damaged.
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
        classes=_class_names(name, train),
        test=HeldOut(test_images, test_labels),
    )


def dataset_class(name: str) -> Any:
    """torchvision's class of that set."""
    # torchvision takes 1.2 s to import; a run on made data should not wait for it.
    from torchvision import datasets as torchvision_sets

    return {
        "mnist": torchvision_sets.MNIST,
        "fashion-mnist": torchvision_sets.FashionMNIST,
        "cifar10": torchvision_sets.CIFAR10,
        "cifar100": torchvision_sets.CIFAR100,
    }[name]


def _arrays(found: Any) -> tuple[Array, Array]:
    """The whole set at once: (N, 28, 28) or (N, 32, 32, 3) -> (N, C, H, W), without PIL."""
    images = np.asarray(found.data)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return images, np.asarray(found.targets, dtype=np.int64)


def _class_names(name: str, found: Any) -> tuple[str, ...]:
    if name == "mnist":  # torchvision calls them "0 - zero" …
        return tuple(str(digit) for digit in range(10))
    return tuple(str(label) for label in found.classes)
