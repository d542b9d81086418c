"""A run that trains a task, the user's own class: its optimizers, its steps, and the proof that it can be resumed."""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from descent.common.errors import DescentError, PresetError
from descent.common.i18n import _
from descent.common.numbers import trimmed
from descent.loop import kept
from descent.loop.checkpoint import State, copied, not_finite, random_state, restore_random_state, undisturbed
from descent.loop.layer_statistics import LayerStatistics
from engine.preset import schema
from engine.preset.loading import Preset
from engine.preset.schedule import Plan, SchedulePosition
from engine.training import hidden_state, losses, models, optimizers
from engine.training.data import Split
from engine.training.data.batches import Batch
from engine.training.data.loader_batches import LoaderBatches
from engine.training.evaluation import Evaluation, nothing
from engine.training.observed import left_by_backward, outputs_of, put_back, share_of_right, total_norm
from engine.training.protocols import AnyBatch, StepResult
from engine.training.task import Task, TaskSettings, known, rates_scaled
from engine.training.train_state import TrainState
from engine.training.update import Update
from engine.training.user_code import call_user_code, load_object

_AT_ONCE = 1024  # samples of a batch that evaluate() gets


class TaskUpdate(Update):
    """The optimizers of a task. The task itself calls them; here are their rates and their state.

    base: the rate of the first of them, which the run's schedule begins from. An optimizer with another rate keeps
    the ratio to it. One with a scheduler of its own keeps its rate, and is only multiplied by lr_scale.
    """

    def __init__(self, task: Task) -> None:
        first = next(iter(task.optimizers.values()))
        super().__init__(first, task.trained, own_step=True, device=task.settings.device)  # type: ignore[arg-type]
        self.optimizers = task.optimizers
        self._of_preset = [o for o in task.optimizers.values() if any(o is made for made in task.settings.made)]
        self.scheduled = [o for o in task.optimizers.values() if id(o) in task.scheduled]
        self.spec = task.spec
        rates = {
            name: [float(group["lr"]) for group in optimizer.param_groups]
            for name, optimizer in self.optimizers.items()
            if not any(optimizer is one for one in self.scheduled)
        }
        flat = [rate for each in rates.values() for rate in each]
        self.base = float(first.param_groups[0]["lr"])
        reference = self.base or next((rate for rate in flat if rate), 1.0)
        self._ratios = {name: [rate / reference for rate in each] for name, each in rates.items()}
        self._groups_before = {name: len(o.param_groups) for name, o in self.optimizers.items()}

    @property
    def rates(self) -> list[float]:
        """The ratios of the optimizers' rates to the first one. Without those that have a scheduler."""
        return [ratio for each in self._ratios.values() for ratio in each]

    def begin(self, lr: float) -> None:
        """Set the rates of the next step."""
        for name, ratios in self._ratios.items():
            for group, ratio in zip(self.optimizers[name].param_groups, ratios, strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(lr * ratio)
                else:
                    group["lr"] = lr if ratio == 1.0 else lr * ratio

    def check_groups(self) -> None:
        """Raise PresetError if a step has added a parameter group."""
        for name, optimizer in self.optimizers.items():
            hidden_state.refuse_other_groups(self.spec, optimizer, self._groups_before[name])

    def set(self, section: schema.AnyOptimizer, clip_norm: float | None) -> None:
        self.clip_norm = clip_norm
        for optimizer in self._of_preset:
            optimizers.settle(optimizer, section)

    def check(self, before: schema.AnyOptimizer, after: schema.AnyOptimizer) -> None:
        """Raise DescentError if a change of the optimizer's settings would not reach the task's optimizers."""
        if before == after:
            return
        if before.lr != after.lr:
            if self.scheduled:
                raise DescentError(
                    _(
                        "optimizer.lr: the task of {code} has a scheduler of its own, which sets the rate anew; "
                        "lr_scale multiplies it: lr_scale={scale}",
                        code=self.spec.rpartition("/")[2],
                        scale=0.1,
                    )
                )
            if len({*self.rates}) > 1:
                rates = ", ".join(trimmed(ratio * before.lr) for ratio in dict.fromkeys(self.rates))
                raise DescentError(
                    _(
                        "optimizer.lr: the optimizers of {code} have different rates ({rates}); lr_scale multiplies "
                        "all of them: lr_scale={scale}",
                        code=self.spec.rpartition("/")[2],
                        rates=rates,
                        scale=0.1,
                    )
                )
        others = [
            key for key in type(after).model_fields if key != "lr" and getattr(before, key) != getattr(after, key)
        ]
        if others and len(self._of_preset) < len(self.optimizers):
            raise DescentError(
                _(
                    "{key}: {code} makes its optimizers itself, so that only their rate can be changed; "
                    "settings.optimizer_for(parameters) makes one whose other settings can be",
                    key=f"optimizer.{others[0]}",
                    code=self.spec.rpartition("/")[2],
                )
            )

    def state(self) -> dict[str, Any]:
        return {
            "optimizers": {name: kept.plain(o.state_dict()) for name, o in self.optimizers.items()},
            "gradients": optimizers.gradients(self.parameters),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, optimizer in self.optimizers.items():
            optimizers.load_state(optimizer, kept.original(state["optimizers"][name]))
        optimizers.put_gradients(self.parameters, state["gradients"])

    def fits(self, state: Mapping[str, Any]) -> bool:
        def sizes(states: Mapping[str, Any]) -> dict[str, list[int]]:
            return {name: [len(g["params"]) for g in one["param_groups"]] for name, one in states.items()}

        return "optimizers" in state and sizes(state["optimizers"]) == sizes(
            {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        )


@dataclass
class TaskTrainState(TrainState):
    """A run that trains a task. remake: returns the task anew, as another process would make it."""

    task: Task = field(kw_only=True)
    remake: Callable[[], Task] = field(kw_only=True)
    loaders: Mapping[str, Any] | None = field(kw_only=True)  # of the task, by split; None for the preset's data

    @property
    def _rates(self) -> TaskUpdate:
        assert isinstance(self.update, TaskUpdate)
        return self.update

    @property
    def has_preset_model(self) -> bool:
        return self.task.trains_preset_model

    def learning_rate(self) -> float | Tensor:
        update = self._rates
        if any(update.optimizer is one for one in update.scheduled):
            return float(update.optimizer.param_groups[0]["lr"]) * self.lr_scale
        return super().learning_rate()

    def plan(self, member: int | None = None) -> Plan | None:
        """Return the planned rate, or None if the task has a scheduler: nobody can look ahead of it."""
        return None if self._rates.scheduled else super().plan(member)

    def can_evaluate(self, split: str) -> bool:
        if self.loaders is not None:
            return split in self.loaders and self.task.evaluates
        return super().can_evaluate(split) and (self.task.evaluates or self.task.trains_preset_model)

    def throw_away_batch(self) -> AnyBatch:
        if self.loaders is None:
            return super().throw_away_batch()
        batch = self.batches.next()
        self.batches.seek(0, 0)  # the run is at its first step
        return batch

    def evaluate(self, split: str, between: Callable[[], None] = nothing) -> list[Evaluation]:
        if not self.task.evaluates:
            return super().evaluate(split, between)
        if self.loaders is not None:
            loader: Any = Watched(self.loaders[split], between)
        else:
            size = self.preset.train.evaluate_batch_size
            loader = SplitLoader(self.dataset.split(split), _AT_ONCE if size == "auto" else size, between)
        told = self.task.evaluate(loader)
        return [Evaluation(told.pop("loss"), told.pop("accuracy", None), told)]

    def settle(self, settings: Sequence[Preset], hands: Sequence[float]) -> None:
        self._rates.check(self.preset.optimizer, settings[0].optimizer)
        super().settle(settings, hands)

    def capture(self, seconds: float) -> State:
        return super().capture(seconds) | {"task": self.task.state()}

    def _restore_model(self, state: State) -> None:
        super()._restore_model(state)
        if "task" not in state:
            raise DescentError(
                _('the checkpoint was not made by the task of train.code = "{code}"', code=self.task.spec)
            )
        self.task.restore(state["task"], state["step"])

    @contextmanager
    def at_best(self, read: Callable[[int], State | None]) -> Iterator[int]:
        found: list[State] = []

        def reading(step: int) -> State | None:
            state = read(step)
            found.extend([] if state is None else [state])
            return state

        last = copied(self.task.state())
        with super().at_best(reading) as step:
            try:
                if found:
                    self.task.restore(found[0]["task"], step)
                yield step
            finally:
                if found:
                    self.task.restore(last, self.step)

    def copied(self) -> "TaskTrainState":
        """Return the run with the task made anew, in the state of this one. The generators are left as they are."""
        with undisturbed(self.device):
            task = self.remake()
            update = TaskUpdate(task)
            again = dataclasses.replace(
                self,
                task=task,
                model=task.model,
                forward=task.model,
                update=update,
                statistics=LayerStatistics(task.model, models.layers(task.model)),
            )
            state = copied({"model": self.weights(), "update": self.update.state(), "task": self.task.state()})
            task.model.load_state_dict(state["model"])
            task.restore(state["task"], self.step)
            update.restore(state["update"])
        return again

    def trial(self) -> TrainState:
        again = self.copied()
        again.lr_scale = 0.0  # for optimizers with schedulers; the others are given a rate of 0
        return again


class Watched:
    """A loader of the user's own. between: called after each batch."""

    def __init__(self, loader: Any, between: Callable[[], None]) -> None:
        self._loader, self._between = loader, between

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            yield batch
            self._between()


class SplitLoader:
    """The batches (inputs, targets) of a split, in order, on the device. between: called after each."""

    def __init__(self, split: Split, size: int, between: Callable[[], None] = nothing) -> None:
        self._split, self._size, self._between = split, size, between

    def __len__(self) -> int:
        return math.ceil(len(self._split.inputs) / self._size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, len(self._split.inputs), self._size):
            last = first + self._size
            yield self._split.inputs[first:last].clone(), self._split.targets[first:last].clone()
            self._between()


def build(
    preset: Preset, common: Mapping[str, Any], given: Callable[[], dict[str, Any]], *, fresh: bool, **parts: Any
) -> TaskTrainState:
    """Return a run that trains the class of `train.code`.

    given: returns the parts of TaskSettings that are made anew for each object of the class. parts, common: of
    TrainState. fresh: whether the run begins; then a round trip of the task's state is tried.
    """
    spec = preset.train.code
    assert spec is not None
    kind = load_object(spec)

    def make() -> Task:
        return Task(spec, kind, preset.train.arguments, TaskSettings(section=preset.optimizer, **given()))

    task = make()
    update = TaskUpdate(task)
    _check_schedule(preset, task)
    loaders = task.loaders()
    evaluated = task.evaluates if loaders is not None else task.evaluates or task.trains_preset_model
    if loaders is not None:
        evaluated = evaluated and "validation" in loaders
        parts |= _lengths(preset, LoaderBatches(loaders["train"], preset.train.seed, common["device"],
                                                partial(call_user_code, spec)))  # fmt: skip
    if (preset.train.early_stopping is not None or preset.schedule.name == "plateau") and not evaluated:
        raise PresetError(
            _(
                'train.code = "{code}" has no evaluate(loader) of its own, or no validation loader for it, so '
                "that there is no validation loss for train.early_stopping or the schedule plateau",
                code=spec,
            )
        )
    if preset.metrics.code is not None and not (task.trains_preset_model and not task.evaluates):
        raise PresetError(
            _(
                "metrics.code measures the preset's model in Descent's evaluation, and {code} has its own; return "
                "the numbers from its evaluate(loader)",
                code=spec.rpartition("/")[2],
            )
        )
    notes = list(common["notes"])
    if update.base != preset.optimizer.lr and update.base > 0:
        if not update.scheduled:
            notes.append(
                _(
                    "the task makes its optimizers with a rate of {lr}: optimizer.lr = {given} of the preset is not "
                    "used (settings.lr has it)",
                    lr=trimmed(update.base),
                    given=trimmed(preset.optimizer.lr),
                )
            )
        preset = preset.changed([f"optimizer.lr={update.base!r}"])
    members = [member._replace(preset=preset) for member in common["members"]]
    trained = {name for name, parameter in task.model.named_parameters() if parameter.requires_grad}
    unfit = frozenset(not_finite(task.model.state_dict()))
    if bad := sorted(unfit & trained):
        raise PresetError(
            _(
                'train.code = "{code}": the parameter {name} holds NaN or infinite numbers before the first step, so '
                "that nothing can be trained, whatever the learning rate",
                code=spec,
                name=bad[0],
            )
        )
    numbers = {"preset": preset, "members": members, "notes": notes, "own_step": step, "penalised": []}
    numbers["never_finite"] = unfit
    run = TaskTrainState(
        task=task,
        remake=make,
        loaders=loaders,
        model=task.model,
        forward=task.model,
        update=update,
        statistics=LayerStatistics(task.model, models.layers(task.model)),
        **(dict(common) | parts | numbers),
    )
    if fresh:
        _try_round_trip(run)
    return run


def _lengths(preset: Preset, batches: LoaderBatches) -> dict[str, Any]:
    """Return the parts of a run that follow from its batches."""
    train = preset.train
    total = train.steps if train.steps is not None else (train.epochs or 0) * batches.per_epoch
    return {"batches": batches, "total_steps": total, "pace": SchedulePosition(total, batches.per_epoch)}


def _check_schedule(preset: Preset, task: Task) -> None:
    if task.scheduled and (preset.schedule.name != "constant" or preset.schedule.warmup):
        raise PresetError(
            _(
                'train.code = "{code}" has a scheduler of its own, and the preset has schedule.name = "{name}"; '
                "leave one of them out",
                code=task.spec,
                name=preset.schedule.name,
            )
        )


def _try_round_trip(run: TaskTrainState) -> None:
    """Raise PresetError if a new object of the class does not take up the state of the run's."""
    try:
        again = run.copied()
    except (DescentError, RuntimeError, ValueError, KeyError) as error:
        raise PresetError(
            _(
                'train.code = "{code}": a new object of the class does not take up the state of the first one, so '
                "that a resume, a rewind or a fork could not go on: {error}",
                code=run.task.spec,
                error=" ".join(str(error).split()),
            )
        ) from error
    name = difference(_all_of(run), _all_of(again))
    if name is not None:
        raise _not_kept(run, name)


def step(run: TrainState, batch: AnyBatch, lr: float | Tensor, measured: bool) -> StepResult:
    """Make a step of the task, and measure what it has done."""
    assert isinstance(run, TaskTrainState)
    task, update = run.task, run.update
    assert isinstance(update, TaskUpdate)
    assert isinstance(lr, float)
    lent = run.batches.size is None
    samples: Any = batch
    if isinstance(batch, Batch):
        samples = (batch.inputs.clone(), batch.targets.clone()) if lent else (batch.inputs, batch.targets)
    proof = Proof(run, samples, lr) if run.step == 1 else None
    update.begin(lr)
    if measured:
        run.statistics.note_weights()
    watches_outputs = task.trains_preset_model and run.classifies
    observing: AbstractContextManager[list[Tensor]] = outputs_of(run.model) if watches_outputs else nullcontext([])
    with left_by_backward([p for p in update.parameters if p.requires_grad] if measured else []) as left:
        with (
            run.statistics.watch() if measured else nullcontext(),
            observing as seen,
            rates_scaled(run.lr_scale, update.scheduled),
        ):
            loss, scalars = task.step(samples)
        update.check_groups()
        if run.step <= 1:
            task.refuse_new()
            hidden_state.refuse_own_optimizers(task.spec, known=known)
        if proof is not None:
            proof.check(run)
        with put_back(left):
            norms = update.finish_gradients(measured)
            if norms is not None:
                norms = total_norm(update.parameters, left), norms[1]
                run.statistics.note_gradients()
    return StepResult(
        loss,
        _accuracy(run, scalars, seen, samples) if run.classifies else None,
        norms,
        run.statistics.row() if measured else None,
        scalars,
    )


def _accuracy(run: TaskTrainState, scalars: dict[str, Any], seen: list[Tensor], samples: Any) -> Tensor:
    told = scalars.pop("accuracy", None)
    if told is not None:
        return torch.as_tensor(told, dtype=torch.float32, device=run.device).detach().reshape(())
    fits = isinstance(samples, tuple | list) and len(samples) == 2 and isinstance(samples[1], Tensor)
    if not seen or not fits or samples[1].ndim != 1:
        return torch.full((), float("nan"), device=run.device)
    count = losses.outputs(run.preset.loss, run.dataset.task, run.dataset.target_size)
    return share_of_right(seen, samples[1], count)


# --- the proof that a step can be made again ---


class Proof:
    """A run before its second step, to make that step once more with a new object, as a resumed run would.

    The first step can't show what it leaves for later ones. On a GPU, where the same step may round otherwise, only
    the state is compared.
    """

    def __init__(self, run: TaskTrainState, samples: Any, lr: float) -> None:
        self._again = run.copied()
        self._name = difference(_all_of(run), _all_of(self._again))
        self._lr = lr
        try:
            self._samples = copy.deepcopy(samples) if run.device.type == "cpu" else None
        except Exception:  # of any library
            self._samples = None
        self._random = copy.deepcopy(random_state(run.device))

    def check(self, run: TaskTrainState) -> None:
        """Raise PresetError if the new object ends the step in another state than the run."""
        name = self._name
        if name is None and self._samples is not None:
            again = self._again
            update = again.update
            assert isinstance(update, TaskUpdate)
            with undisturbed(run.device):
                restore_random_state(self._random, run.device)
                update.begin(self._lr)
                try:
                    with rates_scaled(run.lr_scale, update.scheduled):
                        again.task.step(self._samples)
                except PresetError:
                    return
            name = difference(_all_of(run), _all_of(again))
        if name is not None:
            raise _not_kept(run, name)


def _not_kept(run: TaskTrainState, name: str) -> PresetError:
    return PresetError(
        _(
            'train.code = "{code}": {name} is not in a checkpoint: a new object of the class with the state of this '
            "one is another one after step {step}, so that a resume, a rewind or a fork would not be the same run. "
            "Return it from state() and take it up in load_state(state), or make it a tensor. What "
            "nothing depends on may have a name that begins with _",
            code=run.task.spec,
            name=name,
            step=run.step,
        )
    )


def _all_of(run: TaskTrainState) -> dict[str, Any]:
    """Return all that a step may have changed, by name. The tensors are live ones."""
    state, update = run.task.state(), run.update.state()
    return {
        **run.weights(),
        **update["optimizers"],
        **state["kept"],
        "state()": state["own"],
        **{name: value for name, value in run.task.attributes().items() if name not in run.task.names},
    }


def difference(one: Any, other: Any, name: str = "") -> str | None:
    """Return the name of the first value that differs in any bit, except that NaN is NaN. None if none does.

    Objects of unknown kinds count as equal.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        if [*one] != [*other]:
            return name or "state"
        pairs = [(str(key), one[key], other[key]) for key in one]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return name
        pairs = [(str(at), mine, theirs) for at, (mine, theirs) in enumerate(zip(one, other, strict=True))]
    else:
        return None if _are_equal(one, other) else name
    for key, mine, theirs in pairs:
        found = difference(mine, theirs, f"{name}.{key}" if name else key)
        if found is not None:
            return found
    return None


def _are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.equal(one.cpu().nan_to_num(), other.cpu().nan_to_num())
    plain = (bool, int, float, str, type(None), dict, list, tuple)
    if isinstance(one, plain) and isinstance(other, plain):
        return one == other or (isinstance(one, float) and isinstance(other, float) and repr(one) == repr(other))
    return True
