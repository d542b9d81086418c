"""The files of MNIST and Fashion-MNIST, read without torchvision.

torchvision's import takes longer than PyTorch's own, for it loads the compiler too: Enter on a preset to the first
point on the chart would take twice as long (`python -m tests.benchmarks start`).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import datasets
from engine.errors import DataMissingError
from engine.training.data.samples import HeldOut, Samples

CLASSES = {
    "mnist": tuple(str(digit) for digit in range(10)),
    "fashion-mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
}  # fmt: skip
_Bytes = NDArray[np.uint8]


def read(name: str, root: Path) -> Samples:
    """(N, 1, 28, 28) uint8 images and their labels, the test split apart; DataMissingError without them."""
    datasets.require(name, root)
    folder = root / datasets.entry(name).folder
    images, labels, test_images, test_labels = arrays = [_array(folder / f) for f in datasets.entry(name).files]
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
