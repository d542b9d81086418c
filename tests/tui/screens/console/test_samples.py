"""What a loop has drawn or written can be looked at among the pictures, and what it did earlier too."""

from pathlib import Path

import numpy as np
import pytest
from textual.widget import Widget

from descent.loop.samples import SampleRecorder
from descent.run.events import Events
from tests.helpers.live_console import shown
from tests.helpers.recorded_run import record
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.pictures.picture import PictureView
from tui.screens.console.pictures import Pictures
from tui.terminal import Terminal


@pytest.mark.slow
async def test_samples_are_shown_and_earlier_ones_too(tmp_path: Path) -> None:
    """A person would have to find and open files of arrays."""
    run = record(tmp_path)
    events = Events(run.path)
    recorder = SampleRecorder(run, events)
    for step in (400, 800):
        recorder.put("drawn {x}", np.full((5, 3, 8, 8), step // 4, np.uint8), step)
        recorder.put("words", ["hello\nthere", f"at {step}"], step)
    events.close()
    app = DescentApp(run=run, terminal=Terminal(), runs_dir=tmp_path)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: getattr(pilot.app.screen, "snapshot", None) is not None, "the console")
        await pilot.press("i")
        await until(pilot, lambda: isinstance(pilot.app.screen, Pictures), "the pictures")

        def step() -> int | None:
            views: list[Widget] = list(pilot.app.screen.query(PictureView))
            picture = views[0].picture if views and isinstance(views[0], PictureView) else None
            return None if picture is None else picture.step

        await until(pilot, lambda: step() == 800, "the latest images")
        assert "drawn {x}" in shown(pilot)
        assert "images: 5" in shown(pilot)
        await pilot.press("left")
        await until(pilot, lambda: step() == 400, "the earlier images")
        await pilot.press("down")
        await until(pilot, lambda: "at 800" in shown(pilot), "the latest words")
        assert "there" in shown(pilot)
        await pilot.press("left")
        await until(pilot, lambda: "at 400" in shown(pilot), "the earlier words")
        await pilot.press("left", "right", "right")
        await until(pilot, lambda: "at 800" in shown(pilot), "the latest words again")
