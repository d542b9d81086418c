"""What the run takes of its machine, on half a line."""

from tui.reading.snapshot import Snapshot
from tui.widgets.lines import Piece


def machine(now: Snapshot, width: int) -> list[Piece]:
    """Device, then as much of CPU, memory and GPU as there is room for in `width` cells."""
    readings = now.machine
    parts: list[tuple[str, str]] = [("", now.device)] if now.device else []
    if readings.gpu is not None:
        parts.append(("gpu", f"{100 * readings.gpu:3.0f}%"))
    if readings.gpu_memory is not None and readings.gpu_total:
        parts.append(("", f"{size(readings.gpu_memory)}/{size(readings.gpu_total)}"))
    if readings.cpu is not None:
        parts.append(("worker", f"{100 * readings.cpu:3.0f}%"))
    if readings.memory is not None:
        parts.append(("ram", size(readings.memory)))
    if readings.load is not None and now.is_alive:
        parts.append(("load", f"{readings.load:.1f}/{readings.cores}"))
    pieces: list[Piece] = []
    for label, value in parts:
        added = [Piece("  " if pieces else ""), Piece(f"{label} " if label else "", "quiet"), Piece(value)]
        if sum(len(piece.text) for piece in (*pieces, *added)) > width:
            break
        pieces += added
    return pieces


def size(count: int) -> str:
    """Bytes, in three digits."""
    gib = count / 2**30
    return f"{gib:.1f} GB" if gib >= 1 else f"{count / 2**20:.0f} MB"
