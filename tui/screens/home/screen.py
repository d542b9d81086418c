"""Home: the list of runs, labs and presets, facts of the highlighted one, and its keys."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.run.folder import RunFolder
from descent.run.note import Note, write_note
from engine.preset import listing
from engine.preset.listing import Entry
from tui.base import OPENING, CompareRuns, ConsoleApp, OpenLab, OpenRun, RunsChanged, WatchRuns
from tui.data import course
from tui.data.course import FilesRead, LabEntry, Labs
from tui.data.hosts import HostRun, HostRuns
from tui.data.runs import RunStatus
from tui.screens.dialogs import Ask
from tui.screens.home import rows
from tui.screens.home.details import Details, can_go_on, command_of
from tui.screens.home.list import Listing
from tui.screens.home.note import EditNote
from tui.screens.home.rows import More, Study
from tui.widgets.find import Find
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.run_line import look_at
from tui.widgets.top_line import Title

Chosen = RunStatus | HostRun | Study | Entry | LabEntry | More | None
# What each action needs; an action that is not here always works.
WORKS: dict[str, Callable[[Chosen], bool]] = {
    "find": lambda chosen: True,
    "choose": lambda chosen: chosen is not None,
    "edit": lambda chosen: isinstance(chosen, Entry) and not chosen.broken,
    "copy": lambda chosen: isinstance(chosen, Entry | RunStatus | HostRun | Study | LabEntry),
    "note": lambda chosen: isinstance(chosen, RunStatus),
    "pin": lambda chosen: isinstance(chosen, RunStatus),
    "go_on": lambda chosen: isinstance(chosen, RunStatus) and can_go_on(chosen),
    "mark": lambda chosen: isinstance(chosen, RunStatus),
    "compare": lambda chosen: isinstance(chosen, RunStatus),
    "delete": lambda chosen: isinstance(chosen, RunStatus) and not chosen.alive,
}
STEERS = ("edit", "go_on", "delete", "note", "pin")


def key_labels(chosen: Chosen, marked: int) -> dict[str, str]:
    """Return a word for each action, the most wanted first. marked: how many runs are marked to be compared."""
    return {
        "choose": _("start")
        if isinstance(chosen, Entry)
        else _("show")
        if isinstance(chosen, More | Study)
        else _("open"),
        "find": _("find"),
        "edit": _("edit and start"),
        "go_on": _("resume"),
        "compare": _("compare {count}", count=marked) if marked > 1 else _("compare"),
        "mark": _("mark"),
        "note": _("note, #tags"),
        "delete": _("remove") if _is_empty(chosen) else _("delete"),
        "order": _("order"),
        "app.settings": _("settings"),
        "copy": _("copy command"),
        "pin": _("unpin") if isinstance(chosen, RunStatus) and chosen.note.pinned else _("pin"),
        "app.quit": _("quit"),
        "app.help": _("help"),
    }


def _is_empty(chosen: Chosen) -> bool:
    return isinstance(chosen, RunStatus) and chosen.failed_at_start


def source_of(entry: Entry) -> str:
    """Return what the engine finds it by: its path, which can't be taken for another preset's name."""
    return str(entry.path)


class Home(Screen[None]):
    """Lists runs, labs and presets; Enter opens a run or a lab, or starts a preset."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", N_("start the preset, or open the run or lab"), id="home.choose"),
        # First of all keys: what is typed fast, or pasted, behind it must not reach the list.
        Binding("slash,f", "find", N_("find as you type"), key_display="/", priority=True, id="home.find"),
        Binding("e", "edit", N_("change settings, then start"), id="home.edit"),
        Binding("y", "copy", N_("copy the command"), id="home.copy"),
        Binding("r", "go_on", N_("resume a run that was stopped, failed or lost"), id="home.go-on"),
        Binding("space", "mark", N_("mark a run to compare it"), id="home.mark"),
        Binding("o", "compare", N_("compare the marked runs, or this one with others"), id="home.compare"),
        Binding("x,delete", "delete", N_("delete an ended run"), key_display="x", id="home.delete"),
        Binding("n", "note", N_("note a text and #tags on a run"), id="home.note"),
        Binding("p", "pin", N_("pin a run to the top, or unpin it"), id="home.pin"),
        Binding("t", "order", N_("order runs by time, or by preset with the best first"), id="home.order"),
        Binding("s", "app.settings", N_("settings"), id="home.settings"),
        Binding("q", "app.quit", N_("quit (training continues)"), id="home.quit"),
        Binding("escape", "clear", N_("show all again"), show=False, id="home.clear"),
        Binding("f5", "read", N_("refresh"), show=False, id="home.read"),
    ]
    app: ConsoleApp

    def __init__(self) -> None:
        super().__init__(id="home")
        self._runs: Sequence[RunStatus] | None = None
        self._hosts: Sequence[HostRuns] = ()
        self._presets: list[Entry] | None = None
        self._labs: Labs | None = None
        self._opened: set[Path] = set()  # studies whose runs are listed
        self._order: rows.Order = "latest"
        self._in_full: set[str] = set()  # "runs", "labs", or a host: all of them are listed
        self._reading = False
        find = Find(placeholder=_("/ find a run, lab or preset"), id="find", select_on_focus=False)
        self._parts = Title(), find, Listing(), Details(), KeyLine()

    def compose(self) -> ComposeResult:
        title, find, listing, details, keys = self._parts
        yield title
        with Horizontal(id="find-line"):
            yield find
        with Vertical(id="home-body"):
            yield listing
            yield details
        yield keys

    def on_mount(self) -> None:
        self.query_one(Find).cursor_blink = False
        self.query_one(Listing).focus()
        self._show_title()
        self.set_interval(30, self._grow_older)
        # After the first frame: pydantic takes a third of a second to load.
        self.call_after_refresh(self.action_read)

    def on_screen_resume(self) -> None:
        self.post_message(WatchRuns(all=True))
        if self._presets is not None:
            self.action_read()

    def on_screen_suspend(self) -> None:
        if not isinstance(self.app.screen, Ask):
            self.post_message(WatchRuns(all=False))

    def _grow_older(self) -> None:
        if self.is_current:
            self._show_list()  # by day
            self.query_one(Listing).refresh()  # it says how long ago runs have ended

    # --- what is listed ---

    def show_runs(self, runs: Sequence[RunStatus] | None) -> None:
        """List these runs; None while they are still being read."""
        self._runs = runs
        if self._is_whole:
            self._show_title()
            self._show_list()

    def show_hosts(self, hosts: Sequence[HostRuns]) -> None:
        """List the runs of these hosts below those of this machine."""
        if hosts != self._hosts:
            self._hosts = hosts
            self._show_list()

    def action_read(self) -> None:
        """Read the presets again, in a thread: their files may lie on a slow disk."""
        self.post_message(RunsChanged())
        if not self._reading:
            self._reading = True
            threading.Thread(target=self._read, name="presets", daemon=True).start()

    def _read(self) -> None:
        # Told of at once: a list that grew under the cursor would have Enter start what was not seen.
        self.post_message(FilesRead(listing.presets(), course.read()))

    @on(FilesRead)
    def _take_files(self, message: FilesRead) -> None:
        self._reading = False
        for details in self.query(Details):
            details.forget()
            details.changes.take({entry.name: entry.path for entry in message.presets if not entry.broken})
        for text in message.labs.said:
            if self._labs is None or text not in self._labs.said:
                self.app.tell(text, trouble=True, seconds=15)
        self._presets, self._labs = message.presets, message.labs
        self._show_list()

    def _show_list(self, *, anew: bool = False) -> None:
        if not self._is_whole:
            return
        listing = self.query_one(Listing)
        there = [run.run for host in self._hosts for run in host.runs or ()]
        most = {"runs": max(3, self.size.height // 6), "labs": max(4, 3 * self.size.height // 10)}
        typed = self.query_one(Find).value
        found = rows.Found(self._runs, self._hosts, self._labs, self._presets)
        most |= {host.host.name: most["runs"] for host in self._hosts}
        most = {what: n for what, n in most.items() if what not in self._in_full}
        items = rows.listed(found, typed, most, self._opened, self._order, now=self.app.clock())
        listing.look = look_at(
            [*(self._runs or ()), *there], self.query_one(Details).changes.words, list(rows.lines_of_runs(items))
        )
        listing.typed = typed
        listing.show(items, go_to=rows.best(items, typed) if anew and typed else None)
        self._show_details()

    def _show_details(self) -> None:
        if not self._is_whole:
            return
        self.query_one(Details).show(self.query_one(Listing).chosen, self._runs)
        self._show_keys()

    def _show_title(self) -> None:
        for title in self.query(Title):
            title.right = rows.title(self._runs, read_only=self.app.read_only)
            title.show_lines()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_list)

    # --- keys ---

    def _show_keys(self) -> None:
        if not self._is_whole:
            return
        keys = self.query_one(KeyLine)
        if self.query_one(Find).has_focus:
            arrows = "↑↓" if self.app.terminal.unicode else _("up down")
            keys.show(
                [Hint("enter", _("list"), ""), Hint(arrows, _("move"), ""), Hint("esc", _("show all"), "leave")]
            )
            return
        keys.show(self._hints())

    def _hints(self) -> list[Hint]:
        labels = key_labels(self._chosen, len(self._marked))
        keys = {
            binding.action.removeprefix("screen."): self.app.get_key_display(binding)
            for active in reversed(self.active_bindings.values())
            if active.enabled and not (binding := active.binding).key.startswith("ctrl")
        }
        keys.setdefault("app.help", keys.get("help", "?"))
        return [Hint(keys[action], label, action) for action, label in labels.items() if action in keys]

    @property
    def _marked(self) -> list[RunFolder]:
        """The marked runs that still exist, in the order of the list."""
        marked = self.query_one(Listing).marked
        return [run.folder for run in self._runs or () if run.folder.path in marked]

    @property
    def _is_whole(self) -> bool:
        """Return whether all its parts are there. Runs may be seen earlier, or when some parts are gone already."""
        # Asked for every key at every move: query() would walk the whole tree five times.
        return all(part.is_attached for part in self._parts)

    @property
    def _chosen(self) -> Chosen:
        chosen = self.query_one(Listing).chosen
        return chosen if isinstance(chosen, RunStatus | HostRun | Study | Entry | LabEntry | More) else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Allow what works for the highlighted entry, and no key that is meant for the field to find."""
        works = WORKS.get(action)
        if works is None or not self._is_whole:
            return True
        if self.query_one(Find).has_focus:
            return action == "choose"
        return works(self._chosen) and not (action in STEERS and self.app.read_only)

    @on(Listing.Highlighted)
    def _highlight(self) -> None:
        self._show_details()
        self.refresh_bindings()

    @on(Listing.Chosen)
    def action_choose(self) -> None:
        match self._chosen:
            case More(of=what):
                self._in_full.add(what)
                self._show_list()
            case Study(folder=folder):
                self._opened ^= {folder}
                self._show_list()
            case RunStatus() as run:
                self.post_message(OpenRun(run.folder))
            case HostRun() as there:
                self._open_there(there)
            case LabEntry(broken="") as lab:
                self.post_message(OpenLab(lab.id))
            case Entry(broken="") as entry:
                self._start(source_of(entry))
            case Entry() | LabEntry() as broken:
                self.app.tell(broken.broken, trouble=True)

    def _open_there(self, there: HostRun) -> None:
        """Leave the terminal to the screen of a run on another machine."""
        _left, problem = self.app.leave_to(there.host.attach(there.run.folder.id, read_only=self.app.read_only))
        if problem:
            self.app.tell(problem, trouble=True, seconds=8)
        self.post_message(RunsChanged())

    def _start(self, preset: str, overrides: Sequence[str] = ()) -> None:
        from tui.screens import starting

        self.run_worker(starting.start(self.app, preset, overrides), group=OPENING, exclusive=True)

    def action_find(self) -> None:
        find = self.query_one(Find)
        self.set_focus(find)  # at once; Widget.focus would wait its turn
        find.value = ""  # the word of before: what is typed behind it would find nothing

    def action_leave(self) -> None:
        self.query_one(Find).action_leave()

    def on_descendant_focus(self) -> None:
        self._show_keys()

    def action_clear(self) -> None:
        find = self.query_one(Find)
        self._in_full.clear()
        if find.value:
            find.value = ""
        else:
            self._show_list()

    @on(Find.Changed)
    def _narrow(self) -> None:
        self._show_list(anew=True)

    @on(Find.Left)
    def _leave_find(self) -> None:
        self.query_one(Listing).focus()

    @on(Find.Moved)
    def _move(self, message: Find.Moved) -> None:
        listing = self.query_one(Listing)
        match message.key:
            case "enter":
                self.set_focus(listing)  # a second one starts what it shows: nothing is started unseen
            case "up" | "down":
                listing.move(-1 if message.key == "up" else 1)
            case _:
                listing.action_page(-1 if message.key == "pageup" else 1)

    def action_copy(self) -> None:
        chosen = self._chosen
        if isinstance(chosen, Entry | RunStatus | HostRun | Study | LabEntry):
            command = command_of(chosen)
            self.app.copy_to_clipboard(command)
            self.app.tell(_("copied: {command}", command=command), seconds=3)

    def action_note(self) -> None:
        chosen = self._chosen
        if isinstance(chosen, RunStatus):
            folder, before = chosen.folder.path, chosen.note

            def write(text: str | None) -> None:
                if text is not None:
                    self._write_note(folder, Note(text, before.pinned))

            self.app.push_screen(EditNote(chosen.name, before.text), write)

    def action_pin(self) -> None:
        chosen = self._chosen
        if isinstance(chosen, RunStatus):
            self._write_note(chosen.folder.path, Note(chosen.note.text, not chosen.note.pinned))

    def _write_note(self, folder: Path, note: Note) -> None:
        try:
            write_note(folder, note)
        except DescentError as error:
            self.app.tell(str(error), trouble=True, seconds=8)
        self.post_message(RunsChanged())

    def action_order(self) -> None:
        """List the runs by time, or by preset with the best first."""
        self._order = "preset" if self._order == "latest" else "latest"
        self._show_list()
        told = (
            _("runs by preset, the best in validation first")
            if self._order == "preset"
            else _("runs by time, the latest first")
        )
        self.app.tell(told, seconds=2)

    def action_edit(self) -> None:
        chosen = self._chosen
        if isinstance(chosen, Entry):
            from tui.screens.overrides import Overrides

            source = source_of(chosen)

            def start(overrides: list[str] | None) -> None:
                if overrides is not None:
                    self._start(source, overrides)

            self.app.push_screen(Overrides(chosen.name, source), start)

    def action_go_on(self) -> None:
        chosen = self._chosen
        if isinstance(chosen, RunStatus):
            from tui.screens import starting

            self.run_worker(starting.go_on(self.app, chosen.folder), group=OPENING, exclusive=True)

    def action_mark(self) -> None:
        self.query_one(Listing).mark()
        self._show_keys()

    def action_compare(self) -> None:
        chosen = self._chosen
        if isinstance(chosen, RunStatus):
            self.post_message(CompareRuns(self._marked or [chosen.folder]))

    def action_delete(self) -> None:
        chosen = self._chosen
        if isinstance(chosen, RunStatus) and not chosen.alive:
            from tui.screens import starting

            self.run_worker(starting.delete(self.app, chosen.folder), group=OPENING)
