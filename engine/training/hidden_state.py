"""State that a training step of the user's own keeps where no checkpoint holds it: it is refused, and named.

A resume, a rewind and a fork begin with a fresh copy of the user's file, and with the weights, the optimizer and the
random generators of a checkpoint. Whatever else a step depends on is lost, and the run is another one from there on.
"""

import copy
import gc
import sys
import weakref
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.common.i18n import _
from descent.loop.checkpoint import copied, random_state, restore_random_state, undisturbed
from engine.training import optimizers
from engine.training.losses import Criterion
from engine.training.train_state import TrainState
from engine.training.update import Update
from engine.training.user_code import call_user_code, line_being_run, reload_object

_made: list[tuple["weakref.ref[torch.optim.Optimizer]", str]] = []  # by the user's code, and in which line


@cache
def watch_optimizers() -> None:
    """Take note, from now on, of each optimizer that the user's code makes in this process."""
    make = torch.optim.Optimizer.__init__

    def make_and_note(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        line = line_being_run(sys._getframe(1))
        if line is not None:
            _made.append((weakref.ref(self), line))

    torch.optim.Optimizer.__init__ = make_and_note  # type: ignore[method-assign]


def refuse_own_optimizers(spec: str, known: Iterable[torch.optim.Optimizer] | None = None) -> None:
    """Raise PresetError if an optimizer that the user's code has made is still kept. spec: "file.py:name".

    known: those of tasks, which a checkpoint holds. None for a step that is a function.
    """
    of_task, known = known is not None, known or ()
    if not _made:
        return
    if any(made() is not None for made, _line in _made):
        gc.collect()  # one that was used within a call may be part of a cycle
    kept = [(optimizer, line) for made, line in _made if (optimizer := made()) is not None]
    kept = [(optimizer, line) for optimizer, line in kept if not any(optimizer is one for one in known)]
    _made.clear()
    if kept:
        optimizer, line = kept[0]
        if of_task:
            raise PresetError(
                _(
                    'train.code = "{code}": {place} makes an optimizer ({kind}) that is no attribute of the task, so '
                    "that no checkpoint holds its state. Keep it in an attribute, in setup()",
                    code=spec,
                    place=line,
                    kind=type(optimizer).__name__,
                )
            )
        raise PresetError(
            _(
                'train.code = "{code}": {place} makes an optimizer of its own ({kind}) that is kept from step to '
                "step. A checkpoint holds only the one that the step is given: a resume, a rewind or a fork would "
                "lose the state of this one, and a change of optimizer.lr would not reach it. Use the optimizer that "
                "is given, or make train.code a class, which may have optimizers of its own among its attributes",
                code=spec,
                place=line,
                kind=type(optimizer).__name__,
            )
        )


def refuse_other_groups(spec: str, optimizer: torch.optim.Optimizer, before: int) -> None:
    """Raise PresetError if the optimizer has other parameter groups than before, which were `before` in number."""
    now = len(optimizer.param_groups)
    if now != before:
        raise PresetError(
            _(
                'train.code = "{code}" changes the parameter groups of the optimizer ({before} before, {now} now). '
                "A resume, a rewind or a fork begins with those of the preset, and could not take up such a "
                "checkpoint. Make all parameters parts of the model from the beginning",
                code=spec,
                before=before,
                now=now,
            )
        )


class Proof:
    """The state of a run of one model before a step, to make that step once more as a resumed run would make it."""

    def __init__(self, run: TrainState, lr: float | Tensor, inputs: Tensor, targets: Tensor) -> None:
        """inputs, targets: what the step is given. It may change them, so they are copied."""
        assert isinstance(run.update, Update)
        self._run, self._lr = run, lr
        self._samples = inputs.clone(), targets.clone()
        self._model = copy.deepcopy(run.model)
        self._update = copied(run.update.state())
        self._random = copy.deepcopy(random_state(run.device))

    def check(self, spec: str, criterion: Criterion) -> None:
        """Raise PresetError if a fresh copy of the user's file ends the step with other weights than the run has.

        What can't be tried with a fresh copy is not refused.
        """
        run, model = self._run, self._model
        trained = [p for p in model.parameters() if p.requires_grad]
        with undisturbed(run.device):
            optimizer = optimizers.build(run.preset.optimizer, trained, run.device)
            optimizers.load_state(optimizer, self._update["optimizer"])
            optimizers.lighten(optimizer)
            optimizers.set_rate(optimizer, self._lr)
            optimizers.put_gradients(trained, self._update["gradients"])
            restore_random_state(self._random, run.device)
            try:
                function = reload_object(spec)
                restore_random_state(self._random, run.device)  # loading may have drawn numbers
                call_user_code(
                    spec, function, model, criterion, optimizer, *self._samples, **run.preset.train.arguments
                )
            except PresetError:
                return
            finally:
                _made.clear()
        name = _first_difference(run.model, model.state_dict())
        if name is not None:
            raise PresetError(
                _(
                    'train.code = "{code}" keeps something from one step to the next that a checkpoint does not '
                    "hold: step {step} ends with another {weight} when it is made again, with a fresh copy of the "
                    "file, from the same weights, optimizer and random generators. A resume, a rewind or a fork "
                    "would not be the same run. Keep it in the model (register_buffer) or in the optimizer that is "
                    "given, and draw from the global generators of torch, NumPy and random",
                    code=spec,
                    step=run.step,
                    weight=name,
                )
            )


def proof(run: TrainState, lr: float | Tensor, inputs: Tensor, targets: Tensor) -> Proof | None:
    """Return the proof of the step that is about to be made, the second one of a run. None for any other step.

    The first step can't show what it leaves for later ones. On a GPU the same step may round otherwise.
    """
    if run.step != 1 or run.device.type != "cpu":
        return None
    try:
        return Proof(run, lr, inputs, targets)
    except Exception:  # a model of the user's own that can't be copied
        return None


def _first_difference(model: nn.Module, other: Mapping[str, Tensor]) -> str | None:
    """Return the first weight or buffer that differs in any bit, except that NaN is NaN."""
    for name, mine in model.state_dict().items():
        theirs = other.get(name)
        if theirs is None or mine.shape != theirs.shape or not torch.equal(mine.nan_to_num(), theirs.nan_to_num()):
            return name
    return None
