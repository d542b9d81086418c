"""The line above the keys: what became of the last command, the numbers of this moment, and the machine."""

from collections.abc import Sequence

from textual.geometry import Size

from descent.common.numbers import memory, number, percent
from tui.base import Notice
from tui.data.snapshot import Snapshot
from tui.data.translation import spoken
from tui.data.words import stage_words
from tui.widgets.lines import Line, Lines, Piece, cut, hanging, spread, width_of
from tui.widgets.run_log import entry_line


def machine(now: Snapshot, width: int) -> list[Piece]:
    """Device, then as much of CPU, memory and GPU as there is room for in `width` cells."""
    readings = now.machine
    parts: list[tuple[str, str]] = [("", now.device)] if now.device else []
    if readings.gpu is not None:
        parts.append(("gpu", percent(readings.gpu, 0, width=4)))
    if readings.gpu_memory is not None and readings.gpu_total:
        parts.append(("", f"{memory(readings.gpu_memory)}/{memory(readings.gpu_total)}"))
    if readings.cpu is not None:
        parts.append(("worker", percent(readings.cpu, 0, width=4)))
    if readings.memory is not None:
        parts.append(("ram", memory(readings.memory)))
    if readings.load is not None and now.is_alive:
        parts.append(("load", f"{readings.load:.1f}/{readings.cores}"))
    pieces: list[Piece] = []
    for label, value in parts:
        added = [Piece("  " if pieces else ""), Piece(f"{label} " if label else "", "quiet"), Piece(value)]
        if sum(len(piece.text) for piece in (*pieces, *added)) > width:
            break
        pieces += added
    return pieces


NARROW = 100
MOST_LINES = 4


class StatusLine(Lines):
    """One line: on wide screens the notice and the machine, on narrow ones the values and the notice.

    What a command has come to, and trouble, are said in full: they take as many lines as they need.
    """

    DEFAULT_CSS = """
    StatusLine { height: auto; padding: 0 1; }
    """

    snapshot: Snapshot | None = None
    notice: Notice | None = None
    offers_help = True  # whether a key tells what can be done

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._show_all()

    def say(self, notice: Notice) -> None:
        self.notice = notice
        self._show_all()

    def _show_all(self) -> None:
        width, height = self.content_size
        if width and len(self._folded(width)) != height:
            self.refresh(layout=True)
        self.show_lines()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._folded(width))

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return self._folded(width)

    def _folded(self, width: int) -> list[Line]:
        now = self.snapshot
        if now is None:
            return [()]
        said = self._in_words(self._said(now))
        numbers = self._in_words(values(now) if width < NARROW else machine(now, width // 2))
        room = width - width_of(numbers) - 3
        # A refusal or trouble is longer than what is left beside the numbers, and more wanted than they are.
        if width_of(said) > room and (self._is_answer or any(piece.style == "trouble" for piece in said)):
            *head, text = said
            lines = hanging(head, text, width)
            shown = lines[:MOST_LINES]
            return shown if len(lines) == len(shown) else [*shown[:-1], cut((*shown[-1], Piece(" …")), width)]
        if width >= NARROW:
            return [spread(cut(said, width - width_of(numbers) - 2), numbers, width)]
        return [cut((*numbers, Piece(" │ ", "quiet"), *said) if numbers else said, width)]

    def _in_words(self, pieces: Sequence[Piece]) -> Line:
        return tuple(Piece(spoken(text), style) for text, style in pieces)

    @property
    def _is_answer(self) -> bool:
        """Whether it says what a command has come to."""
        return self.notice is not None and self.notice.is_fresh and not self.notice.busy

    def _said(self, now: Snapshot) -> list[Piece]:
        notice = self.notice
        if notice is not None and notice.is_fresh:
            return [
                Piece(notice.sign, notice.style),
                Piece(notice.text, "" if notice.style == "good" else notice.style),
            ]
        if now.state == "starting":  # perhaps once more: what is last in the log ended the worker before
            return [Piece(f"{stage_words(now.stage)}…", "warn")]
        if now.is_gone:
            return [Piece("? ", "trouble"), Piece("the folder of this run is gone: what is shown is all there is")]
        return self._state(now)

    def _state(self, now: Snapshot) -> list[Piece]:
        """What is to be said of the run while no command is spoken of."""
        if now.state == "lost":
            back = f"; space goes on from step {now.checkpoints[-1]:,}" if now.checkpoints else ""
            why = "the worker was killed, or ran out of memory"
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
        pieces += [Piece(" acc ", "quiet"), Piece(percent(now.accuracy).removesuffix("%"), "train")]
        if now.val_accuracy is not None:
            pieces += [Piece("/", "quiet"), Piece(percent(now.val_accuracy).removesuffix("%"), "validation")]
        pieces.append(Piece("%", "quiet"))
    return tuple(pieces)
