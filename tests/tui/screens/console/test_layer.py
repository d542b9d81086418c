"""A student follows how a layer's numbers spread: the screen must show what the run has recorded."""

from pathlib import Path

import pytest
from textual.pilot import Pilot

from descent.run import histograms
from tests.helpers.live_console import shown
from tests.helpers.recorded_run import record
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.pictures.layer_histograms import LayerHistograms
from tui.screens.console.layer import Layer
from tui.terminal import Terminal
from tui.widgets.chart import Chart
from tui.widgets.layer_charts import LayerCharts
from tui.widgets.layer_table import LayerTable


async def _open(pilot: Pilot[object], name: str) -> Layer:
    console = pilot.app.screen
    await until(pilot, lambda: "hidden1" in shown(pilot), "the layers")
    console.query_one(LayerTable).focus()
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, Layer), "the layer")
    screen = pilot.app.screen
    assert isinstance(screen, Layer)
    await until(pilot, lambda: f"layer {name}" in shown(pilot), "its name")
    return screen


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
@pytest.mark.parametrize("unicode", [True, False])
async def test_h_goes_from_the_spread_over_time_to_the_latest(
    tmp_path: Path, size: tuple[int, int], *, unicode: bool
) -> None:
    app = DescentApp(run=record(tmp_path), terminal=Terminal(unicode=unicode), runs_dir=tmp_path, read_only=True)
    async with app.run_test(size=size) as pilot:
        screen = await _open(pilot, "hidden1")
        if size == (80, 24):
            assert "over time" not in shown(pilot)
            await until(pilot, lambda: "h histograms" in shown(pilot), "the key")
            await pilot.press("h")
        await until(pilot, lambda: "activations over time" in shown(pilot), "the spread over time")
        pictures = screen.query_one(LayerHistograms)
        assert pictures.region.bottom <= size[1] - 1
        for view in pictures.children:
            assert view.region.width >= 24
        await until(pilot, lambda: "h latest histograms" in shown(pilot), "the key")
        await pilot.press("h")
        await until(pilot, lambda: "over time" not in shown(pilot) and "weight matrix" in shown(pilot), "the latest")
        await pilot.press("h")
        again = "gradient norm" if size == (80, 24) else "activations over time"
        await until(pilot, lambda: again in shown(pilot), "the way back")
        assert unicode or shown(pilot).isascii()


@pytest.mark.slow
async def test_a_run_without_recorded_histograms_shows_the_latest_at_once(tmp_path: Path) -> None:
    """A run of an earlier version would have three empty boxes, and a key that does nothing."""
    run = record(tmp_path)
    (run.path / histograms.FILE).unlink()
    app = DescentApp(run=run, terminal=Terminal(), runs_dir=tmp_path, read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await _open(pilot, "hidden1")
        await until(pilot, lambda: "No picture yet" in shown(pilot), "the latest")
        assert "over time" not in shown(pilot)
        assert "histograms" not in shown(pilot).splitlines()[-1]


@pytest.mark.slow
async def test_below_the_layers_alone_are_the_charts_of_the_one_under_the_cursor(tmp_path: Path) -> None:
    """Three lines stood on an empty screen."""
    app = DescentApp(run=record(tmp_path), terminal=Terminal(), runs_dir=tmp_path, read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        console = app.screen
        await until(pilot, lambda: "hidden1" in shown(pilot), "the layers")
        await pilot.press("6")
        charts = await until(pilot, lambda: next(iter(console.query(LayerCharts)), None), "its charts")
        table = console.query_one(LayerTable)
        first, second = (row.name for row in table.sorted_rows()[:2])
        await until(pilot, lambda: all(chart.data.lines for chart in charts.query(Chart)), "curves")
        assert charts.layer_name == first
        assert table.region.bottom == charts.region.y
        assert table.region.height == 3 + len(table.sorted_rows())
        await pilot.press("down")
        await until(pilot, lambda: charts.layer_name == second, "the next layer")
        await pilot.press("left", "left")
        await until(pilot, lambda: "◀ step 2," in shown(pilot), "the cursor of the time machine, in these charts")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: not console.query(LayerCharts) and "1 loss" in shown(pilot), "all panels")
