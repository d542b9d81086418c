"""A classifier's right and wrong answers: the confusion matrix, and the most confident mistakes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.training.pictures.probe import Answers, Arrays, Probe, host, places_of, words

MOST_COLUMNS = 32  # shown of a table's misclassified rows
MOST_VALUES = 1_000_000  # of all samples of cells: of images 1 MB
FEWEST = 12  # samples of cells, however large they are


def confusion(look: Probe, options: dict[str, Any]) -> Arrays:
    """Make a confusion matrix.

    counts: (classes, classes) int64, with the true class by row and the predicted class by column. classes: names.
    split: its name. looked_at, of: how many samples were used, and how many the split has.

    With the option examples: so many samples of each cell, as in `mistakes`.
    """
    count = len(look.classes())
    answers = look.answers(options["split"], options["samples"])
    said = answers.probabilities.argmax(dim=1)
    counts = torch.bincount(answers.samples.targets * count + said, minlength=count * count).reshape(count, count)
    return {
        "counts": host(counts),
        "classes": words(look.classes()),
        **(_described(look, answers, _of_cells(answers, options["examples"])) if options["examples"] else {}),
        **_of(answers),
    }


def _of_cells(answers: Answers, most: int) -> Tensor:
    """Return rows of the answers, the `most` surest ones of each cell: one of each, mistakes first, then another.

    As many as MOST_VALUES has room for. Of mistakes, the most frequent ones come first.
    """
    probability, said = (host(each) for each in answers.probabilities.max(dim=1))
    true = host(answers.samples.targets)
    _cells, cell, count = np.unique(np.stack([true, said]), axis=1, return_inverse=True, return_counts=True)
    cell = cell.reshape(-1)
    by_cell = np.lexsort((-probability, cell))
    rank = np.empty(len(by_cell), dtype=np.int64)  # of each within its cell
    rank[by_cell] = np.arange(len(by_cell)) - np.searchsorted(cell[by_cell], cell[by_cell])
    order = np.lexsort((-probability, -count[cell], true == said, rank))
    room = max(FEWEST, MOST_VALUES // max(1, answers.samples.inputs[0].numel()))
    return torch.from_numpy(order[rank[order] < most][:room]).to(answers.samples.targets.device)


def mistakes(look: Probe, options: dict[str, Any]) -> Arrays:
    """Find the wrong answers, the most confident first.

    images: (k, C, H, W) uint8. For other data rows, (k, columns) float64 in the data's units, and columns, their
    names. true, predicted, index: (k,) int64; index is the place in the split. probability: (k,) float32, of the
    predicted class. mistakes: how many there are in all. split, looked_at, of: as in `confusion`. classes: names.

    With the option follow: followed, (f,) int64, places in the split of these mistakes and then of the samples that
    had the least probability of their true class; followed_probabilities: (f, classes) float16.
    """
    classes = words(look.classes())
    answers = look.answers(options["split"], options["samples"])
    chosen = answers.samples
    probability, said = answers.probabilities.max(dim=1)
    wrong = torch.nonzero(said != chosen.targets)[:, 0]
    # The sort is stable, so that equal probabilities (a perceptron's) keep their order from picture to picture.
    worst = wrong[probability[wrong].argsort(descending=True, stable=True)][: options["most"]]
    places = places_of(len(chosen.targets), answers.of, chosen.targets.device)
    followed = _least_sure(answers, worst)[: max(len(worst), options["follow"])] if options["follow"] else worst[:0]
    arrays = {
        "followed": host(places[followed]),
        "followed_probabilities": host(answers.probabilities[followed]).astype(np.float16),
    }
    return {
        **_described(look, answers, worst),
        **(arrays if options["follow"] else {}),
        "mistakes": np.array(len(wrong)),
        "classes": classes,
        **_of(answers),
    }


def _described(look: Probe, answers: Answers, rows: Tensor) -> Arrays:
    """Return these samples, and what the model says of each."""
    chosen = answers.samples
    probability, said = answers.probabilities[rows].max(dim=1)
    return {
        **_samples(look, chosen.inputs[rows]),
        "index": host(places_of(len(chosen.targets), answers.of, chosen.targets.device)[rows]),
        "true": host(chosen.targets[rows]),
        "predicted": host(said),
        "probability": host(probability),
    }


def _least_sure(answers: Answers, first: Tensor) -> Tensor:
    """Return the rows of the answers by the probability of the true class, the least one first, after `first`."""
    sure = answers.probabilities.gather(1, answers.samples.targets[:, None])[:, 0]
    sure[first] = torch.arange(-len(first), 0, device=sure.device, dtype=sure.dtype)
    return sure.argsort(stable=True)


def _samples(look: Probe, inputs: Tensor) -> Arrays:
    values = look.original(inputs)
    if inputs.ndim == 4 and inputs.shape[1] in (1, 3):
        return {"images": _pixels(host(values))}
    rows = host(values.flatten(1)[:, :MOST_COLUMNS])
    names = list(look.run.dataset.input_names) or [f"x{i + 1}" for i in range(rows.shape[1])]
    return {"rows": rows, "columns": words(names[: rows.shape[1]])}


def _pixels(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return values in [0, 1] as bytes. Other values are scaled by each image's own range."""
    if len(values) and (values.min() < -0.01 or values.max() > 1.01):
        low, high = (f(values, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
        values = (values - low) / np.where(high > low, high - low, 1)
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)


def _of(answers: Answers) -> Arrays:
    looked_at = len(answers.probabilities)
    return {"split": np.array(answers.split), "looked_at": np.array(looked_at), "of": np.array(answers.of)}
