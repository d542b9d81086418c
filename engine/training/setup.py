"""From a preset to everything that the loop works on."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine import schedules
from engine.errors import PresetError
from engine.library import find_run
from engine.plan import Pace, Plan, learning_rate
from engine.preset import Preset
from engine.run import RunFolder
from engine.schema import EverySteps
from engine.training import checkpoint, losses, models, optimizers
from engine.training.checkpoint import State
from engine.training.code import load_object
from engine.training.data import Dataset, Split, load
from engine.training.data.augment import augment, is_on
from engine.training.data.batches import Batch, Batches
from engine.training.evaluation import Evaluation, evaluate
from engine.training.models import transfer
from engine.training.statistics import LayerStatistics
from engine.training.stopping import Best
from engine.training.update import Update


@dataclass
class Training:
    """A run in memory: what one step needs, and where it stands."""

    preset: Preset
    device: torch.device
    dataset: Dataset
    model: nn.Module
    forward: Callable[[Tensor], Tensor]  # the model, or what torch.compile made of it
    criterion: Callable[[Tensor, Tensor], Tensor]
    update: Update
    batches: Batches
    statistics: LayerStatistics
    precision: AbstractContextManager[None]
    penalised: list[nn.Parameter]  # by loss.l1 and loss.l2
    total_steps: int
    pace: Pace
    augmentation: Callable[[Tensor], Tensor] | None  # the preset's; `batches.augment` is what is done with it now
    best: Best
    plateau: schedules.Plateau | None
    notes: list[str] = field(default_factory=list)
    statistics_every: int = 1
    step: int = 0  # updates completed
    lr_scale: float = 1.0  # the hand on the dial
    measured: dict[str, int] = field(default_factory=dict)  # threads and statistics_every, as the run began
    edits: list[str] = field(default_factory=list)  # every live edit so far, as "key=value"
    reached: dict[str, float] = field(default_factory=dict)  # the latest evaluations: val_loss, test_accuracy …
    evaluated: dict[str, int] = field(default_factory=dict)  # at which step each split was evaluated last

    @property
    def classifies(self) -> bool:
        return self.dataset.task == "classification"

    def learning_rate(self) -> float:
        return learning_rate(
            self.preset.schedule,
            self.pace,
            self.step,
            base=self.preset.optimizer.lr,
            hand=self.lr_scale,
            plateau=1.0 if self.plateau is None else self.plateau.scale,
        )

    def plan(self) -> Plan:
        """What is intended from here on, for those who draw it."""
        plateau = 1.0 if self.plateau is None else self.plateau.scale
        base = self.preset.optimizer.lr
        return Plan(self.preset.schedule, self.pace, base, self.lr_scale, plateau, self.total_steps)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean over the batch, without penalties; scalar."""
        return self.criterion(outputs, batch.targets)

    def correct(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Share of right predictions; scalar on the device."""
        return losses.correct(outputs, batch.targets)

    def evaluate(self, split: Split) -> list[Evaluation]:
        """Of each member; draws no random number."""
        return [evaluate(self.model, self.criterion, split, self.precision)]

    def penalty(self) -> Tensor | None:
        """What loss.l1 and loss.l2 add to the loss; None where there is nothing to add."""
        return losses.penalty(self.penalised, self.preset.loss) if self.penalised else None

    def is_due(self, every: int | EverySteps, epoch_is_over: bool) -> bool:
        """Whether a cadence of N epochs or N steps falls on the step just made."""
        if isinstance(every, EverySteps):
            return self.step % every.steps == 0
        return epoch_is_over and self.batches.epoch % every == 0

    def weights_are_finite(self) -> bool:
        """Waits for the device."""
        norms = torch._foreach_norm([p.detach() for p in self.model.parameters()])
        return bool(torch.isfinite(torch.stack(norms)).all())

    def capture(self, seconds: float) -> State:
        """All that the next step depends on. The tensors are the live ones: copy or write before training on."""
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
            "model": self.model.state_dict(),
            "update": self.update.state(),
            "plateau": None if self.plateau is None else self.plateau.state(),
            "best": self.best.state(),
            "metrics": dict(self.reached),
            "evaluated": dict(self.evaluated),
            "random": checkpoint.random_state(self.device),
        }

    def restore(self, state: State) -> float:
        """Stand where `state` was captured; returns the seconds trained until then."""
        self.step, self.total_steps = state["step"], state["total_steps"]
        self.pace = Pace.restore(state["pace"])
        self.batches.resize(state["batch_size"])
        self.batches.seek(state["epoch"], state["batch"])
        self.model.load_state_dict(state["model"])
        self.update.restore(state["update"])
        if self.plateau is not None:
            self.plateau.restore(state["plateau"])
        self.best.restore(state["best"])
        self.reached, self.evaluated = dict(state["metrics"]), dict(state["evaluated"])
        checkpoint.restore_random_state(state["random"], self.device)  # last: nothing above may draw
        return float(state["seconds"])


def choose_device(wanted: str) -> torch.device:
    """The device of `train.device`; PresetError where this machine has none such."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        there = f"cuda:0 … cuda:{count - 1}" if count else "none; `descent doctor` says why"
        raise PresetError(f'train.device = "{wanted}": no such GPU here (GPUs that torch sees: {there})')
    return device


def build(preset: Preset, run: RunFolder, data_root: Path, device: torch.device, *, fresh: bool) -> Training:
    """Load the data onto `device` and make model, loss, optimizer and batches, at step 0.

    fresh: a run that begins; False where a checkpoint will be restored, so that `model.from` is not needed again.
    Draws initial weights from the global generators, seeded here with `train.seed`.
    """
    train = preset.train
    dataset = load(preset.data, root=data_root, device=device, code=load_object)
    size = batch_size(preset, len(dataset.train.inputs))
    torch.manual_seed(train.seed)

    for key, wanted in (
        ("train.early_stopping", train.early_stopping is not None),
        ('schedule.name = "plateau"', preset.schedule.name == "plateau"),
    ):
        if wanted and dataset.validation is None:
            raise PresetError(f"{key} goes by the validation loss, and data.validation = 0 leaves no such split")

    outputs = losses.outputs(preset.loss, task=dataset.task, target_size=dataset.target_size)
    criterion = losses.build(preset.loss, task=dataset.task, num_classes=dataset.num_classes, code=load_object)
    model = models.build(preset.model, input_shape=dataset.input_shape, outputs=outputs, code=load_object)
    notes = list(dataset.notes)
    if preset.model.from_run and fresh:
        notes.append(_start_from(model, preset.model.from_run, run.path.parent))
    transfer.freeze(model, preset.model.freeze)
    model.to(device).train()

    trained = [p for p in model.parameters() if p.requires_grad]
    fp16 = train.precision == "fp16"
    if fp16 and device.type != "cuda":
        raise PresetError('train.precision = "fp16" needs a CUDA GPU; on the CPU use "fp32" or "bf16"')
    samples = len(dataset.train.inputs)
    one_is_too_few = size is not None and size > 1 and samples % size == 1 and _has_batch_norm(model)
    if one_is_too_few:
        notes.append(f"{samples} samples leave a last batch of one, which batch norm can't take: it is left out")
    augmentation = partial(augment, settings=preset.data.augment) if is_on(preset.data.augment) else None
    batches = Batches(
        dataset.train,
        size,
        train.seed,
        augment=augmentation,
        leave_out_single=one_is_too_few,
    )
    total_steps = train.steps if train.steps is not None else (train.epochs or 0) * batches.per_epoch
    return Training(
        preset=preset,
        device=device,
        dataset=dataset,
        model=model,
        forward=torch.compile(model) if train.compile else model,
        criterion=criterion,
        update=Update(
            optimizers.build(preset.optimizer, trained, device),
            trained,
            clip_norm=train.clip_norm,
            fp16=fp16,
            device=device,
        ),
        batches=batches,
        statistics=LayerStatistics(model, models.layers(model)),
        precision=_precision(train.precision, device),
        penalised=losses.penalised(model) if preset.loss.l1 or preset.loss.l2 else [],
        total_steps=total_steps,
        pace=Pace(total_steps, batches.per_epoch),
        augmentation=augmentation,
        best=Best(train.early_stopping),
        plateau=schedules.Plateau(preset.schedule) if preset.schedule.name == "plateau" else None,
        notes=notes,
    )


def batch_size(preset: Preset, samples: int) -> int | None:
    """Samples a batch; None for the whole split."""
    size = preset.train.batch_size
    if size == "full":
        return None
    if size > samples:
        raise PresetError(
            f"train.batch_size = {size} is larger than the training split, which has {samples} samples; "
            f'allowed: 1 to {samples}, or "full"'
        )
    if preset.train.accumulate > size:
        raise PresetError(f"train.accumulate = {preset.train.accumulate} can't split a batch of {size}")
    return size


def _has_batch_norm(model: nn.Module) -> bool:
    """Batch norm has no variance to divide by where there is one sample."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


def _precision(name: str, device: torch.device) -> AbstractContextManager[None]:
    if name == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if name == "bf16" else torch.float16)


def _start_from(model: nn.Module, source: str, runs: Path) -> str:
    """Load the weights of another run's last checkpoint, or of a checkpoint file. Returns what was loaded."""
    path = Path(source)
    if path.is_file():
        try:
            state: dict[str, Any] | None = checkpoint.read(path)
        except ValueError as error:
            raise PresetError(f"model.from = {source}: {error}") from None
    else:
        state, complaints = checkpoint.latest(RunFolder(find_run(source, runs)))
        if state is None:
            raise PresetError("; ".join([f"model.from = {source}: that run has no checkpoint", *complaints]))
    assert state is not None
    return f"weights from {source}: {transfer.start_from(model, state['model'])}"
