"""The members of a run divided among several processes: rank r trains the members r, r + size, r + 2 size …

Each process trains its part as it would be trained in the whole, to the bit. Rank 0 has the whole run too, for all
that happens between two steps; its weights are fetched from the parts only when they are asked for.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from descent.loop.checkpoint import State
from engine.training.evaluation import Evaluation, nothing
from engine.training.members.stacked import Members
from engine.training.members.statistics import MemberStatistics
from engine.training.members.train_state import MemberState, MemberTrainState
from engine.training.members.update import MemberUpdate, Scalars, rows_of
from engine.training.protocols import StepResult
from engine.training.step import train_step
from engine.training.train_state import TrainState


def members_of(rank: int, size: int) -> slice:
    """Return the members of a rank."""
    return slice(rank, None, size)


@dataclass
class PartTrainState(MemberTrainState):
    """Some members of a run, which this process trains. `everyone` has the settings of all members."""

    rows: slice = field(kw_only=True)
    everyone: list[MemberState] = field(kw_only=True)
    fewest_held_out: int = field(kw_only=True)  # of all folds

    @classmethod
    def of(cls, run: MemberTrainState, rows: slice) -> "PartTrainState":
        """Return a copy of some members of a run, from its current step on."""
        numbers = range(len(run.members))[rows]
        stack = Members([run.stack.module(m) for m in numbers], run.dataset.input_shape, run.stack.path)
        stack.train()
        sections = [standing.settings.optimizer for standing in run.standings]
        update = MemberUpdate(stack, sections, clip_norm=run.preset.train.clip_norm, rows=rows)
        common = {f.name: getattr(run, f.name) for f in dataclasses.fields(MemberTrainState) if f.name[0] != "_"}
        own: dict[str, Any] = {
            "stack": stack,
            "forward": stack,
            "update": update,
            "statistics": MemberStatistics(stack, update),
            "batches": run.batches.of(rows),
            "members": run.members[rows],
            "standings": run.standings[rows],
            "folds": None if run.folds is None else run.folds.for_members(numbers),
            "numbers": None if run.numbers is None else stack.weights,
            "best_weights": None,
        }
        has_folds = run.folds is not None and run.folds.validation is not None
        fewest = run._fewest_held_out() if has_folds else 0
        return cls(**common | own, rows=rows, everyone=run.standings, fewest_held_out=fewest)

    def _fewest_held_out(self) -> int:
        return self.fewest_held_out

    def _of_each(self, scalars: Scalars, value: Callable[[MemberState], float]) -> float | Tensor:
        # Of all members, because numbers that are alike for all are computed with in another way.
        return rows_of(scalars([value(standing) for standing in self.everyone], self.stack.weights), self.rows)

    def take(self, run: MemberTrainState) -> None:
        """Go on from the state of the whole run, under its settings."""
        self.preset, self.pace, self.statistics_every = run.preset, run.pace, run.statistics_every
        self.step, self.total_steps = run.step, run.total_steps
        self.batches.resize(run.batches.size)
        self.batches.seek(run.batches.epoch, run.batches.index)
        self.batches.augment = run.batches.augment
        self.update.set([standing.settings.optimizer for standing in run.standings], run.preset.train.clip_norm)
        weights, state = MemberTrainState.weights(run), run.update.state()
        self.stack.load_state_dict({name: tensor[self.rows] for name, tensor in weights.items()})
        tensors = {name: tensor[self.rows] for name, tensor in state["tensors"].items()}
        self.update.restore(state | {"trains": state["trains"][self.rows], "tensors": tensors})

    def given(self) -> dict[str, Any]:
        """Return what the whole run needs to know of these members. The tensors are the live ones."""
        return {"model": self.stack.state_dict(), "update": self.update.state()}

    def train(self, until: int, seconds: Callable[[], float]) -> list[StepResult]:
        """Train to step `until`. Returns the numbers of each step. seconds: of training so far."""
        done = []
        while self.step < until:
            batch, lr = self.batches.next(), self.learning_rate()
            result = train_step(self, batch, lr, measured=self.step % self.statistics_every == 0)
            numbers = None if self.numbers is None else self.numbers.clone()
            done.append(result._replace(seconds=seconds(), numbers=numbers))
            self.step += 1
            self.batches.epoch_is_over()
        return done


@dataclass
class WholeTrainState(MemberTrainState):
    """All members of a run whose parts are trained by several processes, as rank 0 knows them.

    fetch: returns `given` of each rank. evaluate_parts(split): returns the evaluations of each rank's members.
    """

    fetch: Callable[[], list[dict[str, Any]]] = field(kw_only=True)
    evaluate_parts: Callable[[str], list[list[Evaluation]]] = field(kw_only=True)
    is_behind: bool = field(kw_only=True, default=False)  # whether the parts were trained since the last fetch
    _is_another: bool = field(kw_only=True, default=False)  # whether the weights in use are not the parts'

    @classmethod
    def of(cls, run: MemberTrainState, **ways: Any) -> "WholeTrainState":
        """Return the same run, whose batches are of no member and count the steps only."""
        common = {f.name: getattr(run, f.name) for f in dataclasses.fields(MemberTrainState) if f.name[0] != "_"}
        return cls(**common | {"batches": run.batches.of(slice(0, 0))}, **ways)

    def _catch_up(self) -> None:
        if not self.is_behind:
            return
        self.is_behind = False
        parts = self.fetch()
        self.stack.load_state_dict(_together([part["model"] for part in parts]))
        updates = [part["update"] for part in parts]
        trains = _together([{"trains": update["trains"]} for update in updates])
        tensors = _together([update["tensors"] for update in updates])
        self.update.restore(updates[0] | trains | {"tensors": tensors})

    def weights(self) -> dict[str, Tensor]:
        self._catch_up()
        return super().weights()

    def restore(self, state: State) -> float:
        self.is_behind = False
        return super().restore(state)

    def observe(self, results: Sequence[Evaluation]) -> bool:
        if self.best_weights is not None:
            self._catch_up()
        return super().observe(results)

    def evaluate(self, split: str, between: Callable[[], None] = nothing) -> list[Evaluation]:
        if self._is_another:
            return super().evaluate(split, between)
        found: list[Any] = [None] * len(self.members)
        parts = self.evaluate_parts(split)
        for rank, part in enumerate(parts):
            found[members_of(rank, len(parts))] = part
        return found

    def evaluate_ensemble(self, split: str) -> Evaluation | None:
        self._catch_up()
        return super().evaluate_ensemble(split)

    @contextmanager
    def at_best(self, read: Callable[[int], State | None]) -> Iterator[int]:
        self._catch_up()
        with super().at_best(read) as step:
            self._is_another = True
            try:
                yield step
            finally:
                self._is_another = False

    def alone(self, member: int) -> TrainState:
        self._catch_up()
        return super().alone(member)


def together(parts: Sequence[Sequence[StepResult]]) -> list[StepResult]:
    """Return the numbers of all members for each step, from those of each rank's members. The time is rank 0's."""
    return [_of_all(of_ranks) for of_ranks in zip(*parts, strict=True)]


def _of_all(parts: Sequence[StepResult]) -> StepResult:
    first = parts[0]
    named: dict[str, Any] = {}
    for name in ("loss", "accuracy", "layers", "numbers"):
        of_ranks = [getattr(part, name) for part in parts]
        named[name] = None if of_ranks[0] is None else _interleaved(of_ranks)
    norms = None
    if first.norms is not None:
        before, after = zip(*[part.norms for part in parts if part.norms is not None], strict=True)
        norms = _interleaved(before), _interleaved(after)
    return StepResult(**named, norms=norms, seconds=first.seconds)


def _together(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: _interleaved([part[name] for part in parts]) for name in parts[0]}


def _interleaved(parts: Sequence[Tensor]) -> Tensor:
    """Return the rows of all members, from those of each rank's."""
    whole = torch.empty((sum(map(len, parts)), *parts[0].shape[1:]), dtype=parts[0].dtype, device=parts[0].device)
    for rank, part in enumerate(parts):
        whole[members_of(rank, len(parts))] = part
    return whole
