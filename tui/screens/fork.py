"""Forking a run: from which checkpoint, and with what changed."""

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from engine.errors import DescentError
from engine.run import RunFolder
from tui.labs.spoken import spoken
from tui.screens.overrides import split
from tui.screens.rewind import LIST_CSS, Checkpoint, rows

Start = Callable[[int, list[str]], Awaitable[RunFolder | None]]


class Fork(ModalScreen[RunFolder | None]):
    """Starts the new run and is dismissed with its folder; stays, with the reason, where it can't be started."""

    CSS = f"""
    Fork {{ align: center middle; background: $background 60%; {LIST_CSS}
        .dialog {{ width: 70; }}
        Input {{ margin-top: 1; border: none; height: 1; padding: 0; background: $background; }}
        .problem {{ color: $trouble; height: auto; }}
    }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "back", show=False),
        Binding("down", "screen.focus_next", show=False),
    ]

    def __init__(self, checkpoints: Sequence[Checkpoint], start: Start) -> None:
        """start: (step, overrides) makes the run, or None where it is not wanted after all; DescentError where it
        can't."""
        super().__init__()
        self._checkpoints, self._start = checkpoints, start

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = spoken(self, "fork: a new run from a checkpoint")
            yield OptionList(*(Option(row) for row in rows(self._checkpoints)))
            yield Input(placeholder=spoken(self, "changes, such as  optimizer.lr=0.01 train.epochs=20"))
            yield Static("", classes="problem", markup=False)
            hint = spoken(self, "enter starts it, tab goes to the changes, esc leaves")
            yield Static(hint, classes="hint", markup=False)

    def on_option_list_option_selected(self) -> None:
        self._try()

    def on_input_submitted(self) -> None:
        self._try()

    def _try(self) -> None:
        self.run_worker(self._begin(), exclusive=True)

    async def _begin(self) -> None:
        chosen = self.query_one(OptionList).highlighted or 0
        problem = self.query_one(".problem", Static)
        problem.update("starting…")
        try:
            folder = await self._start(self._checkpoints[chosen].step, split(self.query_one(Input).value))
        except (DescentError, OSError) as error:
            problem.update(str(error))
            self.query_one(Input).focus()
            return
        if folder is None:
            problem.update("")
            return
        self.dismiss(folder)
