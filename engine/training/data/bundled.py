"""Data sets that come with scikit-learn."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from engine import schema
from engine.training.data.samples import Samples


def read(section: schema.BundledData) -> Samples:
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
