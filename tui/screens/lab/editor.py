"""An editor for the learner's files."""

import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import ClassVar, Protocol

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import Input, Static, TextArea

from descent.common.files import write_atomically
from descent.common.i18n import N_, _
from descent.common.stdio import lines
from descent.common.text import clean
from tui.base import ConsoleApp, Notice
from tui.data import editing, unsaved
from tui.data.editing import Place, Problem, TrackedProblems
from tui.data.labs import LabStatus, first_unmet, problems_of
from tui.data.unsaved import Kept
from tui.screens.dialogs import Ask
from tui.screens.lab import own_editor
from tui.screens.lab.search import Search
from tui.widgets.code_editor import LANGUAGES, CodeEditor
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.lab_checks import Checks
from tui.widgets.lab_guide import to_do
from tui.widgets.prose import Prose

LOOK = 0.5  # seconds between looks at the file that is shown


class Checker(Protocol):
    """What has the lab graded while the editor is open, and tells it by `Write.hear` and `Write.take`."""

    status: LabStatus

    def check_from_editor(self) -> None: ...


class EditedChecks(Checks):
    """The criteria beside the file, where letters are typed."""

    key = "^k"


class Write(Screen[int]):
    """Shows one file at a time, with the tasks beside it. A file that can't be trained is saved too, with a warning.

    Dismissed with the place in `files` of the one that was edited last.
    """

    app: ConsoleApp
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - Textual's own
    SCOPED_CSS = False  # its rules begin with classes of the app and the screen
    CSS = """
    Write #write-title { height: 1; padding: 0 1; text-style: bold; }
    Write #write-body { height: 1fr; }
    Write TextArea, Write TextArea:focus { width: 3fr; height: 1fr; border: none; padding: 0; }
    Write #write-task { width: 2fr; padding: 0 1; border-left: vkey $rule; scrollbar-size-vertical: 1; }
    Write #write-task Markdown { background: transparent; padding: 0; margin: 0 0 1 0; }
    Write #write-task Checks { padding: 0; }
    Write #write-task MarkdownH2 { text-style: bold; color: $primary; margin: 0 0 1 0; }
    Write.-narrow #write-task, Write.-narrow.-turned TextArea, Write.-wide.-turned #write-task { display: none; }
    Write.-narrow.-turned #write-task { display: block; width: 1fr; border: none; }
    Write #write-said { height: auto; max-height: 6; padding: 0 1; }
    Write #write-said.-trouble { color: $trouble; }
    Write #write-said.-good { color: $good; }
    .-ascii Write #write-task { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", N_("save the file"), show=False, id="write.save"),
        Binding("ctrl+n", "next", N_("next file"), show=False, id="write.next"),
        Binding("ctrl+t", "task", N_("show or hide the tasks"), show=False, id="write.task"),
        Binding("ctrl+r", "draw", N_("save, and draw your code"), show=False, id="write.draw"),
        Binding("ctrl+o", "outside", N_("open in $VISUAL or $EDITOR"), show=False, id="write.outside"),
        Binding("f8", "next_place", N_("next line with an error, or to be written"), show=False, id="write.place"),
        Binding("f3,ctrl+g", "find_again(1)", N_("find the next place"), show=False, id="write.again"),
        Binding("shift+f3", "find_again(-1)", N_("find the previous place"), show=False, id="write.before"),
        Binding("escape", "close", N_("back to the lab"), show=False, id="write.close"),
        # The text area has keys of its own for these, which would come first.
        Binding("ctrl+k,f5", "check", N_("save and check"), show=False, id="write.check", priority=True),
        Binding("ctrl+f", "find", N_("find"), show=False, id="write.find", priority=True),
    ]

    def __init__(self, checker: Checker, files: Sequence[Path], at: int = 0, line: int | None = None) -> None:
        """files: those that are there. at: the one to begin with, unless the last grading named a line of another.

        line: where to begin in that one, whatever the grading named; 0 for where it was left.
        """
        super().__init__()
        self._line = line
        self._checker, self._files = checker, list(files)
        self._graded = _named(self._files, checker.status)  # problems that the last grading has named
        self._found = TrackedProblems()  # those for which the file that is shown can't be read or trained
        named = (i for i, path in enumerate(self._files) if self._graded[path].problems)
        self._at = next(named, at % len(files)) if line is None else at % len(files)
        self._saved = ""  # the text as it is on the disk
        self._known = ""  # the digest of the file's text that was typed into
        self._heard = Notice("")  # how the last check went
        self._is_edited = False  # whether a file was saved since then

    @property
    def _file(self) -> Path:
        return self._files[self._at]

    @property
    def _editor(self) -> CodeEditor:
        return self.query_one(CodeEditor)

    def compose(self) -> ComposeResult:
        yield Static(id="write-title", markup=False)
        with Horizontal(id="write-body"):
            yield CodeEditor()
            with VerticalScroll(id="write-task"):
                yield Prose(self._tasks_text())
                yield EditedChecks()
        yield Search()
        yield Static(id="write-said", markup=False)
        yield KeyLine()

    def _tasks_text(self) -> str:
        return lines("\n\n".join(to_do(self._checker.status, with_last=False)))

    def on_mount(self) -> None:
        self._open()
        self._show_checks()
        self.set_interval(LOOK, self._look)
        hints = [Hint("^s", _("save"), "save"), Hint("^k", _("check"), "check"), Hint("^t", _("tasks"), "task")]
        if len(self._files) > 1:
            hints.append(Hint("^n", _("next file"), "next"))
        if self._checker.status.lab.model.draw:
            hints.append(Hint("^r", _("draw"), "draw"))
        hints.append(Hint("f8", _("to do"), "next_place"))
        hints += [Hint("^f", _("find"), "find"), Hint("^z", _("undo"), "undo"), Hint("^y", _("redo"), "redo")]
        hints += [Hint("^o", _("own editor"), "outside"), Hint("f1", _("help"), "app.help")]
        self.query_one(KeyLine).show([*hints, Hint("esc", _("close"), "close")])

    # --- the file that is shown ---

    def _look(self) -> None:
        """Show what something else has written into the file, unless that would take away what is typed."""
        if self.is_unsaved or not self._editor.has_focus:
            return
        with suppress(OSError):
            if self._file.read_text(encoding="utf-8", errors="replace") != self._saved:
                self._remember()
                self._open()
                self._is_edited = True
                self._show_checks()
                self._say(_("{file} was written elsewhere; this is its text now", file=self._file.name))

    def _open(self) -> None:
        editor = self._editor
        try:
            self._saved = self._file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            self._saved, self._found = "", TrackedProblems()
            editor.show("", self._file.suffix)
            self._say(f"{clean(str(self._file))}: {error.strerror}", "trouble")
        else:
            editor.show(self._saved, self._file.suffix)
            self._graded[self._file].follow(self._saved)
            self._read_problems()
            self._show_problems()
            self._go_where_it_was_left()
        self._known = unsaved.digest(self._saved)
        kept = unsaved.kept(self._file)
        if kept is not None and kept.text != self._saved:
            self._restore(kept)
        editor.focus()
        self._show_title()

    def _go_where_it_was_left(self) -> None:
        """Go to the line with an error, else to where the file was left, else to where a learner begins."""
        editor, place = self._editor, editing.remembered(self._file)
        line = self._line or next((one.line for one, _outdated in self._problems if one.line is not None), None)
        self._line = None
        if line is not None:
            editor.go_to(line)
        elif place is not None:
            editor.move_cursor((place.row, place.column))
            # Its height is known then.
            self.call_after_refresh(editor.scroll_to, y=place.top, animate=False, force=True)
        else:
            editor.go_to(*editing.where_to_begin(self._saved, self._file.suffix, self._changes()))

    def _changes(self) -> Sequence[str]:
        """What the lab is about in the preset that is shown."""
        model = self._checker.status.lab.model
        part = model.parts.get(self._file.stem.removeprefix(f"{self._checker.status.lab.id}-"))
        table = model if part is None else part
        return [*(knob.key for knob in table.knobs), *table.changes]

    def _remember(self) -> None:
        row, column = self._editor.cursor_location
        editing.remember(self._file, Place(row, column, round(self._editor.scroll_offset.y)))

    def _restore(self, kept: Kept) -> None:
        """Take up the text that was typed and never saved. It can be undone."""
        editor = self._editor
        editor.replace(kept.text, editor.document.start, editor.document.end)
        ends = zip(reversed(kept.text), reversed(self._saved), strict=False)
        same = sum(1 for _pair in takewhile(lambda pair: pair[0] == pair[1], ends))
        typed = kept.text[: len(kept.text) - same]  # as far as it differs
        editor.move_cursor((typed.count("\n"), len(typed) - typed.rfind("\n") - 1))
        self._known = kept.of
        self._follow_problems()  # now, as it says something itself
        if kept.of == unsaved.digest(self._saved):
            said = _("what was typed here before and not saved is back; ^z takes it away")
        else:
            said = _(
                "what was typed here before and not saved is back; {file} was written since then, and ^z shows that",
                file=self._file.name,
            )
        self._say(said)

    def _keep(self) -> None:
        """Keep what is not saved, so that it outlives a line that drops, or forget it where all is saved."""
        try:
            if self.is_unsaved:
                unsaved.keep(self._file, Kept(self._editor.text, self._known))
            else:
                self._known = unsaved.digest(self._saved)
                unsaved.drop(self._file)
        except OSError as error:
            why = error.strerror or str(error)
            self._say(_("unsaved text can't be kept: {why}", why=why), "trouble")

    def on_text_area_changed(self) -> None:
        self._show_title()
        self._follow_problems()
        self._show_checks()
        self._keep()

    @property
    def is_unsaved(self) -> bool:
        return self._editor.text != self._saved

    # --- what is said ---

    def _show_title(self) -> None:
        names = Text()
        for at, path in enumerate(self._files):
            mark = " *" if at == self._at and self.is_unsaved else ""
            names.append(f" {clean(path.name)}{mark} ", "reverse" if at == self._at else "dim")
            names.append(" ")
        names.append(f" {clean(str(self._file.parent))}", "dim")
        self.query_one("#write-title", Static).update(names)

    def _show_checks(self) -> None:
        """Show the criteria as the last grading left them; they are outdated as soon as something is typed."""
        status = self._checker.status
        if self.is_unsaved or self._is_edited:
            status = replace(status, unchanged=False)
        self.query_one(Checks).show(status)

    def _say(self, text: str, style: str = "") -> None:
        """style: as a Notice's."""
        said = self.query_one("#write-said", Static)
        said.set_class(style == "trouble", "-trouble")
        said.set_class(style == "good", "-good")
        said.update(Text(self.app.terminal.plain(text)))

    @property
    def _problems(self) -> list[tuple[Problem, bool]]:
        """Those of the file that is shown, each with whether its text was changed since it was found."""
        tracked = (self._found, self._graded[self._file])
        return [(problem, one.is_outdated) for one in tracked for problem in one.problems]

    def _read_problems(self) -> None:
        """Find out why the file that is shown can't be read or trained, as it is saved."""
        self._found = TrackedProblems(self._saved, editing.problems(self._file))

    def _follow_problems(self) -> None:
        text = self._editor.text
        if any([self._found.follow(text), self._graded[self._file].follow(text)]):
            self._show_problems()

    def _show_problems(self) -> None:
        """Put a ✗ beside each line that has a problem, a grey one after a change, and say the first."""
        found = self._problems
        fresh = {problem.line for problem, is_outdated in found if problem.line is not None and not is_outdated}
        self._editor.mark(fresh, {problem.line for problem, _outdated in found if problem.line is not None} - fresh)
        if found:
            self._say_problem(*found[0])
        elif self._file.suffix in LANGUAGES and not self._editor.is_syntax_aware:
            package = f"tree-sitter-{LANGUAGES[self._file.suffix]}"
            self._say(_("no colours: the package {package} is not installed", package=package))
        else:
            self._say("")

    def _say_problem(self, problem: Problem, is_outdated: bool) -> None:
        more = len(self._problems) - 1
        others = f" {_('(f8: {count} more)', count=more)}" if more else ""
        before = f"{_('(before your change)')} " if is_outdated else ""
        self._say(f"{before}{problem.text}{others}", "" if is_outdated else "trouble")

    def action_next_place(self) -> None:
        """Go to the next line with a ✗, or that is still to be written, and say what is to be done there."""
        found = {problem.line: at for at, (problem, _outdated) in reversed([*enumerate(self._problems)])}
        unwritten = editing.to_fill(self._editor.text) if self._file.suffix == ".py" else []
        lines = sorted(line for line in {*found, *unwritten} if line is not None)
        if not lines:
            return
        here = self._editor.cursor_location[0] + 1
        line = next((one for one in lines if one > here), lines[0])
        self._editor.go_to(line)
        if line in found:
            self._say_problem(*self._problems[found[line]])
        else:
            self._say(_("line {line} is still to be written", line=line))

    # --- saving and checking ---

    def action_save(self) -> None:
        if self._save():
            saved = _("saved {file}", file=self._file.name)
            self._read_problems()
            self._show_problems()
            found = self._found.problems
            self._say(f"{saved}; {found[0].text}" if found else saved, "trouble" if found else "")

    def _save(self) -> bool:
        """Write the text, and return whether that went well. If not, say why.

        What something else has written since is replaced at the second try.
        """
        text = self._editor.text
        file = self._file.resolve()  # what a link leads to, not the link
        try:
            mode = 0o644
            if file.exists():
                mode = stat.S_IMODE(file.stat().st_mode)
                found = file.read_text(encoding="utf-8", errors="replace")
                if text != found and self._known != unsaved.digest(found):
                    self._saved, self._known = found, unsaved.digest(found)
                    self._show_title()
                    said = _(
                        "not saved: {file} was written elsewhere in the meantime; save again to replace that",
                        file=self._file.name,
                    )
                    self._say(said, "trouble")
                    return False
            write_atomically(file, text.encode(), mode)
        except OSError as error:
            why = error.strerror or str(error)
            self._say(_("{file} can't be saved: {why}", file=self._file.name, why=why), "trouble")
            return False
        self._is_edited = self._is_edited or text != self._saved
        self._saved = text
        self._keep()
        self._show_title()
        return True

    def action_check(self) -> None:
        """Save, and have the lab graded. A file that can't be read as Python or as a preset is not graded."""
        self._look()
        if self.is_unsaved and not self._save():
            return
        self._read_problems()
        self._show_problems()
        if self._found.problems:
            self._editor.go_to(self._found.problems[0].line or self._editor.cursor_location[0] + 1)
        else:
            self._checker.check_from_editor()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "draw" or bool(self._checker.status.lab.model.draw)

    def action_draw(self) -> None:
        """Save, and draw the code; then go to the line that raised."""
        from tui.screens.lab.drawn import Drawn

        def back(line: int | None) -> None:
            code = self._files[-1].suffix == ".py"
            if line and code:
                self._line = line
                self._switch_to(len(self._files) - 1)

        if not self.is_unsaved or self._save():
            status = self._checker.status
            self.app.push_screen(Drawn(status.lab.id, status.folder), back)

    def hear(self, notice: Notice) -> None:
        """Say how the check goes on."""
        self._heard = notice
        self._say(f"{notice.sign}{notice.text}", notice.style)

    async def take(self) -> None:
        """Show what the check has told: the tasks and criteria as they are now, and which lines it named.

        Go to the first of these, if it is of a file that was not edited since and the cursor is not in its function.
        """
        status = self._checker.status
        await self.query_one(Prose).update(self._tasks_text())
        self._is_edited = False
        self._show_checks()
        self._graded = _named(self._files, status)
        self._graded[self._file].follow(self._editor.text)
        self._show_problems()
        told = self._graded[self._file].problems
        at = next((i for i, path in enumerate(self._files) if self._graded[path].problems), None)
        if not self.is_unsaved and told:
            line = told[0].line or 1
            if line != editing.beginning_around(self._editor.text, self._editor.cursor_location[0] + 1):
                self._editor.go_to(line)
        elif not self.is_unsaved and at is not None:
            self._switch_to(at)
            told = self._graded[self._file].problems
        first = told[0].text if told else first_unmet(status, self._file)
        self._say("\n".join(filter(None, [f"{self._heard.sign}{self._heard.text}", first])), self._heard.style)

    # --- finding ---

    def action_find(self) -> None:
        search = self.query_one(Search)
        search.add_class("-open")
        search.focus()

    @on(Search.Step)
    def _find_step(self, step: Search.Step) -> None:
        self.find(step.by)

    @on(Search.Left)
    def _leave_search(self) -> None:
        self.query_one(Search).remove_class("-open")
        self._editor.focus()

    @on(Input.Changed, "Search")
    def _find_while_typing(self) -> None:
        if self.query_one(Search).has_class("-open"):  # else it is the line being made, and would wipe what is said
            self.find(0)

    def action_find_again(self, by: int) -> None:
        if self.query_one(Search).value:
            self.find(by)
        else:
            self.action_find()

    def find(self, by: int) -> None:
        """Go to the next place (1), the one before (−1), or the first from here on (0)."""
        what = self.query_one(Search).value
        at, of = self._editor.find(what, by)
        if not what:
            self._say("")
        elif not of:
            self._say(_("{what} is nowhere in {file}", what=clean(what), file=self._file.name), "trouble")
        else:
            self._say(_("{at} of {of}", at=at, of=of))

    # --- an editor of one's own ---

    def action_outside(self) -> None:
        """Save, leave the terminal to $VISUAL or $EDITOR, and take up what it has written."""
        words, missing = own_editor.words()
        if missing:
            self._say(missing, "trouble")
            return
        if self.is_unsaved and not self._save():
            return
        self._remember()
        was_there, trouble = own_editor.edit(self.app, words, self._file, self._editor.cursor_location[0] + 1)
        if was_there:
            self._open()
        if trouble:
            self._say(trouble, "trouble")

    # --- other files, and the end ---

    def action_undo(self) -> None:
        self._editor.undo()

    def action_redo(self) -> None:
        self._editor.redo()

    def action_task(self) -> None:
        """Show the tasks beside the file, or in its place if there is no room for both; or the file alone."""
        self.toggle_class("-turned")
        is_hidden = self.has_class("-narrow") and self.has_class("-turned")
        self.query_one("#write-task" if is_hidden else TextArea).focus()

    def action_next(self) -> None:
        self._leave_file(lambda: self._switch_to((self._at + 1) % len(self._files)))

    def _switch_to(self, at: int) -> None:
        self._remember()
        self._at = at
        self._open()

    def action_close(self) -> None:
        def close() -> None:
            self._remember()
            self.dismiss(self._at)

        self._leave_file(close)

    def _leave_file(self, then: Callable[[], object]) -> None:
        if not self.is_unsaved:
            then()
            return

        def chosen(what: str | None) -> None:
            if what == "save":
                self.action_save()
            elif what == "drop":
                self._editor.load_text(self._saved)
                self._keep()
            if what == "drop" or (what == "save" and not self.is_unsaved):
                then()

        text = _("{file} has changes that are not saved.", file=self._file.name)
        choices = [
            # No letters: they would be typed ahead, meant for the text.
            ("ctrl+s", _("save it"), "save"),
            ("ctrl+d", _("leave it as it was"), "drop"),
            ("escape", _("go on editing"), ""),
        ]
        self.app.push_screen(Ask(self._file.name, text, choices), chosen)


def _named(files: Sequence[Path], standing: LabStatus) -> dict[Path, TrackedProblems]:
    """Return what the last grading said of lines of each file, and why; nothing if a file has changed since."""
    found = dict[Path, TrackedProblems]()
    for path in files:
        told = problems_of(standing, path) if standing.unchanged else []
        found[path] = TrackedProblems(path.read_text(encoding="utf-8", errors="replace") if told else "", told)
    return found
