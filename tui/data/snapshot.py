"""What a console shows of a run at one moment. Widgets get it and read no files."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from descent.common.i18n import N_
from descent.run.events import Event
from descent.run.health import Health
from descent.run.state import ALIVE, State
from tui.data import run_settings
from tui.data.log import LogLine
from tui.data.machine import History, Machine

if TYPE_CHECKING:
    from descent.run.verdict import Verdict
    from tui.data.candidates import Standing  # with NumPy, which Home's first frame does not wait for

TREND = 8  # cells of a layer's sparkline
USUAL_RATIO = (2e-4, 5e-3)  # update / weight a step; 1e-3 is the rule of thumb
USUAL_ADAPTIVE = (2e-4, 1e-2)  # of optimizers that scale each parameter's step, such as Adam


@dataclass(frozen=True)
class LayerRow:
    """The latest statistics of a layer; None where none was measured. trend: gradient norms, 0 to 1, oldest first.

    judged: what update / weight is, as far as that says something: "usual"; "low" or "high" while the loss does not
    fall; "none"; "" in a run that has ended or learns all the same, whatever it is.
    """

    index: int
    name: str
    kind: str
    grad_norm: float | None
    weight_norm: float | None
    update_ratio: float | None
    dead: float | None
    non_finite: bool
    trend: tuple[float | None, ...] = ()
    judged: str = ""

    @property
    def ratio_sign(self) -> tuple[str, str, str]:
        """How far update / weight is from usual: a sign, a word that is still to be translated, a style."""
        if self.non_finite:
            return "✗", "NaN", "trouble"
        return _RATIO_SIGNS[self.judged]


_RATIO_SIGNS = {
    "": (" ", "", "quiet"),
    "usual": ("●", N_("ok"), "good"),
    "high": ("▲", N_("high"), "warn"),
    "low": ("▼", N_("low"), "warn"),
    "none": ("▼", N_("none"), "warn"),  # dead, or frozen
}


def judged(ratio: float | None, *, usual: tuple[float, float], scale: float, verdict: "Verdict | None") -> str:
    """Return what LayerRow.judged says of a run that trains.

    scale: the learning rate now as a share of its highest so far: a plan that lets it fall lets the updates fall too.
    """
    if ratio is None:
        return ""
    if ratio == 0:
        return "none"
    low, high = usual
    planned = ratio / scale if scale > 0 else ratio
    if low <= planned <= high:
        return "usual"
    kind = verdict.kind if verdict is not None else ""
    if ratio > high:
        return "high" if kind in ("rate", "broken", "collapsed") else ""
    return "low" if kind in ("plateau", "vanishing") else ""


class BestEvaluation(NamedTuple):
    """The best evaluation so far.

    epoch: if it is at the end of one. is_share: whether the value is a share of 1. accuracy: of that evaluation.
    """

    step: int
    epoch: int | None
    value: float
    is_share: bool
    accuracy: float | None = None  # of it


@dataclass(frozen=True)
class Anomaly:
    """Where training broke. checkpoint: the last one before it; rate_there: the learning rate of its next update.

    began: "output" or "gradient" of `layer`, or "loss"; like layer, kind, lr and update_ratio, where it is known.
    member: the one of several that is frozen now, while the others can go on.
    collapse: in words, where the numbers are finite and the model is broken all the same; it holds nothing up.
    """

    step: int
    what: str
    checkpoint: int | None
    began: str | None = None
    layer: str | None = None
    kind: str = ""
    lr: float | None = None
    update_ratio: float | None = None
    rate_there: float | None = None
    member: int | None = None
    collapse: str = ""

    @property
    def factor(self) -> float:
        """Return a factor for the rate at the checkpoint: to a tenth of it, or of the rate that failed if lower."""
        if not self.rate_there or self.lr is None:
            return 0.1
        return min(self.rate_there, self.lr) / 10 / self.rate_there


@dataclass(frozen=True)
class Snapshot:
    """One moment of a run. epoch: passes over the data so far, with its fraction. speed: steps a second."""

    preset: str
    id: str
    state: State
    stage: str = ""
    reason: str = ""
    is_gone: bool = False  # somebody has deleted its folder: what is shown is all that is left
    parent: tuple[str, int] | None = None  # of a fork: the id of the run and the step that it comes from
    winner: str = ""  # of a sweep that is over, in words
    step: int = 0
    total_steps: int | None = None
    epoch: float = 0.0
    epochs: float | None = None
    per_epoch: int | None = None
    speed: float | None = None
    lr: float | None = None
    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_balanced_accuracy: float | None = None
    val_r2: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    layers: tuple[LayerRow, ...] = ()
    statistics_every: int | None = None
    members: int = 1
    member: int | None = None
    member_name: str = ""  # of the one that was picked
    candidates: "tuple[Standing, ...]" = ()  # of a sweep, the best first; its numbers are shown
    has_accuracy: bool = False
    has_validation: bool = False
    log: tuple[LogLine, ...] = ()
    device: str = ""
    host: str | None = None
    machine: Machine = field(default_factory=Machine)
    history: History = field(default_factory=History)
    batch_size: int | None = None
    anomaly: Anomaly | None = None
    checkpoints: tuple[int, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)  # of these settings, in the order shown
    actions: tuple[str, ...] = ()  # functions that the script of a loop of one's own has declared
    is_exact: bool | None = None  # of a loop of one's own, once it trains: whether a resumed run ends the same
    why_not_exact: str = ""
    refused: dict[str, str] = field(default_factory=dict)  # of its commands those that it can't follow, and why
    counted_in: str = ""  # "epochs" or "steps", where it can be made longer by these alone
    has_epochs: bool = True  # whether a stop can wait for the end of one
    schedule: str = ""
    is_planned: bool = True  # whether the planned learning rate is that of the latest change
    output: tuple[str, ...] = ()
    verdict: "Verdict | None" = None  # what is going on, where a rule says so
    loss_trend: float = 0.0  # by which share of itself the loss has changed over the last window
    val_trend: float = 0.0  # the same from the evaluation before
    best: BestEvaluation | None = None
    best_checkpoint: int | None = None  # the step of the checkpoint of the best evaluation
    seconds: float = 0.0  # of training
    past: int | None = None  # the earlier step that the numbers are of, where they are not of now
    past_epoch: float | None = None

    @property
    def is_alive(self) -> bool:
        return self.state in ALIVE

    @property
    def news(self) -> object:
        """Return what a chart must redraw for at once when it differs. New steps alone are no news."""
        step = None if self.state == "running" else self.step
        return self.state, self.member, self.log, self.is_planned, step

    @property
    def eta(self) -> float | None:
        """Seconds of training to go. None while the run does not train, as when it is paused."""
        if self.state == "paused" or not self.speed or self.total_steps is None:
            return None
        return max(0, self.total_steps - self.step) / self.speed

    @property
    def short_id(self) -> str:
        """Return the short form of the id: its last four letters, or the whole of an id that the user gave."""
        return short_id(self.id)


def short_id(run_id: str) -> str:
    return run_id[-4:] if preset_of(run_id) != run_id else run_id


def preset_of(run_id: str) -> str:
    """Return the preset in an id such as PRESET-yymmdd-hhmmss-xxxx. Of any other id, return the whole."""
    parts = run_id.rsplit("-", 3)
    return parts[0] if len(parts) == 4 and parts[1].isdigit() and parts[2].isdigit() else run_id


class RunSummary(Health):
    """What the events say that a console shows at once.

    last: the latest event of each kind. edits: live settings, as they were changed. checkpoints: the events that tell
    of one.
    """

    def begin(self) -> None:
        super().begin()
        self.last: dict[str, Event] = {}
        self.edits: dict[str, Any] = {}
        self.checkpoints: list[Event] = []
        self.total_steps: int | None = None

    def add(self, event: Event) -> None:
        super().add(event)
        kind = str(event.get("event"))
        self.last[kind] = event
        if kind == "command" and event.get("command") == "set":
            self.edits.update(run_settings.edits((event.get("arguments") or {}).get("edits", ())))
        if kind == "checkpoint":
            self.checkpoints.append(event)
        if kind in ("plan", "batch_size", "length"):
            self.total_steps = event.get("total_steps", self.total_steps)
