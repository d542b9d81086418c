"""Choosing one of a run's checkpoints, with what it had reached."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from engine.run import RunFolder
from tui.labs.spoken import spoken
from tui.numbers import align, count, number, percent

LIST_CSS = """
    OptionList, OptionList:focus {
        width: 1fr; height: auto; max-height: 12; border: none; padding: 0; background: $surface;
    }
    .hint { color: $quiet; margin-top: 1; }
"""


@dataclass(frozen=True)
class Checkpoint:
    """step-N.json: what people can read of a checkpoint. is_best: of the lowest validation loss so far."""

    step: int
    epoch: int | None
    metrics: dict[str, float]
    is_best: bool = False


def read_checkpoints(folder: RunFolder) -> list[Checkpoint]:
    """The run's checkpoints, the latest first. For a thread: it reads a file each."""
    best = (folder.last("checkpoint") or {}).get("best")
    return [_read(folder, step, step == best) for step in reversed(folder.checkpoints())]


def _read(folder: RunFolder, step: int, is_best: bool) -> Checkpoint:
    try:
        stored: dict[str, Any] = json.loads(folder.checkpoint(step).with_suffix(".json").read_text())
        metrics = {k: float(v) for k, v in stored.get("metrics", {}).items() if isinstance(v, int | float)}
        return Checkpoint(step, stored.get("epoch"), metrics, is_best)
    except (OSError, ValueError, AttributeError):
        return Checkpoint(step, None, {}, is_best)  # the .pt alone counts; the other is for people


def rows(checkpoints: Sequence[Checkpoint]) -> list[Text]:
    """step 1,407   epoch 3   val 0.0881   97.4%   best"""
    losses = align([number(c.metrics.get("val_loss")) for c in checkpoints])
    steps = max(len(count(c.step)) for c in checkpoints)
    epochs = max(len(count(c.epoch or 0)) for c in checkpoints)
    found = []
    for checkpoint, loss in zip(checkpoints, losses, strict=True):
        text = f" step {count(checkpoint.step, steps)}"
        if checkpoint.epoch is not None:
            text += f"   epoch {count(checkpoint.epoch, epochs)}"
        if "val_loss" in checkpoint.metrics:
            text += f"   val {loss}"
        if "val_accuracy" in checkpoint.metrics:
            text += f"   {percent(checkpoint.metrics['val_accuracy'])}"
        if checkpoint.is_best and len(checkpoints) > 1:
            text += "   best"
        found.append(Text(text))
    return found


class Rewind(ModalScreen[int | None]):
    """Asks to which checkpoint to go back; dismissed with its step, or None."""

    CSS = f"""
    Rewind {{ align: center middle; background: $background 60%; {LIST_CSS}
        .dialog {{ width: 64; }}
    }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "back", show=False)]

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        super().__init__()
        self._checkpoints = checkpoints

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = spoken(self, "go back to a checkpoint")
            yield OptionList(*(Option(row) for row in rows(self._checkpoints)))
            hint = spoken(self, "enter goes back, esc does not. What came after stays on the disk.")
            yield Static(hint, classes="hint", markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._checkpoints[event.option_index].step)
