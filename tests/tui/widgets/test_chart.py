"""The chart on a real screen: whatever its size and its keys do, it shows the run and breaks nothing around it."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult

from tui import themes
from tui.plot import legend
from tui.plot.chart_data import ChartData, Line, Mark
from tui.terminal import Terminal
from tui.widgets.chart import Chart


class _Source:
    """A thousand steps of 1 / (1 + step), and what was asked for."""

    def __init__(self, app: "_App") -> None:
        self.app = app
        self.steps = 1000
        self.top = 1.0
        self.asked: list[tuple[float, float] | None] = []

    def __call__(self, dots: int, zoom: tuple[float, float] | None) -> ChartData:
        self.asked.append(zoom)
        low, high = zoom or (0.0, float(self.steps))
        xs = np.arange(np.ceil(low), min(high, self.steps) + 1)
        ys = self.top / (1 + xs / 100)
        lines = (Line("train", xs, ys, ys, "train"), Line("검증", xs[::200], ys[::200], ys[::200], "validation", "●"))
        marks = (Mark(400.0, "학습률 ×0.5"),)
        end = float(self.steps - 1)
        return ChartData(lines, marks, (low, high), self.app.chart.x_mode, note="코사인", end=end)


class _App(App[None]):
    CSS = "Screen { background: $background; }"

    def __init__(self, title: str = "loss", *, unicode: bool = True, **options: Any) -> None:
        super().__init__()
        self.terminal = Terminal(unicode=unicode)
        for name in themes.NAMES:
            self.register_theme(themes.theme(name))
        self.theme = "dark"
        self.asked = _Source(self)
        self.chart = Chart(title, self.asked, smoothing=0.6, **options)
        self.changes = 0

    def compose(self) -> ComposeResult:
        yield self.chart

    def on_chart_changed(self) -> None:
        self.changes += 1

    def shown(self) -> list[str]:
        return [strip.text for strip in self.screen._compositor.render_strips()]


TITLES = ["loss", "검증 손실이 아주 긴 한국어 제목인 그래프의 이름", "a" * 300, "[red]no[/] markup\x1b[31m"]


@asynccontextmanager
async def _running(
    size: tuple[int, int] = (80, 20), kind: type[_App] = _App, **options: Any
) -> AsyncIterator[tuple[_App, Any]]:
    app = kind(**options)
    async with app.run_test(size=size) as pilot:
        app.chart.focus()
        await pilot.pause()
        yield app, pilot


async def test_title_legend_and_settings_are_in_the_border() -> None:
    async with _running() as (app, _):
        rows = app.shown()
        assert rows[0].startswith("╭─ loss  ━ train 0.0909  ┅ 검증 0.0909 ─")
        assert rows[-1].endswith("─ 코사인 · smooth 0.6 · by step ─╯")
        assert any("학습률 ×0.5" in row for row in rows)
        assert any("⠉" in row or "⢇" in row for row in rows)


def test_a_value_comes_before_the_explanation_of_a_title() -> None:
    """At 80 columns the chart of a layer's gradient norm explained itself and had no number."""
    line = Line("grad_norm", np.arange(3.0), np.full(3, 0.5), np.full(3, 0.5), "train")
    for room, told in ((50, "gradient norm: near 0 is vanishing  ━ 0.500"), (34, "gradient norm  ━ 0.500")):
        pieces = legend.title("gradient norm: near 0 is vanishing", (line,), room, unicode=True)
        assert "".join(text for text, _ in pieces) == told


def test_a_title_names_the_first_candidates_alone() -> None:
    """The worst one, whose name is shorter, stood beside the best one and passed for the next best."""
    values = np.array([0.1, 0.2])
    lines = [
        Line(name, None, values, values, "run1", marker=str(number), marked=(0.5,))
        for number, name in enumerate(("lr 0.01", "lr 0.00001", "lr 1"), 1)
    ]
    assert "".join(text for text, _ in legend.title("loss", lines, 36, unicode=True)) == "loss  1 lr 0.01 0.200"


def test_the_run_before_is_named_beside_a_line_that_stands_alone() -> None:
    """Two values without names stood in a lab's chart of the accuracy, and nobody knew which was of which run."""
    values = np.array([50.0, 90.0])
    lines = [Line(name, None, values, values, style) for name, style in (("train", "train"), ("before", "ghost"))]
    assert "".join(text for text, _ in legend.title("accuracy", lines, 60, unicode=True)).split("━") == [
        "accuracy  ",
        " 90.0    ",
        " before 90.0",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("unicode", [True, False])
async def test_the_border_holds_at_any_size(title: str, unicode: bool) -> None:
    async with _running(title=title, unicode=unicode) as (app, pilot):
        for width, height in ((12, 4), (13, 5), (4, 3), (2, 2), (21, 7), (34, 9), (200, 60), (80, 24)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            rows = app.shown()
            assert [cell_len(row) for row in rows] == [width] * height
            corners = rows[0][0] + rows[0][-1] + rows[-1][0] + rows[-1][-1]
            assert corners == ("╭╮╰╯" if unicode else "++++")
            assert unicode or "".join(rows).isascii()
            assert "\x1b" not in "".join(rows)


@pytest.mark.slow
async def test_keys_change_what_is_shown() -> None:
    async with _running() as (app, pilot):
        chart = app.chart
        for key in ("y", "s", "t"):
            await pilot.press(key)
        assert (chart.log_y, chart.smoothing, chart.x_mode, app.changes) == (True, 0.9, "epoch", 3)
        assert "log · smooth 0.9 · by epoch" in app.shown()[-1]
        await pilot.press("t", "t")
        await pilot.press("right_square_bracket")
        assert chart.zoom == (250, 750)
        assert "zoomed" in app.shown()[-1]
        await pilot.press("shift+left")
        assert chart.zoom == (150, 650)
        await pilot.press(*["shift+right"] * 9)
        assert chart.zoom == (500, 1000)  # not beyond what there is
        await pilot.press(*["up"] * 20)
        assert chart.zoom is not None
        assert chart.zoom[1] - chart.zoom[0] == 4  # not closer than single steps
        await pilot.press("0")
        assert chart.zoom is None
        assert app.asked.asked[-1] is None


async def test_the_cursor_reads_exact_values() -> None:
    async with _running() as (app, pilot):
        await pilot.press("left")  # begins at the last step
        assert "step 999 ─" in app.shown()[-1]
        assert "train 0.0910  ┅ 검증 0.111" in app.shown()[0]
        await pilot.press("left")
        assert app.chart.cursor is not None
        assert 980 < app.chart.cursor < 990
        await pilot.press("escape")
        assert "smooth" in app.shown()[-1]
        await pilot.hover(Chart, offset=(40, 5))
        await pilot.pause()
        assert "step " in app.shown()[-1]


async def test_keys_that_mean_nothing_here_are_left_to_the_screen() -> None:
    """Escape would no longer lead back, nor the arrows to another chart."""
    heard: list[str] = []

    class Listening(_App):
        def action_heard(self, key: str) -> None:
            heard.append(key)

    async with _running(kind=Listening) as (app, pilot):
        for key in ("escape", "shift+left"):
            app.bind(key, f"heard('{key}')")
            await pilot.press(key)
        assert heard == ["escape", "shift+left"]


async def test_keys_can_be_remapped() -> None:
    async with _running() as (app, pilot):
        app.set_keymap({"chart.log": "u"})
        await pilot.press("y")
        assert not app.chart.log_y
        await pilot.press("u")
        assert app.chart.log_y


async def test_what_a_log_axis_cannot_show_is_drawn_linear_and_said() -> None:
    async with _running(log_y=True) as (app, pilot):
        assert "log" in app.shown()[-1]
        source = app.chart.source
        assert source is not None
        app.chart.source = lambda dots, zoom: dataclasses.replace(source(dots, zoom), fits_log=False)
        app.chart.refresh_data()
        assert not app.chart._y_axis.log
        await pilot.pause()
        assert "linear: some < 0" in app.shown()[-1]


async def test_the_wheel_zooms_at_the_mouse_and_a_drag_pans() -> None:
    async with _running() as (app, pilot):
        chart = app.chart
        await pilot._post_mouse_events([_scroll_up()], Chart, offset=(60, 5))
        await pilot.pause()
        assert chart.zoom is not None
        low, high = chart.zoom
        assert low > 1000 - high  # nearer to where the mouse was
        await pilot.mouse_down(Chart, offset=(60, 5))
        await pilot.hover(Chart, offset=(70, 5))
        await pilot.mouse_up(Chart, offset=(70, 5))
        await pilot.pause()
        assert chart.zoom is not None
        assert chart.zoom[0] < low


def _scroll_up() -> Any:
    from textual.events import MouseScrollUp

    return MouseScrollUp


async def test_nothing_is_painted_where_nothing_changed() -> None:
    """Over SSH, every frame would cost the whole chart."""
    async with _running() as (app, pilot):
        app.chart.refresh_data()
        await pilot.pause()
        app.chart.refresh_data()
        assert not app.chart._repaint_regions
        app.asked.top = 0.97
        app.chart.refresh_data()
        painted = sum(region.area for region in app.chart._repaint_regions)
        assert 0 < painted < app.chart.size.area / 2


async def test_a_long_run_is_drawn_again_where_there_is_something_to_see() -> None:
    """Each frame would take time from the training, for curves that look as before."""
    now = [100.0]
    async with _running(clock=lambda: now[0]) as (app, _):
        chart, asked = app.chart, app.asked.asked

        def draws(step: int, news: str) -> bool:
            before = len(asked)
            chart.keep_up(step, news)
            return len(asked) > before

        assert draws(999, "begun")
        assert not draws(1000, "begun")
        assert draws(1000, "rate halved")
        assert draws(1100, "rate halved")  # a cell further
        assert not draws(1101, "rate halved")
        now[0] += 1.0
        assert draws(1101, "rate halved")
        assert draws(600, "rate halved")  # rewound


async def test_a_chart_whose_source_was_busy_asks_with_the_next_frame() -> None:
    """A change of the rate would be seen a second late."""
    async with _running(clock=lambda: 100.0) as (app, _):
        chart = app.chart
        chart.keep_up(999, "begun")
        before, chart.source = chart.data.lines, lambda dots, zoom: chart.data
        chart.keep_up(999, "rate halved")
        assert chart.data.lines is before
        chart.source = app.asked
        chart.keep_up(999, "rate halved")
        assert chart.data.lines is not before


@pytest.mark.slow
async def test_a_run_that_has_ended_is_drawn_at_its_end_at_once() -> None:
    """Two charts of one run would end at different steps, as long as their axes are held."""
    async with _running(clock=lambda: 100.0) as (app, _):
        chart = app.chart
        chart.keep_up(999, "running")
        app.asked.steps = 2000
        assert chart.keep_up(1000, "finished", is_last=True)
        assert chart._x_axis.high == 2000
        chart.source = lambda dots, zoom: chart.data
        assert not chart.keep_up(1000, "finished, and told", is_last=True)  # the source was busy: ask again


async def test_axes_stay_for_a_second_and_no_longer() -> None:
    now = [100.0]
    async with _running(clock=lambda: now[0]) as (app, pilot):
        chart = app.chart
        before = chart._x_axis.high, chart._y_axis.high
        app.asked.steps, app.asked.top = 2000, 50.0
        chart.refresh_data()
        assert (chart._x_axis.high, chart._y_axis.high) == before
        now[0] += 1.0
        chart.refresh_data()
        assert chart._x_axis.high == 2000
        assert chart._y_axis.high >= 50
        app.asked.top = 500.0
        await pilot.press("y")  # asked for by a person: at once
        assert chart._y_axis.high >= 500


async def test_the_legend_is_no_blur_and_ends_up_right() -> None:
    now = [100.0]
    async with _running(clock=lambda: now[0]) as (app, pilot):
        now[0] += 1
        for top in (2.0, 3.0, 4.0):
            app.asked.top = top
            app.chart.refresh_data()
        await pilot.pause()
        assert "train 0.182" in app.shown()[0]
        async with asyncio.timeout(30):
            while "train 0.364" not in app.shown()[0]:  # the last one, though nobody asks again
                await asyncio.sleep(0.02)


async def test_a_hidden_chart_costs_nothing() -> None:
    async with _running() as (app, pilot):
        app.chart.display = False
        await pilot.pause()
        app.asked.asked.clear()
        app.chart.refresh_data()
        assert app.asked.asked == []
        app.chart.display = True
        await pilot.pause()
        assert app.asked.asked


@pytest.mark.slow
async def test_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with _running() as (app, pilot):
        for theme in themes.NAMES:
            app.theme = theme
            await pilot.pause()
            assert "train" in app.shown()[0]


async def test_a_chart_without_a_source_is_an_empty_frame() -> None:
    async with _running() as (app, pilot):
        app.chart.source = None
        app.chart.refresh_data()
        await pilot.press("c", "l", "up", "t")
        assert app.shown()[0].startswith("╭─ loss ─")


@pytest.mark.slow
async def test_a_zoom_at_the_end_goes_with_the_run_and_one_before_it_stays() -> None:
    """Somebody who looks closely at the last steps would soon look at old ones."""
    async with _running() as (app, pilot):
        await pilot.press("up", "up", *["shift+right"] * 10)
        at_end = app.chart.zoom
        assert at_end is not None
        assert at_end[1] >= 999
        app.asked.steps = 1200
        app.chart.refresh_data()
        assert app.chart.zoom is not None
        assert app.chart.zoom[0] > at_end[0]
        assert app.chart.zoom[1] >= 1199
        await pilot.press(*["shift+left"] * 10)
        early = app.chart.zoom
        app.asked.steps = 1500
        app.chart.refresh_data()
        assert app.chart.zoom == early


async def test_nothing_measured_has_no_axes() -> None:
    """While a run starts, an axis from 0 to 1 would seem to be of its steps."""
    async with _running() as (app, pilot):
        app.chart.source = lambda dots, zoom: ChartData(())
        app.chart.refresh_data()
        await pilot.pause()
        rows = app.shown()
        assert "nothing measured yet" in rows[9]
        assert not any(sign in "".join(rows[1:-1]) for sign in "┤┬012")


async def test_a_chart_that_is_not_told_of_its_new_size_is_drawn_all_the_same() -> None:
    """Its frame would stay empty: Textual sends no Resize where the layout was looked up before it was made."""
    async with _running() as (app, pilot):
        app.chart.styles.width = 40
        compositor = app.screen._compositor
        app.screen._clear_arrangement_cache()
        compositor._full_map_invalidated = True
        assert compositor.full_map[app.chart].region.width == 40
        await pilot.pause()
        async with asyncio.timeout(30):
            while not any("┤" in row for row in app.shown()):
                await pilot.pause(0.02)
        assert app.shown()[0].rstrip()[-1] == "╮"
        assert cell_len(app.shown()[0].rstrip()) == 40
