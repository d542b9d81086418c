"""What all members of a run say about the plane, and how many of them have solved it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.errors import DescentError
from engine.training import losses
from engine.training.members.training import MemberTraining
from engine.training.pictures.look import Arrays, Look, host, words
from engine.training.pictures.plane import grid


def tally(look: Look, options: dict[str, Any]) -> Arrays:
    """x: (W,), y: (H,), probability: (H, W, classes) the share of members that choose a class there; points, labels,
    validation, classes, inputs: as `boundary` has them.

    accuracy: (M,) of each member on `split`, NaN where it has diverged; solved: (M,) bool, where that is at least
    `least`.
    """
    run = look.run
    if not isinstance(run, MemberTraining):
        raise DescentError("the run has one model")
    classes = look.classes()
    x, y, places = grid(look, options["resolution"])
    votes = torch.nn.functional.one_hot(_said(run, places), len(classes)).float().mean(dim=0)
    split = "validation" if options["split"] == "validation" and run.dataset.validation is not None else "train"
    lost = [member for member, why in run.ended().items() if why == "diverged"]
    accuracy = np.array([result.accuracy for result in run.evaluate(split)], float)
    accuracy[lost] = np.nan
    points = look.points(options["samples"])
    return {
        "x": host(x),
        "y": host(y),
        "probability": host(votes.reshape(len(y), len(x), -1)),
        "points": host(look.original(points.inputs)),
        "labels": host(points.targets),
        "validation": points.validation,
        "classes": words(classes),
        "inputs": words(look.input_names()),
        "accuracy": accuracy,
        "solved": np.nan_to_num(accuracy, nan=-1.0) >= options["least"] / 100 - 1e-9,
        "least": np.array(options["least"] / 100),
        "split": np.array(split),
    }


@torch.no_grad()
def _said(run: MemberTraining, places: Tensor) -> Tensor:
    """(P, 2) as the model takes them -> (M, P), the class that each member chooses."""
    inputs = places if run.scaling is None else run.scaling(places)
    training = run.stack.training
    run.stack.train(False)
    try:
        with run.precision:
            return losses.predictions(run.stack(inputs))
    finally:
        run.stack.train(training)
