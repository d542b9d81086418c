"""The console of a lab's run: the text beside it, the goals in its charts, the criteria below."""

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll

from descent.common.i18n import Language
from descent.run.folder import RunFolder
from tui.base import Notice
from tui.data.translation import word
from tui.screens.console.screen import Console
from tui.screens.lab.base import LabKeys
from tui.widgets.chart import Chart
from tui.widgets.chart_sources import goals, with_goal
from tui.widgets.lab_checks import Checks
from tui.widgets.lab_guide import Guide
from tui.widgets.panes import ConsolePanes

Hints = list[tuple[tuple[str, ...], str]]
WANTED = ("lab.go", "lab.write", "lab.check", "lab.hint")
LESS_WANTED = ("lab.why", "lab.labs")


class LabConsole(LabKeys, Console):
    """Where the terminal is narrow, the charts come first, and the text takes turns with them."""

    CSS = """
    LabConsole #lab-run { height: 1fr; }
    LabConsole Guide { width: 1fr; min-width: 30; border-right: vkey $rule; }
    LabConsole ConsolePanes { width: 2fr; }
    LabConsole #lab-checks { height: auto; max-height: 12; margin-top: 1; scrollbar-size-vertical: 1; }
    LabConsole.-narrow Guide, LabConsole.-tiny Guide { display: none; }
    LabConsole.-narrow.-reading Guide, LabConsole.-tiny.-reading Guide { display: block; border: none; }
    LabConsole.-narrow.-reading ConsolePanes, LabConsole.-tiny.-reading ConsolePanes { display: none; }
    LabConsole.-short #lab-checks, LabConsole.-flat #lab-checks { display: none; }
    LabConsole.-short Guide Checks, LabConsole.-flat Guide Checks { display: block; }
    LabConsole.-narrow #lab-checks, LabConsole.-tiny #lab-checks { display: none; }
    LabConsole.-normal.-reading Guide, LabConsole.-wide.-reading Guide { display: none; }
    .-ascii LabConsole Guide { border-right: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "text", "the text, or the console alone", show=False, id="lab.text"),
    ]

    def __init__(self, folder: RunFolder, lab_id: str, language: Language) -> None:
        super().__init__(folder)
        self.take(lab_id, language)

    def compose_middle(self) -> ComposeResult:
        with Horizontal(id="lab-run"):
            yield Guide()
            yield ConsolePanes(self.descent.settings)
        with VerticalScroll(id="lab-checks"):
            yield Checks()

    def on_mount(self) -> None:
        self.call_later(self._draw_goals)  # the console gives its charts their sources after this
        self.run_worker(self.look_again(), group="standing")

    def _draw_goals(self) -> None:
        for pane, check in goals(self.standing.lab.model.checks).items():
            chart = self.query_one(f"#{pane}", Chart)
            if chart.source is not None:
                chart.source = with_goal(chart.source, check, self.language)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_criteria_again)

    def _show_criteria_again(self) -> None:
        for checks in self.query(Checks):
            checks.show_again()

    def tell_learner(self, text: str, style: str = "", *, busy: bool = False) -> None:
        self.say(Notice(text, style, busy, since=time.monotonic()))

    async def show_standing(self) -> None:
        if self.query(Guide):
            self.query_one("#lab-checks Checks", Checks).show(self.standing)
            await self.query_one(Guide).show(self.standing)

    def show_criteria(self) -> None:
        """Below the charts, or where there is no room for them there, at the end of the text."""
        below = self.query_one("#lab-checks")
        below.scroll_home(animate=False)
        if not below.display:
            self.set_class(self._takes_turns, "-reading")
            self.query_one(Guide).bring_criteria()
            self.show_hints()

    @property
    def _takes_turns(self) -> bool:
        """Whether there is no room for text and charts beside each other."""
        return self.has_class("-narrow") or self.has_class("-tiny")

    # --- keys ---

    def show_keys(self) -> None:
        self.show_hints()

    def action_text(self) -> None:
        self.toggle_class("-reading")
        self.show_hints()

    def action_back(self) -> None:
        if not self.stop_check():
            super().action_back()

    def action_detach(self) -> None:
        if self.may_leave_check():
            super().action_detach()

    def steering_hints(self) -> Hints:
        """What a learner wants comes first: on a small screen there is room for little else."""
        reads = self._takes_turns and self.has_class("-reading")
        text = word("charts" if reads else "text", self.language)
        stop: Hints = [(("console.back",), word("stop check", self.language))] if self.check_worker else []
        trouble, pause, *more = super().steering_hints()
        return [*stop, trouble, (("lab.text",), text), pause, *self._lab_hints(WANTED), *more]

    def _own_hints(self) -> Hints:
        return [*self._lab_hints(LESS_WANTED), *super()._own_hints()]

    def _lab_hints(self, wanted: tuple[str, ...]) -> Hints:
        return [((key,), label) for key, label in self.lab_hints() if key in wanted]
