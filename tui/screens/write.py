"""Editing the learner's files where there is no other editor at hand."""

import ast
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static, TextArea

from engine.errors import PresetError
from engine.files import write_atomically
from engine.labs.format import Language
from engine.texts import clean
from tui.labs.words import word
from tui.screens.ask import Ask
from tui.widgets.key_line import Hint, KeyLine


class Editor(TextArea):
    """A new line begins as far in as the one before it; deeper after a colon."""

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter" and not self.read_only:
            event.stop()
            event.prevent_default()
            row, column = self.cursor_location
            before = self.document.get_line(row)[:column]
            indent = before[: len(before) - len(before.lstrip())]
            deeper = " " * self.indent_width if before.rstrip().endswith(":") else ""
            self._replace_via_keyboard(f"\n{indent}{deeper}", *self.selection)
            return
        await super()._on_key(event)


class Write(Screen[int]):
    """One file at a time; saved whole or not at all. A preset that can't be trained is saved, with what is wrong.

    Dismissed with the place in `files` of the one that was edited last.
    """

    CSS = """
    Write #write-title { height: 1; padding: 0 1; text-style: bold; }
    Write TextArea, Write TextArea:focus { height: 1fr; border: none; padding: 0; }
    Write #write-said { height: auto; max-height: 6; padding: 0 1; }
    Write #write-said.-trouble { color: $trouble; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "save the file", show=False, priority=True, id="write.save"),
        Binding("ctrl+n", "next", "the next file", show=False, priority=True, id="write.next"),
        Binding("escape", "close", "back to the lab", show=False, priority=True, id="write.close"),
    ]

    def __init__(self, files: Sequence[Path], language: Language, at: int = 0) -> None:
        super().__init__()
        self._files, self._language = list(files), language
        self._at = at % len(files)
        self._saved = ""  # the text as it is on the disk

    @property
    def _file(self) -> Path:
        return self._files[self._at]

    def compose(self) -> ComposeResult:
        yield Static(id="write-title", markup=False)
        yield Editor(show_line_numbers=True, tab_behavior="indent", soft_wrap=False)
        yield Static(id="write-said", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(TextArea).cursor_blink = False
        self._open()
        hints = [Hint("^s", word("save", self._language), "save")]
        if len(self._files) > 1:
            hints.append(Hint("^n", word("next file", self._language), "next"))
        hints.append(Hint("^z", word("undo", self._language), ""))
        self.query_one(KeyLine).show([*hints, Hint("esc", word("close", self._language), "close")])

    def _open(self) -> None:
        try:
            self._saved = self._file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            self._saved = ""
            self._say(f"{clean(str(self._file))}: {error.strerror}", trouble=True)
        else:
            self._say("")
        area = self.query_one(TextArea)
        area.load_text(self._saved)
        area.focus()
        self._show_title()

    def on_text_area_changed(self) -> None:
        self._show_title()
        if self.is_unsaved:
            self._say("")  # what was said was of the file as it was

    @property
    def is_unsaved(self) -> bool:
        return self.query_one(TextArea).text != self._saved

    def _show_title(self) -> None:
        names = Text()
        for at, path in enumerate(self._files):
            mark = " *" if at == self._at and self.is_unsaved else ""
            names.append(f" {clean(path.name)}{mark} ", "reverse" if at == self._at else "dim")
            names.append(" ")
        names.append(f" {clean(str(self._file.parent))}", "dim")
        self.query_one("#write-title", Static).update(names)

    def _say(self, text: str, *, trouble: bool = False) -> None:
        said = self.query_one("#write-said", Static)
        said.set_class(trouble, "-trouble")
        said.update(Text(text))

    def action_save(self) -> None:
        text = self.query_one(TextArea).text
        try:
            write_atomically(self._file, text.encode())
        except OSError as error:
            why = error.strerror or str(error)
            self._say(word("not saved", self._language, file=self._file.name, why=why), trouble=True)
            return
        self._saved = text
        self._show_title()
        problem = self._problem()
        saved = word("saved", self._language, file=self._file.name)
        self._say(f"{saved}; {problem}" if problem else saved, trouble=bool(problem))

    def _problem(self) -> str:
        """What is wrong with the file as it is now; nothing where it can be trained or run."""
        if self._file.suffix == ".py":
            try:
                ast.parse(self._saved)
            except (SyntaxError, ValueError) as error:
                line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
                return clean(f"{self._file.name}{line}: {getattr(error, 'msg', error)}")
            return ""
        from engine.preset import load_preset

        try:
            load_preset(self._file)
        except PresetError as error:
            return str(error)
        return ""

    def action_next(self) -> None:
        self._leave_file(self._switch)

    def _switch(self) -> None:
        self._at = (self._at + 1) % len(self._files)
        self._open()

    def action_close(self) -> None:
        self._leave_file(lambda: self.dismiss(self._at))

    def _leave_file(self, then: Callable[[], object]) -> None:
        if not self.is_unsaved:
            then()
            return

        def chosen(what: str | None) -> None:
            if what == "save":
                self.action_save()
            if what == "drop" or (what == "save" and not self.is_unsaved):
                then()

        words = [("s", "save it", "save"), ("d", "drop it", "drop"), ("escape", "stay", "")]
        text = word("unsaved", self._language, file=self._file.name)
        choices = [(key, word(label, self._language), value) for key, label, value in words]
        self.app.push_screen(Ask(self._file.name, text, choices), chosen)
