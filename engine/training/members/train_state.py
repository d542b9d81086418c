"""A run with members, in memory: TrainState with a member axis."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from descent.common.errors import DescentError, PresetError
from descent.common.i18n import _
from descent.loop import checkpoint
from descent.loop.checkpoint import State
from engine.preset.loading import Preset
from engine.preset.members import Member
from engine.preset.schedule import Plan, Plateau, learning_rate
from engine.training import losses as losses_of_one
from engine.training.data.preparation import Preparation
from engine.training.evaluation import Best, Evaluation, nothing
from engine.training.members import losses
from engine.training.members.batches import MemberBatch, MemberBatches
from engine.training.members.evaluation import evaluate, evaluate_ensemble
from engine.training.members.folds import Folds, Scaling
from engine.training.members.losses import MemberCriterion
from engine.training.members.stacked import Members
from engine.training.members.statistics import MemberStatistics
from engine.training.members.update import MemberUpdate, Scalars
from engine.training.own_metrics import sums_with
from engine.training.protocols import AnyBatch
from engine.training.train_state import TrainState


@dataclass
class MemberState:
    """The state of one member: its evaluations, its schedule, and whether it has ended."""

    settings: Preset
    best: Best
    plateau: Plateau | None
    hand: float = 1.0
    ended: str | None = None  # "diverged" or "stopped early"

    def state(self) -> State:
        return {
            "best": self.best.state(),
            "plateau": None if self.plateau is None else self.plateau.state(),
            "hand": self.hand,
            "ended": self.ended,
        }

    def restore(self, state: State) -> None:
        self.best.restore(state["best"])
        self.hand, self.ended = state["hand"], state["ended"]
        if self.plateau is not None and state["plateau"] is not None:
            self.plateau.restore(state["plateau"])


@dataclass
class MemberTrainState(TrainState):
    """M models in lockstep. `model` is one of them, and only its shape is used. The weights are in `stack`."""

    stack: Members = field(kw_only=True)
    update: MemberUpdate
    statistics: MemberStatistics
    batches: MemberBatches
    members_criterion: MemberCriterion = field(kw_only=True)
    eval_members_criterion: MemberCriterion = field(kw_only=True)
    standings: list[MemberState] = field(kw_only=True)
    folds: Folds | None = field(kw_only=True)
    best_weights: dict[str, Tensor] | None = field(kw_only=True)  # (M, …) each, with early stopping
    _rates: Scalars = field(kw_only=True, default_factory=Scalars)
    _strengths: dict[str, Scalars] = field(
        kw_only=True, default_factory=lambda: {"l1": Scalars(), "l2": Scalars()}
    )  # of the penalties

    def preparations(self) -> list[Preparation]:
        found = super().preparations()
        if self.folds is None or self.folds.validation is None:
            return found
        return [found[0].scaled_by(self.folds.scale_of(member)) for member in range(len(self.members))]

    # --- what the loop asks for at every step ---

    def learning_rate(self) -> float | Tensor:
        """Return one rate for all, or (M,)."""
        return self._of_each(self._rates, self._rate_of)

    def _of_each(self, scalars: Scalars, value: Callable[[MemberState], float]) -> float | Tensor:
        """Return one value for all, or (M,)."""
        return scalars([value(standing) for standing in self.standings], self.stack.weights)

    def rates_on_host(self) -> list[float]:
        """Return the learning rate of each member, rounded as on the device."""
        rates = [self._rate_of(standing) for standing in self.standings]
        return cast(list[float], torch.tensor(rates, dtype=self.stack.weights.dtype).tolist())

    def _rate_of(self, standing: MemberState) -> float:
        settings = standing.settings
        plateau = 1.0 if standing.plateau is None else standing.plateau.scale
        return learning_rate(
            settings.schedule, self.pace, self.step, base=settings.optimizer.lr, hand=standing.hand, plateau=plateau
        )

    def plan(self, member: int | None = None) -> Plan:
        """Return the plan of `member`, or by default that of the first member that still trains."""
        trains = (m for m, s in enumerate(self.standings) if s.ended is None)
        standing = self.standings[next(trains, 0) if member is None else member]
        plateau = 1.0 if standing.plateau is None else standing.plateau.scale
        settings = standing.settings
        base = settings.optimizer.lr
        return Plan(settings.schedule, self.pace, base, standing.hand, plateau, self.total_steps)

    def loss(self, outputs: Tensor, batch: AnyBatch) -> Tensor:
        """Return (M,), each the mean over the member's batch, without penalties."""
        assert isinstance(batch, MemberBatch)
        return self.members_criterion(outputs, batch.targets, batch.weights)

    def correct(self, outputs: Tensor, batch: AnyBatch) -> Tensor:
        """Return the shares of right predictions, (M,) on the device."""
        assert isinstance(batch, MemberBatch)
        return losses.correct(outputs, batch.targets, batch.weights)

    def penalty(self) -> Tensor | None:
        """Return what loss.l1 and loss.l2 add to each loss, (M,), or None if they add nothing."""
        if not self.penalised:
            return None
        l1, l2 = (
            self._of_each(scalars, lambda standing, key=key: float(getattr(standing.settings.loss, key)))  # type: ignore[misc]
            for key, scalars in self._strengths.items()
        )
        return losses.penalty(self.stack.penalised(), l1, l2)

    # --- evaluations, and what follows from them ---

    def evaluate(self, split: str, between: Callable[[], None] = nothing) -> list[Evaluation]:
        """Evaluate each member.

        On "validation" each fold is evaluated on its own part. between: called after each batch.
        """
        rows = self.folds.validation if self.folds is not None and split == "validation" else None
        return evaluate(
            self.stack,
            self.eval_members_criterion,
            self.dataset.split(split),
            self.precision,
            self.at_once,
            between,
            sums=sums_with(self.metrics, self.preset, self.dataset, self.stack.count),
            rows=rows,
            fewest=None if rows is None else self._fewest_held_out(),
            scaling=self.scaling,
        )

    def _fewest_held_out(self) -> int:
        """Return the least number of samples that a fold validates on."""
        assert self.folds is not None
        assert self.folds.validation is not None
        return min(map(len, self.folds.validation))

    def evaluate_ensemble(self, split: str) -> Evaluation | None:
        """Evaluate the mean prediction of the members that have not diverged. Returns None if all have."""
        kept = [m for m, standing in enumerate(self.standings) if standing.ended != "diverged"]
        if not kept:
            return None
        return evaluate_ensemble(
            self.stack,
            self.eval_criterion,
            self.dataset.split(split),
            self.precision,
            self.at_once,
            sums=sums_with(self.metrics, self.preset, self.dataset),
            scaling=self.scaling,
            only=kept,
        )

    @property
    def scaling(self) -> Scaling | None:
        """The scaling of each fold, applied after that of all samples. None without folds."""
        return None if self.folds is None else self.folds.scaling

    def observe(self, results: Sequence[Evaluation]) -> bool:
        """Take note of an evaluation for each member that trains.

        Always returns False, because the best weights are kept here, and in every checkpoint.
        """
        weights = self.stack.state_dict()
        for member, (standing, result) in enumerate(zip(self.standings, results, strict=True)):
            if standing.ended is not None:
                continue
            if standing.plateau is not None:
                standing.plateau.observe(result.loss)
            if standing.best.observe(standing.best.score(result), self.step) and self.best_weights is not None:
                for name, best in self.best_weights.items():
                    best[member].copy_(weights[name][member])
            if standing.best.patience_is_over():
                self.end(member, "stopped early")
        return False

    def end(self, member: int, why: str) -> None:
        """End the training of this member."""
        self.standings[member].ended = why
        self.update.freeze(member)

    def ended(self) -> dict[int, str]:
        """Return the members that no longer train, and why."""
        return {m: s.ended for m, s in enumerate(self.standings) if s.ended is not None}

    def begin_patience(self) -> None:
        """Let early stopping wait anew. The members that it has ended train again."""
        for member, standing in enumerate(self.standings):
            standing.best.waited = 0
            if standing.ended == "stopped early":
                standing.ended = None
                self.update.thaw(member)

    def is_over(self) -> bool:
        """Return whether no member trains any more."""
        return len(self.ended()) == len(self.standings)

    @contextmanager
    def at_best(self, read: Callable[[int], State | None]) -> Iterator[int]:
        """Use each member's best model inside the block, if there is early stopping."""
        if self.best_weights is None or not self.standings[0].best.chooses:
            yield self.step
            return
        last = {name: value.clone() for name, value in self.stack.state_dict().items()}
        self.stack.load_state_dict(self.best_weights)
        try:
            yield self.step
        finally:
            self.stack.load_state_dict(last)

    def best_steps(self) -> list[int]:
        return [self.step if s.best.step is None else s.best.step for s in self.standings]

    # --- settings ---

    def settle(self, settings: Sequence[Preset], hands: Sequence[float]) -> None:
        """Train under these settings from now on. settings, hands (lr_scale): one for each member."""
        self.preset = settings[0]
        for standing, preset, hand in zip(self.standings, settings, hands, strict=True):
            standing.settings, standing.hand = preset, hand
        self.update.set([preset.optimizer for preset in settings], settings[0].train.clip_norm)
        if self.has_dropout():
            self.stack.set_dropout([float(getattr(preset.model, "dropout", 0.0)) for preset in settings])

    def trial(self) -> "MemberTrainState":
        """Return a copy to try steps on, which leaves the run as it is."""
        models = [self.stack.module(member) for member in range(self.stack.count)]
        stack = Members(models, self.dataset.input_shape, self.stack.path)
        stack.train()
        update = MemberUpdate(
            stack, [s.settings.optimizer for s in self.standings], clip_norm=self.preset.train.clip_norm
        )
        statistics = MemberStatistics(stack, update)
        return dataclasses.replace(
            self, stack=stack, forward=stack, update=update, statistics=statistics, own_step=None
        )

    def throw_away_batch(self) -> MemberBatch:
        """Return a batch to try steps on. The order of the real batches does not change."""
        epoch, index = self.batches.epoch, self.batches.index
        batch = self.batches.next()
        self.batches.seek(epoch, index)
        return batch

    def alone(self, member: int) -> TrainState:
        """Return one member as a run of its own, for reading only. The tensors are copies."""
        if not 0 <= member < len(self.members):
            raise DescentError(
                _(
                    "member {member!r}: this run has the members 0 to {last}",
                    member=member,
                    last=len(self.members) - 1,
                )
            )
        settings = self.standings[member].settings
        model = self.stack.module(member)
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(TrainState)}
        dataset = self.dataset if self.folds is None else self.folds.dataset_of(member, self.dataset)
        penalised = losses_of_one.penalised(model) if self.penalised else []
        changed = {"preset": settings, "model": model, "forward": model, "dataset": dataset, "penalised": penalised}
        return TrainState(**values | changed | {"members": [self.members[member]], "numbers": None})

    def fresh_plateaus(self) -> State:
        return {"standings": [standing.state() | {"plateau": None} for standing in self.standings]}

    # --- the current state ---

    def weights(self) -> dict[str, Tensor]:
        return self.stack.state_dict()

    def broken(self) -> dict[int, str]:
        """Return the members that train with a weight or buffer that is not finite, and the name of the first one.

        Weights never are: a member whose next ones would not be finite keeps its last ones.
        """
        names = [name for name in checkpoint.not_finite(self.weights()) if name not in self.never_finite]
        if not names:
            return {}
        ended, weights = self.ended(), self.weights()
        of_each = {
            member: checkpoint.not_finite({name: weights[name][member] for name in names})
            for member in range(self.stack.count)
            if member not in ended
        }
        return {member: found[0] for member, found in of_each.items() if found}

    def capture(self, seconds: float) -> State:
        own = {
            "standings": [standing.state() for standing in self.standings],
            "best_weights": self.best_weights,
        }
        return super().capture(seconds) | own

    def _restore_model(self, state: State) -> None:
        self.stack.load_state_dict(state["model"])
        for standing, stored in zip(self.standings, state["standings"], strict=True):
            standing.restore(stored)
        if self.best_weights is not None and state["best_weights"] is not None:
            for name, best in self.best_weights.items():
                best.copy_(state["best_weights"][name])


def check(preset: Preset) -> None:
    """Raise PresetError for settings that don't work with members."""
    train = preset.train
    for wanted, key in (
        (train.compile, "train.compile = true"),
        (train.precision == "fp16", 'train.precision = "fp16"'),
    ):
        if wanted:
            raise PresetError(
                _("{setting} does not work with members; train one model, or leave it out", setting=key)
            )


def standings(members: Sequence[Member]) -> list[MemberState]:
    """Return the state of the members before their first step."""
    made = []
    for member in members:
        schedule = member.preset.schedule
        plateau = Plateau(schedule) if schedule.name == "plateau" else None
        train = member.preset.train
        made.append(MemberState(member.preset, Best(train.early_stopping, train.best), plateau))
    return made
