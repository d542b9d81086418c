"""The settings, each on a line. Up and down choose one; left and right change it. Every change is kept at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from descent.common.i18n import N_, _, pgettext
from descent.common.numbers import setting
from descent.common.text import clean
from tui.base import ConsoleApp
from tui.settings import NOTIFY, Settings, settings_file
from tui.widgets.lines import Line, Lines, Piece, cut, fitted


@dataclass(frozen=True)
class Choice:
    """One setting: its values in order, and how each is written. label and note are translated where shown.

    values: None for those of the app's themes.
    """

    key: str
    label: str
    values: tuple[Any, ...] | None
    write: Callable[[Any], str]
    note: str


CHOICES = (
    Choice("theme", N_("theme"), None, str, N_("ansi: the terminal's own 16 colours")),
    Choice(
        "fps",
        N_("frames per second"),
        (None, 1.0, 2.0, 4.0, 10.0, 20.0, 30.0),
        lambda value: _("auto") if value is None else setting(float(value)),
        N_("auto: 10, over SSH 4; at the next start"),
    ),
    Choice("smoothing", N_("smoothing"), (0.0, 0.3, 0.6, 0.8, 0.9, 0.95), setting, N_("of the curves")),
    Choice(
        "log_y",
        N_("loss axis"),
        (False, True),
        lambda value: pgettext("axis", "log") if value else pgettext("axis", "linear"),
        N_("when a run is opened"),
    ),
    Choice("notify", N_("when a run ends"), NOTIFY, str, N_("osc9: desktop notification")),
)


class Rows(Lines, can_focus=True):
    """The settings, and a cursor on one of them."""

    app: ConsoleApp
    DEFAULT_CSS = "Rows { height: auto; width: 78; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", N_("choose"), show=False, id="settings.up"),
        Binding("down,j", "move(1)", N_("choose"), show=False, id="settings.down"),
        Binding("left,h", "change(-1)", N_("change"), show=False, id="settings.less"),
        Binding("right,l,space,enter", "change(1)", N_("change"), show=False, id="settings.more"),
    ]
    cursor = 0

    def get_content_height(self, *sizes: object) -> int:
        return len(CHOICES) + 4

    def lines(self, width: int, height: int) -> Sequence[Line]:
        shown: list[Line] = []
        for position, choice in enumerate(CHOICES):
            value = getattr(self.app.settings, choice.key)
            chosen = position == self.cursor
            text = choice.write(value)
            middle = f"‹ {text} ›" if chosen else f"  {text}"
            middle = middle if self.app.terminal.unicode else middle.replace("‹", "<").replace("›", ">")
            shown.append(
                cut(
                    (
                        Piece(f" {fitted(_(choice.label), 17)}", "strong" if chosen else ""),
                        Piece(fitted(middle, 15), "key" if chosen else ""),
                        Piece(_(choice.note), "quiet"),
                    ),
                    width,
                )
            )
        keys = ", ".join(f"{name} = {keys}" for name, keys in self.app.settings.keys.items())
        keys = keys or _("defaults; change them under [keys] in")
        file = clean(str(settings_file()))
        shown += [(), cut((Piece(f" {fitted(_('keys'), 19)}"), Piece(keys, "quiet")), width)]
        hosts = ", ".join(self.app.settings.hosts) or _("none; list them as hosts in")
        shown.insert(-1, cut((Piece(f" {fitted(_('hosts'), 19)}"), Piece(clean(hosts), "quiet")), width))
        shown += [cut((Piece(" " * 20), Piece(file, "quiet")), width)]
        return shown

    def action_move(self, by: int) -> None:
        self.cursor = (self.cursor + by) % len(CHOICES)
        self.show_lines()

    def action_change(self, by: int) -> None:
        choice = CHOICES[self.cursor]
        values = ("auto", *self.app.theme_names) if choice.values is None else choice.values
        self.app.use_settings(changed(self.app.settings, choice.key, values, by))
        self.show_lines()


def changed(settings: Settings, key: str, values: Sequence[Any], by: int) -> Settings:
    """The settings with the next value, or the previous one; a value that is not offered counts as the first."""
    value = getattr(settings, key)
    at = values.index(value) if value in values else 0
    return replace(settings, **{key: values[(at + by) % len(values)]})


class SettingsScreen(ModalScreen[None]):
    """A dialog over the screen below; Escape closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,s", "dismiss", N_("close"), show=False, id="settings.close")
    ]

    def compose(self) -> ComposeResult:
        box = Vertical(id="settings", classes="dialog")
        box.border_title = _("settings")
        box.border_subtitle = _("↑↓ choose · ←→ change · esc close")
        with box:
            yield Rows()
