"""The console's dialogs: training that broke, editing a live run, forking."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from descent.common.errors import DescentError
from descent.common.numbers import number, trimmed
from descent.run.folder import RunFolder
from tui.data.live_settings import HINTS, shown
from tui.data.snapshot import Anomaly, Snapshot
from tui.data.translation import spoken
from tui.screens.choices import LIST_CSS, Checkpoint, rows
from tui.screens.dialogs import Ask
from tui.screens.overrides import split


def ask_about(anomaly: Anomaly, now: Snapshot) -> Ask[str]:
    """Dismissed with "back", "fork", "go on" or "stop", or None."""
    if anomaly.collapse:
        return _about_collapse(anomaly, now)
    choices = []
    rate = f": {trimmed(anomaly.rate_there * anomaly.factor)}" if anomaly.rate_there else ""
    tenth = f"at a tenth of the rate{rate}"  # of the lower one: that which failed, or that of the checkpoint
    member = anomaly.member
    if anomaly.checkpoint is not None and (member is None or now.state == "paused"):
        if member is not None:
            back = f"go back to step {anomaly.checkpoint:,}, all of them, member {member} {tenth}"
            choices.append(("r", back, "back"))
        elif now.state == "paused":
            choices.append(("r", f"go back to step {anomaly.checkpoint:,} and go on {tenth}", "back"))
        else:
            choices.append(("f", f"fork: a new run from step {anomaly.checkpoint:,} {tenth}", "fork"))
    if now.state == "paused":
        without = "as it is" if member is None else f"without member {member}, which stays as it is, and marked"
        choices.append(("c", f"continue {without}", "go on"))
        choices.append(("s", "stop here, keep the last good checkpoint", "stop"))
    choices.append(("escape", "look at the charts first", ""))
    return Ask(
        f"the {anomaly.what} became NaN or infinite at step {anomaly.step:,}",
        explanation(anomaly, now),
        choices,
        trouble=True,
    )


def _about_collapse(anomaly: Anomaly, now: Snapshot) -> Ask[str]:
    choices = []
    rate = f": {trimmed(anomaly.rate_there * anomaly.factor)}" if anomaly.rate_there else ""
    if anomaly.checkpoint is not None:
        where = f"step {anomaly.checkpoint:,} and go on at a tenth of the rate{rate}"
        choices.append(("r", f"go back to {where}", "back") if now.is_alive else ("f", f"fork from {where}", "fork"))
    if now.is_alive:
        choices.append(("s", "stop here, unsaved", "stop"))
    choices.append(("escape", "leave it as it is", ""))
    lines = [f"{anomaly.collapse[0].upper()}{anomaly.collapse[1:]}."]
    if anomaly.lr is not None:
        lines.append(f"The learning rate was {trimmed(anomaly.lr)}; too large a rate is the usual reason.")
    lines.append("The numbers are finite, but such a model seldom recovers by itself.")
    if anomaly.checkpoint is not None:
        lines.append(f"The checkpoint of step {anomaly.checkpoint:,} is from before.")
    title = f"the model has collapsed, since step {anomaly.step:,}"
    return Ask(title, "\n".join(lines), choices, trouble=True)


def explanation(anomaly: Anomaly, now: Snapshot) -> str:
    """What happened and why, a sentence a line."""
    lines = []
    where = f"layer {anomaly.layer}{f' ({anomaly.kind})' if anomaly.kind else ''}"
    if anomaly.layer is not None:
        lines.append(f"It began in {where}: its {anomaly.began or 'output'} overflowed.")
    elif anomaly.began == "loss":
        lines.append("It began in the loss itself; what the model put out was finite.")
    if anomaly.lr is not None:
        lines.append(f"The learning rate was {trimmed(anomaly.lr)}.")
    if anomaly.update_ratio is not None:
        lines.append(f"The update was {number(anomaly.update_ratio)} of the weights in one step; 0.001 is usual.")
    if anomaly.update_ratio is None or anomaly.update_ratio > 0.01:
        lines.append("Too large a rate is the usual reason: each update overshoots by more than the one before.")
    if anomaly.checkpoint is not None:
        lines.append(f"The checkpoint of step {anomaly.checkpoint:,} is from before.")
    elif now.state == "failed":
        lines.append("There is no checkpoint from before; start again with a lower rate.")
    return "\n".join(lines)


Apply = Callable[[dict[str, str], Callable[[Any], None], Callable[[str], None]], None]


class Edit(ModalScreen[None]):
    """A line for each setting, with the value in force. Enter gives what differs to the worker; a refusal stays."""

    CSS = """
    Edit { align: center middle; background: $background 60%;
        .dialog { width: 76; max-height: 100%; padding: 0 2; }
        .row { height: 1; }
        .row Label { width: 25; color: $quiet; }
        .row Input { width: 14; height: 1; border: none; padding: 0 1; background: $background; }
        .row Input:focus { background: $cursor; }
        .row .hint { width: 1fr; color: $quiet; padding: 0 0 0 2; }
        .problem { color: $trouble; height: auto; max-height: 4; margin-top: 1; }
        .keys { color: $quiet; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "back", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, values: dict[str, Any], apply: Apply) -> None:
        """values: those that this run can take. apply: (edits, done, failed) gives them to the worker."""
        super().__init__()
        self._before = {key: shown(values[key]) for key in HINTS if key in values}
        self._apply = apply

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = spoken("change the live run")
            for key, before in self._before.items():
                with Horizontal(classes="row"):
                    yield Label(key, markup=False)
                    yield Input(before, select_on_focus=True)
                    yield Label(spoken(HINTS[key]), classes="hint", markup=False)
            yield Static("", classes="problem", markup=False)
            keys = spoken("enter applies what differs, ↑ ↓ move, esc leaves")
            yield Static(keys, classes="keys", markup=False)

    def edits(self) -> dict[str, str]:
        """What was typed and differs from what is in force."""
        typed = {key: field.value.strip() for key, field in zip(self._before, self.query(Input), strict=True)}
        return {key: value for key, value in typed.items() if value != self._before[key]}

    def on_input_submitted(self) -> None:
        edits = self.edits()
        if not edits:
            self.dismiss(None)
            return
        self._say("asking the worker…")
        self._apply(edits, self._done, self._say)

    def _done(self, answer: Any) -> None:
        if self.is_attached:
            self.dismiss(None)

    def _say(self, text: str) -> None:
        if self.is_attached:
            self.query_one(".problem", Static).update(spoken(text))


Start = Callable[[int, list[str]], Awaitable[RunFolder | None]]


class Fork(ModalScreen[RunFolder | None]):
    """Starts the new run and is dismissed with its folder; stays, with the reason, where it can't be started."""

    CSS = f"""
    Fork {{ align: center middle; background: $background 60%; {LIST_CSS}
        .dialog {{ width: 70; }}
        Input {{ margin-top: 1; border: none; height: 1; padding: 0; background: $background; }}
        .problem {{ color: $trouble; height: auto; }}
    }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "back", show=False),
        Binding("down", "screen.focus_next", show=False),
    ]

    def __init__(self, checkpoints: Sequence[Checkpoint], start: Start) -> None:
        """start: (step, overrides) makes the run, or None where it is not wanted after all; DescentError where it
        can't."""
        super().__init__()
        self._checkpoints, self._start = checkpoints, start

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = spoken("fork: a new run from a checkpoint")
            yield OptionList(*(Option(row) for row in rows(self._checkpoints)))
            yield Input(placeholder=spoken("changes, such as  optimizer.lr=0.01 train.epochs=20"))
            yield Static("", classes="problem", markup=False)
            hint = spoken("enter starts it, tab goes to the changes, esc leaves")
            yield Static(hint, classes="hint", markup=False)

    def on_option_list_option_selected(self) -> None:
        self._try()

    def on_input_submitted(self) -> None:
        self._try()

    def _try(self) -> None:
        self.run_worker(self._begin(), exclusive=True)

    async def _begin(self) -> None:
        chosen = self.query_one(OptionList).highlighted or 0
        problem = self.query_one(".problem", Static)
        problem.update("starting…")
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
