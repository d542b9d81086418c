"""Output to a terminal behind a dead link must keep nothing that trains."""

import os
import pty
import threading

import pytest

from descent.common import stdio
from tests.helpers.unread_terminal import unread_terminal


@pytest.mark.parametrize("room", [0, 100])
def test_a_terminal_that_takes_nothing_more_is_not_waited_for(room: int) -> None:
    """With room for a part of a line, the end of a run would wait for ever for the rest."""
    terminal = unread_terminal(room)
    assert not stdio.write_within(terminal, b"." * 100_000, patience=0.05)
    stdio.discard(terminal)
    assert stdio.write_within(terminal, b"." * 100_000)


def test_a_slow_terminal_gets_everything() -> None:
    """The receipt of a run would be cut short on a slow line."""
    window, terminal = pty.openpty()
    text, read = b"." * 50_000, bytearray()

    def take() -> None:
        while len(read) < len(text):
            read.extend(os.read(window, 1000))

    reader = threading.Thread(target=take)
    reader.start()
    assert stdio.write_within(terminal, text)
    reader.join()
    assert read == text
