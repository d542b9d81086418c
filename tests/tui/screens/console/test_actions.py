"""The actions that a script declares must be at hand in the console, with its other settings."""

import os
import signal
from pathlib import Path

import pytest

from tests.helpers.live_console import shown
from tests.helpers.loops import DRIVEN, Script, held, send
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.screens.console.dialogs import Edit

pytestmark = pytest.mark.slow
DECLARED = """
def broken():
    raise KeyError("no such row")
run.action("resample", lambda: torch.nn.init.normal_(model[3].weight))
run.action("broken", broken)
for x, y in run"""


async def test_an_action_is_called_by_keys(tmp_path: Path) -> None:
    """Whoever watches could not do what the script was prepared for."""
    script = held(Script(tmp_path / "script"), DRIVEN.replace("\nfor x, y in run", DECLARED))
    try:
        send(script, "step", steps=2)
        run = script.run
        async with DescentApp(run=run, runs_dir=run.path.parent).run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: "space resume" in shown(pilot), "the paused run")
            await pilot.press("e")
            await until(pilot, lambda: isinstance(pilot.app.screen, Edit), "the form")
            assert "resample  enter calls it" in shown(pilot)
            await pilot.press("up", "enter")  # from the first line to the last one
            await until(pilot, lambda: "KeyError: 'no such row'" in shown(pilot), "the refusal")
            assert isinstance(pilot.app.screen, Edit)
            await pilot.press("up", "enter")
            await until(pilot, lambda: "✓ resample: done at step 2" in shown(pilot), "the answer")
        told = run.last("command", command="action")
        assert told is not None
        assert told["arguments"] == {"name": "resample"}
    finally:
        os.kill(script.pid, signal.SIGKILL)
        script.end()
