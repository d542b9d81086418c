"""After a pass: what was predicted and what came out, the reference curve, and why. It waits for the learner."""

import json
from typing import Any, ClassVar

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Markdown

from engine.errors import DescentError
from engine.labs import flow, grading, progress
from engine.labs.texts import say
from engine.metrics import Metrics
from engine.output import lines
from engine.run import RunFolder
from engine.texts import clean
from tui.labs.guide import answer_in_words
from tui.labs.standing import Standing
from tui.labs.words import word
from tui.widgets.chart import Chart
from tui.widgets.chart_data import NOTHING, ChartData, Line
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.lab_line import LabLine
from tui.widgets.lines import Line as Row
from tui.widgets.lines import Lines, Piece, cut, wrapped


class Compared(Lines):
    """A line for each prediction: what was said, what it was."""

    DEFAULT_CSS = """
    Compared { height: auto; padding: 0 1; margin-bottom: 1; }
    """
    rows: tuple[Row, ...] = ()

    def show(self, standing: Standing) -> None:
        language, results = standing.language, standing.results
        rows: list[Row] = [(Piece(word("prediction and result", language), "strong"),)]
        for question in standing.lab.model.predictions:
            texts = {choice.id: clean(choice.text.of(language)) for choice in question.choices}
            said = answer_in_words(standing.record.predictions.get(question.id), texts, question.unit)
            width = max(20, self.content_size.width or 40)
            rows += [(Piece(line, "quiet"),) for line in wrapped(clean(question.text.of(language)), width)]
            rows += [(Piece(f"  {line}"),) for line in wrapped(word("yours", language, value=said), width - 2)]
            result = results.get(question.id)
            if result is not None:
                came = word("came", language, value=answer_in_words(result, texts, question.unit))
                rows += [(Piece(f"  {line}", "good"),) for line in wrapped(came, width - 2)]
        self.rows = tuple(rows)
        self.styles.height = len(rows)
        self.show_lines()

    def lines(self, width: int, height: int) -> list[Row]:
        return [cut(row, width) for row in self.rows]


class Passed(Screen[bool]):
    """Dismissed with True to go on to the next lab, False to stay."""

    AUTO_FOCUS = "VerticalScroll"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal")]  # noqa: RUF012 - Textual's own
    CSS = """
    Passed #passed-body { height: 1fr; }
    Passed VerticalScroll { width: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    Passed Markdown { background: transparent; padding: 0; margin: 0; }
    Passed #passed-side { width: 1fr; }
    Passed Chart { height: 1fr; max-height: 24; }
    Passed.-narrow #passed-body { layout: vertical; }
    Passed.-narrow #passed-side { height: auto; }
    Passed.-narrow Chart { display: none; }
    Passed.-narrow VerticalScroll { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "leave(True)", "the next lab", show=False, id="passed.next"),
        Binding("escape,q", "leave(False)", "back to this lab", show=False, id="passed.back"),
        Binding("s", "solution", "the reference solution", show=False, id="passed.solution"),
    ]

    def __init__(self, standing: Standing) -> None:
        super().__init__()
        self._standing = standing

    def compose(self) -> ComposeResult:
        yield LabLine()
        with Horizontal(id="passed-body"):
            with Vertical(id="passed-side"):
                yield Compared()
                yield Chart("", id="reference")
            with VerticalScroll():
                yield Markdown(self._explanation(), open_links=False)
        yield KeyLine()

    def _explanation(self) -> str:
        terminal = getattr(self.app, "terminal", None)
        standing = self._standing
        title = word("pass title", standing.language, title=standing.title)
        text = lines(f"## {title}\n\n{standing.lab.text('explanation', standing.language)}")
        return text if terminal is None else str(terminal.plain(text))

    def on_mount(self) -> None:
        standing, language = self._standing, self._standing.language
        self.query_one(LabLine).show(standing)
        compared = self.query_one(Compared)
        compared.display = bool(standing.lab.model.predictions)
        self.call_after_refresh(compared.show, standing)  # its width is known then
        data, title = reference(standing)
        chart = self.query_one(Chart)
        chart.display = bool(data.lines)
        chart.title, chart.log_y = title, title.startswith("loss")
        chart.source = lambda dots, zoom: data
        chart.refresh_data()
        self.query_one(KeyLine).show(
            [
                Hint("enter", word("next lab", language), "leave(True)"),
                Hint("s", word("solution", language), "solution"),
                Hint("esc", word("back", language), "leave(False)"),
            ]
        )

    def action_leave(self, go_on: bool) -> None:
        if not getattr(self.app, "read_only", False):
            progress.read(self._standing.lab.id)
        self.dismiss(go_on)

    def action_solution(self) -> None:
        from tui.screens.reading import Reading

        language = self._standing.language
        try:
            solution = flow.solution(self._standing.lab, language=language)
        except DescentError as error:
            self.app.notify(str(error), markup=False)
            return
        changes = "\n".join(f"- `{change}`" for change in solution.set)
        code = self._standing.lab.solution_code
        source = f"```python\n{code.read_text(encoding='utf-8')}\n```" if code is not None else ""
        text = "\n\n".join(part for part in (changes, solution.text.of(language), source) if part)
        self.app.push_screen(Reading(say("solution", language), text, word("close", language)))


def reference(standing: Standing) -> tuple[ChartData, str]:
    """The reference solution's curve with the band of its seeds, and the graded run's own over it; its title."""
    path = standing.lab.folder / "reference.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        steps = np.asarray(known["step"], float)
        low, mean, high = (np.asarray(known[key], float) for key in ("low", "mean", "high"))
        chart, series = str(known["chart"]), str(known["series"])
    except (OSError, ValueError, KeyError, TypeError):
        return NOTHING, ""
    scale = 100.0 if chart == "accuracy" else 1.0
    language = standing.language
    found = [Line("", steps, low * scale, high * scale, "band")]
    found.append(Line(word("reference", language), steps, mean * scale, mean * scale, "planned"))
    own = _own(standing, chart, series)
    if own is not None:
        xs, values = own
        found.append(Line(word("your runs", language), xs, values * scale, values * scale, "validation"))
    last = max(float(line.xs[-1]) for line in found if line.xs is not None and len(line.xs))
    return ChartData(tuple(found), x_range=(0.0, max(1.0, last))), f"{chart} ({series})"


def _own(standing: Standing, chart: str, series: str) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None":
    """The mean over the members of the latest graded run, by step."""
    folder = grading.last_graded(standing.lab.id)
    runs = sorted(folder.rglob("events.jsonl")) if folder is not None else []
    if not runs:
        return None
    run = RunFolder(runs[0].parent)
    return _of_rows(run, chart) if series == "train" else _of_events(run, chart, series)


def _of_rows(run: RunFolder, chart: str) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None":
    stored = Metrics(run.path)
    if stored.layout is None or chart not in stored.layout.columns or len(stored) < 2:
        return None
    rows = stored.rows()[:, :, stored.layout.columns.index(chart)]
    with np.errstate(invalid="ignore"):
        return np.arange(len(rows), dtype=float), rows.mean(axis=1, dtype=float)


def _of_events(run: RunFolder, chart: str, series: str) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None":
    by_step: dict[int, list[float]] = {}
    for event in run.events():
        if event["event"] == "evaluation" and event["split"] == series and isinstance(event.get(chart), int | float):
            by_step.setdefault(int(event["step"]), []).append(float(event[chart]))
    if len(by_step) < 2:
        return None
    steps = sorted(by_step)
    return np.array(steps, float), np.array([np.mean(by_step[step]) for step in steps])
