"""The pictures beside a lab's charts: a learner would not see what the lab is about without a key they don't know."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from descent.run.state import ALIVE
from engine.labs import flow, progress
from engine.labs.library import find_lab
from engine.pictures import kept
from tests.helpers.live_console import shown
from tests.helpers.screens import console
from tests.helpers.small_lab import LAB as LAB_TEXT
from tests.helpers.small_lab import PRESET, make_lab
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.pictures.live import FramedPicture, LabPictures
from tui.screens.console.screen import Console
from tui.widgets.chart import Chart

pytestmark = pytest.mark.slow

LAB = "slow-line"
WATCH = 'changes = ["optimizer.lr"]\nwatch = ["loss", "surface", "fit"]'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: Any) -> Iterator[Path]:
    """A folder with a lab whose files are there and whose question is answered."""
    make_lab(tmp_path / "labs", lab=LAB_TEXT.replace('changes = ["optimizer.lr"]', WATCH))
    monkeypatch.chdir(tmp_path)
    flow.start(find_lab(LAB), tmp_path)
    flow.predict(find_lab(LAB), {"bias": 1.0})
    return tmp_path


async def trained(pilot: Any, app: DescentApp, before: Any = None) -> Console:
    """The console of the run that a key has started."""
    return await until(
        pilot, lambda: s if isinstance(s := app.screen, Console) and s is not before else None, "the run"
    )


async def test_the_picture_is_drawn_while_it_trains_and_again_at_the_end(here: Path) -> None:
    """The bowl would stand still, or show another step than the last one when the run has ended."""
    file = here / f"{LAB}.toml"
    file.write_text(f'lab = "{LAB}"\n' + PRESET.replace("epochs = 20", "epochs = 1000000"))
    app = console(lab=LAB)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.focused is not None and LAB in shown(pilot), "the lab")
        await pilot.press("enter")
        run = await trained(pilot, app)
        views = await until(pilot, lambda: list(run.query(FramedPicture)), "the frames")
        await until(pilot, lambda: all(view.picture is not None for view in views), "both pictures")
        first = views[0].picture.step
        await until(pilot, lambda: views[0].picture.step > first, "a later one")
        assert not run.query_one("#rate", Chart).display  # it is constant, and the lab is not about it
        await pilot.press("x")
        await until(pilot, lambda: "stop without saving" in shown(pilot), "the question")
        await pilot.press("s")
        await until(pilot, lambda: run.snapshot is not None and run.snapshot.state not in ALIVE, "the end")
        saved = max(run.folder.checkpoints())
        await until(pilot, lambda: [view.picture.step for view in views] == [saved, saved], "the last ones")
        assert "b " in shown(pilot)


async def test_the_run_before_is_a_ghost_in_chart_and_picture(here: Path) -> None:
    """A learner could not see what their change has changed."""
    app = console(lab=LAB)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.focused is not None and LAB in shown(pilot), "the lab")
        await pilot.press("enter")
        run = await trained(pilot, app)
        await until(pilot, lambda: run.snapshot is not None and run.snapshot.state == "finished", "its end")
        await until(pilot, lambda: kept.latest(run.folder.path, "surface"), "its picture")
        await pilot.press("right", "enter")
        after = await trained(pilot, app, run)
        chart = await until(pilot, lambda: next(iter(after.query("#loss").results(Chart)), None), "the chart")
        await until(pilot, lambda: any(line.style == "ghost" for line in chart.data.lines), "the curve before")
        view = after.query_one(FramedPicture)
        await until(pilot, lambda: view.ghost is not None, "the picture before")
        text = await until(pilot, lambda: t if "goal 0/1" in (t := shown(pilot)) else "", "the goal")
        assert "p next picture" in text
        await until(pilot, lambda: view.picture is not None, "the picture")
        await pilot.press("p")
        await until(pilot, lambda: view.picture is not None and view.picture.kind == "fit", "the other picture")
        assert after.query_one(LabPictures).shown == ["fit"]


async def test_layers_on_the_board_of_a_lab_count_as_looked_at(here: Path) -> None:
    """The task to look at the table would stay undone while it stands before the learner."""
    file = here / "labs" / LAB / "lab.toml"
    file.write_text(file.read_text().replace('"surface", "fit"', '"layers"'))
    app = console(lab=LAB)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.screen.query("LabPanel"), "the lab")
        await pilot.press("g")
        await trained(pilot, app)
        await until(pilot, lambda: "opened layers" in progress.load().of(LAB).deeds, "the deed")
