"""The standard streams of a process that trains.

What libraries and the user's code print is kept in a log. A terminal that is gone does not end the training.
"""

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
    """Send descriptors 1 and 2 to `log` inside the block. Yields duplicates of the original ones.

    What libraries and the user's code print is kept in the log. It can neither break up the display nor wait for it.
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
    """Print a line at once. Nothing happens if the reader is gone.

    patient: wait for a reader that does not read now. Otherwise the line is dropped.
    """
    stream = stream or sys.stdout
    with contextlib.suppress(OSError, ValueError):
        if patient or select.select([], [stream], [], 0)[1]:
            print(plain(text, stream.encoding), file=stream, flush=True)


def complain(text: str, *, patient: bool = True) -> None:
    """Print an error on stderr, without characters that a terminal would obey."""
    say(f"descent: {lines(text)}", sys.stderr, patient=patient)


def lines(text: str) -> str:
    """Return `text` with its line breaks, but without other control characters."""
    return "\n".join(clean(line) for line in text.splitlines())


def has_unicode(encoding: str | None) -> bool:
    """Return whether a terminal of that encoding shows more than ASCII."""
    return "utf" in (encoding or "").lower()


def plain(text: str, encoding: str | None) -> str:
    """Return `text` as a terminal of that encoding can show it."""
    return text if has_unicode(encoding) else spelled_out(text)


@contextlib.contextmanager
def _line_by_line() -> Iterator[None]:
    """Flush stdout after each line, so that what the user's code prints before a crash is in the log."""
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
    """Return the columns to fill: the terminal's, or a very large number when stdout is a pipe (to grep, say)."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
