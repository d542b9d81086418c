"""Curves of the user's own can be chosen, are drawn, and are there again at the next run of the same kind."""

import json
from pathlib import Path

import numpy as np
import pytest

from descent.run.scalars import RECORD, Names, ScalarWriter
from tests.helpers.live_console import shown
from tests.helpers.recorded_run import STEPS, record
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.data.chosen_charts import chosen
from tui.screens.console.charts import ChooseCharts
from tui.screens.console.screen import Console
from tui.terminal import Terminal
from tui.widgets.chart import Chart

pytestmark = pytest.mark.slow


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DescentApp:
    """A console of a run with a scalar that grows from 0 to 10, and a metric of the evaluations."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = record(tmp_path / "runs")
    steps = np.arange(0, STEPS, 10)
    names, writer = Names(run.path), ScalarWriter(run.path, 0)
    records = np.zeros(len(steps), RECORD)
    records["step"], records["value"], records["name"] = steps, steps / 215, names.index("kl")
    writer.append(records)
    lines = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    told = [line | {"macro_f1": 0.25} if line["event"] == "evaluation" else line for line in lines]
    (run.path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    return DescentApp(run=run, terminal=Terminal(), runs_dir=tmp_path / "runs")


async def test_a_chosen_curve_is_shown_and_remembered(app: DescentApp) -> None:
    """A loop's own numbers would be in a file that nobody sees."""
    async with app.run_test(size=(80, 24)) as pilot:
        console = pilot.app.screen
        assert isinstance(console, Console)
        await until(pilot, lambda: {"scalar:kl", "val:macro_f1"} <= {*console.panes.own_curves()}, "the run")
        await pilot.press("p")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChooseCharts), "the list")
        listed = ("[x] loss", "[ ] kl", "[ ] val macro_f1")
        await until(pilot, lambda: all(line in shown(pilot) for line in listed), "the curves of the user's own in it")
        for name in ("accuracy", "rate", "gradient", "throughput", "machine", "layers", "log", "kl", "macro_f1"):
            await pilot.press("down", *([] if name == "throughput" else ["space"]))  # all that are usual but the loss
        await pilot.press("enter")

        def drawn() -> list[str]:
            return [chart.title for chart in console.query(Chart) if chart.is_on_screen and chart.data.lines]

        await until(pilot, lambda: drawn() == ["loss", "kl", "val macro_f1"], "the chosen charts")
        charts = {chart.title: chart for chart in console.query(Chart)}
        kl, f1 = charts["kl"], charts["val macro_f1"]
        assert kl.data.lines[-1].latest == pytest.approx(10, abs=0.5)
        assert f1.data.lines[0].latest == 0.25
        assert kl.region.height >= 5
        await pilot.press("p")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChooseCharts), "the list again")
        await pilot.press("o")
        await until(pilot, lambda: drawn() == ["loss"], "one chart alone")
    assert chosen("mnist-mlp") == ["loss", "scalar:kl", "val:macro_f1"]


async def test_the_first_curve_of_a_loop_s_own_is_shown_unasked(app: DescentApp, tmp_path: Path) -> None:
    """Nobody would look in a list for numbers that their script logs."""
    [events] = (tmp_path / "runs").glob("*/events.jsonl")
    with events.open("a") as log:
        log.write(json.dumps({"time": 1.0, "event": "exact", "step": 1, "driver": "steps", "why_not": []}) + "\n")
    async with app.run_test(size=(120, 40)) as pilot:
        console = pilot.app.screen
        assert isinstance(console, Console)

        def drawn() -> list[str]:
            return [chart.title for chart in console.query(Chart) if chart.is_on_screen and chart.data.lines]

        await until(pilot, lambda: {"loss", "accuracy %", "kl"} <= set(drawn()), "the loop's own chart")
