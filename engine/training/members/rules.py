"""The update rules of torch.optim for all members at once, with scalars that may differ by member.

weights and gradients: (M, P), a row a member. A scalar is a float for all, or a column (M, 1). Each rule gives the
direction, (M, P), of which the caller subtracts lr times from the weights, and must not change it. The rule's state,
tensors (M, P) that begin at 0, is kept up to date in place. All is element-wise: a member's row depends on no other.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Scalar = float | Tensor
Rule = Callable[["Slots", dict[str, Scalar], Tensor, Tensor], Tensor]


class Slots:
    """What a rule remembers between steps."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self.step = 0  # updates completed, the one under way counted in
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
    # torch shrinks the weights before it moves them, which the sum of both does, too.
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
    """average ← beta · average + (1 − beta) · value"""
    return average.lerp_(value, 1 - beta)


def _correction(beta: Scalar, step: int, like: Tensor) -> Scalar:
    """1 − betaᵗ, in double precision: at the first steps of a beta near 1 little is left of it."""
    if isinstance(beta, float):
        return float(1 - beta**step)
    return (1 - beta.double() ** step).to(like.dtype)


def _sqrt(value: Scalar) -> Scalar:
    return math.sqrt(value) if isinstance(value, float) else value.sqrt()


def is_zero(scalar: Scalar) -> bool:
    """Whether it is 0 for all. What differs by member is not 0 for all, so nobody need ask the device."""
    return isinstance(scalar, float) and scalar == 0
