"""Lists to choose from: runs to compare, labs of the course, checkpoints of a run."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Click
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from descent.common.glyphs import LAB_STATES
from descent.common.i18n import N_, _
from descent.common.numbers import align, count, number, percent
from descent.common.text import clean
from descent.run.comparison import FEWEST, MOST
from descent.run.folder import RunFolder
from engine.labs import progress
from engine.labs.format import TOPICS
from engine.labs.library import Lab, labs
from engine.labs.progress import Record
from tui.base import ConsoleApp
from tui.data.course import search_text
from tui.data.runs import RunStatus
from tui.data.search import fitting
from tui.widgets.find import Find
from tui.widgets.lines import Line, Lines, Piece, cut
from tui.widgets.run_line import run_line

TALLEST = 14  # rows of the list
LIST_CSS = """
    OptionList, OptionList:focus {
        width: 1fr; height: auto; max-height: 12; border: none; padding: 0; background: $surface;
    }
    .hint { color: $quiet; margin-top: 1; }
"""


class RunChoice(Lines, can_focus=True):
    """Runs, each with a box that has a cross where it is marked."""

    DEFAULT_CSS = "RunChoice { width: 1fr; background: $surface; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", N_("up"), show=False),
        Binding("down,j", "move(1)", N_("down"), show=False),
        Binding("pageup", "move(-10)", N_("page up"), show=False),
        Binding("pagedown", "move(10)", N_("page down"), show=False),
        Binding("space,x", "mark", N_("mark"), show=False, id="choose.mark"),
    ]
    app: ConsoleApp

    def __init__(self, runs: Sequence[RunStatus], marked: Collection[Path], first: int) -> None:
        super().__init__()
        self._runs, self.marked = runs, list(marked)
        self._cursor, self._top = first, 0

    def on_mount(self) -> None:
        self.styles.height = min(TALLEST, len(self._runs))

    def action_move(self, by: int) -> None:
        self._cursor = max(0, min(len(self._runs) - 1, self._cursor + by))
        self.show_lines()

    def action_mark(self) -> None:
        path = self._runs[self._cursor].folder.path
        if path in self.marked:
            self.marked.remove(path)
        else:
            self.marked.append(path)
        self.show_lines()

    def on_click(self, event: Click) -> None:
        if 0 <= self._top + event.y < len(self._runs):
            self._cursor = self._top + event.y
            self.action_mark()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        self._top = max(self._cursor - height + 1, min(self._top, self._cursor))
        drawn: list[Line] = []
        for at in range(self._top, min(len(self._runs), self._top + height)):
            run = self._runs[at]
            box = "[x]" if run.folder.path in self.marked else "[ ]"
            rest = run_line(run, width - 5, now=self.app.clock())
            line = [Piece(f" {box} ", "chosen" if at == self._cursor else "strong"), *rest]
            drawn.append(cut(line, width))
        return drawn


class ChooseRuns(ModalScreen[list[RunFolder] | None]):
    """Dismissed with the runs that were marked, in the order of the marking, or with None."""

    DEFAULT_CSS = """
    ChooseRuns {
        .dialog { width: 78; max-width: 96%; }
        .hint { color: $quiet; margin-top: 1; height: auto; }
        .-problem { color: $trouble; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", N_("back"), show=False),
        Binding("enter,o", "take", N_("compare"), show=False, id="choose.take"),
    ]

    def __init__(self, runs: Sequence[RunStatus], marked: Sequence[Path]) -> None:
        """runs: to choose from, in this order. marked: the paths of those that are marked at first."""
        super().__init__()
        self._runs = runs
        first = next((at for at, run in enumerate(runs) if run.folder.path not in marked), 0)
        self._choice = RunChoice(runs, marked, first)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = _("compare which runs?")
            yield self._choice
            yield Static(_("space mark · enter compare · esc cancel"), classes="hint", markup=False)

    def action_take(self) -> None:
        marked = self._choice.marked
        if FEWEST <= len(marked) <= MOST:
            self.dismiss([RunFolder(path) for path in marked])
            return
        hint = self.query_one(".hint", Static)
        hint.add_class("-problem")
        counts = {"fewest": FEWEST, "most": MOST, "marked": len(marked)}
        hint.update(_("{fewest} to {most} runs can be compared. Marked: {marked} (space marks a run).", **counts))


class Course(ModalScreen[str | None]):
    """Dismissed with a lab's id, or None."""

    CSS = """
    Course {
        .dialog { width: 96; max-width: 96%; }
        Find { margin-bottom: 1; }
        OptionList, OptionList:focus {
            height: auto; max-height: 55vh; border: none; padding: 0; background: transparent;
        }
        .keys { color: $quiet; margin-top: 1; height: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", N_("back"), show=False)]

    def __init__(self, current: str | None = None) -> None:
        """current: the lab that is chosen at first."""
        super().__init__()
        self._current = current
        self._known, self._course = progress.load(), labs()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = _("which lab?")
            yield Find(placeholder=_("type to find a lab"))
            yield OptionList()
            yield Static(f"↑ ↓ · enter {_('go on')} · esc {_('back')}", classes="keys")

    def on_mount(self) -> None:
        self._list("")

    @on(Find.Changed)
    def _narrow(self, event: Find.Changed) -> None:
        self._list(event.value)

    def _list(self, typed: str) -> None:
        """List the labs that fit what is typed: all of the course at first, with the current one highlighted."""
        found = fitting(self._course, typed, search_text)
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(Option(self._line(lab, self._known.of(lab.id), self._course), id=lab.id) for lab in found)
        ids = [lab.id for lab in found]
        if not ids:
            options.add_option(Option(Text(f" {_('no lab fits')}"), disabled=True))
        else:
            options.highlighted = ids.index(self._current) if self._current in ids and not typed else 0

    @on(Find.Moved)
    def _move(self, message: Find.Moved) -> None:
        options = self.query_one(OptionList)
        actions: dict[str, Callable[[], None]] = {
            "enter": options.action_select,
            "up": options.action_cursor_up,
            "down": options.action_cursor_down,
            "pageup": options.action_page_up,
            "pagedown": options.action_page_down,
        }
        actions[message.key]()

    @on(Find.Left)
    def _leave(self) -> None:
        self.dismiss(None)

    def _line(self, lab: Lab, record: Record, course: Sequence[Lab]) -> Table:
        """Sign, id, title and topic in columns; the title is cut on a narrow screen."""
        topics = [_(TOPICS[one.model.topic]) for one in course]
        line = Table.grid(padding=(0, 2, 0, 0), expand=True)
        line.add_column(width=2)
        line.add_column(width=max(len(one.id) for one in course), no_wrap=True)
        line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        line.add_column(width=max(map(cell_len, topics)), no_wrap=True)
        terminal = getattr(self.app, "terminal", None)
        state = f" {LAB_STATES[record.state]}"
        sign = Text(state if terminal is None else terminal.plain(state), "bold")
        title = Text(clean(str(lab.model.title)), "bold")
        line.add_row(sign, lab.id, title, Text(_(TOPICS[lab.model.topic]), "dim"))
        return line

    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)


@dataclass(frozen=True)
class Checkpoint:
    """The readable facts of a checkpoint, from step-N.json. is_best: it has the lowest validation loss so far."""

    step: int
    epoch: int | None
    metrics: dict[str, float]
    is_best: bool = False


def read_checkpoints(folder: RunFolder) -> list[Checkpoint]:
    """The run's checkpoints, the latest first. Reads a file for each: call it in a thread."""
    best = (folder.last("checkpoint") or {}).get("best")
    return [_read(folder, step, step == best) for step in reversed(folder.checkpoints())]


def _read(folder: RunFolder, step: int, is_best: bool) -> Checkpoint:
    try:
        stored: dict[str, Any] = json.loads(folder.checkpoint(step).with_suffix(".json").read_text())
        metrics = {k: float(v) for k, v in stored.get("metrics", {}).items() if isinstance(v, int | float)}
        return Checkpoint(step, stored.get("epoch"), metrics, is_best)
    except (OSError, ValueError, AttributeError):
        return Checkpoint(step, None, {}, is_best)  # the .json is only for people; the .pt is the checkpoint


def rows(checkpoints: Sequence[Checkpoint]) -> list[Text]:
    """A row for each checkpoint: step 1,407   epoch 3   val 0.0881   97.4%   best"""
    losses = align([number(c.metrics.get("val_loss")) for c in checkpoints])
    steps = max(len(count(c.step)) for c in checkpoints)
    epochs = max(len(count(c.epoch or 0)) for c in checkpoints)
    found = []
    for checkpoint, loss in zip(checkpoints, losses, strict=True):
        parts = [_("step {step}", step=count(checkpoint.step, steps))]
        if checkpoint.epoch is not None:
            parts.append(_("epoch {epoch}", epoch=count(checkpoint.epoch, epochs)))
        if "val_loss" in checkpoint.metrics:
            parts.append(_("val {loss}", loss=loss))
        if "val_accuracy" in checkpoint.metrics:
            parts.append(percent(checkpoint.metrics["val_accuracy"]))
        if checkpoint.is_best and len(checkpoints) > 1:
            parts.append(_("best"))
        found.append(Text(" " + "   ".join(parts)))
    return found


class Rewind(ModalScreen[int | None]):
    """Asks to which checkpoint to rewind. Dismissed with its step, or None."""

    CSS = f"""
    Rewind {{ {LIST_CSS}
        .dialog {{ width: 64; }}
    }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", N_("back"), show=False)]

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        super().__init__()
        self._checkpoints = checkpoints

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = _("rewind to a checkpoint")
            yield OptionList(*(Option(row) for row in rows(self._checkpoints)))
            hint = _("enter rewind · esc cancel. Later steps stay on disk.")
            yield Static(hint, classes="hint", markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._checkpoints[event.option_index].step)
