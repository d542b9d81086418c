"""What an editor knows of a learner's file: where it was left, where to begin, what is wrong with which line."""

import ast
import contextlib
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from descent.common.errors import NOT_PYTHON, PresetError
from descent.common.files import write_atomically
from descent.common.i18n import _
from descent.common.paths import made_state_dir, state_dir
from descent.common.text import clean
from engine.labs.explanation import Failure, explain
from engine.labs.messages import line_named
from engine.labs.mistakes import MISTAKES

KEPT = 200  # places of files, those that were left last
_TO_FILL = re.compile(r"raise NotImplementedError|\bTODO\b")
_HEADER = re.compile(r"\s*\[+\s*([\w.\"'-]+)\s*\]+")
_NAME = re.compile(r"\s*name\s*=")
_VALUE = re.compile(r"\s*[\w.\"'-]+\s*=\s*(\"[^\"]*\"|[\w.+-]+)")
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")


@dataclass(frozen=True)
class Place:
    """Where a file was left. row, column: of the cursor, from 0. top: the first line on the screen, wraps counted."""

    row: int
    column: int
    top: int


def _file() -> Path:
    return state_dir() / "places.json"


def _places() -> dict[str, list[int]]:
    try:
        found = json.loads(_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(file: Path, place: Place) -> None:
    """Keep where a file was left. A place that can't be written is forgotten: nothing depends on it."""
    known = _places()
    name = str(file.resolve())
    known.pop(name, None)
    known[name] = [place.row, place.column, place.top]
    latest = dict(list(known.items())[-KEPT:])
    try:
        made_state_dir()
        write_atomically(_file(), json.dumps(latest).encode())
    except OSError:
        return


def remembered(file: Path) -> Place | None:
    """Return where a file was left, or None if it was never opened."""
    match _places().get(str(file.resolve())):
        case [int(row), int(column), int(top)]:
            return Place(row, column, top)
    return None


def where_to_begin(text: str, suffix: str, changes: Sequence[str]) -> tuple[int, int, int]:
    """Return where a learner begins: the first part to fill of code, or the value of the first setting to change.

    changes: the lab's, keys ("optimizer.lr") or sections ("optimizer"). -> the line, from 1; the columns, from 0,
    where the value begins and ends, both 0 if there is none.
    """
    if suffix == ".py":
        return next(iter(to_fill(text)), 1), 0, 0
    written = text.splitlines()
    found = (line_of(text, key) for key in changes)
    number = next((line for line in found if line is not None), 1)
    while number < len(written) and (_HEADER.match(written[number - 1]) or _NAME.match(written[number - 1])):
        number += 1  # the name of a kind is not the first thing to change
    value = _VALUE.match(written[number - 1]) if written else None
    return (number, value.start(1), value.end(1)) if value is not None else (number, 0, 0)


def to_fill(text: str) -> list[int]:
    """Return the lines of code that its learner still replaces. They count from 1."""
    return [number for number, line in enumerate(text.splitlines(), 1) if _TO_FILL.search(line)]


def line_of(text: str, key: str) -> int | None:
    """Return the line of a dotted key in TOML, from 1.

    Of a key that is not there it is the line of the nearest table or key around it; None if there is none.
    """
    wanted = key.split(".")
    best, line_found, table = 0, None, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if (header := _HEADER.match(line)) is not None:
            path = table = _parts(header[1])
        elif (pair := _KEY.match(line)) is not None:
            path = [*table, *_parts(pair[1])]
        else:
            continue
        if best < len(path) <= len(wanted) and path == wanted[: len(path)]:
            best, line_found = len(path), number
    return line_found


def where_it_begins(text: str, name: str) -> int | None:
    """Return the line of the first statement of a function or class of this name in Python code, from 1."""
    return next((begins for found, _lines, begins in _definitions(text) if found == name), None)


def beginning_around(text: str, line: int) -> int | None:
    """Return the line of the first statement of the function or class that a line of Python code is in."""
    return next((begins for _name, lines, begins in _definitions(text) if line in lines), None)


def _definitions(text: str) -> Iterator[tuple[str, range, int]]:
    """Yield name, lines and first statement, its docstring left out; nothing of code that can't be read."""
    with contextlib.suppress(*NOT_PYTHON):
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
                yield node.name, range(node.lineno, (node.end_lineno or node.lineno) + 1), body[0].lineno


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"' ") for part in dotted.split(".")]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file, in words. line: of the file, from 1, or None if it is about none."""

    text: str
    line: int | None = None


class TrackedProblems:
    """Problems of a text. Each stays at its line while the text is edited; one whose line is removed goes with it."""

    def __init__(self, text: str = "", problems: Sequence[Problem] = ()) -> None:
        self._read = self._text = text
        self._at_first = tuple(problems)
        self.problems = self._at_first

    @property
    def is_outdated(self) -> bool:
        """Return whether the text is another one than that in which they were found."""
        return self._text != self._read

    def follow(self, text: str) -> bool:
        """Move them to where their lines are now. Return whether the text has changed."""
        if text == self._text:
            return False
        if text == self._read:
            self.problems = self._at_first
        elif self.problems:
            before, after = self._text.split("\n"), text.split("\n")
            places = [one.line and _line_now(one.line, before, after) for one in self.problems]
            moved = zip(self.problems, places, strict=True)
            self.problems = tuple(replace(one, line=at) for one, at in moved if one.line is None or at is not None)
        self._text = text
        return True


def _line_now(line: int, before: Sequence[str], after: Sequence[str]) -> int | None:
    """Return where a line of a text is after one change, from 1. None if it was removed."""
    shorter = min(len(before), len(after))
    above = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    below = next((i for i in range(shorter - above) if before[-1 - i] != after[-1 - i]), shorter - above)
    if line <= above:
        return line
    if line > len(before) - below:
        return line + len(after) - len(before)
    changed = len(after) - below - above  # lines that have taken the place of those between
    return min(line, above + changed) if changed else None


def problems(file: Path) -> list[Problem]:
    """Return what keeps a saved file from being trained or run. None of its code runs."""
    text = file.read_text(encoding="utf-8", errors="replace")
    return _of_code(file, text) if file.suffix == ".py" else _of_preset(file, text)


def _of_code(file: Path, text: str) -> list[Problem]:
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(text, file.name, "exec", dont_inherit=True)
    except SyntaxError as error:
        said = _("{file}, line {line}: {error}", file=file.name, line=error.lineno, error=error.msg)
        why = explain(Failure(error=f"{type(error).__name__}: {error.msg}"), file.name, MISTAKES)
        return [Problem(clean(" → ".join([said, *([why.text] if why is not None else [])])), error.lineno)]
    except (ValueError, RecursionError, MemoryError) as error:
        return [Problem(clean(f"{file.name}: {error or type(error).__name__}"))]
    return []


def _of_preset(file: Path, text: str) -> list[Problem]:
    from engine.preset.loading import load_preset

    try:
        load_preset(file)
    except PresetError as error:
        return [Problem(line, _line_meant(line, file, text)) for line in str(error).splitlines()]
    return []


def _line_meant(said: str, file: Path, text: str) -> int | None:
    """Return the line of `file` that a sentence about its preset names, by its number or by its key."""
    line = line_named(said, file.name)
    if line is not None:
        return line
    key = re.search(rf"{re.escape(file.name)}: ([\w.-]+)(?: = .*?)?: ", said)
    return line_of(text, key[1]) if key is not None else None
