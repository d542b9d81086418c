"""A whole training step as one CUDA graph, so that the GPU need not wait for the host to launch each kernel.

A graph repeats what was launched while it was captured, with the same memory and the same numbers of the host. So
the batch is copied into tensors that stay, and the learning rate is a tensor. Whatever else the host decides ends a
graph: it is captured anew when settings or the optimizer's state are replaced. Measured steps, and batches of another
shape than the first one, such as the last of an epoch, run kernel by kernel.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from descent.common.i18n import _
from descent.loop.device import one_line
from engine.preset import schema
from engine.training.data.batches import Batch
from engine.training.protocols import AnyBatch, StepResult
from engine.training.step import train_step
from engine.training.train_state import TrainState
from engine.training.update import Update

WARM = 3  # steps before the capture, in which libraries choose their kernels and the optimizer makes its state
_OPTIMIZERS = ("sgd", "adam", "adamw")  # whose fused form takes its rate from the device


class _Graph(NamedTuple):
    """graph: None where the step is repeated by running it, for tests on the CPU. gradients: kept alive for it."""

    graph: "torch.cuda.CUDAGraph | None"
    result: StepResult | None
    gradients: list[Tensor | None]
    preset: object
    state: object


class CapturedStep:
    """train_step, repeated as a graph where it can be. Called as train_step is."""

    def __init__(self, run: TrainState, warn: Callable[[str], object], *, capture: bool = True) -> None:
        """warn: is told why a step can't be captured. capture: False to run the step from its own tensors each time,
        which must give the same numbers."""
        assert isinstance(run.update, Update)
        self._warn, self._capture = warn, capture
        self.rate = run.update.keep_rate_on_device(capturable=capture)
        self._batch: Batch | None = None  # the tensors that stay
        self._graph: _Graph | None = None
        self._warm = 0
        self.repeated = 0  # steps that were taken from a graph
        self.why_not: str | None = None  # what has ended the use of graphs for good

    def __call__(self, run: TrainState, batch: AnyBatch, lr: float | Tensor, *, measured: bool) -> StepResult:
        if measured or self.why_not is not None or not self._fits(batch):
            return train_step(run, batch, lr, measured=measured)
        if self._warm < WARM:
            self._warm += 1
            return train_step(run, batch, lr, measured=False)
        assert self._batch is not None
        self._batch.inputs.copy_(batch.inputs)
        self._batch.targets.copy_(batch.targets)
        self.rate.fill_(lr)
        if self._graph is None or not self._is_current(run, self._graph):
            self._graph = None  # gives its memory back first
            self._graph = self._made(run, batch)
            if self._graph is None:
                return train_step(run, batch, lr, measured=False)
        self.repeated += 1
        if self._graph.graph is None:
            return train_step(run, self._batch, self.rate, measured=False)
        self._graph.graph.replay()
        assert self._graph.result is not None
        return self._graph.result

    def _fits(self, batch: AnyBatch) -> bool:
        """Return whether the batch has the shape of the first one."""
        if self._batch is None:
            self._batch = Batch(torch.empty_like(batch.inputs), torch.empty_like(batch.targets))
        return self._batch.inputs.shape == batch.inputs.shape and self._batch.targets.shape == batch.targets.shape

    @staticmethod
    def _is_current(run: TrainState, graph: _Graph) -> bool:
        """Return whether the host would still launch what the graph repeats. A live edit brings another preset."""
        assert isinstance(run.update, Update)
        return graph.preset is run.preset and graph.state is run.update.optimizer.state

    def _made(self, run: TrainState, batch: AnyBatch) -> _Graph | None:
        """Capture a step. Returns None, and tells why, if something in it can't be captured."""
        assert self._batch is not None
        assert isinstance(run.update, Update)
        kept = run.preset, run.update.optimizer.state
        if not self._capture:
            return _Graph(None, None, [], *kept)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                result = train_step(run, self._batch, self.rate, measured=False)
        except RuntimeError as error:
            self.why_not = one_line(error)
            self._warn(
                _(
                    "the step can't be repeated as a CUDA graph ({why}); it is launched kernel by kernel, as with "
                    "train.graph = false",
                    why=self.why_not,
                )
            )
            run.update.zero()
            return None
        return _Graph(graph, result, [parameter.grad for parameter in run.update.parameters], *kept)


def captured(run: TrainState, warn: Callable[[str], object]) -> CapturedStep | None:
    """Return the step as a graph, or None if train.graph, the device or the run do not allow one.

    warn: is told of what hinders a graph that was asked for.
    """
    wanted = run.preset.train.graph
    key = None if wanted is False else "train.device" if run.device.type != "cuda" else obstacle(run)
    if key is not None and wanted is True:
        warn(_("train.graph = true: {key} does not allow it; the step is launched kernel by kernel", key=key))
    return None if wanted is False or key is not None else CapturedStep(run, warn)


def obstacle(run: TrainState) -> str | None:
    """Return the key of what makes a graph wrong or impossible for this run, or None."""
    preset = run.preset
    found = {
        "members": not isinstance(run.update, Update),
        "train.code": run.own_step is not None or preset.train.code is not None,
        "train.compile": preset.train.compile,
        "train.precision": preset.train.precision == "fp16",  # its scale is read by the host
        "optimizer.name": preset.optimizer.name not in _OPTIMIZERS
        or not (isinstance(run.update, Update) and run.update.optimizer.defaults.get("fused")),
        # cuDNN's recurrent layers keep memory of their own between the steps.
        "model.name": any(isinstance(module, nn.RNNBase) for module in run.model.modules()),
        # What the user's Python does between the kernels would happen once, at the capture.
        "model.code": isinstance(preset.model, schema.CodeModel) and preset.train.graph == "auto",
        "loss.code": isinstance(preset.loss, schema.CodeLoss) and preset.train.graph == "auto",
        "data": run.batches.fixed,
    }
    return next((key for key, hinders in found.items() if hinders), None)
