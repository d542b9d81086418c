"""A lab before and between its runs: the text, the steps, the criteria. Enter does the next step."""

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.text import clean
from engine.labs import flow, progress
from tui.base import ConsoleApp, ShowNotice
from tui.data.labs import Next, next_words
from tui.screens.dialogs import Ask
from tui.screens.lab.keys import KEYS
from tui.screens.lab.panel import LabPanel
from tui.widgets.key_line import Hint, KeyLine, written
from tui.widgets.top_line import LabLine, NoticeLine

BACK_AT = 4  # among the keys: before those for which a small screen has no room
_OWN_KEYS: dict[Next, str] = {"run": "lab.go", "check": "lab.check", "write": "lab.write", "explain": "lab.why"}


class LabScreen(Screen[None]):
    """One lab."""

    app: ConsoleApp
    AUTO_FOCUS = "Guide"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012 - Textual's own
    CSS = """
    LabScreen NoticeLine { height: 1; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *KEYS,
        Binding("enter", "go_on", N_("the next step"), show=False, id="lab.next"),
        Binding(
            "escape,q", "back", N_("back; asks whether to stop a check that is under way"), show=False, id="lab.back"
        ),
    ]

    def __init__(self, panel: LabPanel) -> None:
        super().__init__()
        self.panel = panel
        self.lab_id = panel.lab_id

    def compose(self) -> ComposeResult:
        yield LabLine()
        yield self.panel
        yield NoticeLine()
        yield KeyLine()

    def on_mount(self) -> None:
        self.bindings_updated_signal.subscribe(self, lambda __: self._show())
        self._show()

    async def on_screen_resume(self) -> None:
        await self.panel.look_again()

    def on_show_notice(self, message: ShowNotice) -> None:
        self.query_one(NoticeLine).say(message.notice)

    def _show(self) -> None:
        """Show the lab's status, and what the keys do now."""
        if not self.query(KeyLine):
            return
        status = self.panel.status
        self.query_one(LabLine).show(status)
        keys = {active.binding.id: active.binding for active in self.active_bindings.values() if active.enabled}
        is_checking = self.panel.check_worker is not None
        back = Hint("esc", _("stop the check") if is_checking else _("back"), "back")
        own = _OWN_KEYS.get(status.next, "")
        also = f" {written(keys[own].key)}" if own in keys else ""
        hints = [] if self.panel.is_turning else [Hint(f"enter{also}", next_words(status), "go_on")]
        # Enter is what trains first; g is for the runs after that one.
        left_out = set() if self.panel.is_turning else {own, "lab.go" if status.next in ("start", "predict") else ""}
        for names, label in self.panel.hints():
            if found := [keys[name] for name in names if name in keys and name not in left_out]:
                hints.append(Hint(" ".join(written(each.key) for each in found), label, found[-1].action))
        hints.insert(0 if is_checking else BACK_AT, back)
        self.query_one(KeyLine).show([*hints, Hint("?", _("help"), "app.help")])

    # --- keys ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action, parameters:
            case "panel", (str(key),):
                return self.panel.can(key)
        return True

    def action_panel(self, key: str) -> None:
        """One of the lab's keys."""
        self.panel.press(key)

    def action_back(self) -> None:
        if not self.panel.ask_to_stop():
            self.app.pop_screen()

    def action_go_on(self) -> None:
        if self.app.read_only:
            self.panel.tell(_("read-only"), "trouble")
        elif self.panel.may_leave():
            self.panel.begin(self._go_on())

    async def _go_on(self) -> None:
        """Do the next step. Files may have been edited elsewhere, so look again first."""
        await self.panel.look_again()
        match self.panel.status.next:
            case "start":
                await self._get_files()
            case "predict":
                await self._predict()
            case "run":
                await self.panel.train()
            case "check":
                self.panel.start_check()
            case "write":
                await self.panel.edit_files()
            case "explain":
                self.panel.show_pass()
            case "done":
                await self.panel.next_lab()

    async def _get_files(self) -> None:
        """Put the lab's files into the current folder. Files that are there already are never lost."""
        status, folder = self.panel.status, Path.cwd()
        there = [path for path in (folder / file.name for file in status.files) if path.exists()]
        again = False
        if status.missing and status.folder.is_dir() and (not there or folder == status.folder):
            await self._put_files_back()
            return
        if there:
            names = "\n".join(f"  {path.name}" for path in there)
            choices = [
                ("g", _("go on with them"), "use"),
                ("m", _("move them aside and start again"), "move"),
                ("escape", _("not now"), ""),
            ]
            text = f"{_('{folder} already has these files:', folder=folder)}\n{names}"
            chosen = await self.app.push_screen_wait(Ask(_("get files"), text, choices))
            if chosen == "use":
                progress.started(self.lab_id, folder)
            again = chosen == "move"
        if not there or again:
            try:
                files = flow.start(status.lab, folder, again=again)
            except DescentError as error:
                self.panel.refuse(error)
                return
            names = ", ".join(file.name for file in files)
            self.panel.tell(_("{files} in {folder}", files=names, folder=folder), "good")
        await self.panel.look_again()

    async def _put_files_back(self) -> None:
        status = self.panel.status
        try:
            files = flow.put_back(status.lab, status.folder)
        except DescentError as error:
            self.panel.refuse(error)
            return
        names = ", ".join(file.name for file in files)
        self.panel.tell(_("{files} in {folder}", files=names, folder=status.folder), "good")
        await self.panel.look_again()

    async def _predict(self) -> None:
        """Ask the open questions, one after the other. Each answer is kept at once."""
        from tui.screens.lab.predict import Predict

        lab = self.panel.status.lab
        questions = lab.model.predictions
        for asked in flow.once_more(lab, progress.load()):
            await self._ask_once_more(asked)
        for question in flow.unanswered(lab, progress.load()):
            at = questions.index(question) + 1
            title = _("prediction {at} of {of}", at=at, of=len(questions))
            answer = await self.app.push_screen_wait(Predict(question, title))
            if answer is None:
                break
            flow.predict(lab, {question.id: answer})
        await self.panel.look_again()

    async def _ask_once_more(self, asked: flow.OnceMore) -> None:
        """Ask what was missed in an earlier lab, and say at once what came out there."""
        from tui.screens.lab.predict import Predict
        from tui.screens.reading import Reading

        title = _("once more: {lab}", lab=clean(str(asked.lab.model.title)))
        answer = await self.app.push_screen_wait(Predict(asked.question, title))
        said = flow.answered_once_more(asked, answer)
        if answer is not None:
            await self.app.push_screen_wait(Reading(title, said, _("close")))
