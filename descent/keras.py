"""A run of Keras on PyTorch: `model.fit(…, callbacks=[descent.keras.DescentCallback()])`.

The loop is Keras's: it goes on from what Keras itself has saved. The same `id` then goes on in the same run.
"""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop.led import Begun, evaluated, missing
from descent.loop.watched import Loop

try:
    import keras
    from keras.callbacks import Callback
    from keras.optimizers.schedules import LearningRateSchedule
except ImportError as error:
    raise missing("keras", error) from error


class DescentCallback(Callback):
    """Records every step of a fit, and follows commands between two batches. A stop ends the fit as Keras does.

    Its arguments are those of descent.init.
    """

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__()
        self._begun = Begun(name, options)
        self.run: Loop | None = None  # from the beginning of the training
        self._give_back: list[Callable[[], None]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        if keras.backend.backend() != "torch":
            raise DescentError(
                _(
                    "Keras trains with {backend}, and Descent watches PyTorch: set KERAS_BACKEND=torch before keras "
                    "is imported",
                    backend=keras.backend.backend(),
                )
            )
        if self.model.jit_compile:
            raise DescentError(_("a step that Keras compiles can't be watched: compile(…, jit_compile=False)"))
        run = self.run = self._begun.begin({k: v for k, v in self.params.items() if k in ("epochs", "steps")})
        epochs, steps = self.params.get("epochs"), self.params.get("steps")
        optimizer = self.model.optimizer
        total = epochs * steps if epochs and steps else None
        run.lead("Keras", after=int(optimizer.iterations), total_steps=total, steps_per_epoch=steps)
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        steps, scale = _Steps(optimizer), optimizer.scale_loss
        run.watch(_model_of(self.model), steps)

        def scaled(loss: Any) -> Any:
            run.log(loss=loss)
            return scale(loss)

        optimizer.apply, optimizer.scale_loss = steps.apply, scaled  # until the training ends
        self._give_back = [lambda: delattr(optimizer, "apply"), lambda: delattr(optimizer, "scale_loss")]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.run is not None and self.run.between_steps():
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.run is not None:
            evaluated(self.run, {k: v for k, v in (logs or {}).items() if k.startswith("val_")})
            if self.run.end_epoch(epoch + 1, self.params.get("epochs")):
                self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        for give_back in self._give_back:
            give_back()
        self._give_back = []
        if self.run is not None:
            self.run.end("finished")


def _model_of(model: Any) -> nn.Module:
    """Return the weights of a model of Keras, by layer. Keras itself shows them to PyTorch in one flat list."""
    made = nn.Module()
    for variable in model.variables:
        path, _slash, name = variable.path.rpartition("/")
        parts = path.split("/")
        label = "_".join(parts[1:] or parts) or "model"
        if not hasattr(made, label):
            made.add_module(label, type(re.sub(r"_\d+$", "", parts[-1]) or "model", (nn.Module,), {})())
        layer = getattr(made, label)
        if variable.trainable and variable.value.is_floating_point():
            layer.register_parameter(name, variable.value)
        else:
            layer.register_buffer(name, variable.value.data)
    return made


class _Steps(torch.optim.Optimizer):
    """An optimizer of Keras in the form of PyTorch's: one group, whose rate is Keras's, and a step that hooks see."""

    def __init__(self, optimizer: Any) -> None:
        parameters = [variable.value for variable in optimizer._trainable_variables]
        super().__init__(parameters, {"lr": 0.0})
        self._group = _Group(self.param_groups[0], optimizer)
        self.param_groups = [self._group]
        self._optimizer = optimizer
        self._apply = optimizer.apply
        self._given: tuple[Any, ...] = ()

    def apply(self, *given: Any) -> None:
        """Update the weights, in the place of Keras's own function."""
        self._given = given
        self.step()
        self._group.used = None

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self._group.used = self._group["lr"]
        self._apply(*self._given)

    def state_dict(self) -> dict[str, Any]:
        return {str(n): variable.value.detach() for n, variable in enumerate(self._optimizer.variables)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for n, variable in enumerate(self._optimizer.variables):
            variable.assign(state[str(n)])


class _Group(dict[str, Any]):
    """A group of parameters whose "lr" is the rate of an optimizer of Keras."""

    def __init__(self, group: dict[str, Any], optimizer: Any) -> None:
        super().__init__(group)
        self._optimizer = optimizer
        self._schedule = getattr(optimizer, "_learning_rate", None)
        self._has_hand = False
        self.used: float | None = None  # the rate of the step under way, which takes a schedule to its next rate
        if isinstance(self._schedule, LearningRateSchedule):
            self["initial_lr"] = float(optimizer.learning_rate)  # as PyTorch's own schedules leave it
        super().__setitem__("lr", float(optimizer.learning_rate))

    def __getitem__(self, key: str) -> Any:
        if key != "lr":
            return super().__getitem__(key)
        return float(self._optimizer.learning_rate) if self.used is None else self.used

    def __setitem__(self, key: str, value: Any) -> None:
        self.used = None
        if key == "lr" and isinstance(self._schedule, LearningRateSchedule):
            # Set before a step to another rate than the schedule's, and after it to that of the schedule.
            self._has_hand = not self._has_hand
            self._optimizer.learning_rate = _Constant(value) if self._has_hand else self._schedule
        elif key == "lr":
            self._optimizer.learning_rate = value
        else:
            super().__setitem__(key, value)


class _Constant(LearningRateSchedule):
    """The rate of one step."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def __call__(self, step: Any) -> float:
        return self._rate

    def get_config(self) -> dict[str, Any]:
        return {"rate": self._rate}
