"""The paths of several optimizers on the run's loss surface, from where the run began."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from descent.common.arrays import Floats
from descent.common.errors import DescentError
from descent.common.i18n import _
from engine.training.members.update import RULES, Scalar, Slots
from engine.training.pictures.probe import Arrays, Probe, few, words
from engine.training.pictures.surface import Objective, lowest_place, path_of, ranges

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # tried for each optimizer, besides the run's own
AWAY = 1e6  # a path that goes farther than this from its start is not shown
_ADAM: dict[str, Scalar] = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
_SGD: dict[str, Scalar] = {"momentum": 0.0, "nesterov": 0.0, "weight_decay": 0.0}


class _Recipe(NamedTuple):
    """An optimizer with the defaults of torch.optim. Momentum, if used, is 0.9."""

    rule: str
    scalars: dict[str, Scalar]


RECIPES = {
    "GD": _Recipe("sgd", _SGD),
    "momentum": _Recipe("sgd", {**_SGD, "momentum": 0.9}),
    "Nesterov": _Recipe("sgd", {**_SGD, "momentum": 0.9, "nesterov": 1.0}),
    "Adagrad": _Recipe("adagrad", {"eps": 1e-10, "weight_decay": 0.0}),
    "RMSProp": _Recipe("rmsprop", {"alpha": 0.99, "momentum": 0.0, "eps": 1e-8, "weight_decay": 0.0}),
    "Adam": _Recipe("adam", {**_ADAM, "weight_decay": 0.0}),
    "AdamW": _Recipe("adamw", {**_ADAM, "weight_decay": 0.01}),
}


def paths(look: Probe, options: dict[str, Any]) -> Arrays:
    """Compute the paths of all optimizers.

    x: (W,), y: (H,), loss: (H, W), path, path_steps, now, minimum, names: as in `surface`. optimizers: (K,) names.
    rates: (K,), the run's own or, with rates = "best", the one of `RATES` with the lowest mean loss on the path.
    ways: (K, steps + 1, 2), the paths, NaN where one is too far away. means: (K,) the mean losses.
    """
    objective = Objective(look, few(look.run.dataset.train, options["samples"]))
    if len(objective.names) != 2:
        raise DescentError(_("a path on a map needs two trained parameters"))
    own = path_of(look, objective)
    lowest = lowest_place(look, objective)
    lr = float(look.run.preset.optimizer.lr)
    rates = [lr] if options["rates"] == "run" else sorted({lr, *RATES})
    ways, means = _ways(objective, own.values[0], rates, options["steps"])
    best = means.argmin(axis=1)
    chosen, every = ways[np.arange(len(best)), best], np.arange(len(best))
    near = np.where(np.isfinite(chosen), chosen, np.nan)
    seen = np.concatenate([own.values, *(way[np.isfinite(way).all(axis=1)] for way in near)])
    axes = [
        torch.linspace(low, high, options["resolution"], dtype=torch.float64)
        for low, high in ranges(seen, objective.now(), lowest)
    ]
    down, across = torch.meshgrid(axes[1], axes[0], indexing="ij")
    places = torch.stack([across.flatten(), down.flatten()], dim=1).float().to(look.run.device)
    return {
        "x": axes[0].numpy(),
        "y": axes[1].numpy(),
        "loss": objective.over(places).reshape(down.shape).cpu().double().numpy(),
        "path": own.values,
        "path_steps": own.steps,
        "now": objective.now(),
        "minimum": np.empty(0) if lowest is None else lowest,
        "names": words(objective.names),
        "optimizers": words(list(RECIPES)),
        "rates": np.array([rates[i] for i in best]),
        "ways": near,
        "means": means[every, best],
    }


@torch.no_grad()
def _ways(objective: Objective, start: Floats, rates: list[float], steps: int) -> tuple[Floats, Floats]:
    """Return the paths of all optimizers at all rates, (K, R, steps + 1, 2), and their mean losses, (K, R)."""
    device = next(iter(objective.parameters.values())).device
    count = len(rates)
    now = torch.tensor(start, dtype=torch.float32, device=device).repeat(len(RECIPES), count, 1)
    lr = torch.tensor(rates, device=device).unsqueeze(1)
    slots = [Slots(now[0]) for _ in RECIPES]
    seen, heights = [now.clone()], torch.zeros(len(RECIPES), count, device=device)
    for _step in range(steps):
        losses, gradients = _slopes(objective, now.flatten(0, 1))
        heights += losses.view_as(heights) / steps
        slopes = gradients.view_as(now)
        for i, recipe in enumerate(RECIPES.values()):
            slots[i].step += 1
            direction = RULES[recipe.rule](slots[i], recipe.scalars, now[i], slopes[i])
            now[i] -= lr * direction
        seen.append(now.clone())
    ways = torch.stack(seen, dim=2)
    lost = (ways - ways[:, :, :1]).abs().amax(dim=-1) > AWAY
    ways = torch.where(lost.unsqueeze(-1), torch.nan, ways)
    means = torch.where(heights.isfinite() & ~lost.any(dim=-1), heights, torch.inf)
    return ways.cpu().double().numpy(), means.cpu().double().numpy()


def _slopes(objective: Objective, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses, (n,), and their gradients, (n, 2), at places (n, 2)."""
    with torch.enable_grad():
        places = places.detach().requires_grad_()
        losses = objective.many(places)
        (slopes,) = torch.autograd.grad(losses.sum(), places)
    return losses.detach(), slopes
