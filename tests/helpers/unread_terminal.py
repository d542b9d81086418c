"""A terminal that nobody reads."""

import os
import pty
import select
import time


def unread_terminal(room: int = 0) -> int:
    """A terminal that takes about `room` bytes more, as behind a dead SSH link.

    What it has taken goes on into the kernel's second buffer a little later, so that it is full only if it stays so.
    """
    window, worker_end = pty.openpty()
    os.set_blocking(worker_end, False)
    full_since = time.monotonic()
    while time.monotonic() < full_since + 0.1:
        try:
            os.write(worker_end, b".")
            full_since = time.monotonic()
        except BlockingIOError:
            select.select([], [worker_end], [], 0.02)
    os.set_blocking(worker_end, True)
    while room > 0:
        room -= len(os.read(window, room))
    return worker_end
