"""A run in memory: all that its steps need, and its current state."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop import checkpoint
from descent.loop.checkpoint import State
from descent.loop.layer_statistics import LayerStatistics
from engine.preset import schedule
from engine.preset.loading import Preset
from engine.preset.members import Member
from engine.preset.schedule import Plan, SchedulePosition, learning_rate
from engine.preset.schema import EverySteps
from engine.training import losses, models, optimizers, own_metrics
from engine.training.at_once import AtOnce
from engine.training.data import Dataset
from engine.training.data.batches import throw_away
from engine.training.data.preparation import Preparation
from engine.training.evaluation import Best, Evaluation, evaluate, nothing
from engine.training.protocols import AnyBatch, AnyBatches, AnyStatistics, AnyUpdate, StepResult
from engine.training.shared_step import SharedStep
from engine.training.update import Update


@dataclass
class TrainState:
    """A run in memory: all that one step needs, and its current state."""

    preset: Preset
    device: torch.device
    dataset: Dataset
    model: nn.Module
    forward: Callable[[Tensor], Tensor]  # the model, or what torch.compile made of it
    criterion: Callable[[Tensor, Tensor], Tensor]
    eval_criterion: Callable[[Tensor, Tensor], Tensor]  # of validation and test, see losses.for_evaluation
    update: AnyUpdate
    batches: AnyBatches
    statistics: AnyStatistics
    precision: AbstractContextManager[None]
    penalised: list[nn.Parameter]  # by loss.l1 and loss.l2
    total_steps: int
    pace: SchedulePosition
    augmentation: Callable[[Tensor], Tensor] | None  # the preset's; `batches.augment` is the one in use now, or None
    best: Best
    at_once: AtOnce  # samples in an evaluation
    plateau: schedule.Plateau | None
    numbers: Tensor | None = (
        None  # all trained numbers of a small model (see parameters.py), (P,) or (M, P); the live tensor
    )
    own_step: "Callable[[TrainState, AnyBatch, float | Tensor, bool], StepResult] | None" = None  # of train.code
    metrics: own_metrics.OwnMetrics | None = None  # of metrics.code
    notes: list[str] = field(default_factory=list)
    transferred: dict[str, Any] = field(default_factory=dict)  # layers loaded, adapted, frozen: see run.json
    never_finite: frozenset[str] = frozenset()  # buffers that were built with infinities, such as masks
    fewest: int = 1  # samples that the model can train on at once; see models/layers.py
    statistics_every: int = 1
    step: int = 0  # updates completed
    lr_scale: float = 1.0  # a live edit: multiplies the scheduled rate
    members: list[Member] = field(default_factory=list)  # one for a plain run
    measured: dict[str, int] = field(default_factory=dict)  # threads and statistics_every, as the run began
    edits: list[str] = field(default_factory=list)  # the live edits in force; see live_edits.py
    reached: dict[str, float] = field(default_factory=dict)  # the latest evaluations: val_loss, test_accuracy …
    evaluated: dict[str, int] = field(default_factory=dict)  # at which step each split was evaluated last
    processes: int = 1  # that train this run together; see ranks.py
    shared: SharedStep | None = None  # where they train one model
    restored: int = 0  # how often `restore` was called

    @property
    def classifies(self) -> bool:
        return self.dataset.task == "classification"

    @property
    def has_preset_model(self) -> bool:
        """Return whether `model` is the one that the preset names, called with inputs and giving outputs."""
        return True

    def learning_rate(self) -> float | Tensor:
        """Return the learning rate of the next update."""
        return learning_rate(
            self.preset.schedule,
            self.pace,
            self.step,
            base=self.preset.optimizer.lr,
            hand=self.lr_scale,
            plateau=1.0 if self.plateau is None else self.plateau.scale,
        )

    def plan(self, member: int | None = None) -> Plan | None:
        """Return the planned learning rate from now on, for those who draw it. None if nobody can look ahead.

        member: of several; None for all.
        """
        plateau = 1.0 if self.plateau is None else self.plateau.scale
        base = self.preset.optimizer.lr
        return Plan(self.preset.schedule, self.pace, base, self.lr_scale, plateau, self.total_steps)

    def preparations(self) -> list[Preparation]:
        """Return how raw data become inputs: one for all members, or for folds one for each."""
        return [Preparation.of(self.dataset, self.preset.data)]

    # --- what the loop asks for at every step ---

    def loss(self, outputs: Tensor, batch: AnyBatch) -> Tensor:
        """Return the mean loss over the batch, without penalties, a scalar."""
        return self.criterion(outputs, batch.targets)

    def correct(self, outputs: Tensor, batch: AnyBatch) -> Tensor:
        """Return the share of right predictions, a scalar on the device."""
        return losses.correct(outputs, batch.targets)

    def penalty(self) -> Tensor | None:
        """Return what loss.l1 and loss.l2 add to the loss, or None if they add nothing."""
        return losses.penalty(self.penalised, self.preset.loss) if self.penalised else None

    # --- evaluations, and what follows from them ---

    def can_evaluate(self, split: str) -> bool:
        """Return whether the run can be evaluated on "validation" or "test"."""
        return getattr(self.dataset, split) is not None

    def evaluate(self, split: str, between: Callable[[], None] = nothing) -> list[Evaluation]:
        """Evaluate each member on the split "validation" or "test". Leaves the random generators as they were.

        between: called after each batch.
        """
        sums = own_metrics.sums_with(self.metrics, self.preset, self.dataset)
        samples, criterion = self.dataset.split(split), self.eval_criterion
        return [evaluate(self.model, criterion, samples, self.precision, self.at_once, between, sums)]

    def observe(self, results: Sequence[Evaluation]) -> bool:
        """Take note of an evaluation on the validation split. Returns whether this is the best model so far."""
        if self.plateau is not None:
            self.plateau.observe(results[0].loss)
        return self.best.observe(self.best.score(results[0]), self.step)

    def ended(self) -> dict[int, str]:
        """Return the members that no longer train, and why: "diverged" or "stopped early"."""
        return {}

    def end(self, member: int, why: str) -> None:
        """End the training of one member. Only for runs of several."""
        raise AssertionError("a run with one model ends as a whole")

    def begin_patience(self) -> None:
        """Let early stopping wait anew, as at the beginning of a run."""
        self.best.waited = 0

    def is_over(self) -> bool:
        """Return whether early stopping has ended the training."""
        return self.best.patience_is_over()

    @contextmanager
    def at_best(self, read: Callable[[int], State | None]) -> Iterator[int]:
        """Use the model that early stopping has chosen inside the block. Yields its step.

        read: returns the checkpoint of a step, or None if it is lost. Without a choice of the best, or without that
        checkpoint, the last model is used.
        """
        step = self.best.step
        chosen = None if not self.best.chooses or step in (None, self.step) else read(step)
        if step is None or chosen is None:
            yield self.step
            return
        last = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(chosen["model"])
        try:
            yield step
        finally:
            self.model.load_state_dict(last)

    def best_steps(self) -> list[int]:
        """Return, for each member, the step of the model that early stopping has chosen.

        Without one, the current step.
        """
        return [self.step if self.best.step is None else self.best.step]

    # --- settings ---

    def settle(self, settings: Sequence[Preset], hands: Sequence[float]) -> None:
        """Train under these settings from now on. settings: one for each member. hands: lr_scale of each."""
        self.preset, self.lr_scale = settings[0], hands[0]
        assert isinstance(self.update, Update)
        self.update.set(self.preset.optimizer, self.preset.train.clip_norm)
        dropout = getattr(self.preset.model, "dropout", None)
        for module in dropouts(self.model) if dropout is not None else []:
            setattr(module, "p" if isinstance(module, nn.Dropout) else "dropout", dropout)

    def trained(self) -> Sequence[nn.Parameter]:
        """Return the parameters of one model that the optimizer moves."""
        assert isinstance(self.update, Update)
        return self.update.parameters

    def has_dropout(self) -> bool:
        """Return whether the model was built with a dropout whose share can be changed."""
        return bool(dropouts(self.model))

    def trial(self) -> "TrainState":
        """Return a copy to try steps on, which leaves the run as it is."""
        model = copy.deepcopy(self.model)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = optimizers.build(self.preset.optimizer, trained, self.device)
        return dataclasses.replace(
            self,
            model=model,
            forward=model,
            update=Update(optimizer, trained, clip_norm=self.update.clip_norm, device=self.device),
            statistics=LayerStatistics(model, models.layers(model)),
            penalised=losses.penalised(model) if self.penalised else [],
            own_step=None,  # the user's step may keep something from one call to the next
        )

    def throw_away_batch(self) -> AnyBatch:
        """Return a batch to try steps on. The order of the real batches does not change."""
        return throw_away(self.dataset.train, self.batches.size)

    def alone(self, member: int) -> "TrainState":
        """Return one member as a run of its own, for reading only. Raises DescentError if there is no such member."""
        if member != 0:
            raise DescentError(_("member {member}: this run has one model, member 0", member=member))
        return self

    def fresh_plateaus(self) -> State:
        """Return the part of a checkpoint that reduce-on-plateau keeps, as at the beginning of a run."""
        return {"plateau": None if self.plateau is None else schedule.Plateau(self.plateau.section).state()}

    # --- the current state ---

    def is_due(self, every: int | EverySteps, epoch_is_over: bool) -> bool:
        """Return whether something that happens every N epochs or N steps is due after the step just made."""
        if isinstance(every, EverySteps):
            return self.step % every.steps == 0
        return epoch_is_over and self.batches.epoch % every == 0

    def weights(self) -> dict[str, Tensor]:
        """Return parameters and buffers by name, (M, …) each for members. These are the live tensors."""
        return self.model.state_dict()

    def trainable(self) -> list[Tensor]:
        """Return the parameters that are not frozen, (M, …) each for members. These are the live tensors."""
        names = {name for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        return [tensor for name, tensor in self.weights().items() if name in names]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight and buffer."""
        return checkpoint.shapes(self.weights())

    def broken(self) -> dict[int, str]:
        """Return the members that train with a weight or buffer that is not finite, and the name of the first one.

        Waits for the device.
        """
        names = checkpoint.not_finite(self.weights())
        first = next((name for name in names if name not in self.never_finite), None)
        return {} if first is None else {0: first}

    def capture(self, seconds: float) -> State:
        """Return all that the next step depends on.

        The tensors are the live ones, so copy or write them before the next step.
        """
        return {
            "step": self.step,
            "epoch": self.batches.epoch,
            "batch": self.batches.index,
            "seconds": seconds,
            "total_steps": self.total_steps,
            "pace": self.pace.state(),
            "batch_size": self.batches.size,
            "lr_scale": self.lr_scale,
            "edits": list(self.edits),
            "model": self.weights(),
            "update": self.update.state(),
            "plateau": None if self.plateau is None else self.plateau.state(),
            "best": self.best.state(),
            "metrics": dict(self.reached),
            "evaluated": dict(self.evaluated),
            "random": checkpoint.random_state(self.device),
        }

    def restore(self, state: State) -> float:
        """Restore what `capture` returned. Returns the seconds trained until then."""
        self.step, self.total_steps = state["step"], state["total_steps"]
        self.pace = SchedulePosition.restore(state["pace"])
        self.batches.resize(state["batch_size"])
        self.batches.seek(state["epoch"], state["batch"])
        self._restore_model(state)
        self.update.restore(state["update"])
        self.reached, self.evaluated = dict(state["metrics"]), dict(state["evaluated"])
        self.restored += 1
        checkpoint.restore_random_state(state["random"], self.device)  # last, because the lines above may draw
        return float(state["seconds"])

    def _restore_model(self, state: State) -> None:
        self.model.load_state_dict(state["model"])
        self.best.restore(state["best"])
        if self.plateau is not None:
            self.plateau.restore(state["plateau"])


def dropouts(model: nn.Module) -> list[nn.Module]:
    """Return the modules of a model that drop units: dropout itself, and recurrent layers with dropout inside."""
    return [m for m in model.modules() if isinstance(m, nn.Dropout) or isinstance(getattr(m, "dropout", None), float)]
