"""Which of the two languages to speak."""

import os

from engine.errors import DescentError
from engine.labs import progress
from engine.labs.format import Language
from engine.texts import show


def chosen(given: str | None) -> Language:
    """`given` (--lang), else the language that was chosen before, else the locale's. DescentError for another."""
    match given:
        case "en" | "ko":
            return given
        case None:
            return progress.load().language or _of_locale()
        case _:
            raise DescentError(f"--lang {show(given)}: must be en or ko")


def _of_locale() -> Language:
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return "ko" if next(filter(None, names), "").lower().startswith("ko") else "en"
