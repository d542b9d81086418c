"""The line above the keys: what became of the last command, and the numbers of this moment."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tui.numbers import number
from tui.reading.snapshot import Snapshot
from tui.widgets.lines import Line, Lines, Piece, cut, spread, width_of
from tui.widgets.machine import machine
from tui.widgets.run_log import entry_line

STAYS = 8.0  # seconds that an acknowledgement stays before the log's last line takes its place
NARROW = 100


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


class StatusLine(Lines):
    """One line: on wide screens the notice and the machine, on narrow ones the values and the notice."""

    DEFAULT_CSS = """
    StatusLine { height: 1; padding: 0 1; }
    """

    snapshot: Snapshot | None = None
    notice: Notice | None = None
    offers_help = True  # whether a key tells what can be done

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.show_lines()

    def say(self, notice: Notice) -> None:
        self.notice = notice
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        now = self.snapshot
        if now is None:
            return [()]
        said = self._said(now)
        if width < NARROW:
            shown = values(now)
            room = width - width_of(shown) - 3
            # A refusal is longer than what is left beside the values, and more wanted than they are.
            fresh = self.notice is not None and said and said[0].text == self.notice.sign and width_of(said) > room
            if fresh or not shown:
                return [cut(said, width)]
            return [cut((*shown, Piece(" │ ", "quiet"), *said), width)]
        right = machine(now, width // 2)
        return [spread(cut(said, width - width_of(right) - 2), right, width)]

    def _said(self, now: Snapshot) -> list[Piece]:
        notice = self.notice
        if notice is not None and (notice.busy or time.monotonic() - notice.since < STAYS):
            return [
                Piece(notice.sign, notice.style),
                Piece(notice.text, "" if notice.style == "good" else notice.style),
            ]
        return self._state(now)

    def _state(self, now: Snapshot) -> list[Piece]:
        """What is to be said of the run while no command is spoken of."""
        if now.state == "lost":
            back = f"; space goes on from step {now.checkpoints[-1]:,}" if now.checkpoints else ""
            why = "the worker ended without a word (killed, or out of memory)"
            return [Piece("? ", "trouble"), Piece(why + back)]
        if now.reason and now.state in ("failed", "stopped"):
            return [Piece("✗ " if now.state == "failed" else "", "trouble"), Piece(now.reason)]
        if now.anomaly is not None and now.anomaly.collapse:
            way = " (a: the way back)" if self.offers_help else ""
            return [Piece("✗ ", "trouble"), Piece(f"collapsed since step {now.anomaly.step:,}{way}", "trouble")]
        if now.state == "finished" and now.winner:
            return [Piece(now.winner, "good")]
        if not now.log:
            return []
        return list(entry_line(now.log[-1])[1:])


def values(now: Snapshot) -> Line:
    """train 0.041 val 0.088 acc 98.7/97.4"""
    pieces: list[Piece] = []
    if now.loss is not None:
        pieces += [Piece("train ", "quiet"), Piece(f"{number(now.loss):<6}", "train")]
    if now.val_loss is not None:
        pieces += [Piece(" val ", "quiet"), Piece(f"{number(now.val_loss):<6}", "validation")]
    if now.accuracy is not None:
        pieces += [Piece(" acc ", "quiet"), Piece(f"{100 * now.accuracy:.1f}", "train")]
        if now.val_accuracy is not None:
            pieces += [Piece("/", "quiet"), Piece(f"{100 * now.val_accuracy:.1f}", "validation")]
        pieces.append(Piece(" %", "quiet"))
    return tuple(pieces)
