"""Help: the keys of the screen below, as they are bound now."""

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from descent.common.i18n import N_, _
from tui.base import ConsoleApp
from tui.widgets.lines import fitted

_GROUPS = {"list": N_("in the list"), "log": N_("in the log")}
_OWN, _EVERYWHERE = N_("this screen"), N_("everywhere")
# Actions of every Textual screen, such as moving the focus or copying the selected text.
_TEXTUAL = {binding.action for binding in Screen.BINDINGS if isinstance(binding, Binding)}
_PALETTE = "command_palette"


class Help(ModalScreen[None]):
    """Shows the bindings that work on a screen at this moment, and what its signs mean."""

    app: ConsoleApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,space,q,question_mark,f1", "dismiss", N_("close"), show=False, id="help.close"),
        Binding("down,j", "scroll(1)", N_("down"), show=False),
        Binding("up,k", "scroll(-1)", N_("up"), show=False),
    ]

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._groups = keys_of(screen)
        meanings = getattr(screen, "meanings", None)
        self._groups += [(_("what it shows"), meanings())] if meanings is not None else []

    def compose(self) -> ComposeResult:
        box = Vertical(id="help", classes="dialog")
        box.border_title = _("keys")
        with box, VerticalScroll(id="help-keys", can_focus=False):
            yield Static(self._shown(), markup=False)

    def _shown(self) -> Text:
        width = max((cell_len(keys) for _title, rows in self._groups for keys, _does in rows), default=0)
        text = Text()
        for number, (title, rows) in enumerate(self._groups):
            text.append("\n\n" if number else "")
            text.append(title, "bold")
            for keys, does in rows:
                text.append(f"\n  {fitted(keys, width)}", "bold" if self.app.no_color else self._key_style())
                text.append(f"   {does}")
        return text

    def _key_style(self) -> Style:
        return self.app.colour("train")

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)


def actions_of(screen: Screen[Any]) -> dict[str, tuple[str, str]]:
    """The actions that the screen itself offers now: action -> (keys, what it does)."""
    found: dict[str, tuple[str, str]] = {}
    for node, binding, enabled, _tooltip in screen.active_bindings.values():
        if node is screen and enabled and binding.id and binding.description:
            keys = screen.app.get_key_display(binding)
            before = found[binding.action][0].split() if binding.action in found else []
            found[binding.action] = (" ".join(dict.fromkeys([*before, keys])), _(binding.description))
    return found


def keys_of(screen: Screen[Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """All bindings that a screen offers now, its own first: (group, [(keys, what they do)]) each."""
    found: dict[str, dict[str, list[str]]] = {}
    for node, binding, _enabled, _tooltip in screen.active_bindings.values():
        does = N_("all commands") if binding.action == _PALETTE else binding.description
        ours = binding.id or (node is screen and binding.action not in _TEXTUAL) or binding.action == _PALETTE
        if not does or not ours:
            continue
        group = _EVERYWHERE if node is screen.app else _GROUPS.get((binding.id or "").partition(".")[0], _OWN)
        key = screen.app.get_key_display(binding)
        keys = found.setdefault(group, {}).setdefault(_(does), [])
        if key not in keys:
            keys.append(key)
    order: Sequence[str] = sorted(found, key=lambda group: (group != _OWN, group == _EVERYWHERE))
    return [(_(group), [(" ".join(keys), does) for does, keys in found[group].items()]) for group in order]
