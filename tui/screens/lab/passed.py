"""The screen after a pass: predictions and results, the reference curve, the explanation."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.stdio import lines
from descent.common.text import unmarked
from engine.labs import flow, progress
from tui.base import ConsoleApp
from tui.data.labs import LabStatus
from tui.widgets.chart import Chart
from tui.widgets.chart_sources import reference
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.lines import Line as Row
from tui.widgets.lines import Lines, Piece, cut, wrapped
from tui.widgets.prose import Prose
from tui.widgets.top_line import LabLine


class Compared(Lines):
    """Each prediction: the question, the answer, the result, and to a wrong answer why it came out so."""

    DEFAULT_CSS = """
    Compared { height: auto; padding: 0 1; margin-bottom: 1; }
    """
    standing: LabStatus | None = None

    def show(self, standing: LabStatus) -> None:
        self.standing = standing
        self.styles.height = len(self._rows(standing, self.content_size.width or 40))
        self.show_lines()

    def on_resize(self) -> None:
        if self.standing is not None:
            self.show(self.standing)  # other breaks, another height

    def lines(self, width: int, height: int) -> list[Row]:
        return [cut(row, width) for row in self._rows(self.standing, width)] if self.standing is not None else []

    def _rows(self, standing: LabStatus, width: int) -> list[Row]:
        results = standing.results
        width = max(20, width)
        rows: list[Row] = [(Piece(_("Your predictions"), "strong"),)]
        for question in standing.lab.model.predictions:
            answer, result = standing.record.predictions.get(question.id), results.get(question.id)
            said = flow.in_words(question, answer)
            rows += [(Piece(line, "quiet"),) for line in wrapped(unmarked(str(question.text)), width)]
            right = flow.is_right(question, answer, result) if result is not None else None
            sign, style = {None: ("  ", ""), True: ("✓ ", "good"), False: ("✗ ", "trouble")}[right]
            given = wrapped(_("your answer: {value}", value=said), width - 2)
            rows += [(Piece(f"{sign if line is given[0] else '  '}{line}", style),) for line in given]
            if result is None:
                continue
            came = wrapped(_("result: {value}", value=flow.in_words(question, result)), width - 2)
            rows += [(Piece(f"  {line}", "" if right else "strong"),) for line in came]
            if right is False and (why := flow.why_wrong(question, answer)):
                rows += [(Piece(f"  {line}"),) for line in wrapped(unmarked(why), width - 2)]
        return rows


class Passed(Screen[bool]):
    """Dismissed with True to go on to the next lab, False to stay."""

    app: ConsoleApp
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal")]  # noqa: RUF012 - Textual's own
    # Narrow, all of it is one column that scrolls; else the text scrolls beside the rest.
    CSS = """
    Passed #passed-body { height: 1fr; layout: horizontal; overflow-y: hidden; scrollbar-size-vertical: 1; }
    Passed #passed-text { width: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    Passed Markdown { background: transparent; padding: 0; margin: 0; }
    Passed #passed-side { width: 1fr; }
    Passed Chart { height: 1fr; max-height: 24; }
    Passed Chart.-nothing, Passed Compared.-nothing { display: none; }
    Passed.-narrow #passed-body { layout: vertical; overflow-y: auto; }
    Passed.-narrow #passed-side, Passed.-narrow #passed-text { height: auto; }
    Passed.-narrow Chart { height: 12; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "leave(True)", N_("next lab"), show=False, id="passed.next"),
        Binding("escape,q", "leave(False)", N_("back to this lab"), show=False, id="passed.back"),
        Binding("s", "solution", N_("the reference solution"), show=False, id="passed.solution"),
        Binding("pageup", "page(-1)", N_("scroll up"), show=False, id="passed.up"),
        Binding("pagedown", "page(1)", N_("scroll down"), show=False, id="passed.down"),
    ]

    def __init__(self, standing: LabStatus) -> None:
        super().__init__()
        self._standing = standing

    def compose(self) -> ComposeResult:
        yield LabLine()
        with VerticalScroll(id="passed-body"):
            with Vertical(id="passed-side"):
                yield Compared()
                yield Chart("", id="reference")
            with VerticalScroll(id="passed-text"):
                yield Prose(self._explanation())
        yield KeyLine()

    def _explanation(self) -> str:
        standing = self._standing
        title = _("{title}: passed", title=standing.title)
        return lines(f"## {title}\n\n{standing.lab.model.explanation}")

    def on_mount(self) -> None:
        standing = self._standing
        self.query_one(LabLine).show(standing)
        compared = self.query_one(Compared)
        compared.set_class(not standing.lab.model.predictions, "-nothing")
        self.call_after_refresh(compared.show, standing)  # its width is known then
        data, title, is_loss = reference(standing)
        chart = self.query_one(Chart)
        chart.set_class(not data.lines, "-nothing")
        chart.title, chart.log_y = title, is_loss
        chart.source = lambda dots, zoom: data
        chart.refresh_data()
        self.query_one(KeyLine).show(
            [
                Hint("enter", _("next lab"), "leave(True)"),
                Hint("s", _("solution"), "solution"),
                Hint("pgdn", _("scroll"), "page(1)"),
                Hint("esc", _("back"), "leave(False)"),
            ]
        )

    def on_resize(self) -> None:
        self.call_after_refresh(self._focus_what_scrolls)

    def _focus_what_scrolls(self) -> None:
        """Focus what scrolls, so that the arrows scroll it."""
        self._scrolling.focus(scroll_visible=False)

    @property
    def _scrolling(self) -> VerticalScroll:
        body = "#passed-body" if self.has_class("-narrow") else "#passed-text"
        return self.query_one(body, VerticalScroll)

    def action_page(self, by: int) -> None:
        (self._scrolling.scroll_page_down if by > 0 else self._scrolling.scroll_page_up)(animate=False)

    def action_leave(self, go_on: bool) -> None:
        if not self.app.read_only:
            progress.read(self._standing.lab.id)
        self.dismiss(go_on)

    def action_solution(self) -> None:
        from tui.screens.reading import Reading

        try:
            solution = flow.solution(self._standing.lab)
        except DescentError as error:
            self.app.notify(str(error), markup=False)
            return
        changes = "\n".join(f"- `{change}`" for change in solution.set)
        code = self._standing.lab.solution_code
        source = f"```python\n{code.read_text(encoding='utf-8')}\n```" if code is not None else ""
        text = "\n\n".join(part for part in (changes, str(solution.text), source) if part)
        self.app.push_screen(Reading(_("Solution"), text, _("close")))
