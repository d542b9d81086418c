"""Where a number first was not finite: found by training the steps since the last checkpoint again, more closely."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.metrics import LAYER_STATISTICS
from engine.run import RunFolder
from engine.training import checkpoint, loop, models, steering
from engine.training.training import Training

BUDGET = 20.0  # seconds; whoever waits for an answer does not wait for a whole epoch of a large model
_RATIO = LAYER_STATISTICS.index("update_ratio")
_FLAG = LAYER_STATISTICS.index("non_finite")


@dataclass(frozen=True)
class Culprit:
    """The first thing that was not finite.

    what: "output" or "gradient" of `layer`, or the "loss" itself, with no layer. ratio: the largest update of a layer
    in the step before, as a share of its weights.
    """

    step: int
    what: str
    layer: str | None
    kind: str | None  # of the layer: "linear 64 × 10"
    lr: float
    ratio: float | None


def find(run: Training, folder: RunFolder, until: int, interrupted: Callable[[], bool]) -> Culprit | None:
    """The culprit of a run whose update `until` showed a number that is not finite.

    The run itself stands afterwards as it did before, but for what a training step of one's own keeps by itself.
    None where there is no checkpoint, where the steps don't show it again, or where it takes longer than the budget.
    """
    saved = [step for step in folder.checkpoints() if step <= until]
    if not saved or len(run.members) > 1:  # a member that diverges is frozen before it is broken
        return None
    try:
        start = checkpoint.read(folder.checkpoint(saved[-1]))
    except ValueError:
        return None
    now, forward = checkpoint.copied(run.capture(0.0)), run.forward
    try:
        steering.restore(run, start["edits"])
        run.restore(start)
        run.forward = run.model  # not a compiled one, which calls no hooks
        return _replay(run, folder, start["log"], until, interrupted)
    finally:
        run.forward = forward
        steering.restore(run, now["edits"])
        run.restore(now)


def _replay(
    run: Training, folder: RunFolder, log: int, until: int, interrupted: Callable[[], bool]
) -> Culprit | None:
    commands = [e for at, e in folder.events_with_positions() if e["event"] == "command" and at >= log]
    evaluations = {e["step"]: e for e in folder.events() if e["event"] == "evaluation" and e["split"] == "validation"}
    layers = models.layers(run.model)
    deadline = time.monotonic() + BUDGET
    ratio: float | None = None
    while run.step <= until and time.monotonic() < deadline and not interrupted():
        for event in [e for e in commands if e["step"] == run.step]:
            _again(run, event)
        lr = run.learning_rate()
        with _outputs(layers) as finite:
            learned = loop.train_step(run, run.batches.next(), lr, measured=True)
        assert learned.layers is not None
        statistics = learned.layers.cpu()
        found = _first(layers, finite, learned.loss, statistics)
        if found is not None:
            what, index = found
            name, module = layers[index] if index is not None else (None, None)
            kind = models.describe(module) if module is not None else None
            return Culprit(run.step, what, name, kind, float(lr), ratio)
        ratio = float(statistics[:, _RATIO].max())
        run.step += 1
        epoch_is_over = run.batches.epoch_is_over()
        if run.plateau is not None and run.is_due(run.preset.train.evaluate_every, epoch_is_over):
            loss = evaluations.get(run.step, {}).get("loss")
            run.plateau.observe(float("nan") if loss is None else loss)
        if epoch_is_over:
            steering.begin_epoch(run)
    return None


def _again(run: Training, event: dict[str, Any]) -> None:
    """Follow a command once more."""
    if event["command"] == "set":
        steering.edit(run, event["arguments"]["edits"])
    elif event["command"] == "extend":
        steering.extend(run, **event["arguments"])


@contextmanager
def _outputs(layers: list[tuple[str, nn.Module]]) -> Iterator[list[Tensor]]:
    """Whether each layer's output is finite, in the order of the forward pass: (index, flag) as a (2,) tensor."""
    seen: list[Tensor] = []

    def look(index: int, output: Any) -> None:
        # A recurrent layer gives a tuple, its outputs first.
        tensor = output[0] if isinstance(output, tuple) else output
        finite = torch.isfinite(tensor.detach()).all()
        seen.append(torch.stack([torch.full_like(finite, index, dtype=torch.int64), finite.long()]))

    handles = [
        module.register_forward_hook(lambda m, i, output, index=index: look(index, output))
        for index, (_, module) in enumerate(layers)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _first(
    layers: list[tuple[str, nn.Module]], outputs: list[Tensor], loss: Tensor, statistics: Tensor
) -> tuple[str, int | None] | None:
    """What was not finite in a step, in the order in which it is computed: outputs, loss, gradients."""
    for index, finite in torch.stack(outputs).tolist() if outputs else []:
        if not finite:
            return "output", int(index)
    if not bool(torch.isfinite(loss)):
        return "loss", None
    flagged = statistics[:, _FLAG].nonzero().flatten().tolist()
    # Backward runs from the last layer to the first, so the last one that is flagged was the first to go.
    return ("gradient", int(flagged[-1])) if flagged else None
