"""What every screen of a lab can do: hint, check, edit the files, train, read why, go to the next lab."""

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.screen import Screen

from engine.errors import DescentError
from engine.labs import flow, progress
from engine.labs.format import Language
from engine.labs.texts import say
from tui.labs import standing as standing_
from tui.labs.grader import grade
from tui.labs.standing import Standing
from tui.labs.words import word
from tui.screens.ask import Ask

if TYPE_CHECKING:
    from tui.app import DescentApp

LAB_KEYS = ("hint", "check", "write", "go", "why", "labs")


class LabKeys(Screen[None]):
    """A screen on a lab. The subclass shows `standing` and what `tell_learner` is told."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "hint", "a hint: what to look at, which knob, the answer", show=False, id="lab.hint"),
        Binding("k", "check", "have it graded", show=False, id="lab.check"),
        Binding("w", "write", "edit your files", show=False, id="lab.write"),
        Binding("g", "go", "train your preset anew", show=False, id="lab.go"),
        Binding("y", "why", "prediction and result, and why", show=False, id="lab.why"),
        Binding("b", "labs", "other labs", show=False, id="lab.labs"),
    ]
    lab_id: str
    language: Language
    standing: Standing
    _file = 0  # the one that was edited last

    @property
    def _descent(self) -> "DescentApp":
        return cast("DescentApp", self.app)

    # --- for the subclass ---

    def tell_learner(self, text: str, style: str = "", *, busy: bool = False) -> None:
        """style: "", "good" or "trouble". busy: it is still under way."""
        raise NotImplementedError

    async def show_standing(self) -> None:
        raise NotImplementedError

    # --- what is common ---

    def take(self, lab_id: str, language: Language) -> None:
        """Be about this lab. DescentError where there is none."""
        self.lab_id, self.language = lab_id, language
        self.standing = standing_.look(lab_id, language)

    async def look_again(self) -> None:
        """Read anew where the learner stands, and show it."""
        try:
            self.standing = standing_.look(self.lab_id, self.language, trained=self._has_trained())
        except DescentError as error:
            self.tell_learner(" ".join(str(error).split()), "trouble")
            return
        if self.is_attached:
            await self.show_standing()
            self.refresh_bindings()

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

    def _has_trained(self) -> bool:
        """Whether a run of this lab is known."""
        name = f"{self.lab_id}-"
        runs = [run.folder for run in self._descent.runs or ()] + self._descent.opened
        return any(folder.id.startswith(name) for folder in runs)

    def lab_hints(self) -> list[tuple[str, str]]:
        """Ids of bindings, and what they are called; the most wanted first."""
        names = [("lab.go", "again"), ("lab.write", "write"), ("lab.check", "check"), ("lab.hint", "hint")]
        return [
            (key, word(name, self.language)) for key, name in [*names, ("lab.why", "why"), ("lab.labs", "other labs")]
        ]

    def _ready(self) -> bool:
        """Whether the files are there and every prediction is made; says what is missing."""
        missing = {"start": "files", "predict": "predict"}.get(self.standing.step)
        if missing is not None:
            self.tell_learner(word("first", self.language, what=word(missing, self.language)), "trouble")
        return missing is None

    # --- keys ---

    def action_hint(self) -> None:
        self.run_worker(self._hint(), group="dialog", exclusive=True)

    async def _hint(self) -> None:
        from tui.screens.reading import Reading

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
        self.run_worker(self._write(), group="dialog", exclusive=True)

    async def _write(self) -> None:
        from tui.screens.write import Write

        files = [path for path in self.standing.files if path.is_file()]
        if not files:
            name, folder = self.standing.files[0].name, self.standing.folder
            self.tell_learner(word("gone", self.language, file=name, folder=folder), "trouble")
            return
        self._file = await self.app.push_screen_wait(Write(files, self.language, at=self._file)) or 0
        await self.look_again()

    def action_go(self) -> None:
        if self._ready():
            self.run_worker(self._go(), group="dialog", exclusive=True)

    async def _go(self) -> None:
        """Train a preset of the lab in the background, and watch."""
        from tui.home import starting

        presets = self.standing.presets
        chosen: Path | None = presets[0]
        if len(presets) > 1:
            keys = [(str(at), path.name, path) for at, path in enumerate(presets, 1)]
            chosen = await self.app.push_screen_wait(Ask(word("which run", self.language), "", keys))
        if chosen is not None:
            self.tell_learner(f"{chosen.name} …", busy=True)
            await starting.start(self._descent, str(chosen), ())
            self.tell_learner("")

    def action_check(self) -> None:
        if any(worker.group == "grade" and worker.is_running for worker in self.workers):
            self.tell_learner(word("busy", self.language))
        elif self._ready():
            self.run_worker(self._check(), group="grade", exit_on_error=True)

    async def _check(self) -> None:
        begin = time.monotonic()

        def tick() -> None:
            seconds = int(time.monotonic() - begin)
            self.tell_learner(word("grading", self.language, seconds=seconds), busy=True)

        tick()
        timer = self.set_interval(1, tick)
        try:
            verdict = await grade(self.lab_id, self.standing.folder, self.language)
        except (DescentError, OSError) as error:
            timer.stop()
            self.tell_learner(word("not gradable", self.language, why=" ".join(str(error).split())), "trouble")
            return
        finally:
            timer.stop()
        await self.look_again()
        self._tell_verdict(verdict)
        if verdict["passed"]:
            self._show_pass()

    def _tell_verdict(self, verdict: dict[str, Any]) -> None:
        problem = verdict.get("problem")
        if problem:
            self.tell_learner(word("not gradable", self.language, why=" ".join(str(problem).split())), "trouble")
        elif verdict["passed"]:
            self.tell_learner(word("graded all", self.language, of=verdict["of"]), "good")
        else:
            said = word("graded", self.language, met=verdict["met"], of=verdict["of"])
            self.tell_learner(said, "trouble" if verdict["met"] < verdict["of"] else "good")

    def _show_pass(self) -> None:
        from tui.screens.passed import Passed

        self.app.push_screen(Passed(self.standing), self._after_pass)

    def _after_pass(self, go_on: bool | None) -> None:
        self.run_worker(self._next_lab() if go_on else self.look_again(), group="dialog", exclusive=True)

    def action_why(self) -> None:
        self._show_pass()

    async def _next_lab(self) -> None:
        """The lab that comes next in the course."""
        upcoming = await asyncio.to_thread(lambda: flow.upcoming(progress.load()))
        if upcoming is None:
            self.tell_learner(word("course done", self.language), "good")
        else:
            self._descent.open_lab(upcoming.id)

    def action_labs(self) -> None:
        self.run_worker(self._choose_lab(), group="dialog", exclusive=True)

    async def _choose_lab(self) -> None:
        from tui.screens.course import Course

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
        title = word("files there", language, folder=folder)
        chosen = await screen.app.push_screen_wait(
            Ask(title, names, [(key, word(label, language), value) for key, label, value in choices])
        )
        if chosen == "use":
            progress.started(screen.lab_id, folder)
        again = chosen == "move"
    if not there or again:
        try:
            files = begin(folder, again)
        except DescentError as error:
            screen.tell_learner(" ".join(str(error).split()), "trouble")
            return
        names = ", ".join(file.name for file in files)
        screen.tell_learner(word("in", language, files=names, folder=folder), "good")
    await screen.look_again()
