"""The standard streams of a process that trains.

What libraries and the user's code print is kept in a log. A terminal that is gone does not end the training.
"""

import contextlib
import io
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from descent.common.glyphs import spelled_out
from descent.common.text import clean

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PATIENCE = 5.0  # seconds for a terminal to take something; one behind a dead link takes nothing any more
_PIECE = 256  # bytes: what a slow terminal takes within PATIENCE


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


def bound_waits() -> None:
    """Let no later output of this process wait for a terminal that takes nothing for PATIENCE.

    For commands that train: a terminal behind a dead link must not keep them. What such a terminal has not taken is
    dropped, and so is all later output to it. Pipes and files are waited for.
    """
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and _leads_to(stream, descriptor) and stream.isatty():
            raw = io.BufferedWriter(_Terminal(descriptor))
            setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=True))


def give_up(terminal: int) -> None:
    """Drop all later output to a descriptor whose reader takes nothing, and that of stderr if it leads there too.

    So it is with stdout, if that is a terminal. A pipe is kept: its reader may be waiting for the result.
    """
    there = os.fstat(terminal)
    for descriptor in (1, 2):
        if os.path.samestat(os.fstat(descriptor), there) and (descriptor == 2 or os.isatty(descriptor)):
            discard(descriptor)
    discard(terminal)


def discard(descriptor: int) -> None:
    """Drop what any stream has still to write to this descriptor."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def write_within(descriptor: int, data: bytes, patience: float = PATIENCE) -> bool:
    """Write `data` to a terminal. Returns False once it has taken nothing for `patience` seconds. Raises OSError.

    Asking whether a terminal can be written to does not help: one with room for a single byte says yes, and a longer
    write then waits. The terminal can't be made non-blocking either, because the shell would find it so.
    """
    taken, failed = 0, list[OSError]()

    def write() -> None:
        nonlocal taken
        try:
            while taken < len(data):
                taken += os.write(descriptor, data[taken : taken + _PIECE])
        except OSError as error:
            failed.append(error)

    writer = threading.Thread(target=write, name="terminal", daemon=True)
    writer.start()
    before = -1
    while writer.is_alive() and taken > before:
        before = taken
        writer.join(patience)
    if failed:
        raise failed[0]
    return not writer.is_alive()


class _Terminal(io.RawIOBase):
    """A descriptor, given up where it is a terminal that takes nothing. It may lead to a log meanwhile."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer") -> int:
        if not self.isatty():
            return os.write(self._descriptor, data)
        text = bytes(data)
        if not write_within(self._descriptor, text):
            give_up(self._descriptor)
        return len(text)


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line at once. Nothing happens if the reader is gone."""
    stream = stream or sys.stdout
    with contextlib.suppress(OSError, ValueError):
        print(plain(text, stream.encoding), file=stream, flush=True)


def complain(text: str) -> None:
    """Print an error on stderr, without characters that a terminal would obey."""
    say(f"descent: {lines(text)}", sys.stderr)


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


def _leads_to(stream: TextIO, descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (OSError, ValueError):
        return False


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def width() -> int:
    """Return the columns to fill: the terminal's, or a very large number when stdout is a pipe (to grep, say)."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
