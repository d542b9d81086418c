"""What every screen may use of the app."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Notice:
    """What is said of a command: under way, done, or refused."""

    text: str
    style: str = ""  # "good", "trouble" or "warn"; each has a sign too
    busy: bool = False
    since: float = 0.0

    @property
    def sign(self) -> str:
        return "… " if self.busy else {"good": "✓ ", "trouble": "✗ "}.get(self.style, "")

    @property
    def is_fresh(self) -> bool:
        """Whether it is still to be shown."""
        return self.busy or time.monotonic() - self.since < max(STAYS, len(self.text) / READING)


STAYS = 8.0  # seconds that an acknowledgement stays before the log's last line takes its place
READING = 12.0  # characters a second that are read: a long one stays longer
