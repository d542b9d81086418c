"""The console's own words in the language of the lab whose run it shows.

The console says everything in English and knows no lab. Where it says it (bottom line, status, log, titles, dialogs,
help), the sentence is looked up in the table of that language; one that is not there stays as it is.
"""

import re
import tomllib
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message_pump import MessagePump
from textual.screen import Screen

if TYPE_CHECKING:
    from engine.labs.format import Language

Say = Callable[[str], str]  # puts words of the console into the language that is spoken
_FILES: "dict[Language, str]" = {"ko": "console.ko.toml"}


def spoken(node: MessagePump, text: str) -> str:
    """`text`, which a widget or a screen is about to show, in the language of the lab that it was opened from."""
    language = language_of(node)
    return text if language not in _FILES else "\n".join(in_language(line, language) for line in text.split("\n"))


def language_of(node: MessagePump) -> "Language":
    """That of the lab's screen that is nearest to the top; English where there is none."""
    stack: list[Screen[Any]] = node.app.screen_stack if node.is_attached else []
    of_labs = (screen for screen in reversed(stack) if getattr(screen, "lab_id", None) is not None)
    found: Language = getattr(next(of_labs, None), "language", "en")
    return found


@lru_cache(maxsize=4096)
def in_language(text: str, language: "Language") -> str:
    """One sentence of the console's, or a part of one; as it is where the table has none that fits."""
    exact, forms = _table(language)
    words = " ".join(text.split())
    found = exact.get(words)
    if found is None:
        filled = ((form.fullmatch(words), other) for form, other in forms)
        match, other = next(((match, other) for match, other in filled if match), (None, ""))
        if match is None:
            return text
        found = other.format(*(in_language(part, language) for part in match.groups()))
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    return f"{text[:begin]}{found}{text[end:]}"


@cache
def _table(language: "Language") -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    """Phrases as they are, and sentences with blanks, those that say most first."""
    path = Path(__file__).with_name(_FILES[language])
    table: dict[str, str] = tomllib.loads(path.read_text(encoding="utf-8"))
    exact = {text: other for text, other in table.items() if "{}" not in text}
    blank = re.escape("{}")
    filled = sorted((text for text in table if "{}" in text), key=lambda text: -len(text.replace("{}", "")))
    return exact, [(re.compile(re.escape(text).replace(blank, "(.+?)")), table[text]) for text in filled]
