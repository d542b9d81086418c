"""Loss functions, their penalties, and what counts as a right answer.

outputs: (B, K), K = 1 for the losses of one output. targets: (B,) int64 class labels, or (B, T) float32.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from descent.common.errors import PresetError
from engine.preset import schema
from engine.training import surfaces
from engine.training.user_code import CodeLoader, call_user_code

Criterion = Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) -> scalar, the mean over the batch
Task = Literal["classification", "regression"]

ONE_OUTPUT = ("bce", "perceptron")


def build(section: schema.AnyLoss, *, task: Task, num_classes: int, code: CodeLoader | None) -> Criterion:
    """The data loss. PresetError where it can't be the loss of such data."""
    _check(section, task, num_classes)
    match section:
        case schema.CodeLoss():
            return _user_loss(section, code)
        case schema.HuberLoss():
            delta = section.delta
            return lambda outputs, targets: F.huber_loss(outputs, targets, delta=delta)
        case schema.CrossEntropyLoss():
            smoothing = section.label_smoothing
            return lambda outputs, targets: F.cross_entropy(outputs, targets, label_smoothing=smoothing)
        case schema.SurfaceLoss():
            shape = section.shape
            return lambda outputs, targets: surfaces.heights(shape, outputs).mean()
        case _:
            return SIMPLE[section.name]


def outputs(section: schema.AnyLoss, task: Task, target_size: int) -> int:
    """How many outputs the model must have. target_size: number of classes, or of target columns."""
    return 1 if task == "classification" and section.name in ONE_OUTPUT else target_size


def bce(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of sigmoid(outputs)."""
    logits = outputs.squeeze(-1)
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))


def perceptron(outputs: Tensor, targets: Tensor) -> Tensor:
    """max(0, −y z), the label y being ±1 (Rosenblatt, 1958)."""
    scores = _full_precision(outputs.squeeze(-1))
    signs = targets.to(scores.dtype) * 2 - 1
    return F.relu(-signs * scores).mean()


def mse_probabilities(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean over batch and classes of (softmax − one-hot)²; of (sigmoid − y)² where there is one output."""
    logits = _full_precision(outputs)
    if logits.shape[-1] == 1:
        return F.mse_loss(logits.squeeze(-1).sigmoid(), targets.to(logits.dtype))
    # Not F.one_hot: it looks at the values, which waits for the device and does not vmap.
    one_hot = targets.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)
    return F.mse_loss(logits.softmax(dim=-1), one_hot.to(logits.dtype))


SIMPLE: dict[str, Criterion] = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "bce": bce,
    "perceptron": perceptron,
    "mse-probabilities": mse_probabilities,
}


def penalised(model: nn.Module) -> list[nn.Parameter]:
    """The weights that penalties count: biases and the parameters of norms, all vectors, are left out."""
    return [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]


def penalty(weights: Iterable[Tensor], section: schema.AnyLoss) -> Tensor | None:
    """l1·Σ|w| + l2·Σw² over `weights`, a scalar; None where both are 0 or there are no weights."""
    weights = list(weights)
    terms = []
    if section.l1:
        terms += [section.l1 * w.abs().sum() for w in weights]
    if section.l2:
        terms += [section.l2 * w.square().sum() for w in weights]
    return torch.stack(terms).sum() if terms else None


def predictions(outputs: Tensor) -> Tensor:
    """(B, K) -> (B,) int64: the class of the largest output; where K is 1, whether it is above 0."""
    return (outputs.squeeze(-1) > 0).long() if outputs.shape[-1] == 1 else outputs.argmax(dim=-1)


def correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of right predictions, a scalar on the device."""
    return (predictions(outputs) == targets).count_nonzero() / len(targets)


def _check(section: schema.AnyLoss, task: Task, num_classes: int) -> None:
    given = f'loss.name = "{section.name}"'
    if section.name in ("mse", "mae", "huber") and task == "classification":
        raise PresetError(
            f"{given} is for regression, and the data have {num_classes} classes: "
            'did you mean "mse-probabilities" or "cross-entropy"?'
        )
    if section.name in ("cross-entropy", "mse-probabilities", *ONE_OUTPUT) and task == "regression":
        raise PresetError(
            f'{given} is for classification, and the data\'s targets are numbers: use "mse", "mae" or "huber"'
        )
    if section.name in ONE_OUTPUT and num_classes != 2:
        raise PresetError(
            f'{given} is for exactly 2 classes, and the data have {num_classes}: did you mean "cross-entropy"?'
        )


def _user_loss(section: schema.CodeLoss, code: CodeLoader | None) -> Criterion:
    if code is None:
        raise PresetError(f'loss.code = "{section.code}" names code, and none may be run here')
    function = code(section.code)

    def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
        loss = call_user_code(section.code, function, outputs, targets)
        if not isinstance(loss, Tensor) or loss.ndim:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise PresetError(f'loss.code = "{section.code}" must give a scalar tensor; it gave {got}')
        return loss

    return criterion


def _full_precision(tensor: Tensor) -> Tensor:
    """Means of half-precision numbers lose digits."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
