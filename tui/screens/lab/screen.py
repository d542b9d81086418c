"""A lab before and between its runs: the text, the way through it, the criteria. Enter does what comes next."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll

from descent.common.i18n import Language
from engine.labs import flow, progress
from tui.data.labs import Next, next_words
from tui.data.translation import word
from tui.screens.lab.base import LabKeys, get_files
from tui.widgets.key_line import Hint, KeyLine, written
from tui.widgets.lab_checks import Checks
from tui.widgets.lab_guide import Guide, Way
from tui.widgets.top_line import LabLine, Said

BACK_AT = 4  # among the keys: before those for which a small screen has no room
_OWN_KEYS: dict[Next, str] = {"run": "lab.go", "check": "lab.check", "write": "lab.write", "explain": "lab.why"}


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
        Binding("escape,q", "back", "back; stops a check that is under way", show=False, id="lab.back"),
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

    def show_criteria(self) -> None:
        if self.has_class("-narrow"):
            self.query_one(Guide).bring_criteria()
        else:
            self.query_one("#lab-side").scroll_home(animate=False)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_criteria_again)

    def _show_criteria_again(self) -> None:
        for checks in self.query(Checks):
            checks.show_again()

    async def show_standing(self) -> None:
        if not self.query(KeyLine):
            return
        standing = self.standing
        self.query_one(LabLine).show(standing)
        self.query_one(Way).show(standing)
        self.query_one("#lab-side Checks", Checks).show(standing)
        self.show_keys()
        await self.query_one(Guide).show(standing)

    def show_keys(self) -> None:
        if not self.query(KeyLine):
            return
        keys = {active.binding.id: active.binding for active in self.active_bindings.values() if active.enabled}
        back = Hint("esc", word("stop check" if self.check_worker else "back", self.language), "back")
        following = self.standing.next
        own = _OWN_KEYS.get(following, "")
        also = f" {written(keys[own].key)}" if own in keys else ""
        hints = [Hint(f"enter{also}", next_words(self.standing), "go_on")]
        for name, label in self.lab_hints():
            # Enter is what trains first; g is for the runs after that one.
            if name in keys and name != own and not (name == "lab.go" and following in ("start", "predict")):
                hints.append(Hint(written(keys[name].key), label, keys[name].action))
        hints.insert(0 if self.check_worker else BACK_AT, back)
        self.query_one(KeyLine).show([*hints, Hint("?", word("help", self.language), "app.help")])

    def action_back(self) -> None:
        if not self.stop_check():
            self.app.pop_screen()

    def action_go_on(self) -> None:
        if self._descent.read_only:
            self.tell_learner("read-only", "trouble")
            return
        if self.may_leave_check():
            self.run_worker(self._go_on(), group="dialog", exclusive=True)

    async def _go_on(self) -> None:
        """What comes next now: files may have been edited elsewhere."""
        await self.look_again()
        match self.standing.next:
            case "start":
                await get_files(self)
            case "predict":
                await self._predict()
            case "run":
                await self.train()
            case "check":
                self.start_check()
            case "write":
                await self.edit_files()
            case "explain":
                self.show_pass()
            case "done":
                await self.next_lab()

    async def _predict(self) -> None:
        """Ask the questions that are still open, one after the other; each answer is kept at once."""
        from tui.screens.lab.predict import Predict

        questions = self.standing.lab.model.predictions
        for question in flow.unanswered(self.standing.lab, progress.load()):
            at = questions.index(question) + 1
            answer = await self.app.push_screen_wait(Predict(question, at, len(questions), self.language))
            if answer is None:
                break
            flow.predict(self.standing.lab, {question.id: answer})
        await self.look_again()
