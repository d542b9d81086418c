"""The same work under other trainers, where they are installed: `pip install -e '.[benchmarks]'`.

Each arm returns the trained model. Their logging to disk and progress bars are as they come, or off where said.
"""

import contextlib
import importlib.util
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tests.tools.benchmarks.loops import loader_batches
from tests.tools.benchmarks.work import Work

Arm = Callable[[Work], nn.Module]


class Stream(torch.utils.data.IterableDataset[tuple[Tensor, ...]]):
    """All batches of the work, one after the other, as a DataLoader makes them."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return loader_batches(self._work)

    def __len__(self) -> int:
        return self._work.steps


def installed() -> dict[str, Arm]:
    """The peers that are here, each by its name."""
    arms: dict[str, tuple[str, Arm]] = {
        "Ignite": ("ignite", ignite),
        "Lightning, barebones": ("lightning", lightning_barebones),
        "Lightning": ("lightning", lightning),
        "Keras on torch": ("keras", keras),
        "skorch": ("skorch", skorch),
        "fastai": ("fastai", fastai),
    }
    return {name: arm for name, (module, arm) in arms.items() if importlib.util.find_spec(module) is not None}


def ignite(work: Work) -> nn.Module:
    """Its own supervised trainer over DataLoader batches; nothing attached."""
    from ignite.engine import create_supervised_trainer

    model = work.fresh()
    create_supervised_trainer(model, work.optimizer(model), work.criterion).run(Stream(work), max_epochs=1)
    return model


def lightning(work: Work) -> nn.Module:
    """As it comes: progress bar, a log of the loss, a checkpoint at the end."""
    return _lightning(work)


def lightning_barebones(work: Work) -> nn.Module:
    """Its mode for measuring: no bar, no log, no checkpoint."""
    return _lightning(work, barebones=True)


def _lightning(work: Work, **how: Any) -> nn.Module:
    import lightning as pl

    model = work.fresh()

    class Module(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, _: int) -> Tensor:
            inputs, targets = batch
            loss: Tensor = work.criterion(self.model(inputs), targets)
            if not how:
                self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return work.optimizer(self.model)

    loader = torch.utils.data.DataLoader(Stream(work), batch_size=None)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(accelerator="cpu", max_epochs=1, default_root_dir=folder, **how)
        trainer.fit(Module(), loader)
    return model


def keras(work: Work) -> nn.Module:
    """`fit` of a Keras model around the same torch module."""
    import keras as k

    model = work.fresh()
    section = work.preset.optimizer
    optimizer = (
        k.optimizers.SGD(section.lr, section.momentum)
        if section.name == "sgd"
        else k.optimizers.Adam(section.lr, epsilon=1e-8)  # torch's
    )
    wrapped = k.Sequential([k.layers.TorchModuleWrapper(model)])
    classifies = work.targets.dtype == torch.int64
    wrapped.compile(
        optimizer=optimizer,
        loss=k.losses.SparseCategoricalCrossentropy(from_logits=True) if classifies else "mse",
        metrics=["accuracy"] if classifies else [],
    )
    wrapped.fit(torch.utils.data.DataLoader(Stream(work), batch_size=None), epochs=1, verbose=0)
    return model


def skorch(work: Work) -> nn.Module:
    """Its NeuralNet, without validation and without its table of epochs."""
    from skorch import NeuralNet

    model = work.fresh()
    section = work.preset.optimizer
    optimizer = torch.optim.SGD if section.name == "sgd" else torch.optim.Adam
    more = {"optimizer__momentum": section.momentum} if section.name == "sgd" else {}
    net = NeuralNet(
        model,
        criterion=work.criterion,
        optimizer=optimizer,
        lr=section.lr,
        max_epochs=1,
        batch_size=None,
        train_split=None,
        callbacks__print_log=None,
        callbacks__valid_loss=None,
        callbacks__train_loss=None,
        **more,
    )
    net.fit(Stream(work), y=None)
    return net.module_


def fastai(work: Work) -> nn.Module:
    """Its Learner, with torch's own optimizer and no bar."""
    import fastai.callback.progress  # noqa: F401 - gives a Learner its no_bar
    from fastai.basics import DataLoaders, Learner, OptimWrapper

    model = work.fresh()
    loaders = DataLoaders(torch.utils.data.DataLoader(Stream(work), batch_size=None), [])
    learner = Learner(
        loaders,
        model,
        loss_func=work.criterion,
        opt_func=lambda parameters, **_: OptimWrapper(opt=work.optimizer(model)),
    )
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, lr=work.preset.optimizer.lr)
    return model


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Nothing of what they print, log or warn of; the work is done all the same."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    logging.disable(logging.WARNING)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)
