"""What every screen of a lab can do: hint, check, edit the files, train, read why, go to the next lab."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from engine.errors import DescentError
from engine.labs import flow, progress
from engine.labs.texts import say
from engine.texts import clean
from tui.labs.checking import CheckKeys
from tui.labs.guide import Guide
from tui.labs.words import word
from tui.screens.ask import Ask
from tui.widgets.lines import fitted

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
        self.run_worker(self.edit_files(), group="dialog", exclusive=True)

    async def edit_files(self) -> None:
        from tui.screens.write import Write

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
        from tui.home import starting

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
        from tui.screens.passed import Passed

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
