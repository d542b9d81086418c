"""Handling of numbers that are not finite.

The run trains the steps since the last checkpoint again and measures every layer, to find where the number first
appeared. Then it ends, waits for a person, or goes on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from descent.common.errors import DescentError, NonFiniteError
from descent.common.i18n import N_, _
from descent.common.numbers import number, trimmed
from descent.loop import checkpoint
from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.layout import LAYER_STATISTICS
from engine.training import live_edits, models, step
from engine.training.monitor import NonFinite
from engine.training.train_state import TrainState

BUDGET = 20.0  # seconds, so that nobody waits for a whole epoch of a large model
_RATIO = LAYER_STATISTICS.index("update_ratio")
_FLAG = LAYER_STATISTICS.index("non_finite")
_USUAL_RATIO = 1e-3  # of an update to its weights, in a training that goes well
_BECAME = {  # by NonFinite.what, without the layer
    "loss": N_("the loss became NaN or infinite at step {step} (lr {lr})."),
    "loss of every member": N_("the loss of every member became NaN or infinite at step {step} (lr {lr})."),
    "gradient": N_("the gradient of layer {layer} became NaN or infinite at step {step} (lr {lr})."),
    "update": N_("the update became NaN or infinite at step {step} (lr {lr})."),
    "buffer": N_("the buffer {layer} became NaN or infinite at step {step} (lr {lr})."),
}
_BEGAN = {  # by Origin.what
    "output": N_("It began in layer {layer} ({kind}): at step {step} its output was not finite."),
    "gradient": N_("It began in layer {layer} ({kind}): at step {step} its gradient was not finite."),
    "loss": N_(
        "It began at step {step} in the loss: it overflowed first, while the model's outputs were still finite."
    ),
}


@dataclass(frozen=True)
class Origin:
    """The first number that was not finite.

    what: "output" or "gradient" of `layer`, or "loss", with no layer. ratio: the largest update of a layer in the
    step before, as a share of its weights.
    """

    step: int
    what: str
    layer: str | None
    kind: str | None  # of the layer: "linear 64 × 10"
    lr: float
    ratio: float | None


def find_origin(run: TrainState, folder: RunFolder, until: int, interrupted: Callable[[], bool]) -> Origin | None:
    """Return where the number that is not finite, seen in step `until`, first appeared.

    Afterwards the run is in the state that it was in before, except for what the user's own training step keeps by
    itself. Returns None if there is no checkpoint, if the steps don't show the number again, or if they take longer
    than BUDGET.
    """
    saved = [step for step in folder.checkpoints() if step <= until]
    if not saved or len(run.members) > 1:  # a diverging member is frozen with its last finite weights
        return None
    try:
        start = checkpoint.read(folder.checkpoint(saved[-1]))
    except ValueError:
        return None
    now, forward, shared = checkpoint.copied(run.capture(0.0)), run.forward, run.shared
    run.shared = None  # this process takes whole batches meanwhile
    try:
        live_edits.go_to(run, start)
        run.forward = run.model  # because a compiled model calls no hooks
        return _replay(run, folder, start["log"], until, interrupted)
    except DescentError:  # the checkpoint does not fit the model as it is now
        return None
    finally:
        run.forward, run.shared = forward, shared
        live_edits.restore(run, now["edits"])
        run.restore(now)


def _replay(
    run: TrainState, folder: RunFolder, log: int, until: int, interrupted: Callable[[], bool]
) -> Origin | None:
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
            learned = step.train_step(run, run.batches.next(), lr, measured=True)
        assert learned.layers is not None
        statistics = learned.layers.cpu()
        found = _first(layers, finite, learned.loss, statistics)
        if found is not None:
            what, index = found
            name, module = layers[index] if index is not None else (None, None)
            kind = models.describe(module) if module is not None else None
            return Origin(run.step, what, name, kind, float(lr), ratio)
        ratio = float(statistics[:, _RATIO].max())
        run.step += 1
        epoch_is_over = run.batches.epoch_is_over()
        if run.plateau is not None and run.is_due(run.preset.train.evaluate_every, epoch_is_over):
            loss = evaluations.get(run.step, {}).get("loss")
            run.plateau.observe(float("nan") if loss is None else loss)
        if epoch_is_over:
            live_edits.begin_epoch(run)
    return None


def _again(run: TrainState, event: dict[str, Any]) -> None:
    """Follow a command of the log again."""
    if event["command"] == "set":
        live_edits.edit(run, event["arguments"]["edits"])
    elif event["command"] == "extend":
        live_edits.extend(run, **event["arguments"])


@contextmanager
def _outputs(layers: list[tuple[str, nn.Module]]) -> Iterator[list[Tensor]]:
    """Record whether each layer's output is finite, in forward order: (index, flag), a (2,) tensor."""
    seen: list[Tensor] = []

    def look(index: int, output: Any) -> None:
        # A recurrent layer returns a tuple that begins with its outputs.
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
    """Return the first thing that was not finite in a step. The order is outputs, loss, gradients."""
    for index, finite in torch.stack(outputs).tolist() if outputs else []:
        if not finite:
            return "output", int(index)
    if not bool(torch.isfinite(loss)):
        return "loss", None
    flagged = statistics[:, _FLAG].nonzero().flatten().tolist()
    # Backward runs from the last layer to the first, so it began in the last layer that is flagged.
    return ("gradient", int(flagged[-1])) if flagged else None


class NonFiniteHandler:
    """Follows `train.on_nan`: stop, pause (a person decides) or continue."""

    def __init__(self, run: TrainState, folder: RunFolder, events: Events, interrupted: Callable[[], bool]) -> None:
        self._run, self._folder, self._events, self._interrupted = run, folder, events, interrupted
        self._told: str | None = None
        self._accepted = False
        self._lost: list[str] = []  # messages on lost members that a person has not answered yet

    @property
    def reason(self) -> str | None:
        """What a person must decide on, as a message. None without it."""
        if self._told is not None and not self._accepted:
            return self._told
        return " ".join(self._lost) or None

    def holds(self, found: NonFinite | None) -> bool:
        """Return whether the run must wait for a person because of `found`.

        Raises NonFiniteError if train.on_nan says to stop.
        """
        policy = self._run.preset.train.on_nan
        if found is None or self._accepted or policy == "continue":
            return False
        if self._told is None:
            self._told = self._tell(found)
        if policy == "stop":
            raise NonFiniteError(
                f"{self._told} "
                + _(
                    "A lower optimizer.lr, or train.clip_norm = 1.0, often helps; "
                    'train.on_nan = "continue" trains on regardless'
                )
            )
        return True

    def lose(self, member: int, step: int) -> None:
        """Take note that a member of several went non-finite at `step` and is frozen.

        Ask a person if on_nan says pause.
        """
        if self._run.preset.train.on_nan != "pause":
            return
        lr = self._rate_at(step, member)
        saved = self._last_before(step)
        what = f"loss of member {member}"
        words = [
            _(
                "the loss of member {member} became NaN or infinite at step {step} (lr {lr}).",
                member=member,
                step=f"{step:,}",
                lr=trimmed(lr),
            ),
            _("It no longer trains. Resume, and the others go on without it."),
        ]
        words += _last_good(saved)
        self._events.write("anomaly", step=step, what=what, member=member, lr=lr, checkpoint=saved)
        self._lost.append(" ".join(words))

    def has_lost(self) -> bool:
        """Return whether a person must decide on frozen members."""
        return bool(self._lost)

    def accept(self) -> None:
        """Go on: a person has decided to."""
        self._accepted = self._accepted or self._told is not None
        self._lost = []

    def _rate_at(self, step: int, member: int | None = None) -> float:
        """Return the learning rate of a step, or that of now if nobody has planned it."""
        plan = self._run.plan(member)
        return float(self._run.learning_rate()) if plan is None else plan.rate(step)

    def _tell(self, found: NonFinite) -> str:
        """Find the origin, write the anomaly into the run's log, and return the message."""
        first = find_origin(self._run, self._folder, found.step, self._interrupted)
        step = first.step if first is not None else found.step
        saved = self._last_before(step)
        lr = first.lr if first is not None else self._rate_at(step)
        kind, _of, layer = found.what.partition(" of layer ")
        values: dict[str, Any] = {"step": step, "what": kind, "lr": lr, "checkpoint": saved}
        words = [_(_BECAME[kind], layer=layer, step=f"{found.step:,}", lr=trimmed(lr))]
        if first is not None:
            values |= {"began": first.what, "layer": first.layer, "kind": first.kind, "update_ratio": first.ratio}
            words += _words(first)
        words += _last_good(saved)
        self._events.write("anomaly", **values)
        return " ".join(words)

    def _last_before(self, step: int) -> int | None:
        """Return the step of the last checkpoint from before `step`, at which it went wrong."""
        return max((saved for saved in self._folder.checkpoints() if saved <= step), default=None)


def _words(first: Origin) -> list[str]:
    words = [_(_BEGAN[first.what], layer=first.layer, kind=first.kind, step=f"{first.step:,}")]
    if first.ratio is not None and first.ratio > 10 * _USUAL_RATIO:
        ratio = number(first.ratio)
        words.append(
            _(
                "The update before was {ratio} of the weights (usually about {usual}).",
                ratio=ratio,
                usual=trimmed(_USUAL_RATIO),
            )
        )
    return words


def _last_good(saved: int | None) -> list[str]:
    return [] if saved is None else [_("Last good checkpoint: step {step}.", step=f"{saved:,}")]
