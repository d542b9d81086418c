"""Help: the keys of the screen below, as they are bound now."""

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tui.base import ConsoleApp
from tui.data.translation import spoken

_GROUPS = {"list": "in the list"}
# Textual's own for every screen: moving the focus, copying what was selected with the mouse.
_TEXTUAL = {binding.action for binding in Screen.BINDINGS if isinstance(binding, Binding)}
_PALETTE = "command_palette"


class Help(ModalScreen[None]):
    """Made from the bindings that work on a screen at this moment; whatever key closes it."""

    app: ConsoleApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,space,q,question_mark,f1", "dismiss", "Close", show=False, id="help.close"),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("up,k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._groups = keys_of(screen)
        means = getattr(screen, "HELP_WORDS", ())
        self._groups += [("what it shows", list(means))] if means else []

    def compose(self) -> ComposeResult:
        box = Vertical(id="help", classes="dialog")
        box.border_title = spoken("keys")
        with box, VerticalScroll(id="help-keys", can_focus=False):
            yield Static(self._shown(), markup=False)

    def _shown(self) -> Text:
        width = max((len(keys) for _, rows in self._groups for keys, _ in rows), default=0)
        text = Text()
        for number, (title, rows) in enumerate(self._groups):
            text.append("\n\n" if number else "")
            text.append(spoken(title), "bold")
            for keys, does in rows:
                text.append(f"\n  {keys:<{width}}", "bold" if self.app.no_color else self._key_style())
                text.append(f"   {spoken(does)}")
        return text

    def _key_style(self) -> Style:
        return self.app.colour("train")

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)


def actions_of(screen: Screen[Any]) -> dict[str, tuple[str, str]]:
    """action -> (keys, what it does) of what the screen itself offers now."""
    found: dict[str, tuple[str, str]] = {}
    for node, binding, enabled, _ in screen.active_bindings.values():
        if node is screen and enabled and binding.id and binding.description:
            keys = screen.app.get_key_display(binding)
            before = found[binding.action][0].split() if binding.action in found else []
            found[binding.action] = (" ".join(dict.fromkeys([*before, keys])), binding.description)
    return found


def keys_of(screen: Screen[Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """(group, [(keys, what they do)]) of all bindings that a screen offers now, its own first."""
    found: dict[str, dict[str, list[str]]] = {}
    for node, binding, _, tooltip in screen.active_bindings.values():
        does = tooltip or binding.description
        ours = binding.id or (node is screen and binding.action not in _TEXTUAL) or binding.action == _PALETTE
        if not does or not ours:
            continue
        group = "everywhere" if node is screen.app else _GROUPS.get((binding.id or "").partition(".")[0], "")
        key = screen.app.get_key_display(binding)
        keys = found.setdefault(group, {}).setdefault(does, [])
        if key not in keys:
            keys.append(key)
    order: Sequence[str] = sorted(found, key=lambda group: (group != "", group == "everywhere"))
    return [
        (group or "this screen", [(" ".join(keys), does) for does, keys in found[group].items()]) for group in order
    ]
