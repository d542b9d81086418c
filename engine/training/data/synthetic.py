"""Data sets made from a seed: curves to fit, and small sets of points in the plane.

Each function returns inputs (n, features), float64, and targets (n, 1), float64, or labels (n,), int64.
"""

import numpy as np
from numpy.typing import NDArray

from descent.common.arrays import Floats
from engine.preset import schema
from engine.training.data.dataset import Samples
from engine.training.data.randomness import Purpose, legacy, stream

Made = (
    schema.LineData
    | schema.SineData
    | schema.QuizData
    | schema.XorData
    | schema.StripesData
    | schema.PlaneData
    | schema.SpiralsData
    | schema.BlobsData
    | schema.PointData
)
Labels = NDArray[np.int64]


def make(section: Made) -> Samples:
    """Return the samples of a made data set, noise included."""
    match section:
        case schema.LineData() | schema.SineData() | schema.QuizData():
            x, y = curve(section.name, section.n, section.noise, section.seed)
            return Samples(where=section.name, inputs=x, targets=y, input_names=("x",))
        case schema.PointData():
            return Samples(where=section.name, inputs=np.zeros((2, 1)), targets=np.zeros((2, 2)))
        case schema.XorData():
            points, labels = xor()
            points = points + _noise(points.shape, section)
        case schema.StripesData():
            points, labels = stripes(section.n, section.seed)
            points = points + _noise(points.shape, section)
        case schema.PlaneData():
            shape = moons if section.name == "moons" else circles
            points, labels = shape(section.n, section.seed)
            points = points + _noise(points.shape, section)
        case schema.SpiralsData():
            points, labels = spirals(section.n, section.classes, section.turns, section.seed)
            points = points + _noise(points.shape, section)
        case schema.BlobsData():
            points, labels = blobs(section.n, section.classes, section.features, section.seed)
            points = points + _noise(points.shape, section)
    return Samples(
        where=section.name,
        inputs=points,
        targets=labels,
        classes=tuple(str(label) for label in range(_classes(section))),
        input_names=tuple(f"x{i + 1}" for i in range(points.shape[1])),
    )


def curve(name: str, n: int, noise: float, seed: int) -> tuple[Floats, Floats]:
    """Return x, uniform in [0, 1], and y = f(x) + noise · standard normal, both (n, 1).

    The draws are in the order of the course: `x = rand(n, 1)`, then `randn(n, 1)`.
    """
    generator = legacy(seed)
    x = generator.rand(n, 1)
    errors = generator.randn(n, 1)
    if name == "line":
        y = 1 + 2 * x
    elif name == "sine":
        y = np.sin(2 * np.pi * x)
    else:
        y = 0.5 * np.log(x) + 0.853 * np.sin(5.25 * x) - 0.064 * np.cos(5.25 * x) + 0.072
    return x, y + noise * errors


def xor() -> tuple[Floats, Labels]:
    """Return the corners (0,0) (0,1) (1,0) (1,1) and their labels 0 1 1 0."""
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float64)
    return corners, np.array([0, 1, 1, 0], dtype=np.int64)


def stripes(n: int, seed: int) -> tuple[Floats, Labels]:
    """Return uniform points in [−10, 10]². The label is |x1| > 5."""
    points = stream(seed, Purpose.MADE).uniform(-10, 10, size=(n, 2))
    return points, (np.abs(points[:, 0]) > 5).astype(np.int64)


def moons(n: int, seed: int) -> tuple[Floats, Labels]:
    """Return two half circles that reach into each other, as in scikit-learn's make_moons, in random order."""
    labels = _labels(n, 2, seed)
    angles = np.pi * _along(labels)
    outer = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    inner = np.stack([1 - np.cos(angles), 0.5 - np.sin(angles)], axis=1)
    return np.where(labels[:, None] == 0, outer, inner), labels


def circles(n: int, seed: int) -> tuple[Floats, Labels]:
    """Return two circles around the origin, with radius 1 for class 0 and 0.5 for class 1, in random order."""
    labels = _labels(n, 2, seed)
    angles = 2 * np.pi * _along(labels, closed=True)
    radii = np.where(labels == 0, 1.0, 0.5)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1), labels


def spirals(n: int, classes: int, turns: float, seed: int) -> tuple[Floats, Labels]:
    """Return spiral arms from radius 0.3 to 3. Each is rotated from the one before by a full turn / classes."""
    labels = _labels(n, classes, seed)
    along = _along(labels)
    radii = 0.3 + 2.7 * along
    angles = 2 * np.pi * (turns * along + labels / classes)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1), labels


def blobs(n: int, classes: int, features: int, seed: int) -> tuple[Floats, Labels]:
    """Return each sample at its cluster's centre, uniform in [−10, 10].

    The noise, added later, spreads the clusters.
    """
    labels = _labels(n, classes, seed)
    centres = stream(seed, Purpose.MADE).uniform(-10, 10, size=(classes, features))
    return centres[labels], labels


def _labels(n: int, classes: int, seed: int) -> Labels:
    """Return labels 0 … classes − 1, as evenly as n allows, in random order."""
    return stream(seed, Purpose.MADE).permutation(np.arange(n) % classes).astype(np.int64)


def _along(labels: Labels, *, closed: bool = False) -> Floats:
    """Return each sample's place on its class's curve, evenly from 0 to 1. closed: leave out 1 itself."""
    places = np.empty(len(labels))
    for label in np.unique(labels):
        mine = labels == label
        places[mine] = np.linspace(0, 1, int(mine.sum()), endpoint=not closed)
    return places


def _noise(shape: tuple[int, ...], section: schema.Data) -> Floats:
    return section.noise * stream(section.seed, Purpose.NOISE).standard_normal(shape)


def _classes(section: Made) -> int:
    return section.classes if isinstance(section, schema.SpiralsData | schema.BlobsData) else 2
