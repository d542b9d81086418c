"""Models of every family, small, and a plain training of one to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from engine.preset import schema
from engine.training import losses, models, optimizers
from engine.training.members import Members, MemberUpdate
from engine.training.members import losses as member_losses
from engine.training.members.stacked import Way
from engine.training.update import Update

CPU = torch.device("cpu")
COUNT = 3
CLASSES = 4
IMAGE = (1, 8, 8)

ROWS = (1, 4, 4)  # sequences of four rows


class Family(NamedTuple):
    """A model, small, and how it is trained here.

    steps: in the cross of all families, optimizers, scalars and clipping as the suite trains it: a few rounds of the
    batches, since another update shows in the first ones. 200 of all would take ten minutes: see `cross.py`.
    """

    keys: dict[str, Any]
    shape: tuple[int, ...]
    way: Way
    steps: int = 200
    batch: int = 16
    rate: float = 1.0  # what the learning rates are multiplied by


FAMILIES: dict[str, Family] = {
    "linear": Family({"name": "linear"}, (6,), "batched", steps=30),
    "polynomial": Family({"name": "polynomial", "degree": 2}, (3,), "batched", steps=25),
    "softmax": Family({"name": "softmax", "bias": False}, IMAGE, "batched", steps=25),
    "mlp": Family({"name": "mlp", "widths": [8, 6]}, (6,), "batched", steps=40),
    "mlp-maxout": Family({"name": "mlp", "widths": [6], "activation": "maxout"}, IMAGE, "batched", steps=20),
    "mlp-norm": Family(
        {"name": "mlp", "widths": [8, 6], "activation": "tanh", "batch_norm": True}, IMAGE, "batched", steps=15
    ),
    "lenet5": Family({"name": "lenet5"}, (1, 28, 28), "vmap", steps=5, batch=4, rate=0.1),
    "cnn": Family({"name": "cnn", "channels": [3, 4], "hidden": 6}, IMAGE, "vmap", steps=12, rate=0.3),
    "cnn-norm": Family({"name": "cnn", "channels": [3], "hidden": 6, "batch_norm": True}, IMAGE, "vmap", steps=12),
    # At the others' rates it is chaotic: a run alone, too, ends elsewhere where one weight differs in its last digit.
    # On 8 × 8 its last stage would be single pixels, and batch norm divide by a variance near 0.
    "resnet18": Family({"name": "resnet18", "width": 2}, (1, 16, 16), "vmap", steps=3, batch=8, rate=0.05),
    "transformer": Family(
        {"name": "transformer", "width": 8, "heads": 2, "layers": 1, "feedforward": 8},
        ROWS,
        "vmap",
        steps=10,
        rate=0.1,
    ),
    "rnn": Family({"name": "rnn", "hidden": 5}, ROWS, "loop", steps=15),
    "lstm": Family({"name": "lstm", "hidden": 5, "layers": 2}, ROWS, "loop", steps=10),
}


def layout(name: str) -> Family:
    """A family by its name; "x by loop" takes turns."""
    found = FAMILIES[name.removesuffix(" by loop")]
    return found._replace(way="loop") if name.endswith(" by loop") else found


def parsed(kind: Any, keys: dict[str, Any]) -> Any:
    return TypeAdapter(kind).validate_python(keys)


def family(name: str, count: int = COUNT, dtype: torch.dtype = torch.float64) -> list[nn.Module]:
    found = layout(name)
    section = parsed(schema.AnyModel, found.keys)
    made = []
    for member in range(count):
        torch.manual_seed(member)
        model = models.build(section, input_shape=found.shape, outputs=CLASSES, code=None)
        made.append(model.to(dtype).train())
    return made


@dataclass
class Task:
    """What one training does, besides its model: the batches are drawn alike for all who ask."""

    loss: dict[str, Any]
    optimizers: Sequence[dict[str, Any]]
    clip_norm: float | None = None
    steps: int = 20
    batch: int = 16
    shared: bool = False
    dtype: torch.dtype = torch.float64

    def batches(self, shape: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
        """(M, B, *shape), (M, B), a few that come again and again."""
        generator = torch.Generator().manual_seed(7)
        made = []
        for _ in range(min(self.steps, 5)):
            count = 1 if self.shared else len(self.optimizers)
            inputs = torch.rand(count, self.batch, *shape, generator=generator, dtype=torch.float64)
            targets = torch.randint(CLASSES, (count, self.batch), generator=generator)
            made.append((inputs.to(self.dtype), targets))
        return made

    def together(self, models_: Sequence[nn.Module], shape: tuple[int, ...], path: Way) -> Members:
        """Train them in lockstep."""
        members = Members(models_, shape, path)
        update = MemberUpdate(members, self._sections(), clip_norm=self.clip_norm)
        section = parsed(schema.AnyLoss, self.loss)
        criterion = member_losses.build(section, self._criterion())
        lr = torch.tensor([section.lr for section in self._sections()], dtype=self.dtype)
        rate: float | Tensor = lr if len(set(lr.tolist())) > 1 else lr[0].item()
        batches = self.batches(shape)
        for step in range(self.steps):
            inputs, targets = batches[step % len(batches)]
            if self.shared:
                inputs, targets = inputs[0], targets[0]
            update.zero()
            loss = criterion(members(inputs), targets, None)
            penalty = member_losses.penalty(members.penalised(), section.l1, section.l2)
            update.backward(loss if penalty is None else loss + penalty)
            update.finish_gradients(measure=False)
            update.apply(rate * (1 - 0.1 * (step % 3)))
        return members

    def alone(self, model: nn.Module, member: int, shape: tuple[int, ...]) -> None:
        """Train one as an ordinary run does."""
        section = self._sections()[member]
        parameters = list(model.parameters())
        update = Update(optimizers.build(section, parameters, CPU), parameters, clip_norm=self.clip_norm, device=CPU)
        criterion, loss_section = self._criterion(), parsed(schema.AnyLoss, self.loss)
        batches = self.batches(shape)
        for step in range(self.steps):
            inputs, targets = (tensor[0 if self.shared else member] for tensor in batches[step % len(batches)])
            update.zero()
            loss = criterion(model(inputs), targets)
            penalty = losses.penalty(losses.penalised(model), loss_section)
            update.backward(loss if penalty is None else loss + penalty)
            update.finish_gradients(measure=False)
            update.apply(section.lr * (1 - 0.1 * (step % 3)))

    def _sections(self) -> list[Any]:
        return [parsed(schema.AnyOptimizer, keys) for keys in self.optimizers]

    def _criterion(self) -> losses.Criterion:
        section = parsed(schema.AnyLoss, self.loss)
        return losses.build(section, task="classification", num_classes=CLASSES, code=None)


def _without_kinks(model: nn.Module) -> nn.Module:
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.ReLU):
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, nn.SiLU())
    return model


class Difference(NamedTuple):
    """The largest between a member and the model that was trained alone, and of which weight."""

    size: float
    member: int
    name: str


def difference(task: Task, name: str, *, smooth: bool = False) -> Difference:
    """Train the family `name` both ways. smooth: with SiLUs in the places of its ReLUs."""
    _, shape, path, *_ = layout(name)
    singles = family(name, len(task.optimizers), task.dtype)
    if smooth:
        singles = [_without_kinks(model) for model in singles]
    members = task.together(singles, shape, path)
    worst = Difference(0.0, 0, "")
    for member, model in enumerate(singles):
        task.alone(model, member, shape)
        got = members.member_state(member)
        for key, expected in model.state_dict().items():
            size = (got[key].double() - expected.double()).abs().max().item()
            if not size <= worst.size:  # NaN is the worst
                worst = Difference(size, member, key)
    return worst


def compare(task: Task, name: str, tolerance: float) -> None:
    """Train the family `name` both ways; every weight and buffer must be the same within `tolerance`."""
    size, member, key = difference(task, name)
    assert size <= tolerance, f"{name}, member {member}: {key} differs by {size:g}"
