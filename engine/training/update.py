"""The update of the weights from a loss: backward, scaling, clipping and the optimizer's step."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.common.i18n import _
from engine.preset import schema
from engine.training import optimizers
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
        own_step: bool = False,
        device: torch.device,
    ) -> None:
        """own_step: the user's own training step is used, which may add up gradients over several steps."""
        self._keeps_gradients = own_step
        self.optimizer = optimizer
        self._step = bare_step(optimizer)
        self.parameters = list(parameters)
        self.clip_norm = clip_norm
        # fp16 gradients underflow, so the loss is scaled up and the gradients are scaled down again.
        self.scaler = torch.amp.GradScaler(device.type) if fp16 else None
        if fp16 and not getattr(optimizer, "_step_supports_amp_scaling", False):
            # With any other optimizer, every step would wait for the device to know whether to skip it.
            raise PresetError(_('train.precision = "fp16" works only with optimizer.name = sgd, adam or adamw'))

    def zero(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None  # the same as optimizer.zero_grad, without a profiler's mark that costs 10 µs

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss`, a scalar, to those of the earlier parts of the batch."""
        torch.autograd.backward(loss if self.scaler is None else self.scaler.scale(loss))

    def finish_gradients(self, measure: bool) -> tuple[Tensor, Tensor] | None:
        """Scale the gradients back and clip them.

        Returns the norm of the whole gradient before and after clipping, two scalars on the device. None if it was
        neither needed nor to be measured.
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

    def apply(self, lr: float | Tensor) -> None:
        """Move the weights, at learning rate `lr`."""
        optimizers.set_rate(self.optimizer, lr)
        if self.scaler is None:
            self._step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def state(self) -> dict[str, Any]:
        """Return what the next update depends on besides the weights, for a checkpoint.

        The tensors are the live ones.
        """
        scaler = None if self.scaler is None else self.scaler.state_dict()
        kept = {"gradients": optimizers.gradients(self.parameters)} if self._keeps_gradients else {}
        return {"optimizer": self.optimizer.state_dict(), "scaler": scaler, **kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore `state`, which may come from another device."""
        optimizers.load_state(self.optimizer, state["optimizer"])
        if self._keeps_gradients:
            optimizers.put_gradients(self.parameters, state.get("gradients", []))
        if self.scaler is not None and state["scaler"] is not None:
            self.scaler.load_state_dict(state["scaler"])

    def fits(self, state: Mapping[str, Any]) -> bool:
        """Return whether `state` has as many parameters as this update."""
        stored = [len(group["params"]) for group in state["optimizer"]["param_groups"]]
        return stored == [len(group["params"]) for group in self._groups]

    def marked(self, values: Tensor) -> Tensor:
        """Return the loss or the accuracy to record. With members, NaN for those that no longer train."""
        return values

    def set(self, section: schema.AnyOptimizer, clip_norm: float | None) -> None:
        """Use the scalars of `section`, and this limit of the gradient norm, from now on."""
        optimizers.settle(self.optimizer, section)
        self.clip_norm = clip_norm
