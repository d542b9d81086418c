"""Models of every family, small, and a plain training of one to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from engine import schema
from engine.training import losses, models, optimizers
from engine.training.members import Members, MemberUpdate
from engine.training.members import losses as member_losses
from engine.training.members.stacked import Way
from engine.training.update import Update

CPU = torch.device("cpu")
COUNT = 3
CLASSES = 4
IMAGE = (1, 8, 8)

CNN_NORM = {"name": "cnn", "channels": [3], "hidden": 6, "batch_norm": True}
FAMILIES: dict[str, tuple[dict[str, Any], tuple[int, ...], Way]] = {
    "linear": ({"name": "linear"}, (6,), "batched"),
    "polynomial": ({"name": "polynomial", "degree": 2}, (3,), "batched"),
    "softmax": ({"name": "softmax", "bias": False}, IMAGE, "batched"),
    "mlp": ({"name": "mlp", "widths": [8, 6]}, (6,), "batched"),
    "mlp-maxout": ({"name": "mlp", "widths": [6], "activation": "maxout"}, IMAGE, "batched"),
    "mlp-norm": ({"name": "mlp", "widths": [8, 6], "activation": "tanh", "batch_norm": True}, IMAGE, "batched"),
    "lenet5": ({"name": "lenet5"}, (1, 28, 28), "vmap"),
    "cnn": ({"name": "cnn", "channels": [3, 4], "hidden": 6}, IMAGE, "vmap"),
    "cnn-norm": (CNN_NORM, IMAGE, "vmap"),
    "resnet18": ({"name": "resnet18", "width": 2}, IMAGE, "vmap"),
    "transformer": ({"name": "transformer", "width": 8, "heads": 2, "layers": 1, "feedforward": 8}, IMAGE, "vmap"),
    "rnn": ({"name": "rnn", "hidden": 5}, IMAGE, "loop"),
    "lstm": ({"name": "lstm", "hidden": 5, "layers": 2}, IMAGE, "loop"),
}


def layout(name: str) -> tuple[dict[str, Any], tuple[int, ...], Way]:
    """A family by its name; "x by loop" takes turns."""
    keys, shape, path = FAMILIES[name.removesuffix(" by loop")]
    return keys, shape, "loop" if name.endswith(" by loop") else path


def parsed(kind: Any, keys: dict[str, Any]) -> Any:
    return TypeAdapter(kind).validate_python(keys)


def family(name: str, count: int = COUNT, dtype: torch.dtype = torch.float64) -> list[nn.Module]:
    keys, shape, _ = layout(name)
    section = parsed(schema.AnyModel, keys)
    made = []
    for member in range(count):
        torch.manual_seed(member)
        model = models.build(section, input_shape=shape, outputs=CLASSES, code=None)
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


def compare(task: Task, name: str, tolerance: float) -> None:
    """Train the family `name` both ways; every weight and buffer must be the same within `tolerance`."""
    _, shape, path = layout(name)
    singles = family(name, len(task.optimizers), task.dtype)
    members = task.together(singles, shape, path)
    for member, model in enumerate(singles):
        task.alone(model, member, shape)
        got = members.member_state(member)
        for key, expected in model.state_dict().items():
            difference = (got[key].double() - expected.double()).abs().max().item()
            assert difference <= tolerance, f"{name}, member {member}: {key} differs by {difference:g}"
