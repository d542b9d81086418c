"""Settings of a preset, changed before it is started: KEY=VALUE words, checked as they are typed."""

import asyncio
import shlex
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.geometry import Region
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.text import clean, show
from tui.base import OPENING, ConsoleApp
from tui.data.run_settings import flat_settings
from tui.data.search import fitting

_DELAY = 0.15  # seconds without a key before what was typed is checked


Change = tuple[str, str, str]  # a key, its value before, and after


class Overrides(ModalScreen[list[str] | None]):
    """Dismissed with the overrides to start with, or None. Shows what each changes, or what is wrong with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", N_("back"), show=False, id="overrides.back"),
        Binding("tab", "complete", N_("take the key"), show=False, priority=True, id="overrides.complete"),
        Binding("down", "choose(1)", N_("next key"), show=False, id="overrides.down"),
        Binding("up", "choose(-1)", N_("previous key"), show=False, id="overrides.up"),
        Binding("ctrl+l", "clear", N_("clear the line"), show=False, id="overrides.clear"),
    ]
    app: ConsoleApp

    def __init__(self, name: str, source: str) -> None:
        super().__init__()
        self._name, self._source = name, source
        self._settings = flat_settings(source, [])
        self._chosen = ""  # of the keys; the first that fits if it does not

    def compose(self) -> ComposeResult:
        box = Vertical(id="overrides", classes="dialog")
        box.border_title = Text(_("start {preset} with changed settings", preset=self._name))  # as Text: never markup
        with box:
            line = Input(
                placeholder="optimizer.lr=0.01 train.epochs=5",
                id="overrides-line",
                select_on_focus=False,
            )
            line.cursor_blink = False
            yield line
            yield Static(id="overrides-changes", markup=False)
            with VerticalScroll(id="overrides-keys", can_focus=False):
                yield Static(self._keys(), markup=False)
            hint = _("enter start · ↑↓ choose a key · tab take it · esc cancel")
            yield Static(hint, id="overrides-hint", markup=False)

    def _keys(self) -> Text:
        """The keys that can be changed, with their values."""
        width = max((len(key) for key in self._settings), default=0)
        text = Text(no_wrap=True)
        row = self._row()
        for number, key in enumerate(self._fitting()):
            text.append("\n" if number else "")
            is_chosen = number == row
            text.append(f"{key:<{width}}  ", self.app.cursor_style() if is_chosen else self.app.colour("quiet"))
            text.append(self._settings[key], self.app.cursor_style() if is_chosen else "")
        return text

    def _fitting(self) -> list[str]:
        """The keys that fit the word under the cursor; all keys where none fits."""
        word = self._typed_words().rpartition(" ")[2].partition("=")[0]
        return fitting(list(self._settings), word, str) or list(self._settings)

    def _row(self) -> int:
        """Return the place of the chosen key among those that fit."""
        keys = self._fitting()
        return keys.index(self._chosen) if self._chosen in keys else 0

    def _typed_words(self) -> str:
        lines = self.query(Input)
        return lines.first().value if lines else ""

    def action_choose(self, by: int) -> None:
        """Choose another of the keys that fit, for tab to take."""
        keys = self._fitting()
        row = max(0, min(len(keys) - 1, self._row() + by))
        self._chosen = keys[row]
        self.query_one("#overrides-keys Static", Static).update(self._keys())
        self.query_one("#overrides-keys").scroll_to_region(Region(0, row, 1, 1), animate=False, force=True)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self.query_one("#overrides-keys Static", Static).update(self._keys())
        self.run_worker(self._check(event.value), group="check", exclusive=True)

    async def _check(self, typed: str) -> None:
        """Show what the line changes, when no key has followed for a while."""
        await asyncio.sleep(_DELAY)
        try:
            words = split(typed)
            if words and ("=" not in words[-1] or words[-1].endswith("=")):
                words.pop()  # still being typed
            self._show(await asyncio.to_thread(self._changes, words))
        except DescentError as error:
            self._refuse(error)

    def _changes(self, words: list[str]) -> list[Change]:
        """The settings that these overrides change. Raises DescentError with all that is wrong."""
        after = flat_settings(self._source, words)
        return [
            (key, self._settings.get(key, "none"), value)
            for key, value in after.items()
            if self._settings.get(key) != value
        ]

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        self.workers.cancel_group(self, "check")
        self.run_worker(self._end_with(event.value), group=OPENING, exclusive=True)

    async def _end_with(self, typed: str) -> None:
        """Dismiss with what was typed. Say what is wrong with it, if anything is."""
        try:
            words = split(typed)
            await asyncio.to_thread(self._changes, words)
        except DescentError as error:
            self._refuse(error)
        else:
            self.dismiss(words)

    def _refuse(self, error: DescentError) -> None:
        said = Text(str(error), self.app.colour("trouble"))
        self.query_one("#overrides-changes", Static).update(said)

    def _show(self, changes: list[Change]) -> None:
        said = Text()
        for number, (key, before, after) in enumerate(changes):
            said.append("\n" if number else "")
            said.append(f"{key}  ").append(before, self.app.colour("quiet"))
            said.append(self.app.terminal.plain(" → ")).append(after, "bold")
        self.query_one("#overrides-changes", Static).update(said)

    def action_clear(self) -> None:
        self.query_one(Input).value = ""

    def action_complete(self) -> None:
        """Complete the word under the cursor to the chosen key."""
        line = self.query_one(Input)
        before, space, word = line.value.rpartition(" ")
        if "=" not in word:
            line.value = f"{before}{space}{self._fitting()[self._row()]}="
            line.cursor_position = len(line.value)


def split(typed: str) -> list[str]:
    """Split a line into words as a shell does. Raises DescentError where a quotation mark is left open."""
    try:
        return shlex.split(typed)
    except ValueError as error:
        raise DescentError(f"{show(clean(typed))}: {error}") from None
