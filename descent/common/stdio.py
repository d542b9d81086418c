"""The standard streams of a process that trains: what others print is kept apart; a dead terminal costs nothing."""

import contextlib
import io
import os
import select
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from descent.common.glyphs import spelled_out
from descent.common.text import clean


@contextlib.contextmanager
def sent_to(log: Path) -> Iterator[tuple[int, int]]:
    """Send descriptors 1 and 2 to `log` for the time inside; yields duplicates of what they were.

    Whatever libraries and the user's code print is kept there, and can neither tear the display nor block on it.
    """
    _flush()
    kept = os.dup(1), os.dup(2)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    try:
        with _line_by_line():
            yield kept
    finally:
        _flush()
        for descriptor, original in zip((1, 2), kept, strict=True):
            os.dup2(original, descriptor)
            os.close(original)


def say(text: str, stream: TextIO | None = None, *, patient: bool = True) -> None:
    """Print a line at once. A reader that is gone changes nothing; one that does not read is not waited for,
    unless `patient`."""
    stream = stream or sys.stdout
    with contextlib.suppress(OSError, ValueError):
        if patient or select.select([], [stream], [], 0)[1]:
            print(plain(text, stream.encoding), file=stream, flush=True)


def complain(text: str, *, patient: bool = True) -> None:
    """An error on stderr, each line without characters that a terminal would obey."""
    say(f"descent: {lines(text)}", sys.stderr, patient=patient)


def lines(text: str) -> str:
    """`text` with its line breaks, and no other control characters."""
    return "\n".join(clean(line) for line in text.splitlines())


def has_unicode(encoding: str | None) -> bool:
    """Whether a terminal of that encoding shows more than ASCII."""
    return "utf" in (encoding or "").lower()


def plain(text: str, encoding: str | None) -> str:
    """`text` as a terminal of that encoding can show it."""
    return text if has_unicode(encoding) else spelled_out(text)


@contextlib.contextmanager
def _line_by_line() -> Iterator[None]:
    """What the user's code prints is in the log at once: it is wanted most where a crash follows."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper) or stream.line_buffering:
        yield
        return
    stream.reconfigure(line_buffering=True)
    try:
        yield
    finally:
        stream.reconfigure(line_buffering=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def width() -> int:
    """Columns to fill: the terminal's, or any number, for grep, where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
