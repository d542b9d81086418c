"""Loss functions, their penalties, and right predictions.

outputs: (B, K), K = 1 for the losses of one output. targets: (B,) int64 class labels, or (B, T) float32.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.common.i18n import _
from engine.preset import schema
from engine.training import surfaces
from engine.training.user_code import CodeLoader, call_user_code, described_result

Criterion = Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) -> scalar, the mean over the batch
Task = Literal["classification", "regression"]

ONE_OUTPUT = ("bce", "perceptron")


def build(
    section: schema.AnyLoss, *, task: Task, num_classes: int, code: CodeLoader | None, has_task: bool = False
) -> Criterion:
    """Return the loss without penalties. Raises PresetError if it does not fit the data.

    has_task: whether the data have the setting `data.task`, which says what whole numbers mean.
    """
    _check(section, task, num_classes, has_task)
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


def for_evaluation(section: schema.AnyLoss) -> schema.AnyLoss:
    """Return the loss without what only training adds to it, so that losses of different settings can be compared."""
    if isinstance(section, schema.CrossEntropyLoss) and section.label_smoothing:
        return section.model_copy(update={"label_smoothing": 0.0})
    return section


def outputs(section: schema.AnyLoss, task: Task, target_size: int) -> int:
    """Return how many outputs the model must have. target_size: number of classes, or of target columns."""
    return 1 if task == "classification" and section.name in ONE_OUTPUT else target_size


def of_constant(section: schema.AnyLoss, criterion: Criterion, targets: Tensor, num_classes: int | None) -> float:
    """Return the loss of a model that knows the targets' mean, or the classes' shares, and nothing of the inputs.

    0 for losses of which that is not known. num_classes: None for regression.
    """
    if num_classes is None and section.name in ("mse", "mae", "huber"):
        outputs = targets.mean(dim=0, keepdim=True).expand_as(targets)
    elif num_classes is not None and section.name == "cross-entropy":
        shares = torch.bincount(targets, minlength=num_classes) / len(targets)
        outputs = shares.clamp_min(torch.finfo(shares.dtype).tiny).log().expand(len(targets), num_classes)
    else:
        return 0.0
    return float(criterion(outputs, targets))


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
    """Mean of (softmax − one-hot)² over batch and classes. With one output, mean of (sigmoid − y)²."""
    return F.mse_loss(*answers(outputs, targets))


def mae_probabilities(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean of |softmax − one-hot| over batch and classes. With one output, mean of |sigmoid − y|."""
    return F.l1_loss(*answers(outputs, targets))


def answers(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return softmax and one-hot labels, (…, B, K) both. With one output: sigmoid and labels, (…, B) both."""
    logits = _full_precision(outputs)
    if logits.shape[-1] == 1:
        return logits.squeeze(-1).sigmoid(), targets.to(logits.dtype)
    # F.one_hot is not used: it reads the values, which waits for the device and does not work with vmap.
    one_hot = targets.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)
    return logits.softmax(dim=-1), one_hot.to(logits.dtype)


SIMPLE: dict[str, Criterion] = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "bce": bce,
    "perceptron": perceptron,
    "mse-probabilities": mse_probabilities,
    "mae-probabilities": mae_probabilities,
}


def penalised(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights that penalties count.

    Biases and the parameters of norms, which are vectors, are left out.
    """
    return [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]


def penalty(weights: Iterable[Tensor], section: schema.AnyLoss) -> Tensor | None:
    """Return l1·Σ|w| + l2·Σw² over `weights`, a scalar, or None if both factors are 0 or there are no weights."""
    weights = list(weights)
    terms = []
    if section.l1:
        terms += [section.l1 * w.abs().sum() for w in weights]
    if section.l2:
        terms += [section.l2 * w.square().sum() for w in weights]
    return torch.stack(terms).sum() if terms else None


def predictions(outputs: Tensor) -> Tensor:
    """Return the predicted classes: (B, K) -> (B,) int64. With K = 1 the class is 1 where the output is above 0."""
    return (outputs.squeeze(-1) > 0).long() if outputs.shape[-1] == 1 else outputs.argmax(dim=-1)


def probabilities(outputs: Tensor, section: schema.AnyLoss) -> Tensor:
    """Return the probabilities of the classes, (B, K). One output makes two classes. A perceptron's are 0 or 1."""
    if outputs.shape[-1] > 1:
        return outputs.softmax(dim=-1)
    scores = outputs[:, 0]
    one = (scores > 0).to(scores.dtype) if section.name == "perceptron" else scores.sigmoid()
    return torch.stack([1 - one, one], dim=-1)


def correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of right predictions, a scalar on the device."""
    return (predictions(outputs) == targets).count_nonzero() / targets.shape[0]  # `len` of a tensor takes 2 µs


def _check(section: schema.AnyLoss, task: Task, num_classes: int, has_task: bool) -> None:
    given = f'loss.name = "{section.name}"'
    if section.name in ("mse", "mae", "huber") and task == "classification":
        if has_task:
            raise PresetError(
                _(
                    "{given} is for regression, but the targets of the data are whole numbers or words, which count "
                    'as {count} classes. For quantities set data.task = "regression"; for classes use '
                    '"cross-entropy"',
                    given=given,
                    count=num_classes,
                )
            )
        raise PresetError(
            _(
                "{given} is for regression, but the data have {count} classes; "
                'did you mean "mse-probabilities" or "cross-entropy"?',
                given=given,
                count=num_classes,
            )
        )
    of_classes = ("cross-entropy", "mse-probabilities", "mae-probabilities", *ONE_OUTPUT)
    if section.name in of_classes and task == "regression":
        raise PresetError(
            _(
                '{given} is for classification, but the targets of the data are numbers; use "mse", "mae" or "huber"',
                given=given,
            )
        )
    if section.name in ONE_OUTPUT and num_classes != 2:
        raise PresetError(
            _(
                '{given} is for exactly 2 classes, but the data have {count}; did you mean "cross-entropy"?',
                given=given,
                count=num_classes,
            )
        )


def _user_loss(section: schema.CodeLoss, code: CodeLoader | None) -> Criterion:
    if code is None:
        raise PresetError(_("{given} names code, and no code may be run here", given=f'loss.code = "{section.code}"'))
    function = code(section.code)

    def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
        loss = call_user_code(section.code, function, outputs, targets)
        if not isinstance(loss, Tensor) or loss.ndim:
            raise PresetError(
                _(
                    'loss.code = "{code}" must return a scalar tensor; it returned {returned}',
                    code=section.code,
                    returned=described_result(loss),
                )
            )
        return loss

    return criterion


def _full_precision(tensor: Tensor) -> Tensor:
    """Return half-precision numbers as float32, because their means would lose digits."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
