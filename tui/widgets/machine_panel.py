"""What the machine does, as histories: the GPU and its memory, the CPU, the memory, the speed of training."""

import math
from collections.abc import Sequence

from descent.common.glyphs import level
from descent.common.i18n import _
from descent.common.numbers import count, memory, number, percent, rate
from tui.data.snapshot import Snapshot
from tui.widgets.lines import Line, Lines, Piece, cut, fitted, numbered, width_of

Row = tuple[str, Sequence[float | None], str]  # a label, a history of shares of 1, a reading


class MachinePanel(Lines, can_focus=True):
    """A row for each reading: its name, its history, and its value now."""

    SCOPED_CSS = False  # its rules begin with classes of the app and the screen
    DEFAULT_CSS = """
    MachinePanel {
        border: round $border-blurred; padding: 0 1;
        border-title-color: $foreground; border-subtitle-color: $quiet;
    }
    MachinePanel:focus { border: round $border; }
    .-ascii MachinePanel { border: ascii $border-blurred; }
    """

    snapshot: Snapshot | None = None

    def __init__(self, *, id: str | None = None, number: int | None = None) -> None:  # noqa: A002 - Textual's name
        """number: the key that shows it alone, before its title."""
        super().__init__(id=id)
        self._number = number

    def on_mount(self) -> None:
        self.border_title = numbered(self._number, _("machine"))

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        title = numbered(self._number, "  ".join(filter(None, (_("machine"), snapshot.device))))
        if self.border_title != title:
            self.border_title = title
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self.snapshot is None:
            return []
        rows = readings(self.snapshot)[:height]
        label = max((width_of([Piece(name)]) for name, *_rest in rows), default=0)
        value = max((width_of([Piece(said)]) for *_rest, said in rows), default=0)
        room = max(0, width - label - value - 3)
        lines: list[Line] = []
        for name, history, said in rows:
            bars = "".join(" " if share is None else level(share) for share in history[-room:]) if room > 3 else ""
            drawn = f"{bars:>{room}}" if room > 3 else ""
            pieces = [Piece(f"{fitted(name, label)} ", "quiet"), Piece(drawn, "faint"), Piece(f" {said}")]
            lines.append(cut(pieces, width))
        return lines


def readings(now: Snapshot) -> list[Row]:
    """Return the rows that are known, the speed first: it is what the others are for."""
    found: list[Row] = []
    machine, history = now.machine, now.history
    if now.speed is not None:
        said = _("{rate} step/s", rate=rate(now.speed))
        if now.batch_size and now.members == 1:
            said += f"  {_('{rate} samples/s', rate=rate(now.speed * now.batch_size))}"
        fastest = max((speed for speed in history.speed if speed is not None), default=0.0)
        shares = [None if speed is None or not fastest else speed / fastest for speed in history.speed]
        found.append((_("speed"), shares, said))
    if machine.gpu is not None:
        heat = [f"{machine.temperature} °C"] if machine.temperature is not None else []
        heat += [f"{count(machine.power)} W"] if machine.power is not None else []
        found.append((_("gpu"), history.gpu, "  ".join([percent(machine.gpu, 0, width=4), *heat])))
    if machine.gpu_memory is not None and machine.gpu_total:
        used = _("{used} of {total}", used=memory(machine.gpu_memory), total=memory(machine.gpu_total))
        found.append((_("vram"), history.gpu_memory, used))
    if machine.cpu is not None:
        said = _("{share} of a core", share=percent(machine.cpu, 0, width=4))
        found.append((_("cpu"), [None if one is None else min(1.0, one) for one in history.cpu], said))
    if machine.memory is not None:
        used = memory(machine.memory)
        if machine.total:
            used = _("{used} of {total}", used=used, total=memory(machine.total))
        found.append((_("ram"), history.memory, used))
    if machine.load is not None and now.is_alive:
        said = _("{load} on {count} cores", load=number(machine.load), count=machine.cores)
        found.append((_("load"), [min(1.0, machine.load / max(1, machine.cores))], said))
    return [row for row in found if not all(one is None or math.isnan(one) for one in row[1])] or found
