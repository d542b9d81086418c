"""← and → take the whole board back through a training: a number or a picture of now among them would mislead."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.pictures import kept
from tests.helpers import made_pictures
from tests.helpers.live_console import commands, shown, start
from tests.helpers.processes import kill
from tests.helpers.recorded_run import PER_EPOCH, STEPS, record
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.data.snapshot import Snapshot
from tui.pictures.live import FramedPicture
from tui.screens.console.screen import Console
from tui.terminal import Terminal
from tui.widgets.chart import Chart

KEPT = (300, 900, 1500, STEPS)
pytestmark = pytest.mark.slow


@pytest.fixture
def pictured(tmp_path: Path) -> RunFolder:
    """A finished run whose worker has kept a matrix at four steps, each with another count."""
    run = record(tmp_path)
    for step in KEPT:
        counts = np.diag([step, 7, 7])
        kept.write(run.path, step, {"confusion": made_pictures.of("confusion", counts=counts).arrays})
    return run


@pytest.fixture
def live(tmp_path: Path) -> Iterator[RunFolder]:
    child, run = start(tmp_path)
    yield run
    kill(child)


def app_on(run: RunFolder) -> DescentApp:
    return DescentApp(run=run, terminal=Terminal(), runs_dir=run.path.parent)


async def board(pilot: Pilot[Any]) -> tuple[Console, FramedPicture]:
    console = pilot.app.screen
    assert isinstance(console, Console)
    await until(pilot, lambda: console.snapshot is not None and console.snapshot.layers, "the run")
    view = await until(pilot, lambda: next(iter(console.query("#picture FramedPicture")), None), "the frame")
    await until(pilot, lambda: view.picture is not None, "the picture")
    return console, view


async def moved(pilot: Pilot[Any], console: Console, key: str, times: int) -> Snapshot:
    """The snapshot of the moment to which a key has taken the board, and which its charts point at."""
    chart = console.query_one("#loss", Chart)
    await pilot.press(*[key] * times)

    def there() -> Snapshot | None:
        now, at = console.snapshot, chart.cursor
        is_there = now is not None and now.past is not None and at is not None and abs(now.past - at) < 1
        return now if is_there else None

    found = await until(pilot, there, "another moment")
    assert isinstance(found, Snapshot)
    return found


async def test_all_of_the_board_is_of_the_step_under_the_cursor(pictured: RunFolder) -> None:
    stored = Metrics(pictured.path)
    losses, norms = stored.column("loss"), stored.column("layer.head.grad_norm")
    async with app_on(pictured).run_test(size=(120, 40)) as pilot:
        console, view = await board(pilot)
        pasts, drawn = [], []
        for key, times in [("left", 14), ("left", 13), ("left", 13), ("left", 18), ("right", 25)]:
            now = await moved(pilot, console, key, times)
            past = now.past
            assert past is not None
            wanted = max((step for step in KEPT if step <= past), default=None)
            await until(pilot, lambda wanted=wanted: getattr(view.picture, "step", None) == wanted, "the picture")
            pasts, drawn = [*pasts, past], [*drawn, wanted]
            seen = shown(pilot, charts=False)
            assert f"◀ step {past:,}" in seen
            assert now.loss == pytest.approx(float(losses[max(0, past - PER_EPOCH) : past].mean()), rel=0.2)
            assert now.val_loss == (pytest.approx(0.3 / (past // PER_EPOCH)) if past >= PER_EPOCH else None)
            assert now.layers[2].grad_norm == pytest.approx(float(norms[(past - 1) // 10 * 10]))
            steps = [int(step.replace(",", "")) for step in re.findall(r"step ([\d,]+)", seen.partition("\n")[2])]
            assert max(steps) == past  # of the log and the picture, too; the first line says where the run is now
            assert str(view.border_subtitle) == (f"step {wanted:,}" if wanted is not None else "")
            assert ("No picture was kept so early." in seen) == (wanted is None)
            assert wanted is None or f" {wanted} " in seen.replace(",", "")  # the first class's count
        assert sorted(pasts[:4], reverse=True) == pasts[:4]
        assert drawn == [1500, 900, 300, None, 900]
        await pilot.press("escape")
        await until(pilot, lambda: getattr(view.picture, "step", None) == STEPS, "the picture of now")
        assert console.snapshot is not None
        assert console.snapshot.past is None
        assert "◀" not in shown(pilot, charts=False)


async def test_the_picture_has_a_digit_and_no_room_on_a_small_screen(pictured: RunFolder) -> None:
    """A chart would lose half of its rows to two lines of a border, or the picture could not be reached."""
    async with app_on(pictured).run_test(size=(80, 24)) as pilot:
        console = pilot.app.screen
        assert isinstance(console, Console)
        await until(pilot, lambda: "1–8 panel" in shown(pilot), "its digit")
        assert not console.query_one("#picture").region
        assert "Confusion matrix" not in shown(pilot)
        await pilot.press("8")
        await until(pilot, lambda: "8 Confusion matrix" in shown(pilot), "the picture alone")
        await pilot.press("8")
        await until(pilot, lambda: "Confusion matrix" not in shown(pilot), "the charts")
        await pilot.press("p", *["down"] * 7, "space", "enter")
        await until(pilot, lambda: "6 layers" in shown(pilot), "the board")


async def test_the_picture_of_a_live_run_is_drawn_anew_and_asks_for_nothing(live: RunFolder) -> None:
    """Each would be a command in the run's log, which a replay follows."""
    async with app_on(live).run_test(size=(120, 40)) as pilot:
        console, view = await board(pilot)
        first = view.picture
        assert first is not None
        assert first.kind == "confusion"
        await until(pilot, lambda: view.picture is not None and view.picture.step > first.step, "a later picture")
        await pilot.press("space")
        await until(pilot, lambda: console.snapshot is not None and console.snapshot.state == "paused", "the pause")
        await until(
            pilot,
            lambda: view.picture is not None and console.snapshot and view.picture.step == console.snapshot.step,
            "the picture of the step at which it stands still",
        )
        at = console.snapshot.step if console.snapshot is not None else -1
        await pilot.press("full_stop")
        await until(pilot, lambda: view.picture is not None and view.picture.step == at + 1, "that of the next step")
    assert [name for name, _ in commands(live)] == ["pause", "step"]
