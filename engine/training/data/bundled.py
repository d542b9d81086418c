"""Data sets that come with scikit-learn."""

import numpy as np

from engine import schema
from engine.training.data.samples import Samples


def read(section: schema.BundledData) -> Samples:
    """digits: (1797, 1, 8, 8) in [0, 1]; the others: (N, features) with their columns' names."""
    # scikit-learn takes 0.4 s to import; a run on MNIST should not wait for its data sets.
    from sklearn import datasets

    if section.name == "digits":
        found = datasets.load_digits()
        return Samples(
            where="digits",
            inputs=(found.images / 16)[:, None],
            targets=found.target.astype(np.int64),
            classes=tuple(str(digit) for digit in range(10)),
        )
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
