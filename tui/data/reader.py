"""Reads one run in a thread of its own, at the terminal's pace, into snapshots: a slow disk never delays a key."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.text import clean, why_damaged, without_escapes
from descent.run.epochs import epochs_since
from descent.run.folder import RunFolder
from descent.run.follower import Follower, Member
from descent.run.rates import ForeseenRates
from descent.run.state import ALIVE
from descent.run.sweep import SweepPoint, member_name
from descent.run.verdict import Evidence, Verdict, Watch, evidence_of, judge
from tui.data import run_settings
from tui.data.candidates import ranked, standings
from tui.data.evaluations import history_of
from tui.data.log import Log, LogLine
from tui.data.machine import EVERY, Meters
from tui.data.moment import OF_LAYERS, best_evaluation, moment, trend_of
from tui.data.recent import mean_before, mean_now
from tui.data.runs import Glances
from tui.data.snapshot import (
    USUAL_ADAPTIVE,
    USUAL_RATIO,
    Anomaly,
    LayerRow,
    RunSummary,
    Snapshot,
    judged,
    preset_of,
)
from tui.data.words import collapse_words, device, winner_words

if TYPE_CHECKING:
    from engine.preset.loading import Preset
    from engine.preset.schedule import Plan


PACE_SECONDS = 3.0  # of training, over which steps a second are counted
PACE_STAMPS = 64  # steps of float32, in which rows hold times: 0.03 s each after 100 h; so rounding is 2% at most
SHOWN = ("loss", "accuracy", "lr", "grad_norm")
FIRST_TRENDS = 8  # layers whose sparkline is read ahead of anybody's asking: more are seldom on the screen
CALM = 0.5  # seconds in which the numbers of a running run stay: those that change with every frame can't be read
# Those of engine.preset.schema.schedule that have words; the others are called by their names.
_SCHEDULES = {
    "constant": N_("constant"),
    "linear": N_("linear"),
    "cosine": N_("cosine"),
    "exponential": N_("exponential"),
}
_ADAPTIVE = ("adam", "adamw", "nadam", "radam", "adamax", "adagrad", "adadelta", "rmsprop", "lion", "muon")
PATIENCE = 0.02  # seconds that a chart waits for a look to end before it keeps what it has
BACKLOG = 2.0  # seconds that a screen may take to show a snapshot before the next is taken all the same


class SnapshotBuilder:
    """Takes snapshots of one run, in one thread. It keeps the planned learning rate for the chart."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.plan: Plan | ForeseenRates | None = None
        self.preset: dict[str, Any] = {}
        self.member: int | None = None
        self.leading: SweepPoint | None = None  # the best candidate of a sweep by now
        self.wants_output = False
        self._meters = Meters(follower.folder)
        self._log = Log()
        self._loaded: Preset | None = None
        self._taken = False
        self._parent = _parent(follower)
        self._unplanned: dict[str, Any] | None = None  # the latest plan, where `plan` is not of it yet
        self._summary = RunSummary()
        self._values: dict[str, Any] = {}
        self._checkpoints: tuple[int, ...] = ()
        self._watch = Watch()
        self._evidence = Evidence()
        self._calm: dict[str, tuple[float, object, Any]] = {}  # when each was taken, of what, and what it was

    def take(self, trends: Collection[str] = ()) -> Snapshot:
        """Return a snapshot of the run as the follower last saw it. trends: the layers whose sparkline is wanted."""
        follower, summary = self.follower, self._summary
        facts, events = follower.facts, follower.events
        self.leading = None
        if follower.points:
            self.leading = ranked(follower)[0]
        self._want(trends)
        self._take_events(facts)
        if self._unplanned is not None and self._taken:  # the first picture of a run does not wait for its preset
            self.plan, self._unplanned = self._planned([self._unplanned]), None
        self._taken = True
        epochs = epochs_since(summary.last.get("batch_size"), facts)
        per_epoch = None if epochs is None else epochs.per_epoch
        total = summary.total_steps or facts.get("total_steps")
        epoch = 0.0 if epochs is None else epochs.at(follower.step)
        layout = follower.layout
        columns = layout.columns if layout is not None else ()
        is_gone = not follower.folder.path.is_dir()
        verdict = self._calmly("verdict", lambda: self._judge(per_epoch))
        speed = self._calmly("speed", lambda: self._speed_now(columns))
        machine = self._meters.read(facts, follower.host)
        return Snapshot(
            preset=clean(str(facts.get("preset") or preset_of(follower.folder.id))),
            id=follower.folder.id,
            state=follower.state,
            stage=str(summary.last.get("stage", {}).get("stage", "")) if follower.state == "starting" else "",
            reason=clean(str(summary.last.get("state", {}).get("reason", ""))),
            is_gone=is_gone,
            parent=self._parent,
            winner=winner_words(summary.last["winner"]) if "winner" in summary.last else "",
            step=follower.step,
            total_steps=total,
            epoch=epoch,
            epochs=epoch + (total - follower.step) / per_epoch if total is not None and per_epoch else None,
            per_epoch=per_epoch,
            speed=speed,
            lr=self._latest("lr"),
            loss=self._calmly("loss", lambda: self._mean_now("loss")),
            accuracy=self._calmly("accuracy", lambda: self._mean_now("accuracy")),
            val_loss=self._evaluated("validation", "loss"),
            val_accuracy=self._evaluated("validation", "accuracy"),
            val_balanced_accuracy=self._evaluated("validation", "balanced_accuracy"),
            val_r2=self._evaluated("validation", "r2"),
            test_loss=self._evaluated("test", "loss"),
            test_accuracy=self._evaluated("test", "accuracy"),
            layers=self._calmly("layers", lambda: self._layers(trends), of=trends),
            statistics_every=every if isinstance(every := self._values.get("train.statistics_every"), int) else None,
            members=len(layout.members) if layout is not None else 1,
            member=self.member,
            member_name="" if self.member is None else member_name(follower.points, self.member),
            candidates=self._calmly("candidates", lambda: tuple(standings(follower))) if follower.points else (),
            has_accuracy="accuracy" in columns,
            has_validation="validation" in facts.get("samples", {}),
            log=self._log_of_points().of(events, facts, events.voided, self._train_before),
            device=device(facts) if facts else "",
            host=follower.host,
            machine=machine,
            history=self._meters.history(speed, is_alive=follower.state in ALIVE),
            batch_size=None if epochs is None else epochs.size,
            anomaly=self._anomaly(),
            checkpoints=() if is_gone else self._checkpoints,
            values=self._values,
            hints=run_settings.hints(self._values, facts),
            actions=tuple(clean(str(name)) for name in facts.get("actions", ())),
            **_own_loop(summary.last.get("exact")),
            schedule=schedule_of(self.preset),
            is_planned=self._unplanned is None,
            output=_tail(follower.folder.output) if self.wants_output else (),
            verdict=verdict,
            loss_trend=-(self._evidence.fall or 0.0),
            val_trend=self._trend_of_validation(),
            best=best_evaluation(self.follower, self.who),
            best_checkpoint=self._best_checkpoint(),
            seconds=self._seconds(columns),
        )

    def _judge(self, per_epoch: int | None) -> Verdict | None:
        """What is going on; nothing of candidates of a sweep together, which are different runs."""
        if self.follower.points and self.who == "mean":
            self._evidence = Evidence()
            return None
        if self._watch.who != self.who:
            self._watch = Watch(self.who)
        self._evidence = evidence_of(self.follower, self._watch, self.who, per_epoch)
        return judge(self._evidence)

    def _trend_of_validation(self) -> float:
        values = history_of(self.follower).points("validation", "loss", self.who).values[-2:].tolist()
        known = len(values) == 2 and all(map(math.isfinite, values)) and values[0]
        return values[1] / values[0] - 1 if known else 0.0

    def _best_checkpoint(self) -> int | None:
        told = [event["best"] for event in self._summary.checkpoints if isinstance(event.get("best"), int)]
        return told[-1] if told and told[-1] in self._checkpoints and told[-1] > 0 else None

    def _seconds(self, columns: Sequence[str]) -> float:
        return (self.follower.series("time").latest() or 0.0) if "time" in columns and self.follower.step else 0.0

    def _want(self, trends: Collection[str]) -> None:
        """All that a snapshot and the charts show, in one pass over the past: a long run is a large file.

        The first picture has no sparklines yet: charts come sooner where those wait for a pass of their own.
        """
        if self.follower.layout is None:
            return
        names = [layer["name"] for layer in self.follower.layout.layers]
        shown = [f"layer.{name}.grad_norm" for name in trends or names[:FIRST_TRENDS]] if self._taken else []
        if self.who == 0:
            self.follower.want([*SHOWN, "time", *shown])
        else:
            self.follower.want([*SHOWN, *shown], self.who)
            self.follower.want(["time"])
        self.follower.want_latest((f"layer.{name}.{key}" for name in names for key in OF_LAYERS), self.who)

    def log_until(self, step: int) -> tuple[LogLine, ...]:
        """Return the log as it was at an earlier step."""
        return self._log.until(step, self._train_before)

    def _log_of_points(self) -> Log:
        if self._log.points != self.follower.points:  # the layout is known by now
            self._log = Log(self.follower.points)
        return self._log

    @property
    def is_behind(self) -> bool:
        """Return whether the last snapshot left something out because its time was over."""
        return self._unplanned is not None

    def _take_events(self, facts: dict[str, Any]) -> None:
        """Work that only an event can call for."""
        if not self.preset:
            self.preset = run_settings.settings(self.follower.folder)
        events = self.follower.events
        new = {str(event.get("event")) for event in self._summary.take(events, events.voided)}
        if new & {"checkpoint", "state", "rewound", "resumed"}:
            self._checkpoints = tuple(self.follower.folder.checkpoints(self._summary.checkpoints))
        if new & {"plan", "rates", "command", "state", "rewound", "resumed"} or not self._values:
            self._values = run_settings.values(self.preset, facts, self._summary.edits)
            if facts.get("task") == "loop":
                self.plan = ForeseenRates.of(self._summary.last.get("rates"), self._values["lr_scale"])
            plan = self._summary.last.get("plan")
            if plan is not None:
                self._values |= {"lr_scale": plan["lr_scale"], "optimizer.lr": plan["lr"]}
                self._unplanned = plan

    def _planned(self, events: Sequence[dict[str, Any]]) -> "Plan | None":
        from engine.preset.schedule import planned  # the schema behind it takes 0.3 s to import

        if self._loaded is None:
            from engine.preset.loading import load_preset

            try:
                self._loaded = load_preset(self.follower.folder.preset)
            except (DescentError, OSError):
                return None  # it is gone, or of another version: the charts do without the planned rate
        return planned(self._loaded, events)

    def _anomaly(self) -> Anomaly | None:
        """The one that holds the run up now, if one does; else the collapse that the model is in."""
        event = self._summary.anomaly
        if event is None or self.follower.state not in ("paused", "failed"):
            return self._collapse()
        before = [step for step in self._checkpoints if step <= event["step"]]
        saved = event.get("checkpoint", before[-1] if before else None)
        return Anomaly(
            int(event["step"]),
            clean(str(event.get("what", "loss"))),
            saved,
            event.get("began"),
            clean(str(event["layer"])) if event.get("layer") else None,
            clean(str(event.get("kind") or "")),
            event.get("lr"),
            event.get("update_ratio"),
            self._rate_at(saved, event.get("member")),
            event.get("member"),
        )

    def _collapse(self) -> Anomaly | None:
        event = self._summary.collapse
        if event is None:
            return None
        since = int(event["since"])
        saved = max((step for step in self._checkpoints if step <= since), default=None)
        lr, rate_there = self._rate_at(since), self._rate_at(saved)
        return Anomaly(since, "loss", saved, lr=lr, rate_there=rate_there, collapse=collapse_words(event))

    def _rate_at(self, step: int | None, member: int | None = None) -> float | None:
        who = self.who if member is None else member
        rates = [] if step is None else self.follower.series("lr", who).values(step, step + 1).tolist()
        return rates[0] if rates else None

    def _calmly(self, name: str, take: Callable[[], Any], of: object = None) -> Any:
        """What `take` returned last, while the run runs and goes on from where it was; `of`: what else it is of."""
        now, follower = time.monotonic(), self.follower
        key = follower.rewinds, follower.state, self.member, of, follower.step if follower.state != "running" else 0
        taken = self._calm.get(name)
        if taken is None or taken[1] != key or now - taken[0] >= CALM:
            taken = self._calm[name] = now, key, take()
        return taken[2]

    def _speed_now(self, columns: Sequence[str]) -> float | None:
        import numpy as np

        follower = self.follower
        if "time" not in columns or follower.step < 2:
            return None
        times = follower.series("time")
        end, count = len(times), 64
        while True:
            begin = max(0, end - count)
            window = times.values(begin, end)
            if len(window) < 2:
                return None
            took = float(window[-1]) - float(window[0])
            enough = max(PACE_SECONDS, PACE_STAMPS * float(np.spacing(window[-1])))
            if took >= enough or begin == 0 or len(window) < end - begin:  # all that can be read
                return (len(window) - 1) / took if took > 0 else None
            count *= 4

    @property
    def who(self) -> Member:
        """Return the members to show: one that was picked, else those of a sweep's best candidate, else all."""
        if self.member is not None:
            return self.member
        if self.leading is not None:
            return self.leading.members
        return "mean" if self.follower.layout is not None and len(self.follower.layout.members) > 1 else 0

    def _latest(self, column: str) -> float | None:
        return self.follower.latest(column, self.who) if self.follower.layout is not None else None

    def _mean_now(self, column: str) -> float | None:
        has_it = self.follower.layout is not None and column in self.follower.layout.columns
        return mean_now(self.follower, column, self.who) if has_it else None

    def _train_before(self, step: int) -> float | None:
        """The mean training loss of the epoch that ends at a step; of a step within one, as of a live run."""
        return mean_before(self.follower, "loss", self.who, step)

    def _evaluated(self, split: str, name: str) -> float | None:
        """What the last evaluation said, of the member that is shown, or the mean of all."""
        return history_of(self.follower).points(split, name, self.who).latest

    # --- layers ---

    def _layers(self, trends: Collection[str]) -> tuple[LayerRow, ...]:
        layout = self.follower.layout
        if layout is None:
            return ()
        return tuple(self._layer(i, layer, trends) for i, layer in enumerate(layout.layers))

    def _layer(self, index: int, layer: dict[str, str], trends: Collection[str]) -> LayerRow:
        name = layer["name"]
        statistics = {key: self._latest(f"layer.{name}.{key}") for key in OF_LAYERS}
        non_finite = bool(statistics.pop("non_finite") or 0)
        is_adaptive = str(self.preset.get("optimizer", {}).get("name", "")) in _ADAPTIVE
        said = ""
        if self.follower.state in ("running", "paused"):
            usual = USUAL_ADAPTIVE if is_adaptive else USUAL_RATIO
            verdict = judge(self._evidence)
            said = judged(statistics["update_ratio"], usual=usual, scale=self._rate_share(), verdict=verdict)
        return LayerRow(
            index,
            clean(name),
            clean(layer["kind"]),
            **statistics,
            non_finite=non_finite,
            trend=self._trend(f"layer.{name}.grad_norm") if name in trends else (),
            judged=said,
        )

    def _rate_share(self) -> float:
        """The learning rate now as a share of its highest so far."""
        import numpy as np

        series = self.follower.series("lr", self.who)
        _, high = series.envelope(np.array([0, len(series)]))
        now = series.latest()
        return now / float(high[0]) if now is not None and len(high) and high[0] > 0 else 1.0

    def _trend(self, column: str) -> tuple[float | None, ...]:
        series = self.follower.series(column, self.who)
        return trend_of(series, len(series))


def _parent(follower: Follower) -> tuple[str, int] | None:
    try:
        origin = follower.folder.origin()
        return None if origin is None else (clean(str(origin["run"])), int(origin["step"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _own_loop(told: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a loop of one's own has told of itself, once it trains."""
    if told is None:
        return {}
    refused = told.get("refused")
    return {
        "is_exact": not told.get("why_not"),
        "why_not_exact": "; ".join(clean(str(why)) for why in told.get("why_not", ())),
        "refused": {k: clean(str(why)) for k, why in refused.items()} if isinstance(refused, dict) else {},
        "counted_in": {"batches": "epochs", "steps": "steps"}.get(told.get("driver", ""), ""),
        "has_epochs": told.get("has_epochs") is not False,
    }


def schedule_of(preset: dict[str, Any]) -> str:
    """Return the name of a preset's schedule in words. Empty for an empty preset."""
    schedule = preset.get("schedule", {})
    name = clean(str(schedule.get("name", "")))
    words = _(_SCHEDULES[name]) if name in _SCHEDULES else name
    return _("{schedule} + warm-up", schedule=words) if schedule.get("warmup") else words


def _tail(output: Path, lines: int = 200, most: int = 64 * 1024) -> tuple[str, ...]:
    """The last lines that the worker and the user's code printed. Of a progress bar, how it was drawn last."""
    try:
        with output.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    shown = (line.rstrip("\r").rpartition("\r")[2] for line in without_escapes(text).removesuffix("\n").split("\n"))
    return tuple(clean(line.expandtabs(4)) for line in shown)[-lines:] if text else ()


class Reader:
    """Calls `seen` from its thread with a snapshot whenever something changed, and once a second for the clocks.

    The follower is None until its first look is over. Charts take their curves from it inside `looking`. Where the
    run's files can't be read, `failed` is called with the reason, once for each, and the next look may fare better.
    """

    def __init__(
        self, folder: RunFolder, fps: float, seen: Callable[[Snapshot], object], failed: Callable[[str], object]
    ) -> None:
        self.folder = folder
        self.follower: Follower | None = None
        self.builder: SnapshotBuilder | None = None
        self.member: int | None = None  # the one that is shown; None: the mean
        self.trends: Collection[str] = ()  # layers whose sparkline is on the screen
        self.past: int | None = None  # the earlier step that the numbers are to be of
        self.wants_output = False
        self._interval = 1 / fps
        self._seen, self._failed = seen, failed
        self._problem = ""  # the last that was told
        self._lock = threading.Lock()
        self._shown = threading.Event()  # the screen has taken the last snapshot
        self._wanted = threading.Event()  # somebody sees the screen
        self._now = threading.Event()  # do not wait for the next turn
        self._over = False
        self._wanted.set()
        # A daemon: a folder on a dead network drive must not keep the app from ending.
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over = True
        for event in (self._wanted, self._now, self._shown):
            event.set()

    def look(self, wanted: bool) -> None:
        """Set whether the screen is shown. A hidden screen reads nothing."""
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()

    def look_now(self) -> None:
        """Read at once, because a key has changed what is shown."""
        self._now.set()

    def shown(self) -> None:
        """Note that the screen is ready for the next snapshot."""
        self._shown.set()

    @property
    def who(self) -> Member:
        """Return the members whose numbers are shown."""
        return self.builder.who if self.builder is not None else 0

    @contextlib.contextmanager
    def looking(self) -> Iterator[Follower | None]:
        """Yield the follower while its thread waits. None if it is busy or not there yet; then keep what is shown."""
        if self.follower is None or not self._lock.acquire(timeout=PATIENCE):
            yield None
            return
        try:
            yield self.follower
        finally:
            self._lock.release()

    # --- the thread ---

    def _run(self) -> None:
        last = 0.0
        while not self._over:
            self._wanted.wait()
            if self._over:
                return
            begun = time.monotonic()
            self._shown.clear()
            asked = self._now.is_set()
            self._now.clear()
            try:
                snapshot = self._look(anyway=asked or begun - last >= EVERY)
            except Exception as error:
                self._fail(error)
                self._now.wait(EVERY)
                continue
            if snapshot is not None and not self._over:
                last = begun
                self._seen(snapshot)
                self._shown.wait(BACKLOG)
            self._now.wait(max(0.0, self._interval - (time.monotonic() - begun)))

    def _fail(self, error: Exception) -> None:
        """Tell why the run can't be read. Raises what the run's files are not to blame for."""
        if not isinstance(error, DescentError | OSError) and Glances().of(self.folder.path).state != "damaged":
            raise error
        problem = why_damaged(error)
        if problem != self._problem and not self._over:
            self._problem = problem
            self._failed(problem)

    def _look(self, *, anyway: bool) -> Snapshot | None:
        with self._lock:
            builder = self.builder or SnapshotBuilder(Follower(self.folder))
            if self.builder is not None and not (builder.follower.look() or builder.is_behind or anyway):
                return None
            builder.member, builder.wants_output = self.member, self.wants_output
            snapshot = builder.take(tuple(self.trends))
            past = self.past
            if past is not None and past < builder.follower.step:
                snapshot = moment(snapshot, builder.follower, builder.who, past, builder.log_until(past))
            self.builder, self.follower = builder, builder.follower  # known before, charts would wait for this look
            return snapshot
