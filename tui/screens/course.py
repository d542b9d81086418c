"""The labs of the course, to choose one."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from engine.labs import progress
from engine.labs.format import Language
from engine.labs.library import Lab, labs
from engine.labs.progress import Record
from engine.labs.texts import say
from engine.texts import clean
from tui.labs.words import word
from tui.signs import lab_sign


class Course(ModalScreen[str | None]):
    """Dismissed with a lab's id, or None."""

    CSS = """
    Course { align: center middle; background: $background 60%;
        .dialog { width: 96; max-width: 96%; }
        OptionList, OptionList:focus {
            height: auto; max-height: 18; border: none; padding: 0; background: transparent;
        }
        .keys { color: $quiet; margin-top: 1; height: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss(None)", "back", show=False)]

    def __init__(self, language: Language, current: str | None = None) -> None:
        super().__init__()
        self._language, self._current = language, current

    def compose(self) -> ComposeResult:
        known, course = progress.load(), labs()
        options = [Option(self._line(lab, known.of(lab.id), course), id=lab.id) for lab in course]
        with Vertical(classes="dialog") as box:
            box.border_title = word("which lab", self._language)
            yield OptionList(*options)
            yield Static(f"enter {word('go on', self._language)}  esc {word('back', self._language)}", classes="keys")

    def on_mount(self) -> None:
        listed = self.query_one(OptionList)
        if self._current is not None:
            listed.highlighted = listed.get_option_index(self._current)

    def _line(self, lab: Lab, record: Record, course: Sequence[Lab]) -> Table:
        """Sign, id, title and topic, each below those of the other labs; the title gives way on a narrow screen."""
        terminal = getattr(self.app, "terminal", None)
        unicode = terminal is None or terminal.unicode
        topics = [say(one.model.topic, self._language) for one in course]
        line = Table.grid(padding=(0, 2, 0, 0), expand=True)
        line.add_column(width=2)
        line.add_column(width=max(len(one.id) for one in course), no_wrap=True)
        line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        line.add_column(width=max(map(cell_len, topics)), no_wrap=True)
        sign = Text(f" {lab_sign(record.state, unicode=unicode)}", "bold")
        title = Text(clean(lab.text("title", self._language)), "bold")
        line.add_row(sign, lab.id, title, Text(say(lab.model.topic, self._language), "dim"))
        return line

    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)
