"""A dialog or another screen over a live run must not cost more than the run: the line to the terminal is narrow."""

import dataclasses
from pathlib import Path

import pytest

from descent.run.folder import RunFolder
from tests.helpers.screens import record
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.screens.console.screen import Console
from tui.screens.dialogs import Ask
from tui.widgets.top_line import TopLine


@pytest.mark.slow
async def test_new_numbers_wait_while_a_dialog_is_open(tmp_path: Path) -> None:
    """Each of them would send the whole screen again, twenty times the bytes of the console itself."""
    run = RunFolder(record(tmp_path, "digits-mlp-260921-131000-kqzt", "running"))
    app = DescentApp(run=run, runs_dir=tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, Console) and app.screen.snapshot is not None, "the console")
        console = app.screen
        assert isinstance(console, Console)
        assert console.reader is not None
        console.reader.end()
        now = console.snapshot
        assert now is not None
        top = console.query_one(TopLine)
        app.push_screen(Ask("sure?", "really", [("y", "yes", "y")]))
        await until(pilot, lambda: isinstance(app.screen, Ask), "the dialog")
        console.draw(dataclasses.replace(now, step=now.step + 1))
        before = top._drawn
        console.draw(dataclasses.replace(now, step=now.step + 100))
        assert top._drawn == before
        console.draw(dataclasses.replace(now, step=now.step + 100, state="failed"))  # trouble waits for nothing
        assert top._drawn != before
        console.snapshot = dataclasses.replace(now, step=now.step + 200)
        app.pop_screen()
        await until(pilot, lambda: f"{now.step + 200:,}" in str(top._drawn), "the latest step")
