"""The update of all members at once: backward, clipping and the optimizer's step. update.Update with a member axis.

The update rules are those of torch.optim. Their scalars may differ by member. A scalar is a float for all, or a
column (M, 1). weights, gradients: (M, P), with a row for each member. Each rule returns the direction, (M, P), and
the caller subtracts lr times the direction from the weights without changing it. The rule's state is updated in
place: tensors (M, P) that begin at 0. All is element-wise, so a member's row does not depend on any other.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop.device import has_float64, to_device
from engine.preset import schema
from engine.training.members.stacked import Members

Scalar = float | Tensor
Rule = Callable[["Slots", dict[str, Scalar], Tensor, Tensor], Tensor]
ALL = slice(None)  # members
SCALARS = ("momentum", "nesterov", "beta1", "beta2", "alpha", "eps", "weight_decay")


class Slots:
    """The state of a rule between steps."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self.step = 0  # updates completed, including the current one
        self.tensors: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            self.tensors[name] = torch.zeros_like(self._like)
        return self.tensors[name]


def sgd(slots: Slots, scalars: dict[str, Scalar], weights: Tensor, gradients: Tensor) -> Tensor:
    gradients = _decayed(scalars, weights, gradients)
    momentum = scalars["momentum"]
    if is_zero(momentum):
        return gradients
    velocity = slots["momentum_buffer"].mul_(momentum).add_(gradients)
    return gradients + velocity * momentum if scalars["nesterov"] else velocity


def adagrad(slots: Slots, scalars: dict[str, Scalar], weights: Tensor, gradients: Tensor) -> Tensor:
    gradients = _decayed(scalars, weights, gradients)
    squares = slots["sum"].addcmul_(gradients, gradients)
    return gradients.div(squares.sqrt().add_(scalars["eps"]))


def rmsprop(slots: Slots, scalars: dict[str, Scalar], weights: Tensor, gradients: Tensor) -> Tensor:
    gradients = _decayed(scalars, weights, gradients)
    squares = _average(slots["square_avg"], gradients.square(), scalars["alpha"])
    step = gradients.div(squares.sqrt().add_(scalars["eps"]))
    momentum = scalars["momentum"]
    if not is_zero(momentum):
        return slots["momentum_buffer"].mul_(momentum).add_(step)
    return step


def adam(slots: Slots, scalars: dict[str, Scalar], weights: Tensor, gradients: Tensor) -> Tensor:
    return _adam(slots, scalars, _decayed(scalars, weights, gradients))


def adamw(slots: Slots, scalars: dict[str, Scalar], weights: Tensor, gradients: Tensor) -> Tensor:
    direction = _adam(slots, scalars, gradients)
    decay = scalars["weight_decay"]
    # torch shrinks the weights before it moves them. The sum of both directions does the same.
    return direction if is_zero(decay) else direction.add_(weights * decay)


RULES: dict[str, Rule] = {"sgd": sgd, "adagrad": adagrad, "rmsprop": rmsprop, "adam": adam, "adamw": adamw}


def _adam(slots: Slots, scalars: dict[str, Scalar], gradients: Tensor) -> Tensor:
    beta1, beta2 = scalars["beta1"], scalars["beta2"]
    average = _average(slots["exp_avg"], gradients, beta1)
    squares = _average(slots["exp_avg_sq"], gradients.square(), beta2)
    root = squares.sqrt().div_(_sqrt(_correction(beta2, slots.step, squares))).add_(scalars["eps"])
    return (average / root).div_(_correction(beta1, slots.step, squares))


def _decayed(scalars: dict[str, Scalar], weights: Tensor, gradients: Tensor) -> Tensor:
    decay = scalars["weight_decay"]
    if is_zero(decay):
        return gradients
    return (
        gradients.add(weights, alpha=decay) if isinstance(decay, float) else torch.addcmul(gradients, weights, decay)
    )


def _average(average: Tensor, value: Tensor, beta: Scalar) -> Tensor:
    """Update a running average: average ← beta · average + (1 − beta) · value."""
    return average.lerp_(value, 1 - beta)


def _correction(beta: Scalar, step: int, like: Tensor) -> Scalar:
    """Return 1 − betaᵗ, in double precision, because it is tiny in the first steps if beta is near 1."""
    if isinstance(beta, float):
        return float(1 - beta**step)
    if has_float64(beta.device):
        return (1 - beta.double() ** step).to(like.dtype)
    return -torch.expm1(step * torch.log1p(beta - 1))  # beta − 1 is exact, so this loses no digits either


def _sqrt(value: Scalar) -> Scalar:
    return math.sqrt(value) if isinstance(value, float) else value.sqrt()


def is_zero(scalar: Scalar) -> bool:
    """Return whether it is 0 for all.

    A scalar that differs by member is not, so this does not wait for the device.
    """
    return isinstance(scalar, float) and scalar == 0


class MemberUpdate:
    """One optimizer update of M models.

    The loop calls `zero()`, `backward(losses)` for each part of the batch, `finish_gradients()`, then `apply(lr)`,
    as with Update.

    A member whose loss or next weights are not finite is frozen: it keeps its last finite weights from then on. This
    is checked on the device at every step, before the weights change, and no step waits for it.
    """

    def __init__(
        self,
        members: Members,
        optimizers: Sequence[schema.AnyOptimizer],
        *,
        clip_norm: float | None = None,
        rows: slice = ALL,
    ) -> None:
        """optimizers: a section for each member, which may differ in their scalars. clip_norm: for each member.

        rows: those of `optimizers` that `members` are, where other processes train the others.
        """
        self.members, self._rows = members, rows
        self.set(optimizers, clip_norm)
        weights = members.weights
        self.trains = torch.ones(members.count, dtype=torch.bool, device=weights.device)  # False once frozen
        self._slots = Slots(weights)
        self._ones = torch.ones(members.count, device=weights.device)
        self._losses: list[Tensor] = []
        self._buffers: list[Tensor] = []  # running statistics of batch norms, from before the step
        self.gradients = torch.empty(0)  # (M, P), from finish_gradients to apply

    def set(self, optimizers: Sequence[schema.AnyOptimizer], clip_norm: float | None) -> None:
        """Use other scalars from now on. Raises DescentError if the sections have different optimizers."""
        self.clip_norm = clip_norm
        names = {section.name for section in optimizers}
        if len(names) > 1 or len(optimizers[self._rows]) != self.members.count:
            raise DescentError(
                _(
                    "members share one optimizer.name; use a study to compare {names}",
                    names=", ".join(sorted(names)),
                )
            )
        self._rule = RULES[optimizers[0].name]
        given = [section.model_dump() for section in optimizers]
        if len({of_one.get("nesterov") for of_one in given}) > 1:
            raise DescentError(_("members share optimizer.nesterov; use a study to compare true and false"))
        like = self.members.weights
        self._scalars = {
            key: rows_of(scalar([float(of_one[key]) for of_one in given], like), self._rows)
            for key in SCALARS
            if key in given[0]
        }

    def zero(self) -> None:
        """Clear the gradients of the step before.

        Call it before the forward pass, so that the buffers of frozen members can be restored afterwards.
        """
        self.members.zero()
        self._losses = []
        self._buffers = self.members.buffers()

    def backward(self, losses: Tensor) -> None:
        """Add the gradients of `losses`, (M,), each with respect to its own member's weights."""
        # As torch.autograd.backward(losses, ones) does. That imports SymPy to compare the two shapes, which takes a
        # second and 70 MB in each process, and is slower in each step.
        engine = torch.autograd.Variable._execution_engine
        engine.run_backward(
            (losses,), (self._ones.to(losses.dtype),), False, False, (), allow_unreachable=True, accumulate_grad=True
        )
        self._losses.append(losses.detach())

    def finish_gradients(self, measure: bool) -> tuple[Tensor, Tensor] | None:
        """Collect the gradients, and clip those of each member to `clip_norm`.

        Returns the norms of each member's whole gradient before and after clipping, (M,) each. None if they were
        neither needed nor to be measured.
        """
        self.gradients = self.members.gradients()
        if not measure and self.clip_norm is None:
            return None
        norms = torch.linalg.vector_norm(self.gradients, dim=1)
        if self.clip_norm is None:
            return norms, norms
        self.gradients.mul_((self.clip_norm / (norms + 1e-6)).clamp(max=1.0).unsqueeze(1))  # as torch does it
        return norms, norms.clamp(max=self.clip_norm)

    @torch.no_grad()
    def apply(self, lr: float | Tensor) -> None:
        """Move the weights. lr: the learning rate of all, or (M,)."""
        weights = self.members.weights
        self._slots.step += 1
        direction = self._rule(self._slots, self._scalars, weights, self.gradients)
        if isinstance(lr, Tensor):
            moved = torch.addcmul(weights, direction, lr.to(weights.dtype).unsqueeze(1), value=-1)
        else:
            moved = weights.sub(direction, alpha=lr)
        self.trains &= (moved.sum(dim=1) + sum(self._losses)).isfinite()
        if weights.device.type != "cpu" or not bool(
            self.trains.all()
        ):  # reading the flags of another device would wait for it
            moved = torch.where(self.trains.unsqueeze(1), moved, weights)  # 0 times NaN would be NaN
            self.members.put_back(self._buffers, self.trains)
        weights.copy_(moved)

    def freeze(self, member: int) -> None:
        """Keep this member's weights as they are from now on."""
        self.trains[member] = False

    def thaw(self, member: int) -> None:
        """Train this member again."""
        self.trains[member] = True

    def marked(self, values: Tensor) -> Tensor:
        """Return the values, (M,), with NaN for frozen members."""
        return torch.where(self.trains, values, float("nan"))

    def state(self) -> dict[str, Any]:
        """Return what the next step depends on besides the weights. The tensors are the live ones."""
        return {"step": self._slots.step, "trains": self.trains, "tensors": dict(self._slots.tensors)}

    def fits(self, state: Mapping[str, Any]) -> bool:
        """Return whether `state` has as many members and parameters as this update."""
        shapes = {tuple(tensor.shape) for tensor in state.get("tensors", {}).values()}
        return shapes <= {tuple(self.members.weights.shape)} and "trains" in state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore `state`."""
        self._slots.step = state["step"]
        self._slots.tensors = {name: self._slots[name].copy_(tensor) for name, tensor in state["tensors"].items()}
        self.trains.copy_(state["trains"])


def scalar(values: Sequence[float], like: Tensor) -> Scalar:
    """Return one float if all values are equal, else a column (M, 1) of the type and on the device of `like`."""
    if len(set(values)) == 1:
        return values[0]
    return to_device(torch.tensor(values, dtype=like.dtype), like.device).unsqueeze(1)


def rows_of(values: Scalar, rows: slice) -> Scalar:
    """Return the values of some members. One float for all stays one, so that they are computed with as before."""
    return values[rows] if isinstance(values, Tensor) else values


class Scalars:
    """One scalar of each member for every step, copied to the device only when it has changed."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._on_device: Scalar = math.nan

    def __call__(self, values: list[float], like: Tensor) -> Scalar:
        """Return one float if all values are equal, else (M,) of the type and on the device of `like`."""
        if values != self._values:
            made = scalar(values, like)
            self._values, self._on_device = values, made if isinstance(made, float) else made.squeeze(1)
        return self._on_device
