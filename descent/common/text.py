"""Text for people: values as TOML writes them, without control characters, and the word that was probably meant."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from descent.common.errors import CannotGoOnError, DescentError
from descent.common.files import DISK_FULL, LinkError, NotRegularError
from descent.common.i18n import _

if TYPE_CHECKING:
    from zipfile import ZipInfo

LONGEST_VALUE = 60
LONGEST_LIST = 8
_DEEPEST = 3
_UTF_8 = 0x800  # the flag of a zip file's entry whose name is in UTF-8
# ECMA-48: control sequences, strings (such as a window's title), and escapes of two characters.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
# Cc would let a file control the terminal. Cf holds the marks that reorder text. Cs can't be printed.
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn"}


def clean(text: str) -> str:
    """Return `text` on one line, without characters that a terminal would obey or could not print."""
    if text.isprintable():
        return text  # the usual case, and fast: a log may have thousands of lines
    spaced = " ".join(text.split()) if any(c in text for c in "\n\r\t\v\f\u2028\u2029\x85") else text
    return "".join(c for c in spaced if unicodedata.category(c) not in _UNPRINTABLE)


def unmarked(text: str) -> str:
    """Return a line of Markdown, clean and without its marks, for where it is shown as it is."""
    return re.sub(r"\*\*(.+?)\*\*|`(.+?)`|(?<![\w*])\*(?!\s)([^*]+)(?<!\s)\*", r"\1\2\3", clean(text))


def without_escapes(text: str) -> str:
    """Return `text` without the complete escape sequences by which a program colours a terminal."""
    return _ESCAPES.sub("", text) if "\x1b" in text else text


def shorten(text: str, longest: int = LONGEST_VALUE) -> str:
    """Return `text`, cut to at most `longest` characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def show(value: object, depth: int = 0) -> str:
    """Return a value as TOML would write it, cleaned and shortened, for a message."""
    match value:
        case bool():
            text = str(value).lower()
        case str():
            text = '"' + shorten(clean(value[: 4 * LONGEST_VALUE]), LONGEST_VALUE - 2) + '"'
        case int():
            # Hexadecimal TOML can hold an integer of thousands of digits, which Python refuses to write out.
            bits = value.bit_length()
            text = str(value) if bits < 256 else _("an integer of {bits} bits", bits=bits)
        case date() | time():
            text = value.isoformat()
        case dict() | list() | tuple() if depth == _DEEPEST:
            text = "…"
        case dict():
            items = islice(value.items(), LONGEST_LIST)
            inside = ", ".join(f"{shorten(clean(str(k)), 20)} = {show(v, depth + 1)}" for k, v in items)
            text = f"{{ {inside} }}" if value else "{}"
        case list() | tuple():
            text = "[" + ", ".join(show(item, depth + 1) for item in value[:LONGEST_LIST]) + "]"
            if len(value) > LONGEST_LIST:
                text = text[:-1] + ", …]"
        case _:
            text = clean(str(value))
    return shorten(text)


def likely(word: object, words: Iterable[str]) -> str | None:
    """Return the one of `words` that was probably meant by `word`, or None if none is close."""
    if not isinstance(word, str):
        return None
    words = list(words)
    last = [choice for choice in words if choice.rpartition(".")[2] == word]  # "lr" for "optimizer.lr"
    if last:
        return last[0]
    plain = {_plain(choice): choice for choice in words}
    close = difflib.get_close_matches(_plain(word[:100]), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else None


def _plain(word: str) -> str:
    return word.casefold().replace("_", "-").replace(" ", "-")


def did_you_mean(word: object, words: Iterable[str]) -> str:
    """Return "; did you mean …?", to end a message with, or "" if no word is close."""
    meant = likely(word, words)
    return _("; did you mean {word}?", word=meant) if meant else ""


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Map each key to its last part if no other key has the same, else to itself. `schedule.name` is the schedule."""
    last = [key.removesuffix(".name").rpartition(".")[2] for key in keys]
    return {key: key if last.count(name) > 1 else name for key, name in zip(keys, last, strict=True)}


def names_in_zip(entries: Sequence["ZipInfo"]) -> list[str]:
    """Return the names of a zip file's entries.

    Windows writes names in the code page of its language, and macOS in UTF-8 that it does not call so; Python reads
    both as cp437. So names that are not said to be UTF-8 are read as UTF-8 or as Korean if all of them can be.
    """
    names = [entry.filename for entry in entries]
    for encoding in ("utf-8", "cp949"):
        with suppress(UnicodeError):
            return [
                name if entry.flag_bits & _UTF_8 else name.encode("cp437").decode(encoding)
                for entry, name in zip(entries, names, strict=True)
            ]
    return names


def why_unreadable(error: Exception) -> str:
    """Return why a file can't be read: the system's words, where it has some that fit."""
    if isinstance(error, LinkError):
        return _("it is a link, and what it leads to is not read")
    if isinstance(error, NotRegularError):
        return _("it is a pipe or a device, not a file: save what it gives as a file, and name that")
    return (isinstance(error, OSError) and error.strerror) or str(error)


def unwritable(path: Path, error: OSError) -> DescentError:
    """Return the error for a file of the user's that can't be written. A full disk has an exit code of its own."""
    kind = CannotGoOnError if error.errno in DISK_FULL else DescentError
    return kind(_("{path}: can't be written: {error}", path=clean(str(path)), error=error.strerror))


def why_damaged(error: Exception) -> str:
    """Return why the files of a run can't be read, on one short line. They may hold anything, so it is cleaned."""
    text = str(error) if isinstance(error, DescentError) else f"{type(error).__name__}: {error}"
    return shorten(clean(text), 200)
