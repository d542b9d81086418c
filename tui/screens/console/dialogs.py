"""The console's dialogs: what to do when training breaks, editing a live run, forking."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.numbers import count, number, trimmed
from descent.run.folder import RunFolder
from tui.base import OPENING
from tui.data.run_settings import shown
from tui.data.snapshot import Anomaly, Snapshot
from tui.screens.choices import LIST_CSS, Checkpoint, rows
from tui.screens.dialogs import Ask
from tui.screens.overrides import split

PATIENCE = 2.0  # seconds that keys wait for the worker's answer to an edit
Apply = Callable[[dict[str, str], Callable[[Any], None], Callable[[str], None]], None]
Act = Callable[[str, Callable[[Any], None], Callable[[str], None]], None]
Start = Callable[[int, list[str]], Awaitable[RunFolder | None]]


def ask_about(anomaly: Anomaly, now: Snapshot) -> Ask[str]:
    """Dismissed with "back", "fork", "continue" or "stop", or None."""
    if anomaly.collapse:
        return _about_collapse(anomaly, now)
    choices, member = [], anomaly.member
    if anomaly.checkpoint is not None and member is not None and now.state == "paused":
        back = _(
            "rewind all to step {step}, member {member} at a tenth of the rate",
            step=count(anomaly.checkpoint),
            member=member,
        )
        choices.append(("r", back + _tenth(anomaly), "back"))
    elif anomaly.checkpoint is not None and member is None and "fork" not in now.refused:
        choices.append(_back_or_fork(anomaly, anomaly.checkpoint, back=now.state == "paused"))
    if now.state == "paused":
        without = _("continue without member {member}, which stays frozen", member=member)
        choices.append(("c", _("continue as it is") if member is None else without, "continue"))
        choices.append(("s", _("stop here, keep the last good checkpoint"), "stop"))
    choices.append(("escape", _("look at the charts first"), ""))
    step = count(anomaly.step)
    if member is not None:
        title = _("the loss of member {member} became NaN or infinite at step {step}", member=member, step=step)
    elif anomaly.what == "gradient":
        title = _("the gradient became NaN or infinite at step {step}", step=step)
    else:
        title = _("the loss became NaN or infinite at step {step}", step=step)
    return Ask(title, explanation(anomaly, now), choices, trouble=True, careful=True)  # it comes up unasked


def _back_or_fork(anomaly: Anomaly, checkpoint: int, *, back: bool) -> tuple[str, str, str]:
    """The choice to go on from the last good checkpoint, in this run or in a new one."""
    if back:
        label = _("rewind to step {step} and continue at a tenth of the rate", step=count(checkpoint))
        return "r", label + _tenth(anomaly), "back"
    label = _("fork: a new run from step {step} at a tenth of the rate", step=count(checkpoint))
    return "f", label + _tenth(anomaly), "fork"


def _tenth(anomaly: Anomaly) -> str:
    """A tenth of the lower rate: of the rate that failed, or of the checkpoint's. Empty where it is not known."""
    return f": {trimmed(anomaly.rate_there * anomaly.factor)}" if anomaly.rate_there else ""


def _about_collapse(anomaly: Anomaly, now: Snapshot) -> Ask[str]:
    choices = []
    if anomaly.checkpoint is not None and "fork" not in now.refused:
        choices.append(_back_or_fork(anomaly, anomaly.checkpoint, back=now.is_alive))
    if now.is_alive:
        choices.append(("s", _("stop here without saving"), "stop"))
    choices.append(("escape", _("leave it as it is"), ""))
    lines = [f"{anomaly.collapse[0].upper()}{anomaly.collapse[1:]}."]
    if anomaly.lr is not None:
        lines.append(
            _("The learning rate was {rate}. The usual cause is too large a rate.", rate=trimmed(anomaly.lr))
        )
    lines.append(_("The numbers are finite, but such a model seldom recovers by itself."))
    if anomaly.checkpoint is not None:
        lines.append(_("Last good checkpoint: step {step}.", step=count(anomaly.checkpoint)))
    title = _("the model collapsed at step {step}", step=count(anomaly.step))
    return Ask(title, "\n".join(lines), choices, trouble=True)


def explanation(anomaly: Anomaly, now: Snapshot) -> str:
    """The causes of an anomaly, one sentence a line."""
    lines = []
    where = f"{anomaly.layer} ({anomaly.kind})" if anomaly.kind else anomaly.layer
    if anomaly.layer is not None and anomaly.began == "gradient":
        lines.append(_("It began in layer {layer}: its gradient overflowed.", layer=where))
    elif anomaly.layer is not None:
        lines.append(_("It began in layer {layer}: its output overflowed.", layer=where))
    elif anomaly.began == "loss":
        lines.append(_("The loss overflowed first; the model's outputs were still finite."))
    if anomaly.lr is not None:
        lines.append(_("The learning rate was {rate}.", rate=trimmed(anomaly.lr)))
    if anomaly.update_ratio is not None:
        ratio = number(anomaly.update_ratio)
        lines.append(_("The update was {ratio} of the weights' norm (usually 0.001).", ratio=ratio))
    if anomaly.update_ratio is None or anomaly.update_ratio > 0.01:
        lines.append(_("The usual cause is too large a rate: each update overshoots more."))
    if anomaly.checkpoint is not None:
        lines.append(_("Last good checkpoint: step {step}.", step=count(anomaly.checkpoint)))
    elif now.state == "failed":
        lines.append(_("There is no good checkpoint. Start again with a lower rate."))
    return "\n".join(lines)


class Action(Static, can_focus=True):
    """A line for a function that the run's script has declared. Enter has it called."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "call", show=False)]

    class Called(Message):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, name: str) -> None:
        super().__init__(_("{action}  enter calls it", action=name), classes="action", markup=False)
        self._called = name

    def action_call(self) -> None:
        self.post_message(self.Called(self._called))

    def on_click(self) -> None:
        self.action_call()


class Edit(ModalScreen[None]):
    """A line for each setting with its value now, and one for each action of the script.

    Enter sends the changes, or has the action called. A refusal keeps the dialog open.
    """

    CSS = """
    Edit {
        .dialog { width: 76; max-height: 100%; padding: 0 2; }
        .row { height: 1; }
        .row Label { width: 25; color: $quiet; }
        .row Input { width: 14; height: 1; border: none; padding: 0 1; background: $background; }
        .row Input:focus { background: $cursor; }
        .row .hint { width: 1fr; color: $quiet; padding: 0 0 0 2; }
        .action { height: 1; }
        .action:focus { background: $cursor; }
        .problem { color: $trouble; height: auto; max-height: 4; margin-top: 1; }
        .keys { color: $quiet; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", N_("back"), show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(
        self, values: dict[str, Any], hints: dict[str, str], apply: Apply, actions: Sequence[str], act: Act
    ) -> None:
        """values: of the settings that this run can take. hints: what each may be, in the order shown.

        apply, act: send the edits, or the name of one of `actions`, then call done or failed.
        """
        super().__init__()
        self._answered = asyncio.Event()
        self._before = {key: shown(values[key]) for key in hints}
        self._hints = hints
        self._apply, self._actions, self._act = apply, actions, act

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = _("change the live run")
            for key, before in self._before.items():
                with Horizontal(classes="row"):
                    yield Label(key, markup=False)
                    yield Input(before, select_on_focus=True)
                    yield Label(self._hints[key], classes="hint", markup=False)
            yield from map(Action, self._actions)
            yield Static("", classes="problem", markup=False)
            keys = _("enter apply · ↑↓ move · esc cancel")
            yield Static(keys, classes="keys", markup=False)

    def edits(self) -> dict[str, str]:
        """The settings whose typed value differs from the value now."""
        typed = {key: field.value.strip() for key, field in zip(self._before, self.query(Input), strict=True)}
        return {key: value for key, value in typed.items() if value != self._before[key]}

    def on_input_submitted(self) -> None:
        edits = self.edits()
        if not edits:
            self.dismiss(None)
            return
        self._ask(lambda: self._apply(edits, self._done, self._fail))

    def on_action_called(self, called: Action.Called) -> None:
        self._ask(lambda: self._act(called.name, self._done, self._fail))

    def _ask(self, send: Callable[[], None]) -> None:
        self._answered.clear()
        self._say(_("asking the worker…"))
        send()
        self.run_worker(self._wait(), group=OPENING, exclusive=True)

    async def _wait(self) -> None:
        """Have the keys wait for the answer, which ends the dialog, unless it is long in coming."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answered.wait(), PATIENCE)

    def _done(self, answer: Any) -> None:
        self._answered.set()
        if self.is_attached:
            self.dismiss(None)

    def _fail(self, why: str) -> None:
        self._answered.set()
        self._say(why)

    def _say(self, text: str) -> None:
        if self.is_attached:
            self.query_one(".problem", Static).update(text)


class Fork(ModalScreen[RunFolder | None]):
    """Starts a new run and is dismissed with its folder. It stays, with the reason, where the run can't start."""

    CSS = f"""
    Fork {{ {LIST_CSS}
        .dialog {{ width: 70; }}
        Input {{ margin-top: 1; border: none; height: 1; padding: 0; background: $background; }}
        .problem {{ color: $trouble; height: auto; }}
    }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", N_("back"), show=False),
        Binding("down", "screen.focus_next", show=False),
    ]

    def __init__(self, checkpoints: Sequence[Checkpoint], start: Start) -> None:
        """start: makes the run of (step, overrides), or returns None where the user declines.

        It raises DescentError where the run can't start.
        """
        super().__init__()
        self._checkpoints, self._start = checkpoints, start

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = _("fork: a new run from a checkpoint")
            yield OptionList(*(Option(row) for row in rows(self._checkpoints)))
            yield Input(placeholder=_("changes, such as: optimizer.lr=0.01 train.epochs=20"))
            yield Static("", classes="problem", markup=False)
            hint = _("enter start · tab edit changes · esc cancel")
            yield Static(hint, classes="hint", markup=False)

    def on_option_list_option_selected(self) -> None:
        self._try()

    def on_input_submitted(self) -> None:
        self._try()

    def _try(self) -> None:
        self.run_worker(self._begin(), group=OPENING, exclusive=True)

    async def _begin(self) -> None:
        chosen = self.query_one(OptionList).highlighted or 0
        problem = self.query_one(".problem", Static)
        problem.update(_("starting…"))
        try:
            folder = await self._start(self._checkpoints[chosen].step, split(self.query_one(Input).value))
        except (DescentError, OSError) as error:
            problem.update(str(error))
            self.query_one(Input).focus()
            return
        if folder is None:
            problem.update("")
            return
        self.dismiss(folder)
