"""The same work for every arm of the training-loop benchmark: data, initial weights, batches, all in one thread."""

import copy
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.preset.loading import Preset, load_preset
from engine.training import losses, models
from engine.training.data import load
from engine.training.data.batches import epoch_order
from tests.helpers.real_data import real_folder

CPU = torch.device("cpu")
# Steps that take a second or two, so that what happens once a run weighs little. The schedule is left out: no two
# trainers have the same.
WORKLOADS = {
    "linear-regression": ["train.steps=6000"],
    "digits-mlp": ["train.steps=4000"],
    "mnist-mlp": ["train.steps=860", "schedule.name=constant"],
    "mnist-cnn": ["train.steps=60", "schedule.name=constant"],
}
FIXED = ["train.device=cpu", "train.threads=1", "train.evaluate_every={ steps = 1000000 }"]


@dataclass(frozen=True)
class Work:
    """What is trained, and on what, in which order."""

    preset: Preset
    overrides: tuple[str, ...]
    inputs: Tensor  # (n, *features) float32
    targets: Tensor
    orders: tuple[tuple[Tensor, ...], ...]  # the rows of each batch, by epoch
    criterion: nn.Module
    model: nn.Module  # with the initial weights; taken by `fresh`
    full: bool  # every batch is all samples
    steps: int

    @property
    def batch_size(self) -> int:
        return len(self.orders[0][0])

    def short(self) -> "Work":
        """Its first steps, to pay what a trainer pays once."""
        return dataclasses.replace(self, orders=(self.orders[0][:3],) * (3 if self.full else 1), steps=3)

    def fresh(self) -> nn.Module:
        """The model as the run begins with it."""
        return copy.deepcopy(self.model).train()

    def optimizer(self, model: nn.Module, **more: bool) -> torch.optim.Optimizer:
        """As a person would write it: torch.optim's default form, or with `fused=True`."""
        section = self.preset.optimizer
        if section.name == "sgd":
            return torch.optim.SGD(model.parameters(), lr=section.lr, momentum=section.momentum, **more)
        assert section.name == "adam"
        return torch.optim.Adam(model.parameters(), lr=section.lr, **more)


def data_root() -> Path:
    """Where MNIST is looked for."""
    return Path(os.environ.get("DESCENT_DATA") or real_folder() or "data")


def prepare(name: str, data_root: Path) -> Work:
    """Raises DataMissingError where the data are not here."""
    overrides = (*FIXED, *WORKLOADS[name])
    preset = load_preset(name, overrides)
    dataset = load(preset.data, root=data_root, device=CPU, code=None)
    torch.manual_seed(preset.train.seed)
    outputs = losses.outputs(preset.loss, task=dataset.task, target_size=dataset.target_size)
    model = models.build(preset.model, input_shape=dataset.input_shape, outputs=outputs, code=None)
    inputs, targets = dataset.train
    size = preset.train.batch_size
    steps, full = preset.train.steps or 0, size == "full"
    per_epoch = 1 if size == "full" else -(-len(inputs) // size)
    epochs = -(-steps // per_epoch)
    every_row = (torch.arange(len(inputs)),)
    orders = tuple(
        every_row if size == "full" else torch.split(epoch_order(len(inputs), preset.train.seed, epoch, CPU), size)
        for epoch in range(1 if full else epochs)
    )
    criterion = nn.MSELoss() if preset.loss.name == "mse" else nn.CrossEntropyLoss()
    return Work(preset, overrides, inputs, targets, orders * (steps if full else 1), criterion, model, full, steps)
