"""Settings of a preset, changed before it is started: KEY=VALUE words, checked as they are typed."""

import shlex
import threading
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.text import clean, show
from tui.base import ConsoleApp
from tui.data.live_settings import flat_settings
from tui.data.search import fitting

_DELAY = 0.15  # seconds without a key before what was typed is checked


class Checked(Message):
    """The check of a typed line is done. problem: what is wrong with it, or "". changes: (key, before, after)."""

    def __init__(self, typed: str, problem: str, changes: list[tuple[str, str, str]]) -> None:
        super().__init__()
        self.typed, self.problem, self.changes = typed, problem, changes


class _Line(Input):
    """The line that is typed in. It completes by itself: a key of the screen would overtake letters that wait."""

    async def _on_key(self, event: events.Key) -> None:
        active = self.screen.active_bindings.get(event.key)
        if active is not None and active.binding.action == "complete":
            event.stop()
            event.prevent_default()
            await self.screen.run_action("complete")


class Overrides(ModalScreen[list[str] | None]):
    """Dismissed with the overrides to start with, or None. Shows what each changes, or what is wrong with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", N_("back"), show=False, id="overrides.back"),
        Binding("tab", "complete", N_("complete a key"), show=False, id="overrides.complete"),
        Binding("ctrl+l", "clear", N_("clear the line"), show=False, id="overrides.clear"),
    ]
    app: ConsoleApp

    def __init__(self, name: str, source: str) -> None:
        super().__init__()
        self._name, self._source = name, source
        self._settings = flat_settings(source, [])
        self._wants_start = False

    def compose(self) -> ComposeResult:
        box = Vertical(id="overrides", classes="dialog")
        box.border_title = Text(_("start {preset} with changed settings", preset=self._name))  # as Text: never markup
        with box:
            line = _Line(
                placeholder="optimizer.lr=0.01 train.epochs=5",
                id="overrides-line",
                select_on_focus=False,
            )
            line.cursor_blink = False
            yield line
            yield Static(id="overrides-changes", markup=False)
            with VerticalScroll(id="overrides-keys", can_focus=False):
                yield Static(self._keys(), markup=False)
            yield Static(_("enter start · tab complete a key · esc cancel"), id="overrides-hint", markup=False)

    def _keys(self) -> Text:
        """The keys that can be changed, with their values."""
        width = max((len(key) for key in self._settings), default=0)
        text = Text(no_wrap=True)
        for number, key in enumerate(self._fitting()):
            text.append("\n" if number else "")
            text.append(f"{key:<{width}}  ", self.app.colour("quiet"))
            text.append(self._settings[key])
        return text

    def _fitting(self) -> list[str]:
        """The keys that fit the word under the cursor; all keys where none fits."""
        word = self._typed_words().rpartition(" ")[2].partition("=")[0]
        return fitting(list(self._settings), word, str) or list(self._settings)

    def _typed_words(self) -> str:
        lines = self.query(Input)
        return lines.first().value if lines else ""

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._wants_start = False
        self.query_one("#overrides-keys Static", Static).update(self._keys())
        self.set_timer(_DELAY, lambda: self._check_if_still(event.value))

    def _check_if_still(self, typed: str) -> None:
        if self.query_one(Input).value == typed:
            self._check(typed)

    def _check(self, typed: str) -> None:
        threading.Thread(target=self._examine, args=(typed,), name="overrides", daemon=True).start()

    def _examine(self, typed: str) -> None:
        try:
            words = split(typed)
            if not self._wants_start and words and "=" not in words[-1]:
                words.pop()  # still being typed
            after = flat_settings(self._source, words)
        except DescentError as error:
            self.post_message(Checked(typed, str(error), []))
            return
        changes = [
            (key, self._settings.get(key, "none"), value)
            for key, value in after.items()
            if self._settings.get(key) != value
        ]
        self.post_message(Checked(typed, "", changes))

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        self._wants_start = True
        self._check(event.value)

    def on_checked(self, message: Checked) -> None:
        if message.typed != self.query_one(Input).value:
            return
        if self._wants_start and not message.problem:
            self.dismiss(split(message.typed))
            return
        self._wants_start = False
        said = Text(message.problem, self.app.colour("trouble")) if message.problem else Text()
        for number, (key, before, after) in enumerate(message.changes):
            said.append("\n" if number else "")
            said.append(f"{key}  ").append(before, self.app.colour("quiet"))
            said.append(self.app.terminal.plain(" → ")).append(after, "bold")
        self.query_one("#overrides-changes", Static).update(said)

    def action_clear(self) -> None:
        self.query_one(Input).value = ""

    def action_complete(self) -> None:
        """Complete the word under the cursor to the first of the keys shown."""
        line = self.query_one(Input)
        before, space, word = line.value.rpartition(" ")
        if word and "=" not in word:
            line.value = f"{before}{space}{self._fitting()[0]}="
            line.cursor_position = len(line.value)


def split(typed: str) -> list[str]:
    """Split a line into words as a shell does. Raises DescentError where a quotation mark is left open."""
    try:
        return shlex.split(typed)
    except ValueError as error:
        raise DescentError(f"{show(clean(typed))}: {error}") from None
