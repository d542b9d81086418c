"""The language of every text that a person reads. The code has English; gettext catalogues have the rest.

`_` translates a text where it is shown. `N_` only marks one that stands in a table at module level, for `_` to
translate later. `python -m tests.tools.translations` brings the catalogues up to date with the code.
"""

import gettext
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, get_args

from descent.common.errors import DescentError
from descent.common.files import write_atomically
from descent.common.korean import with_particles
from descent.common.paths import config_dir

Language = Literal["en", "ko"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
LOCALE = Path(__file__).parents[1] / "locale"
_VARIABLE = "DESCENT_LANG"  # processes that this one starts speak its language
_STANDARD = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


def _(text: str, **fields: Any) -> str:
    """Return `text` in the current language, its {fields} filled in."""
    found = text if language() == "en" else _catalogue(language()).gettext(text)
    return _filled(found, fields)


def pgettext(context: str, text: str, **fields: Any) -> str:
    """Like `_`, for a text that has two meanings: "train" is a split of the data, and a key that starts a run."""
    found = text if language() == "en" else _catalogue(language()).pgettext(context, text)
    return _filled(found, fields)


def ngettext(one: str, many: str, count: int, **fields: Any) -> str:
    """Like `_`, with {count} filled in: `one` where the count is 1, else `many`."""
    english = one if count == 1 else many
    found = english if language() == "en" else _catalogue(language()).ngettext(one, many, count)
    return _filled(found, {"count": count, **fields})


def _filled(text: str, fields: Mapping[str, Any]) -> str:
    if not fields:
        return text
    return with_particles(text.format(**fields)) if language() == "ko" else text.format(**fields)


def N_(text: str) -> str:  # noqa: N802 - the name that gettext's users know
    """Mark a text for the catalogues; `_` translates it where it is shown."""
    return text


def language() -> Language:
    """Return the current language: set by `use`, else kept by `keep`, else the locale's, else English."""
    return _of_environment(os.environ.get(_VARIABLE, ""))


def use(chosen: Language) -> None:
    """Speak this language from now on, here and in processes that are started later."""
    os.environ[_VARIABLE] = chosen


def keep(chosen: Language) -> None:
    """Speak this language from now on, in later sessions too. Raises DescentError where it can't be kept."""
    use(chosen)
    path = kept_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, f"{chosen}\n".encode())
    except OSError as error:
        raise DescentError(_("{path}: can't be written: {error}", path=path, error=error.strerror)) from None


def use_language_of(words: Sequence[str]) -> None:
    """Speak the language that the command line `words` asks for by --lang, if any.

    The help of the commands is translated while they are loaded, so this must come before.
    """
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        option, _equals, value = word.partition("=")
        named = value or following
        if option == "--lang" and named in LANGUAGES:
            use(named)


def look_again() -> None:
    """Find out the language anew: a process forked from one that spoke has another environment, or a later choice."""
    _of_environment.cache_clear()


@cache
def _of_environment(named: str) -> Language:
    """The language of this environment. named: the value of $DESCENT_LANG."""
    kept = ""
    with suppress(OSError, UnicodeDecodeError):
        kept = kept_file().read_text(encoding="utf-8").strip()
    locale = next(filter(None, (os.environ.get(name) for name in _STANDARD)), "")
    codes = (named, kept, locale[:2].lower())
    return next((one for code in codes for one in LANGUAGES if one == code), "en")


def kept_file() -> Path:
    """The file of the language that the user has chosen. It may not exist."""
    return config_dir() / "language"


@cache
def _catalogue(chosen: Language) -> gettext.NullTranslations:
    try:
        return gettext.translation("descent", LOCALE, [chosen])
    except FileNotFoundError:
        folder = LOCALE / chosen
        raise DescentError(
            f"{folder}: descent.mo is missing; installing Descent makes it (pip install -e .)"
        ) from None
