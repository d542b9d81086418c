"""An editor for the learner's files."""

import ast
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import Markdown, Static, TextArea

from descent.common.errors import PresetError
from descent.common.files import write_atomically
from descent.common.i18n import N_, _
from descent.common.stdio import lines
from descent.common.text import clean
from engine.labs.messages import line_named
from tui.base import ConsoleApp
from tui.data import unsaved
from tui.data.labs import LabStatus
from tui.screens.dialogs import Ask
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.lab_guide import to_do


class Editor(TextArea):
    """Indents a new line like the one before it, deeper after a colon. Backspace removes a whole indent."""

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "escape":
            event.prevent_default()  # the screen's, after the letters before it; TextArea would move the focus
            return
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

    def action_delete_left(self) -> None:
        row, column = self.cursor_location
        before = self.document.get_line(row)[:column]
        if self.read_only or not self.selection.is_empty or not before or before.strip(" "):
            super().action_delete_left()
            return
        stop = (column - 1) // self.indent_width * self.indent_width
        self._delete_via_keyboard((row, stop), (row, column))

    def go_to(self, line: int) -> None:
        """Move the cursor to where that line's text begins. Lines count from 1."""
        row = max(0, min(line, self.document.line_count) - 1)
        text = self.document.get_line(row)
        self.move_cursor((row, len(text) - len(text.lstrip())), center=True)


class Write(Screen[int]):
    """Shows one file at a time, with the tasks beside it. A file that can't be trained is saved too, with a warning.

    Dismissed with the place in `files` of the one that was edited last.
    """

    app: ConsoleApp
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - Textual's own
    CSS = """
    Write #write-title { height: 1; padding: 0 1; text-style: bold; }
    Write #write-body { height: 1fr; }
    Write TextArea, Write TextArea:focus { width: 3fr; height: 1fr; border: none; padding: 0; }
    Write #write-task { width: 2fr; padding: 0 1; border-left: vkey $rule; scrollbar-size-vertical: 1; }
    Write #write-task Markdown { background: transparent; padding: 0; margin: 0; }
    Write #write-task MarkdownH2 { text-style: bold; color: $primary; margin: 0 0 1 0; }
    Write.-narrow #write-task, Write.-narrow.-turned TextArea, Write.-wide.-turned #write-task { display: none; }
    Write.-narrow.-turned #write-task { display: block; width: 1fr; border: none; }
    Write #write-said { height: auto; max-height: 6; padding: 0 1; }
    Write #write-said.-trouble { color: $trouble; }
    .-ascii Write #write-task { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", N_("save the file"), show=False, id="write.save"),
        Binding("ctrl+n", "next", N_("next file"), show=False, id="write.next"),
        Binding("ctrl+t", "task", N_("show or hide the tasks"), show=False, id="write.task"),
        Binding("escape", "close", N_("back to the lab"), show=False, id="write.close"),
    ]

    def __init__(self, standing: LabStatus, files: Sequence[Path], at: int = 0) -> None:
        """files: those that are there. at: the one to begin with, unless the last grading named a line of another."""
        super().__init__()
        self._standing, self._files = standing, list(files)
        self._complaints = _named(self._files, standing)
        named = (i for i, path in enumerate(self._files) if path in self._complaints)
        self._at = next(named, at % len(files))
        self._saved = ""  # the text as it is on the disk
        self._offered = False  # whether the user is being asked about text that was never saved

    @property
    def _file(self) -> Path:
        return self._files[self._at]

    def compose(self) -> ComposeResult:
        yield Static(id="write-title", markup=False)
        with Horizontal(id="write-body"):
            yield Editor(show_line_numbers=True, tab_behavior="indent", soft_wrap=False)
            with VerticalScroll(id="write-task"):
                yield Markdown(self._tasks_text(), open_links=False)
        yield Static(id="write-said", markup=False)
        yield KeyLine()

    def _tasks_text(self) -> str:
        text = lines("\n\n".join(to_do(self._standing)))
        return self.app.terminal.plain(text)

    def on_mount(self) -> None:
        self.query_one(Editor).cursor_blink = False
        self._open()
        hints = [Hint("^s", _("save"), "save"), Hint("^t", _("tasks"), "task")]
        if len(self._files) > 1:
            hints.append(Hint("^n", _("next file"), "next"))
        hints += [Hint("^z", _("undo"), "undo"), Hint("^y", _("redo"), "redo")]
        hints.append(Hint("f1", _("help"), "app.help"))
        self.query_one(KeyLine).show([*hints, Hint("esc", _("close"), "close")])

    def _open(self) -> None:
        editor = self.query_one(Editor)
        try:
            self._saved = self._file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            self._saved = ""
            editor.load_text("")
            self._say(f"{clean(str(self._file))}: {error.strerror}", trouble=True)
        else:
            editor.load_text(self._saved)
            self._show_what_is_wrong()
        kept = unsaved.kept(self._file)
        if kept is not None and kept != self._saved:
            self._offer(kept)
        editor.focus()
        self._show_title()

    def _offer(self, kept: str) -> None:
        """Ask whether to take up the text that Descent had to leave unsaved."""

        self._offered = True

        def chosen(what: str | None) -> None:
            self._offered = False
            if what == "drop":
                self._keep()
            else:  # it can be undone, and nothing is lost
                editor = self.query_one(Editor)
                editor.replace(kept, editor.document.start, editor.document.end)

        lines = [_("{file} was edited, and Descent ended before it was saved.", file=self._file.name)]
        if unsaved.is_older(self._file):
            lines.append(_("The file has been written since then: what was written would be replaced."))
        choices = [
            ("r", _("restore what was typed (undo with ^z)"), "restore"),
            ("d", _("discard it, and open the file as it is"), "drop"),
        ]
        self.app.push_screen(Ask(_("unsaved text"), "\n".join(lines), choices), chosen)

    def _keep(self) -> None:
        """Keep what is not saved, so that it outlives a line that drops, or forget it where all is saved."""
        if self._offered:
            return
        try:
            if self.is_unsaved:
                unsaved.keep(self._file, self.query_one(Editor).text)
            else:
                unsaved.drop(self._file)
        except OSError as error:
            why = error.strerror or str(error)
            self._say(_("unsaved text can't be kept: {why}", why=why), trouble=True)

    def _show_what_is_wrong(self) -> None:
        """Say why the file can't be read, else what the last grading said of one of its lines; go there."""
        problem = self._problem()
        complaint = problem or self._complaints.get(self._file, "")
        self._say(complaint, trouble=bool(complaint))
        line = line_named(complaint, self._file.name)
        if line is not None:
            self.call_after_refresh(self.query_one(Editor).go_to, line)  # its height is known then

    def on_text_area_changed(self) -> None:
        self._show_title()
        if self.is_unsaved:
            self._say("")  # what was said was of the file as it was
        self._keep()

    @property
    def is_unsaved(self) -> bool:
        return self.query_one(Editor).text != self._saved

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
        text = self.query_one(Editor).text
        file = self._file.resolve()  # what a link leads to, not the link
        try:
            mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else 0o644
            write_atomically(file, text.encode(), mode)
        except OSError as error:
            why = error.strerror or str(error)
            self._say(_("{file} can't be saved: {why}", file=self._file.name, why=why), trouble=True)
            return
        self._saved = text
        self._keep()
        self._complaints.pop(self._file, None)  # the line may be another by now
        self._show_title()
        problem = self._problem()
        saved = _("saved {file}", file=self._file.name)
        self._say(f"{saved}; {problem}" if problem else saved, trouble=bool(problem))

    def _problem(self) -> str:
        """Return what is wrong with the saved file; nothing if it can be trained or run."""
        if self._file.suffix == ".py":
            try:
                ast.parse(self._saved)
            except (SyntaxError, ValueError) as error:
                file, why = self._file.name, getattr(error, "msg", error)
                if isinstance(error, SyntaxError):
                    return clean(_("{file}, line {line}: {error}", file=file, line=error.lineno, error=why))
                return clean(f"{file}: {why}")
            return ""
        from engine.preset.loading import load_preset

        try:
            load_preset(self._file)
        except PresetError as error:
            return str(error)
        return ""

    def action_undo(self) -> None:
        self.query_one(Editor).undo()

    def action_redo(self) -> None:
        self.query_one(Editor).redo()

    def action_task(self) -> None:
        """Show the tasks beside the file, or in its place if there is no room for both; or the file alone."""
        self.toggle_class("-turned")
        is_hidden = self.has_class("-narrow") and self.has_class("-turned")
        self.query_one("#write-task" if is_hidden else Editor).focus()

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
            elif what == "drop":
                self.query_one(Editor).load_text(self._saved)
                self._keep()
            if what == "drop" or (what == "save" and not self.is_unsaved):
                then()

        text = _("{file} has changes that are not saved.", file=self._file.name)
        choices = [
            ("s", _("save it"), "save"),
            ("d", _("leave it as it was"), "drop"),
            ("escape", _("go on editing"), ""),
        ]
        self.app.push_screen(Ask(self._file.name, text, choices), chosen)


def _named(files: Sequence[Path], standing: LabStatus) -> dict[Path, str]:
    """Return the first complaint of the last grading about a line of each file, if no file has changed since."""
    errors = [clean(error) for error in standing.errors.values()] if standing.unchanged else []
    found = {path: [error for error in errors if line_named(error, path.name) is not None] for path in files}
    return {path: said[0] for path, said in found.items() if said}
