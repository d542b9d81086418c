"""Dialogs that all screens share: a question, more steps, how to stop."""

import math
import time
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from descent.common.i18n import N_, _, ngettext
from descent.common.numbers import count
from descent.common.stdio import lines
from tui.data.snapshot import Snapshot
from tui.widgets.key_line import written

Value = TypeVar("Value")
REACTION = 0.3  # seconds from when a question is seen to the first key that answers it


class Ask(ModalScreen[Value | None], Generic[Value]):
    """Asks and is dismissed with the chosen value, or with None on Escape.

    choices: (key, label, value) each; the key as Textual names it. title and text are shown as they are, never as
    markup; text may have several lines. careful: a key that was pressed before the question could be seen, typed
    ahead or meant for the screen below, is no answer.
    """

    def __init__(
        self,
        title: str,
        text: str | Text,
        choices: Sequence[tuple[str, str, Value]],
        *,
        trouble: bool = False,
        careful: bool = False,
    ) -> None:
        super().__init__(classes="-trouble" if trouble else None)
        self._answers_from = math.inf if careful else -math.inf  # on the clock of events
        self._title, self._text, self._choices = title, text, tuple(choices)
        self._highlighted = 0

    def compose(self) -> ComposeResult:
        box = Vertical(id="ask", classes="dialog")
        box.border_title = Text(lines(self._title).replace("\n", " "))  # as Text: never markup
        with box:
            with VerticalScroll(id="ask-text", can_focus=False):
                yield Static(self._shown(), markup=False)
            yield Static(self._rows(), id="ask-choices", markup=False)

    def on_mount(self) -> None:
        self.call_after_refresh(self._be_seen)

    def _be_seen(self) -> None:
        if self._answers_from == math.inf:
            self._answers_from = time.monotonic() + REACTION

    @property
    def takes_keys(self) -> bool:
        """Whether a key that is pressed now is an answer."""
        return time.monotonic() >= self._answers_from

    def _shown(self) -> Text:
        terminal = getattr(self.app, "terminal", None)
        text = self._text if isinstance(self._text, Text) else Text(lines(self._text))
        return text if terminal is None or terminal.unicode else Text(terminal.plain(text.plain))

    def _rows(self) -> Text:
        """Return a line for each choice."""
        rows = Text()
        width = max(len(written(key)) for key, *_rest in self._choices)
        for position, (key, label, _value) in enumerate(self._choices):
            chosen = position == self._highlighted
            rows.append("\n" if position else "")
            rows.append(f" {written(key):<{width}} ", "bold reverse" if chosen else "bold")
            rows.append(f"  {label}", "bold" if chosen else "")
        return rows

    def on_key(self, event: events.Key) -> None:
        """Take a choice by its own key, or the highlighted one by enter; up and down move."""
        event.stop()
        if event.time < self._answers_from:
            return
        for key, _label, value in self._choices:
            if event.key == key or (event.character is not None and event.character == key):
                self.dismiss(value)
                return
        match event.key:
            case "escape":
                self.dismiss(None)
            case "up" | "left" | "shift+tab" | "down" | "right" | "tab":
                step = -1 if event.key in ("up", "left", "shift+tab") else 1
                self._highlighted = (self._highlighted + step) % len(self._choices)
                self.query_one("#ask-choices", Static).update(self._rows())
            case "enter":
                self.dismiss(self._choices[self._highlighted][2])
            case "pageup" | "pagedown":
                scroll = self.query_one("#ask-text", VerticalScroll)
                (scroll.scroll_page_up if event.key == "pageup" else scroll.scroll_page_down)()


class More(ModalScreen[dict[str, int] | None]):
    """Asks for epochs, or steps as "500 steps"; dismissed with {"epochs": n} or {"steps": n}, or None."""

    CSS = """
    More {
        .dialog { width: 56; }
        Input { border: none; height: 1; padding: 0 1; margin: 1 0; background: $background; }
        .hint { color: $quiet; }
        .problem { color: $trouble; height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", N_("back"), show=False)]

    def __init__(self, now: Snapshot) -> None:
        super().__init__()
        self._now = now

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = _("train for longer")
            step = count(self._now.total_steps)
            if self._now.counted_in == "steps":
                ends, amount = _("Planned end: step {step}. More steps:", step=step), "500"
            else:
                ends, amount = _("Planned end: step {step}. More epochs:", step=step), "5"
            yield Static(ends, markup=False)
            yield Input(amount, select_on_focus=True)
            yield Static("", classes="problem", markup=False)
            hint = _("esc cancel") if self._now.counted_in else _("epochs, or as in: 500 steps · esc cancel")
            yield Static(hint, classes="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        only = self._now.counted_in
        amount = amount_of(event.value, only or "epochs")
        if amount is None or (only and only not in amount):
            problem = (
                _("must be a whole number ≥ 1") if only else _("must be a whole number ≥ 1, or as in: 500 steps")
            )
            self.query_one(".problem", Static).update(problem)
        else:
            self.dismiss(amount)


def amount_of(text: str, default: str = "epochs") -> dict[str, int] | None:
    """{"epochs": 5} for "5 epochs", {"steps": 500} for "500 steps", `default` for "5"; None for any other text."""
    number, _space, unit = text.strip().partition(" ")
    unit = {"": default, "epoch": "epochs", "step": "steps"}.get(unit.strip(), unit.strip())
    if not number.isdigit() or not int(number) or unit not in ("epochs", "steps"):
        return None
    return {unit: int(number)}


def ask_to_stop(now: Snapshot) -> Ask[str]:
    """Dismissed with "now", "epoch" or "discard", or None."""
    saved = now.checkpoints[-1] if now.checkpoints else None
    text = [
        _("It is at step {step}.", step=count(now.step)),
        _("No checkpoint yet.")
        if saved is None
        else ngettext(
            "Last checkpoint: step {step} ({count:,} step ago).",
            "Last checkpoint: step {step} ({count:,} steps ago).",
            now.step - saved,
            step=count(saved),
        ),
    ]
    if "fork" not in now.refused:
        text.append(_("You can resume a stopped run from its last checkpoint."))
    after_epoch = [("e", _("finish the epoch, save and stop"), "epoch")] if now.has_epochs else []
    return Ask(
        _("stop {preset} {run}?", preset=now.preset, run=now.short_id),
        "\n".join(text),
        [
            ("s", _("save now and stop"), "now"),
            *after_epoch,
            ("d", _("stop without saving"), "discard"),
            ("escape", _("keep training"), None),  # type: ignore[list-item]
        ],
    )
