"""The predictions of a model, or of each member, for all inputs. The inputs are one or two numbers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop.device import for_exact
from engine.training import losses
from engine.training.members.train_state import MemberTrainState
from engine.training.models.pieces import kinks
from engine.training.pictures.probe import Arrays, Probe, host, words
from engine.training.train_state import TrainState

MARGIN = 0.08  # of the data's range, on each side
MOST_CURVES = 40  # of members, in one picture


def boundary(look: Probe, options: dict[str, Any]) -> Arrays:
    """Compute the class probabilities over the plane of two inputs.

    x: (W,), y: (H,) the places, in the data's units. probability: (H, W, classes) float32, with y upwards.
    points: (P, 2). labels, predicted: (P,) int64. validation: (P,) bool. classes, inputs: names.
    """
    classes = look.classes()
    x, y, places = grid(look, options["resolution"])
    probability = look.probabilities(places).reshape(len(y), len(x), -1)
    points = look.points(options["samples"])
    return {
        "x": host(x),
        "y": host(y),
        "probability": host(probability),
        "points": host(look.original(points.inputs)),
        "labels": host(points.targets),
        "predicted": host(losses.predictions(look.outputs(points.inputs))),
        "validation": points.validation,
        "classes": words(classes),
        "inputs": words(look.input_names()),
    }


def fit(look: Probe, options: dict[str, Any]) -> Arrays:
    """Compute the outputs over one or two inputs.

    One input: x: (R,), y: (R, T) the outputs, points: (P, 1), targets: (P, T).
    Two inputs: x: (W,), y: (H,), value: (H, W) the first output, points: (P, 2), targets: (P, T).
    Both: validation: (P,) bool, inputs: names. With two classes the output is the probability of the second one, and
    classes has their names. A network of ReLU layers and one input has kinks, (K,), where its line bends.
    """
    points = look.points(options["samples"])
    common: Arrays = {
        "points": host(look.original(points.inputs)),
        "targets": host(points.targets.reshape(len(points.targets), -1).float()),
        "validation": points.validation,
        "inputs": words(look.input_names()),
    }
    if look.run.classifies:
        if len(look.classes()) != 2:
            raise DescentError(_("a curve shows two classes, but the data do not have exactly two"))
        common["classes"] = words(look.classes())
    if look.run.dataset.input_shape == (2,):
        x, y, places = grid(look, options["resolution"])
        return common | {"x": host(x), "y": host(y), "value": host(_said(look, places)[:, 0].reshape(len(y), len(x)))}
    ((low, high),) = _ranges(look)
    x = torch.linspace(low, high, 4 * options["resolution"], dtype=torch.float64, device=for_exact(look.run.device))
    return common | {"x": host(x), "y": host(_said(look, look.scaled(x[:, None])))} | _kinks(look, x)


def _kinks(look: Probe, x: Tensor) -> Arrays:
    """Compute where between the ends of `x` the model's line bends. Nothing for a model that is no such line."""
    if look.run.classifies:
        return {}
    low, high = look.scaled(x[[0, -1], None])[:, 0].tolist()
    found = kinks(look.model, low, high)
    return {} if found is None else {"kinks": host(look.original(found[:, None])[:, 0])}


def curves(run: TrainState, look: Probe, fitted: Arrays) -> Arrays:
    """Compute the curve of each member of a regression with one input. fitted: the picture of one of them.

    others: (R, members), of at most MOST_CURVES. mean: (R,), of all. Nothing for other runs.
    """
    if not isinstance(run, MemberTrainState) or run.classifies or "value" in fitted:
        return {}
    outputs = _of_all(run, look.scaled(torch.from_numpy(fitted["x"]).to(for_exact(run.device))[:, None]))[:, :, 0]
    return {"others": host(outputs[:MOST_CURVES].T), "mean": host(outputs.mean(dim=0))}


def _said(look: Probe, inputs: Tensor) -> Tensor:
    return look.probabilities(inputs)[:, 1:] if look.run.classifies else look.outputs(inputs)


def grid(look: Probe, resolution: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the axes, (W,) and (H,), in the data's units, and the places, (H · W, 2), as the model takes them."""
    axes = [
        torch.linspace(low, high, resolution, dtype=torch.float64, device=for_exact(look.run.device))
        for low, high in _ranges(look)
    ]
    x, y = axes
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return x, y, look.scaled(torch.stack([columns.flatten(), rows.flatten()], dim=1))


def _ranges(look: Probe) -> list[tuple[float, float]]:
    """Return the range of each input over the training and validation samples, with a margin."""
    data = look.run.dataset
    splits = [data.train] if data.validation is None else [data.train, data.validation]
    lows = torch.stack([split.inputs[:].amin(dim=0) for split in splits]).amin(dim=0)
    highs = torch.stack([split.inputs[:].amax(dim=0) for split in splits]).amax(dim=0)
    low, high = host(look.original(torch.stack([lows, highs])))
    wide = np.where(high > low, high - low, 1.0)  # a constant feature needs a width too
    return list(zip((low - MARGIN * wide).tolist(), (high + MARGIN * wide).tolist(), strict=True))


def tally(look: Probe, options: dict[str, Any]) -> Arrays:
    """Count the members' votes over the plane of two inputs.

    x: (W,), y: (H,), probability: (H, W, classes) the share of members that choose a class there. points, labels,
    validation, classes, inputs: as in `boundary`. accuracy: (M,) of each member on `split`, NaN if it has diverged.
    solved: (M,) bool, whether that is at least `least`.
    """
    run = look.run
    if not isinstance(run, MemberTrainState):
        raise DescentError(_("the run has one model"))
    classes = look.classes()
    x, y, places = grid(look, options["resolution"])
    votes = torch.nn.functional.one_hot(_votes(run, places), len(classes)).float().mean(dim=0)
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


def _votes(run: MemberTrainState, places: Tensor) -> Tensor:
    """Return the class that each member chooses, (M, P), at places (P, 2) as the model takes them."""
    return losses.predictions(_of_all(run, places))


@torch.no_grad()
def _of_all(run: MemberTrainState, places: Tensor) -> Tensor:
    """Return each member's outputs, (M, P, K), at places (P, features) as the model takes them."""
    inputs = places if run.scaling is None else run.scaling(places)
    training = run.stack.training
    run.stack.train(False)
    try:
        with run.precision:
            outputs: Tensor = run.stack(inputs)
            return outputs.float()
    finally:
        run.stack.train(training)
