"""What is going on in a run, in one line: learning, overfitting, a plateau, a rate that is too high, a collapse.

Each verdict has a rule, in the function of its name below, and there is none where no rule holds: a wrong alarm is
worse than silence. The rules compare the means of the training loss over two windows, the latest tenth of the steps
and the tenth before it, of SHORTEST steps and of an epoch at least; the loss on the validation split; and the
statistics of the layers. They are for a run of one model, or for one member of several.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from descent.common.i18n import _
from descent.common.numbers import count, percent
from descent.run.epochs import epochs_since
from descent.run.events import Event, evaluation_of
from descent.run.folder import RunFolder
from descent.run.follower import Follower, Member
from descent.run.health import Health
from descent.run.state import State

WINDOW = 0.1  # of the steps so far
SHORTEST = 20  # steps of a window
FALLS = 0.02  # of the loss from one window to the next; less can't be told from noise
LASTS = 3  # evaluations in a row that are all worse than the best one
WORSE = 0.1  # by which their mean is above the best loss, at least
SURELY = 0.03  # by which each of them is above it
STILL_GOOD = 0.1  # of the steps that an improvement on the validation split lasts: no plateau before that
FAR = 1.5  # times the loss before the first update: that much only too high a rate brings about
SPIKES, SPIKES_SHARE = 2, 0.2  # spikes within this share of the steps
VANISHING = 1e-4  # of the gradient at the last layer that arrives at the first one
FROM_LAYERS = 3  # fewer have no depth for a gradient to vanish in
HIGH = 0.8  # of the loss before the first update: the run has learned next to nothing
WELL_LEARNED = 0.01  # of it: so small a loss fluctuates anyway

Kind = Literal["broken", "collapsed", "rate", "vanishing", "overfitting", "plateau", "learning"]
TROUBLE: tuple[Kind, ...] = ("broken", "collapsed")


@dataclass(frozen=True)
class Verdict:
    """What is going on. step: since when. change: of the loss, as a share of it. layer: where the gradient vanishes.

    epoch: of an overfitting run the one of its best evaluation, if that is at the end of one.
    """

    kind: Kind
    step: int = 0
    change: float = 0.0
    layer: str = ""
    epoch: int | None = None
    steps: int = 0  # of the window that `change` is over

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Layer(NamedTuple):
    """The latest statistics of a layer, in the model's order."""

    name: str
    grad_norm: float | None


@dataclass(frozen=True)
class Evidence:
    """What the rules go by.

    start: the training loss before the first update. now, before: its means over the last window of `window` steps
    and over the one before it; None where there are too few steps. at_best: the mean over a window up to the best
    evaluation. validation: steps and losses. broken, collapsed: the step since when. stalled: the step at which the
    loss had stopped falling, and what it was. spikes: their steps. per_epoch: steps of an epoch.
    """

    state: State = "running"
    step: int = 0
    start: float | None = None
    now: float | None = None
    before: float | None = None
    window: int = 0
    at_best: float | None = None
    validation: tuple[Sequence[int], Sequence[float]] = ((), ())
    layers: Sequence[Layer] = field(default=())
    broken: int | None = None
    collapsed: int | None = None
    stalled: tuple[int, float] | None = None
    spikes: Sequence[int] = ()
    per_epoch: int | None = None

    @property
    def fall(self) -> float | None:
        """By which share of itself the loss has fallen between the windows; of a loss about 0, of its span."""
        if self.now is None or self.before is None or self.start is None:
            return None
        whole = self.before if self.now > 0 and self.before > 0 else abs(self.start - self.now)
        return (self.before - self.now) / whole if whole else 0.0

    @property
    def falls(self) -> bool:
        return self.fall is not None and self.fall >= FALLS


def judge(evidence: Evidence) -> Verdict | None:
    """Return the first verdict whose rule holds; None where none does."""
    rules = (_broken, _collapsed, _rate_too_high, _vanishing, _overfitting, _plateau, _learning)
    return next((verdict for rule in rules if (verdict := rule(evidence)) is not None), None)


def _broken(of: Evidence) -> Verdict | None:
    """A loss or a gradient is not finite, and nobody has seen to it."""
    return None if of.broken is None else Verdict("broken", of.broken)


def _collapsed(of: Evidence) -> Verdict | None:
    """The worker has found the model broken though its numbers are finite, and it has not recovered."""
    return None if of.collapsed is None else Verdict("collapsed", of.collapsed)


def _rate_too_high(of: Evidence) -> Verdict | None:
    """The loss lies FAR above where it began and does not fall, or has jumped up again and again of late."""
    if of.now is None or of.start is None or of.falls:
        return None
    late = [step for step in of.spikes if step >= of.step * (1 - SPIKES_SHARE)]
    if (of.start > 0 and of.now > FAR * of.start) or len(late) >= SPIKES:
        return Verdict("rate", min(late, default=0), -(of.fall or 0.0), steps=of.window)
    return None


def _vanishing(of: Evidence) -> Verdict | None:
    """The first of several layers gets next to no gradient, while the run has learned next to nothing."""
    known = [layer for layer in of.layers if layer.grad_norm is not None and np.isfinite(layer.grad_norm)]
    if len(known) < FROM_LAYERS or of.now is None or of.start is None or of.falls or of.now < HIGH * of.start:
        return None
    first, last = known[0].grad_norm, known[-1].grad_norm
    assert first is not None
    assert last is not None
    return Verdict("vanishing", layer=known[0].name) if last > 0 and first < VANISHING * last else None


def _overfitting(of: Evidence) -> Verdict | None:
    """The validation loss has been above its best for LASTS evaluations, and the training loss is lower than then."""
    steps, losses = (np.asarray(values, np.float64) for values in of.validation)
    if len(losses) <= LASTS or not np.isfinite(losses[-LASTS:]).all() or of.now is None or of.at_best is None:
        return None
    best = int(np.nanargmin(losses))
    least, latest = float(losses[best]), losses[-LASTS:]
    rises = len(losses) - 1 - best >= LASTS and least > 0 and latest.mean() >= (1 + WORSE) * least
    if not rises or latest.min() < (1 + SURELY) * least or not of.now < min(of.at_best, float(latest[-1])):
        return None
    since = int(steps[best])
    epoch = since // of.per_epoch if of.per_epoch and since % of.per_epoch == 0 else None
    return Verdict("overfitting", since, float(latest[-1]) / least - 1, epoch=epoch)


def _plateau(of: Evidence) -> Verdict | None:
    """The worker has seen the loss stop falling, it has not fallen since, and validation has brought no new best."""
    if of.stalled is None or of.now is None or of.start is None or of.falls:
        return None
    since, then = of.stalled
    if of.now < (1 - FALLS) * then or (of.start > 0 and of.now < WELL_LEARNED * of.start):
        return None
    steps, losses = of.validation
    if len(losses) and np.isfinite(losses).any() and steps[int(np.nanargmin(losses))] > of.step * (1 - STILL_GOOD):
        return None
    return Verdict("plateau", since)


def _learning(of: Evidence) -> Verdict | None:
    """The loss is lower than a window before."""
    return Verdict("learning", change=-(of.fall or 0.0), steps=of.window) if of.falls else None


# --- from a run ---


class Watch(Health):
    """What the events say that verdicts go by: those of `who`, the means of several members."""

    def __init__(self, who: Member = "mean") -> None:
        self.who = who
        super().__init__()

    def begin(self) -> None:
        super().begin()
        self.stalled: tuple[int, float] | None = None
        self.spikes: list[int] = []
        self.batch_size: Event | None = None
        self.steps: list[int] = []
        self.losses: list[float] = []
        self._together: set[int] = set()  # the members in the last of them

    def add(self, event: Event) -> None:
        super().add(event)
        step = int(event.get("step", 0) or 0)
        match event.get("event"):
            case "evaluation" if event.get("split") == "validation" and "loss" in event:
                self._evaluated(event)
            case "stall":
                self.stalled = int(event.get("since", step)), float(event.get("loss") or np.nan)
            case "batch_size":
                self.batch_size = event
            case "spike":
                self.spikes.append(step)
            case "rewound" | "resumed":
                self.stalled = None

    def _evaluated(self, event: Event) -> None:
        step, _split, member, values = evaluation_of(event)
        if (isinstance(self.who, int) and member != self.who) or (
            isinstance(self.who, tuple) and member not in self.who
        ):
            return
        loss = values.get("loss")
        value = np.nan if loss is None else loss
        if self.steps and self.steps[-1] == step and member not in self._together:
            self._together.add(member)
            self.losses[-1] += (value - self.losses[-1]) / len(self._together)
            return
        if self.steps and self.steps[-1] == step:  # evaluated once more
            self.steps.pop()
            self.losses.pop()
        self.steps.append(step)
        self.losses.append(value)
        self._together = {member}


def evidence_of(follower: Follower, watch: Watch, who: Member, per_epoch: int | None = None) -> Evidence:
    """Return what is known of a run now. For whoever may read the follower now."""
    watch.take(follower.events, follower.events.voided)
    layout, step = follower.layout, follower.step
    if layout is None or not step:
        return Evidence(follower.state, broken=_held_up(follower, watch), collapsed=_since(watch))
    window = max(SHORTEST, int(WINDOW * step), min(per_epoch or 0, step // 4))
    best = watch.steps[int(np.nanargmin(watch.losses))] if np.isfinite(watch.losses).any() else None
    return Evidence(
        follower.state,
        step,
        _mean(follower, who, 0, 1),
        _mean(follower, who, step - window, step) if step >= 2 * window else None,
        _mean(follower, who, step - 2 * window, step - window) if step >= 2 * window else None,
        window,
        None if best is None else _mean(follower, who, max(0, best - window), best),
        (watch.steps, watch.losses),
        [Layer(str(each["name"]), follower.latest(f"layer.{each['name']}.grad_norm", who)) for each in layout.layers],
        _held_up(follower, watch),
        _since(watch),
        watch.stalled,
        watch.spikes[-SPIKES:],
        per_epoch,
    )


def verdict_on(run: RunFolder) -> Verdict | None:
    """Return what is going on in a run now, or was at its end: read from all of its rows."""
    follower = Follower(run)
    who: Member = "mean" if follower.layout is not None and len(follower.layout.members) > 1 else 0
    watch = Watch(who)
    watch.take(follower.events, follower.events.voided)
    epochs = epochs_since(watch.batch_size, follower.facts)
    return judge(evidence_of(follower, watch, who, None if epochs is None else epochs.per_epoch))


def _held_up(follower: Follower, watch: Watch) -> int | None:
    """Since when numbers that are not finite hold the run up."""
    if watch.anomaly is None or follower.state not in ("paused", "failed", "stopped"):
        return None
    return int(watch.anomaly["step"])


def _since(watch: Watch) -> int | None:
    return None if watch.collapse is None else int(watch.collapse["since"])


def _mean(follower: Follower, who: Member, first: int, end: int) -> float | None:
    """The mean training loss of the steps from `first` to before `end`, by blocks where they are many."""
    series = follower.series("loss", who)
    unit = series.unit(len(series)) if end - first > SHORTEST else 1
    blocks = max(1, (end - first) // unit)
    points = series.values(first, end) if unit == 1 else series.means(unit, first // unit)[:blocks]
    points = points[np.isfinite(points)]
    return float(np.mean(points, dtype=np.float64)) if len(points) else None


# --- in words ---


def words(verdict: Verdict) -> str:
    """Say it in half a sentence, in the current language."""
    step, change = count(verdict.step), percent(abs(verdict.change), 0)
    said: dict[Kind, str] = {
        "broken": _("not finite at step {step}", step=step),
        "collapsed": _("collapsed at step {step}", step=step),
        "rate": _("the learning rate is too high: the loss does not fall"),
        "vanishing": _("vanishing gradients: next to none reaches {layer}", layer=verdict.layer),
        "overfitting": _("overfitting since step {step}: val +{change}", step=step, change=change),
        "plateau": _("plateau: the loss has not fallen since step {step}", step=step),
        "learning": _("learning: loss -{change} in {steps} steps", change=change, steps=count(verdict.steps)),
    }
    if verdict.kind == "overfitting" and verdict.epoch is not None:
        return _("overfitting since epoch {epoch}: val +{change}", epoch=count(verdict.epoch), change=change)
    return said[verdict.kind]
