"""What every screen of a lab can do: hint, check, edit the files, train, read why, go to the next lab."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.worker import Worker

from descent.common import paths
from descent.common.errors import DescentError
from descent.common.i18n import Language
from descent.common.text import clean
from descent.run import find
from engine.labs import flow, progress
from engine.labs.messages import say
from engine.labs.submission import any_of
from tui.data import labs as standing_
from tui.data.labs import LabStatus, grade, reached
from tui.data.translation import word
from tui.screens.dialogs import Ask
from tui.widgets.lab_guide import Guide
from tui.widgets.lines import fitted

if TYPE_CHECKING:
    from tui.app import DescentApp


class LearnerScreen(Screen[None]):
    """A screen on a lab. The subclass shows `standing` and what `tell_learner` is told."""

    lab_id: str
    language: Language
    standing: LabStatus

    @property
    def _descent(self) -> "DescentApp":
        return cast("DescentApp", self.app)

    # --- for the subclass ---

    def tell_learner(self, text: str, style: str = "", *, busy: bool = False) -> None:
        """style: "", "good" or "trouble". busy: it is still under way."""
        raise NotImplementedError

    async def show_standing(self) -> None:
        raise NotImplementedError

    def show_criteria(self) -> None:
        """They were looked at anew: bring them before the learner's eyes, what is not met first."""
        raise NotImplementedError

    def show_keys(self) -> None:
        """Other keys work now."""
        raise NotImplementedError

    # --- what is common ---

    def take(self, lab_id: str, language: Language) -> None:
        """Be about this lab. DescentError where there is none."""
        self.lab_id, self.language = lab_id, language
        self.standing = standing_.look_at_lab(lab_id, language)

    async def look_again(self) -> None:
        """Read anew where the learner stands, and show it."""
        trained = self.standing.trained or await asyncio.to_thread(self._has_trained)
        try:
            self.standing = standing_.look_at_lab(self.lab_id, self.language, trained=trained)
        except DescentError as error:
            self.refuse(error)
            return
        if self.is_attached:
            await self.show_standing()
            self.refresh_bindings()

    def _has_trained(self) -> bool:
        """Whether a run of this lab is known."""
        opened: list[Path] = [folder.path for folder in self._descent.opened]
        return any_of([*opened, *find.known_runs(paths.runs_dir(self._descent.runs_dir))], self.lab_id)

    def refuse(self, error: Exception) -> None:
        self.tell_learner(" ".join(str(error).split()), "trouble")


class CheckKeys(LearnerScreen):
    """One key has the lab graded; escape, which the subclass binds, stops that."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("k", "check", "have it graded", show=False, id="lab.check")]

    _check_since = 0.0
    _under_way = ""  # in words

    # --- for the subclass ---

    def is_ready(self) -> bool:
        """Whether it can be graded; says what is missing."""
        raise NotImplementedError

    async def edit_files(self) -> None:
        raise NotImplementedError

    def show_pass(self) -> None:
        raise NotImplementedError

    # --- what is under way ---

    @property
    def check_worker(self) -> Worker[None] | None:
        """The grading under way."""
        return next((one for one in self.workers if one.group == "grade" and not one.is_finished), None)

    def stop_check(self) -> bool:
        """Stop the grading under way; whether there was one."""
        worker = self.check_worker
        if worker is None:
            return False
        if worker.is_cancelled:
            return True  # it is ending what it has started
        worker.cancel()
        seconds = int(time.monotonic() - self._check_since)
        self.tell_learner(word("check stopped", self.language, seconds=seconds))
        return True

    def may_leave_check(self) -> bool:
        """Whether no grading is under way that leaving would stop; says how to stop it."""
        if self.check_worker is not None:
            self.tell_learner(word("wait", self.language), busy=True)
        return self.check_worker is None

    # --- from the key to the verdict ---

    def action_check(self) -> None:
        if self.may_leave_check():
            self.run_worker(self._ask_for_check(), group="dialog", exclusive=True)

    async def _ask_for_check(self) -> None:
        """Check, unless nothing has changed and the learner thinks better of it."""
        await self.look_again()
        if not self.is_ready():
            return
        wanted: str | None = "check"
        if self.standing.unchanged:
            wanted = await self.app.push_screen_wait(self._ask_what_else())
        if wanted == "write":
            await self.edit_files()
        elif wanted == "check":
            self.start_check()

    def _ask_what_else(self) -> Ask[str]:
        said = self.standing.problem or reached(self.standing.record, self.language)
        choices = [("w", "write", "write"), ("k", "check anyway", "check"), ("escape", "not now", "")]
        return Ask(
            word("unchanged", self.language),
            word("unchanged since", self.language, said=said),
            [(key, word(label, self.language), value) for key, label, value in choices],
        )

    def start_check(self) -> None:
        """Have it graded as it is."""
        self.run_worker(self._check(), group="grade")

    async def _check(self) -> None:
        self._check_since, self._under_way = time.monotonic(), word("grading begins", self.language)
        timer = self.set_interval(1, self._tell_under_way)
        self._tell_under_way()
        try:
            verdict = await grade(self.lab_id, self.standing.folder, self.language, self._hear)
        except (DescentError, OSError) as error:
            timer.stop()
            self._tell_failure(str(error))
        else:
            self.call_later(self._take_verdict, verdict)  # from here on there is nothing to be stopped
        finally:
            timer.stop()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.worker.group == "grade" and self.is_attached:
            self.show_keys()

    async def _take_verdict(self, verdict: dict[str, Any]) -> None:
        await self.look_again()
        self._tell_verdict(verdict)
        self.show_criteria()
        if verdict["passed"]:
            self.show_pass()

    def _hear(self, stage: str, name: str) -> None:
        """What the grader does now, in words."""
        checks = [check.id for check in self.standing.lab.model.checks]
        if stage == "checking" and name in checks:
            self._under_way = word("grading checks", self.language, at=checks.index(name) + 1, of=len(checks))
        elif stage == "training":
            parts = [part for part in self.standing.lab.model.parts if name == part or name.startswith(f"{part}-")]
            file = "-".join([self.lab_id, *parts[:1]]) + ".toml"
            self._under_way = word("grading trains", self.language, file=file)
        self._tell_under_way()

    def _tell_under_way(self) -> None:
        worker = self.check_worker
        if worker is not None and not worker.is_cancelled:
            seconds = int(time.monotonic() - self._check_since)
            self.tell_learner(word("grading", self.language, seconds=seconds, doing=self._under_way), busy=True)

    def _tell_failure(self, why: str) -> None:
        self.tell_learner(word("not gradable", self.language, why=" ".join(why.split())), "trouble")

    def _tell_verdict(self, verdict: dict[str, Any]) -> None:
        if verdict.get("problem"):
            self._tell_failure(str(verdict["problem"]))
        elif verdict["passed"]:
            self.tell_learner(word("graded all", self.language, of=verdict["of"]), "good")
        else:
            said = word("graded", self.language, met=verdict["met"], of=verdict["of"])
            self.tell_learner(said, "trouble" if verdict["met"] < verdict["of"] else "good")


LONGEST_CHOICE = 58  # cells that a preset's name and title may take in a dialog
LAB_KEYS = ("hint", "check", "write", "go", "why", "labs")
PANE = VerticalScroll  # what tab goes to, and arrows and page keys scroll: the text, the criteria


class LabKeys(CheckKeys):
    """The keys of a lab, wherever its learner is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "hint", "a hint: what to look at, which knob, the answer", show=False, id="lab.hint"),
        Binding("w", "write", "edit your files", show=False, id="lab.write"),
        Binding("g", "go", "train your preset anew", show=False, id="lab.go"),
        Binding("y", "why", "prediction and result, and why", show=False, id="lab.why"),
        Binding("b", "labs", "other labs", show=False, id="lab.labs"),
        Binding("tab", "app.focus_next", "the next pane; arrows and page keys scroll it", show=False, id="lab.tab"),
        Binding("pageup", "page(-1)", "scroll the text up", show=False, id="lab.up"),
        Binding("pagedown", "page(1)", "scroll the text down", show=False, id="lab.down"),
    ]
    _file = 0  # the one that was edited last

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action not in LAB_KEYS:
            return super().check_action(action, parameters)
        if action == "labs":
            return True
        if action == "why":
            return self.standing.record.passed is not None
        if self._descent.read_only:
            return False
        return action == "hint" or self.standing.record.started is not None

    def lab_hints(self) -> list[tuple[str, str]]:
        """Ids of bindings, and what they are called; the most wanted first."""
        go = "again" if self.standing.trained else "run"
        names = [("lab.go", go), ("lab.write", "write"), ("lab.check", "check"), ("lab.hint", "hint")]
        return [
            (key, word(name, self.language)) for key, name in [*names, ("lab.why", "why"), ("lab.labs", "other labs")]
        ]

    def is_ready(self) -> bool:
        """Whether the files are there and every prediction is made; says what is missing."""
        missing = {"start": "files", "predict": "predict"}.get(self.standing.step)
        if missing is not None:
            self.tell_learner(word("first", self.language, what=word(missing, self.language)), "trouble")
        return missing is None

    # --- keys ---

    def action_page(self, by: int) -> None:
        """Scroll the first pane that has more than it shows."""
        for pane in self.query(PANE):
            if pane.display and pane.max_scroll_y:
                if isinstance(pane, Guide):
                    pane.leave_criteria()
                (pane.scroll_page_down if by > 0 else pane.scroll_page_up)(animate=False)
                return

    def action_hint(self) -> None:
        self.run_worker(self._hint(), group="dialog", exclusive=True)

    async def _hint(self) -> None:
        from tui.screens.dialogs import Reading

        more = True
        while more:
            level, text = flow.hint(self.standing.lab, language=self.language)
            title = say("hint", self.language, level=level, of=flow.LEVELS)
            further = word("next hint", self.language) if level < flow.LEVELS else ""
            reading = Reading(title, text, word("close", self.language), further=further)
            said: bool | None = await self.app.push_screen_wait(reading)
            more = bool(said)
        await self.look_again()

    def action_write(self) -> None:
        self.run_worker(self.edit_files(), group="dialog", exclusive=True)

    async def edit_files(self) -> None:
        from tui.screens.lab.editor import Write

        files = [path for path in self.standing.files if path.is_file()]
        if not files:
            name, folder = self.standing.files[0].name, self.standing.folder
            self.tell_learner(word("gone", self.language, file=name, folder=folder), "trouble")
            return
        self._file = await self.app.push_screen_wait(Write(self.standing, files, at=self._file)) or 0
        await self.look_again()

    def action_go(self) -> None:
        if self.is_ready() and self.may_leave_check():
            self.run_worker(self.train(), group="dialog", exclusive=True)

    async def train(self) -> None:
        """Train a preset of the lab in the background, and watch."""
        from tui.screens import starting

        presets = self.standing.presets
        chosen: str | None = str(presets[0][0])
        if len(presets) > 1:
            chosen = await self.app.push_screen_wait(self._ask_which(presets))
        if chosen:
            self.tell_learner(f"{Path(chosen).name} …", busy=True)
            await starting.start(self._descent, chosen, ())
            self.tell_learner("")

    def _ask_which(self, presets: Sequence[tuple[Path, str]]) -> Ask[str]:
        width = max(len(path.name) for path, _ in presets)
        choices = [
            (str(at), f"{path.name:<{width}}  {fitted(clean(title), LONGEST_CHOICE - width).rstrip()}", str(path))
            for at, (path, title) in enumerate(presets, 1)
        ]
        choices.append(("escape", word("not now", self.language), ""))
        return Ask(word("train", self.language), word("which run", self.language), choices)

    # --- after a pass ---

    def show_pass(self) -> None:
        from tui.screens.lab.passed import Passed

        self.app.push_screen(Passed(self.standing), self._after_pass)

    def _after_pass(self, go_on: bool | None) -> None:
        self.run_worker(self.next_lab() if go_on else self.look_again(), group="dialog", exclusive=True)

    def action_why(self) -> None:
        self.show_pass()

    async def next_lab(self) -> None:
        """The lab that comes next in the course."""
        upcoming = await asyncio.to_thread(lambda: flow.upcoming(progress.load()))
        if upcoming is None:
            self.tell_learner(word("course done", self.language), "good")
        else:
            self._descent.open_lab(upcoming.id)

    def action_labs(self) -> None:
        if self.may_leave_check():
            self.run_worker(self._choose_lab(), group="dialog", exclusive=True)

    async def _choose_lab(self) -> None:
        from tui.screens.choices import Course

        chosen = await self.app.push_screen_wait(Course(self.language, self.lab_id))
        if chosen is not None and chosen != self.lab_id:
            self._descent.open_lab(chosen)


# --- the files ---


async def get_files(screen: LabKeys) -> None:
    """Put the lab's files into the current folder; what is there already is never lost."""
    standing, language = screen.standing, screen.language
    folder, begin = Path.cwd(), partial(flow.start, standing.lab, language=language)
    there = [path for path in (folder / file.name for file in standing.files) if path.exists()]
    again = False
    if there:
        names = "\n".join(f"  {path.name}" for path in there)
        choices = [("g", "use them", "use"), ("m", "move them", "move"), ("escape", "not now", "")]
        text = f"{word('files there', language, folder=folder)}\n{names}"
        chosen = await screen.app.push_screen_wait(
            Ask(word("files", language), text, [(key, word(label, language), value) for key, label, value in choices])
        )
        if chosen == "use":
            progress.started(screen.lab_id, folder)
        again = chosen == "move"
    if not there or again:
        try:
            files = begin(folder, again)
        except DescentError as error:
            screen.refuse(error)
            return
        names = ", ".join(file.name for file in files)
        screen.tell_learner(word("in", language, files=names, folder=folder), "good")
    await screen.look_again()
