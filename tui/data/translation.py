"""The console's words in the current language.

The console says everything in English. A sentence is looked up in the table of the language; one that is not there
stays as it is.
"""

import re
import tomllib
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

from descent.common.i18n import Language, language

Say = Callable[[str], str]  # puts words of the console into the language that is spoken
_FILES: "dict[Language, str]" = {"ko": "console.ko.toml"}


def spoken(text: str) -> str:
    """`text`, which a widget or a screen is about to show, in the current language."""
    current = language()
    return text if current not in _FILES else "\n".join(in_language(line, current) for line in text.split("\n"))


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
