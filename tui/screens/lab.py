"""A lab before and between its runs: the text, the way through it, the criteria. Enter does what comes next."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll

from engine.labs import flow, progress
from engine.labs.format import Language
from tui.labs.checks import Checks
from tui.labs.guide import Guide
from tui.labs.lab_keys import LabKeys, get_files
from tui.labs.standing import next_words
from tui.labs.way import Way
from tui.labs.words import word
from tui.widgets.key_line import Hint, KeyLine, written
from tui.widgets.lab_line import LabLine, Said


class LabScreen(LabKeys):
    """One lab."""

    AUTO_FOCUS = "Guide"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012 - Textual's own
    CSS = """
    LabScreen #lab-body { height: 1fr; }
    LabScreen Guide { width: 3fr; max-width: 100; }
    LabScreen #lab-side { width: 2fr; border-left: vkey $rule; padding: 0 0 0 1; scrollbar-size-vertical: 1; }
    LabScreen #lab-side Way { margin-bottom: 1; }
    LabScreen.-narrow #lab-body { layout: vertical; }
    LabScreen.-narrow Guide { width: 1fr; height: 1fr; }
    LabScreen.-narrow #lab-side { width: 1fr; height: auto; max-height: 40%; border: none; padding: 0; }
    LabScreen.-narrow #lab-side Way { margin: 0; }
    LabScreen.-narrow #lab-side Checks { display: none; }
    LabScreen Said { height: 1; padding: 0 1; }
    .-ascii LabScreen #lab-side { border-left: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go_on", "what comes next", show=False, id="lab.next"),
        Binding("escape,q", "app.pop_screen", "back", show=False, id="lab.back"),
    ]

    def __init__(self, lab_id: str, language: Language) -> None:
        """DescentError where there is no such lab."""
        super().__init__()
        self.take(lab_id, language)

    def compose(self) -> ComposeResult:
        yield LabLine()
        with Horizontal(id="lab-body"):
            yield Guide()
            with VerticalScroll(id="lab-side"):
                yield Way()
                yield Checks()
        yield Said()
        yield KeyLine()

    async def on_mount(self) -> None:
        await self.show_standing()

    async def on_screen_resume(self) -> None:
        await self.look_again()

    def tell_learner(self, text: str, style: str = "", *, busy: bool = False) -> None:
        if self.is_attached:
            self.query_one(Said).say(text, style, busy=busy)

    async def show_standing(self) -> None:
        if not self.query(KeyLine):
            return
        standing = self.standing
        self.query_one(LabLine).show(standing)
        self.query_one(Way).show(standing)
        self.query_one("#lab-side Checks", Checks).show(standing)
        self._show_keys()
        await self.query_one(Guide).show(standing)

    def _show_keys(self) -> None:
        keys = {active.binding.id: active.binding for active in self.active_bindings.values() if active.enabled}
        hints = [Hint("enter", next_words(self.standing), "go_on")]
        for name, label in self.lab_hints():
            # Enter is what trains first; g is for the runs after that one.
            if name in keys and not (name == "lab.go" and self.standing.step in ("start", "predict")):
                hints.append(Hint(written(keys[name].key), label, keys[name].action))
        hints.append(Hint("esc", word("back", self.language), "app.pop_screen"))
        self.query_one(KeyLine).show([*hints, Hint("?", word("help", self.language), "app.help")])

    def action_go_on(self) -> None:
        if self._descent.read_only:
            self.tell_learner("read-only", "trouble")
            return
        match self.standing.step:
            case "start":
                self.run_worker(get_files(self), group="dialog", exclusive=True)
            case "predict":
                self.run_worker(self._predict(), group="dialog", exclusive=True)
            case "run" if self.standing.trained:
                self.action_check()
            case "run":
                self.action_go()
            case "explain":
                self.action_why()
            case "done":
                self._after_pass(True)

    async def _predict(self) -> None:
        """Ask the questions that are still open, one after the other; each answer is kept at once."""
        from tui.screens.predict import Predict

        questions = self.standing.lab.model.predictions
        for question in flow.unanswered(self.standing.lab, progress.load()):
            at = questions.index(question) + 1
            answer = await self.app.push_screen_wait(Predict(question, at, len(questions), self.language))
            if answer is None:
                break
            flow.predict(self.standing.lab, {question.id: answer})
        await self.look_again()
