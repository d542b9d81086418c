"""The training loss over the parameters of a model with one or two, and the path of the run on it."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, vmap

from descent.common.arrays import Floats
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.layout import PARAMETER
from descent.run.metrics import Metrics
from engine.training import losses, parameters
from engine.training.data.batches import Batch
from engine.training.members import batched, layout
from engine.training.members import losses as member_losses
from engine.training.pictures.probe import Arrays, Probe, few, words
from engine.training.surfaces import Point

POINTS = 1000  # of the path at most
CHECKPOINTS = 30  # read for the path at most; each takes 2 ms
MARGIN = 0.25  # on each side, as a share of the range that is shown
REACH = 4.0  # a path that diverges is shown up to this many times the distance from its start to the minimum


class _Path(NamedTuple):
    values: Floats  # (P, D)
    steps: NDArray[np.int64]  # (P,)
    source: str


def surface(look: Probe, options: dict[str, Any]) -> Arrays:
    """Compute the loss surface over D = 1 or 2 parameters.

    x: (W,) values of the first parameter. y: (H,) values of the second, if there is one. loss: (H, W), or (W,) for
    one parameter, over the training samples, with penalties. path: (P, D), the parameters at path_steps, (P,).
    path_source: "recorded" at every step, "checkpoints", or "the present, alone" for the current point only. now:
    (D,). minimum: (D,), the lowest place that L-BFGS finds from here, or empty if it finds none. names: (D,).
    """
    objective = Objective(look, few(look.run.dataset.train, options["samples"]))
    path = path_of(look, objective)
    lowest = lowest_place(look, objective)
    now = objective.now()
    axes = [
        torch.linspace(low, high, options["resolution"], dtype=torch.float64).float().to(look.run.device)
        for low, high in ranges(path.values, now, lowest)
    ]
    grids = torch.meshgrid(*reversed(axes), indexing="ij")  # the last parameter by row, the first by column
    places = torch.stack([grid.flatten() for grid in reversed(grids)], dim=1)
    loss = objective.over(places).reshape(grids[0].shape)
    arrays: Arrays = {
        "x": axes[0].cpu().double().numpy(),
        "loss": loss.cpu().double().numpy(),
        "path": path.values,
        "path_steps": path.steps,
        "path_source": np.array(path.source),
        "now": now,
        "minimum": np.empty(0) if lowest is None else lowest,
        "names": words(objective.names),
    }
    return arrays if len(axes) == 1 else arrays | {"y": axes[1].cpu().double().numpy()}


class Objective:
    """The loss that the run minimises, as a function of its D trained numbers."""

    def __init__(self, look: Probe, samples: Batch) -> None:
        self._look, self._samples = look, samples
        self.parameters = {name: p for name, p in look.model.named_parameters() if p.requires_grad}
        self._penalised = {name for name, p in self.parameters.items() if p.ndim >= 2}
        self.names = parameters.names(look.model)
        self._chain = batched.steps(look.model, look.run.dataset.input_shape)
        self._of_members = member_losses.build(look.run.preset.loss, look.run.criterion)
        self.member = look.run.members[0].member

    def now(self) -> Floats:
        return self.flat(self.parameters)

    def flat(self, state: dict[str, Any]) -> Floats:
        """Return the trained numbers of a state dict, (D,)."""
        values = torch.cat([state[name].detach().flatten().cpu() for name in self.parameters])
        return values.double().numpy()

    def saved(self, state: dict[str, Any]) -> Floats:
        """Return the trained numbers of a checkpoint. One of several members holds those of all, (M, …) each."""
        mine = {name: state[name] for name in self.parameters}
        several = any(mine[name].ndim > p.ndim for name, p in self.parameters.items())
        return self.flat({name: tensor[self.member] for name, tensor in mine.items()} if several else mine)

    def at(self, values: Tensor) -> Tensor:
        """Return the loss at a place: (D,) -> scalar."""
        state: dict[str, Tensor] = {}
        taken = 0
        for name, parameter in self.parameters.items():
            state[name] = values[taken : taken + parameter.numel()].view(parameter.shape)
            taken += parameter.numel()
        run = self._look.run
        loss = run.criterion(functional_call(self._look.model, state, (self._samples.inputs,)), self._samples.targets)
        penalty = losses.penalty([state[name] for name in self._penalised], run.preset.loss)
        return loss if penalty is None else loss + penalty

    @torch.no_grad()
    def over(self, places: Tensor) -> Tensor:
        """Return the losses at places, without gradients: (n, D) -> (n,)."""
        return torch.cat([self.many(part) for part in torch.split(places, 256)])

    def many(self, places: Tensor) -> Tensor:
        """Return the losses at places, with their graph for autograd: (n, D) -> (n,).

        They are computed as batched products if the model allows, which is ten times as fast as vmap.
        """
        outputs = self._outputs(places)
        if outputs is not None:
            return self._of_members(outputs, self._samples.targets, None) + self._penalties(places)
        try:
            return vmap(self.at)(places)
        except (RuntimeError, ValueError):  # a user's model that reads the values of its tensors
            return torch.stack([self.at(place) for place in places])

    def _outputs(self, places: Tensor) -> Tensor | None:
        """Return the outputs at places, (n, D) -> (n, B, K), or None for a model without a batched form."""
        count, inputs = len(places), self._samples.inputs
        if isinstance(self._look.model, Point):
            return places.unsqueeze(1).expand(count, len(inputs), 2)
        if self._chain is None:
            return None
        fixed = {name: t.expand(count, *t.shape) for name, t in layout.fixed(self._look.model)}
        return batched.forward(self._chain, self._states(places) | fixed, inputs, count, True, lambda *_: None)

    def _states(self, places: Tensor) -> dict[str, Tensor]:
        """Return the parameters of n models at places (n, D), (n, …) each."""
        sizes = [parameter.numel() for parameter in self.parameters.values()]
        parts = zip(self.parameters.items(), torch.split(places, sizes, dim=1), strict=True)
        return {name: part.reshape(-1, *parameter.shape) for (name, parameter), part in parts}

    def _penalties(self, places: Tensor) -> Tensor | float:
        loss = self._look.run.preset.loss
        weights = [tensor for name, tensor in self._states(places).items() if name in self._penalised]
        added = member_losses.penalty(weights, loss.l1, loss.l2) if weights else None
        return 0.0 if added is None else added


def lowest_place(look: Probe, objective: Objective) -> Floats | None:
    """Find the lowest place from the current parameters. Takes a few milliseconds. None if the search diverges."""
    values = torch.tensor(objective.now(), dtype=torch.float32, device=look.run.device, requires_grad=True)
    if not bool(torch.isfinite(values).all()):
        return None
    search = torch.optim.LBFGS([values], max_iter=60, line_search_fn="strong_wolfe", tolerance_grad=1e-7)

    def closure() -> Tensor:
        with torch.enable_grad():
            loss = objective.at(values)
            (values.grad,) = torch.autograd.grad(loss, [values])
        return loss

    search.step(closure)  # type: ignore[no-untyped-call]
    found = values.detach().cpu().double().numpy()
    near = np.isfinite(found).all() and np.abs(found - objective.now()).max() < 1e3 * (
        1 + np.abs(objective.now()).max()
    )
    return found if near else None


def path_of(look: Probe, objective: Objective) -> _Path:
    """Return the path from the metrics if they hold the parameters, else from the remaining checkpoints."""
    if look.folder is None:
        return _Path(objective.now()[None], np.array([look.run.step]), "the present, alone")
    metrics = Metrics(look.folder.path)
    columns = metrics.layout.columns if metrics.layout is not None else ()
    wanted = [PARAMETER + name for name in objective.names]
    if all(name in columns for name in wanted):
        rows = metrics.columns(wanted, objective.member).astype(np.float64)
        found = np.flatnonzero(np.isfinite(rows).all(axis=1))
        if len(found):
            found = found[np.unique(np.linspace(0, len(found) - 1, POINTS).astype(np.int64))]
        # Row i holds the parameters after i + 1 updates. The first checkpoint holds those at the start.
        start = _start(look.folder, objective)
        path = _Path(np.concatenate([*start, rows[found]]), np.concatenate([[0] * len(start), found + 1]), "recorded")
        return _and_now(path, objective, look.run.step)
    places: list[tuple[int, Floats]] = []
    before = [step for step in look.folder.checkpoints() if step < look.run.step]
    chosen = (
        before if len(before) <= CHECKPOINTS else [before[i * len(before) // CHECKPOINTS] for i in range(CHECKPOINTS)]
    )
    for step in chosen:
        try:
            places.append((step, objective.saved(checkpoint.read(look.folder.checkpoint(step))["model"])))
        except (ValueError, KeyError):
            continue  # a damaged checkpoint; the others still show the path
    if not places:
        return _Path(objective.now()[None], np.array([look.run.step]), "the present, alone")
    steps = np.array([step for step, _ in places])
    return _and_now(_Path(np.stack([values for _, values in places]), steps, "checkpoints"), objective, look.run.step)


def _start(folder: RunFolder, objective: Objective) -> list[Floats]:
    """Return the parameters at the start, (1, D). Nothing if they are not kept, as in a fork."""
    if 0 not in folder.checkpoints():
        return []
    try:
        return [objective.saved(checkpoint.read(folder.checkpoint(0))["model"])[None]]
    except (ValueError, KeyError):
        return []


def _and_now(path: _Path, objective: Objective, step: int) -> _Path:
    before = path.steps < step
    values = np.concatenate([path.values[before], objective.now()[None]])
    return _Path(values, np.append(path.steps[before], step), path.source)


def ranges(path: Floats, now: Floats, lowest: Floats | None) -> list[tuple[float, float]]:
    """Return the range to show of each parameter: start, now, minimum, and the path unless it goes too far."""
    path = path[np.isfinite(path).all(axis=1)]
    anchors = [place for place in (*path[:1], lowest) if place is not None]
    if not anchors:
        raise DescentError(_("its parameters are not finite"))
    centre = anchors[-1]
    reach = REACH * max([float(np.abs(place - centre).max()) for place in anchors] + [0.5])
    seen = np.stack([*anchors, *(np.clip(place, centre - reach, centre + reach) for place in (*path, now))])
    seen = seen[np.isfinite(seen).all(axis=1)]
    low, high = seen.min(axis=0), seen.max(axis=0)
    widest = max(float((high - low).max()), 0.5)
    # A parameter that has hardly changed still gets room, to show the shape of the valley.
    short = np.maximum(0, 0.6 * widest - (high - low)) / 2
    pad = MARGIN * np.maximum(high - low, 0.6 * widest)
    return list(zip((low - short - pad).tolist(), (high + short + pad).tolist(), strict=True))
