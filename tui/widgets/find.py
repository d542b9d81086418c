"""The line that narrows a list down as its user types, and what fits what was typed."""

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

Item = TypeVar("Item")


def fitting(items: Sequence[Item], typed: str, text_of: Callable[[Item], str]) -> list[Item]:
    """The items whose text holds every word that was typed; where there is none, those with its letters in order.

    The order of the items stays.
    """
    words = typed.casefold().split()
    if not words:
        return list(items)
    texts = [text_of(item).casefold() for item in items]
    whole = [item for item, text in zip(items, texts, strict=True) if all(word in text for word in words)]
    if whole:
        return whole
    return [item for item, text in zip(items, texts, strict=True) if all(_in_order(word, text) for word in words)]


def _in_order(letters: str, text: str) -> bool:
    at = iter(text)
    return all(letter in at for letter in letters)


class Find(Input):
    """Typing posts `Changed`; up, down and enter go to the list; Escape clears, then leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back to the list", show=False, id="find.leave")
    ]
    DEFAULT_CSS = """
    Find, Find:focus {
        height: 1; border: none; padding: 0; background: transparent; background-tint: transparent;
    }
    Find > .input--placeholder { color: $quiet; }
    """

    class Left(Message):
        """The user is done with typing."""

    class Moved(Message):
        """A key that is meant for the list: up, down, pageup, pagedown or enter."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def on_key(self, event: events.Key) -> None:
        if event.key in ("up", "down", "pageup", "pagedown", "enter"):
            event.stop()
            event.prevent_default()
            self.post_message(self.Moved(event.key))

    def action_leave(self) -> None:
        if self.value:
            self.value = ""
        self.post_message(self.Left())
