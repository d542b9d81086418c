"""Steering a run by keys: which keys work now, why others do not, and what each asks of the worker."""

import asyncio
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.events import Key
from textual.screen import Screen

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.numbers import count
from descent.handle import Run
from descent.run.folder import RunFolder
from engine.launch.options import Options
from tui.base import OPENING, ConsoleApp, Notice, OpenRun
from tui.data import commander
from tui.data.commander import Commander, Order
from tui.data.reader import Reader
from tui.data.snapshot import Snapshot
from tui.widgets.key_line import Hints
from tui.widgets.status_line import StatusLine

STEERING = (
    "pause", "one_step", "dial", "edit", "save", "evaluate", "rewind", "stop", "more", "fork", "anomaly", "best",
)  # fmt: skip
CAN_GO_ON = ("stopped", "failed", "lost")
_COMMANDS = {"best": "rewind", "more": "extend"}  # what they ask of the worker, where it has another name


class SteeredScreen(Screen[None]):
    """A screen on a run that can be steered. Its StatusLine shows the notices of commands.

    The subclass starts the reader and shows each snapshot.
    """

    app: ConsoleApp

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", N_("pause / resume"), show=False, id="console.pause"),
        Binding("full_stop", "one_step", N_("one step of a paused run"), show=False, id="console.step"),
        Binding("plus,equals_sign", "dial(1)", N_("larger learning rate: × √2"), show=False, id="console.faster"),
        Binding("minus", "dial(-1)", N_("smaller learning rate: ÷ √2"), show=False, id="console.slower"),
        Binding("e", "edit", N_("edit settings of the live run"), show=False, id="console.edit"),
        Binding("c", "save", N_("save a checkpoint now"), show=False, id="console.save"),
        Binding("v", "evaluate", N_("evaluate on the validation split now"), show=False, id="console.evaluate"),
        Binding("r", "rewind", N_("rewind to a checkpoint"), show=False, id="console.rewind"),
        Binding("f", "fork", N_("fork: a new run from a checkpoint"), show=False, id="console.fork"),
        Binding("m", "more", N_("train for more epochs"), show=False, id="console.more"),
        Binding("x", "stop", N_("stop the run"), show=False, id="console.stop"),
        Binding("b", "best", N_("back to the best checkpoint"), show=False, id="console.best"),
        Binding("a", "anomaly", N_("what went wrong, and what to do"), show=False, id="console.anomaly"),
    ]

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.folder = folder
        self.reader: Reader | None = None  # once it is mounted
        self.snapshot: Snapshot | None = None
        self.commander = Commander(Run(folder, "console"), self.say)
        self._meant: str | None = None  # the state that was asked for, until a snapshot shows it
        self._dial: float | None = None  # where the dial is turned to, until the worker's events say so
        self._asked_about: int | None = None  # the step of the anomaly that was shown already

    def say(self, notice: Notice) -> None:
        """Show a notice about a command."""
        if self.is_attached and self.query(StatusLine):
            self.query_one(StatusLine).say(notice)
            if self.reader is not None:
                self.reader.look_now()

    def say_of_other(self, text: str, trouble: bool) -> None:
        """Show a notice about another run."""
        self.say(Notice(text, "trouble" if trouble else "", since=time.monotonic()))

    def _refuse(self, error: Exception) -> None:
        self.say(Notice(" ".join(str(error).split()), "trouble", since=time.monotonic()))

    def rate_of_one(self) -> float | None:
        """The learning rate of the next step with the dial at 1; None where it is not known."""
        plan = self.reader.builder.plan if self.reader is not None and self.reader.builder is not None else None
        if plan is None or self.snapshot is None or not plan.hand:
            return None
        return plan.rate(self.snapshot.step) / plan.hand

    def on_mount(self) -> None:
        self.run_worker(self.commander.serve(), group="commander")

    # --- what works now ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action not in STEERING or self._why_not(action) is None

    def _why_not(self, action: str) -> str | None:
        return why_not(action, self.snapshot, meant=self._meant, read_only=self.app.read_only)

    def on_key(self, event: Key) -> None:
        """Say why a key that steers does not work now. The focused pane may use the key itself."""
        if event.key in self.active_bindings:
            return
        for binding in SteeredScreen.BINDINGS:
            assert isinstance(binding, Binding)
            keys = self.app.settings.keys.get(binding.id or "", binding.key).split(",")
            reason = self._why_not(binding.action.partition("(")[0])
            if event.key in keys and reason is not None:
                self.say(Notice(reason, "trouble", since=time.monotonic()))

    def steering_hints(self) -> Hints:
        """The hints for the keys that steer, the most wanted first."""
        state = self.snapshot.state if self.snapshot is not None else "starting"
        leave = _("detach") if self.snapshot is not None and self.snapshot.is_alive else _("leave")
        return [
            (("console.anomaly",), _("what happened")),
            (("console.pause",), _("pause") if state == "running" else _("resume")),
            (("console.step",), _("step")),
            (("console.faster", "console.slower"), _("rate")),
            (("console.edit",), _("edit")),
            (("console.stop",), _("stop")),
            (("console.detach",), leave),
            (("console.save",), _("save")),
            (("console.rewind",), _("rewind")),
            (("console.fork",), _("fork")),
            (("console.evaluate",), _("eval")),
            (("console.more",), _("extend")),
        ]

    # --- one for each key ---

    def action_pause(self) -> None:
        assert self.snapshot is not None
        match self._meant or self.snapshot.state:
            case "running":
                self._mean("paused", commander.pause())
            case "paused":
                self._mean("running", commander.go_on())
            case _:
                self.run_worker(self._ask_to_resume(), group=OPENING, exclusive=True)

    def _mean(self, state: str, order: Order) -> None:
        """Ask for a state. The same key then means the opposite at once, although the screen lags a frame or two."""

        def forget(reason: str) -> None:
            self._meant = None

        self._meant, order.failed = state, forget
        self.commander.give(order)

    def settle(self) -> None:
        """Take the state of a new snapshot as the one that holds, once it is the state that was asked for."""
        now = self.snapshot.state if self.snapshot is not None else None
        if now == self._meant or now not in ("running", "paused"):
            self._meant = None

    async def _ask_to_resume(self) -> None:
        from tui.screens import starting

        try:
            allowed = await starting.agreed_to_run(self.app, self.folder)
        except DescentError as error:
            self._refuse(error)
            return
        if allowed is not None:
            self.commander.give(commander.revive(Options(data_root=self.app.data_root, allow_code=allowed)))

    def action_one_step(self) -> None:
        if self.commander.is_waiting("step"):
            return  # a key that is held down must not queue steps
        order = commander.one_step()
        order.kind = "step"
        self.commander.give(order)

    def action_dial(self, by: int) -> None:
        assert self.snapshot is not None
        in_force = float(self.snapshot.values.get("lr_scale", 1.0))
        if self._dial is None or not self.commander.is_waiting("dial"):
            self._dial = in_force
        self._dial = commander.notch(self._dial, by)
        self.commander.give(commander.turn_dial(self._dial, in_force, self.rate_of_one()))

    def action_edit(self) -> None:
        from tui.screens.console.dialogs import Edit

        assert self.snapshot is not None

        def apply(edits: dict[str, str], done: Callable[[Any], None], failed: Callable[[str], None]) -> None:
            self.commander.give(commander.change(edits, done, failed))

        def act(name: str, done: Callable[[Any], None], failed: Callable[[str], None]) -> None:
            self.commander.give(commander.act(name, done, failed))

        now = self.snapshot
        self.app.push_screen(Edit(now.values, now.hints, apply, now.actions, act))

    def action_save(self) -> None:
        self.commander.give(commander.save())

    def action_evaluate(self) -> None:
        self.commander.give(commander.evaluate())

    def action_more(self) -> None:
        from tui.screens.dialogs import More

        def chosen(amount: dict[str, int] | None) -> None:
            if amount:
                self.commander.give(commander.more(amount))

        assert self.snapshot is not None
        self.app.push_screen(More(self.snapshot), chosen)

    def action_stop(self) -> None:
        from tui.screens.dialogs import ask_to_stop

        assert self.snapshot is not None
        self.app.push_screen(ask_to_stop(self.snapshot), self._stop)

    def _stop(self, how: str | None) -> None:
        if how is not None:
            self.commander.give(commander.stop(how))

    def action_rewind(self) -> None:
        self.run_worker(self._rewind(), group=OPENING, exclusive=True)

    async def _rewind(self) -> None:
        from tui.screens.choices import Rewind, read_checkpoints

        assert self.snapshot is not None
        checkpoints = await asyncio.to_thread(read_checkpoints, self.folder)
        step = self.snapshot.step
        to = await self.app.push_screen_wait(Rewind([c for c in checkpoints if c.step <= step]))
        if to is not None:
            self.commander.give(commander.back(to))

    def action_best(self) -> None:
        """Go back to the checkpoint of the best evaluation, once that is confirmed."""
        from tui.screens.dialogs import Ask

        assert self.snapshot is not None
        step = self.snapshot.best_checkpoint
        assert step is not None

        def chosen(what: str | None) -> None:
            if what == "back":
                self.commander.give(commander.back(step))

        text = _("The best checkpoint: step {step}. Later steps stay on disk.", step=count(step))
        choices = [("enter", _("rewind"), "back"), ("escape", _("cancel"), "")]
        self.app.push_screen(Ask(_("back to the best?"), text, choices), chosen)

    def action_fork(self) -> None:
        self.run_worker(self._fork(), group=OPENING, exclusive=True)

    async def _fork(self) -> None:
        from tui.screens import starting
        from tui.screens.choices import read_checkpoints
        from tui.screens.console.dialogs import Fork

        checkpoints = await asyncio.to_thread(read_checkpoints, self.folder)
        begin = partial(starting.fork, self.app, self.folder)
        folder = await self.app.push_screen_wait(Fork(checkpoints, begin))
        if folder is not None:
            self.post_message(OpenRun(folder))

    # --- when something went wrong ---

    def notice_anomaly(self) -> None:
        """Ask what to do about one, once."""
        anomaly = self.snapshot.anomaly if self.snapshot is not None else None
        if anomaly is None:
            self._asked_about = None
        elif anomaly.collapse:
            return  # training goes on, and the status line shows it while it lasts
        elif anomaly.step != self._asked_about and self.app.screen is self and not self.app.read_only:
            self.action_anomaly()

    def action_anomaly(self) -> None:
        from tui.screens.console.dialogs import ask_about

        now = self.snapshot
        if now is None or now.anomaly is None:
            return
        anomaly = now.anomaly
        self._asked_about = anomaly.step

        def chosen(what: str | None) -> None:
            if what == "back" and anomaly.checkpoint is not None:
                orders = commander.back_gently(anomaly.checkpoint, anomaly.factor, anomaly.member)
                # A run that is not paused would take its first steps from there at the rate that broke it.
                for order in orders if now.state == "paused" else [commander.pause(), *orders]:
                    self.commander.give(order)
            elif what == "fork" and anomaly.checkpoint is not None:
                base = float(now.values.get("optimizer.lr") or 0.1)
                self._begin_fork(anomaly.checkpoint, [f"optimizer.lr={base / 10:.4g}"])
            elif what == "continue":
                self.commander.give(commander.go_on())
            elif what == "stop":
                self.commander.give(commander.stop("discard"))

        self.app.push_screen(ask_about(anomaly, now), chosen)

    def _begin_fork(self, step: int, overrides: list[str]) -> None:
        from tui.screens import starting

        async def begin() -> None:
            self.say(Notice(_("starting a new run"), busy=True))
            try:
                folder = await starting.fork(self.app, self.folder, step, overrides)
            except (DescentError, OSError) as error:
                self._refuse(error)
            else:
                if folder is not None:
                    self.post_message(OpenRun(folder))
                else:
                    self.say(Notice(_("no new run was started"), since=time.monotonic()))

        self.run_worker(begin(), group=OPENING, exclusive=True)


def why_not(action: str, now: Snapshot | None, *, meant: str | None = None, read_only: bool = False) -> str | None:
    """The reason why one of STEERING can't work now; None where it can.

    meant: the state that was asked for, as long as `now` does not show it.
    """
    if read_only:
        return _("read-only: this console can't steer the run")
    if now is None:
        return _("the run is still being read")
    if now.is_gone:
        return _("the folder of this run is gone")
    match action:
        case "anomaly":
            return None if now.anomaly is not None else _("nothing has gone wrong")
        case "fork":
            none = None if now.checkpoints else _("there is no checkpoint to fork from yet")
            return now.refused.get("fork") or none
    return _not_trained(action, now) or _not_ready(action, now, meant or now.state)


def _not_trained(action: str, now: Snapshot) -> str | None:
    """The reason where no worker on this machine trains the run."""
    if now.state == "finished":
        can_fork = now.checkpoints and "fork" not in now.refused
        return _("the run has finished: fork it to train on") if can_fork else _("the run has finished")
    if now.state in CAN_GO_ON:
        if "fork" in now.refused:  # for the same reason it can't be resumed
            return now.refused["fork"]
        return None if action == "pause" else _("the run has ended: resume it first")
    if now.state == "starting":
        return None if action == "stop" else _("the run is still starting")
    elsewhere = now.host not in (None, socket.gethostname())
    return _("the run trains on {host}: steer it there", host=now.host) if elsewhere else None


def _not_ready(action: str, now: Snapshot, state: str) -> str | None:
    """The reason where the worker would refuse."""
    refused = now.refused.get(_COMMANDS.get(action, action))
    if refused is not None:
        return refused
    match action:
        case "one_step" if state != "paused":
            return _("one step is for a paused run: pause it first")
        case "evaluate" if not now.has_validation and now.is_exact is None:
            return _("there is no validation split to evaluate on")
        case "best" if now.best_checkpoint is None:
            return _("there is no best checkpoint to go back to yet")
        case "rewind" if not now.checkpoints:
            return _("there is no checkpoint to rewind to yet")
    return None
