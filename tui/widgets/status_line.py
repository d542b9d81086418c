"""The line above the keys: the outcome of the last command, the latest numbers, and the machine."""

from collections.abc import Sequence

from textual.geometry import Size

from descent.common.i18n import _, ngettext
from descent.common.numbers import count, memory, percent
from tui.base import Notice
from tui.data.snapshot import Snapshot
from tui.data.words import stage_words
from tui.widgets.lines import Line, Lines, Piece, cut, hanging, spread, width_of

MOST_LINES = 4


def machine(now: Snapshot, width: int) -> list[Piece]:
    """Return the device, then as much of CPU, memory and GPU as `width` cells have room for."""
    readings = now.machine
    parts: list[tuple[str, str]] = [("", now.device)] if now.device else []
    if readings.gpu is not None:
        parts.append((_("gpu"), percent(readings.gpu, 0, width=4)))
    if readings.gpu_memory is not None and readings.gpu_total:
        parts.append(("", f"{memory(readings.gpu_memory)}/{memory(readings.gpu_total)}"))
    if readings.cpu is not None:
        parts.append((_("cpu"), _("{share} of a core", share=percent(readings.cpu, 0, width=4))))
    if readings.memory is not None:
        parts.append((_("ram"), memory(readings.memory)))
    if readings.load is not None and now.is_alive:
        cores = readings.cores
        parts.append(
            (
                _("load"),
                ngettext("{load:.1f} on {count} core", "{load:.1f} on {count} cores", cores, load=readings.load),
            )
        )
    pieces: list[Piece] = []
    for label, value in parts:
        added = [Piece("  " if pieces else ""), Piece(f"{label} " if label else "", "quiet"), Piece(value)]
        if width_of((*pieces, *added)) > width:
            break
        pieces += added
    return pieces


class StatusLine(Lines):
    """Shows the notice and the machine.

    It is one line as a rule. The outcome of a command and trouble take as many lines as they need.
    """

    DEFAULT_CSS = """
    StatusLine { height: auto; padding: 0 1; }
    """

    snapshot: Snapshot | None = None
    notice: Notice | None = None
    shows_machine = True  # no panel has room for it

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
        said = self._said(now)
        numbers = machine(now, width // 2) if self.shows_machine else []
        room = width - width_of(numbers) - 3
        # A refusal or trouble is longer than what is left beside the numbers, and more wanted than they are.
        if width_of(said) > room and (self._is_answer or any(piece.style == "trouble" for piece in said)):
            *head, text = said
            lines = hanging(head, text, width)
            shown = lines[:MOST_LINES]
            return shown if len(lines) == len(shown) else [*shown[:-1], cut((*shown[-1], Piece(" …")), width)]
        return [spread(cut(said, width - width_of(numbers) - 2), numbers, width)]

    @property
    def _is_answer(self) -> bool:
        """Return whether it shows the outcome of a command."""
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
            return [
                Piece("? ", "trouble"),
                Piece(_("the folder of this run is gone; only what is on the screen is left")),
            ]
        return self._state(now)

    def _state(self, now: Snapshot) -> list[Piece]:
        """Say how the run is, while there is no command to tell of."""
        if now.state == "lost":
            return [Piece("? ", "trouble"), Piece(_lost(now))]
        if now.reason and now.state in ("failed", "stopped"):
            return [Piece("✗ " if now.state == "failed" else "", "trouble"), Piece(now.reason)]
        if now.state == "finished" and now.winner:
            return [Piece(now.winner, "good")]
        return []


def _lost(now: Snapshot) -> str:
    if not now.checkpoints:
        return _("the worker was killed or ran out of memory")
    step = count(now.checkpoints[-1])
    return _("the worker was killed or ran out of memory; space resumes from step {step}", step=step)
