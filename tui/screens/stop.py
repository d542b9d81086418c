"""How a run is to stop: after this step, at the end of the epoch, or without saving."""

from tui.reading.snapshot import Snapshot
from tui.screens.ask import Ask


def ask_to_stop(now: Snapshot) -> Ask[str]:
    """Dismissed with "now", "epoch" or "discard", or None."""
    saved = f"The last checkpoint is of step {now.checkpoints[-1]:,}." if now.checkpoints else "No checkpoint yet."
    return Ask(
        f"stop {now.preset} {now.short_id}?",
        f"It is at step {now.step:,}. {saved}\nA stopped run can go on later from its last checkpoint.",
        [
            ("s", "save now and stop", "now"),
            ("e", "finish the epoch, save and stop", "epoch"),
            ("d", "stop without saving", "discard"),
            ("escape", "let it train", None),  # type: ignore[list-item]
        ],
    )
