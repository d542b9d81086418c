"""Training for longer than was planned."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.labs.spoken import spoken
from tui.numbers import count
from tui.reading.snapshot import Snapshot


class More(ModalScreen[dict[str, int] | None]):
    """Asks for epochs, or steps as "500 steps"; dismissed with {"epochs": n} or {"steps": n}, or None."""

    CSS = """
    More { align: center middle; background: $background 60%;
        .dialog { width: 56; }
        Input { border: none; height: 1; padding: 0 1; margin: 1 0; background: $background; }
        .hint { color: $quiet; }
        .problem { color: $trouble; height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "back", show=False)]

    def __init__(self, now: Snapshot) -> None:
        super().__init__()
        self._now = now

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = spoken(self, "train for longer")
            ends = spoken(self, f"It is planned to end at step {count(self._now.total_steps)}. Epochs more:")
            yield Static(ends, markup=False)
            yield Input("5", select_on_focus=True)
            yield Static("", classes="problem", markup=False)
            hint = spoken(self, "a number of epochs, or  500 steps;  esc leaves")
            yield Static(hint, classes="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        amount = amount_of(event.value)
        if amount is None:
            problem = spoken(self, "must be a whole number ≥ 1, or such as: 500 steps")
            self.query_one(".problem", Static).update(problem)
        else:
            self.dismiss(amount)


def amount_of(text: str) -> dict[str, int] | None:
    """What "5", "5 epochs" or "500 steps" asks for; None where it is none of them."""
    number, _, unit = text.strip().partition(" ")
    unit = {"": "epochs", "epoch": "epochs", "step": "steps"}.get(unit.strip(), unit.strip())
    if not number.isdigit() or not int(number) or unit not in ("epochs", "steps"):
        return None
    return {unit: int(number)}
