"""Training loops that a person would write by hand, to measure Descent's against. Each returns the trained model."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.tools.benchmarks.work import Work


def bare(work: Work) -> nn.Module:
    """The shortest there is: tensors that lie in memory, torch.optim as it comes, nothing looked at."""
    model = work.fresh()
    optimizer = work.optimizer(model)
    for inputs, targets in _batches(work):
        optimizer.zero_grad()
        loss = work.criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
    return model


def tuned(work: Work) -> nn.Module:
    """The limit: a fused optimizer, images with their channels last, batches gathered into memory taken once."""
    model = work.fresh()
    if work.inputs.ndim == 4 and work.preset.model.name == "cnn":
        model.to(memory_format=torch.channels_last)
    optimizer = work.optimizer(model, fused=True)
    inputs = torch.empty(work.batch_size, *work.inputs.shape[1:])
    targets = torch.empty(work.batch_size, *work.targets.shape[1:], dtype=work.targets.dtype)
    for rows in _rows(work):
        count = len(rows)
        if work.full:
            x, y = work.inputs, work.targets
        else:
            x = torch.index_select(work.inputs, 0, rows, out=inputs[:count])
            y = torch.index_select(work.targets, 0, rows, out=targets[:count])
        for parameter in model.parameters():
            parameter.grad = None
        loss = work.criterion(model(x), y)
        loss.backward()
        optimizer.step()
    return model


def with_loader(work: Work) -> nn.Module:
    """As tutorials have it: a DataLoader, and the loss and accuracy of every step brought to Python."""
    model = work.fresh()
    optimizer = work.optimizer(model)
    losses, hits = [], []
    for inputs, targets in loader_batches(work):
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = work.criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if work.targets.dtype == torch.int64:
            hits.append((outputs.argmax(1) == targets).float().mean().item())
    return model


def loader(work: Work, epoch: int) -> "DataLoader[tuple[Tensor, ...]]":
    """One epoch's batches by a DataLoader in this process, in the order that all arms have."""
    return DataLoader(
        TensorDataset(work.inputs, work.targets), batch_sampler=[rows.tolist() for rows in work.orders[epoch]]
    )


def loader_batches(work: Work) -> Iterator[tuple[Tensor, ...]]:
    """Exactly `work.steps` batches."""
    taken = 0
    for epoch in range(len(work.orders)):
        for batch in loader(work, epoch):
            yield tuple(batch)
            taken += 1
            if taken == work.steps:
                return


def _rows(work: Work) -> Iterator[Tensor]:
    taken = 0
    for order in work.orders:
        for rows in order:
            yield rows
            taken += 1
            if taken == work.steps:
                return


def _batches(work: Work) -> Iterator[tuple[Tensor, Tensor]]:
    for rows in _rows(work):
        yield (work.inputs, work.targets) if work.full else (work.inputs[rows], work.targets[rows])
