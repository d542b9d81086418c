"""Finding entries by the words that a user types."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Choice = TypeVar("Choice")


def fitting(items: Sequence[Choice], typed: str, text_of: Callable[[Choice], str]) -> list[Choice]:
    """Return the items whose text has every typed word. Without any, those that have the typed letters in order.

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
