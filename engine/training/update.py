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
        self._rate: Tensor | None = None
        # fp16 gradients underflow, so the loss is scaled up and the gradients are scaled down again.
        self.scaler = torch.amp.GradScaler(device.type) if fp16 else None
        if fp16 and not getattr(optimizer, "_step_supports_amp_scaling", False):
            # With any other optimizer, every step would wait for the device to know whether to skip it.
            raise PresetError(_('train.precision = "fp16" works only with optimizer.name = sgd, adam or adamw'))

    def keep_rate_on_device(self, *, capturable: bool) -> Tensor:
        """Keep the learning rate in a tensor from now on, which is returned: a captured step reads it there.

        capturable: tell torch's optimizer that it will be captured.
        """
        if self._rate is None:
            self._rate = torch.zeros((), device=self.parameters[0].device)
        for group in self._groups if capturable else []:
            if "capturable" in group:
                group["capturable"] = True
        return self._rate

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
        if self._rate is not None and lr is not self._rate:
            self._rate.fill_(lr)
        optimizers.set_rate(self.optimizer, lr if self._rate is None else self._rate)
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
        state = self.optimizer.state_dict()
        if self._rate is not None:
            # The rate is set at every step, and a tensor of this device would not fit another one.
            state["param_groups"] = [group | {"lr": 0.0} for group in state["param_groups"]]
        return {"optimizer": state, "scaler": scaler, **kept}

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
