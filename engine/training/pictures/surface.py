"""The training loss over the parameters of a model that has one or two, and the way the run took across it."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, vmap

from engine.errors import DescentError
from engine.metrics import Metrics
from engine.training import checkpoint, losses
from engine.training.data import Split
from engine.training.pictures.look import Arrays, Look, few, words

POINTS = 1000  # of the path
CHECKPOINTS = 30  # that are read for it, at most: each takes 2 ms
MARGIN = 0.25  # of what must be seen, on each side
REACH = 4.0  # a path that runs away is shown to this many times the distance from its start to the minimum
COLUMN = "parameter."  # metrics columns "parameter.NAME" hold small models' parameters, where they are recorded

Floats = NDArray[np.float64]


class _Path(NamedTuple):
    values: Floats  # (P, D)
    steps: NDArray[np.int64]  # (P,)
    source: str


def surface(look: Look, options: dict[str, Any]) -> Arrays:
    """For D = 1 or 2 parameters: x: (W,) values of the first; y: (H,) of the second, where there is one.

    loss: (H, W), or (W,) for one parameter: what is minimised, penalties included, over the training samples.
    path: (P, D) where the run was at path_steps: (P,); path_source: "recorded" at every step, or "checkpoints", or
    "the present, alone". now: (D,). minimum: (D,) the lowest place that L-BFGS finds from here; empty where it finds
    none. names: (D,).
    """
    split = few(look.run.dataset.train, options["samples"])
    objective = _Objective(look, split)
    path = _path(look, objective)
    lowest = _minimum(look, objective)
    now = objective.now()
    axes = [
        torch.linspace(low, high, options["resolution"], dtype=torch.float64, device=look.run.device).float()
        for low, high in _ranges(path.values, now, lowest)
    ]
    grids = torch.meshgrid(*reversed(axes), indexing="ij")  # the last parameter down, the first across
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
        "names": words(objective.names()),
    }
    return arrays if len(axes) == 1 else arrays | {"y": axes[1].cpu().double().numpy()}


class _Objective:
    """What the run minimises, as a function of its D trained numbers."""

    def __init__(self, look: Look, split: Split) -> None:
        self._look, self._split = look, split
        self.parameters = {name: p for name, p in look.model.named_parameters() if p.requires_grad}
        self._penalised = {name for name, p in self.parameters.items() if p.ndim >= 2}
        self.columns = [
            name if p.numel() == 1 else f"{name}[{i}]"
            for name, p in self.parameters.items()
            for i in range(p.numel())
        ]

    def now(self) -> Floats:
        return self.flat(self.parameters)

    def flat(self, state: dict[str, Any]) -> Floats:
        """The trained numbers of a state dict, (D,)."""
        values = torch.cat([state[name].detach().flatten().cpu() for name in self.parameters])
        return values.double().numpy()

    def names(self) -> list[str]:
        """Short ones: a line's are weight and bias."""
        short = [name.rpartition(".")[2] for name in self.columns]
        return short if len(set(short)) == len(short) else list(self.columns)

    def at(self, values: Tensor) -> Tensor:
        """(D,) -> scalar"""
        state: dict[str, Tensor] = {}
        taken = 0
        for name, parameter in self.parameters.items():
            state[name] = values[taken : taken + parameter.numel()].view(parameter.shape)
            taken += parameter.numel()
        run = self._look.run
        loss = run.criterion(functional_call(self._look.model, state, (self._split.inputs,)), self._split.targets)
        penalty = losses.penalty([state[name] for name in self._penalised], run.preset.loss)
        return loss if penalty is None else loss + penalty

    @torch.no_grad()
    def over(self, places: Tensor) -> Tensor:
        """(n, D) -> (n,)"""
        try:
            return vmap(self.at, chunk_size=256)(places)
        except (RuntimeError, ValueError):  # a model of the user's that looks at its values
            return torch.stack([self.at(place) for place in places])


def _minimum(look: Look, objective: _Objective) -> Floats | None:
    """From where the run stands: a few milliseconds. None where it ends nowhere near."""
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


def _path(look: Look, objective: _Objective) -> _Path:
    """From the metrics where they hold the parameters, else from the checkpoints that are still there."""
    if look.folder is None:
        return _Path(objective.now()[None], np.array([look.run.step]), "the present, alone")
    metrics = Metrics(look.folder.path)
    columns = metrics.layout.columns if metrics.layout is not None else ()
    wanted = [COLUMN + name for name in objective.columns]
    if all(name in columns for name in wanted):
        rows = metrics.rows()[:, 0, [columns.index(name) for name in wanted]].astype(np.float64)
        steps = np.flatnonzero(np.isfinite(rows).all(axis=1))
        kept = (
            steps[np.unique(np.linspace(0, max(0, len(steps) - 1), POINTS).astype(np.int64))] if len(steps) else steps
        )
        # Row i was written before update i, so it is where the run stood after i updates.
        return _and_now(_Path(rows[kept], kept, "recorded"), objective, look.run.step)
    found: list[tuple[int, Floats]] = []
    before = [step for step in look.folder.checkpoints() if step < look.run.step]
    chosen = (
        before if len(before) <= CHECKPOINTS else [before[i * len(before) // CHECKPOINTS] for i in range(CHECKPOINTS)]
    )
    for step in chosen:
        try:
            state = checkpoint.read(look.folder.checkpoint(step))["model"]
            found.append((step, objective.flat(state)))
        except (ValueError, KeyError):
            continue  # a damaged one; the others still tell the way
    if not found:
        return _Path(objective.now()[None], np.array([look.run.step]), "the present, alone")
    steps = np.array([step for step, _ in found])
    return _and_now(_Path(np.stack([values for _, values in found]), steps, "checkpoints"), objective, look.run.step)


def _and_now(path: _Path, objective: _Objective, step: int) -> _Path:
    before = path.steps < step
    values = np.concatenate([path.values[before], objective.now()[None]])
    return _Path(values, np.append(path.steps[before], step), path.source)


def _ranges(path: Floats, now: Floats, lowest: Floats | None) -> list[tuple[float, float]]:
    """Of each parameter: where the run began, is and may end, and the way between as far as it does not run away."""
    path = path[np.isfinite(path).all(axis=1)]
    anchors = [place for place in (*path[:1], lowest) if place is not None]
    if not anchors:
        raise DescentError("its parameters are not finite")
    centre = anchors[-1]
    reach = REACH * max([float(np.abs(place - centre).max()) for place in anchors] + [0.5])
    seen = np.stack([*anchors, *(np.clip(place, centre - reach, centre + reach) for place in (*path, now))])
    seen = seen[np.isfinite(seen).all(axis=1)]
    low, high = seen.min(axis=0), seen.max(axis=0)
    widest = max(float((high - low).max()), 0.5)
    # A parameter that began near its end still gets room: the valley's shape is what one wants to see.
    short = np.maximum(0, 0.6 * widest - (high - low)) / 2
    pad = MARGIN * np.maximum(high - low, 0.6 * widest)
    return list(zip((low - short - pad).tolist(), (high + short + pad).tolist(), strict=True))
