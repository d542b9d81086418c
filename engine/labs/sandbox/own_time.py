"""The time that a process takes, without what it waits for a processor while the machine is busy with others."""

import time
from pathlib import Path

LEAST_SHARE = 0.1  # of the time on the clock that counts in any case: a process may make its own crowd


class OwnTime:
    """Measures the time from now on of a process and of those below it."""

    def __init__(self, pid: int) -> None:
        self._pid, self._began, self._queued = pid, time.monotonic(), queued(pid)

    def seconds(self) -> float:
        passed = time.monotonic() - self._began
        waited = max(0.0, queued(self._pid) - self._queued)  # it may have ended
        return max(LEAST_SHARE * passed, passed - waited)


def queued(pid: int) -> float:
    """Return for how many seconds the thread that had to wait longest has waited for a processor.

    pid: of the process whose threads are looked at, with those of the processes below it. 0.0 where the system does
    not tell.
    """
    longest, left = 0.0, [str(pid)]
    while left:
        try:
            tasks = [*Path(f"/proc/{left.pop()}/task").iterdir()]
        except OSError:  # it has ended
            continue
        for task in tasks:
            try:
                longest = max(longest, int((task / "schedstat").read_text().split()[1]) / 1e9)
                left += (task / "children").read_text().split()
            except (OSError, IndexError):
                continue
    return longest
