"""`train.code`: the user's own training step in place of zero_grad, backward and the optimizer's step.

The rate of the schedule is set before the call. The numbers to record are taken after it: from the weights, the
gradients that its backward left and, for the accuracy, the outputs of its last forward pass.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.common.i18n import _
from engine.preset.loading import Preset
from engine.training import hidden_state, losses, optimizers, parameters
from engine.training.data.batches import Batch
from engine.training.losses import Criterion
from engine.training.members.batches import MemberBatch
from engine.training.members.train_state import MemberTrainState
from engine.training.members.user_step import OwnMemberUpdate
from engine.training.observed import left_by_backward, outputs_of, put_back, share_of_right, total_norm
from engine.training.protocols import AnyBatch, StepResult
from engine.training.train_state import TrainState
from engine.training.update import Update
from engine.training.user_code import CodeLoader, call_user_code, described_result

Step = Callable[[TrainState, AnyBatch, float | Tensor, bool], StepResult]


def build(preset: Preset, several: bool, code: CodeLoader) -> Step | None:
    """Return the training step of the preset's own code, or None if the preset names none.

    several: whether the run has members. Raises PresetError if a setting has no effect in the user's step.
    """
    spec = preset.train.code
    if spec is None:
        return None
    refuse_penalties(preset)
    step = _UserStep(spec, code(spec), preset)
    return step.of_many if several else step.of_one


def refuse_penalties(preset: Preset) -> None:
    """Raise PresetError if the preset has a penalty, which would have no effect in the user's step."""
    for key in ("l1", "l2"):
        if getattr(preset.loss, key):
            raise PresetError(
                _(
                    "{key} is added to the loss by Descent's own training step, which train.code replaces; "
                    "leave {key} out, and add the penalty in {code}",
                    key=f"loss.{key}",
                    code=(preset.train.code or "").rpartition("/")[2],
                )
            )


class _UserStep:
    """The user's function(model, loss_function, optimizer, x, y) -> loss, a scalar.

    Called for each model at every step.
    """

    def __init__(self, spec: str, function: Callable[..., object], preset: Preset) -> None:
        self._spec, self._function, self._loss = spec, function, preset.loss
        self._arguments = preset.train.arguments

    def of_one(self, run: TrainState, batch: AnyBatch, lr: float | Tensor, measured: bool) -> StepResult:
        update = run.update
        assert isinstance(update, Update)
        optimizers.set_rate(update.optimizer, lr)
        if measured:
            run.statistics.note_weights()
        with left_by_backward(update.parameters if measured else []) as left:
            samples = _own(batch, run.batches.size is None)
            proof = hidden_state.proof(run, lr, *samples)
            with run.statistics.watch() if measured else nullcontext():
                loss, accuracy = self._call(run, run.model, update.optimizer, *samples)
            if proof is not None:
                proof.check(self._spec, run.criterion)
            if run.numbers is not None:
                parameters.adopt(update.parameters, run.numbers)
            with put_back(left):
                norms = update.finish_gradients(measured)
                if norms is not None:
                    norms = total_norm(update.parameters, left), norms[1]
                    run.statistics.note_gradients()
        return StepResult(loss, accuracy, norms, run.statistics.row() if measured else None)

    def of_many(self, run: TrainState, batch: AnyBatch, lr: float | Tensor, measured: bool) -> StepResult:
        """Call the function for one member after the other, except those that no longer train.

        Dead units are not counted.
        """
        assert isinstance(run, MemberTrainState)
        assert isinstance(batch, MemberBatch)
        update = run.update
        assert isinstance(update, OwnMemberUpdate)
        update.begin([lr] * run.stack.count if isinstance(lr, float) else run.rates_on_host())
        if measured:
            run.statistics.note_weights()
        every = [p for module in run.stack.modules for p in module.parameters() if p.requires_grad]
        with left_by_backward(every if measured else []) as left:
            found = self._call_each(run, batch)
            with put_back(left):
                norms = update.finish_gradients(measured)
                if norms is not None:
                    totals = [total_norm(module.parameters(), left) for module in run.stack.modules]
                    norms = torch.stack(totals), norms[1]
                    run.statistics.note_gradients()
        each = torch.stack([loss for loss, _ in found])
        update.end(each)
        shares = [share for _, share in found if share is not None]
        accuracy = update.marked(torch.stack(shares)) if run.classifies else None
        return StepResult(update.marked(each), accuracy, norms, run.statistics.row() if measured else None)

    def _call_each(self, run: MemberTrainState, batch: MemberBatch) -> list[tuple[Tensor, Tensor | None]]:
        """Return what `_call` returns for each member, and NaN for those that no longer train."""
        update, ended = run.update, run.ended()
        assert isinstance(update, OwnMemberUpdate)
        unknown = torch.full((), float("nan"), device=run.device)
        found: list[tuple[Tensor, Tensor | None]] = [(unknown, unknown)] * run.stack.count
        for member, (module, optimizer) in enumerate(zip(run.stack.modules, update.optimizers, strict=True)):
            if member not in ended:
                mine = ... if batch.shared else member
                part = Batch(batch.inputs[mine], batch.targets[mine])
                samples = _own(part, batch.shared or run.batches.size is None)
                found[member] = self._call(run, module, optimizer, *samples)
        return found

    def _call(
        self, run: TrainState, model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return the loss and, for classes, the share of right predictions. Both are scalars on the device."""
        criterion: Criterion = run.criterion
        groups = len(optimizer.param_groups)
        with outputs_of(model) as seen:
            loss = call_user_code(
                self._spec, self._function, model, criterion, optimizer, inputs, targets, **self._arguments
            )
        hidden_state.refuse_other_groups(self._spec, optimizer, groups)
        hidden_state.refuse_own_optimizers(self._spec)
        if not isinstance(loss, Tensor) or loss.ndim:
            raise PresetError(
                _(
                    'train.code = "{code}" must return the loss of the batch, a scalar tensor; it returned '
                    "{returned}",
                    code=self._spec,
                    returned=described_result(loss),
                )
            )
        if not run.classifies:
            return loss.detach(), None
        count = losses.outputs(self._loss, run.dataset.task, run.dataset.target_size)
        return loss.detach(), share_of_right(seen, targets, count)


def _own(batch: AnyBatch, lent: bool) -> tuple[Tensor, Tensor]:
    """Return samples and targets for the user's code, which may change them in place. lent: others use them too."""
    return (batch.inputs.clone(), batch.targets.clone()) if lent else (batch.inputs, batch.targets)
