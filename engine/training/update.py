"""Backward, scaling, clipping and the optimizer's step: all that stands between a loss and new weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.errors import PresetError
from engine.training.optimizers import bare_step


class Update:
    """One optimizer update of one model.

    The loop calls `zero()`, `backward(loss)` for each part of the batch, `finish_gradients()`, then `apply(lr)`.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: Sequence[nn.Parameter],
        *,
        clip_norm: float | None = None,
        fp16: bool = False,
        device: torch.device,
    ) -> None:
        self.optimizer = optimizer
        self._step = bare_step(optimizer)
        self.parameters = list(parameters)
        self.clip_norm = clip_norm
        # fp16 gradients underflow, so the loss is scaled up and the gradients down again.
        self.scaler = torch.amp.GradScaler(device.type) if fp16 else None
        if fp16 and not getattr(optimizer, "_step_supports_amp_scaling", False):
            # Any other optimizer would have to ask the device at every step whether to skip it.
            raise PresetError('train.precision = "fp16" works with optimizer.name = sgd, adam or adamw')

    def zero(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None  # optimizer.zero_grad does the same, and a profiler's mark that costs 10 µs more

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss`, a scalar, to what the batch's earlier parts left."""
        torch.autograd.backward(loss if self.scaler is None else self.scaler.scale(loss))

    def finish_gradients(self, measure: bool) -> tuple[Tensor, Tensor] | None:
        """Bring the gradients to their own scale and clip them.

        Returns the norm of the whole gradient before and after clipping, as scalars on the device; None where it
        was neither needed nor to be measured.
        """
        if not measure and self.clip_norm is None:
            return None
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.clip_norm is None:
            return norm, norm
        torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip_norm, norm)
        return norm, norm.clamp(max=self.clip_norm)

    def apply(self, lr: float) -> None:
        """Move the weights, at learning rate `lr`."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.scaler is None:
            self._step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
