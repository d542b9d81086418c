"""A lab on a screen: its text, its criteria and its keys, alone or around the panes of a console."""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.worker import Worker

from descent.common import paths
from descent.common.errors import DescentError
from descent.common.i18n import _, pgettext
from descent.run import find
from descent.run.folder import RunFolder
from engine.labs import flow, knobs, progress
from engine.labs.submission import any_of
from tui.base import OPENING, ConsoleApp, Notice, OpenLab, ShowNotice
from tui.data.labs import changed_since, look_at_lab
from tui.pictures.live import LabPictures
from tui.screens.lab import asking
from tui.screens.lab.ghosts import draw_goals, draw_run_before, settings_of
from tui.screens.lab.grading import Grading
from tui.screens.lab.keys import KEYS
from tui.screens.lab.knob_file import KnobFile
from tui.widgets.key_line import Hints
from tui.widgets.lab_checks import Checks, NextCheck
from tui.widgets.lab_guide import Guide, Way
from tui.widgets.lab_knobs import KnobPanel

if TYPE_CHECKING:
    from tui.screens.lab.editor import Write

LOOK = 0.5  # seconds between looks at the file of the knobs and at that of the progress
PANE = VerticalScroll  # the text and the criteria: tab goes to them, arrows and page keys scroll them


class LabPanel(Vertical):
    """A screen holds it, binds KEYS, forwards them to `press`, and shows each ShowNotice.

    The screen's bindings are refreshed whenever the lab stands elsewhere, or other keys work. Where the terminal is
    narrow, the panes of a console come first, and the text takes turns with them.
    """

    app: ConsoleApp
    SCOPED_CSS = False  # its rules begin with classes of the app and the screen
    DEFAULT_CSS = """
    LabPanel {
        height: 1fr;
        Guide { width: 1fr; }
        #lab-row { height: 1fr; }
        #lab-left { width: 1fr; }
        #lab-criteria { scrollbar-size-vertical: 1; }
    }
    LabPanel.-alone {
        layout: horizontal;
        #lab-row { width: 3fr; max-width: 100; }
        #lab-criteria { width: 2fr; border-left: vkey $rule; padding: 0 0 0 1; }
        Way { margin-bottom: 1; }
    }
    .-narrow LabPanel.-alone {
        layout: vertical;
        #lab-row { width: 1fr; }
        #lab-criteria { width: 1fr; height: auto; max-height: 40%; border: none; padding: 0; }
        #lab-criteria Checks { display: none; }
        Way { margin: 0; }
    }
    LabPanel.-around {
        #lab-left { min-width: 30; border-right: vkey $rule; }
        ConsolePanes { width: 2fr; }
        #lab-criteria { height: auto; max-height: 12; margin-top: 1; }
        Way { display: none; }
    }
    .-narrow LabPanel.-around, .-tiny LabPanel.-around {
        #lab-row { layout: vertical; }
        #lab-left { height: auto; width: 1fr; border: none; }
        ConsolePanes { width: 1fr; }
        Guide, #lab-criteria { display: none; }
        NextCheck { display: block; }
    }
    .-narrow LabPanel.-reading, .-tiny LabPanel.-reading {
        #lab-left { height: 1fr; }
        Guide { display: block; border: none; }
        ConsolePanes { display: none; }
    }
    .-short LabPanel.-around, .-flat LabPanel.-around {
        #lab-criteria { display: none; }
        Guide Checks { display: block; }
    }
    .-normal LabPanel.-reading Guide, .-wide LabPanel.-reading Guide { display: none; }
    .-normal LabPanel.-reading #lab-left, .-wide LabPanel.-reading #lab-left { height: auto; border: none; }
    .-normal LabPanel.-reading #lab-row, .-wide LabPanel.-reading #lab-row { layout: vertical; }
    .-ascii LabPanel #lab-left { border-right: none; }
    .-ascii LabPanel #lab-criteria { border-left: none; }
    """

    keys: Sequence[BindingType] = KEYS

    def __init__(self, lab_id: str) -> None:
        """DescentError where there is no such lab, or its files are broken."""
        super().__init__(classes="-alone")
        self.lab_id = lab_id
        self.status = look_at_lab(lab_id)
        self._panes: Widget | None = None
        self._run: RunFolder | None = None  # on the screen
        self._knobs = KnobFile()
        self._stamp: int | None = None  # of the progress that is shown
        self._offered = False  # the knobs had the focus once
        self._file: int | None = None  # the one that was edited last
        self._editor: Write | None = None  # while it is open
        self._grading = Grading(self, self.tell, self._take_verdict)
        self._stays = False  # what was told last

    @property
    def watched(self) -> Sequence[str]:
        """The charts and pictures that the lab is about."""
        return self.status.lab.model.watch

    def around(self, panes: Widget, run: RunFolder) -> Widget:
        """Itself, with the panes of the run's console beside the text."""
        self._panes, self._run = panes, run
        self.set_classes("-around")
        return self

    def compose(self) -> ComposeResult:
        with Horizontal(id="lab-row"):
            with Vertical(id="lab-left"):
                yield Guide()
                yield NextCheck()
                yield KnobPanel()
            if self._panes is not None:
                yield self._panes
        with VerticalScroll(id="lab-criteria"):
            yield Way()
            yield Checks()

    async def on_mount(self) -> None:
        if self._panes is None:
            await self._show()
        else:
            self.screen.call_later(self._draw_goals)  # the console gives its charts their sources before that
            self.screen.call_later(lambda: self.run_worker(self._show_run_before(), group="ghost"))
            self.run_worker(self.look_again(), group="status")
        self.show_knobs()
        self.set_interval(LOOK, self._look_at_files)

    # --- the knobs ---

    def is_home(self, focused: Widget) -> bool:
        """Return whether the focus is on the knobs, where it is as long as nobody moves it."""
        return isinstance(focused, KnobPanel)

    @property
    def _knob_panel(self) -> KnobPanel:
        return self.query_one(KnobPanel)

    def show_knobs(self) -> None:
        """Read the file, and show the knobs as they stand in it."""
        if self.query(KnobPanel):
            self._knobs.look(self.status, self._run)
            self._show_found(self._knobs.read(self.status))

    def _show_found(self, found: knobs.Knobs | None) -> None:
        panel = self._knob_panel
        panel.show(found, settings_of(self._run) if self._run is not None else {})
        is_next = self._panes is not None or self.status.next in ("run", "write")
        is_next = is_next and not self.status.to_write
        if panel.display and is_next and not self._offered and isinstance(self.screen.focused, Guide | None):
            self._offered = True
            panel.focus()

    def _look_at_files(self) -> None:
        """Show what somebody has changed in the files by other means: a run that has ended, an editor, a shell."""
        if self.app.screen is not self.screen:
            return
        is_turned = self._knobs.has_changed(self.status, self._run)
        if is_turned:
            self.show_knobs()
        if is_turned or progress.stamp() != self._stamp:
            self.run_worker(self.look_again(), group="status", exclusive=True)

    def _turn(self, by: int) -> None:
        panel = self._knob_panel
        self._knobs.look(self.status, self._run)
        if self._knobs.path is None or panel.chosen is None:
            return
        panel.focus()
        try:
            found = self._knobs.turn(self.status, panel.chosen.key, by)
        except DescentError as error:
            self.refuse(error)
            return
        if found.settings == (panel.knobs.settings if panel.knobs is not None else ()):
            self._tell_end(panel.chosen)
            return
        if self.check_worker is None:
            self.tell("")  # what was said of the value before
        self._show_found(found)
        self.run_worker(self.look_again(), group="status", exclusive=True)

    def _tell_end(self, one: knobs.Setting) -> None:
        if one.value is None:
            said = _("{key}: not a setting of this preset as it is", key=one.key)
        else:
            said = _("{key} = {value}: no further; w edits the file", key=one.key, value=knobs.shown(one.value))
        self.tell(said)

    def _train_turned(self) -> None:
        self._knobs.look(self.status, self._run)
        if self.app.read_only:
            self.tell(_("read-only"), "trouble")
        elif self._knobs.path is not None and self._may_train():
            self.begin(self.train(self._knobs.path))

    async def _show_run_before(self) -> None:
        assert self._run is not None
        await draw_run_before(self, self._run, paths.runs_dir(self.app.runs_dir))

    def _draw_goals(self) -> None:
        draw_goals(self, self.status.lab.model.checks)

    # --- what is shown ---

    @property
    def _criteria(self) -> Checks:
        """Those beside or below the text; the others end it."""
        return self.query_one("#lab-criteria Checks", Checks)

    async def _show(self) -> None:
        if self.query(Guide):
            self.query_one(Way).show(self.status)
            changed = changed_since(self._run, self.status) if self._run is not None else []
            self._criteria.show(self.status, changed)
            self.query_one(NextCheck).show(self.status)
            # Behind another screen Textual may not come to an end with a new text until a key is pressed.
            if self.app.screen is self.screen:
                await self.query_one(Guide).show(self.status)
            else:
                self._stamp = None

    async def look_again(self) -> None:
        """Read the learner's progress again, and show it."""
        trained = self.status.trained or await asyncio.to_thread(self._has_trained)
        self._stamp = progress.stamp()
        try:
            self.status = look_at_lab(self.lab_id, trained=trained)
        except DescentError as error:
            self.refuse(error)
            return
        if self.is_attached:
            await self._show()
            self.show_knobs()
            self.refresh_bindings()

    def _has_trained(self) -> bool:
        """Return whether a run of this lab is known."""
        opened = [folder.path for folder in self.app.opened]
        return any_of([*opened, *find.known_runs(paths.runs_dir(self.app.runs_dir))], self.lab_id)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_criteria_again)

    def _show_criteria_again(self) -> None:
        for checks in self.query(Checks):
            checks.show_again()

    def show_criteria(self) -> None:
        """Scroll to the criteria, those that are not met first."""
        box = self.query_one("#lab-criteria")
        box.scroll_home(animate=False)
        if not (box.display and self._criteria.display):  # no room for them but at the end of the text
            self.set_class(self._takes_turns, "-reading")
            self.query_one(Guide).bring_criteria()
            self.refresh_bindings()

    @property
    def _takes_turns(self) -> bool:
        """Return whether there is no room for text and panes beside each other."""
        is_narrow = self.screen.has_class("-narrow") or self.screen.has_class("-tiny")
        return self._panes is not None and is_narrow

    def tell(self, text: str, style: str = "", *, busy: bool = False, stays: bool = False) -> None:
        """style: "", "good" or "trouble". busy: it is still under way. stays: until the next key of the lab."""
        notice = Notice(text, style, busy, since=time.monotonic(), stays=stays)
        if self._editor is not None:
            self._editor.hear(notice)
        if self.is_attached:
            self._stays = stays
            self.post_message(ShowNotice(notice))

    def refuse(self, error: Exception) -> None:
        self.tell(" ".join(str(error).split()), "trouble")

    def opened(self, what: str) -> None:
        """Record that the learner looks at a picture, or at the table of layers."""
        deed = f"opened {what}"
        if self.status.record.started is not None and deed not in self.status.record.deeds and not self.app.read_only:
            self.run_worker(self._record(deed), group="deeds")

    def on_lab_pictures_shown(self, message: LabPictures.Shown) -> None:
        self.opened(message.kind)

    async def _record(self, deed: str) -> None:
        with contextlib.suppress(DescentError):  # its file can't be written; what is told by all other changes
            await asyncio.to_thread(progress.did, self.lab_id, deed)
            await self.look_again()

    # --- keys ---

    def can(self, key: str) -> bool:
        """Return whether that key works now."""
        match key:
            case "up" | "down" | "labs":
                return True
            case "text":
                return self._panes is not None
            case "why":
                return self.status.record.passed is not None
            case "picture" | "knob_before" | "next_knob" | "less" | "more" | "train":
                return self.is_attached and self._can_turn(key)
        if self.app.read_only or (key == "draw" and not self.status.lab.model.draw):
            return False
        return key == "hint" or self.status.record.started is not None

    def _can_turn(self, key: str) -> bool:
        if key == "picture":
            return any(pictures.has_more for pictures in self.query(LabPictures))
        return not self.app.read_only and self._knob_panel.display

    def press(self, key: str) -> None:
        """Do what the binding panel('KEY') stands for."""
        if self._stays and key not in ("up", "down", "text"):
            self.tell("")
        match key:
            case "check" if self.may_leave():
                self.begin(self._ask_for_check())
            case "hint" | "write" | "draw":
                self.begin({"hint": self._hint, "write": self.edit_files, "draw": self._draw_code}[key]())
            case "go" if self._may_train():
                self.begin(self.train())
            case "why":
                self.show_pass()
            case "train":
                self._train_turned()
            case "picture":
                self.query_one(LabPictures).turn()
            case "knob_before" | "next_knob":
                self._knob_panel.focus()
                self._knob_panel.choose(1 if key == "next_knob" else -1)
            case "less" | "more":
                self._turn(1 if key == "more" else -1)
            case "labs" if self.may_leave():
                self.begin(self._choose_lab())
            case "up" | "down":
                self._page(1 if key == "down" else -1)
            case "text":
                self.toggle_class("-reading")
                self.refresh_bindings()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Start this work and cancel what was begun before. It may open dialogs, whose answers belong together."""
        self.run_worker(work, group=OPENING, exclusive=True)

    def hints(self) -> Hints:
        """The lab's keys, and what they are called; the most wanted first."""
        train, *others = self._to_train()
        return [
            (("lab.less", "lab.more"), _("change")),
            train,
            (("lab.write",), _("edit files")),
            (("lab.check",), _("check")),
            *others,
            (("lab.hint",), _("hint")),
            (("lab.draw",), _("your code drawn")),
            (("lab.why",), _("explanation")),
            (("lab.labs",), _("other labs")),
        ]

    def _to_train(self) -> Hints:
        """With the knobs, enter trains their preset. Where there are several, `g` asks for one."""
        if not self.is_turning:
            return [(("lab.go",), _("train again") if self.status.trained else _("train and watch"))]
        if len(self.status.presets) == 1:
            return [(("knobs.train",), _("train"))]
        return [(("knobs.train",), _("train")), (("lab.go",), _("presets"))]

    def among_hints(self, steering: Hints, own: Hints) -> tuple[Hints, Hints]:
        """Put the keys that a learner wants first. A small screen has room for few others."""
        reads = self._takes_turns and self.has_class("-reading")
        text: Hints = [(("lab.text",), _("charts") if reads else pgettext("of a lab", "text"))]
        stop: Hints = [(("console.back",), _("stop the check"))] if self.check_worker else []
        *wanted, why, labs = [hint for hint in self.hints() if hint[0] != ("lab.draw",)]
        anomaly, pause, *more = steering
        return [*stop, anomaly, *text, pause, *wanted, *more], [why, labs, *own]

    @property
    def is_turning(self) -> bool:
        """Return whether enter trains with the knobs as they stand."""
        return self.is_attached and self._knob_panel.has_focus

    def _page(self, by: int) -> None:
        """Scroll the first pane that has more than it shows."""
        for pane in self.query(PANE):
            if pane.display and pane.max_scroll_y:
                if isinstance(pane, Guide):
                    pane.leave_criteria()
                (pane.scroll_page_down if by > 0 else pane.scroll_page_up)(animate=False)
                return

    def is_ready(self) -> bool:
        """Return whether the files are there and every prediction is made. If not, tell what is missing."""
        missing = {"start": _("get files"), "predict": _("predict")}.get(self.status.next)
        if missing is not None:
            self.tell(_("first: {what}", what=missing), "trouble")
        return missing is None

    def _may_train(self) -> bool:
        """Return whether a training can begin, and would not end at once. If not, tell why."""
        if not self.is_ready() or not self.may_leave():
            return False
        if self.status.to_write:
            self.tell(_("first: {what}", what=_("write {file}", file=self.status.to_write)), "trouble")
        return not self.status.to_write

    async def _hint(self) -> None:
        await asking.read_hints(self.app, self.status.lab)
        await self.look_again()

    async def edit_files(self, *, line: int | None = None) -> None:
        """Open the editor where it was left. line: open the code at that line, 0 where it was left."""
        from tui.screens.lab.editor import Write

        files = [path for path in self.status.files if path.is_file()]
        if not files:
            name, folder = self.status.files[0].name, self.status.folder
            self.tell(_("{file} is not in {folder} any more", file=name, folder=folder), "trouble")
            return
        if line is not None or self._file is None:
            # First the code that a task asks for: what is to be changed in a preset has its knobs.
            tasks = " ".join(task.text.en for task in self.status.lab.model.tasks)
            code = [
                at
                for at, path in enumerate(files)
                if path.suffix == ".py" and (line is not None or path.name in tasks)
            ]
            self._file = code[0] if code else 0
        self._editor = Write(self, files, at=self._file or 0, line=line)
        passed = self.status.record.passed
        try:
            self._file = await self.app.push_screen_wait(self._editor) or 0
        finally:
            self._editor = None
        await self.look_again()
        if self.status.next == "check" and self.is_turning:
            self.screen.set_focus(None)  # enter grades what was edited, instead of training with the knobs
        if passed is None and self.status.record.passed is not None:
            self.show_pass()  # it was checked in the editor

    async def _draw_code(self) -> None:
        from tui.screens.lab.drawn import Drawn

        line = await self.app.push_screen_wait(Drawn(self.lab_id, self.status.folder))
        if line is not None:
            await self.edit_files(line=line)

    async def train(self, preset: Path | None = None) -> None:
        """Train a preset of the lab in the background, and watch. Without one, ask which where there are several."""
        from tui.screens import starting

        presets = self.status.presets
        chosen: str | None = str(preset or presets[0][0])
        if preset is None and len(presets) > 1:
            chosen = await self.app.push_screen_wait(asking.which(presets))
        if chosen:
            self.tell(f"{Path(chosen).name} …", busy=True)
            await starting.start(self.app, chosen, ())
            self.tell("")

    async def _choose_lab(self) -> None:
        from tui.screens.choices import Course

        chosen = await self.app.push_screen_wait(Course(self.lab_id))
        if chosen is not None and chosen != self.lab_id:
            self.post_message(OpenLab(chosen))

    # --- the check ---

    @property
    def check_worker(self) -> Worker[None] | None:
        """The grading under way."""
        return self._grading.worker

    def ask_to_stop(self) -> bool:
        """Ask whether to stop the grading under way; return whether there is one."""
        return self._grading.ask_to_stop()

    def may_leave(self) -> bool:
        """Return whether no grading is under way that leaving would stop. If one is, tell how to stop it."""
        if self.check_worker is not None:
            self.tell(_("the check is under way; esc asks whether to stop it"), busy=True)
        return self.check_worker is None

    async def _ask_for_check(self) -> None:
        """Check. If nothing has changed since the last check, ask first."""
        await self.look_again()
        if not self.is_ready():
            return
        wanted: str | None = "check"
        if self.status.unchanged:
            wanted = await self.app.push_screen_wait(asking.what_else(self.status))
        if wanted == "write":
            await self.edit_files()
        elif wanted == "check":
            self.start_check()

    def check_from_editor(self) -> None:
        """Have it graded as it is, and tell the editor how that goes."""
        if self.check_worker is not None:
            self.tell(_("the check is under way already"), busy=True)
        elif self.is_ready():
            self.start_check()

    def start_check(self) -> None:
        """Have it graded as it is."""
        self._grading.start(self.status)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.worker.group == "grade" and self.is_attached:
            self.refresh_bindings()

    async def _take_verdict(self, verdict: dict[str, Any]) -> None:
        await self.look_again()
        self._grading.tell_verdict(verdict)
        if self._editor is not None:
            await self._editor.take()
        self.show_criteria()
        if verdict["passed"] and self._editor is None:
            self.show_pass()

    # --- after a pass ---

    def show_pass(self) -> None:
        from tui.screens.lab.passed import Passed

        self.app.push_screen(Passed(self.status), self._after_pass)

    def _after_pass(self, go_on: bool | None) -> None:
        self.begin(self.next_lab() if go_on else self.look_again())

    async def next_lab(self) -> None:
        """The lab that comes next in the course."""
        upcoming = await asyncio.to_thread(lambda: flow.upcoming(progress.load()))
        if upcoming is None:
            self.tell(_("That was the last lab of the course."), "good")
        else:
            self.post_message(OpenLab(upcoming.id))
